//! What an answer means for the records of a request.

use tokio::time::Instant;

use super::engine::{Engine, Flight, Parts, is_unsent};
use super::lane::Group;
use super::pending::{Pending, Track};
use super::{EntryResult, PutAnswer, PutError, PutEvent, PutSummary, Refusal, StoredIn};
use crate::record::{Record, random_key};
use ground::error::Error;
use ground::error::aws::{self, Class};

/// The error that ends a run where the disk is full: another try fails as well.
const NOT_STORED: &str = "the local cloud could not store a record";

/// From this attempt on, a record that fails is given up by its own time: its shard may take all others.
const PATIENT_TRIES: u32 = 10;

impl Engine<'_> {
    pub(super) fn settle(&mut self, flight: Flight) {
        let now = Instant::now();
        self.arrive(&flight.parts);
        match flight.answer {
            Some(Ok(ref answer)) if answer.entries.len() == flight.records.len() => {
                self.settle_entries(flight, now)
            }
            Some(Ok(answer)) => {
                // Some of them may be stored.
                let error = Error::failed(format!(
                    "the endpoint answered for {} of {} records",
                    answer.entries.len(),
                    flight.records.len()
                ));
                self.line.failed(flight.sent, true);
                self.settle_failure(pendings(flight.records, flight.parts), false, error, now);
            }
            Some(Err(PutError::Transient { throttled, error })) => {
                self.line.failed(flight.sent, true);
                self.settle_failure(pendings(flight.records, flight.parts), throttled, error, now);
            }
            Some(Err(PutError::Fatal(error))) => {
                self.line.failed(flight.sent, true);
                // Reported at the end as never sent.
                for pending in pendings(flight.records, flight.parts) {
                    self.keep_refused(pending);
                }
                self.abort(error);
            }
            None => {
                self.line.failed(flight.sent, false);
                let limit = ground::duration::format(flight.sent.limit);
                let error = Error::unreachable(format!("the endpoint did not answer within {limit}"))
                    .with_class(Class::Transient)
                    .hint("check the network and the region, then run the command again");
                self.settle_failure(pendings(flight.records, flight.parts), false, error, now);
            }
        }
        (self.events)(PutEvent::Progress(&self.summary));
    }

    fn settle_entries(&mut self, flight: Flight, now: Instant) {
        let Flight {
            records,
            parts,
            sent,
            answer,
        } = flight;
        let Some(Ok(answer)) = answer else { return };
        self.line.answered(sent, now);
        self.summary.latencies.add(now.duration_since(sent.at));
        self.last_success = now;
        if std::mem::take(&mut self.failing) {
            (self.events)(PutEvent::Recovered);
        }
        self.tally.clear();
        self.tally.resize(self.lanes.count(), (0, 0));
        let moved = match parts {
            Parts::Records(tracks) => self.settle_records(records, tracks, answer, now),
            Parts::Groups(groups) => self.settle_groups(groups, answer, now),
        };
        self.correct_rates(now, sent.at);
        if moved {
            self.refresh();
        }
    }

    /// The records of a request are no longer in flight.
    fn arrive(&mut self, parts: &Parts) {
        let mut arrive = |hash: u128, count: usize| {
            if let Some(lane) = self.lanes.lane_of(hash) {
                lane.in_flight = lane.in_flight.saturating_sub(count);
            }
        };
        match parts {
            Parts::Records(tracks) => tracks.iter().for_each(|track| arrive(track.hash, 1)),
            Parts::Groups(groups) => groups
                .iter()
                .for_each(|group| arrive(group.hash(), group.tracks.len())),
        }
    }

    /// Returns whether the stream was resharded.
    fn settle_records(
        &mut self,
        records: Vec<Record>,
        tracks: Vec<Track>,
        answer: PutAnswer,
        now: Instant,
    ) -> bool {
        let PutAnswer { entries, shards } = answer;
        let mut stored = Stored::of(shards);
        let (mut moved, mut refused) = (false, false);
        // The entries of a shard come one after another: what is known of the last is not looked up again.
        let mut last = None;
        // Records are not moved in memory unless they are sent again.
        for ((record, track), result) in records.iter().zip(&tracks).zip(&entries) {
            let EntryResult::Stored { shard } = *result else {
                refused = true;
                continue;
            };
            let index = self.lanes.index_of(track.hash);
            if last.replace((index, shard)) != Some((index, shard)) {
                moved |= self.is_moved(index, stored.shard_id(shard), now);
            }
            if let Some((stored, _)) = self.tally.get_mut(index) {
                *stored += 1;
            }
            self.summary.possible_duplicates += u64::from(track.is_open);
            stored.add(shard, 1, record.size());
            self.release(record, *track);
        }
        if refused {
            self.settle_refused(records, tracks, entries, now);
        }
        stored.count(&mut self.summary);
        moved
    }

    /// The entries of an answer that were not stored.
    fn settle_refused(
        &mut self,
        records: Vec<Record>,
        tracks: Vec<Track>,
        entries: Vec<EntryResult>,
        now: Instant,
    ) {
        for ((record, track), result) in records.into_iter().zip(tracks).zip(entries) {
            let EntryResult::Refused(refusal) = result else {
                continue;
            };
            let Refusal { code, message } = *refusal;
            let pending = Pending { record, track };
            if let Some(error) = aws::machine_trouble(NOT_STORED, &code, &message) {
                self.keep_refused(pending);
                self.abort(error);
                continue;
            }
            let reason = || aws::in_words(&code, &message);
            if aws::class_of(&code, &message) == Some(Class::Throttle) {
                let index = self.lanes.index_of(track.hash);
                if let Some((_, throttled)) = self.tally.get_mut(index) {
                    *throttled += 1;
                }
                self.throttled(pending, index, now, reason);
            } else {
                let due = now + self.backoff().pause(pending.track.tries);
                self.again(pending, due, now, reason);
            }
        }
    }

    /// Whether a record of the lane `index` was stored in another shard than the lane's. The lane makes progress.
    fn is_moved(&mut self, index: usize, shard_id: &str, now: Instant) -> bool {
        self.lanes.get_mut(index).is_some_and(|lane| {
            lane.progress = now;
            lane.shard_id.as_ref().is_some_and(|id| *id != shard_id)
        })
    }

    /// As [`Engine::settle_records`], for aggregates.
    fn settle_groups(&mut self, groups: Vec<Group>, answer: PutAnswer, now: Instant) -> bool {
        let mut moved = false;
        let mut stored = Stored::of(answer.shards);
        for (group, result) in groups.into_iter().zip(answer.entries) {
            let index = self.lanes.index_of(group.hash());
            match result {
                EntryResult::Stored { shard } => {
                    if let Some((stored, _)) = self.tally.get_mut(index) {
                        *stored += 1;
                    }
                    let is_elsewhere = self.is_moved(index, stored.shard_id(shard), now);
                    moved |= is_elsewhere;
                    // Consumers skip the user records of another shard.
                    if is_elsewhere && self.trusts_map && group.tracks.len() > 1 {
                        self.awaits_map = true;
                        self.take_back(group, now);
                    } else {
                        let bytes = group.parts.iter().map(Record::size).sum();
                        stored.add(shard, group.parts.len(), bytes);
                        self.stored(group);
                    }
                }
                EntryResult::Refused(refusal) => {
                    let Refusal { code, message } = *refusal;
                    if let Some(error) = aws::machine_trouble(NOT_STORED, &code, &message) {
                        for pending in group.into_parts() {
                            self.keep_refused(pending);
                        }
                        self.abort(error);
                        continue;
                    }
                    let reason = || aws::in_words(&code, &message);
                    let is_throttled = aws::class_of(&code, &message) == Some(Class::Throttle);
                    if let Some((_, throttled)) = self.tally.get_mut(index).filter(|_| is_throttled) {
                        *throttled += group.tracks.len() as u64;
                    }
                    let tries = group.tracks.first().map_or(0, |track| track.tries);
                    let due = now + self.backoff().pause(tries);
                    for pending in group.into_parts() {
                        match is_throttled {
                            true => self.throttled(pending, index, now, reason),
                            false => self.again(pending, due, now, reason),
                        }
                    }
                }
            }
        }
        stored.count(&mut self.summary);
        moved
    }

    fn stored(&mut self, group: Group) {
        for Pending { record, track } in group.into_parts() {
            self.summary.possible_duplicates += u64::from(track.is_open);
            self.release(&record, track);
        }
    }

    /// Sends the user records of a stored aggregate again.
    fn take_back(&mut self, group: Group, now: Instant) {
        for mut pending in group.into_parts() {
            pending.track.is_open = true;
            pending.track.tries += 1;
            self.lanes.came_back(pending.track.hash, 1);
            self.lanes.push(pending.record, pending.track, now);
        }
    }

    /// Corrects the rates of the lanes by the results of one request that was sent at `sent`.
    fn correct_rates(&mut self, now: Instant, sent: Instant) {
        let backoff = self.backoff();
        let is_known = self.lanes.are_known();
        let (mut hurry, mut narrow) = (false, false);
        for index in 0..self.tally.len() {
            let (stored, throttled) = self.tally[index];
            let Some(lane) = self.lanes.get_mut(index) else {
                continue;
            };
            if throttled > 0 {
                // What was throttled is the next to be sent.
                let size = lane.next_size().unwrap_or_default();
                lane.rate.throttled(now, size, &backoff);
                narrow |= !is_known;
                self.summary.throttles += throttled;
                (self.events)(PutEvent::Throttled {
                    shard_id: lane.shard_id.as_deref(),
                    records: throttled,
                });
            } else if stored > 0 {
                hurry |= lane.rate.stored(now, sent, lane.starved);
            }
        }
        if hurry {
            self.hurry(now);
        }
        match narrow {
            true => self.line.narrow(),
            false => self.line.widen(),
        }
    }

    /// A shard throttled the record: it is sent again as soon as the lane allows, or given up if the shard has stored
    /// nothing for the retry time.
    fn throttled(&mut self, mut pending: Pending, index: usize, now: Instant, reason: impl Fn() -> String) {
        let progress = self.lanes.get_mut(index).map_or(now, |lane| lane.progress);
        if now >= progress + self.options.retry_for && !self.is_stopping() {
            return self.fail(&pending, reason());
        }
        pending.track.tries += 1;
        let record = &mut pending.record;
        let is_alone = self.options.aggregate.is_none();
        if record.has_random_key && record.explicit_hash_key.is_none() && is_alone && self.lanes.are_known() {
            // Another key may lead to a shard that has room. It has the same length.
            record.partition_key = random_key();
            pending.track.hash = record.hash_key();
        }
        if !is_alone {
            self.lanes.came_back(pending.track.hash, 1);
        }
        self.lanes.push(pending.record, pending.track, now);
    }

    /// Handles the failure of a whole request. It may have been stored; it is sent again all the same.
    fn settle_failure(
        &mut self,
        pending: impl Iterator<Item = Pending>,
        throttled: bool,
        error: Error,
        now: Instant,
    ) {
        let failed = self.summary.failed;
        self.line.narrow();
        let is_open = !throttled && !is_unsent(&error);
        let mut due = None;
        let mut records = 0;
        for mut pending in pending {
            pending.track.is_open |= is_open;
            // One time for all, so that they stay together.
            let due = *due.get_or_insert_with(|| now + self.backoff().pause(pending.track.tries));
            records += 1;
            self.again(pending, due, now, || error.chain().join(": "));
        }
        if throttled {
            self.summary.throttles += records;
            (self.events)(PutEvent::Throttled {
                shard_id: None,
                records,
            });
        } else if !std::mem::replace(&mut self.failing, true) {
            (self.events)(PutEvent::Failing {
                reason: &error,
                retry_for: self.options.retry_for,
            });
        }
        // No request succeeds: the rest of a long input would fail as well.
        if self.summary.failed > failed && now.duration_since(self.last_success) >= self.options.retry_for {
            self.abort(error);
        }
    }

    /// Retries a record at `due`, and at the end of its time for the last time.
    fn again(&mut self, pending: Pending, due: Instant, now: Instant, reason: impl Fn() -> String) {
        let own = pending.track.since.unwrap_or(now);
        let lane = self.lanes.lane_of(pending.track.hash).map(|lane| lane.progress);
        let progress = lane.filter(|_| pending.track.tries < PATIENT_TRIES);
        let deadline = progress.unwrap_or(own).max(own) + self.options.retry_for;
        match now < deadline || self.is_stopping() {
            true => self.wait(pending, due.min(deadline.max(now))),
            false => self.fail(&pending, reason()),
        }
    }
}

