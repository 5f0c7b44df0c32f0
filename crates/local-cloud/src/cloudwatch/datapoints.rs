//! GetMetricStatistics.

use super::error::ApiError;
use super::input::Fields;
use super::put;
use super::stat::{self, Stat};
use super::statistics::Statistics;
use super::store::{Store, periods};
use super::wire::Out;
use crate::Caller;

/// Source: GetMetricStatistics, "The maximum number of data points returned from a single call is 1,440".
const MAX_DATAPOINTS: i64 = 1440;

pub(super) fn run(store: &Store, caller: &Caller, input: &Fields<'_>) -> Result<Out, ApiError> {
    let namespace = put::namespace(input)?.ok_or_else(|| ApiError::missing("Namespace"))?;
    let name = input.need_text("MetricName", 255)?;
    let dimensions = input.dimensions(30)?;
    let (start, end) = stat::time_range(input)?;
    let seconds = stat::period(input)?.ok_or_else(|| ApiError::missing("Period"))?;
    let unit = put::unit(input)?;
    let (plain, extended) = statistics(input)?;
    let requested = (end - start + seconds * 1000 - 1) / (seconds * 1000);
    if requested > MAX_DATAPOINTS {
        return Err(ApiError::combination(format!(
            "You have requested up to {requested} datapoints, which exceeds the limit of {MAX_DATAPOINTS}. \
             You may reduce the datapoints requested by increasing Period, or decreasing the time range."
        )));
    }
    let mut points = Vec::new();
    let metric = store.find(caller, namespace, name, &dimensions);
    for (known, minutes) in metric.iter().flat_map(|metric| &metric.units) {
        if unit.is_none_or(|unit| unit == known) {
            for (at, statistics) in periods(std::iter::once(minutes), start, end, stat::period_ms(seconds)) {
                points.extend(datapoint(at, &statistics, &plain, &extended, known));
            }
        }
    }
    Ok(Out::Struct(vec![
        ("Label", Out::Text(name.to_owned())),
        ("Datapoints", Out::List(points)),
    ]))
}

type Requested = Vec<(&'static str, Stat)>;

fn statistics(input: &Fields<'_>) -> Result<(Requested, Vec<(String, Stat)>), ApiError> {
    let mut plain = Vec::new();
    for word in input.words("Statistics", 5)? {
        let known = ["SampleCount", "Average", "Sum", "Minimum", "Maximum"]
            .into_iter()
            .find(|known| *known == word)
            .and_then(|known| Some((known, Stat::parse(known)?)));
        plain.push(known.ok_or_else(|| input.invalid("Statistics", word))?);
    }
    let mut extended = Vec::new();
    for word in input.words("ExtendedStatistics", 10)? {
        match Stat::parse(word) {
            Some(percentile @ Stat::Percentile(_)) => extended.push((word.to_owned(), percentile)),
            _ => return Err(input.invalid("ExtendedStatistics", word)),
        }
    }
    match (plain.is_empty(), extended.is_empty()) {
        (true, true) => Err(ApiError::combination(
            "At least one of the parameters Statistics and ExtendedStatistics must be specified.",
        )),
        (false, false) => Err(ApiError::combination(
            "The parameters Statistics and ExtendedStatistics are mutually exclusive and you have specified both.",
        )),
        _ => Ok((plain, extended)),
    }
}

/// One datapoint. `None` if no requested statistic is known.
fn datapoint(
    at: i64,
    statistics: &Statistics,
    plain: &[(&'static str, Stat)],
    extended: &[(String, Stat)],
    unit: &str,
) -> Option<Out> {
    let mut fields = vec![("Timestamp", Out::Time(at))];
    for (name, stat) in plain {
        fields.push((name, Out::Number(stat.of(statistics)?)));
    }
    fields.push(("Unit", Out::Text(unit.to_owned())));
    if !extended.is_empty() {
        let values = extended
            .iter()
            .filter_map(|(name, stat)| Some((name.clone(), Out::Number(stat.of(statistics)?))));
        let values: Vec<_> = values.collect();
        if values.is_empty() {
            return None;
        }
        fields.push(("ExtendedStatistics", Out::Map(values)));
    }
    Some(Out::Struct(fields))
}
