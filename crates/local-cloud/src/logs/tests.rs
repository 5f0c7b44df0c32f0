//! CloudWatch Logs through the SDK.

use aws_sdk_cloudwatchlogs::Client;
use aws_sdk_cloudwatchlogs::error::ProvideErrorMetadata;
use aws_sdk_cloudwatchlogs::types::{InputLogEvent, OrderBy};

use crate::Caller;
use crate::clock::{Clock, SystemClock};
use crate::deliver::LogSink;
use crate::logs::Logs;
use crate::service::Service;
use crate::test_support::{ok, refused};
use crate::tests::Running;

const GROUP: &str = "/aws/lambda/f";

fn caller() -> Caller {
    Caller {
        region: "eu-west-1".to_owned(),
        ..Caller::default()
    }
}

#[tokio::test]
async fn what_functions_log_is_found() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("services")).unwrap();
    let logs = Logs::new(&dir.path().join("services"), std::sync::Arc::new(SystemClock));
    let now = SystemClock.now_ms();
    let events = |from: i64| {
        (from..from + 30)
            .map(|i| {
                let level = if i % 10 == 0 { "error" } else { "info" };
                (now + i, format!(r#"{{"level":"{level}","n":{i}}}"#))
            })
            .collect::<Vec<_>>()
    };
    logs.append(&caller(), GROUP, "2024/[$LATEST]a", events(0)).await;
    logs.append(&caller(), GROUP, "2024/[$LATEST]b", events(30)).await;
    drop(logs);

    let running = Running::on(dir.path()).await;
    let logs = Client::new(&running.sdk);
    let errors = ok!(logs
        .filter_log_events()
        .log_group_name(GROUP)
        .filter_pattern(r#"{ $.level = "error" }"#));
    assert_eq!(errors.events().len(), 6);
    assert_eq!(errors.events()[0].log_stream_name(), Some("2024/[$LATEST]a"));
    let mut messages = Vec::new();
    let mut token = None;
    loop {
        let page = ok!(logs
            .filter_log_events()
            .log_group_name(GROUP)
            .limit(7)
            .set_next_token(token));
        messages.extend(
            page.events()
                .iter()
                .map(|event| event.message().unwrap().to_owned()),
        );
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    assert_eq!(messages.len(), 60);
    assert!(messages.is_sorted_by_key(|message| message.split_once("\"n\":").unwrap().1.len()));

    let stream = || {
        logs.get_log_events()
            .log_group_name(GROUP)
            .log_stream_name("2024/[$LATEST]a")
    };
    let last = ok!(stream().limit(10));
    assert!(
        last.events()[9].message().unwrap().contains(":29}"),
        "the latest come first"
    );
    let before = ok!(stream().limit(10).next_token(last.next_backward_token().unwrap()));
    assert!(before.events()[9].message().unwrap().contains(":19}"));
    let after = ok!(stream().next_token(last.next_forward_token().unwrap()));
    assert!(after.events().is_empty());
    assert_eq!(after.next_forward_token(), last.next_forward_token());

    let streams = ok!(logs
        .describe_log_streams()
        .log_group_name(GROUP)
        .order_by(OrderBy::LastEventTime)
        .descending(true)
        .limit(1));
    assert_eq!(
        streams.log_streams()[0].log_stream_name(),
        Some("2024/[$LATEST]b")
    );
    assert_eq!(streams.log_streams()[0].last_event_timestamp(), Some(now + 59));
    assert!(streams.next_token().is_some());
}

#[tokio::test]
async fn a_group_lives_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let logs = Client::new(&running.sdk);
    ok!(logs.create_log_group().log_group_name(GROUP).tags("a", "1"));
    let again = refused!(logs.create_log_group().log_group_name(GROUP));
    assert_eq!(again.code(), Some("ResourceAlreadyExistsException"));
    ok!(logs
        .put_retention_policy()
        .log_group_name(GROUP)
        .retention_in_days(30));
    let found = ok!(logs.describe_log_groups().log_group_name_prefix("/aws/"));
    let group = &found.log_groups()[0];
    assert_eq!(group.retention_in_days(), Some(30));
    assert_eq!(
        group.arn(),
        Some("arn:aws:logs:eu-west-1:000000000000:log-group:/aws/lambda/f:*")
    );
    let arn = group.log_group_arn().unwrap();
    ok!(logs.tag_resource().resource_arn(arn).tags("b", "2"));
    let tags = ok!(logs.list_tags_for_resource().resource_arn(arn));
    assert_eq!(tags.tags().unwrap().len(), 2);

    ok!(logs
        .create_log_stream()
        .log_group_name(GROUP)
        .log_stream_name("s"));
    let event = |at: i64| {
        InputLogEvent::builder()
            .timestamp(at)
            .message("m")
            .build()
            .unwrap()
    };
    let now = SystemClock.now_ms();
    let put = logs.put_log_events().log_group_name(GROUP).log_stream_name("s");
    let put = ok!(put.log_events(event(1)).log_events(event(now)));
    let rejected = put.rejected_log_events_info().unwrap();
    assert_eq!(rejected.too_old_log_event_end_index(), Some(1));

    ok!(logs.delete_log_group().log_group_name(GROUP));
    let gone = refused!(logs.filter_log_events().log_group_name(GROUP));
    assert_eq!(gone.code(), Some("ResourceNotFoundException"));
    ok!(logs.create_log_group().log_group_name(GROUP));
    let none = ok!(logs.filter_log_events().log_group_name(GROUP));
    assert!(none.events().is_empty());
}

#[tokio::test]
async fn old_events_go_after_the_retention() {
    use crate::clock::ManualClock;
    let dir = tempfile::tempdir().unwrap();
    let clock = std::sync::Arc::new(ManualClock::new(1_000_000_000));
    let logs = Logs::new(dir.path(), clock.clone());
    logs.append(&caller(), GROUP, "s", vec![(clock.now_ms(), "old".to_owned())])
        .await;
    let run = |operation: &str, input: serde_json::Value| {
        logs.run(&caller(), operation, input.to_string().as_bytes())
            .unwrap()
    };
    let policy = serde_json::json!({"logGroupName": GROUP, "retentionInDays": 1});
    run("PutRetentionPolicy", policy);
    clock.advance(86_400_001);
    logs.append(&caller(), GROUP, "s", vec![(clock.now_ms(), "new".to_owned())])
        .await;
    logs.tick();
    let found = run("FilterLogEvents", serde_json::json!({"logGroupName": GROUP}));
    assert_eq!(found["events"].as_array().unwrap().len(), 1);
    assert_eq!(found["events"][0]["message"], "new");
}
