//! Dynamic partitioning: which properties declare it, their checks, and what Firehose can change of it.
//!
//! Source: "Partition streaming data", Amazon Data Firehose developer guide. Firehose compares the keys of the query with those of
//! the prefix, so both are always set together.

use std::collections::BTreeSet;

use aws_sdk_firehose::types as sdk;
use partition_query::{Fault, Query};
use serde::{Deserialize, Serialize};

use super::super::common::{built, is_known};
use super::super::kind::Existing;
use super::wanted::parameter;
use super::{Facts, Hose, shown};
use crate::pipeline::resource::Change;
use ground::error::Result;

/// The smallest buffer. Source: "Buffer data for dynamic partitioning", developer guide, and the words of CreateDeliveryStream.
pub(super) const LEAST_MB: u32 = 64;
const LEAST_SECONDS: u32 = 60;
/// Source: `RetryOptions`, Amazon Data Firehose API reference.
const MOST_RETRY_SECONDS: u32 = 7_200;
const RETRY_SECONDS: u32 = 300;
/// How a prefix names keys.
const FROM_QUERY: &str = "!{partitionKeyFromQuery:";
const FROM_FUNCTION: &str = "!{partitionKeyFromLambda:";

/// Which records are in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Deaggregate {
    None,
    /// JSON objects, one after another.
    Json,
}

impl Deaggregate {
    /// As `SubRecordType` names it.
    const fn word(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Json => Some("JSON"),
        }
    }
}

/// The names of the keys that a prefix takes from the query.
fn names(prefix: &str) -> BTreeSet<&str> {
    let after = prefix.split(FROM_QUERY).skip(1);
    after
        .filter_map(|rest| rest.split_once('}'))
        .map(|(name, _)| name)
        .collect()
}

