//! What a stream should be like, compared with what it is ([`Desired::differences`]), and made so ([`Changer::make`]).
//!
//! Decisions only: the calls are those of [`Changer`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;

use super::change::{
    Changer, check_max_record_size, check_retention, check_shards, check_tags, check_warm_throughput,
    same_key, tag_change,
};
use super::reshard::checked_plan;
use super::state::{Mode, ShardMetric, StreamState};
use ground::duration;
use ground::error::{Error, Result};

/// Settings that a stream should have. A setting that is `None`, or a tag that is not named, stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Desired {
    /// Tags to set.
    pub tags: BTreeMap<String, String>,
    /// Keys of tags to remove. A key that is also in `tags` is set.
    pub untag: BTreeSet<String>,
    /// 24 to 8,760.
    pub retention_hours: Option<u32>,
    /// 1,024 to 10,240.
    pub max_record_size_kib: Option<u32>,
    pub mode: Option<Mode>,
    /// Open shards of a provisioned stream, 1 to 10,000.
    pub shards: Option<u32>,
    /// Warm write throughput of an on-demand stream, in MiB/s.
    pub warm_throughput_mibps: Option<u32>,
    /// The shard-level metrics, and no others.
    pub monitoring: Option<BTreeSet<ShardMetric>>,
    /// A KMS key (alias, id or ARN), or `Some(None)` for no encryption.
    pub encryption: Option<Option<String>>,
}

/// One setting that is not as desired.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "StreamDifference")
)]
pub struct Difference {
    /// Such as `retention`, or `tag env` for a tag.
    pub setting: String,
    /// What it is; `None` for a tag that does not exist.
    pub from: Option<String>,
    /// What it should be; `None` for a tag to remove.
    pub to: Option<String>,
    /// What the change loses for good, in words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loses: Option<String>,
}

impl Difference {
    fn new(setting: &str, from: impl ToString, to: impl ToString) -> Self {
        Self {
            setting: setting.to_owned(),
            from: Some(from.to_string()),
            to: Some(to.to_string()),
            loses: None,
        }
    }
}

impl Desired {
    /// Refuses what Kinesis would refuse of any stream.
    ///
    /// # Errors
    /// Exit 2.
    pub fn check(&self) -> Result<()> {
        check_tags(&self.tags)?;
        self.retention_hours.map_or(Ok(()), check_retention)?;
        self.max_record_size_kib.map_or(Ok(()), check_max_record_size)?;
        self.warm_throughput_mibps.map_or(Ok(()), check_warm_throughput)?;
        self.shards.map_or(Ok(()), check_shards)?;
        match (self.mode, self.shards, self.warm_throughput_mibps) {
            (Some(Mode::OnDemand), Some(_), _) => {
                Err(Error::usage("an on-demand stream has no shard count to set")
                    .hint("leave the shard count out, or choose provisioned mode"))
            }
            (Some(Mode::Provisioned), _, Some(_)) => {
                Err(Error::usage("a provisioned stream has no warm throughput")
                    .hint("leave the warm throughput out, or choose on-demand mode"))
            }
            _ => Ok(()),
        }
    }

    /// What of `state` is not as desired, in the order in which [`Changer::make`] changes it.
    ///
    /// # Errors
    /// Exit 2 for a setting that a stream in this state cannot have.
    pub fn differences(&self, state: &StreamState) -> Result<Vec<Difference>> {
        let mode = self.mode.unwrap_or(state.mode);
        let mut found = self.tag_differences(state)?;
        found.extend(self.retention_difference(state));
        let size = |kib: u32| format!("{kib} KiB");
        if let Some(kib) = self
            .max_record_size_kib
            .filter(|kib| *kib != state.max_record_size_kib)
        {
            found.push(Difference::new(
                "record size",
                size(state.max_record_size_kib),
                size(kib),
            ));
        }
        if mode != state.mode {
            found.push(Difference::new("mode", state.mode, mode));
        }
        found.extend(self.shard_difference(state, mode)?);
        found.extend(self.warm_throughput_difference(state, mode)?);
        if let Some(metrics) = self
            .monitoring
            .as_ref()
            .filter(|metrics| **metrics != state.monitoring)
        {
            let difference = Difference::new(
                "monitoring",
                metric_names(&state.monitoring),
                metric_names(metrics),
            );
            found.push(difference);
        }
        found.extend(self.encryption_difference(state));
        Ok(found)
    }

    /// All settings, for a stream that does not exist.
    pub fn settings(&self) -> Vec<Difference> {
        let set = |setting: &str, to: String| Difference {
            from: None,
            ..Difference::new(setting, "", to)
        };
        let word = |key: &Option<String>| key.clone().unwrap_or_else(|| "none".to_owned());
        let settings = [
            self.mode.map(|mode| set("mode", mode.to_string())),
            self.shards.map(|shards| set("shards", shards.to_string())),
            self.retention_hours.map(|time| set("retention", hours(time))),
            self.max_record_size_kib
                .map(|kib| set("record size", format!("{kib} KiB"))),
            self.warm_throughput_mibps
                .map(|mibps| set("warm throughput", format!("{mibps} MiB/s"))),
            self.monitoring
                .as_ref()
                .map(|metrics| set("monitoring", metric_names(metrics))),
            self.encryption.as_ref().map(|key| set("encryption", word(key))),
        ];
        let tags = self
            .tags
            .iter()
            .map(|(key, value)| set(&format!("tag {key}"), value.clone()));
        settings.into_iter().flatten().chain(tags).collect()
    }

