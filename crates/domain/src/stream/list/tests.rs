use serde_json::json;

use super::*;
use crate::pipeline::resources::test_support::Endpoint;

#[test]
fn calls_stay_below_their_rates() {
    for (rate, limit) in [(DESCRIPTIONS, 20), (FIVE_A_SECOND, 5)] {
        for millis in (0..5_000).step_by(10) {
            let from = Duration::from_millis(millis);
            let second = from..from + Duration::from_secs(1);
            let asked = (0..200)
                .filter(|&i| second.contains(&rate.pause_before(i)))
                .count();
            assert!(asked <= limit, "{asked} in the second after {millis} ms");
        }
        assert_eq!(rate.pause_before(0), Duration::ZERO);
        assert_eq!(rate.pause_before(rate.at_once), Duration::ZERO);
    }
}

#[test]
fn totals_need_details_and_prices() {
    let entry = |details| StreamEntry {
        open_shards: Some(2),
        details,
        ..StreamEntry::named("orders".to_owned())
    };
    let details = |cost| {
        Some(Details {
            retention_hours: 24,
            consumer_count: 0,
            shard_level_metrics: 0,
            standing_cost_per_month: cost,
        })
    };
    let dollar = Some(Money::from_nanos(1_000_000_000));
    assert_eq!(Totals::of(&[entry(details(dollar)), entry(None)]), None);
    let known = Totals::of(&[entry(details(dollar)), entry(details(dollar))]).unwrap();
    assert_eq!((known.streams, known.open_shards), (2, 4));
    assert_eq!(known.standing_cost_per_month.unwrap().to_string(), "$2.00");
    let unknown = Totals::of(&[entry(details(dollar)), entry(details(None))]).unwrap();
    assert_eq!(unknown.standing_cost_per_month, None);
}

/// Two pages of streams. The tagging API answers as given, and ListTagsForStream says that only `orders-eu` is tagged.
async fn two_pages(tagging: (u16, serde_json::Value)) -> Endpoint {
    let arn = |name: &str| format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}");
    let page = move |names: [&str; 2], next: Option<&str>| {
        let summaries = names.map(|name| {
            json!({"StreamName": name, "StreamARN": arn(name), "StreamStatus": "ACTIVE",
                "StreamModeDetails": {"StreamMode": "PROVISIONED"}, "StreamCreationTimestamp": 1_767_225_600.0})
        });
        json!({"StreamNames": names, "StreamSummaries": summaries, "HasMoreStreams": next.is_some(), "NextToken": next})
    };
    Endpoint::start(move |call, body| match call {
        "ListStreams" if body.contains("second") => (200, page(["orders-eu", "orders-us"], None).to_string()),
        "ListStreams" => (200, page(["clicks", "logs"], Some("second")).to_string()),
        "GetResources" => (tagging.0, tagging.1.to_string()),
        "ListTagsForStream" => {
            let tags = match body.contains("orders-eu") {
                true => json!([{"Key": "env", "Value": "prod"}]),
                false => json!([]),
            };
            (200, json!({"Tags": tags, "HasMoreTags": false}).to_string())
        }
        other => panic!("{other} is not expected"),
    })
    .await
}

fn names(entries: &[StreamEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

fn orders_in_production() -> Filter {
    Filter {
        prefix: "orders".to_owned(),
        tags: vec!["env=prod".parse().unwrap()],
        ..Filter::default()
    }
}

#[tokio::test]
async fn tags_are_asked_for_once() {
    let found = json!({"ResourceTagMappingList": [
        {"ResourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/orders-us"},
        {"ResourceARN": "arn:aws:kinesis:us-east-1:000000000000:stream/logs"},
    ]});
    let endpoint = two_pages((200, found)).await;
    let listed = list(&endpoint.context, &orders_in_production(), false)
        .await
        .unwrap();
    assert_eq!(names(&listed), ["orders-us"]);
    assert_eq!(endpoint.calls(), ["ListStreams", "ListStreams", "GetResources"]);
}

#[tokio::test]
async fn without_the_tagging_api_the_selected_streams_are_asked_for_their_tags() {
    let denied = json!({"__type": "AccessDeniedException", "message": "no"});
    let endpoint = two_pages((400, denied)).await;
    let listed = list(&endpoint.context, &orders_in_production(), false)
        .await
        .unwrap();
    assert_eq!(names(&listed), ["orders-eu"]);
    let calls = endpoint.calls();
    assert_eq!(
        calls[2..],
        ["GetResources", "ListTagsForStream", "ListTagsForStream"]
    );
}

#[tokio::test]
async fn a_list_needs_no_call_for_each_stream() {
    let endpoint = two_pages((400, json!({}))).await;
    let listed = list(&endpoint.context, &Filter::default(), false).await.unwrap();
    assert_eq!(names(&listed), ["clicks", "logs", "orders-eu", "orders-us"]);
    assert_eq!(endpoint.calls(), ["ListStreams", "ListStreams"]);
}
