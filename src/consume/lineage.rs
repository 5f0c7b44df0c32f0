//! Which shards to read, and when: a child starts once every parent that is read has been drained.

use std::collections::{HashMap, HashSet};

use super::{IteratorStart, ShardInfo, Start};
use ground::error::{Error, Result};

/// The shards of a tail and how far each is.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    shards: HashMap<String, Member>,
    /// Shard ids in the order they became known.
    order: Vec<String>,
    /// Whether children that come up later are read.
    descends: bool,
    /// Whether every shard that takes records from the start on is read, so that a parent that is not known yet will
    /// come up.
    whole: bool,
}

#[derive(Debug)]
struct Member {
    parents: Vec<String>,
    start: IteratorStart,
    state: State,
    /// Known from the beginning: parents that are not known are trimmed away, or were closed before.
    initial: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Reading,
    Drained,
}

impl Lineage {
    /// Plans a tail of `shards` from `start`; `only` names the shards to read, or none for all.
    ///
    /// From a time, every shard is asked for the records since then: those closed before it have none. The newest
    /// records are in the open shards only.
    pub(super) fn plan(shards: &[ShardInfo], start: &Start, only: &[String]) -> Result<Self> {
        let sequence_shard: Vec<String> = match start {
            Start::Sequence { shard_id, .. } => vec![shard_id.clone()],
            _ => only.to_vec(),
        };
        for wanted in &sequence_shard {
            if !shards.iter().any(|shard| shard.id == *wanted) {
                return Err(Error::usage(format!("the stream has no shard {wanted}"))
                    .hint("`streamctl describe` shows the stream's shards"));
            }
        }
        let mut lineage = Self {
            descends: only.is_empty(),
            whole: sequence_shard.is_empty(),
            ..Self::default()
        };
        for shard in shards {
            let wanted = sequence_shard.is_empty() || sequence_shard.contains(&shard.id);
            if wanted && (shard.open || !only.is_empty() || *start != Start::Latest) {
                lineage.add(shard, start.iterator(), true);
            }
        }
        // A reshard while the shards were listed: the child has to wait, and must not skip what comes meanwhile.
        if *start == Start::Latest {
            let known: HashSet<String> = lineage.shards.keys().cloned().collect();
            for member in lineage.shards.values_mut() {
                if member.parents.iter().any(|parent| known.contains(parent)) {
                    member.start = IteratorStart::TrimHorizon;
                }
            }
        }
        Ok(lineage)
    }

    fn add(&mut self, shard: &ShardInfo, start: IteratorStart, initial: bool) {
        if self.shards.contains_key(&shard.id) {
            return;
        }
        self.order.push(shard.id.clone());
        let member = Member {
            parents: shard.parents.clone(),
            start,
            state: State::Waiting,
            initial,
        };
        self.shards.insert(shard.id.clone(), member);
    }

    /// `shard_id` is drained and `children` (or further descendants) follow it; returns those that were not known and will be read.
    pub(super) fn drained(&mut self, shard_id: &str, children: &[ShardInfo]) -> Vec<String> {
        if let Some(member) = self.shards.get_mut(shard_id) {
            member.state = State::Drained;
        }
        if !self.descends {
            return Vec::new();
        }
        let new: Vec<&ShardInfo> = children
            .iter()
            .filter(|child| !self.shards.contains_key(&child.id))
            .collect();
        // A child's records all came after the parent's last one.
        for child in &new {
            self.add(child, IteratorStart::TrimHorizon, false);
        }
        new.into_iter().map(|child| child.id.clone()).collect()
    }

    /// Takes the shards that may be read now.
    pub(super) fn take_ready(&mut self) -> Vec<(String, IteratorStart)> {
        let mut ready = Vec::new();
        for id in &self.order {
            let Some(member) = self.shards.get(id) else {
                continue;
            };
            let held_back = member.parents.iter().any(|parent| {
                parent != id
                    && match self.shards.get(parent) {
                        Some(parent) => parent.state != State::Drained,
                        // The other parent of a merge may not have come up yet: its own parent is still being read.
                        None => self.whole && !member.initial,
                    }
            });
            if member.state == State::Waiting && !held_back {
                ready.push((id.clone(), member.start.clone()));
            }
        }
        for (id, _) in &ready {
            if let Some(member) = self.shards.get_mut(id) {
                member.state = State::Reading;
            }
        }
        ready
    }

    /// How many shards the plan holds.
    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }
}
