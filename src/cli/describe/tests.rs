use std::collections::BTreeMap;

use super::report::SCREEN;
use super::*;
use crate::ui::{Report as _, Style};
use domain::observe::overview::{Key, Limits, Overview, Reader, Used};
use domain::stream::budget::{Basis, Budget};
use domain::stream::channels::{ChannelEntry, ChannelStatus};
use domain::stream::consumers::{Consumer, ConsumerStatus};
use domain::stream::{Mode, Shard, ShardMap, ShardMetric, Status, StreamState};

fn concert() -> StreamState {
    let name = "concert-data-stream";
    let tags = [("Environment", "development"), ("ManagedBy", "streamctl")];
    StreamState {
        name: name.to_owned(),
        arn: format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}"),
        status: Status::Active,
        mode: Mode::Provisioned,
        open_shards: 2,
        retention_hours: 24,
        encryption: Some("alias/aws/kinesis".to_owned()),
        monitoring: ShardMetric::all(),
        tags: tags.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        consumer_count: 0,
        created: "2026-01-01T12:30:00Z".parse().ok(),
        max_record_size_kib: 1_024,
        warm_throughput_mibps: None,
        record_distribution: None,
    }
}

/// Nothing depends on the stream.
fn quiet() -> Overview {
    Overview {
        consumers: Some(Vec::new()),
        mappings: Some(Vec::new()),
        roles: Some(Vec::new()),
        channels: Some(Vec::new()),
        firehose_streams: Some(Vec::new()),
        alarms: Some(Vec::new()),
        limits: Limits {
            account_shards: Some(Used {
                used: 2,
                limit: 1_000,
            }),
            on_demand_streams: Some(Used { used: 1, limit: 50 }),
            consumers: Used { used: 0, limit: 20 },
            tags: Used { used: 2, limit: 50 },
            resharding: Some(Budget {
                basis: Basis::Lineage,
                used: 0,
                left: 10,
                next_free: None,
                last: None,
            }),
        },
        ..Overview::default()
    }
}

/// Something of each kind depends on the stream, and two parts are not known.
fn busy() -> Overview {
    let owned = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    let reader = |function: &str, last_result: &str, iterator_age_ms| Reader {
        function: function.to_owned(),
        id: "11111111-2222-3333-4444-555555555555".to_owned(),
        state: "Enabled".to_owned(),
        last_result: last_result.to_owned(),
        iterator_age_ms,
    };
    let id = "1234abcd-12ab-34cd-56ef-1234567890ab";
    Overview {
        encryption_key: Some(Key {
            arn: Some(format!("arn:aws:kms:us-east-1:000000000000:key/{id}")),
            state: Some("PendingDeletion".to_owned()),
            manager: Some("CUSTOMER".to_owned()),
            aliases: Vec::new(),
        }),
        consumers: Some(vec![Consumer {
            name: "analytics".to_owned(),
            arn: "arn".to_owned(),
            status: ConsumerStatus::Active,
            created: None,
        }]),
        mappings: Some(vec![
            reader("retail-event-processor", "OK", Some(1_250.0)),
            reader("scorer", "PROBLEM: Function call failed", None),
        ]),
        roles: owned(&["retail-event-processor-role"]),
        channels: Some(vec![ChannelEntry {
            name: "lake".to_owned(),
            arn: "arn".to_owned(),
            status: ChannelStatus::Active,
            reason: None,
            destination: "S3".to_owned(),
            stream_arn: "arn".to_owned(),
            created: None,
        }]),
        firehose_streams: owned(&["archive"]),
        alarms: None,
        alarm_summary: None,
        resource_policy: Some(serde_json::json!({
            "Statement": {"Effect": "Allow", "Principal": {"AWS": "123456789012"}}
        })),
        limits: Limits {
            account_shards: None,
            resharding: Some(Budget {
                basis: Basis::CloudTrail,
                used: 10,
                left: 0,
                next_free: Some("2026-11-29T09:12:00Z".parse().unwrap()),
                last: None,
            }),
            ..quiet().limits
        },
        unknown: [
            (
                "alarms",
                "could not list the alarms: AccessDenied: User: arn:aws:iam::000000000000:user/reader is not \
                 authorized to perform: cloudwatch:DescribeAlarms",
            ),
            ("limits", "no answer within 5s"),
        ]
        .map(|(part, why)| (part, why.to_owned()))
        .into(),
    }
}

