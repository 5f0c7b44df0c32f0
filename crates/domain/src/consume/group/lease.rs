//! A lease, and its form in the table.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::types::AttributeValue;

use super::super::IteratorStart;

pub(super) const KEY: &str = "leaseKey";
pub(super) const OWNER: &str = "leaseOwner";
pub(super) const COUNTER: &str = "leaseCounter";
pub(super) const CHECKPOINT: &str = "checkpoint";
pub(super) const SUB_SEQUENCE: &str = "checkpointSubSequenceNumber";
pub(super) const PENDING: &str = "pendingCheckpoint";
pub(super) const PENDING_SUB_SEQUENCE: &str = "pendingCheckpointSubSequenceNumber";
pub(super) const PENDING_STATE: &str = "pendingCheckpointState";
pub(super) const SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(super) const PARENTS: &str = "parentShardId";
pub(super) const CHILDREN: &str = "childShardIds";
pub(super) const FIRST_HASH: &str = "startingHashKey";
pub(super) const LAST_HASH: &str = "endingHashKey";
/// KCL 3: the member that hands the lease over to its owner.
pub(super) const HANDING_OVER: &str = "checkpointOwner";
/// KCL 3: what an item of the table is.
const ENTITY: &str = "entityType";
const LEASE: &str = "LEASE";
/// Ours: the time that `LATEST` or `AT_TIMESTAMP` stands for, in milliseconds since the Unix epoch. The KCL ignores it.
pub(super) const START_MS: &str = "streamctlStartMs";
/// Ours: the checkpoint, if streamctl wrote it: then the whole record was written out. The KCL ignores it.
pub(super) const WRITTEN: &str = "streamctlCheckpoint";

/// How far a shard was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Checkpoint {
    #[default]
    TrimHorizon,
    Latest,
    AtTimestamp,
    ShardEnd,
    /// This record. With a sub-sequence number, as far as that in an aggregated record.
    At {
        number: String,
        sub_sequence: i64,
    },
}

impl Checkpoint {
    fn parse(text: &str, sub_sequence: i64) -> Self {
        match text {
            "TRIM_HORIZON" => Self::TrimHorizon,
            "LATEST" => Self::Latest,
            "AT_TIMESTAMP" => Self::AtTimestamp,
            "SHARD_END" => Self::ShardEnd,
            number => Self::At {
                number: number.to_owned(),
                sub_sequence,
            },
        }
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TrimHorizon => "TRIM_HORIZON",
            Self::Latest => "LATEST",
            Self::AtTimestamp => "AT_TIMESTAMP",
            Self::ShardEnd => "SHARD_END",
            Self::At { number, .. } => number,
        })
    }
}

/// The lease of a shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lease {
    /// The id of the shard, or of stream and shard where an application reads several streams.
    pub key: String,
    pub owner: Option<String>,
    /// The member that still reads the shard, and hands it over to the owner.
    pub handing_over: Option<String>,
    /// Changes with each renewal: a lease whose counter stays the same has no living owner.
    pub counter: i64,
    pub checkpoint: Checkpoint,
    pub owner_switches: i64,
    pub parents: Vec<String>,
    pub children: Vec<String>,
    pub hash_keys: Option<(u128, u128)>,
    /// The time that `LATEST` or `AT_TIMESTAMP` stands for, in milliseconds since the Unix epoch.
    pub start_ms: Option<i64>,
    /// Whether streamctl wrote the checkpoint.
    pub is_ours: bool,
}

impl Lease {
    pub fn is_ended(&self) -> bool {
        self.checkpoint == Checkpoint::ShardEnd
    }

    /// Where reading goes on. A checkpoint of the KCL can be in the middle of an aggregated record: that record is read
    /// again.
    pub fn start(&self) -> IteratorStart {
        match (&self.checkpoint, self.start_ms) {
            (
                Checkpoint::At {
                    number,
                    sub_sequence: 0,
                },
                _,
            ) if self.is_ours => IteratorStart::After(number.clone()),
            (Checkpoint::At { number, .. }, _) => IteratorStart::At(number.clone()),
            (Checkpoint::Latest | Checkpoint::AtTimestamp, Some(ms)) => IteratorStart::AtTimestamp(ms),
            (Checkpoint::Latest, None) => IteratorStart::Latest,
            (Checkpoint::TrimHorizon | Checkpoint::AtTimestamp | Checkpoint::ShardEnd, _) => {
                IteratorStart::TrimHorizon
            }
        }
    }

    /// `None` for an item that is no lease.
    pub(super) fn read(item: &HashMap<String, AttributeValue>) -> Option<Self> {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let number = |name: &str| {
            let value = item.get(name).and_then(|value| value.as_n().ok());
            value.and_then(|number| number.parse::<i64>().ok())
        };
        let texts = |name: &str| {
            let mut set = match item.get(name) {
                Some(AttributeValue::Ss(set)) => set.clone(),
                _ => Vec::new(),
            };
            set.sort();
            set
        };
        if text(ENTITY).is_some_and(|entity| entity != LEASE) {
            return None;
        }
        let hash = |name: &str| text(name).and_then(|hash| hash.parse().ok());
        let checkpoint = text(CHECKPOINT)?;
        Some(Self {
            key: text(KEY)?,
            owner: text(OWNER).filter(|owner| !owner.is_empty()),
            handing_over: text(HANDING_OVER),
            counter: number(COUNTER).unwrap_or_default(),
            is_ours: text(WRITTEN).as_ref() == Some(&checkpoint),
            checkpoint: Checkpoint::parse(&checkpoint, number(SUB_SEQUENCE).unwrap_or_default()),
            owner_switches: number(SWITCHES).unwrap_or_default(),
            parents: texts(PARENTS),
            children: texts(CHILDREN),
            hash_keys: hash(FIRST_HASH).zip(hash(LAST_HASH)),
            start_ms: number(START_MS),
        })
    }

