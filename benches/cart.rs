//! The template `cart` on a new local cloud: submissions over 16 connections through the API, the function, the stream and
//! Firehose into the bucket. Reports the time of `setup`, the latencies of POST and what is in the bucket.
//!
//! `cargo bench --bench cart [-- SUBMISSIONS] [kill] [recommendations]`. With `kill`, the local cloud is killed with SIGKILL
//! after half of the submissions and started again. With `recommendations`, sample orders are loaded first, and answers
//! recommend products. It fails if an acknowledged submission is not in the bucket, or is there twice.

#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a benchmark prints, and has no use for errors"
)]

mod common;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::Cloud;
use serde_json::Value;

const CONNECTIONS: usize = 16;
const PATIENCE: Duration = Duration::from_secs(120);

fn main() {
    common::run(100_000, bench);
}

/// Whether the command line has the word `name`.
fn asked(name: &str) -> bool {
    std::env::args().any(|arg| arg == name)
}

async fn bench(submissions: usize) {
    let mut cloud = Cloud::start();
    let recommends = asked("recommendations");
    let begun = Instant::now();
    let recommendations = format!("recommendations={recommends}");
    let mut setup = vec!["setup", "cart", "--param", &recommendations];
    // Alarms and dashboard are what a user gets; only the limits of the API are wider.
    setup.extend([
        "--param",
        "api_rate_limit=10000",
        "--param",
        "api_burst_limit=5000",
    ]);
    cloud.streamctl(&setup);
    println!("setup cart: {:.2} s", begun.elapsed().as_secs_f64());
    if recommends {
        let begun = Instant::now();
        cloud.streamctl(&[
            "sample",
            "load",
            "cart",
            "--orders",
            "10k",
            "--param",
            "recommendations=true",
        ]);
        println!(
            "sample load cart --orders 10k: {:.2} s",
            begun.elapsed().as_secs_f64()
        );
    }
    let outputs: Value =
        serde_json::from_slice(&cloud.streamctl(&["outputs", "cart", "-o", "json"])).unwrap();
    let text = |name: &str| outputs[name].as_str().unwrap().to_owned();
    let (url, bucket) = (text("submit_url"), text("bucket_name"));

    let begun = Instant::now();
    let sent = tokio::task::block_in_place(|| submit_all(&url, submissions, &mut cloud));
    let took = begun.elapsed().as_secs_f64();
    report(&sent, submissions, took);
    if recommends {
        let recommending = sent.iter().filter(|one| one.recommends).count();
        println!("{recommending} answers recommend products");
    }
    cloud.streamctl(&["local", "clock", "--advance", "61s"]);
    check(&cloud, &bucket, &sent, submissions).await;
}

/// An acknowledged submission.
struct Sent {
    number: usize,
    /// The time of its POST.
    time: Duration,
    /// Whether the answer recommends products: under load, it may be over before they are there.
    recommends: bool,
}

/// Submits everything. With `kill`, in two halves: the cloud is killed in the middle of the whole.
fn submit_all(url: &str, count: usize, cloud: &mut Cloud) -> Vec<Sent> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (next, workers) = (&next, 0..CONNECTIONS);
        let work = move || {
            let mut connection = None;
            let mut sent = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= count {
                    return sent;
                }
                let begun = Instant::now();
                if let Some(answer) = submit(&mut connection, url, number) {
                    sent.push(Sent {
                        number,
                        time: begun.elapsed(),
                        recommends: answer.contains("\"probability\""),
                    });
                }
            }
        };
        let workers: Vec<_> = workers.map(|_| scope.spawn(work)).collect();
        if asked("kill") {
            while next.load(Ordering::Relaxed) < count / 2 {
                std::thread::sleep(Duration::from_millis(1));
            }
            cloud.kill_and_start();
        }
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap())
            .collect()
    })
}

/// Sends one submission on a kept connection. Returns the answer if it is acknowledged.
fn submit(connection: &mut Option<BufReader<TcpStream>>, url: &str, number: usize) -> Option<String> {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let user = 1 + number % 500;
    let body = format!(
        r#"{{"user_id":{user},"product_ids":["{}","{}"],"event":"add_to_cart","timestamp":"2026-11-29T00:00:00Z","source":"web-app","number":{number}}}"#,
        number % 1000,
        number % 777
    );
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = match connection {
        Some(open) => exchange(open, &request),
        None => None,
    };
    let answer = answer.or_else(|| {
        // A new connection, also while the local cloud starts again. A request that may have been read is not sent again.
        if connection.take().is_some() {
            return None;
        }
        let deadline = Instant::now() + PATIENCE;
        let stream = loop {
            match TcpStream::connect(host) {
                Ok(stream) => break stream,
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(5)),
                Err(error) => panic!("could not connect to {host}: {error}"),
            }
        };
        stream.set_nodelay(true).unwrap();
        exchange(connection.insert(BufReader::new(stream)), &request)
    });
    match answer {
        Some((status, body)) => (status == 200).then_some(body),
        None => {
            *connection = None;
            None
        }
    }
}

