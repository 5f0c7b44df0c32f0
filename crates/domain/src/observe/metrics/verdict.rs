//! How much of each limit is used, and what went wrong: decisions from figures alone.

use super::{Among, Limit, Limits, Point, Resource, Series, Spec, TimeRange, Trouble};

/// Shares of a rate or of the timeout from which a limit is near, and reached.
const NEAR: f64 = 0.8;
const REACHED: f64 = 1.0;
/// Shares of a retention from which records are in danger, and nearly lost.
const OLD: f64 = 0.25;
const NEARLY_LOST: f64 = 0.75;
/// Share of refusals from which they are more than a delay.
const MUCH: f64 = 0.01;

/// How much of a limit the busiest period used.
#[derive(Debug, Clone, PartialEq)]
pub struct Usage {
    pub resource: Resource,
    pub spec: Spec,
    pub limit: Limit,
    /// In the unit of the metric; per second if the limit is a rate.
    pub peak: f64,
    /// The limit in the same unit.
    pub of: f64,
    /// Start of the busiest period, in seconds since the epoch.
    pub at: i64,
}

impl Usage {
    /// 1 is the limit.
    pub fn share(&self) -> f64 {
        self.peak / self.of
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Good,
    Caution,
    Bad,
}

impl Severity {
    pub fn word(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Caution => "caution",
            Self::Bad => "bad",
        }
    }
}

/// Why a verdict is what it is.
#[derive(Debug, Clone, PartialEq)]
pub enum Cause {
    /// The busiest period used this much of a limit.
    Used(Usage),
    /// Something was refused or failed.
    Happened {
        trouble: Trouble,
        count: f64,
        /// Of all that was tried, 0 to 1; `None` if that is not known.
        share: Option<f64>,
        /// Periods in which it happened, together in seconds.
        seconds: i64,
    },
}

/// What the figures say about one resource.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    pub resource: Resource,
    pub severity: Severity,
    pub cause: Cause,
}

/// The use of each limit that is known, in the order of `series`.
pub fn usages(series: &[Series], limits: &Limits, range: &TimeRange) -> Vec<Usage> {
    series
        .iter()
        .filter_map(|series| usage(series, limits, range))
        .collect()
}

fn usage(series: &Series, limits: &Limits, range: &TimeRange) -> Option<Usage> {
    let limit = series.spec.limit?;
    let of = limits.of(&series.resource, limit).filter(|of| *of > 0.0)?;
    let busiest: &Point = series.points.iter().max_by(|a, b| a.value.total_cmp(&b.value))?;
    let peak = match limit.is_rate() {
        true => busiest.value / range.period_seconds(),
        false => busiest.value,
    };
    Some(Usage {
        resource: series.resource.clone(),
        spec: series.spec.clone(),
        limit,
        peak,
        of,
        at: busiest.at,
    })
}

/// The verdicts on `series`: for each resource how much of each limit is used, then what went wrong. Of the shards of a
/// stream, only the busiest has a verdict for each limit. Of limits that are one in words, such as the records and the bytes of
/// writes, the nearer one counts.
pub fn verdicts(series: &[Series], limits: &Limits, range: &TimeRange) -> Vec<Verdict> {
    let used = usages(series, limits, range);
    let mut found = Vec::new();
    for (index, first) in series.iter().enumerate() {
        let group = group(&first.resource);
        if series[..index]
            .iter()
            .any(|earlier| self::group(&earlier.resource) == group)
        {
            continue;
        }
        let mut nearest: Vec<&Usage> = Vec::new();
        for usage in used.iter().filter(|usage| self::group(&usage.resource) == group) {
            match nearest
                .iter_mut()
                .find(|known| known.limit.words() == usage.limit.words())
            {
                Some(known) if usage.share() > known.share() => *known = usage,
                Some(_) => {}
                None => nearest.push(usage),
            }
        }
        let used_at_all = nearest.into_iter().filter(|usage| usage.peak > 0.0);
        found.extend(used_at_all.map(judge));
        // The shards' refusals are those of their stream.
        if first.resource.shard().is_none() {
            let own = series.iter().filter(|series| series.resource == first.resource);
            let own: Vec<&Series> = own.collect();
            found.extend(own.iter().filter_map(|series| happened(series, &own, range)));
        }
    }
    found
}

/// What verdicts are made for.
#[derive(PartialEq)]
enum Group<'r> {
    Of(&'r Resource),
    /// All shards of a stream.
    Shards(&'r str),
}

fn group(resource: &Resource) -> Group<'_> {
    match resource {
        Resource::Shard { stream, .. } => Group::Shards(stream),
        resource => Group::Of(resource),
    }
}

fn judge(usage: &Usage) -> Verdict {
    let (caution, bad) = match usage.limit {
        Limit::Retention | Limit::MessageRetention => (OLD, NEARLY_LOST),
        _ => (NEAR, REACHED),
    };
    let severity = match usage.share() {
        share if share >= bad => Severity::Bad,
        share if share >= caution => Severity::Caution,
        _ => Severity::Good,
    };
    Verdict {
        resource: usage.resource.clone(),
        severity,
        cause: Cause::Used(usage.clone()),
    }
}

