//! Submissions of many connections at once, through the API, the function, the stream and Firehose, also when the local cloud is
//! killed. `cargo bench --bench cart` does the same with 100,000.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Mutex;
use std::time::Duration;

use serde_json::Value;

use super::Cart;
use crate::contents::until;

const CONNECTIONS: usize = 8;

/// Submits the event `number`. Returns the id of its record; `None` if the answer is lost or no 200.
fn submit(api: &str, number: usize) -> Option<String> {
    let rest = api.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let body = format!(r#"{{"user_id":{},"number":{number}}}"#, number % 100);
    let mut stream = TcpStream::connect(host).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    let length = body.len();
    write!(
        stream,
        "POST {path}/submit HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    if !head.starts_with("HTTP/1.1 200 ") {
        return None;
    }
    let body: Value = serde_json::from_str(body).ok()?;
    body["record_id"].as_str().map(str::to_owned)
}

/// Submits the events `numbers`, over several connections at once. Returns the numbers of those that were acknowledged. After
/// `kill_after` of them, `kill` runs.
fn submit_all(api: &str, count: usize, kill_after: usize, kill: impl FnOnce() + Send) -> BTreeSet<usize> {
    let acknowledged = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for connection in 0..CONNECTIONS {
            let acknowledged = &acknowledged;
            scope.spawn(move || {
                for number in (connection..count).step_by(CONNECTIONS) {
                    if let Some(id) = submit(api, number) {
                        acknowledged.lock().unwrap().insert(number, id);
                    }
                }
            });
        }
        until("the first half", || match acknowledged.lock().unwrap().len() {
            some if some >= kill_after => Ok(()),
            some => Err(some.to_string()),
        });
        kill();
    });
    let acknowledged = acknowledged.into_inner().unwrap();
    let ids: BTreeSet<&String> = acknowledged.values().collect();
    assert_eq!(ids.len(), acknowledged.len(), "each record has an id of its own");
    acknowledged.into_keys().collect()
}

/// The number of each line in the bucket.
fn numbers(lines: &[String]) -> Vec<usize> {
    let number = |line: &String| {
        let event: Value = serde_json::from_str(line).unwrap();
        usize::try_from(event["number"].as_u64().unwrap()).unwrap()
    };
    lines.iter().map(number).collect()
}

#[test]
fn each_event_is_in_the_bucket_once() {
    let cart = Cart::new(&["recommendations=false"]);
    let acknowledged = submit_all(&cart.api, 1_000, 0, || {});
    assert_eq!(acknowledged.len(), 1_000);
    let found = numbers(&cart.collected(1_000));
    assert_eq!(found.len(), 1_000);
    assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), acknowledged);
    for (key, bytes) in cart.cloud.objects(&cart.bucket) {
        assert!(
            bytes.ends_with(b"\n") && !bytes.windows(2).any(|two| two == b"\n\n"),
            "{key}"
        );
        assert!(bytes.len() <= (1 << 20) + (1 << 20), "{key}: {}", bytes.len());
    }
}

#[test]
fn what_is_acknowledged_survives_a_kill() {
    let mut cart = Cart::new(&["recommendations=false"]);
    let (api, cloud) = (cart.api.clone(), &mut cart.cloud);
    let acknowledged = submit_all(&api, 1_000, 300, || {
        cloud.kill();
        cloud.restart_in_place();
    });
    assert!((300..=1_000).contains(&acknowledged.len()));
    let found = numbers(&cart.collected(acknowledged.len()));
    let distinct: BTreeSet<usize> = found.iter().copied().collect();
    assert_eq!(found.len(), distinct.len(), "each once");
    let lost: Vec<&usize> = acknowledged.difference(&distinct).collect();
    assert_eq!(lost, Vec::<&usize>::new());
}
