mod bounds;
mod resumed;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use insta::assert_snapshot;
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::{Instant, sleep, timeout};

use super::*;

/// A stream in memory: shards split and merge, iterators expire, reads are throttled, pages can be empty.
pub(super) struct FakeStream {
    inner: Mutex<Inner>,
    started: Instant,
}

struct Inner {
    shards: Vec<FakeShard>,
    sequence: u64,
    rng: StdRng,
    /// Percentage of reads that fail, each in a different way.
    trouble: u32,
    /// Number of next reads that find their iterator expired.
    expire_next: u32,
    behind: Behind,
    /// Records that make an answer undecodable, and whether the rest of it can be read.
    poison: HashMap<u64, bool>,
    /// Shards at the end that no answer names as children.
    hidden: usize,
    /// Reads of pages.
    pages: u64,
}

/// What a stream says of the distance to its tip.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behind {
    /// The age of the next unread record; 0 where there is none.
    Next,
    Zero,
    Nothing,
    Huge,
    /// The time since the last record read arrived, also where there is none after it.
    Last,
}

struct FakeShard {
    parents: Vec<usize>,
    /// Of keys 0 to 255, end exclusive.
    range: (u16, u16),
    records: Vec<(u64, i64, u8)>,
    closed: bool,
}

pub(super) const EPOCH_MS: i64 = 1_795_255_200_000;

impl FakeStream {
    pub(super) fn new(seed: u64, trouble: u32) -> Arc<Self> {
        let shard = FakeShard {
            parents: Vec::new(),
            range: (0, 256),
            records: Vec::new(),
            closed: false,
        };
        Arc::new(Self {
            inner: Mutex::new(Inner {
                shards: vec![shard],
                sequence: 0,
                rng: StdRng::seed_from_u64(seed),
                trouble,
                expire_next: 0,
                behind: Behind::Next,
                poison: HashMap::new(),
                hidden: 0,
                pages: 0,
            }),
            started: Instant::now(),
        })
    }

    pub(super) fn now_ms(&self) -> i64 {
        EPOCH_MS + self.started.elapsed().as_millis() as i64
    }

    pub(super) fn put(&self, key: u8) {
        let now = self.now_ms();
        let mut inner = self.inner.lock().unwrap();
        inner.sequence += 1;
        let sequence = inner.sequence;
        let in_range = |s: &&mut FakeShard| !s.closed && (s.range.0..s.range.1).contains(&u16::from(key));
        let shard = inner.shards.iter_mut().find(in_range).unwrap();
        shard.records.push((sequence, now, key));
    }

    fn open(inner: &Inner) -> Vec<usize> {
        let mut open: Vec<usize> = (0..inner.shards.len())
            .filter(|i| !inner.shards[*i].closed)
            .collect();
        open.sort_by_key(|i| inner.shards[*i].range);
        open
    }

    fn add(inner: &mut Inner, parents: Vec<usize>, range: (u16, u16)) {
        for parent in &parents {
            inner.shards[*parent].closed = true;
        }
        inner.shards.push(FakeShard {
            parents,
            range,
            records: Vec::new(),
            closed: false,
        });
    }

    pub(super) fn split(&self, which: usize) {
        let mut inner = self.inner.lock().unwrap();
        let open = Self::open(&inner);
        let shard = open[which % open.len()];
        let (low, high) = inner.shards[shard].range;
        if high - low >= 2 {
            let middle = low + (high - low) / 2;
            Self::add(&mut inner, vec![shard], (low, middle));
            Self::add(&mut inner, vec![shard], (middle, high));
        }
    }

    pub(super) fn merge(&self, which: usize) {
        let mut inner = self.inner.lock().unwrap();
        let open = Self::open(&inner);
        if open.len() >= 2 {
            let (a, b) = (open[which % (open.len() - 1)], open[which % (open.len() - 1) + 1]);
            let range = (inner.shards[a].range.0, inner.shards[b].range.1);
            Self::add(&mut inner, vec![a, b], range);
        }
    }

