//! `list` and `describe`.

use insta::assert_snapshot;

use crate::provision::{foreign_stream, redacted, run, transcript};
use crate::support::Cloud;

#[test]
fn list_in_every_format() {
    let cloud = Cloud::start();
    redacted(|| assert_snapshot!("list_empty", transcript(&cloud, ["list"])));
    redacted(|| assert_snapshot!("list_empty_json", transcript(&cloud, ["list", "-o", "json"])));
    cloud.ok(["setup", "--shard-count", "2"]);
    cloud.ok(["setup", "--stream", "concert-archive", "--on-demand"]);
    foreign_stream(&cloud, "theirs");
    redacted(|| assert_snapshot!("list", cloud.ok(["list"])));
    redacted(|| assert_snapshot!("list_long", cloud.ok(["list", "--long"])));
    redacted(|| assert_snapshot!("list_text", cloud.ok(["list", "-o", "text"])));
    redacted(|| insta::assert_json_snapshot!("list_json", cloud.json(["list"])));
    redacted(|| insta::assert_json_snapshot!("list_long_json", cloud.json(["list", "--long"])));
    redacted(|| assert_snapshot!("list_prefix", cloud.ok(["list", "--prefix", "concert-d"])));
    redacted(|| {
        assert_snapshot!(
            "list_no_such_prefix",
            transcript(&cloud, ["list", "--prefix", "zz"])
        )
    });
}

#[test]
fn list_reads_all_pages() {
    let cloud = Cloud::start();
    // More than a page of ListStreams, 100 by default.
    let kinesis = cloud.kinesis();
    crate::support::block_on(async {
        for n in 0..120 {
            let call = kinesis.create_stream().shard_count(1);
            let call = call.stream_name(format!("s{n:03}"));
            while call.clone().send().await.is_err() {
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    });
    let listed = cloud.json(["list"]);
    let names: Vec<&str> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|s| s["name"].as_str().unwrap())
        .collect();
    let expected: Vec<String> = (0..120).map(|n| format!("s{n:03}")).collect();
    assert_eq!(names, expected);
}

#[test]
fn describe_in_every_format() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "--retention", "7d", "--tag", "Cost Centre=Live Music"]);
    redacted(|| assert_snapshot!("describe", cloud.ok(["describe"])));
    redacted(|| assert_snapshot!("describe_text", cloud.ok(["describe", "-o", "text"])));
    redacted(|| insta::assert_json_snapshot!("describe_json", cloud.json(["describe"])));
    cloud.ok(["setup", "--shard-count", "2"]);
    cloud.ok(["setup", "--shard-count", "1"]);
    redacted(|| assert_snapshot!("describe_shards", cloud.ok(["describe", "--shards"])));
    redacted(|| insta::assert_json_snapshot!("describe_shards_json", cloud.json(["describe", "--shards"])));
    cloud.ok(["setup", "--stream", "flexible", "--on-demand"]);
    redacted(|| {
        assert_snapshot!(
            "describe_on_demand",
            cloud.ok(["describe", "--stream", "flexible"])
        )
    });
}

#[test]
fn an_absent_stream_is_an_error_with_a_hint() {
    let cloud = Cloud::start();
    redacted(|| {
        assert_snapshot!(
            "describe_absent",
            transcript(&cloud, ["describe", "--stream", "orders"])
        )
    });
    assert_eq!(run(&cloud, ["describe", "-o", "json"]).stdout, "");
}
