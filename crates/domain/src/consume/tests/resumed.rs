//! Checkpoints in a file, with a tail that is killed again and again.

use super::*;

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// A tail that is killed again and again, each time after a batch was written and before or after its checkpoint.
    #[test]
    fn a_checkpoint_resumes_after_what_was_written(
        ops in prop::collection::vec(any_op(), 1..40),
        kills in prop::collection::vec((0usize..12, any::<bool>()), 1..12),
        seed: u64,
        trouble in 0u32..40,
    ) {
        block_on(async move {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("checkpoint");
            let stream = FakeStream::new(seed, trouble);
            let (mut seen, mut batches) = (Vec::new(), Vec::new());
            let mut ops = ops.chunks(ops.len().div_ceil(kills.len()));
            for (count, acknowledges) in kills {
                apply(&stream, ops.next().unwrap_or_default()).await;
                let (mut read, more) = run_once(&stream, &path, count, acknowledges).await;
                seen.append(&mut read);
                batches.extend(more);
            }
            let (mut read, _) = run_once(&stream, &path, usize::MAX, true).await;
            seen.append(&mut read);
            // What was repeated is a batch that was not acknowledged, and no more.
            let repeated: HashSet<u64> = batches.into_iter().flatten().collect();
            let mut once = HashSet::new();
            for number in sequences(&seen) {
                prop_assert!(once.insert(number) || repeated.contains(&number), "{} came twice", number);
            }
            prop_assert_eq!(once, (1..=stream.last()).collect());
            Ok(())
        })?;
    }
}

/// Reads up to the end, or until `count` batches were written; the last one is acknowledged or not. Also returns the batch
/// that was not.
async fn run_once(
    stream: &Arc<FakeStream>,
    path: &std::path::Path,
    count: usize,
    acknowledges: bool,
) -> (Vec<TailRecord>, Option<Vec<u64>>) {
    let file = checkpoint::CheckpointFile::open(path).unwrap();
    let resumed = TailOptions {
        progress: file.progress("orders"),
        now_ms: stream.now_ms(),
        ..no_follow(Start::TrimHorizon)
    };
    let tail = tail(stream, resumed).await;
    let orders: Arc<str> = Arc::from("orders");
    let mut reader = Reader::new(vec![(Arc::clone(&orders), tail)], Some(file)).unwrap();
    let mut seen = Vec::new();
    let mut written = 0;
    while let Some(event) = timeout(Duration::from_secs(3600), reader.next())
        .await
        .expect("it hangs")
    {
        let event = event.unwrap().1;
        let done = Acknowledgement::of(&event);
        if let TailEvent::Records(batch) = event {
            let numbers = sequences(&batch.records);
            seen.extend(batch.records);
            written += 1;
            if written >= count && !acknowledges {
                return (seen, Some(numbers));
            }
        }
        if let Some(done) = done {
            reader.acknowledge(&orders, done).await.unwrap();
        }
        if written >= count {
            break;
        }
    }
    (seen, None)
}
