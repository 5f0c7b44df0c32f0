mod lanes;
mod stream;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::sync::mpsc;
use tokio::time::sleep;

use super::*;
use crate::record::{ReadOptions, RecordErrorKind, RecordReader};

/// Response of the fake to one request.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Stores all records.
    Store,
    /// Throttles about this percentage of the records.
    Throttle(u32),
    /// Fails about this percentage of the records with an internal error.
    Internal(u32),
    /// Fails without storing anything.
    Lose,
    /// Stores all records, but the response is lost.
    StoreAndLose,
    /// Fails permanently.
    Deny,
}

/// Follows a script, then stores all records.
struct Fake {
    script: Mutex<std::collections::VecDeque<Act>>,
    /// Partition keys as stored.
    stored: Mutex<Vec<String>>,
    rng: Mutex<StdRng>,
    delay: Duration,
    limits: BatchLimits,
    flying: AtomicUsize,
    most_flying: AtomicUsize,
    /// Number of times the last step is repeated.
    for_ever: Option<Act>,
}

impl Fake {
    fn new(script: impl IntoIterator<Item = Act>) -> Self {
        Self {
            script: Mutex::new(script.into_iter().collect()),
            stored: Mutex::default(),
            rng: Mutex::new(StdRng::seed_from_u64(7)),
            delay: Duration::from_millis(10),
            limits: BatchLimits::default(),
            flying: AtomicUsize::new(0),
            most_flying: AtomicUsize::new(0),
            for_ever: None,
        }
    }

    fn always(act: Act) -> Self {
        Self {
            for_ever: Some(act),
            ..Self::new([])
        }
    }

    fn answer(&self, records: &[Record], act: Act) -> Result<PutAnswer, PutError> {
        let (refused, code) = match act {
            Act::Throttle(share) => (share, "ProvisionedThroughputExceededException"),
            Act::Internal(share) => (share, "InternalFailure"),
            _ => (0, ""),
        };
        if matches!(act, Act::Lose) {
            return Err(transient());
        }
        if matches!(act, Act::Deny) {
            return Err(PutError::Fatal(Error::unreachable("no permission")));
        }
        let mut stored = self.stored.lock().unwrap();
        let mut rng = self.rng.lock().unwrap();
        let mut answer = PutAnswer::default();
        for record in records {
            let shard_id = format!("shardId-00000000000{}", record.partition_key.len() % 2);
            if rng.random_range(0..100) < refused {
                answer.refused(
                    code.into(),
                    format!("Rate exceeded for shard {shard_id} in stream s."),
                );
                continue;
            }
            stored.push(record.partition_key.to_string());
            answer.stored(&shard_id, &stored.len().to_string());
        }
        match act {
            Act::StoreAndLose => Err(transient()),
            _ => Ok(answer),
        }
    }
}

fn transient() -> PutError {
    PutError::Transient {
        throttled: false,
        error: Error::unreachable("the endpoint did not answer in time"),
    }
}

#[async_trait]
impl Transport for Fake {
    async fn put(&self, records: &[Record]) -> Result<PutAnswer, PutError> {
        assert!(!records.is_empty() && records.len() <= self.limits.records);
        assert!(records.len() == 1 || records.iter().map(Record::size).sum::<usize>() <= self.limits.bytes);
        let flying = self.flying.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_flying.fetch_max(flying, Ordering::SeqCst);
        sleep(self.delay).await;
        self.flying.fetch_sub(1, Ordering::SeqCst);
        let next = self.script.lock().unwrap().pop_front();
        self.answer(records, next.or(self.for_ever).unwrap_or(Act::Store))
    }
}

fn record(number: u64, size: usize) -> Record {
    Record {
        data: vec![b'x'; size].into(),
        partition_key: format!("key-{number}").into(),
        explicit_hash_key: None,
        has_random_key: false,
        number,
        line: number,
    }
}

/// A run: its result, and the numbers of the records reported as unsent.
struct Run {
    outcome: PutResult,
    unsent: HashMap<u64, Unsent>,
    fake: Arc<Fake>,
}

impl Run {
    /// Every record read is either acknowledged or reported as unsent, never both.
    fn check_counts(&self) {
        let summary = &self.outcome.summary;
        assert_eq!(
            summary.read,
            summary.acknowledged + summary.failed + summary.stopped
        );
        assert_eq!(self.unsent.len() as u64, summary.failed + summary.stopped);
        let by_shard: u64 = summary.shards.values().map(|shard| shard.records).sum();
        assert_eq!(by_shard, summary.acknowledged);
    }
}

