//! Objects: when they are written, their keys, content and metadata; what happens when they cannot be written.

use std::io::Read;

use super::*;
use crate::kinesis::tests::world::START_MS;

#[test]
fn a_buffer_is_delivered_when_it_is_full_or_old_enough() {
    let fire = Fire::new();
    fire.direct("carts", lake());
    for n in 0..3 {
        fire.put("carts", &n.to_string());
        fire.world.clock.advance(10_000);
    }
    fire.deliver();
    assert_eq!(fire.objects(), []);
    // The oldest record is 60 seconds old.
    fire.pass(30_000);
    assert_eq!(fire.texts(), ["012"], "no separator is added");
    // 1 MiB is reached with the third.
    for _ in 0..4 {
        fire.put("carts", &"x".repeat(500_000));
    }
    fire.deliver();
    let objects = fire.objects();
    assert_eq!((objects.len(), objects[1].1.len()), (2, 1_500_000));
    fire.pass(55_000);
    assert_eq!(fire.objects().len(), 2);
    fire.pass(5_000);
    assert_eq!(fire.objects()[2].1.len(), 500_000);
    assert_eq!(fire.metric("DeliveryToS3.Success"), Some(1.0));
    assert_eq!(fire.metric("DeliveryToS3.DataFreshness"), Some(60.0));
    assert_eq!(fire.metric("DeliveryToS3.Records"), Some(1.0));
    assert_eq!(fire.metric("DeliveryToS3.Bytes"), Some(500_000.0));
}

#[test]
fn keys_have_the_time_of_the_oldest_record_and_the_version_of_the_settings() {
    let fire = Fire::new();
    fire.direct(
        "carts",
        lake_with(&json!({"ProcessingConfiguration": newlines()})),
    );
    // START_MS is 2026-01-01T00:00:00Z.
    fire.world
        .clock
        .advance(START_MS + 3_599_000 - fire.service.now_ms());
    fire.put("carts", "{}");
    fire.world.clock.advance(2_000);
    fire.put("carts", "[]");
    fire.pass(60_000);
    let (key, body) = fire.objects().remove(0);
    assert_eq!(body, b"{}\n[]\n");
    let uuid = key
        .strip_prefix("2026/01/01/00/carts-1-2026-01-01-00-59-59-")
        .unwrap();
    assert_eq!(uuid.len(), 36, "{key}");
    let all = fire.world.objects.all.lock().unwrap();
    let object = all.values().next().unwrap();
    assert_eq!(
        (
            object.content_type,
            object.content_encoding,
            object.storage_class.as_str()
        ),
        (Some("application/octet-stream"), None, "STANDARD")
    );
}

#[test]
fn compression_extension_zone_prefix_and_key_are_those_of_the_settings() {
    let fire = Fire::new();
    let key = format!("arn:aws:kms:us-east-1:{ACCOUNT}:key/mine");
    let destination = lake_with(&json!({
        "Prefix": "day=!{timestamp:yyyy-MM-dd}/",
        "ErrorOutputPrefix": "errors/!{firehose:error-output-type}/",
        "CompressionFormat": "GZIP",
        "CustomTimeZone": "Asia/Tokyo",
        "EncryptionConfiguration": {"KMSEncryptionConfig": {"AWSKMSKeyARN": key}},
    }));
    fire.direct("carts", destination);
    fire.put("carts", "hello");
    fire.pass(60_000);
    let (name, body) = fire.objects().remove(0);
    assert!(
        name.starts_with("day=2026-01-01/carts-1-2026-01-01-09-00-00-") && name.ends_with(".gz"),
        "{name}"
    );
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..])
        .read_to_string(&mut text)
        .unwrap();
    assert_eq!(text, "hello");
    {
        let all = fire.world.objects.all.lock().unwrap();
        let object = all.values().next().unwrap();
        assert_eq!(object.content_encoding, Some("gzip"));
        assert_eq!(object.key_id.as_deref(), Some(key.as_str()));
    }
    let update = json!({
        "DeliveryStreamName": "carts",
        "CurrentDeliveryStreamVersionId": "1",
        "DestinationId": "destinationId-000000000001",
        "ExtendedS3DestinationUpdate": {"FileExtension": ".json.gz"},
    });
    fire.put("carts", "buffered before the update");
    fire.ok("UpdateDestination", update);
    fire.pass(60_000);
    let (name, _) = fire.objects().remove(1);
    assert!(name.contains("/carts-2-") && name.ends_with(".json.gz"), "{name}");
}

#[test]
fn a_stream_is_read_from_the_moment_of_creation() {
    let fire = Fire::new();
    fire.world.stream("orders", 2);
    for n in 0..4 {
        fire.world.put("orders", &format!("k{n}"), "before");
    }
    let input = fire.of_stream(
        "carts",
        lake_with(&json!({"ProcessingConfiguration": newlines()})),
    );
    fire.ok("CreateDeliveryStream", input);
    // It is still CREATING.
    for n in 0..4 {
        fire.world.put("orders", &format!("k{n}"), &format!("after {n}"));
    }
    let fire = fire.restarted();
    fire.pass(70_000);
    let text = fire.texts().concat();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["after 0", "after 1", "after 2", "after 3"]);
    assert_eq!(fire.metric("DataReadFromKinesisStream.Records"), Some(4.0));
}

