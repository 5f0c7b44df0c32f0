//! Dynamic partitioning: what the settings say of it, and the partition keys of a record.
//!
//! Source: "Partition streaming data", Amazon Data Firehose developer guide.

use std::collections::{BTreeMap, BTreeSet};

use partition_query::{NO_KEY, Query};

use super::aggregate::Deaggregation;
use super::input::Processing;
use super::model::Meta;
use super::prefix::{KeyNames, Keys};

/// Active partitions of a delivery stream. Source: "Amazon Data Firehose quota", developer guide.
pub(super) const MOST_PARTITIONS: usize = 500;

/// What the settings say, ready to use.
pub(super) struct Partitioning<'a> {
    pub prefix: &'a str,
    names: KeyNames,
    query: Option<Query>,
    pub deaggregation: Option<Deaggregation>,
}

impl<'a> Partitioning<'a> {
    /// `None` without dynamic partitioning.
    pub fn of(meta: &'a Meta) -> Option<Self> {
        let s3 = Some(&meta.destination).filter(|s3| s3.is_partitioned())?;
        let processing = s3.processing_configuration.as_ref();
        let prefix = s3.prefix.as_deref().unwrap_or_default();
        Some(Self {
            prefix,
            names: KeyNames::of(prefix),
            // It has been checked.
            query: query(processing).and_then(|text| Query::parse(text).ok()),
            deaggregation: Deaggregation::of(processing),
        })
    }

    pub const fn has_query(&self) -> bool {
        self.query.is_some()
    }

    /// The partition keys of a record, or why it has none; and the work of the query. `of_function` has those that a function
    /// returned.
    pub fn keys(
        &self,
        data: &[u8],
        of_function: &BTreeMap<String, String>,
        now_ms: i64,
    ) -> (Result<Keys, String>, u64) {
        let mut keys = Keys::default();
        let mut steps = 0;
        if let Some(query) = &self.query {
            let extracted = query.extract(data, now_ms);
            steps = extracted.steps;
            match extracted.keys {
                Ok(found) => keys.query = found,
                Err(reason) => return (Err(reason), steps),
            }
        }
        for name in &self.names.function {
            match of_function.get(name).filter(|value| !value.is_empty()) {
                Some(value) => keys.function.insert(name.clone(), value.clone()),
                None => return (Err(NO_KEY.to_owned()), steps),
            };
        }
        (Ok(keys), steps)
    }
}

/// The query of an enabled configuration.
fn query(processing: Option<&Processing>) -> Option<&str> {
    let processors = processing
        .filter(|processing| processing.enabled == Some(true))?
        .processors
        .as_deref()?;
    let found = processors.iter().find(|one| one.kind == "MetadataExtraction")?;
    found.parameter("MetadataExtractionQuery")
}

/// Why Firehose would refuse settings with dynamic partitioning whose parts are valid.
///
/// Source of the words: AWS CloudFormation's events, as in the sources of the AWS CDK.
pub(super) fn fault(prefix: Option<&str>, processing: Option<&Processing>) -> Option<String> {
    let processing = processing.filter(|processing| processing.enabled == Some(true));
    let has = |kind: &str| {
        let mut processors = processing.iter().flat_map(|one| one.processors.iter().flatten());
        processors.any(|one| one.kind == kind)
    };
    let (has_query, has_function) = (has("MetadataExtraction"), has("Lambda"));
    let names = KeyNames::of(prefix.unwrap_or_default());
    let fault = match () {
        () if !has_query && !has_function => {
            "Processing Configuration is not enabled when DataPartitioning is enabled".to_owned()
        }
        () if !names.function.is_empty() && !has_function => {
            "Lambda should be present when S3 Prefix contains keys from partitionKeyFromLambda namespace".to_owned()
        }
        () if !names.query.is_empty() && !has_query => {
            "MetadataExtraction processor should be present when S3 Prefix has partitionKeyFromQuery namespace"
                .to_owned()
        }
        () => {
            let query = query(processing).and_then(|text| Query::parse(text).ok());
            let of_query: BTreeSet<&str> = query.iter().flat_map(|query| query.keys()).map(String::as_str).collect();
            let of_prefix: BTreeSet<&str> = names.query.iter().map(String::as_str).collect();
            if of_query.difference(&of_prefix).next().is_some() {
                "MetaDataExtraction JQ Query can't contain keys that are not present in the S3 Prefix expression"
                    .to_owned()
            } else {
                let missing = of_prefix.difference(&of_query).next()?;
                format!("S3 Prefix contains the key {missing}, which is not present in the MetaDataExtraction JQ Query")
            }
        }
    };
    Some(fault)
}
