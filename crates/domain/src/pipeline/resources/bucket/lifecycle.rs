//! Lifecycle rules. PutBucketLifecycleConfiguration replaces all rules of a bucket: a prefix of their ids marks ours, and
//! those of others are written back unchanged.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_s3::types as sdk;
use serde::{Deserialize, Serialize};

use super::super::common::built;
use ground::error::Result;

/// Prefix of the ids of our rules.
const OURS: &str = "streamctl-";
/// The rule that all our buckets have: parts of unfinished uploads are invisible and cost money.
const ABORT: &str = "abort-uploads";
const ABORT_DAYS: i32 = 7;

/// A rule as a manifest declares it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclaredRule {
    id: String,
    #[serde(default)]
    prefix: String,
    glacier_days: Option<i32>,
    deep_archive_days: Option<i32>,
    expire_days: Option<i32>,
    noncurrent_expire_days: Option<i32>,
}

/// A rule of ours.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rule {
    /// Without the prefix that marks it as ours.
    id: String,
    prefix: String,
    glacier_days: Option<i32>,
    deep_archive_days: Option<i32>,
    expire_days: Option<i32>,
    noncurrent_expire_days: Option<i32>,
    abort_days: Option<i32>,
    /// Somebody has changed it to something that a manifest cannot declare, or has turned it off.
    changed_outside: bool,
}

impl From<&DeclaredRule> for Rule {
    fn from(declared: &DeclaredRule) -> Self {
        Self {
            id: declared.id.clone(),
            prefix: declared.prefix.clone(),
            glacier_days: declared.glacier_days,
            deep_archive_days: declared.deep_archive_days,
            expire_days: declared.expire_days,
            noncurrent_expire_days: declared.noncurrent_expire_days,
            abort_days: None,
            changed_outside: false,
        }
    }
}

/// Refuses what S3 would refuse.
pub(super) fn check(rules: &[DeclaredRule]) -> Result<(), String> {
    let mut ids = BTreeSet::new();
    for rule in rules {
        let id = &rule.id;
        // Source: `LifecycleRule`, S3 API reference: an id is 255 characters at most.
        if id.is_empty() || id.len() > 255 - OURS.len() || id == ABORT {
            return Err(format!("{id:?} is not the id of a lifecycle rule"));
        }
        if !ids.insert(id) {
            return Err(format!("lifecycle rule {id} is declared twice"));
        }
        let days = [
            ("glacier_days", rule.glacier_days),
            ("deep_archive_days", rule.deep_archive_days),
            ("expire_days", rule.expire_days),
        ];
        let mut last: Option<(&str, i32)> = None;
        for (name, days) in days.into_iter().filter_map(|(name, days)| Some((name, days?))) {
            if days < 1 {
                return Err(format!("lifecycle rule {id}: {name} is at least 1"));
            }
            if let Some((before, earlier)) = last.filter(|(_, earlier)| *earlier >= days) {
                return Err(format!(
                    "lifecycle rule {id}: {name} ({days}) must be after {before} ({earlier})"
                ));
            }
            last = Some((name, days));
        }
        let noncurrent = rule.noncurrent_expire_days;
        if noncurrent.is_some_and(|days| days < 1) {
            return Err(format!(
                "lifecycle rule {id}: noncurrent_expire_days is at least 1"
            ));
        }
        if last.is_none() && noncurrent.is_none() {
            return Err(format!("lifecycle rule {id} does nothing"));
        }
    }
    Ok(())
}

/// The declared rules and the rule that all our buckets have.
pub(super) fn wanted(declared: &[DeclaredRule]) -> Vec<Rule> {
    with_abort(declared.iter().map(Rule::from).collect())
}

/// `rules` and the rule that all our buckets have.
pub(super) fn with_abort(mut rules: Vec<Rule>) -> Vec<Rule> {
    rules.retain(|rule| rule.id != ABORT);
    rules.push(Rule {
        id: ABORT.to_owned(),
        abort_days: Some(ABORT_DAYS),
        ..Rule::default()
    });
    rules
}

/// Whether two lists have the same rules, in any order.
pub(super) fn same(one: &[Rule], other: &[Rule]) -> bool {
    one.len() == other.len() && one.iter().all(|rule| other.contains(rule))
}

