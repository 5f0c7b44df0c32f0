//! PutMetricData. Validates everything before it stores anything.
//!
//! Source of limits: PutMetricData and MetricDatum, CloudWatch API reference.

use super::error::ApiError;
use super::input::Fields;
use crate::metrics::{Sample, UNITS};

const MAX_METRICS: usize = 1000;
const MAX_VALUES: usize = 150;
const MAX_DIMENSIONS: usize = 30;
const HOUR_MS: i64 = 3_600_000;

/// One datum of a request.
#[derive(Debug, PartialEq)]
pub(super) struct Datum {
    pub(super) name: String,
    pub(super) dimensions: Vec<(String, String)>,
    pub(super) unit: String,
    pub(super) at_ms: i64,
    pub(super) samples: Vec<Sample>,
}

#[derive(Debug, PartialEq)]
pub(super) struct Put {
    pub(super) namespace: String,
    pub(super) data: Vec<Datum>,
}

/// `is_trial` allows metrics of AWS's own namespaces.
pub(super) fn read(input: &Fields<'_>, now_ms: i64, is_trial: bool) -> Result<Put, ApiError> {
    let namespace = namespace(input)?.ok_or_else(|| ApiError::missing("Namespace"))?;
    if namespace.starts_with("AWS/") && !is_trial {
        return Err(input.invalid("Namespace", namespace));
    }
    let mut data = Vec::new();
    for datum in input.list("MetricData", MAX_METRICS)? {
        data.push(read_datum(&datum, now_ms)?);
    }
    let entities = input.list("EntityMetricData", MAX_METRICS)?;
    for entity in &entities {
        for datum in entity.list("MetricData", MAX_METRICS)? {
            data.push(read_datum(&datum, now_ms)?);
        }
    }
    if data.len() > MAX_METRICS {
        return Err(ApiError::invalid(format!(
            "The collection MetricData must not have a size greater than {MAX_METRICS}."
        )));
    }
    if data.is_empty() && !input.has("MetricData") && entities.is_empty() {
        return Err(ApiError::missing("MetricData"));
    }
    Ok(Put {
        namespace: namespace.to_owned(),
        data,
    })
}

/// The `Namespace` if given.
pub(super) fn namespace<'a>(input: &Fields<'a>) -> Result<Option<&'a str>, ApiError> {
    let namespace = input.text("Namespace", 255)?;
    match namespace {
        Some(text) if text.starts_with(':') => Err(input.invalid("Namespace", text)),
        _ => Ok(namespace),
    }
}

/// The `Unit` if given.
pub(super) fn unit<'a>(input: &Fields<'a>) -> Result<Option<&'a str>, ApiError> {
    let unit = input.text("Unit", 255)?;
    match unit {
        Some(text) if !UNITS.contains(&text) => Err(ApiError::invalid(format!(
            "The parameter {} must be a value in the set [ {} ].",
            input.path("Unit"),
            UNITS.join(", ")
        ))),
        _ => Ok(unit),
    }
}

fn read_datum(datum: &Fields<'_>, now_ms: i64) -> Result<Datum, ApiError> {
    let at_ms = datum.time("Timestamp")?.unwrap_or(now_ms);
    let wrong_time = |rule: &str| {
        ApiError::invalid(format!(
            "The parameter {} must specify a time {rule}.",
            datum.path("Timestamp")
        ))
    };
    if at_ms < now_ms - 14 * 24 * HOUR_MS {
        return Err(wrong_time("within the past two weeks"));
    }
    if at_ms > now_ms + 2 * HOUR_MS {
        return Err(wrong_time("no more than two hours in the future"));
    }
    if datum
        .integer("StorageResolution")?
        .is_some_and(|seconds| seconds != 1 && seconds != 60)
    {
        return Err(ApiError::invalid(format!(
            "The parameter {} must be 1 or 60.",
            datum.path("StorageResolution")
        )));
    }
    Ok(Datum {
        name: datum.need_text("MetricName", 255)?.to_owned(),
        dimensions: datum.dimensions(MAX_DIMENSIONS)?,
        unit: unit(datum)?.unwrap_or("None").to_owned(),
        at_ms,
        samples: samples(datum)?,
    })
}

fn samples(datum: &Fields<'_>) -> Result<Vec<Sample>, ApiError> {
    let forms = ["Value", "StatisticValues", "Values"];
    let given: Vec<&str> = forms.into_iter().filter(|name| datum.has(name)).collect();
    match given[..] {
        ["Value"] => {
            let value = datum.number("Value")?.unwrap_or_default();
            Ok(vec![Sample::of(in_range(datum, "Value", value)?)])
        }
        ["StatisticValues"] => statistic_set(datum),
        ["Values"] => values_and_counts(datum),
        [first, second, ..] => Err(ApiError::combination(format!(
            "The parameters {} and {} are mutually exclusive and you have specified both.",
            datum.path(first),
            datum.path(second)
        ))),
        _ => Err(ApiError::missing(&datum.path("Value"))),
    }
}

fn statistic_set(datum: &Fields<'_>) -> Result<Vec<Sample>, ApiError> {
    let Some(set) = datum.structure("StatisticValues")? else {
        return Ok(Vec::new());
    };
    let need = |name: &str| -> Result<f64, ApiError> {
        let value = set
            .number(name)?
            .ok_or_else(|| ApiError::missing(&set.path(name)))?;
        in_range(&set, name, value)
    };
    let sample = Sample {
        count: need("SampleCount")?,
        sum: need("Sum")?,
        min: need("Minimum")?,
        max: need("Maximum")?,
    };
    if sample.count < 0.0 {
        return Err(set.invalid("SampleCount", sample.count));
    }
    if sample.min > sample.max {
        return Err(ApiError::combination(format!(
            "The parameter {} must be less than or equal to {}.",
            set.path("Minimum"),
            set.path("Maximum")
        )));
    }
    Ok(vec![sample])
}

fn values_and_counts(datum: &Fields<'_>) -> Result<Vec<Sample>, ApiError> {
    let values = datum.numbers("Values", MAX_VALUES)?;
    let counts = datum.numbers("Counts", MAX_VALUES)?;
    if values.is_empty() {
        return Err(ApiError::missing(&datum.path("Values")));
    }
    if !counts.is_empty() && counts.len() != values.len() {
        return Err(ApiError::combination(format!(
            "The parameters {} and {} must be of the same size.",
            datum.path("Values"),
            datum.path("Counts")
        )));
    }
    let counts = counts.into_iter().chain(std::iter::repeat(1.0));
    let samples = values.into_iter().zip(counts).map(|(value, count)| {
        let value = in_range(datum, "Values", value)?;
        let count = in_range(datum, "Counts", count)?;
        if count < 0.0 {
            return Err(datum.invalid("Counts", count));
        }
        Ok(Sample {
            count,
            sum: value * count,
            min: value,
            max: value,
        })
    });
    // A value with the count 0 does not affect minimum and maximum.
    samples
        .filter(|sample| sample.as_ref().map_or(true, |s| s.count > 0.0))
        .collect()
}

/// Values from -2^360 to 2^360, without NaN and infinities.
fn in_range(fields: &Fields<'_>, name: &str, value: f64) -> Result<f64, ApiError> {
    if value.is_finite() && value.abs() <= 2f64.powi(360) {
        return Ok(value);
    }
    Err(fields.invalid(name, value))
}