#[test]
fn a_stream_that_is_created_again_is_read_from_its_beginning() {
    let fire = Fire::new();
    fire.world.stream("orders", 1);
    fire.reading("carts", lake());
    fire.world.put("orders", "k", "lost with its stream");
    fire.world.ok("DeleteStream", json!({"StreamName": "orders"}));
    fire.world.settle();
    fire.pass(120_000);
    assert_eq!(fire.objects(), []);
    fire.world.stream("orders", 1);
    fire.world.put("orders", "k", "new");
    fire.pass(180_000);
    assert_eq!(fire.texts(), ["new"]);
}

#[test]
fn what_cannot_be_written_is_kept_reported_and_written_later() {
    let fire = Fire::new();
    let logging = json!({"Enabled": true, "LogGroupName": "/firehose", "LogStreamName": "carts"});
    fire.direct("carts", lake_with(&json!({"CloudWatchLoggingOptions": logging})));
    *fire.world.objects.refuses.lock().unwrap() = Some("NoSuchBucket");
    fire.put("carts", "a");
    fire.pass(90_000);
    fire.put("carts", "b");
    assert_eq!(fire.metric("DeliveryToS3.Success"), Some(0.0));
    assert!(fire.metric("DeliveryToS3.DataFreshness") > Some(60.0));
    let logged = fire.world.objects.logged.lock().unwrap().clone();
    // Ever longer pauses.
    assert!((2..8).contains(&logged.len()), "{logged:?}");
    let entry: Value = serde_json::from_str(logged[0].strip_prefix("/firehose carts ").unwrap()).unwrap();
    assert_eq!(entry["errorCode"], "S3.NoSuchBucket");
    assert_eq!(entry["deliveryStreamVersionId"], 1);
    *fire.world.objects.refuses.lock().unwrap() = None;
    fire.pass(120_000);
    assert_eq!(fire.texts().concat(), "ab");
}

#[test]
fn a_role_without_permission_delivers_nothing_and_loses_nothing() {
    let fire = Fire::new();
    fire.direct(
        "carts",
        lake_with(&json!({"RoleARN": format!("arn:aws:iam::{ACCOUNT}:role/powerless")})),
    );
    fire.put("carts", "a");
    fire.pass(90_000);
    assert_eq!(fire.objects(), []);
    let update = json!({
        "DeliveryStreamName": "carts",
        "CurrentDeliveryStreamVersionId": "1",
        "DestinationId": "destinationId-000000000001",
        "ExtendedS3DestinationUpdate": {"RoleARN": ROLE},
    });
    fire.ok("UpdateDestination", update);
    fire.pass(60_000);
    assert_eq!(fire.texts(), ["a"]);
}

#[test]
fn direct_puts_are_kept_for_a_day_and_records_of_a_stream_as_long_as_the_stream_keeps_them() {
    let fire = Fire::new();
    fire.world.stream("orders", 1);
    fire.world.ok(
        "IncreaseStreamRetentionPeriod",
        json!({"StreamName": "orders", "RetentionPeriodHours": 48}),
    );
    fire.world.settle();
    fire.direct("direct", lake());
    fire.reading("reading", lake());
    *fire.world.objects.refuses.lock().unwrap() = Some("SlowDown");
    fire.put("direct", "direct");
    fire.world.put("orders", "k", "stream");
    fire.pass(70_000);
    fire.world.clock.advance(25 * 3_600_000);
    fire.deliver();
    *fire.world.objects.refuses.lock().unwrap() = None;
    fire.put("direct", "later");
    fire.pass(120_000);
    let mut texts = fire.texts();
    texts.sort();
    assert_eq!(texts, ["later", "stream"]);
}

#[test]
fn an_object_whose_answer_is_lost_is_written_under_the_same_key() {
    let fire = Fire::new();
    fire.direct("carts", lake());
    fire.put("carts", "a");
    *fire.world.objects.loses_answers.lock().unwrap() = true;
    fire.pass(60_000);
    fire.put("carts", "b");
    let fire = fire.restarted();
    *fire.world.objects.loses_answers.lock().unwrap() = false;
    fire.pass(120_000);
    assert_eq!(fire.texts(), ["a", "b"]);
    let puts = *fire.world.objects.puts.lock().unwrap();
    assert!(puts >= 3, "{puts}");
}

#[test]
fn an_object_that_could_not_be_written_follows_a_new_bucket() {
    let fire = Fire::new();
    fire.direct("carts", lake_with(&json!({"BucketARN": "arn:aws:s3:::gone"})));
    *fire.world.objects.refuses.lock().unwrap() = Some("NoSuchBucket");
    fire.put("carts", "a");
    fire.pass(60_000);
    *fire.world.objects.refuses.lock().unwrap() = None;
    let update = json!({
        "DeliveryStreamName": "carts",
        "CurrentDeliveryStreamVersionId": "1",
        "DestinationId": "destinationId-000000000001",
        "ExtendedS3DestinationUpdate": {"BucketARN": "arn:aws:s3:::lake", "CompressionFormat": "ZIP"},
    });
    fire.ok("UpdateDestination", update);
    fire.pass(60_000);
    let (key, body) = fire.objects().remove(0);
    assert!(key.contains("/carts-2-") && key.ends_with(".zip"), "{key}");
    assert_eq!(body[..2], *b"PK");
}

#[test]
fn delivered_direct_puts_leave_the_disk() {
    let fire = Fire::new();
    fire.direct("carts", lake());
    for _ in 0..20 {
        fire.put("carts", &"x".repeat(MIB / 2));
        fire.world.clock.advance(1_000);
        fire.deliver();
    }
    let log = &fire.service.store.every()[0];
    let left = log.log.as_ref().unwrap().store.bytes();
    assert!(left < 3 * MIB as u64, "{left}");
    assert_eq!(fire.objects().len(), 10);
}