/// Rules in a few words.
pub(super) fn words(rules: &[Rule]) -> String {
    let words: Vec<String> = rules.iter().map(Rule::words).collect();
    match words.is_empty() {
        true => "no rules".to_owned(),
        false => words.join(", "),
    }
}

/// What is lost for good when `there` becomes `wanted`: objects that are deleted, or deleted earlier.
pub(super) fn loses(there: &[Rule], wanted: &[Rule]) -> Option<String> {
    let there: BTreeMap<&str, &Rule> = there.iter().map(|rule| (rule.id.as_str(), rule)).collect();
    let mut losses = Vec::new();
    for rule in wanted {
        let before = there
            .get(rule.id.as_str())
            .filter(|before| !before.changed_outside);
        let mut look = |what: &str, days: Option<i32>, before_days: Option<i32>| {
            let Some(days) = days else { return };
            let same_objects = before.is_some_and(|before| before.prefix == rule.prefix);
            let as_before = same_objects && before_days.is_some_and(|before| before <= days);
            if !as_before {
                losses.push(format!(
                    "{what} under {:?} are deleted after {days} days",
                    rule.prefix
                ));
            }
        };
        look(
            "objects",
            rule.expire_days,
            before.and_then(|before| before.expire_days),
        );
        look(
            "old versions",
            rule.noncurrent_expire_days,
            before.and_then(|before| before.noncurrent_expire_days),
        );
    }
    (!losses.is_empty()).then(|| losses.join("; "))
}

impl Rule {
    fn words(&self) -> String {
        let mut words = Vec::new();
        let mut say = |what: &str, days: Option<i32>| {
            words.extend(days.map(|days| format!("{what} after {days} days")))
        };
        say("GLACIER", self.glacier_days);
        say("DEEP_ARCHIVE", self.deep_archive_days);
        say("deleted", self.expire_days);
        say("old versions deleted", self.noncurrent_expire_days);
        say("unfinished uploads deleted", self.abort_days);
        if self.changed_outside {
            words.push("changed outside streamctl".to_owned());
        }
        let words = words.join(" and ");
        match self.prefix.as_str() {
            "" => words,
            prefix => format!("{prefix}: {words}"),
        }
    }

    pub(super) fn to_sdk(&self) -> Result<sdk::LifecycleRule> {
        let days = |days: i32, class: sdk::TransitionStorageClass| {
            let transition = sdk::Transition::builder().days(days);
            transition.storage_class(class).build()
        };
        let transitions: Vec<sdk::Transition> = [
            self.glacier_days
                .map(|after| days(after, sdk::TransitionStorageClass::Glacier)),
            self.deep_archive_days
                .map(|after| days(after, sdk::TransitionStorageClass::DeepArchive)),
        ]
        .into_iter()
        .flatten()
        .collect();
        let expiration = self
            .expire_days
            .map(|days| sdk::LifecycleExpiration::builder().days(days).build());
        let noncurrent = self.noncurrent_expire_days.map(|days| {
            let expiration = sdk::NoncurrentVersionExpiration::builder();
            expiration.noncurrent_days(days).build()
        });
        let abort = self.abort_days.map(|days| {
            let abort = sdk::AbortIncompleteMultipartUpload::builder();
            abort.days_after_initiation(days).build()
        });
        let rule = sdk::LifecycleRule::builder()
            .id(format!("{OURS}{}", self.id))
            .filter(sdk::LifecycleRuleFilter::builder().prefix(&self.prefix).build())
            .status(sdk::ExpirationStatus::Enabled)
            .set_transitions((!transitions.is_empty()).then_some(transitions))
            .set_expiration(expiration)
            .set_noncurrent_version_expiration(noncurrent)
            .set_abort_incomplete_multipart_upload(abort)
            .build();
        built(rule)
    }