    /// The sequence number of the last record.
    pub(super) fn last(&self) -> u64 {
        self.inner.lock().unwrap().sequence
    }

    /// Answers with this record cannot be decoded; with `is_whole`, the other records of the answer can.
    fn poison(&self, sequence: u64, is_whole: bool) {
        self.inner.lock().unwrap().poison.insert(sequence, is_whole);
    }

    /// The last `count` shards are in no answer but the list.
    fn hide(&self, count: usize) {
        self.inner.lock().unwrap().hidden = count;
    }

    fn says(&self, behind: Behind) {
        self.inner.lock().unwrap().behind = behind;
    }

    fn expire_next(&self, times: u32) {
        self.inner.lock().unwrap().expire_next = times;
    }
}

fn id(index: usize) -> String {
    format!("shardId-{index:012}")
}

fn index(id: &str) -> usize {
    id.rsplit('-').next().unwrap().parse().unwrap()
}

fn info(inner: &Inner, i: usize) -> ShardInfo {
    ShardInfo {
        id: id(i),
        parents: inner.shards[i].parents.iter().map(|p| id(*p)).collect(),
        open: !inner.shards[i].closed,
        hash_keys: None,
    }
}

impl ShardSource for FakeStream {
    fn stream(&self) -> &str {
        "orders"
    }

    async fn shards(&self) -> Result<Vec<ShardInfo>, ReadError> {
        let inner = self.inner.lock().unwrap();
        Ok((0..inner.shards.len()).map(|i| info(&inner, i)).collect())
    }

    fn time_ms(&self) -> Option<i64> {
        Some(self.now_ms())
    }

    async fn iterator(&self, shard_id: &str, start: &IteratorStart) -> Result<String, ReadError> {
        sleep(Duration::from_millis(3)).await;
        let inner = self.inner.lock().unwrap();
        let records = &inner.shards[index(shard_id)].records;
        let find = |wanted: &dyn Fn(&(u64, i64, u8)) -> bool| {
            records.iter().position(wanted).unwrap_or(records.len())
        };
        let position = match start {
            IteratorStart::TrimHorizon => 0,
            IteratorStart::Latest => records.len(),
            IteratorStart::AtTimestamp(ms) => find(&|r| r.1 >= *ms),
            IteratorStart::At(number) => find(&|r| r.0 >= number.parse().unwrap()),
            IteratorStart::After(number) => find(&|r| r.0 > number.parse().unwrap()),
        };
        Ok(position.to_string())
    }

