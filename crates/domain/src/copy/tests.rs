use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;

use proptest::prelude::*;

use super::*;
use crate::consume::{Page, ShardInfo};
use crate::produce::PutSummary;
use ground::error::Error;

/// A stream of two parents and their child, with 300 records in each.
struct Source {
    shards: Vec<(ShardInfo, Vec<TailRecord>)>,
}

fn id(index: usize) -> String {
    format!("shardId-{index:012}")
}

fn source() -> Arc<Source> {
    let shard = |index: usize, parents: Vec<String>, open| {
        let info = ShardInfo {
            id: id(index),
            parents,
            open,
            hash_keys: None,
        };
        let records = (0..300).map(|n| TailRecord {
            shard_id: id(index).into(),
            sequence_number: (1000 * index + n).to_string(),
            arrival_ms: Some(n as i64),
            partition_key: format!("k{}", n % 7),
            data: format!("{index}-{n}").into_bytes().into(),
            encryption: None,
        });
        (info, records.collect())
    };
    Arc::new(Source {
        shards: vec![
            shard(0, Vec::new(), false),
            shard(1, Vec::new(), false),
            shard(2, vec![id(0), id(1)], true),
        ],
    })
}

impl Source {
    fn records(&self, shard_id: &str) -> &[TailRecord] {
        let shard = self.shards.iter().find(|(info, _)| info.id == shard_id);
        shard.map_or(&[], |(_, records)| records)
    }
}

impl ShardSource for Source {
    fn stream(&self) -> &str {
        "orders"
    }

    async fn shards(&self) -> std::result::Result<Vec<ShardInfo>, ReadError> {
        Ok(self.shards.iter().map(|(info, _)| info.clone()).collect())
    }

    async fn iterator(
        &self,
        shard_id: &str,
        start: &IteratorStart,
    ) -> std::result::Result<String, ReadError> {
        let records = self.records(shard_id);
        let number = |record: &TailRecord| record.sequence_number.parse::<u64>().unwrap();
        Ok(match start {
            IteratorStart::TrimHorizon => 0,
            IteratorStart::Latest => records.len(),
            IteratorStart::AtTimestamp(ms) => records.partition_point(|r| r.arrival_ms < Some(*ms)),
            IteratorStart::At(at) => records.partition_point(|r| number(r) < at.parse().unwrap()),
            IteratorStart::After(after) => records.partition_point(|r| number(r) <= after.parse().unwrap()),
        }
        .to_string())
    }

    async fn page(
        &self,
        shard_id: &Arc<str>,
        iterator: &str,
        _limit: i32,
    ) -> std::result::Result<Page, ReadError> {
        let records = self.records(shard_id);
        let from: usize = iterator.parse().unwrap();
        let until = (from + 40).min(records.len());
        let is_open = **shard_id == id(2);
        let ended = until == records.len() && !is_open;
        Ok(Page {
            records: records[from..until].to_vec(),
            next: (!ended).then(|| until.to_string()),
            behind_ms: Some(i64::from(until < records.len())),
            children: match ended {
                true => vec![self.shards[2].0.clone()],
                false => Vec::new(),
            },
            ..Page::default()
        })
    }
}

/// Acknowledges everything until it has taken `left` chunks; of the next it acknowledges a part.
#[derive(Default)]
struct Target {
    stored: Mutex<Vec<Record>>,
    left: Option<usize>,
}

