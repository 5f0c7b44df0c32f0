use super::*;
use crate::functions::answer::FunctionError;

fn record(number: u32) -> TailRecord {
    TailRecord {
        shard_id: "shardId-000000000000".into(),
        sequence_number: number.to_string(),
        arrival_ms: Some(1_795_255_200_000),
        partition_key: "k".to_owned(),
        data: Bytes::from(format!("{{\"n\":{number}}}")),
        encryption: None,
    }
}

fn policy() -> Policy {
    Policy {
        batch_size: 100,
        window: Duration::ZERO,
        retries: Some(1),
        max_age: None,
        bisect: true,
        partial_failures: true,
    }
}

fn source() -> Source {
    Source {
        stream_arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s".to_owned(),
        role_arn: "arn:aws:iam::000000000000:role/r".to_owned(),
        region: "us-east-1".to_owned(),
    }
}

/// Fails on every batch that holds record 5, and notes the batches.
struct Poisoned {
    batches: Vec<Vec<u64>>,
    partial: bool,
}

impl Run for Poisoned {
    async fn run(&mut self, payload: Bytes) -> Result<InvokeResult> {
        let event: serde_json::Value = serde_json::from_slice(&payload).unwrap();
        let numbers: Vec<u64> = event["Records"]
            .as_array()
            .unwrap()
            .iter()
            .map(|record| {
                let number = record["kinesis"]["sequenceNumber"].as_str().unwrap();
                number.parse().unwrap()
            })
            .collect();
        let poisoned = numbers.contains(&5);
        self.batches.push(numbers);
        Ok(match (poisoned, self.partial) {
            (false, _) => InvokeResult::Returned(Bytes::from_static(b"{\"batchItemFailures\":[]}")),
            (true, true) => InvokeResult::Returned(Bytes::from_static(
                b"{\"batchItemFailures\":[{\"itemIdentifier\":\"5\"}]}",
            )),
            (true, false) => InvokeResult::Failed(FunctionError::default()),
        })
    }
}

async fn run(partial: bool) -> (Vec<Vec<u64>>, Vec<String>, Totals) {
    let mut function = Poisoned {
        batches: Vec::new(),
        partial,
    };
    let mut given_up = Vec::new();
    let mut events = |event: Event<'_>| {
        if let Event::GivenUp { records, .. } = event {
            given_up.extend(records.iter().map(|record| record.sequence_number.clone()));
        }
        Ok(())
    };
    let (source, policy) = (source(), policy());
    let work = Invoker::new(&mut function, &source, &policy, &mut events);
    let records = (1..=8).map(record).collect();
    let totals = work.all(records, std::future::pending()).await.unwrap();
    (function.batches, given_up, totals)
}

#[tokio::test(start_paused = true)]
async fn bisection_gives_up_the_poisoned_record_alone_and_keeps_the_order() {
    let (batches, given_up, totals) = run(false).await;
    let expected: [&[u64]; 8] = [
        &[1, 2, 3, 4, 5, 6, 7, 8],
        &[1, 2, 3, 4],
        &[5, 6, 7, 8],
        &[5, 6],
        &[5],
        &[5],
        &[6],
        &[7, 8],
    ];
    assert_eq!(batches, expected);
    assert_eq!(given_up, ["5"]);
    assert_eq!((totals.processed, totals.given_up, totals.invocations), (7, 1, 8));
}