fn shards() -> ShardMap {
    let shard = |n: u32, parents: &[u32], first_hash, last_hash, open: bool| {
        let id = |n: &u32| format!("shardId-{n:012}");
        Shard {
            id: id(&n),
            parent: parents.first().map(id),
            adjacent_parent: parents.get(1).map(id),
            first_hash,
            last_hash,
            first_sequence: "49".to_owned(),
            last_sequence: (!open).then(|| "50".to_owned()),
        }
    };
    let (half, max) = (u128::MAX / 2, u128::MAX);
    ShardMap::new(vec![
        shard(0, &[], 0, half, false),
        shard(1, &[], half + 1, max, false),
        shard(2, &[0, 1], 0, max, false),
        shard(3, &[2], 0, half, true),
        shard(4, &[2], half + 1, max, true),
    ])
}

fn screen(state: StreamState) -> String {
    let mut overview = quiet();
    if state.mode == Mode::OnDemand {
        overview.limits.resharding = None;
    }
    let screen = DescribeReport::new(state, overview, None).table(&Style::plain());
    assert!(screen.lines().all(|line| line.chars().count() <= SCREEN));
    screen
}

#[test]
fn damage_of_the_stream_is_counted() {
    let arn = concert().arn;
    let damage = |file: &str, resource: Option<&str>, records| Damage {
        file: file.to_owned(),
        resource: resource.map(str::to_owned),
        records,
        message: "a part of the log file is damaged".to_owned(),
    };
    let mut report = DescribeReport::new(concert(), quiet(), None);
    assert!(!report.table(&Style::plain()).contains("Damage"));
    let json = serde_json::to_value(&report).unwrap();
    assert!(json.get("damage").is_none());
    let all = vec![
        damage("a.log", Some(&arn), 3),
        damage(
            "b.log",
            Some("arn:aws:kinesis:us-east-1:000000000000:stream/other"),
            9,
        ),
        damage("c.log", Some(&arn), 1_200),
        damage("sqs.db", None, 0),
    ];
    report.damage = of_stream(all, &arn);
    let screen = report.table(&Style::plain());
    let line = screen.lines().find(|line| line.starts_with("Damage")).unwrap();
    assert_eq!(
        line,
        "Damage      1,203 records lost in 2 files; see `streamctl local status`"
    );
}

#[test]
fn a_stream_fits_a_screen() {
    insta::assert_snapshot!(screen(concert()), @r"
    concert-data-stream  ACTIVE

    ARN         arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream
    Mode        provisioned
    Shards      2 open
    Capacity    in 2 MiB/s and 2,000 records/s, out 4 MiB/s
    Retention   1d
    Encryption  alias/aws/kinesis
    Monitoring  all 7 shard-level metrics
    Max record  1,024 KiB
    Created     2026-01-01 12:30:00 UTC
    Tags        Environment=development
                ManagedBy=streamctl
    Limits      2 of 1,000 shards of the account, 0 of 20 consumers, 2 of 50 tags
    Cost        26.10 USD a month of 730 h without traffic (us-east-1, 2026-11)
    Resharding  0 of 10 changes of the shard count in 24 hours
    Consumers   none
    Mappings    none
    ");
}

#[test]
fn an_arn_that_is_too_long_for_its_place_has_its_own_line() {
    let name = "retail-events-stream-dev";
    let long = StreamState {
        arn: format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}"),
        ..concert()
    };
    let screen = screen(long);
    let lines: Vec<&str> = screen.lines().skip(2).take(3).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    ARN
      arn:aws:kinesis:us-east-1:000000000000:stream/retail-events-stream-dev
    Mode        provisioned
    ");
}

