//! Verdicts on metrics in words, for each command that shows them.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::timeout;

use crate::ui::units::{count, counted, milliseconds};
use crate::ui::{Style, units};
use domain::context::Context;
use domain::observe::metrics::{
    Cause, Limit, Reading, Selection, Severity, TimeRange, Unit, Usage, Verdict, verdicts,
};
use domain::pipeline::Pipeline;
use ground::duration;
use ground::error::Error;

/// `63 % of the write limit (bytes) in the busiest minute`, `12 writes throttled in 3 minutes`.
pub(crate) fn words(verdict: &Verdict, period: i64) -> String {
    match &verdict.cause {
        Cause::Used(usage) => used(usage, period),
        Cause::Happened {
            trouble,
            count,
            share,
            seconds,
        } => {
            let number = whole(*count);
            let share = share.map(|share| format!(" ({})", percent(share * 100.0)));
            let share = share.unwrap_or_default();
            format!(
                "{}{share} {} in {}",
                plural(number, trouble.noun),
                trouble.verb,
                span(*seconds)
            )
        }
    }
}

fn used(usage: &Usage, period: i64) -> String {
    let share = percent(usage.share() * 100.0);
    let of = usage.limit.words();
    let shard = match usage.resource.shard() {
        Some(shard) => format!("{shard}: "),
        None => String::new(),
    };
    if usage.limit.is_rate() {
        let unit = match usage.limit {
            Limit::RecordsIn => " (records)",
            Limit::BytesIn => " (bytes)",
            _ => "",
        };
        return format!("{shard}{share} of {of}{unit} in the busiest {}", length(period));
    }
    let label = &usage.spec.label;
    let amount = amount(usage.peak, usage.spec.unit);
    format!("{shard}{label} up to {amount}, {share} of {of}")
}

/// `1 entry of PutRecords`, `12 writes`.
fn plural(number: u64, noun: &str) -> String {
    match noun.split_once(' ') {
        None => counted(number, noun),
        // The first word has the plural: "entries of PutRecords"; "failed batches" has it at the end.
        Some(("entry", rest)) => match number {
            1 => format!("1 entry {rest}"),
            many => format!("{} entries {rest}", count(many)),
        },
        Some((first, "batch")) => match number {
            1 => format!("1 {first} batch"),
            many => format!("{} {first} batches", count(many)),
        },
        Some(_) => counted(number, noun),
    }
}

/// The periods in which something happened: `3 minutes`, `2 hours`, `15m`.
fn span(seconds: i64) -> String {
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = units
        .into_iter()
        .find(|(size, _)| seconds >= *size && seconds % size == 0);
    match unit {
        Some((size, name)) => counted(u64::try_from(seconds / size).unwrap_or(0), name),
        None => in_short(seconds),
    }
}

/// A period that follows "the busiest": `minute`, `hour`, `day`, `5m`.
fn length(seconds: i64) -> String {
    match seconds {
        60 => "minute".to_owned(),
        3_600 => "hour".to_owned(),
        86_400 => "day".to_owned(),
        other => in_short(other),
    }
}

fn in_short(seconds: i64) -> String {
    duration::format(Duration::from_secs(seconds.unsigned_abs()))
}

/// `0 %`, `under 0.1 %`, `4.2 %`, `63 %`.
pub(crate) fn percent(percent: f64) -> String {
    match percent {
        p if p <= 0.0 => "0 %".to_owned(),
        p if p < 0.05 => "under 0.1 %".to_owned(),
        p if p < 9.95 => format!("{p:.1} %"),
        p => format!("{p:.0} %"),
    }
}

/// A value in its unit: `12,345`, `1.2 MiB`, `3.2 ms`, `2h`, `98 %`.
pub(crate) fn amount(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Milliseconds | Unit::Seconds if value <= 0.0 => "0".to_owned(),
        Unit::Count => count(whole(value)),
        Unit::Bytes => units::bytes(whole(value)),
        Unit::Milliseconds => milliseconds(value),
        Unit::Seconds => milliseconds(value * 1_000.0),
        Unit::Percent => percent(value),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast of a float saturates"
)]
pub(crate) fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// `text` in the colour of `severity`.
pub(crate) fn coloured(style: &Style, severity: Severity, text: &str) -> String {
    match severity {
        Severity::Good => text.to_owned(),
        Severity::Caution => style.caution(text),
        Severity::Bad => style.bad(text),
    }
}

/// How long figures are waited for that are only a part of what a command shows.
const TIME_LIMIT: Duration = Duration::from_secs(5);

/// What the figures of the last hour say, in one line; `None` without figures. For commands that show it beside other things:
/// none of them fails because of it.
///
/// # Errors
/// Why the figures are not known, in words.
pub(crate) async fn last_hour(context: &Context, selection: &Selection) -> Result<Option<String>, String> {
    let said = |error: Error| error.chain().join(": ");
    let range = TimeRange::last(3_600, None, Timestamp::now().as_second()).map_err(said)?;
    match timeout(TIME_LIMIT, selection.read(context, range)).await {
        Ok(Ok(reading)) => Ok(line(selection, &reading)),
        Ok(Err(error)) => Err(said(error)),
        Err(_) => Err(format!("no answer within {}", duration::format(TIME_LIMIT))),
    }
}

