use std::collections::BTreeMap;

use super::*;
use crate::cost::Money;
use crate::pipeline::{Draft, Given, Identity, Origin, Properties, Request, Tags, template};

fn a_million_a_day() -> Assumed {
    let records = Rate::new(1_000_000, 86_400);
    Assumed {
        load: Load::steady(records, records.times(1_024, 1)),
        duration_ms: 100,
    }
}

fn with_pipeline<T>(name: &str, parameters: &[(&str, &str)], work: impl FnOnce(&Pipeline<'_>) -> T) -> T {
    let given = parameters
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Given::flag("--param", *value)));
    let request = Request {
        given: given.collect::<BTreeMap<_, _>>(),
        ..Request::default()
    };
    let catalog = Declarations::in_region("us-east-1");
    let pipeline = Draft::new(template(name).unwrap(), request)
        .unwrap()
        .bind(&catalog)
        .unwrap();
    work(&pipeline)
}

/// Resource, item and amount of each line, and the total.
fn lines(name: &str, parameters: &[(&str, &str)], assumed: &Assumed) -> (Vec<String>, Option<Money>) {
    with_pipeline(name, parameters, |pipeline| {
        let scenario = pipeline.scenario(assumed).unwrap();
        let estimate = scenario.estimate(price_book("us-east-1"));
        let line = |line: &crate::cost::Line| {
            let amount = line
                .amount
                .map_or_else(|| "unknown".to_owned(), |amount| amount.rounded(2));
            let resource = line.resource.as_deref().unwrap_or("-");
            format!("{resource}: {} {} {amount}", line.item, line.quantity)
        };
        (estimate.lines.iter().map(line).collect(), estimate.total)
    })
}

