//! Which shards to read, and when: a child starts once every parent that is read has been read to its end.

use std::collections::{HashMap, HashSet};

use super::{IteratorStart, ShardInfo, Start};
use ground::error::{Error, Result};

/// The shards of a tail and their progress.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    shards: HashMap<String, Member>,
    /// Shard ids in the order of discovery.
    order: Vec<String>,
    /// Whether children found later are read.
    descends: bool,
    /// Whether every open shard is read from the start, so that unknown parents will be found.
    whole: bool,
}

#[derive(Debug)]
struct Member {
    parents: Vec<String>,
    start: IteratorStart,
    state: State,
    /// Known from the beginning: unknown parents have expired, or were closed before.
    initial: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Reading,
    Drained,
}

impl Lineage {
    /// Plans a tail of `shards` from `start`; `only` names the shards to read, none for all.
    ///
    /// From a time, every shard is read: those closed before it have no such records. The newest records are in open
    /// shards only.
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
        // The stream was resharded while the shards were listed: the child waits for its parents, and must not skip
        // records.
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

    /// Marks `shard_id` as read to its end, followed by `children` (or further descendants). Returns the new shards to
    /// be read.
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
        // All of a child's records come after the parent's last one.
        for child in &new {
            self.add(child, IteratorStart::TrimHorizon, false);
        }
        new.into_iter().map(|child| child.id.clone()).collect()
    }

    /// Takes the shards that can be read now.
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
                        // The other parent of a merge may be unknown yet: its own parent is still being read.
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

    /// Number of shards in the plan.
    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }
}