    async fn page(&self, shard_id: &Arc<str>, iterator: &str, limit: i32) -> Result<Page, ReadError> {
        sleep(Duration::from_millis(5)).await;
        let now = self.now_ms();
        let mut inner = self.inner.lock().unwrap();
        inner.pages += 1;
        let failure = |text: &str| ground::error::Error::failed(text);
        if inner.expire_next > 0 {
            inner.expire_next -= 1;
            return Err(ReadError::Expired);
        }
        let mut count = usize::try_from(limit).unwrap();
        let mut forget_children = false;
        if inner.rng.random_range(0..100) < inner.trouble {
            match inner.rng.random_range(0..5) {
                0 => return Err(ReadError::Throttled(failure("throttled"))),
                1 => return Err(ReadError::Transient(failure("broken"))),
                2 => return Err(ReadError::Expired),
                3 => count = 0,
                _ => forget_children = true,
            }
        }
        if inner.trouble > 0 {
            count = inner.rng.random_range(0..=count.min(4));
        }
        // Only a stream that tells how far the tip is may answer an empty page before it.
        if inner.behind != Behind::Next {
            count = count.max(1);
        }
        let i = index(shard_id);
        let from: usize = iterator.parse().unwrap();
        let shard = &inner.shards[i];
        let to = shard.records.len().min(from + count);
        let records = shard.records[from..to]
            .iter()
            .map(|(sequence, arrival, key)| TailRecord {
                shard_id: Arc::clone(shard_id),
                sequence_number: sequence.to_string(),
                arrival_ms: Some(*arrival),
                partition_key: key.to_string(),
                data: Bytes::from_static(b"x"),
                encryption: None,
            });
        let mut records: Vec<TailRecord> = records.collect();
        let over = shard.closed && to == shard.records.len();
        let named = inner.shards.len() - inner.hidden;
        let children = (0..named).filter(|c| inner.shards[*c].parents.contains(&i));
        let poisoned = |sequence: &u64| inner.poison.get(sequence).copied();
        let poison: Vec<bool> = shard.records[from..to]
            .iter()
            .filter_map(|r| poisoned(&r.0))
            .collect();
        let damaged = poison.iter().map(|_| "a record is left out".to_owned()).collect();
        records.retain(|record| poisoned(&record.sequence_number.parse().unwrap()).is_none());
        let page = Page {
            records,
            damaged,
            next: (!over).then(|| to.to_string()),
            behind_ms: match inner.behind {
                Behind::Next => Some(shard.records.get(to).map_or(0, |next| (now - next.1).max(1))),
                Behind::Zero => Some(0),
                Behind::Nothing => None,
                Behind::Huge => Some(i64::MAX),
                Behind::Last => Some(to.checked_sub(1).map_or(0, |last| now - shard.records[last].1)),
            },
            children: match over && !forget_children {
                true => children.map(|c| info(&inner, c)).collect(),
                false => Vec::new(),
            },
        };
        match poison.iter().all(|is_whole| *is_whole) {
            _ if poison.is_empty() => Ok(page),
            true => Err(ReadError::Damaged {
                error: failure("undecodable"),
                page: Some(Box::new(page)),
            }),
            false => Err(ReadError::Damaged {
                error: failure("undecodable"),
                page: None,
            }),
        }
    }
}

pub(super) fn options(start: Start) -> TailOptions {
    TailOptions {
        held_bytes: 4096,
        concurrency: 3,
        ..TailOptions::new(start, EPOCH_MS)
    }
}

pub(super) fn no_follow(start: Start) -> TailOptions {
    TailOptions {
        follow: false,
        ..options(start)
    }
}

/// Reads until the tail ends, or `count` records were read.
async fn collect(tail: &mut Tail<FakeStream>, count: usize) -> Vec<TailRecord> {
    let mut seen = Vec::new();
    while seen.len() < count {
        match timeout(Duration::from_secs(3600), tail.next())
            .await
            .expect("it hangs")
        {
            Some(Ok(TailEvent::Records(batch))) => seen.extend(batch.records),
            Some(Ok(_)) => {}
            Some(Err(error)) => panic!("{error}"),
            None => break,
        }
    }
    seen
}

fn sequences(records: &[TailRecord]) -> Vec<u64> {
    records
        .iter()
        .map(|r| r.sequence_number.parse().unwrap())
        .collect()
}

/// Checks that each of `expected` was read once, in rising order per key: keys move from parents to children only.
pub(super) fn check_once_in_order(records: &[TailRecord], expected: impl Iterator<Item = u64>) {
    let seen = sequences(records);
    let set: HashSet<u64> = seen.iter().copied().collect();
    assert_eq!(set.len(), seen.len(), "a record came twice");
    assert_eq!(set, expected.collect());
    let mut last: BTreeMap<&str, u64> = BTreeMap::new();
    for (record, sequence) in records.iter().zip(seen) {
        let before = last.insert(&record.partition_key, sequence).unwrap_or(0);
        assert!(before < sequence, "key {} went back", record.partition_key);
    }
}