    /// `rule` as one of ours; `None` for a rule of others.
    pub(super) fn of_sdk(rule: &sdk::LifecycleRule) -> Option<Self> {
        let id = rule.id()?.strip_prefix(OURS)?.to_owned();
        let filter = rule.filter();
        #[expect(deprecated, reason = "rules made long ago have their prefix there")]
        let prefix = filter.and_then(|filter| filter.prefix()).or(rule.prefix());
        let after = |class: sdk::TransitionStorageClass| {
            let mut transitions = rule.transitions().iter();
            transitions
                .find(|one| one.storage_class() == Some(&class))
                .and_then(|one| one.days())
        };
        let mut read = Self {
            id,
            prefix: prefix.unwrap_or_default().to_owned(),
            glacier_days: after(sdk::TransitionStorageClass::Glacier),
            deep_archive_days: after(sdk::TransitionStorageClass::DeepArchive),
            expire_days: rule.expiration().and_then(|expiration| expiration.days()),
            noncurrent_expire_days: rule
                .noncurrent_version_expiration()
                .and_then(|expiration| expiration.noncurrent_days()),
            abort_days: rule
                .abort_incomplete_multipart_upload()
                .and_then(|abort| abort.days_after_initiation()),
            changed_outside: false,
        };
        let known = i32::from(read.glacier_days.is_some()) + i32::from(read.deep_archive_days.is_some());
        let more = i32::try_from(rule.transitions().len()).ok() != Some(known)
            || !rule.noncurrent_version_transitions().is_empty()
            || filter.is_some_and(|filter| {
                filter.tag().is_some()
                    || filter.and().is_some()
                    || filter.object_size_greater_than().is_some()
                    || filter.object_size_less_than().is_some()
            });
        read.changed_outside = more || *rule.status() != sdk::ExpirationStatus::Enabled;
        Some(read)
    }
}

/// Whether `rule` is not ours.
pub(super) fn is_foreign(rule: &sdk::LifecycleRule) -> bool {
    !rule.id().is_some_and(|id| id.starts_with(OURS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str) -> Rule {
        Rule {
            id: id.to_owned(),
            ..Rule::default()
        }
    }

    fn declared(json: serde_json::Value) -> Vec<DeclaredRule> {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn rules_are_read_as_they_were_written() {
        let rules = wanted(&declared(serde_json::json!([
            {"id": "archive", "prefix": "raw/", "glacier_days": 30, "deep_archive_days": 120},
            {"id": "tidy", "expire_days": 365, "noncurrent_expire_days": 7},
        ])));
        let again: Vec<Rule> = rules
            .iter()
            .map(|rule| Rule::of_sdk(&rule.to_sdk().unwrap()).unwrap())
            .collect();
        assert!(same(&again, &rules));
        insta::assert_snapshot!(words(&rules), @"raw/: GLACIER after 30 days and DEEP_ARCHIVE after 120 days, deleted after 365 days and old versions deleted after 7 days, unfinished uploads deleted after 7 days");
    }

    #[test]
    fn rules_of_others_are_not_ours() {
        let mut theirs = rule("x").to_sdk().unwrap();
        assert!(!is_foreign(&theirs));
        theirs.status = sdk::ExpirationStatus::Disabled;
        assert!(Rule::of_sdk(&theirs).unwrap().changed_outside);
        theirs.id = Some("theirs".to_owned());
        assert!(is_foreign(&theirs) && Rule::of_sdk(&theirs).is_none());
    }

    #[test]
    fn earlier_deletion_is_a_loss() {
        let expiring = |days| Rule {
            expire_days: Some(days),
            ..rule("tidy")
        };
        assert_eq!(
            loses(&[], &[expiring(30)]).unwrap(),
            "objects under \"\" are deleted after 30 days"
        );
        assert!(loses(&[expiring(60)], &[expiring(30)]).is_some());
        assert!(loses(&[expiring(30)], &[expiring(60)]).is_none());
        assert!(loses(&[expiring(30)], &[rule("tidy")]).is_none());
        let archive = Rule {
            glacier_days: Some(1),
            ..rule("archive")
        };
        assert!(loses(&[], &[archive]).is_none());
    }

    #[test]
    fn rules_that_s3_would_refuse_are_refused() {
        let refusals = [
            serde_json::json!([{"id": "a", "glacier_days": 120, "deep_archive_days": 30}]),
            serde_json::json!([{"id": "a", "expire_days": 0}]),
            serde_json::json!([{"id": "a"}]),
            serde_json::json!([{"id": "a", "expire_days": 1}, {"id": "a", "expire_days": 2}]),
            serde_json::json!([{"id": "", "expire_days": 1}]),
        ]
        .map(|rules| check(&declared(rules)).unwrap_err())
        .join("\n");
        insta::assert_snapshot!(refusals, @r#"
        lifecycle rule a: deep_archive_days (30) must be after glacier_days (120)
        lifecycle rule a: expire_days is at least 1
        lifecycle rule a does nothing
        lifecycle rule a is declared twice
        "" is not the id of a lifecycle rule
        "#);
    }
}