    pub(super) fn item(&self) -> HashMap<String, AttributeValue> {
        let text = |value: &str| AttributeValue::S(value.to_owned());
        let number = |value: i64| AttributeValue::N(value.to_string());
        let checkpoint = self.checkpoint.to_string();
        let sub_sequence = match self.checkpoint {
            Checkpoint::At { sub_sequence, .. } => sub_sequence,
            _ => 0,
        };
        let mut item = HashMap::from([
            (KEY.to_owned(), text(&self.key)),
            (COUNTER.to_owned(), number(self.counter)),
            (SWITCHES.to_owned(), number(self.owner_switches)),
            (CHECKPOINT.to_owned(), text(&checkpoint)),
            (SUB_SEQUENCE.to_owned(), number(sub_sequence)),
            (ENTITY.to_owned(), text(LEASE)),
        ]);
        let mut add = |name: &str, value: Option<AttributeValue>| {
            item.extend(value.map(|value| (name.to_owned(), value)));
        };
        // DynamoDB has no empty sets.
        let set = |texts: &[String]| (!texts.is_empty()).then(|| AttributeValue::Ss(texts.to_vec()));
        add(OWNER, self.owner.as_deref().map(text));
        add(HANDING_OVER, self.handing_over.as_deref().map(text));
        add(PARENTS, set(&self.parents));
        add(CHILDREN, set(&self.children));
        add(
            FIRST_HASH,
            self.hash_keys.map(|(first, _)| text(&first.to_string())),
        );
        add(LAST_HASH, self.hash_keys.map(|(_, last)| text(&last.to_string())));
        add(START_MS, self.start_ms.map(number));
        add(WRITTEN, self.is_ours.then(|| text(&checkpoint)));
        item
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn item(members: &[(&str, AttributeValue)]) -> HashMap<String, AttributeValue> {
        let members = members.iter();
        members
            .map(|(name, value)| ((*name).to_owned(), value.clone()))
            .collect()
    }

    fn s(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }

    fn n(number: &str) -> AttributeValue {
        AttributeValue::N(number.to_owned())
    }

    #[test]
    fn a_lease_of_kcl_2_is_read() {
        let lease = Lease::read(&item(&[
            ("leaseKey", s("shardId-000000000003")),
            ("leaseOwner", s("worker-1")),
            ("leaseCounter", n("17")),
            ("ownerSwitchesSinceCheckpoint", n("1")),
            ("checkpoint", s("4959")),
            ("checkpointSubSequenceNumber", n("4")),
            ("parentShardId", AttributeValue::Ss(vec!["b".into(), "a".into()])),
            ("startingHashKey", s("0")),
            ("endingHashKey", s("340282366920938463463374607431768211455")),
        ]))
        .unwrap();
        assert_eq!(lease.owner.as_deref(), Some("worker-1"));
        assert_eq!((lease.counter, lease.owner_switches), (17, 1));
        assert_eq!(lease.parents, ["a", "b"]);
        assert_eq!(lease.hash_keys, Some((0, u128::MAX)));
        // The middle of an aggregated record.
        assert_eq!(lease.start(), IteratorStart::At("4959".into()));
    }

    #[test]
    fn only_our_own_checkpoint_is_known_to_be_a_whole_record() {
        let base = [
            ("leaseKey", s("a")),
            ("checkpoint", s("4959")),
            ("checkpointSubSequenceNumber", n("0")),
        ];
        let with = |written: &str| {
            let mut item = item(&base);
            item.insert(WRITTEN.to_owned(), s(written));
            Lease::read(&item).unwrap().start()
        };
        assert_eq!(with("4959"), IteratorStart::After("4959".into()));
        assert_eq!(
            with("4958"),
            IteratorStart::At("4959".into()),
            "the KCL went on since"
        );
    }

    #[test]
    fn what_is_no_lease_is_left_out() {
        let worker = item(&[
            ("leaseKey", s("w")),
            ("entityType", s("WORKER_METRIC_STATS")),
            ("checkpoint", s("1")),
        ]);
        assert_eq!(Lease::read(&worker), None);
        assert_eq!(Lease::read(&item(&[("leaseKey", s("a"))])), None);
        assert_eq!(Lease::read(&HashMap::new()), None);
    }

    proptest! {
        #[test]
        fn an_item_is_read_as_it_was_written(
            owner: Option<u8>, counter: i64, number in "[1-9][0-9]{0,55}", which in 0..5,
            parents in prop::collection::btree_set("[a-z]{1,5}", 0..3), hash_keys: Option<(u128, u128)>,
            start_ms: Option<i64>, ours: bool,
        ) {
            let checkpoint = match which {
                0 => Checkpoint::TrimHorizon,
                1 => Checkpoint::Latest,
                2 => Checkpoint::AtTimestamp,
                3 => Checkpoint::ShardEnd,
                _ => Checkpoint::At { number, sub_sequence: 0 },
            };
            let lease = Lease {
                key: "shardId-000000000000".into(),
                owner: owner.map(|owner| format!("worker-{owner}")),
                counter,
                checkpoint,
                parents: parents.into_iter().collect(),
                hash_keys,
                start_ms,
                is_ours: ours,
                ..Lease::default()
            };
            prop_assert_eq!(Lease::read(&lease.item()), Some(lease));
        }
    }
}
