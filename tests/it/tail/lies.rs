//! `tail --no-follow` is complete, whatever an endpoint says of the distance to the tip.

use std::sync::Arc;

use super::{STREAM, put};
use crate::proxy::{self, Call, Fate, Judge};
use crate::support::Cloud;

#[test]
fn no_follow_is_complete_where_the_endpoint_lies_about_the_distance_to_the_tip() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    let mut expected = Vec::new();
    for round in 0..4 {
        for n in 0..15 {
            let text = format!("{round}-{n}");
            put(&cloud, &text, text.as_bytes());
            expected.push(text);
        }
        cloud.ok(["local", "clock", "--advance", "7s"]);
    }
    expected.sort();
    for behind in [Some(0), None, Some(1), Some(3_600_000), Some(i64::MAX)] {
        let judge = move |call: &Call| match call.operation.as_str() {
            "GetRecords" => Fate::Behind(behind),
            _ => Fate::Pass,
        };
        let url = proxy::start(&cloud.endpoint, Arc::new(judge) as Arc<dyn Judge>);
        let args = [
            "tail",
            "--from",
            "trim",
            "--no-follow",
            "-o",
            "text",
            "--endpoint-url",
            &url,
        ];
        let output = cloud
            .streamctl(args)
            .env_remove("STREAMCTL_TARGET")
            .assert()
            .success();
        let stdout = String::from_utf8(output.get_output().stdout.clone()).unwrap();
        let mut lines: Vec<&str> = stdout.lines().collect();
        lines.sort_unstable();
        assert_eq!(lines, expected, "with {behind:?}");
    }
}

#[test]
fn records_of_ten_mebibytes_after_a_small_one() {
    let cloud = Cloud::start();
    cloud.ok(["create", STREAM, "--shards", "1", "--max-record-size", "10MiB"]);
    put(&cloud, "k", b"small");
    // With its key, a record has the largest size.
    let big = vec![b'x'; 10 * 1024 * 1024 - 1];
    for _ in 0..5 {
        put(&cloud, "k", &big);
    }
    let output = cloud
        .streamctl(["tail", "--from", "trim", "--no-follow", "-o", "raw"])
        .assert()
        .success();
    let read = &output.get_output().stdout;
    assert_eq!(read.len(), 5 + 5 * big.len());
    assert!(read.starts_with(b"smallx"));
    let lengths = cloud.ok(["tail", "--from", "trim", "--no-follow", "--format", "%V "]);
    assert_eq!(lengths, format!("5 {}", format!("{} ", big.len()).repeat(5)));
}
