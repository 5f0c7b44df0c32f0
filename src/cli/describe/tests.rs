use std::collections::BTreeMap;

use super::*;

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
    let screen = DescribeReport::new(state, None).table(&Style::plain());
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
    let mut report = DescribeReport::new(concert(), None);
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
    Consumers   none
    Max record  1,024 KiB
    Created     2026-01-01 12:30:00 UTC
    Tags        Environment=development
                ManagedBy=streamctl
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
    Consumers   2 registered
    Max record  1,024 KiB
    Created     2026-01-01 12:30:00 UTC
    Tags        none
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
    Consumers   none
    Max record  1,024 KiB
    Created     2026-01-01 12:30:00 UTC
    Records     spread evenly; partition keys do not choose the shard
    Tags        Environment=development
                ManagedBy=streamctl
    ");
}

#[test]
fn shards_are_listed_with_their_parents() {
    let report = DescribeReport::new(concert(), Some(&shards()));
    let rows = report.shards.as_deref().unwrap();
    insta::assert_snapshot!(DescribeReport::shard_table(rows).set_width(80).trim_fmt(), @r"
    SHARD                 STATE   HASH KEYS  PARENTS
    shardId-000000000000  closed  50.00 %    -
    shardId-000000000001  closed  50.00 %    -
    shardId-000000000002  closed  100.00 %   shardId-000000000000
                                             shardId-000000000001
    shardId-000000000003  open    50.00 %    shardId-000000000002
    shardId-000000000004  open    50.00 %    shardId-000000000002
    ");
    assert!(report.table(&Style::plain()).contains("2 open, 3 closed"));
}

#[test]
fn scripts_get_a_key_and_a_value_a_line() {
    let text = DescribeReport::new(concert(), Some(&shards())).text();
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
    shard | shardId-000000000000 | closed | 50.00 | -
    shard | shardId-000000000001 | closed | 50.00 | -
    shard | shardId-000000000002 | closed | 100.00 | shardId-000000000000,shardId-000000000001
    shard | shardId-000000000003 | open | 50.00 | shardId-000000000002
    shard | shardId-000000000004 | open | 50.00 | shardId-000000000002
    ");
}

#[test]
fn json_is_stable() {
    let map = ShardMap::new(shards().all()[2..3].to_vec());
    insta::assert_json_snapshot!(DescribeReport::new(concert(), Some(&map)), @r#"
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
    let report = DescribeReport::new(state, None);
    assert!(report.table(&Style::plain()).contains(r"a\tb=\u{1b}[2J\n"));
    assert!(report.text().ends_with("tag\ta\\tb\t\\u{1b}[2J\\n"));
}