/// What a request has stored, by shard.
struct Stored {
    /// Each with the number of records and bytes.
    shards: Vec<(StoredIn, u64, u64)>,
}

impl Stored {
    fn of(shards: Vec<StoredIn>) -> Self {
        Self {
            shards: shards.into_iter().map(|shard| (shard, 0, 0)).collect(),
        }
    }

    fn shard_id(&self, shard: usize) -> &str {
        self.shards.get(shard).map_or("", |(stored, ..)| &stored.shard_id)
    }

    /// `count` records of `size` bytes are stored in the shard.
    fn add(&mut self, shard: usize, count: usize, size: usize) {
        if let Some((_, records, bytes)) = self.shards.get_mut(shard) {
            *records += count as u64;
            *bytes += size as u64;
        }
    }

    fn count(self, summary: &mut PutSummary) {
        for (shard, records, bytes) in self.shards {
            summary.count_stored(records, bytes, shard);
        }
    }
}

/// The records of the input in a request.
fn pendings(records: Vec<Record>, parts: Parts) -> Box<dyn Iterator<Item = Pending>> {
    match parts {
        Parts::Records(tracks) => {
            let pairs = records.into_iter().zip(tracks);
            Box::new(pairs.map(|(record, track)| Pending { record, track }))
        }
        Parts::Groups(groups) => Box::new(groups.into_iter().flat_map(Group::into_parts)),
    }
}
