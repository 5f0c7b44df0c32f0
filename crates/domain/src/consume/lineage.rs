//! Which shards to read, and when: a child starts once every parent that is read has been read to its end.

use std::collections::{HashMap, HashSet};

use md5::{Digest as _, Md5};

use super::{IteratorStart, Progress, ShardInfo, Start, TailOptions};
use ground::error::{Error, Result};

/// Where reading of a shard begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ShardStart {
    Iterator(IteratorStart),
    /// This many records before its end.
    Last(usize),
}

/// The shards of a tail and their progress.
#[derive(Debug, Default)]
pub(super) struct Lineage {
    shards: HashMap<String, Member>,
    /// Shard ids in the order of discovery.
    order: Vec<String>,
    /// Every shard that was ever listed, also those that are not read.
    seen: HashSet<String>,
    /// Whether children found later are read.
    descends: bool,
    /// Whether every open shard is read from the start, so that unknown parents will be found.
    whole: bool,
    /// Only shards with this hash key are read.
    hash: Option<u128>,
}

#[derive(Debug)]
struct Member {
    parents: Vec<String>,
    start: ShardStart,
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

/// The hash key of a partition key. Source: PutRecord, Kinesis API reference.
fn hash_key(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key).into())
}

impl Lineage {
    /// Plans a tail of `shards` of `stream`.
    ///
    /// From a time, every shard is read: those closed before it have no such records. The newest records are in open
    /// shards only.
    ///
    /// # Errors
    /// Exit 2 for a shard that does not exist.
    pub(super) fn plan(stream: &str, shards: &[ShardInfo], options: &TailOptions) -> Result<Self> {
        let only: Vec<&str> = match &options.start {
            Start::Sequence { shard_id, .. } => vec![shard_id.as_str()],
            _ => options.shards.iter().map(String::as_str).collect(),
        };
        for wanted in &only {
            if !shards.iter().any(|shard| shard.id == *wanted) {
                return Err(Error::usage(format!("the stream has no shard {wanted}"))
                    .hint(format!("`streamctl describe {stream} --shards` lists them")));
            }
        }
        let mut lineage = Self {
            descends: options.shards.is_empty(),
            whole: only.is_empty(),
            hash: options.key.as_deref().map(hash_key),
            seen: shards.iter().map(|shard| shard.id.clone()).collect(),
            ..Self::default()
        };
        match options.progress.is_empty() {
            true => lineage.begin(shards, options, &only),
            false => lineage.resume(shards, &options.progress, &only),
        }
        Ok(lineage)
    }

    fn begin(&mut self, shards: &[ShardInfo], options: &TailOptions, only: &[&str]) {
        let is_at_tip = matches!(options.start, Start::Latest | Start::Last(_));
        for shard in shards {
            let wanted = only.is_empty() || only.contains(&shard.id.as_str());
            if wanted && (shard.open || !options.shards.is_empty() || !is_at_tip) {
                self.add(shard, options.start.shard_start(), true);
            }
        }
        // The stream was resharded while the shards were listed: the child waits for its parents, and must not skip
        // records.
        if is_at_tip {
            let known: HashSet<String> = self.shards.keys().cloned().collect();
            for member in self.shards.values_mut() {
                if member.parents.iter().any(|parent| known.contains(parent)) {
                    member.start = ShardStart::Iterator(IteratorStart::TrimHorizon);
                }
            }
        }
    }

