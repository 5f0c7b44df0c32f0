//! Reads one or more streams for a sink, and keeps checkpoints of what the sink acknowledges.
//!
//! A sink writes out the records of an event, then acknowledges it. What is acknowledged is not read again; what is not
//! may be, after a crash.

use std::sync::Arc;

use futures_util::future::select_all;

use super::checkpoint::CheckpointFile;
use super::group::Member;
use super::{Progress, ShardSource, Tail, TailEvent};
use ground::error::Result;

/// What a sink has done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledgement {
    /// Written out the records of a shard up to this one.
    Written {
        shard_id: Arc<str>,
        sequence_number: String,
    },
    /// Written out the last record of a shard that is closed.
    Ended {
        shard_id: Arc<str>,
        children: Vec<String>,
        /// The children that this reader reads next.
        followed: Vec<String>,
    },
}

impl Acknowledgement {
    /// What a sink that has written out all of `event` acknowledges, if anything.
    pub fn of(event: &TailEvent) -> Option<Self> {
        match event {
            TailEvent::Records(batch) => batch.records.last().map(|last| Self::Written {
                shard_id: Arc::clone(&last.shard_id),
                sequence_number: last.sequence_number.clone(),
            }),
            TailEvent::Drained {
                shard_id,
                children,
                followed,
            } => Some(Self::Ended {
                shard_id: Arc::clone(shard_id),
                children: children.clone(),
                followed: followed.clone(),
            }),
            _ => None,
        }
    }
}

/// One or more streams being read.
pub struct Reader<S> {
    kind: Kind<S>,
}

enum Kind<S> {
    Tails {
        /// By stream. A tail that has ended is removed.
        tails: Vec<(Arc<str>, Tail<S>)>,
        /// The tail to be asked first, so that each gets its turn.
        turn: usize,
        file: Option<CheckpointFile>,
    },
    Member {
        stream: Arc<str>,
        member: Box<Member<S>>,
    },
}

impl<S: ShardSource> Reader<S> {
    /// Reads with `tails`, each with the name of its stream. `file` gets the checkpoints; the tails begin at its progress.
    ///
    /// # Errors
    /// Exit 1 if the file cannot be written.
    pub fn new(tails: Vec<(Arc<str>, Tail<S>)>, mut file: Option<CheckpointFile>) -> Result<Self> {
        if let Some(file) = &mut file {
            for (stream, tail) in &tails {
                let known = file.progress(stream);
                let first = tail.first_progress();
                let new = first.iter().filter(|(shard, _)| !known.contains_key(shard));
                file.keep(stream, new.map(|(shard, progress)| (shard.as_str(), progress)))?;
            }
        }
        Ok(Self {
            kind: Kind::Tails { tails, turn: 0, file },
        })
    }

    /// Reads the shards that a member of a group holds.
    pub fn member(stream: Arc<str>, member: Member<S>) -> Self {
        Self {
            kind: Kind::Member {
                stream,
                member: Box::new(member),
            },
        }
    }

    /// Number of shards that are read or will be read, as far as known.
    pub fn shard_count(&self) -> usize {
        match &self.kind {
            Kind::Tails { tails, .. } => tails.iter().map(|(_, tail)| tail.shard_count()).sum(),
            Kind::Member { member, .. } => member.shard_count(),
        }
    }

    /// Number of shards that are read at the moment.
    pub(super) fn reading_count(&self) -> usize {
        match &self.kind {
            Kind::Tails { tails, .. } => tails.iter().map(|(_, tail)| tail.reading_count()).sum(),
            Kind::Member { member, .. } => member.reading_count(),
        }
    }

    /// The next event and the name of its stream; `None` once every shard has been read to its end. Cancel safe, except for
    /// a member of a group.
    ///
    /// # Errors
    /// Those of the tails.
    pub async fn next(&mut self) -> Option<Result<(Arc<str>, TailEvent)>> {
        match &mut self.kind {
            Kind::Member { stream, member } => {
                let event = member.next().await?;
                Some(event.map(|event| (Arc::clone(stream), event)))
            }
            Kind::Tails { tails, turn, .. } => loop {
                if tails.is_empty() {
                    return None;
                }
                *turn = (*turn + 1) % tails.len();
                let (first, last) = tails.split_at_mut(*turn);
                let in_turn = last.iter_mut().chain(first);
                let nexts = in_turn
                    .map(|(stream, tail)| Box::pin(async move { (Arc::clone(stream), tail.next().await) }));
                let ((stream, event), _, _) = select_all(nexts).await;
                match event {
                    Some(event) => return Some(event.map(|event| (stream, event))),
                    None => tails.retain(|(of, _)| *of != stream),
                }
            },
        }
    }

    /// Keeps what the sink has done with records of `stream`.
    ///
    /// # Errors
    /// Exit 1 if it cannot be kept.
    pub async fn acknowledge(&mut self, stream: &Arc<str>, what: Acknowledgement) -> Result<()> {
        match &mut self.kind {
            Kind::Member { member, .. } => member.acknowledge(what).await,
            Kind::Tails { file: None, .. } => Ok(()),
            Kind::Tails { file: Some(file), .. } => match what {
                Acknowledgement::Written {
                    shard_id,
                    sequence_number,
                } => file.keep(stream, [(&*shard_id, &Progress::After(sequence_number))]),
                Acknowledgement::Ended {
                    shard_id, followed, ..
                } => {
                    let from = Progress::From(super::IteratorStart::TrimHorizon);
                    let known = file.progress(stream);
                    let new = followed.iter().filter(|child| !known.contains_key(*child));
                    let new = new.map(|child| (child.as_str(), &from));
                    let ended = [(&*shard_id, &Progress::Ended)];
                    file.keep(stream, ended.into_iter().chain(new))
                }
            },
        }
    }

    /// Keeps what others would take while the sink is busy: the leases of a member of a group. Does not end.
    pub async fn hold(&mut self) {
        match &mut self.kind {
            Kind::Member { member, .. } => member.hold().await,
            Kind::Tails { .. } => std::future::pending().await,
        }
    }

    /// Gives up what others can read on: the leases of a member of a group.
    ///
    /// # Errors
    /// Exit 1 if they cannot be given up; they expire then.
    pub async fn close(&mut self) -> Result<()> {
        match &mut self.kind {
            Kind::Member { member, .. } => member.leave().await,
            Kind::Tails { .. } => Ok(()),
        }
    }
}