/// Status and body of an answer; `None` if the connection ended.
fn exchange(open: &mut BufReader<TcpStream>, request: &str) -> Option<(u16, String)> {
    open.get_mut().write_all(request.as_bytes()).ok()?;
    let mut line = String::new();
    open.read_line(&mut line).ok()?;
    let status = line.split(' ').nth(1)?.parse().ok()?;
    let mut length = 0;
    loop {
        line.clear();
        open.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().ok()?
            }
            Some(_) => {}
            None => break,
        }
    }
    let mut body = vec![0; length];
    open.read_exact(&mut body).ok()?;
    Some((status, String::from_utf8(body).ok()?))
}

fn report(sent: &[Sent], submissions: usize, took: f64) {
    let mut times: Vec<Duration> = sent.iter().map(|one| one.time).collect();
    times.sort_unstable();
    let at = |part: f64| {
        let place = (times.len() as f64 * part) as usize;
        times[place.min(times.len() - 1)].as_secs_f64() * 1e3
    };
    println!(
        "{} of {submissions} submissions acknowledged in {took:.1} s, {:.0} a second, over {CONNECTIONS} connections",
        sent.len(),
        sent.len() as f64 / took
    );
    println!(
        "POST: median {:.1} ms, p99 {:.1} ms, p99.9 {:.1} ms, longest {:.1} ms",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
}

/// Compares what is in the bucket with what was acknowledged.
async fn check(cloud: &Cloud, bucket: &str, sent: &[Sent], submissions: usize) {
    let config = aws_sdk_s3::config::Builder::from(&cloud.sdk().await).force_path_style(true);
    let s3 = aws_sdk_s3::Client::from_conf(config.build());
    let deadline = Instant::now() + PATIENCE;
    let mut read: HashMap<String, Vec<usize>> = HashMap::new();
    let mut sizes = Vec::new();
    loop {
        let mut pages = s3
            .list_objects_v2()
            .bucket(bucket)
            .prefix("20")
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            for key in page.unwrap().contents().iter().filter_map(|object| object.key()) {
                if !read.contains_key(key) {
                    let object = s3.get_object().bucket(bucket).key(key).send().await.unwrap();
                    let bytes = object.body.collect().await.unwrap().to_vec();
                    sizes.push(bytes.len());
                    read.insert(key.to_owned(), numbers(key, &bytes));
                }
            }
        }
        let lines: usize = read.values().map(Vec::len).sum();
        if lines >= sent.len() {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{lines} of {} lines are in the bucket",
            sent.len()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut times = vec![0_u8; submissions];
    for number in read.values().flatten() {
        times[*number] += 1;
    }
    let lost = sent.iter().filter(|one| times[one.number] == 0).count();
    let twice = times.iter().filter(|times| **times > 1).count();
    sizes.sort_unstable();
    println!(
        "bucket: {} objects of {} to {} bytes, {lost} acknowledged submissions lost, {twice} there twice",
        sizes.len(),
        sizes[0],
        sizes[sizes.len() - 1]
    );
    assert_eq!((lost, twice), (0, 0));
}

/// The numbers of the submissions in an object.
fn numbers(key: &str, bytes: &[u8]) -> Vec<usize> {
    // yyyy/MM/dd/HH/STREAM-VERSION-…
    let parts: Vec<&str> = key.split('/').collect();
    assert!(
        parts.len() == 5 && parts[4].starts_with("api-firehose-stream-1-20"),
        "{key}"
    );
    assert!(bytes.ends_with(b"\n"), "{key}");
    let lines = bytes.strip_suffix(b"\n").unwrap().split(|byte| *byte == b'\n');
    let number = |line: &[u8]| {
        let event: Value =
            serde_json::from_slice(line).unwrap_or_else(|_| panic!("a line of {key} is no JSON"));
        usize::try_from(event["number"].as_u64().unwrap()).unwrap()
    };
    lines.map(number).collect()
}