async fn tail(stream: &Arc<FakeStream>, options: TailOptions) -> Tail<FakeStream> {
    Tail::start(Arc::clone(stream), options, &mut |_| {})
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn parents_are_read_before_children() {
    let stream = FakeStream::new(1, 0);
    for round in 0..4 {
        for key in 0..=255 {
            stream.put(key);
        }
        match round {
            0 | 1 => stream.split(round),
            _ => stream.merge(round),
        }
    }
    let mut tail = tail(&stream, no_follow(Start::TrimHorizon)).await;
    let records = collect(&mut tail, usize::MAX).await;
    check_once_in_order(&records, 1..=1024);
}

#[tokio::test(start_paused = true)]
async fn without_following_it_ends_at_the_tip_although_a_writer_goes_on() {
    let stream = FakeStream::new(1, 0);
    (0..5000).for_each(|_| stream.put(1));
    let writer = {
        let stream = Arc::clone(&stream);
        tokio::spawn(async move {
            loop {
                // Faster than the tail reads.
                (0..4000).for_each(|_| stream.put(2));
                sleep(Duration::from_millis(100)).await;
            }
        })
    };
    let mut tail = tail(&stream, no_follow(Start::TrimHorizon)).await;
    let records = collect(&mut tail, usize::MAX).await;
    writer.abort();
    assert!(records.len() >= 5000);
    assert_eq!(
        sequences(&records),
        (1..=records.len() as u64).collect::<Vec<_>>()
    );
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever the endpoint says of the distance to the tip: pauses between records, reshards, and a writer that goes on.
    #[test]
    fn without_following_every_record_of_before_the_start_is_read(
        ops in prop::collection::vec(any_op(), 0..30),
        behind in prop::sample::select(vec![
            Behind::Next, Behind::Zero, Behind::Nothing, Behind::Huge, Behind::Last,
        ]),
        seed: u64,
        trouble in 0u32..40,
        writer_goes_on: bool,
    ) {
        block_on(async move {
            let stream = FakeStream::new(seed, trouble);
            stream.says(behind);
            apply(&stream, &ops).await;
            let last = stream.inner.lock().unwrap().sequence;
            let mut tail = tail(&stream, no_follow(Start::TrimHorizon)).await;
            let writer = writer_goes_on.then(|| tokio::spawn({
                let stream = Arc::clone(&stream);
                async move {
                    loop {
                        sleep(Duration::from_millis(100)).await;
                        (0..=255).step_by(16).for_each(|key| stream.put(key));
                    }
                }
            }));
            let records = collect(&mut tail, usize::MAX).await;
            writer.inspect(|writer| writer.abort());
            let (old, new): (Vec<_>, Vec<_>) =
                records.into_iter().partition(|record| record.sequence_number.parse::<u64>().unwrap() <= last);
            check_once_in_order(&old, 1..=last);
            prop_assert!(new.is_empty(), "{} records of after the start", new.len());
            Ok(())
        })?;
    }
}

#[tokio::test(start_paused = true)]
async fn latest_survives_an_iterator_that_expires_before_anything_was_seen() {
    let stream = FakeStream::new(1, 0);
    stream.put(1);
    sleep(Duration::from_millis(10)).await;
    let options = TailOptions::new(Start::Latest, stream.now_ms());
    let mut tail = tail(&stream, options).await;
    assert!(matches!(tail.next().await, Some(Ok(TailEvent::Started))));
    stream.put(2);
    stream.put(3);
    stream.expire_next(1);
    let records = collect(&mut tail, 2).await;
    assert_eq!(
        sequences(&records),
        [2, 3],
        "nothing lost, and not the first record again"
    );
}

#[tokio::test(start_paused = true)]
async fn a_time_reaches_across_reshards() {
    let stream = FakeStream::new(1, 0);
    (0..10).for_each(|_| stream.put(1));
    stream.split(0);
    (0..10).for_each(|_| stream.put(1));
    sleep(Duration::from_secs(60)).await;
    let from = stream.now_ms();
    (0..10).for_each(|_| stream.put(1));
    stream.split(0);
    (0..10).for_each(|_| stream.put(1));
    let mut tail = tail(&stream, no_follow(Start::Timestamp(from))).await;
    let records = collect(&mut tail, usize::MAX).await;
    check_once_in_order(&records, 21..=40);
}

#[tokio::test(start_paused = true)]
async fn a_sequence_number_starts_one_shard_and_goes_on_in_its_children() {
    let stream = FakeStream::new(1, 0);
    (0..10).for_each(|_| stream.put(1));
    stream.split(0);
    (0..10).for_each(|_| stream.put(1));
    let start = Start::Sequence {
        shard_id: id(0),
        number: "6".into(),
    };
    let mut all = tail(&stream, no_follow(start.clone())).await;
    check_once_in_order(&collect(&mut all, usize::MAX).await, 6..=20);
    let one = TailOptions {
        shards: vec![id(0)],
        ..no_follow(start)
    };
    let mut one = tail(&stream, one).await;
    check_once_in_order(&collect(&mut one, usize::MAX).await, 6..=10);
}

#[test]
fn a_merged_shard_waits_for_a_parent_that_has_not_come_up_yet() {
    let shard = |id: &str, parents: &[&str]| ShardInfo {
        id: id.into(),
        parents: parents.iter().map(|p| (*p).to_owned()).collect(),
        open: true,
        hash_keys: None,
    };
    let ids = |lineage: &mut lineage::Lineage| -> Vec<String> {
        lineage.take_ready().into_iter().map(|(id, _)| id).collect()
    };
    let first = [shard("a", &["gone"]), shard("b", &[])];
    let mut lineage = lineage::Lineage::plan("orders", &first, &options(Start::Latest)).unwrap();
    assert_eq!(ids(&mut lineage), ["a", "b"]);
    // "a" became "c", "b" became "d", and both were merged before "b" was read to its end.
    lineage.drained("a", &[shard("c", &["a"])]);
    assert_eq!(ids(&mut lineage), ["c"]);
    lineage.drained("c", &[shard("e", &["c", "d"])]);
    assert!(
        ids(&mut lineage).is_empty(),
        "keys of d would be read after those of e"
    );
    lineage.drained("b", &[shard("d", &["b"])]);
    assert_eq!(ids(&mut lineage), ["d"]);
    lineage.drained("d", &[shard("e", &["c", "d"])]);
    assert_eq!(ids(&mut lineage), ["e"]);
}

#[test]
fn a_child_listed_beside_its_open_parent_is_read_from_its_beginning() {
    let shard = |id: &str, parent: Option<&str>| ShardInfo {
        id: id.into(),
        parents: parent.map(str::to_owned).into_iter().collect(),
        open: true,
        hash_keys: None,
    };
    let listed = [shard("a", None), shard("b", Some("a"))];
    let mut lineage = lineage::Lineage::plan("orders", &listed, &options(Start::Latest)).unwrap();
    let from = |id: &str, start| (id.to_owned(), lineage::ShardStart::Iterator(start));
    assert_eq!(lineage.take_ready(), [from("a", IteratorStart::Latest)]);
    lineage.drained("a", &[]);
    assert_eq!(lineage.take_ready(), [from("b", IteratorStart::TrimHorizon)]);
}

#[tokio::test(start_paused = true)]
async fn reads_keep_to_five_a_second() {
    let stream = FakeStream::new(1, 0);
    (0..100_000).for_each(|_| stream.put(1));
    let started = Instant::now();
    let mut tail = tail(&stream, no_follow(Start::TrimHorizon)).await;
    assert_eq!(collect(&mut tail, usize::MAX).await.len(), 100_000);
    // Pages of 250 and 2,500, ten of 10,000, and two without records.
    assert!(started.elapsed() >= Duration::from_millis(13 * 200));
    assert!(started.elapsed() < Duration::from_millis(15 * 205));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_taken_stops_the_reading() {
    let stream = FakeStream::new(1, 0);
    (0..50_000).for_each(|_| stream.put(1));
    let mut tail = tail(&stream, no_follow(Start::TrimHorizon)).await;
    assert!(matches!(tail.next().await, Some(Ok(TailEvent::Records(_)))));
    sleep(Duration::from_secs(60)).await;
    assert!(tail.shared.memory.available_permits() <= 4);
    assert!(collect(&mut tail, usize::MAX).await.len() >= 49_000);
}

/// Memory is taken before a large page is read: reads at the same time have no more than that all together.
#[tokio::test(start_paused = true)]
async fn pages_that_are_being_read_count() {
    let stream = FakeStream::new(1, 0);
    (0..3).for_each(|depth| (0..1 << depth).for_each(|which| stream.split(which * 2)));
    for _ in 0..5_000 {
        (0..=255).step_by(32).for_each(|key| stream.put(key));
    }
    let options = TailOptions {
        held_bytes: 1 << 20,
        concurrency: 32,
        ..no_follow(Start::TrimHorizon)
    };
    let mut tail = tail(&stream, options).await;
    sleep(Duration::from_secs(60)).await;
    let pages = stream.inner.lock().unwrap().pages;
    // The parents are empty. After the first pages of the eight shards, of 250 records, memory for a second page of each, of
    // 2,500, is more than there is.
    assert!(pages <= 7 + 8 + 1, "{pages} pages were read");
    assert_eq!(collect(&mut tail, usize::MAX).await.len(), 40_000);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_shard_is_refused() {
    let stream = FakeStream::new(1, 0);
    let options = TailOptions {
        shards: vec![id(7)],
        ..options(Start::Latest)
    };
    let error = Tail::start(stream, options, &mut |_| {}).await.err().unwrap();
    assert_snapshot!(error, @"the stream has no shard shardId-000000000007");
}

/// What happens to a stream while it is tailed.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Put(Vec<u8>),
    Split(usize),
    Merge(usize),
    Wait(u64),
}

pub(super) fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 1..20).prop_map(Op::Put),
        1 => (0usize..8).prop_map(Op::Split),
        1 => (0usize..8).prop_map(Op::Merge),
        2 => (0u64..3000).prop_map(Op::Wait),
    ]
}

