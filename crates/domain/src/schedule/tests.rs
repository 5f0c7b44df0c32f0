use proptest::prelude::*;

use super::*;

fn record(number: u64, size: usize) -> Record {
    Record {
        data: vec![b'x'; size - 1].into(),
        partition_key: "k".into(),
        explicit_hash_key: None,
        has_random_key: false,
        number,
        line: number,
    }
}

/// The numbers of the records of `feed`, each with the milliseconds after which it came.
async fn arrivals(mut feed: Feed) -> Vec<(u64, u128)> {
    let start = Instant::now();
    let mut seen = Vec::new();
    while let Some(next) = feed.recv().await {
        let Input::Records(records) = next else { break };
        let elapsed = start.elapsed().as_millis();
        seen.extend(records.iter().map(|record| (record.number, elapsed)));
    }
    seen
}

fn given(records: Vec<Record>) -> Feed {
    let (sender, feed) = mpsc::channel(1);
    tokio::spawn(async move {
        for bundle in records.chunks(7) {
            if sender.send(Input::Records(bundle.to_vec())).await.is_err() {
                return;
            }
        }
    });
    feed
}

#[tokio::test(start_paused = true)]
async fn records_come_at_their_rate() {
    let feed = at_rate(
        given((1..=21).map(|n| record(n, 10)).collect()),
        Pace::Records(10.0),
    );
    let seen = arrivals(feed).await;
    assert_eq!(seen.len(), 21);
    for (number, ms) in seen {
        let due = u128::from(number - 1) * 100;
        assert!((due..=due + 10).contains(&ms), "{number}: {ms}");
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_come_at_their_rate() {
    let feed = at_rate(
        given((1..=5).map(|n| record(n, 1000)).collect()),
        Pace::Bytes(2000.0),
    );
    let last = arrivals(feed).await.last().copied();
    assert!(matches!(last, Some((5, 2000..=2010))), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn a_pause_of_the_input_is_made_up_for_a_second_at_most() {
    let (sender, input) = mpsc::channel(1);
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        let _ = sender
            .send(Input::Records((1..=50).map(|n| record(n, 10)).collect()))
            .await;
    });
    let seen = arrivals(at_rate(input, Pace::Records(10.0))).await;
    let at_once = seen.iter().filter(|(_, ms)| *ms <= 60_010).count();
    assert!((10..=12).contains(&at_once), "{at_once}");
    assert_eq!(seen.len(), 50);
}

fn recorded(times: &[i64]) -> mpsc::Receiver<Recorded> {
    let (sender, records) = mpsc::channel(100);
    for (number, time) in times.iter().enumerate() {
        sender
            .try_send(Recorded::Record(record(number as u64 + 1, 10), Some(*time)))
            .unwrap();
    }
    records
}

fn speed(speed: Option<f64>) -> Playback {
    Playback {
        speed,
        from_ms: None,
        until_ms: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_recording_is_played_at_its_pace() {
    let times = [5_000, 5_000, 6_500, 6_000, 9_000];
    for (factor, expected) in [
        (Some(1.0), [0, 0, 1500, 1500, 4000]),
        (Some(10.0), [0, 0, 150, 150, 400]),
        (None, [0; 5]),
    ] {
        let seen = arrivals(played(recorded(&times), speed(factor))).await;
        let numbers: Vec<_> = seen.iter().map(|(number, _)| *number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5], "the order is kept");
        for ((_, ms), due) in seen.iter().zip(expected) {
            assert!((due..=due + 2).contains(ms), "{factor:?}: {seen:?}");
        }
    }
}

#[tokio::test]
async fn a_recording_is_cut_by_time() {
    let line = |n: u32, time: &str| {
        format!(
            r#"{{"shard_id":"s","sequence_number":"{n}","approximate_arrival_timestamp":{time},"partition_key":"k","data":"{n}"}}"#
        )
    };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("r.ndjson");
    let text = [
        line(1, "\"1970-01-01T00:00:01Z\""),
        line(2, "\"1970-01-01T00:00:02Z\""),
        line(3, "\"1970-01-01T00:00:03Z\""),
    ];
    std::fs::write(&path, text.join("\n")).unwrap();
    let open = || {
        let inputs = crate::record::Inputs::choose(&[path.display().to_string()], None, true).unwrap();
        inputs.open(&crate::record::ReadOptions::default())
    };
    let cut = Playback {
        speed: None,
        from_ms: Some(2_000),
        until_ms: Some(3_000),
    };
    let seen = arrivals(played(recording(open(), cut), cut)).await;
    assert_eq!(seen.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2]);
    std::fs::write(&path, line(1, "null")).unwrap();
    assert_eq!(
        arrivals(played(recording(open(), speed(None)), speed(None)))
            .await
            .len(),
        1
    );
    let mut timed = recording(open(), speed(Some(1.0)));
    let Some(Recorded::Error(error)) = timed.recv().await else {
        panic!("a time is needed");
    };
    insta::assert_snapshot!(error.into_error("r.ndjson").to_string(), @"r.ndjson, record 1 (line 1): it has no arrival time");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn no_record_is_lost_or_moved(sizes in prop::collection::vec(1usize..2000, 1..200), rate in 1.0f64..1e7, by_bytes: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let records: Vec<Record> = sizes.iter().enumerate().map(|(n, size)| record(n as u64 + 1, *size)).collect();
        let bytes: usize = sizes[..sizes.len() - 1].iter().sum();
        let (pace, least) = match by_bytes {
            true => (Pace::Bytes(rate), bytes as f64 / rate),
            false => (Pace::Records(rate), (sizes.len() - 1) as f64 / rate),
        };
        let seen = runtime.block_on(async { arrivals(at_rate(given(records), pace)).await });
        let numbers: Vec<_> = seen.iter().map(|(number, _)| *number).collect();
        prop_assert_eq!(numbers, (1..=sizes.len() as u64).collect::<Vec<_>>());
        let last = seen.last().unwrap().1 as f64 / 1000.0;
        prop_assert!(last + 0.002 >= least && last <= least + 0.1, "{} for {}", last, least);
    }
}