    /// Continues where an earlier tail was. Its shards are in `progress`; what descends from them is new.
    fn resume(&mut self, shards: &[ShardInfo], progress: &HashMap<String, Progress>, only: &[&str]) {
        let kinship = Kinship::of(shards);
        let wanted = shards
            .iter()
            .filter(|shard| only.is_empty() || only.contains(&shard.id.as_str()));
        for shard in wanted {
            match progress.get(&shard.id) {
                Some(Progress::From(start)) => self.add(shard, ShardStart::Iterator(start.clone()), true),
                Some(Progress::After(number)) => {
                    let start = IteratorStart::After(number.clone());
                    self.add(shard, ShardStart::Iterator(start), true);
                }
                Some(Progress::Ended) => {
                    self.add(shard, ShardStart::Iterator(IteratorStart::TrimHorizon), true);
                    if let Some(member) = self.shards.get_mut(&shard.id) {
                        member.state = State::Drained;
                    }
                }
                None if self.descends && kinship.descends(&shard.id, |id| progress.contains_key(id)) => {
                    self.add(shard, ShardStart::Iterator(IteratorStart::TrimHorizon), true);
                }
                None => {}
            }
        }
    }

    fn add(&mut self, shard: &ShardInfo, start: ShardStart, initial: bool) {
        if self.shards.contains_key(&shard.id) || self.hash.is_some_and(|hash| !shard.covers(hash)) {
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
        // All of a child's records come after the parent's last one.
        let before = self.order.len();
        for child in children {
            self.seen.insert(child.id.clone());
            self.add(child, ShardStart::Iterator(IteratorStart::TrimHorizon), false);
        }
        self.order[before..].to_vec()
    }

    /// Compares with a newer list of the shards: adds those that no answer has named although all that is read above them
    /// has been read to its end. Returns them.
    pub(super) fn audit(&mut self, shards: &[ShardInfo]) -> Vec<String> {
        if !self.descends || !self.whole {
            return Vec::new();
        }
        let is_unread = |id: &str| {
            self.shards
                .get(id)
                .is_some_and(|member| member.state != State::Drained)
        };
        // What descends from a shard that is being read is found when that one ends.
        let kinship = Kinship::of(shards);
        let missing: Vec<&ShardInfo> = shards
            .iter()
            .filter(|shard| !self.seen.contains(&shard.id) && !kinship.descends(&shard.id, is_unread))
            .collect();
        let before = self.order.len();
        for shard in missing {
            self.seen.insert(shard.id.clone());
            self.add(shard, ShardStart::Iterator(IteratorStart::TrimHorizon), true);
        }
        self.order[before..].to_vec()
    }

    /// Takes the shards that can be read now.
    pub(super) fn take_ready(&mut self) -> Vec<(String, ShardStart)> {
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
                        None => self.whole && self.hash.is_none() && !member.initial,
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

    /// The shards that are not read to their end, with their start.
    pub(super) fn unread(&self) -> impl Iterator<Item = (&str, &ShardStart)> {
        let members = self
            .order
            .iter()
            .filter_map(|id| Some((id, self.shards.get(id)?)));
        members
            .filter(|(_, member)| member.state != State::Drained)
            .map(|(id, member)| (id.as_str(), &member.start))
    }

    /// Number of shards in the plan.
    pub(super) fn len(&self) -> usize {
        self.shards.len()
    }
}

/// The parents of each shard, by a list of shards.
pub(super) struct Kinship<'a>(HashMap<&'a str, &'a [String]>);

impl<'a> Kinship<'a> {
    pub(super) fn of(shards: &'a [ShardInfo]) -> Self {
        let parents = shards.iter();
        Self(
            parents
                .map(|shard| (shard.id.as_str(), shard.parents.as_slice()))
                .collect(),
        )
    }

    /// Whether `id` descends from a shard that `is_wanted` says.
    pub(super) fn descends(&self, id: &str, is_wanted: impl Fn(&str) -> bool) -> bool {
        self.ancestors([id]).into_iter().any(is_wanted)
    }

    /// The ancestors of `ids`, as far as they are known.
    pub(super) fn ancestors<'b>(&'b self, ids: impl IntoIterator<Item = &'b str>) -> HashSet<&'b str> {
        let mut found = HashSet::new();
        let mut left: Vec<&str> = ids.into_iter().collect();
        while let Some(id) = left.pop() {
            let parents = self.0.get(id).into_iter().flat_map(|parents| parents.iter());
            left.extend(parents.map(String::as_str).filter(|parent| found.insert(*parent)));
        }
        found
    }
}