pub(super) async fn apply(stream: &FakeStream, ops: &[Op]) {
    for op in ops {
        match op {
            Op::Put(keys) => keys.iter().for_each(|key| stream.put(*key)),
            Op::Split(which) => stream.split(*which),
            Op::Merge(which) => stream.merge(*which),
            Op::Wait(ms) => sleep(Duration::from_millis(*ms)).await,
        }
    }
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]

    #[test]
    fn each_record_comes_once_and_in_order(
        before in prop::collection::vec(any_op(), 0..20),
        during in prop::collection::vec(any_op(), 0..30),
        seed: u64,
        trouble in 0u32..60,
        latest: bool,
    ) {
        block_on(async move {
            let stream = FakeStream::new(seed, trouble);
            apply(&stream, &before).await;
            // The start of "latest" must not share its millisecond with earlier records.
            sleep(Duration::from_millis(10)).await;
            let first = if latest { stream.inner.lock().unwrap().sequence + 1 } else { 1 };
            let start = if latest { Start::Latest } else { Start::TrimHorizon };
            let options = TailOptions { now_ms: stream.now_ms(), ..options(start) };
            let mut tail = tail(&stream, options).await;
            let mut early = Vec::new();
            loop {
                match tail.next().await {
                    Some(Ok(TailEvent::Started)) => break,
                    Some(Ok(TailEvent::Records(batch))) => early.extend(batch.records),
                    other => assert!(other.is_some_and(|event| event.is_ok())),
                }
            }
            let writer = tokio::spawn({
                let stream = Arc::clone(&stream);
                async move { apply(&stream, &during).await }
            });
            let writing = async {
                writer.await.unwrap();
                stream.inner.lock().unwrap().sequence
            };
            let mut seen = early;
            let last = {
                tokio::pin!(writing);
                loop {
                    tokio::select! {
                        last = &mut writing => break last,
                        event = tail.next() => if let Some(Ok(TailEvent::Records(batch))) = event {
                            seen.extend(batch.records);
                        },
                    }
                }
            };
            let left = (last + 1 - first) as usize - seen.len();
            seen.extend(collect(&mut tail, left).await);
            // No further records may follow.
            let more = timeout(Duration::from_secs(20), collect(&mut tail, 1)).await;
            assert!(more.is_err(), "more records than there are");
            check_once_in_order(&seen, first..=last);
        });
    }
}