impl Sink for &Target {
    async fn send(&mut self, records: Vec<Record>, _: &mut (dyn FnMut(PutEvent<'_>) + Send)) -> PutResult {
        let mut stored = self.stored.lock().unwrap();
        let taken: usize = stored.len();
        let acknowledged = match self.left {
            Some(left) if taken + records.len() > left => left.saturating_sub(taken),
            _ => records.len(),
        };
        stored.extend(records[..acknowledged].iter().cloned());
        PutResult {
            summary: PutSummary {
                acknowledged: acknowledged as u64,
                ..PutSummary::default()
            },
            end: match acknowledged == records.len() {
                true => PutEnd::Complete,
                false => PutEnd::Aborted(Error::failed("no permission")),
            },
            input_ended: true,
        }
    }
}

async fn run(target: &Target, checkpoint: &mut CopyCheckpoint, limit: Option<u64>) -> (CopySummary, CopyEnd) {
    let mut options = TailOptions::new(Start::TrimHorizon, 1_000_000);
    options.follow = false;
    begin(checkpoint, &*source(), &options).await.unwrap();
    options.progress = checkpoint.progress();
    let tail = Tail::start(source(), options, &mut |_| {}).await.unwrap();
    let mut sink = target;
    copy(tail, &mut sink, checkpoint, limit, &Stop::default(), &mut |_| {})
        .await
        .unwrap()
}

/// The data of each shard of the source, in the order of the copy.
fn by_shard(records: &[Record]) -> BTreeMap<String, Vec<u32>> {
    let mut shards: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    for record in records {
        let text = String::from_utf8(record.data.to_vec()).unwrap();
        let (shard, number) = text.split_once('-').unwrap();
        let number: u32 = number.parse().unwrap();
        assert_eq!(record.partition_key, format!("k{}", number % 7));
        shards.entry(shard.to_owned()).or_default().push(number);
    }
    shards
}

#[tokio::test(start_paused = true)]
async fn every_record_is_copied_once_and_in_order() {
    let target = Target::default();
    let mut checkpoint = CopyCheckpoint::open(None, "a", "b").unwrap();
    let (summary, end) = run(&target, &mut checkpoint, None).await;
    assert!(matches!(end, CopyEnd::Complete), "{end:?}");
    assert_eq!((summary.copied, summary.shards_ended), (900, 2));
    let stored = target.stored.lock().unwrap();
    let shards = by_shard(&stored);
    assert!(
        shards
            .values()
            .all(|numbers| *numbers == (0..300).collect::<Vec<_>>())
    );
    // The child comes after both parents.
    let first_of_child = stored
        .iter()
        .position(|record| record.data.starts_with(b"2-"))
        .unwrap();
    assert_eq!(first_of_child, 600);
    let progress = checkpoint.progress();
    let expected = [
        (id(0), Progress::Ended),
        (id(1), Progress::Ended),
        (id(2), Progress::After("2299".to_owned())),
    ];
    assert_eq!(progress, HashMap::from(expected));
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_belongs_to_one_copy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("c.json");
    let mut checkpoint = CopyCheckpoint::open(Some(&path), "a", "b").unwrap();
    assert!(!checkpoint.is_begun());
    run(&Target::default(), &mut checkpoint, Some(10)).await;
    let again = CopyCheckpoint::open(Some(&path), "a", "b").unwrap();
    assert!(again.is_begun());
    assert_eq!(again.progress(), checkpoint.progress());
    let other = CopyCheckpoint::open(Some(&path), "a", "c").unwrap_err();
    assert_eq!(other.exit(), ground::exit::Exit::Usage);
    std::fs::write(&path, "{").unwrap();
    assert!(CopyCheckpoint::open(Some(&path), "a", "b").is_err());
}

#[tokio::test(start_paused = true)]
async fn a_stop_sends_no_further_chunk() {
    let target = Target::default();
    let mut checkpoint = CopyCheckpoint::open(None, "a", "b").unwrap();
    let mut options = TailOptions::new(Start::TrimHorizon, 1_000_000);
    options.follow = true;
    let tail = Tail::start(source(), options, &mut |_| {}).await.unwrap();
    let stop = Stop::default();
    let later = stop.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        later.set();
    });
    let mut sink = &target;
    let (summary, end) = copy(tail, &mut sink, &mut checkpoint, None, &stop, &mut |_| {})
        .await
        .unwrap();
    assert!(matches!(end, CopyEnd::Stopped));
    assert_eq!(summary.copied, 900, "all were copied long before");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(24) })]

    #[test]
    fn a_copy_goes_on_after_its_checkpoint(failures in prop::collection::vec(0usize..900, 0..4), limits in prop::collection::vec(1u64..400, 0..4)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.json");
        let stored = runtime.block_on(async {
            let mut all = Vec::new();
            for limit in limits {
                let target = Target::default();
                let mut checkpoint = CopyCheckpoint::open(Some(&path), "a", "b").unwrap();
                run(&target, &mut checkpoint, Some(limit)).await;
                all.extend(target.stored.into_inner().unwrap());
            }
            for left in failures {
                let target = Target { left: Some(left), ..Target::default() };
                let mut checkpoint = CopyCheckpoint::open(Some(&path), "a", "b").unwrap();
                run(&target, &mut checkpoint, None).await;
                all.extend(target.stored.into_inner().unwrap());
            }
            let target = Target::default();
            let mut checkpoint = CopyCheckpoint::open(Some(&path), "a", "b").unwrap();
            run(&target, &mut checkpoint, None).await;
            all.extend(target.stored.into_inner().unwrap());
            all
        });
        let shards = by_shard(&stored);
        prop_assert_eq!(shards.len(), 3);
        for (shard, numbers) in shards {
            // Nothing is missing; a record is there again only after a chunk that failed.
            let mut next = 0;
            for number in &numbers {
                prop_assert!(*number <= next, "{} misses {}", shard, next);
                next = next.max(number + 1);
            }
            prop_assert_eq!(next, 300, "{}", shard);
        }
    }
}