#[test]
fn a_pipeline_without_traffic_costs_what_stands() {
    let (lines, total) = lines("retail", &[], &Assumed::idle());
    insta::assert_snapshot!(lines.join("\n"), @r"
    stream retail-events-stream-dev: shard hours 730 10.95
    stream retail-events-stream-dev: PUT payload units 0 0.00
    stream retail-events-stream-dev: KMS requests 17520 0.05
    alarm retail-failed-events-dev: alarms 730 0.10
    alarm retail-failed-events-dev: custom metrics 730 0.30
    alarm retail-event-processor-errors-dev: alarms 730 0.10
    alarm retail-event-processor-duration-dev: alarms 730 0.10
    alarm retail-dead-letters-dev: alarms 730 0.10
    dashboard retail-analytics-dev-us-east-1: dashboards 730 3.00
    ");
    insta::assert_snapshot!(total.unwrap().rounded(2), @"14.70");
}

#[test]
fn a_million_records_a_day_through_the_retail_pipeline() {
    let (lines, total) = lines("retail", &[], &a_million_a_day());
    insta::assert_snapshot!(lines.join("\n"), @r"
    stream retail-events-stream-dev: shard hours 730 10.95
    stream retail-events-stream-dev: PUT payload units 30416667 0.43
    stream retail-events-stream-dev: KMS requests 17520 0.05
    table retail-events-data-dev: write request units 91250001 57.03
    table retail-events-data-dev: table storage 67276800000000 21.46
    table retail-events-data-dev: point-in-time recovery 22425600000000 5.72
    log group /aws/lambda/retail-event-processor-dev: log data ingested 538214400 0.25
    log group /aws/lambda/retail-event-processor-dev: log storage 180840038400 0.01
    function retail-event-processor-dev: invocations 525600 0.11
    function retail-event-processor-dev: duration (x86) 13455360000 0.22
    alarm retail-failed-events-dev: alarms 730 0.10
    alarm retail-failed-events-dev: custom metrics 730 0.30
    alarm retail-event-processor-errors-dev: alarms 730 0.10
    alarm retail-event-processor-duration-dev: alarms 730 0.10
    alarm retail-dead-letters-dev: alarms 730 0.10
    dashboard retail-analytics-dev-us-east-1: dashboards 730 3.00
    ");
    insta::assert_snapshot!(total.unwrap().rounded(2), @"99.92");
}

#[test]
fn every_template_has_an_estimate() {
    for one in crate::pipeline::bundled() {
        let parameters: &[(&str, &str)] = match one.name {
            "function" => &[("name", "scorer"), ("handler", "concert-data-processor")],
            _ => &[],
        };
        let (lines, total) = lines(one.name, parameters, &a_million_a_day());
        assert!(total.is_some(), "{}: {lines:?}", one.name);
    }
}

#[test]
fn provisioned_capacity_has_no_price_here() {
    let (lines, total) = lines("retail", &[("billing_mode", "provisioned")], &Assumed::idle());
    assert_eq!(total, None);
    let capacity: Vec<&String> = lines.iter().filter(|line| line.contains("capacity")).collect();
    // 5 units of the table and of each of its two indexes.
    assert!(
        capacity[0].ends_with("write capacity 10950 unknown"),
        "{capacity:?}"
    );
}

#[test]
fn an_alarm_is_paid_for_only_where_it_is_declared() {
    let alarms = |enabled: &str| {
        let (lines, _) = lines("retail", &[("enable_alarms", enabled)], &Assumed::idle());
        lines.iter().filter(|line| line.contains("alarms 730")).count()
    };
    assert_eq!((alarms("true"), alarms("false")), (4, 0));
}

fn mapping(properties: &str) -> Spec {
    let declared: serde_json::Map<String, Value> = toml::from_str(properties).unwrap();
    let mut all = Properties::default();
    for (key, value) in declared {
        all.set(&key, value, Origin::Template);
    }
    Spec {
        id: "it".to_owned(),
        kind: "event_source_mapping".to_owned(),
        line: 1,
        properties: all,
        tags: Tags::default(),
        identity: Identity::new("demo", "one"),
    }
}

#[test]
fn invocations_are_the_greater_of_batches_and_windows() {
    let load = |records: u64, bytes: u32| {
        let records = Rate::new(records, 1);
        Load::steady(records, records.times(bytes, 1))
    };
    let seconds = HOURS_A_MONTH * 3_600;
    // A full batch a second, and a batch each time the window ends.
    assert_eq!(
        invocations(&load(1_000, 100), 1, &mapping("batch_size = 500")),
        2 * seconds
    );
    assert_eq!(
        invocations(
            &load(10, 100),
            1,
            &mapping("batch_size = 500\nwindow_seconds = 5")
        ),
        seconds / 5
    );
    assert_eq!(
        invocations(
            &load(10, 100),
            2,
            &mapping("batch_size = 500\nwindow_seconds = 5\nparallelization = 2")
        ),
        4 * seconds / 5
    );
    // Never more than records: one a second in 4 shards.
    assert_eq!(invocations(&load(1, 100), 4, &mapping("")), seconds);
    // 4.5 MiB of records fit into an event.
    assert_eq!(
        invocations(&load(100, 1 << 20), 1, &mapping("batch_size = 100")),
        25 * seconds
    );
    assert_eq!(invocations(&Assumed::idle().load, 4, &mapping("")), 0);
}

#[test]
fn a_plan_changes_only_what_it_names() {
    let mut now = idle();
    now.shards = 2;
    now.shard_level_metrics = 7;
    let mut wanted = idle();
    wanted.shards = 4;
    wanted.retention_hours = 168;
    let after = with_changes(now, &wanted, &["retention"]);
    assert_eq!(
        (after.shards, after.retention_hours, after.shard_level_metrics),
        (2, 168, 7)
    );
    let after = with_changes(now, &wanted, &["shards", "monitoring"]);
    assert_eq!(
        (after.shards, after.retention_hours, after.shard_level_metrics),
        (4, 24, 0)
    );
}

proptest::proptest! {
    #[test]
    fn more_records_never_cost_less(records in 0..1u64 << 30, more in 0..1u64 << 30, bytes in 1..1u32 << 20) {
        let total = |records: u64| {
            let records = Rate::new(records, 86_400);
            let assumed = Assumed { load: Load::steady(records, records.times(bytes, 1)), duration_ms: 10 };
            lines("prices", &[], &assumed).1
        };
        proptest::prop_assert!(total(records) <= total(records + more));
    }
}

#[test]
fn firehose_is_billed_for_each_record_and_writes_an_object_for_each_buffer() {
    let manifest = r#"
        name = "carts"
        description = "Carts"
        instance = "main"
        [[resources]]
        kind = "bucket"
        id = "data"
        properties = { name = "carts-data" }
        [[resources]]
        kind = "bucket"
        id = "other"
        properties = { name = "other-data" }
        [[resources]]
        kind = "firehose"
        id = "delivery"
        properties = { name = "carts", bucket = "${data.name}", role = "arn", buffer_mb = 1, buffer_seconds = 60 }
    "#;
    let manifest = Manifest::parse("carts", manifest, &crate::pipeline::resources::properties).unwrap();
    let assumed = a_million_a_day();
    let remarks = assumed.remarks(&manifest).join(" ");
    assert!(remarks.contains("that no Firehose stream writes to"), "{remarks}");
    let catalog = Declarations::in_region("us-east-1");
    let draft = Draft::new(manifest, Request::default()).unwrap();
    let scenario = draft.bind(&catalog).unwrap().scenario(&assumed).unwrap();
    let records = assumed.load.records.over_hours(HOURS_A_MONTH);
    let quantity = |resource: &str, item: Item| {
        let mut parts = scenario.parts.iter();
        let found = parts.find(|part| part.resource == resource && part.item == item);
        found.map(|part| part.quantity)
    };
    // Each record counts as 5 KB.
    assert_eq!(
        quantity("firehose carts", Item::FirehoseData),
        Some(records * 5_120)
    );
    // One a minute: fewer than by size.
    assert_eq!(
        quantity("bucket carts-data", Item::BucketPuts),
        Some(HOURS_A_MONTH * 60)
    );
    assert_eq!(quantity("bucket other-data", Item::BucketPuts), Some(records));
}

/// Source of the quantities: the example of dynamic partitioning, Amazon Data Firehose pricing.
#[test]
fn dynamic_partitioning_is_billed_by_bytes_objects_and_queries() {
    let manifest = r#"
        name = "carts"
        description = "Carts"
        instance = "main"
        [[resources]]
        kind = "bucket"
        id = "data"
        properties = { name = "carts-data" }
        [[resources]]
        kind = "firehose"
        id = "delivery"
        [resources.properties]
        name = "carts"
        bucket = "${data.name}"
        role = "arn"
        prefix = "!{partitionKeyFromQuery:user}/"
        error_prefix = "errors/"
        buffer_seconds = 60
        partition_keys = { user = ".user" }
    "#;
    let manifest = Manifest::parse("carts", manifest, &crate::pipeline::resources::properties).unwrap();
    let assumed = a_million_a_day();
    let remarks = assumed.remarks(&manifest).join(" ");
    assert!(remarks.contains("has 10 active partitions"), "{remarks}");
    let catalog = Declarations::in_region("us-east-1");
    let draft = Draft::new(manifest, Request::default()).unwrap();
    let scenario = draft.bind(&catalog).unwrap().scenario(&assumed).unwrap();
    let quantity = |resource: &str, item: Item| {
        let mut parts = scenario.parts.iter();
        let found = parts.find(|part| part.resource == resource && part.item == item);
        found.map(|part| part.quantity)
    };
    let records = assumed.load.records.over_hours(HOURS_A_MONTH);
    let bytes = assumed.load.bytes.over_hours(HOURS_A_MONTH);
    let objects = HOURS_A_MONTH * 60 * 10;
    assert_eq!(
        quantity("firehose carts", Item::FirehosePartitioning),
        Some(bytes)
    );
    assert_eq!(quantity("firehose carts", Item::FirehoseObjects), Some(objects));
    assert_eq!(quantity("firehose carts", Item::FirehoseQueries), Some(records));
    assert_eq!(quantity("bucket carts-data", Item::BucketPuts), Some(objects));
}
