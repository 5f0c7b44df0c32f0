//! CloudWatch, IAM and STS of the local cloud, used through the AWS SDK for Rust.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::types::{Dimension, DimensionFilter, Metric, MetricDataQuery, MetricStat, Statistic};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::PutRecordsRequestEntry;

use crate::support::{Cloud, block_on};

fn stream(name: &str) -> Dimension {
    Dimension::builder().name("StreamName").value(name).build()
}

async fn create(client: &aws_sdk_kinesis::Client, name: &str) {
    client
        .create_stream()
        .stream_name(name)
        .shard_count(1)
        .send()
        .await
        .unwrap();
    let deadline = SystemTime::now() + Duration::from_secs(10);
    // The stream accepts records once it is ACTIVE.
    loop {
        let put = client
            .put_record()
            .stream_name(name)
            .partition_key("k")
            .data(Blob::new("0123456789"));
        match put.send().await {
            Ok(_) => return,
            Err(error) => assert!(SystemTime::now() < deadline, "{error:?}"),
        }
    }
}

#[test]
fn puts_appear_in_the_metrics_immediately() {
    let cloud = Cloud::start();
    block_on(async {
        let kinesis = cloud.kinesis();
        create(&kinesis, "s").await;
        let entry = PutRecordsRequestEntry::builder()
            .partition_key("k")
            .data(Blob::new("0123456789"));
        let entries = vec![entry.build().unwrap(); 6];
        kinesis
            .put_records()
            .stream_name("s")
            .set_records(Some(entries))
            .send()
            .await
            .unwrap();

        let cloudwatch = aws_sdk_cloudwatch::Client::new(&cloud.sdk());
        let (start, end) = window();
        let sum = async |metric: &str, name: &str| {
            let request = cloudwatch
                .get_metric_statistics()
                .namespace("AWS/Kinesis")
                .metric_name(metric);
            let request = request
                .dimensions(stream(name))
                .start_time(start)
                .end_time(end)
                .period(60);
            let answer = request.statistics(Statistic::Sum).send().await.unwrap();
            answer.datapoints().iter().filter_map(|p| p.sum()).sum::<f64>()
        };
        assert_eq!(sum("IncomingRecords", "s").await, 7.0);
        // Partition keys are included: seven records of eleven bytes.
        assert_eq!(sum("IncomingBytes", "s").await, 77.0);
        assert_eq!(sum("PutRecords.SuccessfulRecords", "s").await, 6.0);
        assert_eq!(sum("IncomingRecords", "another").await, 0.0);

        let filter = DimensionFilter::builder().name("StreamName").value("s").build();
        let listed = cloudwatch
            .list_metrics()
            .namespace("AWS/Kinesis")
            .dimensions(filter)
            .send()
            .await
            .unwrap();
        let names: Vec<_> = listed.metrics().iter().filter_map(Metric::metric_name).collect();
        assert!(names.contains(&"IncomingRecords"), "{names:?}");

        let metric = Metric::builder()
            .namespace("AWS/Kinesis")
            .metric_name("IncomingRecords");
        let metric = metric.dimensions(stream("s")).build();
        let stat = MetricStat::builder()
            .metric(metric)
            .period(60)
            .stat("Sum")
            .build();
        let query = MetricDataQuery::builder().id("records").metric_stat(stat).build();
        let request = cloudwatch.get_metric_data().metric_data_queries(query);
        let answer = request.start_time(start).end_time(end).send().await.unwrap();
        assert_eq!(answer.metric_data_results()[0].values().iter().sum::<f64>(), 7.0);
    });
}

/// From five minutes ago to one minute from now.
fn window() -> (
    aws_sdk_cloudwatch::primitives::DateTime,
    aws_sdk_cloudwatch::primitives::DateTime,
) {
    let now = SystemTime::now();
    let minute = Duration::from_secs(60);
    ((now - 5 * minute).into(), (now + minute).into())
}

#[test]
fn an_iam_policy_is_created_read_listed_and_deleted() {
    let cloud = Cloud::start();
    block_on(async {
        let iam = aws_sdk_iam::Client::new(&cloud.sdk());
        let document = r#"{"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Action": "kinesis:PutRecord", "Resource": "*"}]}"#;
        let create = || {
            iam.create_policy()
                .policy_name("put")
                .path("/streamctl/")
                .policy_document(document)
        };
        let created = create().send().await.unwrap().policy.unwrap();
        let arn = created.arn().unwrap();
        assert!(arn.ends_with(":policy/streamctl/put"), "{arn}");
        assert!(
            create()
                .send()
                .await
                .unwrap_err()
                .into_service_error()
                .is_entity_already_exists_exception()
        );

        let read = iam
            .get_policy()
            .policy_arn(arn)
            .send()
            .await
            .unwrap()
            .policy
            .unwrap();
        assert_eq!(read.policy_name(), Some("put"));
        let version = read.default_version_id().unwrap();
        let version = iam
            .get_policy_version()
            .policy_arn(arn)
            .version_id(version)
            .send()
            .await
            .unwrap();
        let given_back = version.policy_version().unwrap().document().unwrap().to_owned();
        assert!(given_back.contains("kinesis"), "{given_back}");
        let listed = iam
            .list_policies()
            .path_prefix("/streamctl/")
            .send()
            .await
            .unwrap();
        assert_eq!(listed.policies().len(), 1);

        iam.delete_policy().policy_arn(arn).send().await.unwrap();
        let gone = iam.get_policy().policy_arn(arn).send().await.unwrap_err();
        assert!(gone.into_service_error().is_no_such_entity_exception());
    });
}

#[test]
fn sts_returns_the_caller_identity() {
    let cloud = Cloud::start();
    block_on(async {
        let sts = aws_sdk_sts::Client::new(&cloud.sdk());
        let identity = sts.get_caller_identity().send().await.unwrap();
        let account = identity.account().unwrap();
        assert!(
            account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()),
            "{account}"
        );
        assert!(identity.arn().unwrap().contains(account));
        // The caller's streams are in the same account.
        let kinesis = cloud.kinesis();
        create(&kinesis, "s").await;
        let summary = kinesis
            .describe_stream_summary()
            .stream_name("s")
            .send()
            .await
            .unwrap();
        let arn = summary.stream_description_summary.unwrap().stream_arn;
        assert!(arn.contains(account), "{arn}");
    });
}
