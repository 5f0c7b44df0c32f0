//! A member of a group: reads the shards whose leases it holds.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, sleep_until};

use super::balance::{self, Seen};
use super::{Checkpoint, Lease, Leases};
use crate::consume::lineage::Kinship;
use crate::consume::{
    Acknowledgement, ReadError, ShardInfo, ShardSource, Start, Tail, TailEvent, TailOptions,
};
use ground::backoff::Backoff;
use ground::error::aws::Class;
use ground::error::{Error, Result};

/// How often the leases are compared with the list of shards.
const SYNC: Duration = Duration::from_secs(60);
/// While a change is under way, such as a lease being handed over.
const SOON: Duration = Duration::from_millis(500);
/// Writes to the table at once.
const AT_ONCE: usize = 32;
/// What stands for the shard in events about the table.
const LEASE_TABLE: &str = "lease table";
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2)).jitter(0.5, 1.0);

/// Options of a member.
#[derive(Debug, Clone)]
pub struct MemberOptions {
    /// What distinguishes it from all other members of the group.
    pub name: String,
    /// A member that does not renew a lease for this long is dead, and others take it. The KCL's default is ten seconds.
    pub lease_time: Duration,
}

/// A lease that this member holds.
#[derive(Debug)]
struct Held {
    renewed: Instant,
    /// Whether the shard was read to where the tail ends.
    is_at_end: bool,
}

/// A member of a group.
pub struct Member<S> {
    tail: Tail<S>,
    source: Arc<S>,
    leases: Arc<dyn Leases>,
    options: MemberOptions,
    start: Start,
    /// The time of the start by the service's clock, in milliseconds since the Unix epoch.
    start_ms: i64,
    follow: bool,
    held: HashMap<String, Held>,
    /// The counter of each lease, and since when it is that.
    counters: HashMap<String, (i64, Instant)>,
    events: VecDeque<TailEvent>,
    next_turn: Instant,
    next_sync: Instant,
    failing: bool,
    /// Whether the last turn found nothing else to read.
    is_idle: bool,
    said_started: bool,
}

impl<S: ShardSource> Member<S> {
    /// Joins the group with the table `leases`. `options.start` is where shards without a lease begin.
    ///
    /// # Errors
    /// Exit 2 for a start that belongs to one shard; else those of the list of shards and of the table.
    pub async fn join(
        source: Arc<S>,
        leases: Arc<dyn Leases>,
        options: TailOptions,
        member: MemberOptions,
    ) -> Result<Self> {
        if matches!(options.start, Start::Sequence { .. } | Start::Last(_)) {
            return Err(
                Error::usage("all shards of a group must start at the same kind of position").hint(format!(
                    "use --from trim, latest or a time; `streamctl group reset GROUP --stream {} --shard ID --to POSITION` \
                     moves the position of one shard",
                    source.stream()
                )),
            );
        }
        let start = options.start.clone();
        let follow = options.follow && options.until.is_none();
        let now_ms = options.now_ms;
        let tail = Tail::assigned(Arc::clone(&source), options);
        let mut joined = Self {
            tail,
            source,
            leases,
            options: member,
            start,
            start_ms: now_ms,
            follow,
            held: HashMap::new(),
            counters: HashMap::new(),
            events: VecDeque::new(),
            next_turn: Instant::now(),
            next_sync: Instant::now(),
            failing: false,
            is_idle: false,
            said_started: false,
        };
        joined.turn().await?;
        Ok(joined)
    }

    /// Number of shards whose lease it holds.
    pub fn shard_count(&self) -> usize {
        self.held.len()
    }

    pub(in crate::consume) fn reading_count(&self) -> usize {
        self.tail.reading_count()
    }

