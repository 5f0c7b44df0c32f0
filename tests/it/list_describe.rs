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
fn list_selects_by_name_tag_status_and_mode() {
    let cloud = Cloud::start();
    cloud.ok(["create", "orders-eu", "--tag", "env=prod", "--tag", "team=a b"]);
    cloud.ok(["create", "orders-us", "--tag", "env=dev", "--shards", "3"]);
    cloud.ok(["create", "clicks", "--tag", "env=prod", "--on-demand"]);
    let names = |args: &[&str]| -> String {
        let args = ["list"].iter().chain(args).chain(&["-o", "text"]);
        let output = cloud.streamctl(args).assert().success().get_output().clone();
        let text = String::from_utf8(output.stdout).unwrap();
        let names = text.lines().map(|line| line.split('\t').next().unwrap());
        names.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(names(&["orders-*"]), "orders-eu orders-us");
    assert_eq!(names(&["*-?s"]), "orders-us");
    assert_eq!(names(&["orders"]), "");
    assert_eq!(names(&["--tag", "env=prod"]), "clicks orders-eu");
    assert_eq!(names(&["--tag", "env"]), "clicks orders-eu orders-us");
    assert_eq!(names(&["--tag", "env=prod", "--tag", "team=a b"]), "orders-eu");
    assert_eq!(names(&["--tag", "nobody"]), "");
    assert_eq!(names(&["--mode", "on-demand"]), "clicks");
    assert_eq!(
        names(&["--status", "ACTIVE", "--mode", "provisioned"]),
        "orders-eu orders-us"
    );
    assert_eq!(names(&["--status", "deleting"]), "");
    redacted(|| assert_snapshot!("list_totals", cloud.ok(["list", "--long", "--tag", "env"])));
    redacted(|| assert_snapshot!("list_no_match", transcript(&cloud, ["list", "zz*"])));
    redacted(|| {
        assert_snapshot!(
            "list_nothing_selected",
            transcript(&cloud, ["list", "--tag", "nobody"])
        )
    });
    cloud.fails(2, ["list", "a b"]);
    cloud.fails(2, ["list", "--tag", "=x"]);
    cloud.fails(2, ["list", "--status", "gone"]);
}

#[test]
fn a_stream_that_is_elsewhere_or_misspelled_is_named() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    cloud.ok(["create", "payments", "--region", "eu-west-1"]);
    let shown = |name: &str, args: [&str; 2]| {
        redacted(|| assert_snapshot!(name.to_owned(), transcript(&cloud, args)));
    };
    shown("absent_elsewhere", ["describe", "payments"]);
    shown("absent_misspelled", ["describe", "odrers"]);
    shown("absent_tail", ["tail", "odrers"]);
    shown("absent_metrics", ["metrics", "payments"]);
    let put = ["put", "payments", "--data", "{}"];
    redacted(|| assert_snapshot!("absent_put", transcript(&cloud, put)));
    let retention = ["retention", "odrers", "2d"];
    redacted(|| assert_snapshot!("absent_change", transcript(&cloud, retention)));
}

#[test]
fn describe_shows_what_depends_on_the_stream() {
    let cloud = Cloud::start();
    cloud.stream("orders", 2);
    cloud.ok(["consumer", "register", "orders", "analytics"]);
    crate::support::block_on(async {
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/orders";
        let policy = serde_json::json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow", "Principal": {"AWS": "123456789012"},
            "Action": "kinesis:GetRecords", "Resource": arn,
        }]});
        let call = cloud.kinesis().put_resource_policy().resource_arn(arn);
        call.policy(policy.to_string()).send().await.unwrap();
        let dimension = aws_sdk_cloudwatch::types::Dimension::builder();
        let dimension = dimension.name("StreamName").value("orders").build();
        aws_sdk_cloudwatch::Client::new(&cloud.sdk())
            .put_metric_alarm()
            .alarm_name("orders-throttled")
            .namespace("AWS/Kinesis")
            .metric_name("WriteProvisionedThroughputExceeded")
            .dimensions(dimension)
            .statistic(aws_sdk_cloudwatch::types::Statistic::Sum)
            .comparison_operator(aws_sdk_cloudwatch::types::ComparisonOperator::GreaterThanThreshold)
            .threshold(0.0)
            .period(60)
            .evaluation_periods(1)
            .send()
            .await
            .unwrap();
    });
    redacted(|| assert_snapshot!("describe_dependents", cloud.ok(["describe", "orders"])));
    redacted(|| {
        assert_snapshot!(
            "describe_dependents_text",
            cloud.ok(["describe", "orders", "-o", "text"])
        )
    });
    redacted(|| {
        assert_snapshot!(
            "delete_dependents",
            transcript(&cloud, ["delete", "orders", "--dry-run"])
        )
    });
    assert_eq!(
        cloud.json(["describe", "orders"])["unknown"],
        serde_json::json!({})
    );
}

#[test]
fn a_stream_of_ten_thousand_shards_is_described() {
    let cloud = Cloud::start();
    cloud.stream("wide", 10_000);
    assert_eq!(
        cloud.json(["describe", "wide"])["limits"]["account_shards"]["used"],
        10_000
    );
    let text = cloud.ok(["describe", "wide", "--shards", "-o", "text"]);
    let shards = text.lines().filter(|line| line.starts_with("shard\t"));
    assert_eq!(shards.count(), 10_000);
    let screen = cloud.ok(["describe", "wide", "--shards"]);
    assert!(screen.contains("10,000 open, 0 closed"));
    assert!(screen.lines().all(|line| line.chars().count() <= 80));
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
