//! Faults of all kinds between `put` and the stream: every acknowledged record is in the stream, none is missing, and records
//! come twice only where an answer was dropped. Records of a key keep their order.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::STREAM;
use crate::proxy::{self, Call, Fate, Judge};
use crate::support::Cloud;

/// The number of records. `STREAMCTL_PUT_FAULT_RECORDS=1000000` is the long form.
fn records() -> usize {
    let set = std::env::var("STREAMCTL_PUT_FAULT_RECORDS").ok();
    set.and_then(|records| records.parse().ok()).unwrap_or(20_000)
}

const KEYS: usize = 2000;

/// Of ten requests, six meet a fault.
fn trouble(number: usize, entries: usize) -> Fate {
    match number * 7 % 20 {
        0 => Fate::CutBefore,
        1 => Fate::Reset,
        2 => Fate::Refuse(500, "InternalFailure"),
        3 => Fate::Refuse(400, "ProvisionedThroughputExceededException"),
        4 => Fate::CutAfter,
        5 => Fate::FailAfter(500, "InternalFailure"),
        6 => Fate::Truncate,
        7 => Fate::Shorten,
        8 => Fate::OmitLast,
        9 | 10 if entries > 1 => Fate::Throttle(3),
        11 => Fate::Delay(30),
        _ => Fate::Pass,
    }
}

/// Meets PutRecords with faults, and keeps the data of requests whose answer it drops.
struct Faults {
    calls: AtomicUsize,
    dropped: Mutex<HashSet<String>>,
    fates: Mutex<HashMap<std::mem::Discriminant<Fate>, usize>>,
}

impl Judge for Faults {
    fn judge(&self, call: &Call) -> Fate {
        if call.operation != "PutRecords" {
            return Fate::Pass;
        }
        let entries = entries(&call.body);
        let fate = trouble(self.calls.fetch_add(1, Ordering::SeqCst), entries.len());
        if fate.drops_answer() {
            self.dropped.lock().unwrap().extend(entries);
        }
        *self
            .fates
            .lock()
            .unwrap()
            .entry(std::mem::discriminant(&fate))
            .or_default() += 1;
        fate
    }
}

/// The data of the entries of a request in JSON.
fn entries(body: &[u8]) -> Vec<String> {
    let document: Value = serde_json::from_slice(body).unwrap();
    let data = |entry: &Value| {
        let data = base64_simd::STANDARD.decode_to_vec(entry["Data"].as_str().unwrap());
        String::from_utf8(data.unwrap()).unwrap()
    };
    document["Records"].as_array().unwrap().iter().map(data).collect()
}

#[test]
fn faults_of_all_kinds_lose_nothing_and_repeat_only_what_was_not_answered() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 4);
    let count = records();
    let line = |n: usize| format!("{{\"key\":\"{}\",\"n\":{n}}}", n * 31 % KEYS);
    let lines: String = (0..count).map(|n| line(n) + "\n").collect();
    cloud.file("in.ndjson", lines);
    let faults = Arc::new(Faults {
        calls: AtomicUsize::new(0),
        dropped: Mutex::default(),
        fates: Mutex::default(),
    });
    let url = proxy::start(&cloud.endpoint, Arc::clone(&faults) as Arc<dyn Judge>);
    let mut put = cloud.streamctl([
        "put",
        "--file",
        "in.ndjson",
        "--key-field",
        "key",
        "--ordering",
        "key",
    ]);
    put.args(["--endpoint-url", &url, "-o", "json"])
        .env_remove("STREAMCTL_TARGET")
        .timeout(Duration::from_secs(60 + count as u64 / 1000));
    let output = put.assert().success();
    let answer: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(answer["acknowledged"], count, "{answer}");
    assert_eq!(faults.fates.lock().unwrap().len(), 11, "every fault is met");

    let mut times: HashMap<String, usize> = HashMap::new();
    let mut last: HashMap<String, usize> = HashMap::new();
    for (key, data) in cloud.records(STREAM) {
        let data = String::from_utf8(data).unwrap();
        let number: Value = serde_json::from_str(&data).unwrap();
        let number = number["n"].as_u64().unwrap() as usize;
        let before = last.insert(key.clone(), number);
        // A record that is there twice comes before the next of its key both times.
        assert!(
            before.is_none_or(|before| before <= number),
            "{number} of key {key} comes after {before:?}"
        );
        *times.entry(data).or_default() += 1;
    }
    assert_eq!(times.len(), count, "records in the stream");
    assert!((0..count).all(|n| times.contains_key(&line(n))));
    let dropped = faults.dropped.lock().unwrap();
    let repeated: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(!repeated.is_empty(), "answers were dropped");
    for (data, times) in repeated {
        assert!(dropped.contains(data), "{data} is there {times} times");
    }
}

/// In CBOR, which the proxy does not read.
#[test]
fn faults_lose_nothing_in_cbor() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    let lines: String = (0..20_000).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    cloud.file("in.ndjson", lines);
    let calls = AtomicUsize::new(0);
    let in_json = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&in_json);
    let judge = move |call: &Call| {
        if call.operation != "PutRecords" {
            return Fate::Pass;
        }
        seen.fetch_add(usize::from(call.body.starts_with(b"{")), Ordering::SeqCst);
        match calls.fetch_add(1, Ordering::SeqCst) {
            // The first answer shows that the endpoint speaks CBOR.
            0..8 => Fate::Pass,
            number => match number % 7 {
                0 => Fate::CutBefore,
                1 => Fate::CutAfter,
                2 => Fate::Refuse(400, "ProvisionedThroughputExceededException"),
                3 => Fate::Truncate,
                4 => Fate::FailAfter(500, "InternalFailure"),
                _ => Fate::Pass,
            },
        }
    };
    let url = proxy::start(&cloud.endpoint, Arc::new(judge) as Arc<dyn Judge>);
    let output = cloud
        .streamctl(["put", "--file", "in.ndjson", "--endpoint-url", &url, "-o", "json"])
        .env_remove("STREAMCTL_TARGET")
        .env("CBOR_ENABLED", "true")
        .assert()
        .success();
    let answer: Value = serde_json::from_slice(&output.get_output().stdout).unwrap();
    assert_eq!(answer["acknowledged"], 20_000, "{answer}");
    let stored: HashSet<Vec<u8>> = cloud.records(STREAM).into_iter().map(|(_, data)| data).collect();
    assert_eq!(stored.len(), 20_000);
    assert_eq!(in_json.load(Ordering::SeqCst), 0);
}