    /// The next event; `None` once nothing is left to read up to where the tail ends.
    ///
    /// What was returned before counts as written out only once it is acknowledged. A shard is handed over between two
    /// calls, so that its next owner begins after what was acknowledged.
    pub async fn next(&mut self) -> Option<Result<TailEvent>> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Some(Ok(event));
            }
            if !self.follow && self.is_idle && self.held.values().all(|held| held.is_at_end) {
                return None;
            }
            let event = tokio::select! {
                biased;
                () = sleep_until(self.next_turn) => {
                    if let Err(error) = self.turn().await {
                        return Some(Err(error));
                    }
                    continue;
                }
                event = self.tail.next() => event?,
            };
            match event {
                Ok(event) => {
                    if let Some(event) = self.take(event) {
                        return Some(Ok(event));
                    }
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }

    /// Drops what another member may read by now.
    fn take(&mut self, event: TailEvent) -> Option<TailEvent> {
        match &event {
            TailEvent::Records(batch) => {
                let shard = &batch.records.first()?.shard_id;
                if !self.is_valid(shard) {
                    self.lose(&Arc::clone(shard));
                    return None;
                }
            }
            TailEvent::Drained { shard_id, .. } if !self.held.contains_key(&**shard_id) => return None,
            TailEvent::AtEnd { shard_id } => {
                if let Some(held) = self.held.get_mut(&**shard_id) {
                    held.is_at_end = true;
                }
                self.next_turn = Instant::now();
            }
            _ => {}
        }
        Some(event)
    }

    fn is_valid(&self, key: &str) -> bool {
        self.held
            .get(key)
            .is_some_and(|held| held.renewed.elapsed() < self.options.lease_time)
    }

    /// Ends reading of a shard that is not this member's any more.
    fn lose(&mut self, key: &str) {
        self.tail.withdraw(key);
        if self.held.remove(key).is_some() {
            let shard_id = Arc::from(key);
            self.events.push_back(TailEvent::Released { shard_id });
        }
    }

    /// Keeps what the sink has done. A lease that was lost meanwhile is given up.
    ///
    /// # Errors
    /// Exit 1 if the table cannot be written for longer than the lease lasts, or at all.
    pub async fn acknowledge(&mut self, what: Acknowledgement) -> Result<()> {
        let mut pauses = BACKOFF.pauses();
        let (Acknowledgement::Written { shard_id, .. } | Acknowledgement::Ended { shard_id, .. }) = &what;
        let shard_id = Arc::clone(shard_id);
        loop {
            match self.keep(&what).await {
                Ok(true) => return Ok(()),
                Ok(false) => break,
                Err(error) if !is_temporary(&error) => return Err(error),
                Err(_) if !self.is_valid(&shard_id) => break,
                Err(error) => {
                    self.fails(&error);
                    sleep(pauses.advance()).await;
                }
            }
        }
        self.lose(&shard_id);
        Ok(())
    }

    async fn keep(&mut self, what: &Acknowledgement) -> Result<bool> {
        match what {
            Acknowledgement::Written {
                shard_id,
                sequence_number,
            } => {
                let me = &self.options.name;
                self.leases.checkpoint(shard_id, me, sequence_number).await
            }
            Acknowledgement::Ended {
                shard_id, children, ..
            } => {
                // The children have leases before the parent ends, so that a crash in between loses none.
                let leases = self.leases.list().await?;
                self.sync(&leases).await?;
                let me = &self.options.name;
                let ended = self.leases.end(shard_id, me, children).await?;
                if ended {
                    self.held.remove(&**shard_id);
                    self.next_turn = Instant::now();
                }
                Ok(ended)
            }
        }
    }

    /// Keeps the leases for as long as it is polled, while a batch takes longer than they last. Does not end. It hands no
    /// lease over: its shard may have records that are not acknowledged.
    pub async fn hold(&mut self) {
        let mut next = self.next_turn;
        loop {
            sleep_until(next).await;
            let begun = Instant::now();
            next = begun + self.options.lease_time / 3;
            // The next turn reports what fails.
            if let Ok(leases) = self.leases.list().await {
                let _ = self.renew(&leases, begun).await;
            }
        }
    }

    /// Gives up all leases.
    ///
    /// # Errors
    /// Exit 1 if the table cannot be written: the leases expire then.
    pub async fn leave(&mut self) -> Result<()> {
        let keys: Vec<String> = self.held.drain().map(|(key, _)| key).collect();
        for keys in keys.chunks(AT_ONCE) {
            let releases = keys
                .iter()
                .map(|key| self.leases.release(key, &self.options.name));
            for released in join_all(releases).await {
                released?;
            }
        }
        Ok(())
    }

    /// Renews, hands over, takes and asks for leases.
    async fn turn(&mut self) -> Result<()> {
        let begun = Instant::now();
        self.next_turn = begun + self.options.lease_time / 3;
        let done = self.lease_work(begun).await;
        match done {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    let shard_id = Arc::from(LEASE_TABLE);
                    self.events.push_back(TailEvent::Recovered { shard_id });
                }
                Ok(())
            }
            Err(error) if is_temporary(&error) => {
                self.next_turn = begun + SOON.min(self.options.lease_time / 3);
                self.fails(&error);
                // Others may take what is not renewed.
                let dead: Vec<String> = self
                    .held
                    .keys()
                    .filter(|key| !self.is_valid(key))
                    .cloned()
                    .collect();
                dead.iter().for_each(|key| self.lose(key));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn fails(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.failing, true) {
            let reason = error.chain().join(": ");
            let shard_id = Arc::from(LEASE_TABLE);
            self.events.push_back(TailEvent::Failing { shard_id, reason });
        }
    }

    async fn lease_work(&mut self, begun: Instant) -> Result<()> {
        let mut leases = self.leases.list().await?;
        if self.next_sync <= begun {
            if self.sync(&leases).await? {
                leases = self.leases.list().await?;
            }
            self.next_sync = begun + SYNC;
        }
        self.hand_over(&leases).await?;
        self.renew(&leases, begun).await?;
        self.take_share(leases, begun).await
    }

    /// Hands over the leases that others claim, and drops those that others have.
    async fn hand_over(&mut self, leases: &[Lease]) -> Result<()> {
        let me = self.options.name.clone();
        let by_key: HashMap<&str, &Lease> = leases.iter().map(|lease| (lease.key.as_str(), lease)).collect();
        let held: Vec<String> = self.held.keys().cloned().collect();
        for key in held {
            let lease = by_key.get(key.as_str());
            let owner = lease.and_then(|lease| lease.owner.as_deref());
            let hands_over = lease.is_some_and(|lease| lease.handing_over.as_deref() == Some(me.as_str()));
            if owner == Some(me.as_str()) && !hands_over {
                continue;
            }
            self.lose(&key);
            if hands_over {
                self.leases.release(&key, &me).await?;
            }
        }
        Ok(())
    }

    async fn renew(&mut self, leases: &[Lease], begun: Instant) -> Result<()> {
        let me = self.options.name.as_str();
        let counters: HashMap<&str, i64> = leases
            .iter()
            .map(|lease| (lease.key.as_str(), lease.counter))
            .collect();
        let held = self.held.keys();
        let held: Vec<(String, i64)> = held
            .filter_map(|key| Some((key.clone(), *counters.get(key.as_str())?)))
            .collect();
        for chunk in held.chunks(AT_ONCE) {
            let renewals = chunk
                .iter()
                .map(|(key, counter)| self.leases.renew(key, me, *counter));
            for ((key, _), renewed) in chunk.iter().zip(join_all(renewals).await) {
                // A counter that another changed belongs to a claim or a loss: the next turn sees which.
                if renewed? && let Some(held) = self.held.get_mut(key) {
                    held.renewed = begun;
                }
            }
        }
        Ok(())
    }

    async fn take_share(&mut self, leases: Vec<Lease>, begun: Instant) -> Result<()> {
        let me = self.options.name.clone();
        self.counters
            .retain(|key, _| leases.iter().any(|lease| lease.key == *key));
        let seen: Vec<Seen> = leases
            .into_iter()
            .map(|lease| {
                let since = self
                    .counters
                    .entry(lease.key.clone())
                    .or_insert((lease.counter, begun));
                if since.0 != lease.counter {
                    *since = (lease.counter, begun);
                }
                Seen {
                    is_expired: lease.owner.is_some()
                        && !self.held.contains_key(&lease.key)
                        && begun.duration_since(since.1) >= self.options.lease_time,
                    lease,
                }
            })
            .collect();
        let decision = balance::decide(&seen, &me);
        let mut changes = !decision.claim.is_empty();
        for one in &seen {
            let lease = &one.lease;
            let is_mine = lease.owner.as_deref() == Some(me.as_str()) && !self.held.contains_key(&lease.key);
            if decision.take.contains(&lease.key) {
                if self.leases.take(lease, &me).await? {
                    self.read(lease);
                }
                changes = true;
            } else if is_mine && lease.handing_over.is_none() && !lease.is_ended() {
                // Its last owner has handed it over.
                self.read(lease);
            } else if is_mine && lease.handing_over.is_some() && !lease.is_ended() {
                changes = true;
            } else if decision.claim.contains(&lease.key) {
                self.leases.claim(lease, &me).await?;
            }
        }
        let ready = balance::ready(&seen);
        self.is_idle = !changes
            && ready
                .iter()
                .all(|one| one.lease.owner.is_some() && !one.is_expired);
        if changes {
            self.next_turn = self.next_turn.min(begun + SOON.min(self.options.lease_time / 3));
        }
        if !std::mem::replace(&mut self.said_started, true) {
            self.events.push_back(TailEvent::Started);
        }
        Ok(())
    }

    fn read(&mut self, lease: &Lease) {
        let held = Held {
            renewed: Instant::now(),
            is_at_end: false,
        };
        self.held.insert(lease.key.clone(), held);
        self.tail.assign(&lease.key, lease.start());
        let shard_id = Arc::from(lease.key.as_str());
        self.events.push_back(TailEvent::Taken { shard_id });
    }

    /// Creates leases for shards that have none. `true` if it did.
    async fn sync(&mut self, leases: &[Lease]) -> Result<bool> {
        let shards = self.shards().await?;
        // The service's time is rounded up: from an earlier time on, nothing is missed.
        let service_ms = self
            .source
            .time_ms()
            .map_or(i64::MAX, |ms| ms.saturating_sub(1000));
        self.start_ms = self.start_ms.min(service_ms);
        let new = new_leases(&shards, leases, &self.start, self.start_ms);
        for new in new.chunks(AT_ONCE) {
            for created in join_all(new.iter().map(|lease| self.leases.create(lease))).await {
                created?;
            }
        }
        Ok(!new.is_empty())
    }

    async fn shards(&self) -> Result<Vec<ShardInfo>> {
        let mut pauses = BACKOFF.pauses();
        let deadline = Instant::now() + self.options.lease_time;
        loop {
            let error = match self.source.shards().await {
                Ok(shards) => return Ok(shards),
                Err(ReadError::Expired) => Error::failed("could not list the shards"),
                Err(ReadError::Fatal(error) | ReadError::Damaged { error, .. }) => return Err(error),
                Err(ReadError::Throttled(error) | ReadError::Transient(error)) => error,
            };
            let Some(wait) = pauses.advance_until(deadline) else {
                return Err(error);
            };
            sleep(wait).await;
        }
    }
}