    fn tag_differences(&self, state: &StreamState) -> Result<Vec<Difference>> {
        let change = tag_change(&state.tags, &self.tags, &self.untag)?;
        let removed = change.remove.into_iter().map(|key| (key, None));
        let set = change.set.into_iter().map(|(key, value)| (key, Some(value)));
        let difference = |(key, to): (String, Option<String>)| Difference {
            from: state.tags.get(&key).cloned(),
            setting: format!("tag {key}"),
            to,
            loses: None,
        };
        Ok(removed.chain(set).map(difference).collect())
    }

    fn retention_difference(&self, state: &StreamState) -> Option<Difference> {
        let (from, to) = (state.retention_hours, self.retention_hours?);
        (from != to).then(|| Difference {
            loses: (to < from).then(|| format!("records older than {} become unreadable", hours(to))),
            ..Difference::new("retention", hours(from), hours(to))
        })
    }

    fn shard_difference(&self, state: &StreamState, mode: Mode) -> Result<Option<Difference>> {
        let Some(shards) = self.shards.filter(|shards| *shards != state.open_shards) else {
            return Ok(None);
        };
        if mode == Mode::OnDemand {
            return Err(Error::usage(format!(
                "stream {} is on-demand: Kinesis sets its shards",
                state.name
            ))
            .hint(format!(
                "`streamctl mode {} provisioned` switches it, then the shard count can be set",
                state.name
            )));
        }
        checked_plan(state.open_shards, shards)?;
        Ok(Some(Difference::new("shards", state.open_shards, shards)))
    }

    fn warm_throughput_difference(&self, state: &StreamState, mode: Mode) -> Result<Option<Difference>> {
        let Some(warm) = self.warm_throughput_mibps else {
            return Ok(None);
        };
        if mode == Mode::Provisioned {
            return Err(Error::usage(format!(
                "stream {} is provisioned: it has no warm throughput",
                state.name
            ))
            .hint(format!(
                "`streamctl mode {} on-demand` switches it, then the warm throughput can be set",
                state.name
            )));
        }
        let words = |mibps: u32| format!("{mibps} MiB/s");
        let from = state
            .warm_throughput_mibps
            .map_or_else(|| "not set".to_owned(), words);
        let same = state.warm_throughput_mibps == Some(warm);
        Ok((!same).then(|| Difference::new("warm throughput", from, words(warm))))
    }

    fn encryption_difference(&self, state: &StreamState) -> Option<Difference> {
        let wanted = self.encryption.as_ref()?.as_deref();
        let found = state.encryption.as_deref();
        let same = match (wanted, found) {
            (Some(wanted), Some(found)) => same_key(wanted, found),
            (wanted, found) => wanted == found,
        };
        let word = |key: Option<&str>| key.unwrap_or("none").to_owned();
        (!same).then(|| Difference::new("encryption", word(found), word(wanted)))
    }
}

/// A retention in words.
pub fn hours(hours: u32) -> String {
    duration::format(Duration::from_secs(u64::from(hours) * 3_600))
}

/// Shard-level metrics in words.
pub fn metric_names(metrics: &BTreeSet<ShardMetric>) -> String {
    match metrics.len() {
        0 => "none".to_owned(),
        n if n == ShardMetric::ALL.len() => "all".to_owned(),
        _ => metrics
            .iter()
            .map(|metric| metric.name())
            .collect::<Vec<_>>()
            .join(", "),
    }
}

