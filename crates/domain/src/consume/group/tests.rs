//! Members of a group in virtual time: joined, left, killed, and cut off from the table.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::admin::reset_plan;
use super::member::new_leases;
use super::*;
use crate::consume::tests::{FakeStream, any_op, apply, block_on, check_once_in_order, options};
use crate::consume::{Acknowledgement, IteratorStart, ShardInfo, Start, TailEvent, TailOptions, TailRecord};
use ground::error::aws::Class;

/// A lease table in memory, with calls that take time and fail.
struct FakeTable {
    leases: Mutex<BTreeMap<String, Lease>>,
    rng: Mutex<StdRng>,
    trouble: u32,
}

impl FakeTable {
    fn new(trouble: u32) -> Arc<Self> {
        Arc::new(Self {
            leases: Mutex::default(),
            rng: Mutex::new(StdRng::seed_from_u64(7)),
            trouble,
        })
    }

    async fn call(&self) -> Result<()> {
        sleep(Duration::from_millis(4)).await;
        match self.rng.lock().unwrap().random_range(0..100) < self.trouble {
            true => Err(Error::failed("throttled").with_class(Class::Throttle)),
            false => Ok(()),
        }
    }

    /// Changes the lease of `key` if `holds`.
    async fn change(
        &self,
        key: &str,
        holds: impl Fn(&Lease) -> bool + Send,
        change: impl Fn(&mut Lease) + Send,
    ) -> Result<bool> {
        self.call().await?;
        let mut leases = self.leases.lock().unwrap();
        let lease = leases.get_mut(key).filter(|lease| holds(lease));
        Ok(lease.map(change).is_some())
    }

    fn lease(&self, key: &str) -> Lease {
        self.leases.lock().unwrap()[key].clone()
    }
}

fn reads(lease: &Lease, me: &str) -> bool {
    match &lease.handing_over {
        Some(handing_over) => handing_over == me,
        None => lease.owner.as_deref() == Some(me),
    }
}

#[async_trait]
impl Leases for FakeTable {
    async fn list(&self) -> Result<Vec<Lease>> {
        self.call().await?;
        Ok(self.leases.lock().unwrap().values().cloned().collect())
    }

    async fn create(&self, lease: &Lease) -> Result<bool> {
        self.call().await?;
        let mut leases = self.leases.lock().unwrap();
        let is_new = !leases.contains_key(&lease.key);
        leases.entry(lease.key.clone()).or_insert_with(|| lease.clone());
        Ok(is_new)
    }

    async fn renew(&self, key: &str, owner: &str, counter: i64) -> Result<bool> {
        let is_owner = |lease: &Lease| {
            lease.owner.as_deref() == Some(owner) || lease.handing_over.as_deref() == Some(owner)
        };
        self.change(
            key,
            |lease| lease.counter == counter && is_owner(lease),
            |lease| lease.counter += 1,
        )
        .await
    }

    async fn take(&self, lease: &Lease, owner: &str) -> Result<bool> {
        self.change(
            &lease.key,
            |now| now.counter == lease.counter && now.owner == lease.owner,
            |now| {
                now.owner = Some(owner.to_owned());
                now.handing_over = None;
                now.counter += 1;
            },
        )
        .await
    }

    async fn claim(&self, lease: &Lease, owner: &str) -> Result<bool> {
        self.change(
            &lease.key,
            |now| now.owner == lease.owner && now.handing_over.is_none(),
            |now| now.handing_over = now.owner.replace(owner.to_owned()),
        )
        .await
    }

    async fn checkpoint(&self, key: &str, owner: &str, sequence_number: &str) -> Result<bool> {
        self.change(
            key,
            |lease| reads(lease, owner),
            |lease| {
                lease.is_ours = true;
                lease.start_ms = None;
                lease.checkpoint = Checkpoint::At {
                    number: sequence_number.to_owned(),
                    sub_sequence: 0,
                };
            },
        )
        .await
    }

    async fn end(&self, key: &str, owner: &str, children: &[String]) -> Result<bool> {
        self.change(
            key,
            |lease| reads(lease, owner),
            |lease| {
                lease.checkpoint = Checkpoint::ShardEnd;
                lease.children = children.to_vec();
                lease.owner = None;
                lease.handing_over = None;
            },
        )
        .await
    }

    async fn release(&self, key: &str, owner: &str) -> Result<bool> {
        let is_owner = |lease: &Lease| {
            lease.owner.as_deref() == Some(owner) || lease.handing_over.as_deref() == Some(owner)
        };
        self.change(key, is_owner, |lease| {
            lease.counter += 1;
            if lease.handing_over.take().is_none() {
                lease.owner = None;
            }
        })
        .await
    }
}

