//! A mapping's settings as flags.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::Value;

use crate::cli::shared::duration::{SECONDS, seconds};
use domain::context::Context;
use domain::functions::mapping::{self, Settings, StartingPosition};
use ground::error::{Error, Result};

/// Settings of a mapping. A setting that is not given does not change; a new mapping takes AWS's default.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Settings")]
pub(super) struct SettingArgs {
    /// Maximum number of records in a batch: 1 to 10000 [AWS: 100]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    batch_size: Option<i64>,
    /// How long to gather records for a batch: 0s to 5m [AWS: 0s]
    #[arg(long, value_name = "TIME", value_parser = seconds::<i64>(SECONDS))]
    window: Option<i64>,
    /// Concurrent batches of one shard: 1 to 10 [AWS: 1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    parallelization: Option<i64>,
    /// Retries of a failed batch: 0 to 10000, -1 for no limit [AWS: -1]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    retries: Option<i64>,
    /// Discard records older than this: 1m to 7d, -1 for no limit [AWS: -1]
    #[arg(long, value_name = "TIME", value_parser = age, allow_negative_numbers = true)]
    max_record_age: Option<i64>,
    /// Split a failed batch in two
    #[arg(long, overrides_with = "no_bisect")]
    bisect: bool,
    /// Do not split a failed batch
    #[arg(long)]
    no_bisect: bool,
    /// Read the function's response as a report of failed records
    #[arg(long, overrides_with = "no_partial_failures")]
    partial_failures: bool,
    /// Treat any response of the function as a success
    #[arg(long)]
    no_partial_failures: bool,
    /// Length of a tumbling window: 0s (none) to 15m
    #[arg(long, value_name = "TIME", value_parser = seconds::<i64>(SECONDS))]
    tumbling_window: Option<i64>,
    /// Where a new mapping begins: latest, trim or a time such as 2026-11-21T10:00:00Z [default: latest]
    #[arg(long, value_name = "POSITION", value_parser = start)]
    from: Option<StartingPosition>,
    /// Destination of discarded batches: an ARN, queue:NAME, topic:NAME, bucket:NAME or none
    #[arg(long, value_name = "DESTINATION")]
    on_failure: Option<String>,
    /// Only records that match this pattern (repeatable); `none` removes all filters
    #[arg(long, value_name = "JSON")]
    filter: Vec<String>,
    /// Disable the mapping
    #[arg(long, overrides_with = "enabled")]
    disabled: bool,
    /// Enable the mapping
    #[arg(long)]
    enabled: bool,
}

impl SettingArgs {
    /// The settings. Their ranges are not checked.
    ///
    /// # Errors
    /// Exit 2 for a destination that makes no sense.
    pub(super) async fn settings(&self, context: &Context) -> Result<Settings> {
        let mut settings = self.without_destination();
        if let Some(text) = &self.on_failure {
            settings.on_failure = Some(destination(context, text).await?);
        }
        Ok(settings)
    }

    /// Checks what can be checked without a call.
    ///
    /// # Errors
    /// Exit 2 with every bad value at once.
    pub(super) fn check(&self) -> Result<()> {
        self.without_destination().check()
    }

    /// The flags that are given and that only Lambda supports, not `--local`.
    pub(super) fn unsupported_here(&self) -> Vec<&'static str> {
        [
            ("--parallelization", self.parallelization.is_some()),
            ("--tumbling-window", self.tumbling_window.is_some()),
            ("--filter", !self.filter.is_empty()),
            ("--on-failure", self.on_failure.is_some()),
            ("--disabled", self.disabled),
        ]
        .into_iter()
        .filter_map(|(flag, named)| named.then_some(flag))
        .collect()
    }

    pub(super) fn without_destination(&self) -> Settings {
        let flag = |yes: bool, no: bool| match (yes, no) {
            (true, _) => Some(true),
            (_, true) => Some(false),
            _ => None,
        };
        Settings {
            batch_size: self.batch_size,
            window_seconds: self.window,
            parallelization: self.parallelization,
            retries: self.retries,
            max_record_age_seconds: self.max_record_age,
            bisect: flag(self.bisect, self.no_bisect),
            partial_failures: flag(self.partial_failures, self.no_partial_failures),
            tumbling_window_seconds: self.tumbling_window,
            on_failure: None,
            filters: match self.filter.as_slice() {
                [] => None,
                [none] if none == "none" => Some(Vec::new()),
                filters => Some(filters.to_vec()),
            },
            enabled: flag(self.enabled, self.disabled),
            starting_position: self.from,
        }
    }
}

