//! Settings of an event source mapping: their ranges, and the differences between two sets.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use ground::duration;
use ground::error::{Error, Result};

/// Settings of a mapping. `None` keeps the current value, or AWS's default.
// Values are unchecked until `Settings::check`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "MappingSettings")
)]
#[serde(default)]
pub struct Settings {
    /// Maximum number of records in a batch, 1 to 10,000. Default 100.
    pub batch_size: Option<i64>,
    /// Batching window, 0 to 300 s. Default 0.
    pub window_seconds: Option<i64>,
    /// Concurrent batches of one shard, 1 to 10. Default 1.
    pub parallelization: Option<i64>,
    /// Retries of a failed batch, 0 to 10,000; -1 means no limit. Default -1.
    pub retries: Option<i64>,
    /// Older records are discarded, 60 to 604,800 s; -1 means no limit. Default -1.
    pub max_record_age_seconds: Option<i64>,
    /// Whether a failed batch is split in two. Default false.
    pub bisect: Option<bool>,
    /// Whether the function reports failed records (`ReportBatchItemFailures`). Default false.
    pub partial_failures: Option<bool>,
    /// Tumbling window, 0 (none) to 900 s. Default 0.
    pub tumbling_window_seconds: Option<i64>,
    /// ARN of the queue, topic or bucket that receives discarded batches; empty for none.
    pub on_failure: Option<String>,
    /// Filter patterns that records must match; empty for all records.
    pub filters: Option<Vec<String>>,
    /// Default true.
    pub enabled: Option<bool>,
    /// Where reading starts.
    pub starting_position: Option<StartingPosition>,
}

/// Where a mapping starts to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum StartingPosition {
    /// Records that arrive after the mapping is created.
    Latest,
    /// The oldest record.
    TrimHorizon,
    /// Records that arrived at or after this time, in milliseconds since the Unix epoch.
    At(i64),
}

impl std::str::FromStr for StartingPosition {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim().to_ascii_lowercase().replace('_', "-").as_str() {
            "latest" => return Ok(Self::Latest),
            "trim" | "trim-horizon" => return Ok(Self::TrimHorizon),
            _ => {}
        }
        let time: Timestamp = text.trim().parse().map_err(|_| {
            format!(
                "{text:?} is not a valid starting position: use latest, trim or a time such as 2026-11-21T10:00:00Z"
            )
        })?;
        Ok(Self::At(time.as_millisecond()))
    }
}

impl std::fmt::Display for StartingPosition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Latest => f.write_str("latest"),
            Self::TrimHorizon => f.write_str("trim"),
            Self::At(ms) => match Timestamp::from_millisecond(*ms) {
                Ok(time) => write!(f, "{time}"),
                Err(_) => write!(f, "{ms}"),
            },
        }
    }
}

/// One setting that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "MappingDifference")
)]
pub struct Difference {
    /// Name of the field.
    pub setting: &'static str,
    /// The current value, as text.
    pub from: String,
    /// The desired value, as text.
    pub to: String,
}

/// Maximum number of filter patterns, with a raised quota. Source: "Lambda event filtering", Lambda developer guide.
const MAX_FILTERS: usize = 10;
/// Maximum length of a pattern in characters. Source: `Filter`, Lambda API reference.
const MAX_PATTERN: usize = 4096;

