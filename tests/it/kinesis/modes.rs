//! On-demand streams: CreateStream, UpdateStreamMode, UpdateStreamWarmThroughput,
//! UpdateStreamRecordDistributionStrategy, UpdateAccountSettings, DescribeAccountSettings, DescribeLimits.

use std::collections::HashSet;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{
    MinimumThroughputBillingCommitmentInput as Commitment,
    MinimumThroughputBillingCommitmentInputStatus as Wanted,
    MinimumThroughputBillingCommitmentOutputStatus as Status, RecordDistributionStrategy, ScalingType,
    StreamMode, StreamModeDetails,
};

use super::{all_shards, client, client_in, create, entry, refused, shard_id, summary, wait_active};
use crate::support::{Cloud, block_on};

fn mode(mode: StreamMode) -> StreamModeDetails {
    StreamModeDetails::builder().stream_mode(mode).build().unwrap()
}

async fn create_on_demand(client: &Client, name: &str) -> String {
    let request = client.create_stream().stream_name(name);
    request
        .stream_mode_details(mode(StreamMode::OnDemand))
        .send()
        .await
        .unwrap();
    wait_active(client, name).await.stream_arn
}

async fn commit(client: &Client, wanted: Wanted) {
    let commitment = Commitment::builder().status(wanted).build().unwrap();
    let request = client.update_account_settings();
    request
        .minimum_throughput_billing_commitment(commitment)
        .send()
        .await
        .unwrap();
}

#[test]
fn an_on_demand_stream_has_four_shards_that_cannot_be_changed() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create_on_demand(&client, "s").await;
        assert_eq!(all_shards(&client, "s").await.len(), 4);
        let summary = summary(&client, "s").await;
        assert_eq!(summary.open_shard_count(), 4);
        assert_eq!(
            *summary.stream_mode_details().unwrap().stream_mode(),
            StreamMode::OnDemand
        );

        // Users cannot change its shards.
        let update = client.update_shard_count().stream_name("s").target_shard_count(8);
        refused!(
            update.scaling_type(ScalingType::UniformScaling),
            is_validation_exception
        );
        let split = client.split_shard().stream_name("s").shard_to_split(shard_id(0));
        refused!(split.new_starting_hash_key("5"), is_validation_exception);
        let merge = client.merge_shards().stream_name("s").shard_to_merge(shard_id(0));
        refused!(
            merge.adjacent_shard_to_merge(shard_id(1)),
            is_validation_exception
        );
    });
}

#[test]
fn the_mode_can_change_twice_in_24_hours() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let arn = create(&client, "s", 2).await;
        let switch = |to| {
            client
                .update_stream_mode()
                .stream_arn(&arn)
                .stream_mode_details(mode(to))
        };
        switch(StreamMode::OnDemand).send().await.unwrap();
        let changed = wait_active(&client, "s").await;
        assert_eq!(
            *changed.stream_mode_details().unwrap().stream_mode(),
            StreamMode::OnDemand
        );
        switch(StreamMode::Provisioned).send().await.unwrap();
        let changed = wait_active(&client, "s").await;
        assert_eq!(
            *changed.stream_mode_details().unwrap().stream_mode(),
            StreamMode::Provisioned
        );
        // The shards do not change.
        assert_eq!(changed.open_shard_count(), 2);
        refused!(switch(StreamMode::OnDemand), is_limit_exceeded_exception);

        let absent = client.update_stream_mode().stream_arn(format!("{arn}-absent"));
        let absent = absent.stream_mode_details(mode(StreamMode::OnDemand));
        refused!(absent, is_resource_not_found_exception);
    });
}

#[test]
fn record_distribution_auto_spreads_records_evenly() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let arn = create_on_demand(&client, "s").await;
        let strategy = summary(&client, "s").await.record_distribution_strategy;
        assert_eq!(strategy, Some(RecordDistributionStrategy::UserPartitionKey));
        let with_one_key = || {
            client
                .put_records()
                .stream_name("s")
                .set_records(Some(vec![entry("k", "x"); 40]))
        };
        let places = |answer: &aws_sdk_kinesis::operation::put_records::PutRecordsOutput| {
            let shards = answer
                .records()
                .iter()
                .filter_map(|r| r.shard_id().map(str::to_owned));
            shards.collect::<HashSet<_>>().len()
        };
        assert_eq!(places(&with_one_key().send().await.unwrap()), 1);

        let set = |arn: &str, strategy| {
            let request = client
                .update_stream_record_distribution_strategy()
                .stream_arn(arn);
            request.record_distribution_strategy(strategy)
        };
        set(&arn, RecordDistributionStrategy::Auto).send().await.unwrap();
        let changed = wait_active(&client, "s").await;
        assert_eq!(
            changed.record_distribution_strategy(),
            Some(&RecordDistributionStrategy::Auto)
        );
        assert_eq!(places(&with_one_key().send().await.unwrap()), 4);

        // "Attempting to set AUTO on a provisioned stream results in an InvalidArgumentException."
        let provisioned = create(&client, "p", 1).await;
        refused!(
            set(&provisioned, RecordDistributionStrategy::Auto),
            is_invalid_argument_exception
        );
        let absent = format!("{arn}-absent");
        refused!(
            set(&absent, RecordDistributionStrategy::Auto),
            is_resource_not_found_exception
        );
    });
}