/// Settings as properties of a resource of the kind `event_source_mapping`.
///
/// # Errors
/// When they cannot be serialised, which does not happen.
pub(super) fn properties(settings: &Settings) -> Result<BTreeMap<String, Value>> {
    let value = serde_json::to_value(settings)
        .map_err(|error| Error::failed("could not write the settings").cause(error))?;
    let mut properties: BTreeMap<String, Value> = value
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Some(start) = settings.starting_position {
        properties.insert("starting_position".to_owned(), start.to_string().into());
    }
    Ok(properties)
}

/// The ARN of a destination that is there; empty for `none`.
async fn destination(context: &Context, text: &str) -> Result<String> {
    let arn = destination_arn(context, text).await?;
    mapping::check_destination(context, &arn).await?;
    Ok(arn)
}

async fn destination_arn(context: &Context, text: &str) -> Result<String> {
    if text == "none" || text.starts_with("arn:") {
        return Ok(text.trim_start_matches("none").to_owned());
    }
    let (partition, region) = (context.partition(), context.region());
    match text.split_once(':').filter(|(_, name)| !name.is_empty()) {
        Some(("queue", name)) => Ok(format!(
            "arn:{partition}:sqs:{region}:{}:{name}",
            context.account().await?
        )),
        Some(("topic", name)) => Ok(format!(
            "arn:{partition}:sns:{region}:{}:{name}",
            context.account().await?
        )),
        Some(("bucket", name)) => Ok(format!("arn:{partition}:s3:::{name}")),
        _ => Err(Error::usage(format!("{text:?} is not a valid destination"))
            .hint("use queue:NAME, topic:NAME, bucket:NAME, an ARN, or none")),
    }
}

fn start(text: &str) -> Result<StartingPosition, String> {
    text.parse()
}

/// In seconds; -1 for no limit.
fn age(text: &str) -> Result<i64, String> {
    if text.trim() == "-1" {
        return Ok(-1);
    }
    seconds(SECONDS)(text).map_err(|error| format!("{error}, or -1 for no limit"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        settings: SettingArgs,
    }

    fn parse(line: &str) -> SettingArgs {
        Line::try_parse_from(line.split(' ')).unwrap().settings
    }

    #[test]
    fn flags_become_settings_and_properties() {
        let args = parse(
            "x --batch-size 500 --window 5s --retries -1 --max-record-age 1h --bisect --no-partial-failures \
             --from trim --filter none --disabled",
        );
        let properties = properties(&args.without_destination()).unwrap();
        insta::assert_snapshot!(serde_json::to_string(&properties).unwrap(), @r#"{"batch_size":500,"bisect":true,"enabled":false,"filters":[],"max_record_age_seconds":3600,"partial_failures":false,"retries":-1,"starting_position":"trim","window_seconds":5}"#);
        assert!(args.check().is_ok());
        assert!(parse("x --batch-size 0").check().is_err());
    }

    #[test]
    fn the_last_of_two_opposite_flags_counts() {
        assert_eq!(
            parse("x --bisect --no-bisect --bisect")
                .without_destination()
                .bisect,
            Some(true)
        );
        assert_eq!(parse("x").without_destination(), Settings::default());
    }

    #[test]
    fn an_age_may_be_without_limit() {
        assert_eq!(
            ["90", "1h30m", "-1"].map(|text| age(text).unwrap()),
            [90, 5_400, -1]
        );
        assert!(age("-2").is_err() && age("-1s").is_err());
    }
}
