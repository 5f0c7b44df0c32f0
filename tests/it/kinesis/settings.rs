//! Operations that change a stream's settings: IncreaseStreamRetentionPeriod, DecreaseStreamRetentionPeriod,
//! EnableEnhancedMonitoring, DisableEnhancedMonitoring, UpdateMaxRecordSize.

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::MetricsName;

use super::{client, code, create, put, refused, summary, wait_active};
use crate::support::{Cloud, block_on};

#[test]
fn retention_is_increased_and_decreased_between_a_day_and_a_year() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "s", 1).await;
        let up = |hours| {
            client
                .increase_stream_retention_period()
                .stream_name("s")
                .retention_period_hours(hours)
        };
        let down = |hours| {
            client
                .decrease_stream_retention_period()
                .stream_name("s")
                .retention_period_hours(hours)
        };

        up(8760).send().await.unwrap();
        assert_eq!(wait_active(&client, "s").await.retention_period_hours(), 8760);
        refused!(up(8761), is_invalid_argument_exception);
        // Increase and decrease are separate operations.
        refused!(up(48), is_invalid_argument_exception);
        down(48).send().await.unwrap();
        assert_eq!(wait_active(&client, "s").await.retention_period_hours(), 48);
        refused!(down(72), is_invalid_argument_exception);
        refused!(down(23), is_invalid_argument_exception);
        down(24).send().await.unwrap();
        assert_eq!(wait_active(&client, "s").await.retention_period_hours(), 24);

        let absent = client.increase_stream_retention_period().stream_name("absent");
        refused!(absent.retention_period_hours(48), is_resource_not_found_exception);
        let absent = client.decrease_stream_retention_period().stream_name("absent");
        refused!(absent.retention_period_hours(24), is_resource_not_found_exception);
    });
}

#[test]
fn shard_level_metrics_are_enabled_and_disabled() {
    use MetricsName::{All, IncomingBytes, IteratorAgeMilliseconds, OutgoingBytes};
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let arn = create(&client, "s", 1).await;
        let enable = |metrics: &[MetricsName]| {
            let request = client.enable_enhanced_monitoring().stream_name("s");
            request.set_shard_level_metrics(Some(metrics.to_vec()))
        };
        let disable = |metrics: &[MetricsName]| {
            let request = client.disable_enhanced_monitoring().stream_name("s");
            request.set_shard_level_metrics(Some(metrics.to_vec()))
        };

        let answer = enable(&[IncomingBytes, OutgoingBytes]).send().await.unwrap();
        assert_eq!(answer.stream_arn(), Some(arn.as_str()));
        assert!(answer.current_shard_level_metrics().is_empty());
        assert_eq!(
            answer.desired_shard_level_metrics(),
            [IncomingBytes, OutgoingBytes]
        );
        let on = wait_active(&client, "s").await.enhanced_monitoring;
        assert_eq!(on[0].shard_level_metrics(), [IncomingBytes, OutgoingBytes]);

        let answer = enable(&[All]).send().await.unwrap();
        assert_eq!(answer.current_shard_level_metrics().len(), 2);
        assert_eq!(answer.desired_shard_level_metrics().len(), 7);
        wait_active(&client, "s").await;
        let answer = disable(&[IteratorAgeMilliseconds]).send().await.unwrap();
        assert!(
            !answer
                .desired_shard_level_metrics()
                .contains(&IteratorAgeMilliseconds)
        );
        assert_eq!(answer.desired_shard_level_metrics().len(), 6);
        wait_active(&client, "s").await;
        disable(&[All]).send().await.unwrap();
        let off = wait_active(&client, "s").await.enhanced_monitoring;
        assert!(off[0].shard_level_metrics().is_empty());

        assert_eq!(code(enable(&[]).send().await), "ValidationException");
        assert_eq!(
            code(disable(&[MetricsName::from("Rainfall")]).send().await),
            "ValidationException"
        );
        let absent = client.enable_enhanced_monitoring().stream_name("absent");
        refused!(absent.shard_level_metrics(All), is_resource_not_found_exception);
        let absent = client.disable_enhanced_monitoring().stream_name("absent");
        refused!(absent.shard_level_metrics(All), is_resource_not_found_exception);
    });
}

#[test]
fn larger_records_are_accepted_after_update_max_record_size() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let arn = create(&client, "s", 1).await;
        let large = || {
            let request = client.put_record().stream_name("s").partition_key("k");
            request.data(Blob::new(vec![b'x'; 1536 * 1024])).send()
        };
        assert_eq!(code(large().await), "ValidationException");
        let allow = |kib| {
            client
                .update_max_record_size()
                .stream_arn(&arn)
                .max_record_size_in_kib(kib)
        };
        allow(2048).send().await.unwrap();
        assert_eq!(
            wait_active(&client, "s").await.max_record_size_in_kib(),
            Some(2048)
        );
        large().await.unwrap();

        refused!(allow(1023), is_validation_exception);
        refused!(allow(10_241), is_validation_exception);
        let absent = client
            .update_max_record_size()
            .stream_arn(format!("{arn}-absent"));
        refused!(
            absent.max_record_size_in_kib(2048),
            is_resource_not_found_exception
        );

        // The maximum: 10 MiB, including the key.
        allow(10_240).send().await.unwrap();
        wait_active(&client, "s").await;
        put(&client, "s", "k", vec![b'x'; 10 * 1024 * 1024 - 1]).await;

        let request = client.create_stream().stream_name("l").shard_count(1);
        request.max_record_size_in_kib(4096).send().await.unwrap();
        wait_active(&client, "l").await;
        assert_eq!(summary(&client, "l").await.max_record_size_in_kib(), Some(4096));
    });
}