impl Hose<'_> {
    fn prefix(&self) -> &str {
        self.declared.prefix.as_deref().unwrap_or_default()
    }

    /// Whether dynamic partitioning is declared: Firehose needs a prefix with partition keys.
    pub(super) fn is_partitioned(&self) -> bool {
        self.declared.partition_keys.is_some()
            || self.prefix().contains(FROM_QUERY)
            || self.prefix().contains(FROM_FUNCTION)
    }

    /// The query of the partition keys. `None` without keys.
    pub(super) fn query(&self) -> Option<String> {
        let keys = self
            .declared
            .partition_keys
            .as_ref()
            .filter(|keys| !keys.is_empty())?;
        let entry = |(name, expression): (&String, &String)| {
            let name = serde_json::Value::from(name.as_str());
            // A value with operators needs parentheses, which others need not have.
            let plain = format!("{name}:{expression}");
            match Query::parse(&format!("{{{plain}}}")) {
                Ok(_) => plain,
                Err(_) => format!("{name}:({expression})"),
            }
        };
        let entries: Vec<String> = keys.iter().map(entry).collect();
        Some(format!("{{{}}}", entries.join(",")))
    }

    pub(super) fn check_partitioning(&self, (mb, seconds): (u32, u32)) -> Result<()> {
        if !self.is_partitioned() {
            return self.check_unpartitioned();
        }
        self.check_keys()?;
        let declared = &self.declared;
        let refused = |text: String| Err(self.bad_property(&text));
        if mb < LEAST_MB || seconds < LEAST_SECONDS {
            return refused(format!(
                "partition_keys need buffer_mb of at least {LEAST_MB} and buffer_seconds of at least {LEAST_SECONDS}"
            ));
        }
        match declared.partition_retry_seconds {
            Some(seconds) if seconds > MOST_RETRY_SECONDS => refused(format!(
                "partition_retry_seconds must be from 0 to {MOST_RETRY_SECONDS}, not {seconds}"
            )),
            _ => Ok(()),
        }
    }

    fn check_unpartitioned(&self) -> Result<()> {
        let declared = &self.declared;
        let deaggregates = declared.deaggregate.is_some_and(|one| one != Deaggregate::None);
        let given = [
            (
                "partition_retry_seconds",
                declared.partition_retry_seconds.is_some(),
            ),
            ("deaggregate", deaggregates),
        ];
        match given.into_iter().find(|(_, is_given)| *is_given) {
            Some((name, _)) => Err(self.bad_property(&format!("{name} needs partition_keys"))),
            None => Ok(()),
        }
    }

    /// The keys of the query and of the function, and those of the prefix.
    fn check_keys(&self) -> Result<()> {
        let declared = &self.declared;
        let refused = |text: String| Err(self.bad_property(&text));
        for (name, expression) in declared.partition_keys.iter().flatten() {
            if name.is_empty() || name.contains(['{', '}', ':']) {
                return refused(format!("partition_keys cannot have the name {name:?}"));
            }
            let query = format!("{{\"key\":({expression})}}");
            // Firehose may take what is not offered here.
            if let Err(Fault::Invalid(fault)) = Query::parse(&query) {
                return refused(format!(
                    "partition_keys.{name} is not a jq expression that Firehose takes, {expression:?}: {fault}"
                ));
            }
        }
        if let Some(query) = self.query()
            && let Err(Fault::Invalid(fault)) = Query::parse(&query)
        {
            return refused(format!("partition_keys are not valid together: {fault}"));
        }
        let of_query: BTreeSet<&str> = declared
            .partition_keys
            .iter()
            .flatten()
            .map(|(name, _)| name.as_str())
            .collect();
        let of_prefix = names(self.prefix());
        if let Some(name) = of_query.difference(&of_prefix).next() {
            return refused(format!(
                "prefix must have {FROM_QUERY}{name}}}, since partition_keys has {name}"
            ));
        }
        if let Some(name) = of_prefix.difference(&of_query).next() {
            return refused(format!(
                "partition_keys must have {name}, since prefix has {FROM_QUERY}{name}}}"
            ));
        }
        let has_function = declared.transform.as_deref().is_some_and(|arn| !arn.is_empty());
        if self.prefix().contains(FROM_FUNCTION) && !has_function {
            return refused("a prefix with partitionKeyFromLambda needs transform".to_owned());
        }
        if of_query.is_empty() && !self.prefix().contains(FROM_FUNCTION) {
            return refused("partition_keys must have a key".to_owned());
        }
        Ok(())
    }

    /// Firehose enables dynamic partitioning at creation only, and never disables it.
    pub(super) fn partitioning_refused(&self, facts: &Facts) -> Option<Change> {
        let wanted = self.is_partitioned();
        let is_decided = wanted
            || self
                .declared
                .prefix
                .as_ref()
                .is_some_and(|prefix| is_known(prefix));
        let (reason, is_refused) = match wanted {
            true => (
                "has no dynamic partitioning, which Firehose enables at creation only",
                !facts.partitioned,
            ),
            false => (
                "has dynamic partitioning, which Firehose cannot disable",
                facts.partitioned && is_decided,
            ),
        };
        is_refused.then(|| Change::Refused {
            reason: reason.to_owned(),
            hint: "choose another name, or destroy the pipeline first".to_owned(),
        })
    }

    pub(super) fn partitioning_changes(&self, existing: &Existing<'_, Facts>) -> Vec<Change> {
        let (declared, facts) = (&self.declared, &existing.facts);
        if !self.is_partitioned() {
            return Vec::new();
        }
        let mut changes = Vec::new();
        let query = self.query().filter(|query| is_known(query));
        if let Some(query) = query.filter(|_| self.enforced("partition_keys", existing))
            && facts.query.as_ref() != Some(&query)
        {
            let there = facts.query.as_deref().unwrap_or_default();
            changes.push(Change::update("partition keys", shown(there), query));
        }
        if let Some(wanted) = declared
            .deaggregate
            .filter(|_| self.enforced("deaggregate", existing))
            && wanted.word() != facts.deaggregate.as_deref()
        {
            let there = facts.deaggregate.as_deref().unwrap_or_default();
            changes.push(Change::update(
                "deaggregation",
                shown(there),
                wanted.word().unwrap_or("none"),
            ));
        }
        if let Some(seconds) = declared
            .partition_retry_seconds
            .filter(|_| self.enforced("partition_retry_seconds", existing))
            && seconds != facts.retry_seconds
        {
            let words = |seconds: u32| format!("{seconds} s");
            changes.push(Change::update(
                "partition retries",
                words(facts.retry_seconds),
                words(seconds),
            ));
        }
        changes
    }

    /// `None` without dynamic partitioning.
    pub(super) fn partitioning(
        &self,
        there: Option<&Facts>,
    ) -> Option<sdk::DynamicPartitioningConfiguration> {
        if !self.is_partitioned() {
            return None;
        }
        let default = there.map_or(RETRY_SECONDS, |there| there.retry_seconds);
        let seconds = self.declared.partition_retry_seconds.unwrap_or(default);
        let retries =
            sdk::RetryOptions::builder().duration_in_seconds(i32::try_from(seconds).unwrap_or(i32::MAX));
        let configuration = sdk::DynamicPartitioningConfiguration::builder().enabled(true);
        Some(configuration.retry_options(retries.build()).build())
    }

    /// The processor that takes records out of records, and the one that takes keys out of records.
    pub(super) fn partition_processors(&self) -> Result<(Option<sdk::Processor>, Option<sdk::Processor>)> {
        let made = |kind: sdk::ProcessorType, parameters: Vec<sdk::ProcessorParameter>| {
            built(
                sdk::Processor::builder()
                    .r#type(kind)
                    .set_parameters(Some(parameters))
                    .build(),
            )
        };
        let deaggregation = match self.declared.deaggregate.and_then(Deaggregate::word) {
            Some(word) => Some(made(
                sdk::ProcessorType::RecordDeAggregation,
                vec![parameter(sdk::ProcessorParameterName::SubRecordType, word)?],
            )?),
            None => None,
        };
        let extraction = match self.query() {
            Some(query) => Some(made(
                sdk::ProcessorType::MetadataExtraction,
                vec![
                    parameter(sdk::ProcessorParameterName::MetadataExtractionQuery, &query)?,
                    parameter(sdk::ProcessorParameterName::JsonParsingEngine, "JQ-1.6")?,
                ],
            )?),
            None => None,
        };
        Ok((deaggregation, extraction))
    }
}

/// What is described of dynamic partitioning.
pub(super) fn observe(s3: &sdk::ExtendedS3DestinationDescription, facts: &mut Facts) {
    let Some(configuration) = s3.dynamic_partitioning_configuration() else {
        return;
    };
    facts.partitioned = configuration.enabled() == Some(true);
    let seconds = configuration
        .retry_options()
        .and_then(|options| options.duration_in_seconds());
    facts.retry_seconds = super::wanted::number(seconds, RETRY_SECONDS);
}