#[test]
fn warm_throughput_needs_the_billing_commitment() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create_on_demand(&client, "s").await;
        let warm = |name: &str, mib| {
            client
                .update_stream_warm_throughput()
                .stream_name(name)
                .warm_throughput_mibps(mib)
        };
        refused!(warm("s", 100), is_validation_exception);

        commit(&client, Wanted::Enabled).await;
        let answer = warm("s", 100).send().await.unwrap();
        assert_eq!(answer.stream_name(), Some("s"));
        assert_eq!(answer.warm_throughput().unwrap().target_mibps(), Some(100));
        let throughput = wait_active(&client, "s").await.warm_throughput.unwrap();
        assert_eq!(
            (throughput.target_mibps(), throughput.current_mibps()),
            (Some(100), Some(100))
        );
        // "Scale to more than 10 GiBps" is beyond the default limits.
        refused!(warm("s", 10_241), is_limit_exceeded_exception);
        create(&client, "p", 1).await;
        refused!(warm("p", 100), is_validation_exception);
        refused!(warm("absent", 100), is_resource_not_found_exception);

        // A stream can be created with it.
        let request = client.create_stream().stream_name("w").warm_throughput_mibps(50);
        request
            .stream_mode_details(mode(StreamMode::OnDemand))
            .send()
            .await
            .unwrap();
        let throughput = wait_active(&client, "w").await.warm_throughput.unwrap();
        assert_eq!(throughput.current_mibps(), Some(50));
    });
}

#[test]
fn the_billing_commitment_lasts_a_day() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        let read = async || {
            let settings = client.describe_account_settings().send().await.unwrap();
            settings.minimum_throughput_billing_commitment.unwrap()
        };
        let before = read().await;
        assert_eq!(*before.status(), Status::Disabled);
        assert_eq!(before.started_at(), None);

        commit(&client, Wanted::Enabled).await;
        let during = read().await;
        assert_eq!(*during.status(), Status::Enabled);
        let least = during.earliest_allowed_end_at().unwrap().secs() - during.started_at().unwrap().secs();
        assert_eq!(least, 24 * 3600);

        // A commitment that is disabled early ends at its earliest end time.
        commit(&client, Wanted::Disabled).await;
        assert_eq!(*read().await.status(), Status::EnabledUntilEarliestAllowedEnd);

        // Each region has its own commitment.
        let there = client_in(&cloud, "eu-west-1");
        let settings = there.describe_account_settings().send().await.unwrap();
        let commitment = settings.minimum_throughput_billing_commitment.unwrap();
        assert_eq!(*commitment.status(), Status::Disabled);
        let nonsense = Commitment::builder()
            .status(Wanted::from("SOMETIMES"))
            .build()
            .unwrap();
        let request = there
            .update_account_settings()
            .minimum_throughput_billing_commitment(nonsense);
        refused!(request, is_validation_exception);
    });
}

#[test]
fn describe_limits_counts_open_shards_and_on_demand_streams() {
    let cloud = Cloud::start();
    block_on(async {
        let client = client(&cloud);
        create(&client, "p", 3).await;
        create_on_demand(&client, "o").await;
        let split = client.split_shard().stream_name("p").shard_to_split(shard_id(0));
        split.new_starting_hash_key("1000").send().await.unwrap();
        wait_active(&client, "p").await;
        let limits = client.describe_limits().send().await.unwrap();
        // On-demand streams have a separate quota. Closed shards do not count.
        assert_eq!(limits.open_shard_count(), 4);
        assert_eq!(limits.on_demand_stream_count(), 1);
        assert_eq!(limits.shard_limit(), 20_000);
        assert_eq!(limits.on_demand_stream_count_limit(), 50);
    });
}
