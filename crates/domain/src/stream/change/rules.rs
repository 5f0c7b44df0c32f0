//! Limits of a stream's settings, checked without a call.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_kinesis::types as sdk;

use crate::stream::state::ShardMetric;
use ground::error::{Error, Result};

/// Maximum number of tags. Source: AddTagsToStream, Kinesis API reference.
pub const MAX_TAGS: usize = 50;
/// Shard counts of UpdateShardCount. Source: UpdateShardCount, Kinesis API reference.
pub const MAX_SHARDS: u32 = 10_000;

/// Checks that a shard count is 1 to 10,000.
///
/// # Errors
/// Exit 2.
pub fn check_shards(shards: u32) -> Result<()> {
    if (1..=MAX_SHARDS).contains(&shards) {
        return Ok(());
    }
    Err(Error::usage(format!("{shards} is not a possible shard count")).hint("use 1 to 10000 shards"))
}

/// Checks that a retention is 24 to 8,760 hours (a year).
/// Source: IncreaseStreamRetentionPeriod and DecreaseStreamRetentionPeriod, Kinesis API reference.
///
/// # Errors
/// Exit 2.
pub fn check_retention(hours: u32) -> Result<()> {
    if (24..=8_760).contains(&hours) {
        return Ok(());
    }
    Err(Error::usage(format!("{hours} is not a possible retention"))
        .hint("use 24 to 8760 hours (1 to 365 days)"))
}

/// Checks that a record size is 1,024 to 10,240 KiB. Source: UpdateMaxRecordSize, Kinesis API reference.
///
/// # Errors
/// Exit 2.
pub fn check_max_record_size(kib: u32) -> Result<()> {
    if (1_024..=10_240).contains(&kib) {
        return Ok(());
    }
    Err(Error::usage(format!("{kib} KiB is not a possible record size")).hint("use 1024 to 10240 KiB"))
}

/// Checks that a warm throughput is at most 10,240 MiB/s. Source: "Warm throughput", Kinesis developer guide.
///
/// # Errors
/// Exit 2.
pub fn check_warm_throughput(mibps: u32) -> Result<()> {
    if mibps <= 10_240 {
        return Ok(());
    }
    Err(
        Error::usage(format!("{mibps} MiB/s is not a possible warm throughput"))
            .hint("use at most 10240 MiB/s"),
    )
}

/// Checks tags against the service's limits: at most 50, keys of 1 to 128 characters without the prefix `aws:`, values
/// of at most 256 characters. Source: "Tag restrictions", Kinesis developer guide.
///
/// # Errors
/// Exit 2.
pub fn check_tags(tags: &BTreeMap<String, String>) -> Result<()> {
    if tags.len() > MAX_TAGS {
        return Err(
            Error::usage(format!("{} tags are more than a stream can have", tags.len()))
                .hint("use at most 50 tags"),
        );
    }
    for (key, value) in tags {
        if !(1..=128).contains(&key.chars().count()) {
            return Err(Error::usage(format!("{key:?} is not a tag key")).hint("use 1 to 128 characters"));
        }
        if key
            .get(..4)
            .is_some_and(|start| start.eq_ignore_ascii_case("aws:"))
        {
            return Err(Error::usage(format!("{key:?} is not a tag key"))
                .hint("keys beginning with aws: belong to AWS; use another"));
        }
        if value.chars().count() > 256 {
            return Err(Error::usage(format!("the value of tag {key:?} is too long"))
                .hint("use at most 256 characters"));
        }
    }
    Ok(())
}

/// Differences between the current and the requested tags.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TagChange {
    /// Tags to set.
    pub set: BTreeMap<String, String>,
    /// Keys to remove.
    pub remove: Vec<String>,
}