/// What all members have written, and what of it was not acknowledged.
#[derive(Default)]
struct Log {
    records: Mutex<Vec<TailRecord>>,
    open: Mutex<HashSet<u64>>,
}

struct Running {
    task: JoinHandle<()>,
    stop: watch::Sender<bool>,
}

impl Running {
    async fn leave(self) {
        self.stop.send_replace(true);
        self.task.await.unwrap();
    }

    fn kill(&self) {
        self.task.abort();
    }
}

const LEASE_TIME: Duration = Duration::from_secs(10);

fn member(
    stream: &Arc<FakeStream>,
    table: &Arc<FakeTable>,
    log: &Arc<Log>,
    name: &str,
    start: Start,
) -> Running {
    let (stream, table, log) = (Arc::clone(stream), Arc::clone(table), Arc::clone(log));
    let (stop, mut stopped) = watch::channel(false);
    let member = MemberOptions {
        name: name.to_owned(),
        lease_time: LEASE_TIME,
    };
    let task = tokio::spawn(async move {
        let tail = TailOptions {
            now_ms: stream.now_ms(),
            held_bytes: 1 << 20,
            ..options(start)
        };
        let mut member = Member::join(stream, table, tail, member).await.unwrap();
        loop {
            let event = tokio::select! {
                biased;
                _ = stopped.changed() => break,
                event = member.next() => event.unwrap().unwrap(),
            };
            let done = Acknowledgement::of(&event);
            let mut numbers: Vec<u64> = Vec::new();
            if let TailEvent::Records(batch) = event {
                numbers.extend(
                    batch
                        .records
                        .iter()
                        .map(|r| r.sequence_number.parse::<u64>().unwrap()),
                );
                log.open.lock().unwrap().extend(&numbers);
                log.records.lock().unwrap().extend(batch.records);
            }
            if let Some(done) = done {
                member.acknowledge(done).await.unwrap();
            }
            let mut open = log.open.lock().unwrap();
            numbers.iter().for_each(|number| {
                open.remove(number);
            });
        }
        // The table may be busy; leases that are not given up expire.
        let _ = member.leave().await;
    });
    Running { task, stop }
}

