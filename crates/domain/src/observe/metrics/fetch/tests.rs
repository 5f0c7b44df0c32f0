//! Series read from an endpoint that counts the calls and answers as scripted.

use aws_sdk_cloudwatch::types::StatusCode;

use super::*;
use crate::observe::metric_data::tests::{Scripted, result};
use crate::observe::metrics::{Kind, spec, specs};

fn range(periods: i64) -> TimeRange {
    TimeRange {
        start: 0,
        end: periods * 60,
        period: 60,
    }
}

fn of(resource: &Resource, spec: &Spec) -> Query {
    Query {
        resource: resource.clone(),
        spec: spec.clone(),
    }
}

fn stream(name: &str) -> Query {
    let resource = Resource::Stream("orders".into());
    of(&resource, spec(Kind::Stream, name).unwrap())
}

fn shards(count: usize) -> Vec<Query> {
    let shard = |number: usize| Resource::Shard {
        stream: "orders".into(),
        shard: format!("shardId-{number:012}"),
    };
    let queries = (0..count).flat_map(|number| {
        let shard = shard(number);
        specs(Kind::Shard).iter().map(move |spec| of(&shard, spec))
    });
    queries.collect()
}

#[test]
fn a_query_names_resource_and_statistic() {
    let built = query((3, Part::Value), &shards(8)[55], &range(60));
    let stat = built.metric_stat().unwrap();
    let metric = stat.metric().unwrap();
    let dimensions: Vec<_> = metric.dimensions().iter().filter_map(Dimension::value).collect();
    assert_eq!(
        (built.id(), stat.stat(), stat.period()),
        (Some("v3"), Some("Maximum"), Some(60))
    );
    assert_eq!(metric.metric_name(), Some("IteratorAgeMilliseconds"));
    assert_eq!(dimensions, ["orders", "shardId-000000000007"]);
    let account = query(
        (0, Part::Weight),
        &of(&Resource::Account, &specs(Kind::Account)[0]),
        &range(60),
    );
    let stat = account.metric_stat().unwrap();
    assert_eq!(stat.stat(), Some("SampleCount"));
    assert!(stat.metric().unwrap().dimensions().is_empty());
}

#[test]
fn a_call_stays_within_both_limits() {
    let sizes = |periods, count| -> Vec<usize> {
        let batches = batches(&shards(count), &range(periods));
        batches.iter().map(Vec::len).collect()
    };
    assert_eq!(sizes(60, 10), [70]);
    assert_eq!(sizes(60, 1_000), [500; 14]);
    assert_eq!(sizes(360, 40), [280]);
    // Two weeks of minutes: five series have 100,800 points.
    assert_eq!(sizes(20_160, 1), [5, 2]);
    assert!(sizes(60, 0).is_empty());
    let averages = [stream("PutRecords.Latency"), stream("IncomingBytes")];
    let slots = [(0, Part::Value), (0, Part::Weight), (1, Part::Value)];
    assert_eq!(batches(&averages, &range(60)), [slots]);
}

#[tokio::test]
async fn a_thousand_shards_take_fourteen_calls() {
    let source = Scripted::new(|_, ids| {
        let results = ids
            .iter()
            .map(|id| result(id, &[(60, 2.0)], StatusCode::Complete));
        (results.collect(), false)
    });
    let found = fetch_from(&source, &shards(1_000), &range(60)).await.unwrap();
    assert_eq!(found.len(), 7_000);
    assert!(found.iter().all(|series| series.figure() == Some(2.0)));
    assert_eq!(found[7].resource.shard(), Some("shardId-000000000001"));
    assert_eq!(source.sizes(), [500; 14]);
}

#[tokio::test]
async fn no_query_takes_no_call() {
    let source = Scripted::new(|_, _| (Vec::new(), false));
    assert_eq!(fetch_from(&source, &[], &range(60)).await.unwrap(), []);
    assert!(source.sizes().is_empty());
}

#[tokio::test]
async fn pages_join_and_gaps_stay_gaps() {
    let source = Scripted::new(|call, _| match call {
        1 => (vec![result("v0", &[(0, 1.0)], StatusCode::PartialData)], true),
        _ => (vec![result("v0", &[(180, 3.0)], StatusCode::Complete)], false),
    });
    let queries = [stream("IncomingRecords"), stream("IncomingBytes")];
    let found = fetch_from(&source, &queries, &range(4)).await.unwrap();
    assert_eq!(found[0].slots(&range(4)), [Some(1.0), None, None, Some(3.0)]);
    assert!(found[0].is_complete);
    assert_eq!((found[1].figure(), found[1].is_complete), (None, true));
    assert_eq!(source.sizes(), [2, 2]);
}

#[tokio::test]
async fn averages_are_weighed_by_their_samples() {
    let source = Scripted::new(|_, ids| {
        let points: &[&[(i64, f64)]] = &[&[(0, 300.0), (60, 2.0)], &[(0, 1.0), (60, 99.0)]];
        let results = ids.iter().zip(points);
        let results = results.map(|(id, points)| result(id, points, StatusCode::Complete));
        (results.collect(), false)
    });
    let found = fetch_from(&source, &[stream("PutRecords.Latency")], &range(2))
        .await
        .unwrap();
    assert!((found[0].figure().unwrap() - 4.98).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn what_is_incomplete_is_asked_for_again() {
    let source = Scripted::new(|call, ids| {
        let results = ids.iter().map(|id| match (id.as_str(), call) {
            ("v0", 1) => result(id, &[], StatusCode::InternalError),
            // Never complete.
            ("v1", _) => result(id, &[(60, 5.0)], StatusCode::PartialData),
            _ => result(id, &[(60, 7.0)], StatusCode::Complete),
        });
        (results.collect(), false)
    });
    let names = ["IncomingRecords", "IncomingBytes", "GetRecords.Bytes"];
    let found = fetch_from(&source, &names.map(stream), &range(4)).await.unwrap();
    let shown: Vec<_> = found
        .iter()
        .map(|series| (series.figure(), series.is_complete))
        .collect();
    assert_eq!(shown, [(Some(7.0), true), (Some(5.0), false), (Some(7.0), true)]);
    assert_eq!(source.sizes(), [3, 2, 1, 1], "only what is incomplete");
}

#[tokio::test(start_paused = true)]
async fn a_metric_that_cannot_be_read_is_an_error() {
    let source = Scripted::new(|_, ids| {
        let results = ids.iter().map(|id| result(id, &[], StatusCode::InternalError));
        (results.collect(), false)
    });
    let failed = fetch_from(&source, &[stream("IncomingBytes")], &range(4)).await;
    let chain = failed.unwrap_err().chain();
    assert_eq!(chain[0], "could not read the metrics of orders");
    assert!(chain[1].contains("IncomingBytes"), "{chain:?}");
}