#[test]
fn what_is_off_is_called_none() {
    let bare = StreamState {
        status: Status::Updating,
        open_shards: 1,
        retention_hours: 8_760,
        encryption: None,
        monitoring: [
            ShardMetric::IncomingBytes,
            ShardMetric::ReadProvisionedThroughputExceeded,
            ShardMetric::WriteProvisionedThroughputExceeded,
        ]
        .into(),
        tags: BTreeMap::new(),
        consumer_count: 2,
        ..concert()
    };
    insta::assert_snapshot!(screen(bare), @r"
    concert-data-stream  UPDATING

    ARN         arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream
    Mode        provisioned
    Shards      1 open
    Capacity    in 1 MiB/s and 1,000 records/s, out 2 MiB/s
    Retention   365d
    Encryption  none
    Monitoring  IncomingBytes, ReadProvisionedThroughputExceeded,
                WriteProvisionedThroughputExceeded
    Max record  1,024 KiB
    Created     2026-01-01 12:30:00 UTC
    Tags        none
    Limits      2 of 1,000 shards of the account, 0 of 20 consumers, 2 of 50 tags
    Cost        48.35 USD a month of 730 h without traffic (us-east-1, 2026-11)
    Resharding  0 of 10 changes of the shard count in 24 hours
    Consumers   none
    Mappings    none
    ");
}

#[test]
fn an_on_demand_stream_has_no_capacity_of_its_own() {
    let on_demand = StreamState {
        mode: Mode::OnDemand,
        open_shards: 4,
        monitoring: Default::default(),
        record_distribution: Some("AUTO".to_owned()),
        warm_throughput_mibps: Some(100),
        ..concert()
    };
    insta::assert_snapshot!(screen(on_demand), @r"
    concert-data-stream  ACTIVE

    ARN         arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream
    Mode        on-demand
    Shards      4 open
    Capacity    follows traffic, ready for 100 MiB/s in
    Retention   1d
    Encryption  alias/aws/kinesis
    Monitoring  stream level only
    Max record  1,024 KiB
    Created     2026-01-01 12:30:00 UTC
    Records     spread evenly; partition keys do not choose the shard
    Tags        Environment=development
                ManagedBy=streamctl
    Limits      1 of 50 on-demand streams of the account, 0 of 20 consumers, 2 of 50
                tags
    Cost        29.20 USD a month of 730 h without traffic (us-east-1, 2026-11)
    Consumers   none
    Mappings    none
    ");
}

#[test]
fn what_depends_on_the_stream_fits_a_screen() {
    let state = StreamState {
        encryption: Some("alias/orders".to_owned()),
        tags: BTreeMap::new(),
        ..concert()
    };
    let report = DescribeReport::new(state, busy(), None);
    let screen = report.table(&Style::plain());
    assert!(screen.lines().all(|line| line.chars().count() <= SCREEN));
    insta::assert_snapshot!(screen, @r"
    concert-data-stream  ACTIVE

    ARN         arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream
    Mode        provisioned
    Shards      2 open
    Capacity    in 2 MiB/s and 2,000 records/s, out 4 MiB/s
    Retention   1d
    Encryption  alias/orders, key 1234abcd-12ab-34cd-56ef-1234567890ab, state
                PendingDeletion
    Monitoring  all 7 shard-level metrics
    Max record  1,024 KiB
    Created     2026-01-01 12:30:00 UTC
    Tags        none
    Limits      0 of 20 consumers, 2 of 50 tags
    Cost        26.10 USD a month of 730 h without traffic (us-east-1, 2026-11)
    Resharding  10 of 10 changes of the shard count in 24 hours (the next at
                2026-11-29 09:12 UTC)
    Consumers   analytics (ACTIVE)
    Mappings    retail-event-processor: Enabled, 1.2 s behind
                scorer: Enabled; PROBLEM: Function call failed
    Roles       retail-event-processor-role
    Channels    lake (ACTIVE) to S3
    Firehose    archive
    Policy      shared with 123456789012
    Unknown     alarms: could not list the alarms: AccessDenied: User:
                arn:aws:iam::000000000000:user/reader is not authorized to perform:
                cloudwatch:DescribeAlarms
                limits: no answer within 5s
    ");
    let text = report.text().replace('\t', " | ");
    let lines: Vec<&str> = text.lines().skip(17).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    consumer | analytics | ACTIVE
    mapping | retail-event-processor | Enabled | 1250
    mapping | scorer | Enabled | -
    channel | lake | ACTIVE | S3
    role | retail-event-processor-role
    firehose_stream | archive
    resource_policy | shared with 123456789012
    unknown | alarms | could not list the alarms: AccessDenied: User: arn:aws:iam::000000000000:user/reader is not authorized to perform: cloudwatch:DescribeAlarms
    unknown | limits | no answer within 5s
    ");
}

#[test]
fn shards_are_listed_with_their_ranges_and_parents() {
    let report = DescribeReport::new(concert(), quiet(), Some(&shards()));
    let screen = report.table(&Style::plain());
    let (_, rows) = screen.split_once("\n\nSHARD").unwrap();
    assert!(rows.lines().all(|line| line.chars().count() <= SCREEN));
    insta::assert_snapshot!(format!("SHARD{rows}"), @r"
    SHARD                 STATE   SHARE     HASH KEYS       PARENTS
    shardId-000000000000  closed  50.00 %   0.00–50.00 %    -
    shardId-000000000001  closed  50.00 %   50.00–100.00 %  -
    shardId-000000000002  closed  100.00 %  0.00–100.00 %   shardId-000000000000
                                                            shardId-000000000001
    shardId-000000000003  open    50.00 %   0.00–50.00 %    shardId-000000000002
    shardId-000000000004  open    50.00 %   50.00–100.00 %  shardId-000000000002
    ");
    assert!(screen.contains("2 open, 3 closed"));
}

#[test]
fn scripts_get_a_key_and_a_value_a_line() {
    let text = DescribeReport::new(concert(), quiet(), Some(&shards())).text();
    insta::assert_snapshot!(text.replace('\t', " | "), @r"
    name | concert-data-stream
    arn | arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream
    status | ACTIVE
    mode | provisioned
    open_shards | 2
    retention_hours | 24
    encryption | alias/aws/kinesis
    consumer_count | 0
    max_record_size_kib | 1024
    created | 2026-01-01T12:30:00Z
    monitoring | IncomingBytes
    monitoring | IncomingRecords
    monitoring | IteratorAgeMilliseconds
    monitoring | OutgoingBytes
    monitoring | OutgoingRecords
    monitoring | ReadProvisionedThroughputExceeded
    monitoring | WriteProvisionedThroughputExceeded
    tag | Environment | development
    tag | ManagedBy | streamctl
    shard | shardId-000000000000 | closed | 50.00 | - | 0 | 170141183460469231731687303715884105727
    shard | shardId-000000000001 | closed | 50.00 | - | 170141183460469231731687303715884105728 | 340282366920938463463374607431768211455
    shard | shardId-000000000002 | closed | 100.00 | shardId-000000000000,shardId-000000000001 | 0 | 340282366920938463463374607431768211455
    shard | shardId-000000000003 | open | 50.00 | shardId-000000000002 | 0 | 170141183460469231731687303715884105727
    shard | shardId-000000000004 | open | 50.00 | shardId-000000000002 | 170141183460469231731687303715884105728 | 340282366920938463463374607431768211455
    ");
}

#[test]
fn json_is_stable() {
    let map = ShardMap::new(shards().all()[2..3].to_vec());
    insta::assert_json_snapshot!(DescribeReport::new(concert(), quiet(), Some(&map)), @r#"
    {
      "name": "concert-data-stream",
      "arn": "arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream",
      "status": "ACTIVE",
      "mode": "PROVISIONED",
      "open_shards": 2,
      "retention_hours": 24,
      "encryption": "alias/aws/kinesis",
      "monitoring": [
        "IncomingBytes",
        "IncomingRecords",
        "IteratorAgeMilliseconds",
        "OutgoingBytes",
        "OutgoingRecords",
        "ReadProvisionedThroughputExceeded",
        "WriteProvisionedThroughputExceeded"
      ],
      "tags": {
        "Environment": "development",
        "ManagedBy": "streamctl"
      },
      "consumer_count": 0,
      "created": "2026-01-01T12:30:00Z",
      "max_record_size_kib": 1024,
      "warm_throughput_mibps": null,
      "record_distribution": null,
      "capacity": {
        "write_mib_per_second": 2,
        "write_records_per_second": 2000,
        "read_mib_per_second": 4
      },
      "standing_cost_per_month": "26.1",
      "encryption_key": null,
      "consumers": [],
      "mappings": [],
      "roles": [],
      "channels": [],
      "firehose_streams": [],
      "alarms": [],
      "alarm_summary": null,
      "resource_policy": null,
      "limits": {
        "account_shards": {
          "used": 2,
          "limit": 1000
        },
        "on_demand_streams": {
          "used": 1,
          "limit": 50
        },
        "consumers": {
          "used": 0,
          "limit": 20
        },
        "tags": {
          "used": 2,
          "limit": 50
        },
        "resharding": {
          "basis": "lineage",
          "used": 0,
          "left": 10,
          "next_free": null,
          "last": null
        }
      },
      "unknown": {},
      "closed_shards": 1,
      "shards": [
        {
          "id": "shardId-000000000002",
          "open": false,
          "hash_key_share": 1.0,
          "first_hash_key": "0",
          "last_hash_key": "340282366920938463463374607431768211455",
          "parents": [
            "shardId-000000000000",
            "shardId-000000000001"
          ],
          "first_sequence_number": "49",
          "last_sequence_number": "50"
        }
      ]
    }
    "#);
}

#[test]
fn tags_cannot_write_to_the_terminal() {
    let mut state = concert();
    state.tags = [("a\tb".to_owned(), "\u{1b}[2J\n".to_owned())].into();
    let report = DescribeReport::new(state, quiet(), None);
    assert!(report.table(&Style::plain()).contains(r"a\tb=\u{1b}[2J\n"));
    assert!(report.text().ends_with("tag\ta\\tb\t\\u{1b}[2J\\n"));
}