#[tokio::test(start_paused = true)]
async fn a_report_goes_on_at_the_lowest_failure() {
    let (batches, given_up, totals) = run(true).await;
    assert_eq!(batches[0], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(batches[1], [5, 6, 7, 8]);
    assert_eq!(given_up, ["5"]);
    assert_eq!((totals.processed, totals.given_up), (7, 1));
}

#[tokio::test(start_paused = true)]
async fn records_are_invoked_in_batches_until_it_is_stopped() {
    let mut function = Poisoned {
        batches: Vec::new(),
        partial: true,
    };
    let small = Policy {
        batch_size: 3,
        retries: None,
        ..policy()
    };
    let mut said = Vec::new();
    let (asks, stop) = tokio::sync::oneshot::channel();
    let mut asks = Some(asks);
    let mut events = |event: Event<'_>| {
        match event {
            Event::Invoked(one) => said.push(format!("{} to {}: {}", one.first, one.last, one.processed)),
            Event::Failed { reason, next, .. } => {
                said.push(format!("{reason}; {next}"));
                asks.take().unwrap().send(()).unwrap();
            }
            Event::GivenUp { .. } | Event::Tail(_) => {}
        }
        Ok(())
    };
    let source = source();
    let work = Invoker::new(&mut function, &source, &small, &mut events);
    let stopped = async move { stop.await.unwrap() };
    let totals = work.all((1..=8).map(record).collect(), stopped).await.unwrap();
    assert_eq!(
        said,
        [
            "1 to 3: 3",
            "4 to 6: 1",
            "the function reports record 5 as failed; 2 records again"
        ]
    );
    assert_eq!(
        (totals.processed, totals.unprocessed, totals.invocations),
        (4, 4, 2)
    );
}

#[test]
fn without_a_report_an_answer_is_a_success_whatever_it_says() {
    let attempt = Attempt {
        records: vec![record(1), record(2)],
        tries: 0,
    };
    let mut policy = policy();
    policy.partial_failures = false;
    let answer = Bytes::from_static(b"{\"batchItemFailures\":[{\"itemIdentifier\":\"1\"}]}");
    assert_eq!(
        next(&policy, attempt, &InvokeResult::Returned(answer)).processed,
        2
    );
}

#[test]
fn retries_end_or_do_not() {
    let attempt = |tries| Attempt {
        records: vec![record(1)],
        tries,
    };
    let failed = InvokeResult::Failed(FunctionError::default());
    assert_eq!(next(&policy(), attempt(0), &failed).again, [attempt(1)]);
    assert_eq!(next(&policy(), attempt(1), &failed).given_up, [record(1)]);
    let endless = Policy {
        retries: None,
        ..policy()
    };
    assert_eq!(next(&endless, attempt(9_999), &failed).again, [attempt(10_000)]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_what_fits_and_at_least_one_record() {
    let mut small = policy();
    small.batch_size = 2;
    let mut collected = Collected::empty();
    for number in 1..=3 {
        collected.add(&record(number), &small, &source());
    }
    assert!(collected.is_full(&small));
    assert_eq!(collected.take(&small, &source()).len(), 2);
    assert!(!collected.is_full(&small));
    let mut big = record(9);
    big.data = Bytes::from(vec![b'x'; MAX_PAYLOAD]);
    let mut collected = Collected::empty();
    collected.add(&big, &policy(), &source());
    collected.add(&big, &policy(), &source());
    assert_eq!(collected.take(&policy(), &source()).len(), 1);
}

proptest::proptest! {
    /// Whatever the function answers, each record is processed, tried again or given up, once.
    #[test]
    fn no_record_is_lost_or_doubled(
        count in 1u32..40,
        failing in proptest::collection::vec(0u32..45, 0..5),
        bisect: bool,
        tries in 0u32..3,
    ) {
        let report: Vec<_> = failing
            .iter()
            .map(|number| serde_json::json!({"itemIdentifier": number.to_string()}))
            .collect();
        let answer = serde_json::json!({"batchItemFailures": report}).to_string();
        let attempt = Attempt { records: (1..=count).map(record).collect(), tries };
        let policy = Policy { bisect, ..policy() };
        let next = next(&policy, attempt, &InvokeResult::Returned(Bytes::from(answer)));
        let rest = next.again.iter().flat_map(|one| &one.records).chain(&next.given_up);
        let mut seen: Vec<u32> = (1..=count).take(next.processed).collect();
        seen.extend(rest.map(|record| record.sequence_number.parse::<u32>().unwrap()));
        proptest::prop_assert_eq!(seen, (1..=count).collect::<Vec<_>>());
    }
}