impl Settings {
    /// Checks every setting against AWS's ranges, and reports all invalid values in one error.
    ///
    /// # Errors
    /// Exit 2.
    pub fn check(&self) -> Result<()> {
        let faults = self.faults();
        if faults.is_empty() {
            return Ok(());
        }
        let what = match faults.len() {
            1 => faults.concat(),
            count => format!("{count} settings of the mapping are wrong: {}", faults.join("; ")),
        };
        Err(Error::usage(what).hint("`streamctl attach --help` shows the range of each setting"))
    }

    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let mut range =
            |name: &str, value: Option<i64>, (from, to): (i64, i64), no_limit: bool, show: Show| {
                let fine = |value: i64| (from..=to).contains(&value) || (no_limit && value == -1);
                if let Some(value) = value.filter(|value| !fine(*value)) {
                    let or = if no_limit { ", or -1 for no limit" } else { "" };
                    let [value, from, to] = [value, from, to].map(show);
                    faults.push(format!("{name} is {value}, not {from} to {to}{or}"));
                }
            };
        let (age, tumbling) = (self.max_record_age_seconds, self.tumbling_window_seconds);
        range("the batch size", self.batch_size, (1, 10_000), false, number);
        range("the window", self.window_seconds, (0, 300), false, length);
        range(
            "the parallelization",
            self.parallelization,
            (1, 10),
            false,
            number,
        );
        range("the number of retries", self.retries, (0, 10_000), true, number);
        range("the record age", age, (60, 604_800), true, length);
        range("the tumbling window", tumbling, (0, 900), false, length);
        if let Some(arn) = self.on_failure.as_deref().filter(|arn| !arn.is_empty())
            && !is_destination(arn)
        {
            faults.push(format!(
                "the on-failure destination {arn:?} is not the ARN of a queue, topic or bucket"
            ));
        }
        if tumbling.is_some_and(|seconds| seconds > 0) && self.parallelization.is_some_and(|lanes| lanes > 1)
        {
            faults.push("a tumbling window needs a parallelization of 1".to_owned());
        }
        let filters = self.filters.as_deref().unwrap_or_default();
        if filters.len() > MAX_FILTERS {
            faults.push(format!(
                "{} filters are too many: {MAX_FILTERS} at most",
                filters.len()
            ));
        }
        faults.extend(filters.iter().filter_map(|pattern| filter_fault(pattern)));
        faults
    }

    /// Settings of `there` that differ from the desired ones. The starting position is left out: AWS cannot change it.
    pub fn differences(&self, there: &Self) -> Vec<Difference> {
        let mut differences = Vec::new();
        for ((setting, wanted), (_, found)) in self.in_words().into_iter().zip(there.in_words()) {
            let (Some(wanted), found) = (wanted, found.unwrap_or_default()) else {
                continue;
            };
            if setting != "starting_position" && wanted != found {
                differences.push(Difference {
                    setting,
                    from: found,
                    to: wanted,
                });
            }
        }
        differences
    }

    /// The current and the desired starting position, if they differ.
    pub fn other_start(&self, there: &Self) -> Option<(StartingPosition, StartingPosition)> {
        let (wanted, found) = (self.starting_position?, there.starting_position?);
        // AWS stores whole seconds.
        let same = match (wanted, found) {
            (StartingPosition::At(one), StartingPosition::At(other)) => one / 1000 == other / 1000,
            _ => wanted == found,
        };
        (!same).then_some((found, wanted))
    }

    /// Keeps only the settings whose field names `keep` accepts.
    #[must_use]
    pub fn only(mut self, keep: impl Fn(&str) -> bool) -> Self {
        macro_rules! drop_others {
            ($($field:ident),*) => { $(if !keep(stringify!($field)) { self.$field = None; })* };
        }
        drop_others!(
            batch_size,
            window_seconds,
            parallelization,
            retries,
            max_record_age_seconds,
            bisect,
            partial_failures,
            tumbling_window_seconds,
            on_failure,
            filters,
            enabled,
            starting_position
        );
        self
    }

    /// Name and value of each setting as text, in display order.
    pub fn in_words(&self) -> Vec<(&'static str, Option<String>)> {
        let flag = |value: Option<bool>| value.map(|value| if value { "yes" } else { "no" }.to_owned());
        let limit = |value: Option<i64>, show: Show| {
            value.map(|value| {
                if value == -1 {
                    "no limit".to_owned()
                } else {
                    show(value)
                }
            })
        };
        vec![
            ("batch_size", self.batch_size.map(number)),
            ("window_seconds", self.window_seconds.map(length)),
            ("parallelization", self.parallelization.map(number)),
            ("retries", limit(self.retries, number)),
            (
                "max_record_age_seconds",
                limit(self.max_record_age_seconds, length),
            ),
            ("bisect", flag(self.bisect)),
            ("partial_failures", flag(self.partial_failures)),
            (
                "tumbling_window_seconds",
                self.tumbling_window_seconds.map(|seconds| match seconds {
                    0 => "none".to_owned(),
                    seconds => length(seconds),
                }),
            ),
            ("on_failure", self.on_failure.as_deref().map(none_if_empty)),
            (
                "filters",
                self.filters.as_ref().map(|list| none_if_empty(&list.join("  "))),
            ),
            ("enabled", flag(self.enabled)),
            (
                "starting_position",
                self.starting_position.map(|start| start.to_string()),
            ),
        ]
    }
}

fn none_if_empty(text: &str) -> String {
    if text.is_empty() { "none" } else { text }.to_owned()
}

/// Formats a number for display.
type Show = fn(i64) -> String;

fn number(value: i64) -> String {
    value.to_string()
}