impl TagChange {
    /// Whether nothing has to change.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

/// The changes after which the tags `now` contain `set` and none of the keys `remove`; a key in both is set.
///
/// # Errors
/// Exit 2 when a tag of `set` is malformed or there would be more than 50.
pub fn tag_change(
    now: &BTreeMap<String, String>,
    set: &BTreeMap<String, String>,
    remove: &BTreeSet<String>,
) -> Result<TagChange> {
    check_tags(set)?;
    let change = TagChange {
        set: set
            .iter()
            .filter(|(key, value)| now.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect(),
        remove: remove
            .iter()
            .filter(|key| now.contains_key(*key) && !set.contains_key(*key))
            .cloned()
            .collect(),
    };
    let added = change.set.keys().filter(|key| !now.contains_key(*key)).count();
    let after = now.len() + added - change.remove.len();
    if after > MAX_TAGS {
        return Err(Error::usage(format!("the stream would have {after} tags"))
            .hint("a stream can have 50: remove some first"));
    }
    Ok(change)
}

/// Whether two names refer to the same KMS key: an id and an alias are the last part of their ARNs.
pub fn same_key(a: &str, b: &str) -> bool {
    fn last_part(key: &str) -> &str {
        let part = if key.starts_with("arn:") {
            key.rsplit(':').next().unwrap_or(key)
        } else {
            key
        };
        part.strip_prefix("key/").unwrap_or(part)
    }
    let both_arns = a.starts_with("arn:") && b.starts_with("arn:");
    if both_arns {
        a == b
    } else {
        last_part(a) == last_part(b)
    }
}

/// The metrics as the API expects them: all seven are `ALL`.
pub(super) fn api_metrics(metrics: &BTreeSet<ShardMetric>) -> Vec<sdk::MetricsName> {
    if metrics.len() == ShardMetric::ALL.len() {
        return vec![sdk::MetricsName::All];
    }
    metrics
        .iter()
        .map(|metric| sdk::MetricsName::from(metric.name()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    #[test]
    fn only_what_differs_is_tagged() {
        let now = tags(&[("Project", "a"), ("Environment", "dev"), ("Owner", "me")]);
        let set = tags(&[("Project", "a"), ("Environment", "prod"), ("Purpose", "x")]);
        let change = tag_change(
            &now,
            &set,
            &["Owner".into(), "Absent".into(), "Project".into()].into(),
        )
        .unwrap();
        assert_eq!(change.set, tags(&[("Environment", "prod"), ("Purpose", "x")]));
        assert_eq!(change.remove, ["Owner"]);
        assert!(tag_change(&now, &now, &BTreeSet::new()).unwrap().is_empty());
    }

    #[test]
    fn fifty_tags_are_the_most() {
        let full: BTreeMap<_, _> = (0..50).map(|n| (format!("k{n}"), String::new())).collect();
        let one = tags(&[("one more", "")]);
        let error = tag_change(&full, &one, &BTreeSet::new()).unwrap_err();
        assert_eq!(error.to_string(), "the stream would have 51 tags");
        assert!(tag_change(&full, &one, &["k0".into()].into()).is_ok());
        assert!(tag_change(&full, &tags(&[("k1", "new")]), &BTreeSet::new()).is_ok());
    }

    #[test]
    fn malformed_tags_are_refused() {
        let long = "é".repeat(129);
        for (key, value) in [
            ("", ""),
            ("aws:x", ""),
            ("AWS:x", ""),
            (&long, ""),
            ("k", &"v".repeat(257)),
        ] {
            assert!(check_tags(&tags(&[(key, value)])).is_err(), "{key:?}");
        }
        check_tags(&tags(&[(&"é".repeat(128), &"v".repeat(256)), ("aws", "")])).unwrap();
    }

    #[test]
    fn limits_hold_at_their_edges() {
        assert!(check_retention(23).is_err() && check_retention(24).is_ok());
        assert!(check_retention(8_760).is_ok() && check_retention(8_761).is_err());
        assert!(check_shards(0).is_err() && check_shards(10_000).is_ok() && check_shards(10_001).is_err());
        assert!(check_max_record_size(1_023).is_err() && check_max_record_size(10_240).is_ok());
    }

    #[test]
    fn a_key_is_known_by_any_of_its_names() {
        let arn = "arn:aws:kms:us-east-1:123456789012:key/1234";
        assert!(same_key("1234", arn) && same_key(arn, "key/1234") && same_key(arn, arn));
        let alias = "arn:aws:kms:us-east-1:123456789012:alias/aws/kinesis";
        assert!(same_key("alias/aws/kinesis", alias));
        assert!(!same_key("alias/mine", alias) && !same_key("5678", arn));
        assert!(!same_key("arn:aws:kms:eu-west-1:123456789012:key/1234", arn));
    }

    #[test]
    fn all_seven_metrics_are_called_all() {
        assert_eq!(api_metrics(&ShardMetric::all()), [sdk::MetricsName::All]);
        let two = [ShardMetric::OutgoingBytes, ShardMetric::IncomingBytes].into();
        assert_eq!(
            api_metrics(&two),
            [sdk::MetricsName::IncomingBytes, sdk::MetricsName::OutgoingBytes]
        );
    }
}
