use super::*;

fn summary() -> sdk::builders::StreamDescriptionSummaryBuilder {
    sdk::StreamDescriptionSummary::builder()
        .stream_name("orders")
        .stream_arn("arn:aws:kinesis:us-east-1:000000000000:stream/orders")
        .stream_status(sdk::StreamStatus::Active)
        .retention_period_hours(24)
        .stream_creation_timestamp(aws_smithy_types::DateTime::from_secs(1_767_225_600))
        .set_enhanced_monitoring(Some(Vec::new()))
        .open_shard_count(3)
}

fn state(summary: sdk::builders::StreamDescriptionSummaryBuilder) -> StreamState {
    StreamState::from_summary(&summary.build().unwrap(), BTreeMap::new())
}

#[test]
fn a_bare_description_has_the_defaults_of_the_service() {
    let state = state(summary());
    assert_eq!(state.mode, Mode::Provisioned);
    assert_eq!(state.encryption, None);
    assert_eq!(state.max_record_size_kib, 1024);
    assert_eq!(state.consumer_count, 0);
    assert_eq!(state.created.unwrap().to_string(), "2026-01-01T00:00:00Z");
    assert!(state.is_active() && !state.ignores_partition_keys());
}

#[test]
fn encryption_none_is_never_shown_as_a_key() {
    let key = "alias/aws/kinesis";
    let none = summary().encryption_type(sdk::EncryptionType::None).key_id(key);
    assert_eq!(state(none).encryption, None);
    let kms = summary().encryption_type(sdk::EncryptionType::Kms).key_id("1234");
    assert_eq!(state(kms).encryption.as_deref(), Some("1234"));
    let kms = summary().encryption_type(sdk::EncryptionType::Kms);
    assert_eq!(state(kms).encryption.as_deref(), Some(key));
}

#[test]
fn metrics_are_a_set_whether_named_or_all() {
    let metrics = |names: &[sdk::MetricsName]| {
        let metrics = sdk::EnhancedMetrics::builder().set_shard_level_metrics(Some(names.to_vec()));
        state(summary().enhanced_monitoring(metrics.build())).monitoring
    };
    assert_eq!(metrics(&[sdk::MetricsName::All]), ShardMetric::all());
    assert_eq!(
        metrics(&[sdk::MetricsName::IncomingBytes]),
        [ShardMetric::IncomingBytes].into()
    );
    assert_eq!(metrics(&[]), BTreeSet::new());
}

#[test]
fn statuses_and_modes_have_the_names_of_the_api() {
    fn json(value: impl Serialize) -> String {
        serde_json::to_string(&value).unwrap()
    }
    assert_eq!(json(Status::Updating), "\"UPDATING\"");
    assert_eq!(json(Status::Other("PAUSED".into())), "\"PAUSED\"");
    assert_eq!(json(Mode::OnDemand), "\"ON_DEMAND\"");
    assert_eq!(json(ShardMetric::IncomingBytes), "\"IncomingBytes\"");
}

#[test]
fn a_metric_is_read_from_its_name() {
    assert_eq!(
        "incomingbytes".parse::<ShardMetric>().unwrap(),
        ShardMetric::IncomingBytes
    );
    assert!("Incoming Bytes".parse::<ShardMetric>().is_err());
}