/// `own` are all series of the resource.
fn happened(series: &Series, own: &[&Series], range: &TimeRange) -> Option<Verdict> {
    let trouble = series.spec.trouble?;
    let count = series.figure().filter(|count| *count > 0.0)?;
    let share = trouble.among.and_then(|among| {
        let name = match among {
            Among::Accepted(name) | Among::All(name) => name,
        };
        let tried = own.iter().find(|series| series.spec.name == name)?.figure()?;
        let all = match among {
            Among::Accepted(_) => tried + count,
            Among::All(_) => tried,
        };
        (all > 0.0).then(|| (count / all).min(1.0))
    });
    let periods = series.points.iter().filter(|point| point.value > 0.0).count();
    Some(Verdict {
        resource: series.resource.clone(),
        severity: match trouble.is_failure || share.is_some_and(|share| share >= MUCH) {
            true => Severity::Bad,
            false => Severity::Caution,
        },
        cause: Cause::Happened {
            trouble,
            count,
            share,
            seconds: i64::try_from(periods).unwrap_or(0).saturating_mul(range.period),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::test_support::{of_stream, series};
    use super::*;

    const RANGE: TimeRange = TimeRange {
        start: 0,
        end: 600,
        period: 60,
    };

    fn orders() -> Resource {
        Resource::Stream("orders".into())
    }

    fn limits() -> Limits {
        let mut limits = Limits::default();
        limits.set(&orders(), Limit::RecordsIn, 2_000.0);
        limits.set(&orders(), Limit::BytesIn, 2.0 * 1024.0 * 1024.0);
        limits.set(&orders(), Limit::Retention, 86_400_000.0);
        limits
    }

    fn shown(verdicts: &[Verdict]) -> Vec<String> {
        let line = |verdict: &Verdict| {
            let what = match &verdict.cause {
                Cause::Used(usage) => {
                    format!(
                        "{:.1}% of {} ({})",
                        usage.share() * 100.0,
                        usage.limit.words(),
                        usage.spec.name
                    )
                }
                Cause::Happened {
                    trouble,
                    count,
                    seconds,
                    ..
                } => {
                    format!("{count} {} {} in {seconds}s", trouble.noun, trouble.verb)
                }
            };
            format!("{} {}: {what}", verdict.resource.name(), verdict.severity.word())
        };
        verdicts.iter().map(line).collect()
    }

    #[test]
    fn the_nearer_limit_of_the_busiest_period_counts() {
        let all = [
            of_stream("IncomingRecords", &[(0, 6_000.0), (60, 60_000.0)]),
            of_stream("IncomingBytes", &[(0, 60.0 * 1.26 * 1024.0 * 1024.0)]),
            of_stream(
                "WriteProvisionedThroughputExceeded",
                &[(0, 0.0), (60, 8.0), (180, 4.0)],
            ),
            of_stream("GetRecords.Bytes", &[(0, 9e9)]),
            of_stream(
                "GetRecords.IteratorAgeMilliseconds",
                &[(0, 0.0), (60, 43_200_000.0)],
            ),
        ];
        assert_eq!(
            shown(&verdicts(&all, &limits(), &RANGE)),
            [
                "orders good: 63.0% of the write limit (IncomingBytes)",
                "orders caution: 50.0% of the retention (GetRecords.IteratorAgeMilliseconds)",
                "orders caution: 12 write throttled in 120s",
            ]
        );
        let used = usages(&all, &limits(), &RANGE);
        assert_eq!((used[0].peak, used[0].of, used[0].at), (1_000.0, 2_000.0, 60));
        let throttled = verdicts(&all, &limits(), &RANGE).pop();
        let share = match throttled.map(|verdict| verdict.cause) {
            Some(Cause::Happened { share, .. }) => share,
            _ => None,
        };
        assert_eq!(share, Some(12.0 / 66_012.0));
    }

    #[test]
    fn of_shards_the_busiest_has_a_verdict() {
        let shard = |number: u32, records: f64| {
            let resource = Resource::Shard {
                stream: "orders".into(),
                shard: format!("shardId-{number}"),
            };
            series(resource, "IncomingRecords", &[(0, records * 60.0)])
        };
        let all = [
            of_stream("IncomingBytes", &[]),
            shard(0, 100.0),
            shard(1, 1_000.0),
            shard(2, 5.0),
        ];
        assert_eq!(
            shown(&verdicts(&all, &Limits::default(), &RANGE)),
            ["shardId-1 bad: 100.0% of the write limit (IncomingRecords)"]
        );
    }

    #[test]
    fn without_data_there_is_no_verdict() {
        let all = [
            of_stream("IncomingRecords", &[]),
            of_stream("PutRecords.FailedRecords", &[(0, 0.0)]),
        ];
        assert_eq!(verdicts(&all, &limits(), &RANGE), []);
        assert_eq!(usages(&[], &limits(), &RANGE), []);
    }

    #[test]
    fn a_failure_is_worse_than_a_delay() {
        let function = Resource::Function("scorer".into());
        let mut limits = Limits::default();
        limits.set(&function, Limit::Timeout, 3_000.0);
        let mut longest = series(function.clone(), "Duration", &[(0, 3_000.0)]);
        longest.spec = super::super::specs(super::super::Kind::Function)[4].clone();
        let all = [
            series(function.clone(), "Errors", &[(0, 1.0)]),
            series(function.clone(), "Throttles", &[(0, 3.0)]),
            series(function, "Invocations", &[(0, 1_000.0)]),
            longest,
        ];
        assert_eq!(
            shown(&verdicts(&all, &limits, &RANGE)),
            [
                "scorer bad: 100.0% of the timeout (Duration)",
                "scorer bad: 1 invocation failed in 60s",
                "scorer caution: 3 invocation throttled in 60s",
            ]
        );
    }

    proptest::proptest! {
        #[test]
        fn the_share_is_never_above_that_of_any_period(values in proptest::collection::vec(0.0f64..1e9, 1..50)) {
            let points: Vec<(i64, f64)> = (0..).map(|at| at * 60).zip(values.iter().copied()).collect();
            let all = [of_stream("IncomingRecords", &points)];
            let used = usages(&all, &limits(), &RANGE);
            let most = values.iter().copied().fold(0.0, f64::max);
            proptest::prop_assert!((used[0].peak - most / 60.0).abs() < 1e-6);
        }
    }
}