fn length(seconds: i64) -> String {
    duration::format(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn is_destination(arn: &str) -> bool {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    matches!(parts.as_slice(), ["arn", _, "sqs" | "sns" | "s3", _, _, name] if !name.is_empty())
}

fn filter_fault(pattern: &str) -> Option<String> {
    let shown: String = pattern.chars().take(60).collect();
    if pattern.chars().count() > MAX_PATTERN {
        return Some(format!(
            "the filter {shown}… has more than {MAX_PATTERN} characters"
        ));
    }
    match serde_json::from_str::<serde_json::Value>(pattern) {
        Ok(serde_json::Value::Object(_)) => None,
        Ok(_) => Some(format!("the filter {shown} is not a JSON object")),
        Err(error) => Some(format!("the filter {shown} is not JSON ({error})")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_value_is_named_at_once() {
        let settings = Settings {
            batch_size: Some(10_001),
            window_seconds: Some(301),
            parallelization: Some(0),
            retries: Some(-2),
            max_record_age_seconds: Some(59),
            tumbling_window_seconds: Some(901),
            on_failure: Some("orders".to_owned()),
            filters: Some(vec!["[]".to_owned(), "{".to_owned()]),
            ..Settings::default()
        };
        let error = settings.check().unwrap_err();
        assert_eq!(error.exit(), ground::exit::Exit::Usage);
        insta::assert_snapshot!(error.to_string().replace("; ", "\n").replace(": the", "\nthe"), @r#"
        9 settings of the mapping are wrong
        the batch size is 10001, not 1 to 10000
        the window is 5m1s, not 0s to 5m
        the parallelization is 0, not 1 to 10
        the number of retries is -2, not 0 to 10000, or -1 for no limit
        the record age is 59s, not 1m to 7d, or -1 for no limit
        the tumbling window is 15m1s, not 0s to 15m
        the on-failure destination "orders" is not the ARN of a queue, topic or bucket
        the filter [] is not a JSON object
        the filter { is not JSON (EOF while parsing an object at line 1 column 1)
        "#);
    }

    #[test]
    fn the_ends_of_every_range_are_fine() {
        for (low, high) in [(true, false), (false, true)] {
            let pick = |one: i64, other: i64| Some(if low && !high { one } else { other });
            let settings = Settings {
                batch_size: pick(1, 10_000),
                window_seconds: pick(0, 300),
                // A tumbling window allows no parallel batches.
                parallelization: pick(10, 1),
                retries: pick(-1, 10_000),
                max_record_age_seconds: pick(-1, 604_800),
                tumbling_window_seconds: pick(0, 900),
                on_failure: Some("arn:aws:sqs:us-east-1:000000000000:failed".to_owned()),
                filters: Some(vec![r#"{"data":{"kind":["sale"]}}"#.to_owned()]),
                ..Settings::default()
            };
            assert!(settings.check().is_ok());
            let both = Settings {
                parallelization: Some(2),
                tumbling_window_seconds: Some(1),
                ..settings
            };
            let error = both.check().unwrap_err().to_string();
            assert_eq!(error, "a tumbling window needs a parallelization of 1");
        }
        let bucket = Settings {
            on_failure: Some("arn:aws:s3:::failed".to_owned()),
            ..Settings::default()
        };
        assert!(bucket.check().is_ok());
    }

    #[test]
    fn only_what_is_asked_for_changes() {
        let there = Settings {
            batch_size: Some(100),
            retries: Some(-1),
            on_failure: Some("arn:aws:sqs:us-east-1:000000000000:failed".to_owned()),
            filters: Some(Vec::new()),
            starting_position: Some(StartingPosition::Latest),
            ..Settings::default()
        };
        let wanted = Settings {
            batch_size: Some(100),
            retries: Some(3),
            on_failure: Some(String::new()),
            starting_position: Some(StartingPosition::TrimHorizon),
            ..Settings::default()
        };
        let lines: Vec<String> = wanted
            .differences(&there)
            .iter()
            .map(|one| format!("{}: {} → {}", one.setting, one.from, one.to))
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        retries: no limit → 3
        on_failure: arn:aws:sqs:us-east-1:000000000000:failed → none
        ");
        let (found, asked) = wanted.other_start(&there).unwrap();
        assert_eq!(
            (found.to_string(), asked.to_string()),
            ("latest".into(), "trim".into())
        );
        assert_eq!(there.differences(&there), []);
    }

    #[test]
    fn positions_are_read_and_written() {
        assert_eq!("LATEST".parse(), Ok(StartingPosition::Latest));
        assert_eq!("TRIM_HORIZON".parse(), Ok(StartingPosition::TrimHorizon));
        let at: StartingPosition = "2026-11-21T10:00:00Z".parse().unwrap();
        assert_eq!(at.to_string(), "2026-11-21T10:00:00Z");
        assert!("tomorrow".parse::<StartingPosition>().is_err());
    }
}
