use serde_json::{Value, json};

use super::super::test_support::{Endpoint, changes, context, location, observed, spec_in};
use super::*;
use crate::pipeline::resource::{Observed, Resource, Spec};

fn spec(flags: &[(&str, &str)]) -> Spec {
    spec_in(crate::pipeline::template("stream").unwrap(), "stream", flags)
}

/// The changes of the bundled template's stream with `flags`.
async fn differences(flags: &[(&str, &str)], observed: &Observed) -> String {
    let context = context().await;
    changes(&Stream::new(&context, location(), spec(flags)).unwrap(), observed)
}

fn facts() -> Facts {
    Facts {
        arn: "arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream".into(),
        status: "ACTIVE".into(),
        on_demand: false,
        shards: 1,
        retention_hours: 24,
        encryption: Some("alias/aws/kinesis".into()),
        monitoring: ShardMetric::all().iter().map(ToString::to_string).collect(),
        consumers: 0,
        is_declared_key: false,
        key_is_unknown: None,
    }
}

fn there(facts: &Facts, more_tags: &[(&str, &str)]) -> Observed {
    observed(&spec(&[]), facts, more_tags)
}

#[tokio::test]
async fn a_stream_as_asked_for_needs_nothing() {
    assert_eq!(differences(&[], &Observed::Absent).await, "create");
    assert!(differences(&[], &there(&facts(), &[])).await.is_empty());
    assert!(
        differences(&[], &there(&facts(), &[("Theirs", "1")]))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn defaults_change_nothing_that_exists() {
    let other = Facts {
        shards: 4,
        retention_hours: 168,
        encryption: None,
        monitoring: BTreeSet::new(),
        ..facts()
    };
    assert!(
        differences(&[], &there(&other, &[("Environment", "production")]))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn what_is_asked_for_is_changed() {
    let flags = [
        ("shard_count", "5"),
        ("retention_hours", "168"),
        ("encryption", "false"),
        ("monitoring", "none"),
        ("environment", "test"),
    ];
    insta::assert_snapshot!(differences(&flags, &there(&facts(), &[])).await, @r#"
    retention: 1d → 7d
    shards: 1 → 5
    monitoring: all → none
    encryption: alias/aws/kinesis → none
    tags: Environment=development → Environment=test
    "#);
}

#[tokio::test]
async fn an_unfinished_stream_gets_its_defaults() {
    let bare = Facts {
        encryption: None,
        monitoring: BTreeSet::new(),
        shards: 3,
        ..facts()
    };
    let changes = differences(&[], &there(&bare, &[(UNFINISHED, "setup")])).await;
    insta::assert_snapshot!(changes, @r#"
    monitoring: none → all
    encryption: none → alias/aws/kinesis
    tags: remove the tag of an unfinished setup
    "#);
}

#[tokio::test]
async fn an_on_demand_stream_takes_no_shard_count() {
    let on_demand = Facts {
        on_demand: true,
        shards: 4,
        ..facts()
    };
    let changes = differences(&[("shard_count", "2")], &there(&on_demand, &[])).await;
    insta::assert_snapshot!(changes, @r#"is on-demand: Kinesis decides on its shards"#);
    let both = [("shard_count", "2"), ("mode", "provisioned")];
    insta::assert_snapshot!(differences(&both, &there(&on_demand, &[])).await, @r#"
    mode: on-demand → provisioned
    shards: 4 → 2
    "#);
}

#[tokio::test]
async fn a_stream_on_its_way_out_is_made_anew() {
    let going = Facts {
        status: "DELETING".into(),
        ..facts()
    };
    assert_eq!(differences(&[], &there(&going, &[])).await, "create");
}

#[test]
fn monitoring_is_all_none_or_names() {
    let read = |names: &[&str]| metrics(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
    assert_eq!(read(&["all"]).unwrap().len(), 7);
    assert!(read(&["none"]).unwrap().is_empty());
    assert_eq!(read(&["IncomingBytes", "OutgoingBytes"]).unwrap().len(), 2);
    assert!(read(&["none", "IncomingBytes"]).is_err());
}

/// The changes of a stream that is encrypted with `there` where `wanted` is asked for; DescribeKey answers as given.
async fn key_changes(wanted: &'static str, there: &'static str, described: (u16, Value)) -> (String, usize) {
    let tags: Vec<Value> = spec(&[])
        .tags
        .all()
        .into_iter()
        .map(|(key, value)| json!({"Key": key, "Value": value}))
        .collect();
    let endpoint = Endpoint::start(move |call, _| match call {
        "DescribeStreamSummary" => {
            let summary = json!({"StreamDescriptionSummary": {
                "StreamName": "concert-data-stream",
                "StreamARN": facts().arn,
                "StreamStatus": "ACTIVE",
                "StreamModeDetails": {"StreamMode": "PROVISIONED"},
                "RetentionPeriodHours": 24,
                "StreamCreationTimestamp": 1_767_225_600.0,
                "EnhancedMonitoring": [{"ShardLevelMetrics": ["ALL"]}],
                "EncryptionType": "KMS",
                "KeyId": there,
                "OpenShardCount": 1,
                "ConsumerCount": 0,
            }});
            (200, summary.to_string())
        }
        "ListTagsForStream" => (200, json!({"Tags": tags, "HasMoreTags": false}).to_string()),
        "DescribeKey" => (described.0, described.1.to_string()),
        other => panic!("{other} is not expected"),
    })
    .await;
    let stream = Stream::new(&endpoint.context, location(), spec(&[("kms_key", wanted)])).unwrap();
    let observed = Resource::observe(&stream).await.unwrap();
    let asked = endpoint
        .calls()
        .iter()
        .filter(|call| *call == "DescribeKey")
        .count();
    (changes(&stream, &observed), asked)
}

#[tokio::test]
async fn another_name_of_the_same_key_is_no_change() {
    const ALIAS: &str = "alias/mine";
    const ID: &str = "1234abcd-12ab-34cd-56ef-1234567890ab";
    const ARN: &str = "arn:aws:kms:us-east-1:000000000000:key/1234abcd-12ab-34cd-56ef-1234567890ab";
    let known = || (200, json!({"KeyMetadata": {"KeyId": ID, "Arn": ARN}}));
    let nothing = || (String::new(), 1);
    assert_eq!(key_changes(ARN, ALIAS, known()).await, nothing());
    assert_eq!(key_changes(ID, ALIAS, known()).await, nothing());
    assert_eq!(key_changes(ALIAS, ARN, known()).await, nothing());
    // The same forms need no call.
    assert_eq!(key_changes(ID, ARN, known()).await, (String::new(), 0));
    assert_eq!(
        key_changes("alias/other", ALIAS, known()).await,
        ("encryption: alias/mine → alias/other".to_owned(), 0)
    );
    let other = (
        200,
        json!({"KeyMetadata": {"KeyId": "5678", "Arn": "arn:aws:kms:us-east-1:000000000000:key/5678"}}),
    );
    let (change, _) = key_changes(ARN, ALIAS, other).await;
    assert_eq!(change, format!("encryption: alias/mine → {ARN}"));
    let denied = (
        400,
        json!({"__type": "AccessDeniedException", "message": "not authorized to perform: kms:DescribeKey"}),
    );
    let (change, _) = key_changes(ARN, ALIAS, denied).await;
    assert!(
        change.contains("they may be the same key") && change.contains("kms:DescribeKey"),
        "{change}"
    );
}
