use serde_json::json;

use super::*;
use crate::observe::doctor::test_support::stream;
use crate::pipeline::resources::test_support::{Endpoint, spec};

fn names(selection: &Selection, resource: &Resource) -> Vec<String> {
    let of = selection
        .queries
        .iter()
        .filter(|query| query.resource == *resource);
    of.map(|query| query.spec.name.to_string()).collect()
}

#[test]
fn limits_follow_mode_and_shards() {
    let mut state = stream("orders");
    state.open_shards = 4;
    let orders = Resource::Stream("orders".into());
    let limit = |state: &StreamState, limit| Selection::of_state(state).limits.of(&orders, limit);
    assert_eq!(limit(&state, Limit::RecordsIn), Some(4_000.0));
    assert_eq!(limit(&state, Limit::BytesOut), Some(8.0 * 1024.0 * 1024.0));
    assert_eq!(limit(&state, Limit::Retention), Some(86_400_000.0));
    state.mode = Mode::OnDemand;
    assert_eq!(limit(&state, Limit::RecordsIn), None);
    assert_eq!(limit(&state, Limit::Retention), Some(86_400_000.0));
    assert_eq!(names(&Selection::of_state(&state), &orders).len(), 14);
}

#[test]
fn a_shard_has_the_limits_of_any_shard_and_the_retention_of_its_stream() {
    let selection = Selection::of_state(&stream("orders"));
    let shard = Resource::Shard {
        stream: "orders".into(),
        shard: "shardId-000000000000".into(),
    };
    assert_eq!(selection.limits.of(&shard, Limit::RecordsIn), Some(1_000.0));
    assert_eq!(selection.limits.of(&shard, Limit::Retention), Some(86_400_000.0));
    assert_eq!(selection.limits.of(&shard, Limit::Timeout), None);
}

#[test]
fn an_alarm_and_a_bundled_function_name_metrics_of_their_own() {
    let alarm = |namespace: &str, metric: &str| {
        let properties = format!(
            "namespace = \"{namespace}\"\nmetric = \"{metric}\"\nstatistic = \"Sum\"\ndimensions = {{ Environment = \"dev\" }}"
        );
        watched(&spec("alarm", &properties, &[]))
    };
    assert_eq!(alarm("AWS/Lambda", "Errors"), None);
    let own = alarm("App", "Lost").unwrap();
    assert_eq!(
        (own.spec.name.as_ref(), own.resource.dimensions()),
        ("Lost", vec![("Environment", "dev")])
    );
    let function = spec(
        "function",
        "handler = \"retail-event-processor\"\nenvironment = { ENVIRONMENT = \"dev\" }",
        &[],
    );
    let mut names = Names::default();
    names.add_own(published(&function, "retail-dev"));
    names.add_own(
        alarm("RetailEventProcessing", "FailedEvents")
            .into_iter()
            .collect(),
    );
    let found: Vec<&str> = names.own.iter().map(|query| query.spec.name.as_ref()).collect();
    assert_eq!(
        found,
        [
            "ProcessedEvents",
            "FailedEvents",
            "ProcessingDuration",
            "SuccessRate",
            "BatchSize"
        ]
    );
    let realtime = spec("function", "handler = \"realtime-data-processor\"", &[]);
    let found = published(&realtime, "realtime-dev");
    assert_eq!(found[0].resource.dimensions(), [("FunctionName", "realtime-dev")]);
    assert!(published(&spec("function", "handler = \"own.zip\"", &[]), "f").is_empty());
}

#[tokio::test]
async fn what_is_denied_leaves_limits_unknown_and_is_named() {
    let denied = json!({"__type": "AccessDeniedException", "message": "not authorized"}).to_string();
    let endpoint = Endpoint::start(move |_, _| (400, denied.clone())).await;
    let selection = Selection::function(&endpoint.context, "scorer").await.unwrap();
    assert_eq!(names(&selection, &Resource::Function("scorer".into())).len(), 8);
    assert_eq!(selection.notes.len(), 2, "{:?}", selection.notes);
    assert!(selection.notes.iter().all(|note| note.contains("not authorized")));
    let mut with_consumers = Selection::default();
    let mut state = stream("orders");
    state.consumer_count = 1;
    with_consumers.add_stream(&endpoint.context, state, true).await;
    assert_eq!(
        names(&with_consumers, &Resource::Stream("orders".into())).len(),
        14
    );
    let notes = &with_consumers.notes;
    assert!(notes[0].contains("consumers of orders") && notes[0].contains("not authorized"));
    assert!(notes[1].contains("`streamctl monitoring enable orders`"));
}