impl Changer<'_> {
    /// Makes the stream as desired, one change after the other, and returns its state.
    ///
    /// # Errors
    /// As the method of each change. Changes made before an error stay.
    pub async fn make(&self, desired: &Desired) -> Result<StreamState> {
        desired.check()?;
        let mut now = self.ready(self.deadline()).await?;
        desired.differences(&now)?;
        if !desired.tags.is_empty() || !desired.untag.is_empty() {
            now = self.change_tags(&desired.tags, &desired.untag).await?;
        }
        if let Some(hours) = desired.retention_hours {
            now = self.set_retention(hours).await?;
        }
        if let Some(kib) = desired.max_record_size_kib {
            now = self.set_max_record_size(kib).await?;
        }
        if let Some(mode) = desired.mode {
            now = self.set_mode(mode).await?;
        }
        if let Some(shards) = desired.shards {
            now = self.set_shard_count(shards).await?;
        }
        if let Some(mibps) = desired.warm_throughput_mibps {
            now = self.set_warm_throughput(mibps).await?;
        }
        if let Some(metrics) = &desired.monitoring {
            now = self.set_monitoring(metrics).await?;
        }
        if let Some(key) = &desired.encryption {
            now = self.set_encryption(key.as_deref()).await?;
        }
        Ok(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stream::Status;

    fn state() -> StreamState {
        StreamState {
            name: "orders".to_owned(),
            arn: "arn:aws:kinesis:us-east-1:000000000000:stream/orders".to_owned(),
            status: Status::Active,
            mode: Mode::Provisioned,
            open_shards: 2,
            retention_hours: 48,
            encryption: Some("alias/aws/kinesis".to_owned()),
            monitoring: BTreeSet::new(),
            tags: BTreeMap::from([
                ("env".to_owned(), "dev".to_owned()),
                ("old".to_owned(), "1".to_owned()),
            ]),
            consumer_count: 0,
            created: None,
            max_record_size_kib: 1_024,
            warm_throughput_mibps: None,
            record_distribution: None,
        }
    }

    fn lines(desired: &Desired, state: &StreamState) -> Vec<String> {
        let word = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let differences = desired.differences(state).unwrap().into_iter();
        differences
            .map(|one| {
                let loses = one.loses.map_or_else(String::new, |loses| format!(" ({loses})"));
                format!("{}: {} → {}{loses}", one.setting, word(one.from), word(one.to))
            })
            .collect()
    }

    #[test]
    fn every_setting_is_compared() {
        let desired = Desired {
            tags: BTreeMap::from([
                ("env".to_owned(), "prod".to_owned()),
                ("team".to_owned(), "a b".to_owned()),
            ]),
            untag: BTreeSet::from(["old".to_owned(), "never set".to_owned()]),
            retention_hours: Some(24),
            max_record_size_kib: Some(2_048),
            mode: None,
            shards: Some(5),
            warm_throughput_mibps: None,
            monitoring: Some(BTreeSet::from([ShardMetric::IncomingBytes])),
            encryption: Some(None),
        };
        desired.check().unwrap();
        insta::assert_snapshot!(lines(&desired, &state()).join("\n"), @r"
        tag old: 1 → -
        tag env: dev → prod
        tag team: - → a b
        retention: 2d → 1d (records older than 1d become unreadable)
        record size: 1024 KiB → 2048 KiB
        shards: 2 → 5
        monitoring: none → IncomingBytes
        encryption: alias/aws/kinesis → none
        ");
        let on_demand = Desired {
            mode: Some(Mode::OnDemand),
            warm_throughput_mibps: Some(100),
            monitoring: Some(ShardMetric::all()),
            encryption: Some(Some("alias/mine".to_owned())),
            ..Desired::default()
        };
        insta::assert_snapshot!(lines(&on_demand, &state()).join("\n"), @r"
        mode: provisioned → on-demand
        warm throughput: not set → 100 MiB/s
        monitoring: none → all
        encryption: alias/aws/kinesis → alias/mine
        ");
    }

    #[test]
    fn a_stream_as_desired_has_no_differences() {
        let desired = Desired {
            tags: BTreeMap::from([("env".to_owned(), "dev".to_owned())]),
            untag: BTreeSet::from(["never set".to_owned()]),
            retention_hours: Some(48),
            max_record_size_kib: Some(1_024),
            mode: Some(Mode::Provisioned),
            shards: Some(2),
            monitoring: Some(BTreeSet::new()),
            encryption: Some(Some(
                "arn:aws:kms:us-east-1:000000000000:alias/aws/kinesis".to_owned(),
            )),
            warm_throughput_mibps: None,
        };
        assert_eq!(lines(&desired, &state()), [""; 0]);
        assert_eq!(lines(&Desired::default(), &state()), [""; 0]);
    }

    #[test]
    fn what_a_stream_cannot_have_is_refused() {
        let refused = |desired: &Desired| {
            let checked = desired
                .check()
                .and_then(|()| desired.differences(&state()).map(drop));
            checked.unwrap_err().to_string()
        };
        let shards = |mode, shards| Desired {
            mode,
            shards: Some(shards),
            ..Desired::default()
        };
        insta::assert_snapshot!(
            [
                refused(&shards(Some(Mode::OnDemand), 2)),
                refused(&shards(None, 0)),
                refused(&shards(None, 4_096)),
                refused(&Desired { retention_hours: Some(23), ..Desired::default() }),
                refused(&Desired { max_record_size_kib: Some(1), ..Desired::default() }),
                refused(&Desired { warm_throughput_mibps: Some(100), ..Desired::default() }),
                refused(&Desired {
                    mode: Some(Mode::Provisioned),
                    warm_throughput_mibps: Some(100),
                    ..Desired::default()
                }),
            ]
            .join("\n"),
            @r"
            an on-demand stream has no shard count to set
            0 is not a possible shard count
            from 2 to 4096 shards takes 11 steps, and a stream takes 10 in 24 hours
            23 is not a possible retention
            1 KiB is not a possible record size
            stream orders is provisioned: it has no warm throughput
            a provisioned stream has no warm throughput
            "
        );
    }
}