/// As [`last_hour`], for all resources of `pipeline`, as a sentence; `None` without figures.
pub(crate) async fn last_hour_of_pipeline(context: &Context, pipeline: &Pipeline<'_>) -> Option<String> {
    let said = match Selection::pipeline(context, pipeline, false).await {
        Ok(selection) => last_hour(context, &selection).await,
        Err(error) => Err(error.chain().join(": ")),
    };
    match said {
        Ok(line) => line.map(|line| format!("Metrics of the last hour: {line}")),
        Err(reason) => Some(format!("The metrics of the last hour are not known: {reason}")),
    }
}

/// What the figures of `selection` say, in one line: what needs attention, or else the most used limit; `None` if nothing was
/// done.
fn line(selection: &Selection, reading: &Reading) -> Option<String> {
    let found = verdicts(&reading.series, &selection.limits, &reading.range);
    let mut resources = selection.queries.iter().map(|query| &query.resource);
    let first = resources.next();
    let several = resources.any(|resource| Some(resource) != first);
    let say = |verdict: &Verdict| {
        let words = words(verdict, reading.range.period);
        match several {
            true => format!("{}: {words}", verdict.resource.name()),
            false => words,
        }
    };
    let serious: Vec<String> = found
        .iter()
        .filter(|verdict| verdict.severity > Severity::Good)
        .map(say)
        .collect();
    if !serious.is_empty() {
        return Some(serious.join("; "));
    }
    let share = |verdict: &&Verdict| match &verdict.cause {
        Cause::Used(usage) => usage.share(),
        Cause::Happened { .. } => 0.0,
    };
    let most = found.iter().max_by(|a, b| share(a).total_cmp(&share(b)));
    // Queues and tables have figures where nothing happens.
    let is_used = || reading.series.iter().any(|series| series.figure() > Some(0.0));
    most.map(say)
        .or_else(|| is_used().then(|| "nothing refused, nothing failed".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::observe::metrics::{Kind, Limits, Point, Resource, Series, TimeRange, specs};

    fn series(kind: Kind, index: usize, resource: Resource, values: &[f64]) -> Series {
        let point = |(at, value): (i64, &f64)| Point {
            at,
            value: *value,
            weight: 1.0,
        };
        Series {
            resource,
            spec: specs(kind)[index].clone(),
            points: (0..).map(|minute| minute * 60).zip(values).map(point).collect(),
            is_complete: true,
        }
    }

    #[test]
    fn verdicts_are_sentences() {
        let orders = || Resource::Stream("orders".into());
        let shard = Resource::Shard {
            stream: "orders".into(),
            shard: "shardId-000000000003".into(),
        };
        let function = || Resource::Function("scorer".into());
        let mut limits = Limits::default();
        limits.set(&orders(), Limit::BytesIn, 1024.0 * 1024.0);
        limits.set(&orders(), Limit::Retention, 86_400_000.0);
        limits.set(&function(), Limit::Timeout, 3_000.0);
        let all = [
            series(Kind::Stream, 1, orders(), &[0.63 * 60.0 * 1024.0 * 1024.0]),
            series(Kind::Stream, 4, orders(), &[1.0]),
            series(Kind::Stream, 6, orders(), &[5.0, 0.0, 6.0, 1_200.0]),
            series(Kind::Stream, 13, orders(), &[59_000.0]),
            series(Kind::Shard, 0, shard, &[55_200.0]),
            series(Kind::Function, 4, function(), &[2_900.0]),
            series(Kind::Function, 7, function(), &[2.0]),
        ];
        let range = TimeRange {
            start: 0,
            end: 600,
            period: 60,
        };
        let found = verdicts(&all, &limits, &range);
        let shown: Vec<String> = found.iter().map(|verdict| words(verdict, 60)).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        63 % of the write limit (bytes) in the busiest minute
        iterator age up to 59 s, 0.1 % of the retention
        1 entry of PutRecords failed in 1 minute
        1,211 writes throttled in 3 minutes
        shardId-000000000003: 92 % of the write limit (records) in the busiest minute
        longest duration up to 2.9 s, 97 % of the timeout
        2 failed batches not delivered in 1 minute
        ");
        let selection = Selection {
            queries: Vec::new(),
            limits,
            ..Selection::default()
        };
        let said = |series: Vec<Series>| line(&selection, &Reading { range, series });
        assert_eq!(
            said(all[..3].to_vec()).unwrap(),
            "1 entry of PutRecords failed in 1 minute; 1,211 writes throttled in 3 minutes"
        );
        assert_eq!(
            said(vec![all[0].clone(), all[3].clone()]).unwrap(),
            "63 % of the write limit (bytes) in the busiest minute"
        );
        let puts = series(Kind::Stream, 2, orders(), &[5.0]);
        assert_eq!(said(vec![puts]).unwrap(), "nothing refused, nothing failed");
        let idle = series(Kind::Queue, 0, Resource::Queue("failed".into()), &[0.0]);
        assert_eq!(said(vec![idle]), None);
    }

    #[test]
    fn periods_are_named() {
        assert_eq!(
            [60, 300, 3_600, 86_400].map(length),
            ["minute", "5m", "hour", "day"]
        );
        assert_eq!(
            [60, 180, 5_400, 7_200].map(span),
            ["1 minute", "3 minutes", "90 minutes", "2 hours"]
        );
        assert_eq!(
            [0.0, 0.01, 4.23, 63.4, 120.0].map(percent),
            ["0 %", "under 0.1 %", "4.2 %", "63 %", "120 %"]
        );
    }
}
