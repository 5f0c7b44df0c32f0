//! Where a tail starts and ends, what it reads, and what it passes over.

use super::*;

/// The events of a tail up to its end, or for `length`.
async fn events(tail: &mut Tail<FakeStream>, length: Duration) -> (Vec<TailRecord>, Vec<String>) {
    let deadline = Instant::now() + length;
    let (mut records, mut others) = (Vec::new(), Vec::new());
    while let Ok(Some(event)) = tokio::time::timeout_at(deadline, tail.next()).await {
        match event.unwrap() {
            TailEvent::Records(batch) => records.extend(batch.records),
            other => others.push(format!("{other:?}")),
        }
    }
    (records, others)
}

#[tokio::test(start_paused = true)]
async fn a_damaged_record_is_named_and_passed() {
    for is_whole in [true, false] {
        let stream = FakeStream::new(1, 0);
        for _ in 0..2500 {
            stream.put(1);
            // Without a next iterator, a damaged answer is passed by the arrival of what follows.
            sleep(Duration::from_millis(5)).await;
        }
        stream.poison(1700, is_whole);
        stream.poison(1702, is_whole);
        let mut tail = tail(&stream, no_follow(Start::TrimHorizon)).await;
        let (records, others) = events(&mut tail, Duration::from_secs(3600)).await;
        let expected = (1..=2500).filter(|n| ![1700, 1702].contains(n));
        check_once_in_order(&records, expected);
        let named = others.iter().filter(|event| event.starts_with("Damaged")).count();
        assert!(named >= 2, "{others:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_no_answer_names_is_found_in_the_list() {
    let stream = FakeStream::new(1, 0);
    stream.put(1);
    let mut tail = tail(&stream, options(Start::TrimHorizon)).await;
    assert_eq!(collect(&mut tail, 1).await.len(), 1);
    stream.split(0);
    stream.hide(1);
    (0..=255).for_each(|key| stream.put(key));
    let (records, others) = events(&mut tail, Duration::from_secs(130)).await;
    check_once_in_order(&records, 2..=257);
    assert!(
        others.iter().any(|event| event.starts_with("Found")),
        "{others:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn idle_shards_are_read_seldom_and_at_once_after_a_record() {
    let stream = FakeStream::new(1, 0);
    for which in 0..64 {
        stream.split(which);
    }
    let mut tail = tail(&stream, options(Start::Latest)).await;
    let _ = events(&mut tail, Duration::from_secs(60)).await;
    let before = stream.inner.lock().unwrap().pages;
    let _ = events(&mut tail, Duration::from_secs(60)).await;
    let reads = stream.inner.lock().unwrap().pages - before;
    let open = FakeStream::open(&stream.inner.lock().unwrap()).len() as u64;
    assert!(reads <= open * 62, "{reads} reads of {open} shards in a minute");
    let begun = Instant::now();
    stream.put(7);
    collect(&mut tail, 1).await;
    assert!(begun.elapsed() <= Duration::from_millis(1100));
}

#[tokio::test(start_paused = true)]
async fn the_last_records_of_each_shard() {
    let stream = FakeStream::new(1, 0);
    stream.split(0);
    for _ in 0..40 {
        (0..=255).step_by(64).for_each(|key| stream.put(key));
        sleep(Duration::from_secs(3600)).await;
    }
    let mut two = tail(&stream, no_follow(Start::Last(3))).await;
    let (records, _) = events(&mut two, Duration::from_secs(3600)).await;
    let mut by_shard: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for record in &records {
        let number = record.sequence_number.parse().unwrap();
        by_shard
            .entry(record.shard_id.to_string())
            .or_default()
            .push(number);
    }
    assert_eq!(by_shard[&id(1)], [154, 157, 158]);
    assert_eq!(by_shard[&id(2)], [156, 159, 160]);
    // More than there are.
    let mut all = tail(&stream, no_follow(Start::Last(1000))).await;
    check_once_in_order(&collect(&mut all, usize::MAX).await, 1..=160);
}

#[tokio::test(start_paused = true)]
async fn an_end_in_the_past_and_one_in_the_future() {
    let stream = FakeStream::new(1, 0);
    (0..10).for_each(|_| stream.put(1));
    sleep(Duration::from_secs(60)).await;
    let middle = stream.now_ms();
    (0..10).for_each(|_| stream.put(1));
    let until = |limit| TailOptions {
        until: Some(limit),
        ..options(Start::TrimHorizon)
    };
    let mut past = tail(&stream, until(Limit::Before(middle))).await;
    check_once_in_order(&collect(&mut past, usize::MAX).await, 1..=10);
    let mut through = tail(&stream, until(Limit::Through("13".into()))).await;
    check_once_in_order(&collect(&mut through, usize::MAX).await, 1..=13);
    let end = stream.now_ms() + 30_000;
    let mut future = tail(
        &stream,
        TailOptions {
            now_ms: stream.now_ms(),
            ..until(Limit::Before(end))
        },
    )
    .await;
    let writer = tokio::spawn({
        let stream = Arc::clone(&stream);
        async move {
            loop {
                sleep(Duration::from_millis(700)).await;
                stream.put(2);
            }
        }
    });
    let records = collect(&mut future, usize::MAX).await;
    writer.abort();
    assert!(records.iter().all(|record| record.arrival_ms.unwrap() < end));
    check_once_in_order(&records, 1..=records.len() as u64);
    assert!(records.len() > 20 + 40, "{}", records.len());
    assert!(stream.now_ms() >= end);
}

#[tokio::test(start_paused = true)]
async fn only_the_records_of_one_key() {
    let stream = FakeStream::new(1, 0);
    for round in 0..4 {
        (0..=255).for_each(|key| stream.put(key));
        stream.split(round);
    }
    let key = TailOptions {
        key: Some("7".into()),
        ..no_follow(Start::TrimHorizon)
    };
    let mut tail = tail(&stream, key).await;
    let records = collect(&mut tail, usize::MAX).await;
    check_once_in_order(&records, (0..4).map(|round| round * 256 + 8));
}

#[test]
fn a_key_is_read_from_the_shards_of_its_hash_key() {
    let shard = |id: &str, parent: Option<&str>, first: u128, last: u128| ShardInfo {
        id: id.into(),
        parents: parent.map(str::to_owned).into_iter().collect(),
        open: true,
        hash_keys: Some((first, last)),
    };
    // Source: MD5("a") is 0cc175b9c0f1b6a831c399e269772661, RFC 1321.
    let half = u128::MAX / 2;
    let listed = [
        shard("low", None, 0, half),
        shard("high", None, half + 1, u128::MAX),
    ];
    let key = TailOptions {
        key: Some("a".into()),
        ..options(Start::TrimHorizon)
    };
    let mut lineage = lineage::Lineage::plan("orders", &listed, &key).unwrap();
    let ids = |lineage: &mut lineage::Lineage| -> Vec<String> {
        lineage.take_ready().into_iter().map(|(id, _)| id).collect()
    };
    assert_eq!(ids(&mut lineage), ["low"]);
    let middle = 0x0cc1_75b9_0000_0000_0000_0000_0000_0000;
    let children = [
        shard("below", Some("low"), 0, middle - 1),
        shard("above", Some("low"), middle, half),
    ];
    assert_eq!(lineage.drained("low", &children), ["above"]);
    assert_eq!(ids(&mut lineage), ["above"]);
}

#[tokio::test(start_paused = true)]
async fn several_shards_in_the_order_of_arrival() {
    let stream = FakeStream::new(1, 0);
    stream.split(0);
    stream.split(0);
    for n in 0..3000_u32 {
        stream.put((n.wrapping_mul(97) % 256) as u8);
        sleep(Duration::from_millis(3)).await;
    }
    let ordered = TailOptions {
        reports_tip: true,
        held_bytes: 64 << 20,
        now_ms: stream.now_ms(),
        ..no_follow(Start::TrimHorizon)
    };
    let tail = tail(&stream, ordered).await;
    let reader = Reader::new(vec![(Arc::from("orders"), tail)], None).unwrap();
    let mut merge = Merge::new(reader, Duration::from_secs(1));
    let mut numbers: Vec<u64> = Vec::new();
    while let Some(event) = timeout(Duration::from_secs(3600), merge.next())
        .await
        .expect("it hangs")
    {
        if let TailEvent::Records(batch) = event.unwrap().1 {
            numbers.extend(sequences(&batch.records));
        }
    }
    assert_eq!(numbers, (1..=3000).collect::<Vec<_>>());
}