/// Waits until as many different records were written as the stream has.
async fn all_written(stream: &FakeStream, log: &Log) {
    let deadline = Instant::now() + Duration::from_secs(3600);
    loop {
        let numbers: HashSet<String> = {
            let records = log.records.lock().unwrap();
            records
                .iter()
                .map(|record| record.sequence_number.clone())
                .collect()
        };
        if numbers.len() as u64 == stream.last() {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "{} of {}",
            numbers.len(),
            stream.last()
        );
        sleep(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn members_share_the_shards_and_hand_them_over_without_repeating_a_record() {
    let stream = FakeStream::new(1, 0);
    for which in 0..7 {
        stream.split(which);
    }
    let (table, log) = (FakeTable::new(0), Arc::new(Log::default()));
    let writer = tokio::spawn({
        let stream = Arc::clone(&stream);
        async move {
            for n in 0..1200_u32 {
                stream.put((n.wrapping_mul(31) % 256) as u8);
                sleep(Duration::from_millis(100)).await;
                match n {
                    400 => stream.split(3),
                    600 => stream.merge(1),
                    _ => {}
                }
            }
        }
    });
    let mut members = Vec::new();
    for name in ["one", "two", "three"] {
        members.push(member(&stream, &table, &log, name, Start::TrimHorizon));
        sleep(Duration::from_secs(20)).await;
    }
    let counts = || {
        let leases = table.leases.lock().unwrap();
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for owner in leases.values().filter_map(|lease| lease.owner.clone()) {
            *counts.entry(owner).or_default() += 1;
        }
        counts
    };
    let shared = counts();
    assert_eq!(shared.len(), 3, "{shared:?}");
    assert!(
        shared.values().max().unwrap() - shared.values().min().unwrap() <= 1,
        "{shared:?}"
    );
    members.remove(0).leave().await;
    sleep(Duration::from_secs(20)).await;
    assert_eq!(counts().len(), 2);
    writer.await.unwrap();
    all_written(&stream, &log).await;
    for member in members {
        member.leave().await;
    }
    assert!(counts().is_empty(), "who leaves gives up its leases");
    check_once_in_order(&log.records.lock().unwrap(), 1..=stream.last());
}

#[tokio::test(start_paused = true)]
async fn the_shards_of_a_killed_member_are_taken_within_the_lease_time() {
    let stream = FakeStream::new(1, 0);
    stream.split(0);
    let (table, log) = (FakeTable::new(0), Arc::new(Log::default()));
    let one = member(&stream, &table, &log, "one", Start::TrimHorizon);
    sleep(Duration::from_secs(5)).await;
    one.kill();
    (0..=255).for_each(|key| stream.put(key));
    let two = member(&stream, &table, &log, "two", Start::TrimHorizon);
    sleep(LEASE_TIME + Duration::from_secs(5)).await;
    check_once_in_order(&log.records.lock().unwrap(), 1..=256);
    two.leave().await;
}

#[tokio::test(start_paused = true)]
async fn latest_misses_nothing_if_the_first_member_dies_before_its_first_record() {
    let stream = FakeStream::new(1, 0);
    (0..10).for_each(|key| stream.put(key));
    // A start has the precision of a second.
    sleep(Duration::from_secs(3)).await;
    let (table, log) = (FakeTable::new(0), Arc::new(Log::default()));
    let one = member(&stream, &table, &log, "one", Start::Latest);
    sleep(Duration::from_secs(1)).await;
    one.kill();
    (10..20).for_each(|key| stream.put(key));
    sleep(Duration::from_secs(30)).await;
    let two = member(&stream, &table, &log, "two", Start::Latest);
    sleep(Duration::from_secs(30)).await;
    check_once_in_order(&log.records.lock().unwrap(), 11..=20);
    two.leave().await;
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    /// Three members, of which one is killed or leaves again and again, while the stream is resharded and calls fail.
    #[test]
    fn nothing_is_missing_and_only_what_was_not_acknowledged_is_repeated(
        ops in prop::collection::vec(any_op(), 1..40),
        turns in prop::collection::vec((0usize..3, any::<bool>(), 0u64..20_000), 0..10),
        seed: u64,
        trouble in 0u32..30,
    ) {
        block_on(async move {
            let stream = FakeStream::new(seed, trouble);
            let (table, log) = (FakeTable::new(trouble), Arc::new(Log::default()));
            let name = |number: usize| format!("member-{number}");
            let mut count = 3;
            let mut members: Vec<Running> =
                (0..3).map(|number| member(&stream, &table, &log, &name(number), Start::TrimHorizon)).collect();
            let writer = tokio::spawn({
                let stream = Arc::clone(&stream);
                async move { apply(&stream, &ops).await }
            });
            for (which, kills, wait) in turns {
                sleep(Duration::from_millis(wait)).await;
                let new = member(&stream, &table, &log, &name(count), Start::TrimHorizon);
                count += 1;
                let old = std::mem::replace(&mut members[which], new);
                match kills {
                    true => old.kill(),
                    false => old.leave().await,
                }
            }
            writer.await.unwrap();
            all_written(&stream, &log).await;
            members.iter().for_each(Running::kill);
            let open = log.open.lock().unwrap();
            let mut once = HashSet::new();
            for record in log.records.lock().unwrap().iter() {
                let number: u64 = record.sequence_number.parse().unwrap();
                prop_assert!(once.insert(number) || open.contains(&number) || trouble > 0, "{} came twice", number);
            }
            Ok(())
        })?;
    }
}

fn shard(id: &str, parents: &[&str], open: bool) -> ShardInfo {
    ShardInfo {
        id: id.into(),
        parents: parents.iter().map(|parent| (*parent).to_owned()).collect(),
        open,
        hash_keys: Some((0, 9)),
    }
}

fn lease_of(key: &str, checkpoint: Checkpoint) -> Lease {
    Lease {
        key: key.into(),
        checkpoint,
        ..Lease::default()
    }
}

/// Keys and checkpoints.
fn made(shards: &[ShardInfo], leases: &[Lease], start: &Start) -> Vec<(String, String)> {
    let new = new_leases(shards, leases, start, 5);
    new.into_iter()
        .map(|lease| (lease.key, lease.checkpoint.to_string()))
        .collect()
}

#[test]
fn the_first_leases_depend_on_the_start() {
    let shards = [
        shard("a", &[], false),
        shard("b", &["a"], true),
        shard("c", &[], true),
    ];
    let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
        pairs
            .iter()
            .map(|(key, at)| ((*key).to_owned(), (*at).to_owned()))
            .collect()
    };
    assert_eq!(
        made(&shards, &[], &Start::Latest),
        pairs(&[("b", "LATEST"), ("c", "LATEST")])
    );
    assert_eq!(
        made(&shards, &[], &Start::TrimHorizon),
        pairs(&[
            ("a", "TRIM_HORIZON"),
            ("b", "TRIM_HORIZON"),
            ("c", "TRIM_HORIZON")
        ])
    );
    assert_eq!(
        made(&shards, &[], &Start::Timestamp(9)),
        pairs(&[
            ("a", "AT_TIMESTAMP"),
            ("b", "TRIM_HORIZON"),
            ("c", "AT_TIMESTAMP")
        ])
    );
}

#[test]
fn a_child_begins_at_its_oldest_record_and_a_finished_parent_is_not_read_again() {
    let shards = [
        shard("a", &[], false),
        shard("b", &["a"], false),
        shard("c", &["b"], true),
    ];
    let trim = |key: &str| vec![(key.to_owned(), "TRIM_HORIZON".to_owned())];
    let ended = lease_of("b", Checkpoint::ShardEnd);
    assert_eq!(made(&shards, &[ended], &Start::Latest), trim("c"));
    // The KCL deletes the leases of shards that have ended.
    let last = lease_of("c", Checkpoint::Latest);
    assert!(made(&shards, &[last], &Start::TrimHorizon).is_empty());
}

#[test]
fn a_reset_writes_the_leases_anew() {
    let shards = [shard("a", &[], false), shard("b", &["a"], true)];
    let leases = [
        lease_of("a", Checkpoint::ShardEnd),
        lease_of("b", Checkpoint::Latest),
        lease_of("gone", Checkpoint::ShardEnd),
    ];
    let all = reset_plan("orders", &shards, &leases, &Start::TrimHorizon, 5, &[]).unwrap();
    let keys: Vec<&str> = all.put.iter().map(|lease| lease.key.as_str()).collect();
    assert_eq!((keys, all.delete), (vec!["a", "b"], vec!["gone".to_owned()]));
    assert!(
        all.put
            .iter()
            .all(|lease| lease.counter == 1 && lease.owner.is_none())
    );
    let number = Start::Sequence {
        shard_id: "b".into(),
        number: "7".into(),
    };
    let one = reset_plan("orders", &shards, &leases, &number, 5, &[]).unwrap();
    assert_eq!(one.delete, Vec::<String>::new());
    assert_eq!(one.put[0].start(), IteratorStart::At("7".into()));
    let other = [lease_of("x", Checkpoint::Latest)];
    assert!(reset_plan("orders", &shards, &other, &Start::TrimHorizon, 5, &[]).is_err());
    assert!(
        reset_plan(
            "orders",
            &shards,
            &leases,
            &Start::TrimHorizon,
            5,
            &["z".to_owned()]
        )
        .is_err()
    );
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_another_took_is_not_written_any_more() {
    let stream = FakeStream::new(1, 0);
    let (table, log) = (FakeTable::new(0), Arc::new(Log::default()));
    let one = member(&stream, &table, &log, "one", Start::TrimHorizon);
    sleep(Duration::from_secs(5)).await;
    let key = "shardId-000000000000";
    let lease = table.lease(key);
    assert!(table.take(&lease, "thief").await.unwrap());
    stream.put(1);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(table.lease(key).checkpoint, Checkpoint::TrimHorizon);
    one.leave().await;
    assert_eq!(table.lease(key).owner.as_deref(), Some("thief"));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_busy_holds_its_leases() {
    let stream = FakeStream::new(1, 0);
    stream.split(0);
    (0..=255).for_each(|key| stream.put(key));
    let (table, log) = (FakeTable::new(0), Arc::new(Log::default()));
    let busy = MemberOptions {
        name: "busy".to_owned(),
        lease_time: LEASE_TIME,
    };
    let tail = TailOptions {
        held_bytes: 1 << 20,
        ..options(Start::TrimHorizon)
    };
    let mut busy = Member::join(Arc::clone(&stream), Arc::clone(&table) as _, tail, busy)
        .await
        .unwrap();
    let other = member(&stream, &table, &log, "other", Start::TrimHorizon);
    let mut seen = Vec::new();
    while seen.len() < 128 {
        let event = busy.next().await.unwrap().unwrap();
        let done = Acknowledgement::of(&event);
        if let TailEvent::Records(batch) = event {
            // The other member asks for its share, and takes what is not renewed.
            let _ = tokio::time::timeout(6 * LEASE_TIME, busy.hold()).await;
            seen.extend(batch.records);
        }
        if let Some(done) = done {
            busy.acknowledge(done).await.unwrap();
        }
    }
    let _ = busy.leave().await;
    sleep(2 * LEASE_TIME).await;
    other.leave().await;
    seen.extend(log.records.lock().unwrap().drain(..));
    check_once_in_order(&seen, 1..=256);
}