/// Whether a call may succeed later.
fn is_temporary(error: &Error) -> bool {
    error
        .class()
        .is_some_and(|class| class == Class::Throttle || class.is_outage())
}

/// The leases that shards without one get: what descends from a shard with a lease begins at its oldest record, and all
/// else where the group starts. What came before the shards with leases was read, or is older than the group.
pub(super) fn new_leases(shards: &[ShardInfo], leases: &[Lease], start: &Start, start_ms: i64) -> Vec<Lease> {
    let known: HashSet<&str> = leases.iter().map(|lease| lease.key.as_str()).collect();
    let is_known = |id: &str| known.contains(id);
    let is_at_tip = matches!(start, Start::Latest);
    // A member that was killed while it created the first leases leaves those that say when the group began.
    let began_ms = leases.iter().filter_map(|lease| lease.start_ms).min();
    let (checkpoint, start_ms) = match start {
        Start::Latest => (Checkpoint::Latest, Some(began_ms.unwrap_or(start_ms))),
        Start::Timestamp(ms) => (Checkpoint::AtTimestamp, Some(*ms)),
        _ => (Checkpoint::TrimHorizon, None),
    };
    let kinship = Kinship::of(shards);
    let descendant_of_known = |shard: &&ShardInfo| kinship.descends(&shard.id, is_known);
    let ancestors = kinship.ancestors(known.iter().copied());
    let missing = shards.iter().filter(|shard| !is_known(&shard.id));
    let begin: Vec<&ShardInfo> = missing
        .clone()
        .filter(|shard| !descendant_of_known(shard))
        .filter(|shard| shard.open || (!is_at_tip && !ancestors.contains(shard.id.as_str())))
        .collect();
    let begins: HashSet<&str> = begin.iter().map(|shard| shard.id.as_str()).collect();
    let lease = |shard: &ShardInfo, checkpoint: Checkpoint, start_ms: Option<i64>| Lease {
        key: shard.id.clone(),
        checkpoint,
        start_ms,
        parents: shard.parents.clone(),
        hash_keys: shard.hash_keys,
        ..Lease::default()
    };
    let continues = |shard: &ShardInfo| kinship.descends(&shard.id, |id| begins.contains(id));
    let begin = begin.iter().map(|shard| match continues(shard) {
        true => lease(shard, Checkpoint::TrimHorizon, None),
        false => lease(shard, checkpoint.clone(), start_ms),
    });
    let later = missing.filter(descendant_of_known);
    begin
        .chain(later.map(|shard| lease(shard, Checkpoint::TrimHorizon, None)))
        .collect()
}
