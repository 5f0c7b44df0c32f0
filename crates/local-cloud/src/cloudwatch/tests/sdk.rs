//! The AWS SDK for Rust over HTTP, to verify the wire format.

use std::convert::Infallible;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_cloudwatch::error::ProvideErrorMetadata;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{
    Dimension, Metric, MetricDataQuery, MetricDatum, MetricStat, ScanBy, StandardUnit, Statistic,
};
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::*;
use crate::test_support::{ok, refused};

async fn client(watch: Arc<CloudWatch>) -> Client {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let watch = Arc::clone(&watch);
            let service =
                hyper::service::service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                    let watch = Arc::clone(&watch);
                    async move {
                        let (parts, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let response = watch.handle(&caller(), &parts, &body);
                        Ok::<_, Infallible>(response.expect("one of the four operations"))
                    }
                });
            let server = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new());
            tokio::spawn(async move { server.serve_connection(TokioIo::new(stream), service).await });
        }
    });
    let config = aws_sdk_cloudwatch::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .endpoint_url(format!("http://{address}"))
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("local", "local", None, None, "test"))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .build();
    Client::from_conf(config)
}

fn path(value: &str) -> Dimension {
    Dimension::builder().name("Path").value(value).build()
}

#[tokio::test]
async fn the_sdk_writes_and_reads_metrics() {
    let cloud = cloud();
    let client = client(Arc::clone(&cloud.watch)).await;
    // More than 10 KiB, so that the SDK compresses it.
    for chunk in 0..2 {
        let data = (0..500).map(|i| {
            MetricDatum::builder()
                .metric_name("Requests")
                .dimensions(path(&format!("/{}", i % 5)))
                .timestamp(DateTime::from_millis(NOON + chunk * 60_000))
                .unit(StandardUnit::Count)
                .value(f64::from(i))
                .build()
        });
        ok!(client
            .put_metric_data()
            .namespace("App")
            .set_metric_data(Some(data.collect())));
    }

    let listed = ok!(client.list_metrics().namespace("App"));
    assert_eq!(listed.metrics().len(), 5);
    assert_eq!(listed.metrics()[0].dimensions()[0].value(), Some("/0"));

    let statistics = ok!(client
        .get_metric_statistics()
        .namespace("App")
        .metric_name("Requests")
        .dimensions(path("/1"))
        .start_time(DateTime::from_millis(NOON))
        .end_time(DateTime::from_millis(NOON + 120_000))
        .period(120)
        .statistics(Statistic::SampleCount)
        .statistics(Statistic::Maximum));
    let [point] = statistics.datapoints() else {
        panic!("{statistics:?}")
    };
    assert_eq!(point.timestamp().unwrap().to_millis().unwrap(), NOON);
    assert_eq!(
        (point.sample_count(), point.maximum(), point.sum()),
        (Some(200.0), Some(496.0), None)
    );

    let metric = Metric::builder()
        .namespace("App")
        .metric_name("Requests")
        .dimensions(path("/2"))
        .build();
    let stat = MetricStat::builder()
        .metric(metric)
        .period(60)
        .stat("SampleCount")
        .build();
    let mut pages = client
        .get_metric_data()
        .metric_data_queries(MetricDataQuery::builder().id("q").metric_stat(stat).build())
        .start_time(DateTime::from_millis(NOON))
        .end_time(DateTime::from_millis(NOON + 120_000))
        .scan_by(ScanBy::TimestampAscending)
        .max_datapoints(1)
        .into_paginator()
        .send();
    let mut points = Vec::new();
    while let Some(page) = pages.next().await {
        let page = page.unwrap();
        let result = &page.metric_data_results()[0];
        points.extend(
            result
                .timestamps()
                .iter()
                .map(|at| at.to_millis().unwrap())
                .zip(result.values().to_vec()),
        );
    }
    assert_eq!(points, [(NOON, 100.0), (NOON + 60_000, 100.0)]);
}

#[tokio::test]
async fn the_sdk_understands_errors() {
    let cloud = cloud();
    let client = client(Arc::clone(&cloud.watch)).await;
    let datum = MetricDatum::builder().metric_name("A").value(f64::NAN).build();
    let error = refused!(client.put_metric_data().namespace("App").metric_data(datum));
    let error = error.into_service_error();
    assert!(error.is_invalid_parameter_value_exception(), "{error:?}");
    assert_eq!(error.code(), Some("InvalidParameterValue"));
    assert_eq!(
        error.message(),
        Some("The value NaN for parameter MetricData.member.1.Value is invalid.")
    );
}