async fn run(
    fake: Fake,
    inputs: Vec<Input>,
    options: PutOptions,
    stop: impl Future<Output = ()> + Send,
) -> Run {
    let (sender, input) = mpsc::channel(2);
    let feeder = tokio::spawn(async move {
        for item in inputs {
            if sender.send(item).await.is_err() {
                return;
            }
        }
    });
    let fake = Arc::new(Fake {
        limits: options.limits,
        ..fake
    });
    let mut unsent = HashMap::new();
    let service = Arc::<Fake>::clone(&fake);
    let outcome = put(input, service, &options, Box::pin(stop), &mut |event| {
        if let PutEvent::Unsent { record, reason } = event {
            assert!(
                unsent.insert(record.number, reason.clone()).is_none(),
                "told once"
            );
        }
    })
    .await;
    feeder.await.unwrap();
    let run = Run {
        outcome,
        unsent,
        fake,
    };
    run.check_counts();
    run
}

fn bundles(count: u64, size: usize) -> Vec<Input> {
    let records: Vec<_> = (1..=count).map(|n| record(n, size)).collect();
    records
        .chunks(100)
        .map(|chunk| Input::Records(chunk.to_vec()))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn everything_is_sent_several_requests_at_a_time() {
    let run = run(
        Fake::new([]),
        bundles(5000, 100),
        PutOptions::default(),
        std::future::pending(),
    )
    .await;
    let summary = &run.outcome.summary;
    assert!(matches!(run.outcome.end, PutEnd::Complete));
    assert_eq!(
        (summary.read, summary.acknowledged, summary.retries),
        (5000, 5000, 0)
    );
    assert_eq!(run.fake.most_flying.load(Ordering::SeqCst), 8);
    assert_eq!(summary.shards.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn only_refused_records_are_sent_again() {
    let script = [
        Act::Throttle(40),
        Act::Internal(50),
        Act::Throttle(100),
        Act::Store,
        Act::Throttle(10),
    ];
    let run = run(
        Fake::new(script),
        bundles(2000, 100),
        PutOptions::default(),
        std::future::pending(),
    )
    .await;
    assert_eq!(run.outcome.summary.acknowledged, 2000);
    assert!(run.outcome.summary.retries > 0);
    let stored = run.fake.stored.lock().unwrap();
    assert_eq!(stored.len(), 2000, "none twice");
    assert_eq!(stored.iter().collect::<HashSet<_>>().len(), 2000, "none missing");
}

#[tokio::test(start_paused = true)]
async fn a_record_is_given_up_when_its_time_is_over() {
    let run = run(
        Fake::always(Act::Throttle(100)),
        bundles(10, 10),
        PutOptions::default(),
        std::future::pending(),
    )
    .await;
    assert!(matches!(run.outcome.end, PutEnd::Complete));
    assert_eq!(run.outcome.summary.failed, 10);
    assert!(run.outcome.summary.elapsed > Duration::from_secs(30));
    let reason = run.unsent[&1].clone();
    assert!(
        matches!(&reason, Unsent::Failed(why) if why.starts_with("ProvisionedThroughputExceededException: Rate exceeded"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_ends_the_run_rather_than_failing_record_by_record() {
    let run = run(
        Fake::always(Act::Lose),
        bundles(20_000, 10),
        PutOptions::default(),
        std::future::pending(),
    )
    .await;
    assert!(matches!(run.outcome.end, PutEnd::Aborted(_)));
    assert_eq!(run.outcome.summary.acknowledged, 0);
    assert!(run.outcome.summary.elapsed < Duration::from_secs(120));
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_good_ends_the_run_at_once() {
    let script = [Act::Store, Act::Store, Act::Deny];
    let run = run(
        Fake::new(script),
        bundles(50_000, 10),
        PutOptions::default(),
        std::future::pending(),
    )
    .await;
    assert!(matches!(&run.outcome.end, PutEnd::Aborted(error) if error.to_string() == "no permission"));
    assert!(
        run.outcome.summary.acknowledged >= 1000,
        "what was in flight still counts"
    );
    assert!(run.outcome.summary.read < 50_000, "the rest was not read");
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_is_in_flight_and_names_the_rest() {
    let fake = Fake {
        delay: Duration::from_secs(1),
        ..Fake::new([])
    };
    let run = run(
        fake,
        bundles(20_000, 10),
        PutOptions::default(),
        sleep(Duration::from_millis(500)),
    )
    .await;
    let summary = &run.outcome.summary;
    assert!(matches!(run.outcome.end, PutEnd::Interrupted));
    assert_eq!(summary.acknowledged, 8 * 500);
    assert!(summary.stopped > 0 && summary.read < 20_000);
    assert!(run.unsent.values().all(|reason| *reason == Unsent::Stopped));
    assert_eq!(summary.last_number, summary.read);
    assert!(!run.outcome.input_ended);
}

#[tokio::test(start_paused = true)]
async fn records_before_an_input_error_are_sent() {
    let mut inputs = bundles(700, 10);
    inputs.push(Input::Error(RecordError {
        kind: RecordErrorKind::Empty,
        file: None,
        record: 701,
        line: 701,
        column: None,
        started: None,
    }));
    let run = run(
        Fake::new([Act::Throttle(50)]),
        inputs,
        PutOptions::default(),
        std::future::pending(),
    )
    .await;
    assert!(matches!(&run.outcome.end, PutEnd::BadInput(error) if error.line == 701));
    assert_eq!(run.outcome.summary.acknowledged, 700);
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_writer_holds_nothing_back() {
    let (sender, input) = mpsc::channel(2);
    let fake = Arc::new(Fake::new([]));
    let seen = Arc::clone(&fake);
    let writer = tokio::spawn(async move {
        sender.send(Input::Records(vec![record(1, 1)])).await.unwrap();
        sleep(Duration::from_millis(100)).await;
        assert_eq!(seen.stored.lock().unwrap().len(), 1);
    });
    put(
        input,
        fake,
        &PutOptions::default(),
        Box::pin(std::future::pending()),
        &mut |_| {},
    )
    .await;
    writer.await.unwrap();
}

#[tokio::test]
async fn the_feed_sends_records_and_then_the_error() {
    let reader = RecordReader::new(&b"1\n2\nx"[..], ReadOptions::default());
    let mut feed = feed(reader);
    let mut seen = 0;
    while let Some(input) = feed.recv().await {
        match input {
            Input::Records(records) => seen += records.len(),
            Input::Error(error) => assert_eq!((error.line, seen), (3, 2)),
        }
    }
    assert_eq!(seen, 2);
}

fn any_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Store),
        (1u32..=100).prop_map(Act::Throttle),
        (1u32..=100).prop_map(Act::Internal),
        Just(Act::Lose),
        Just(Act::StoreAndLose),
    ]
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn every_record_is_acknowledged_once_or_reported(
        script in prop::collection::vec(any_act(), 0..40),
        deny in prop::option::of(0usize..40),
        sizes in prop::collection::vec(0usize..3000, 1..400),
        stop_after in prop::option::of(0u64..3000),
        retry_for in 0u64..20,
    ) {
        let duplicates = script.iter().any(|act| matches!(act, Act::StoreAndLose));
        let mut script = script;
        if let Some(at) = deny.filter(|at| *at < script.len()) {
            script[at] = Act::Deny;
        }
        let records: Vec<_> = sizes.iter().zip(1..).map(|(size, n)| record(n, *size)).collect();
        let inputs = records.chunks(7).map(|chunk| Input::Records(chunk.to_vec())).collect();
        let options = PutOptions {
            limits: BatchLimits { records: 20, bytes: 5000 },
            held_bytes: 20_000,
            retry_for: Duration::from_secs(retry_for),
            ..PutOptions::default()
        };
        let stop = async move {
            match stop_after {
                Some(ms) => sleep(Duration::from_millis(ms)).await,
                None => std::future::pending().await,
            }
        };
        let run = block_on(run(Fake::new(script), inputs, options, stop));
        let stored = run.fake.stored.lock().unwrap();
        let unsent: HashSet<String> = run.unsent.keys().map(|n| format!("key-{n}")).collect();
        for n in 1..=run.outcome.summary.read {
            let key = format!("key-{n}");
            let times = stored.iter().filter(|k| **k == key).count();
            prop_assert!(times >= 1 || unsent.contains(&key), "{key} is lost");
            prop_assert!(duplicates || times + usize::from(unsent.contains(&key)) == 1, "{key} counted twice");
        }
        if matches!(run.outcome.end, PutEnd::Complete) {
            prop_assert_eq!(run.outcome.summary.read as usize, sizes.len());
        }
    }

    #[test]
    fn batches_respect_their_limits(sizes in prop::collection::vec(1usize..200, 1..300), records in 1usize..50, bytes in 100usize..1000) {
        let limits = BatchLimits { records, bytes };
        let mut batch = Batch::new(limits);
        let mut closed = Vec::new();
        for size in &sizes {
            if !batch.fits(*size) {
                closed.push(std::mem::replace(&mut batch, Batch::new(limits)));
            }
            batch.push(*size, *size);
        }
        closed.push(batch);
        for batch in &closed {
            prop_assert!(batch.len() <= records);
            prop_assert!(batch.bytes() <= bytes || batch.len() == 1);
        }
        let all: Vec<usize> = closed.into_iter().flat_map(Batch::into_items).collect();
        prop_assert_eq!(all, sizes);
    }
}
