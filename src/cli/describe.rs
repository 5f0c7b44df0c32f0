//! `streamctl describe`.

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{Session, StreamArg};
use crate::error::Result;
use crate::exit::Exit;
use crate::stream::{self, Listing, Mode, Shard, ShardMap, ShardMetric, Status, StreamState};
use crate::ui::{Report, Style, table};

/// Show a stream: status, shards, capacity, retention, encryption, monitoring, tags
///
/// With --shards it lists every shard too, open and closed: its part of the hash key space, and the shards it came
/// from.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl describe                         the default stream
  streamctl describe --stream orders         another one
  streamctl describe --shards                with its shards
  streamctl describe -o json | jq .open_shards")]
pub struct DescribeArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// List the shards too
    #[arg(long)]
    shards: bool,
}

pub(super) async fn run(args: DescribeArgs, session: &Session) -> Result<Exit> {
    let name = session.stream(&args.stream)?;
    let context = session.context().await?;
    let state = stream::observe(context, &name)
        .await?
        .ok_or_else(|| stream::not_found(&name))?;
    let shards = match args.shards {
        true => Some(stream::shards::list(context, &name, &Listing::All).await?),
        false => None,
    };
    session
        .printer()
        .report(&DescribeReport::new(state, shards.as_ref()))?;
    Ok(Exit::Done)
}

/// A stream, and its shards where asked for.
#[derive(Serialize)]
struct DescribeReport {
    #[serde(flatten)]
    state: StreamState,
    /// `None` for an on-demand stream: Kinesis adds shards as needed.
    capacity: Option<StreamCapacity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_shards: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shards: Option<Vec<ShardRow>>,
}

/// What the open shards take together.
/// Source: CreateStream, Kinesis API reference: 1 MiB and 1,000 records a second in, 2 MiB a second out, each shard.
#[derive(Serialize)]
struct StreamCapacity {
    write_mib_per_second: u64,
    write_records_per_second: u64,
    read_mib_per_second: u64,
}

#[derive(Serialize)]
struct ShardRow {
    id: String,
    open: bool,
    /// Part of the hash key space, 0 to 1.
    hash_key_share: f64,
    /// As text: JSON readers lose digits of numbers this long.
    first_hash_key: String,
    last_hash_key: String,
    parents: Vec<String>,
    first_sequence_number: String,
    last_sequence_number: Option<String>,
}

impl From<&Shard> for ShardRow {
    fn from(shard: &Shard) -> Self {
        Self {
            id: shard.id.clone(),
            open: shard.is_open(),
            hash_key_share: shard.share(),
            first_hash_key: shard.first_hash.to_string(),
            last_hash_key: shard.last_hash.to_string(),
            parents: shard.parents().map(str::to_owned).collect(),
            first_sequence_number: shard.first_sequence.clone(),
            last_sequence_number: shard.last_sequence.clone(),
        }
    }
}

impl ShardRow {
    fn state(&self) -> &'static str {
        if self.open { "open" } else { "closed" }
    }

    fn percent(&self) -> String {
        format!("{:.2} %", self.hash_key_share * 100.0)
    }
}

impl DescribeReport {
    fn new(state: StreamState, shards: Option<&ShardMap>) -> Self {
        let open = u64::from(state.open_shards);
        Self {
            capacity: (state.mode == Mode::Provisioned).then_some(StreamCapacity {
                write_mib_per_second: open,
                write_records_per_second: open * 1_000,
                read_mib_per_second: open * 2,
            }),
            closed_shards: shards.map(|map| map.closed().count()),
            shards: shards.map(|map| map.all().iter().map(ShardRow::from).collect()),
            state,
        }
    }

    /// What there is to say, as label and value, in the order of the screen.
    fn fields(&self) -> Vec<(&'static str, String)> {
        let state = &self.state;
        let shards = match self.closed_shards {
            Some(closed) => format!("{} open, {} closed", grouped(state.open_shards.into()), closed),
            None => format!("{} open", grouped(state.open_shards.into())),
        };
        let mut fields = vec![
            ("ARN", state.arn.clone()),
            ("Mode", state.mode.to_string()),
            ("Shards", shards),
            ("Capacity", self.capacity_text()),
            ("Retention", retention(state.retention_hours)),
            (
                "Encryption",
                state.encryption.clone().unwrap_or_else(|| "none".to_owned()),
            ),
            ("Monitoring", monitoring(state)),
            (
                "Consumers",
                match state.consumer_count {
                    0 => "none".to_owned(),
                    n => format!("{n} registered"),
                },
            ),
            (
                "Max record",
                format!("{} KiB", grouped(state.max_record_size_kib.into())),
            ),
            ("Created", time(state.created)),
        ];
        if state.ignores_partition_keys() {
            let text = "spread evenly; partition keys do not choose the shard";
            fields.push(("Records", text.to_owned()));
        }
        fields
    }

    fn capacity_text(&self) -> String {
        match (&self.capacity, self.state.warm_throughput_mibps) {
            (Some(capacity), _) => format!(
                "in {} MiB/s and {} records/s, out {} MiB/s",
                grouped(capacity.write_mib_per_second),
                grouped(capacity.write_records_per_second),
                grouped(capacity.read_mib_per_second)
            ),
            (None, Some(warm)) => format!("follows traffic, ready for {} MiB/s in", grouped(warm.into())),
            (None, None) => "follows traffic".to_owned(),
        }
    }

    fn shard_table(rows: &[ShardRow]) -> comfy_table::Table {
        let mut shards = table(["SHARD", "STATE", "HASH KEYS", "PARENTS"]);
        for row in rows {
            let parents = match row.parents.as_slice() {
                [] => "-".to_owned(),
                parents => parents.join("\n"),
            };
            shards.add_row([row.id.clone(), row.state().to_owned(), row.percent(), parents]);
        }
        shards
    }

    fn screen(&self, style: &Style) -> String {
        let status = self.state.status.to_string();
        let status = match self.state.status {
            Status::Active => style.good(&status),
            Status::Deleting => style.bad(&status),
            _ => style.caution(&status),
        };
        let mut lines = vec![
            format!("{}  {status}", style.bold(&self.state.name)),
            String::new(),
        ];
        for (label, value) in self.fields() {
            lines.extend(labelled(label, wrap(&value, SCREEN - LABEL)));
        }
        let tags = self.state.tags.iter();
        let tags: Vec<String> = tags.map(|(k, v)| one_line(&format!("{k}={v}"))).collect();
        lines.extend(labelled(
            "Tags",
            if tags.is_empty() {
                vec!["none".to_owned()]
            } else {
                tags
            },
        ));
        lines.join("\n")
    }
}

impl Report for DescribeReport {
    fn table(&self, style: &Style) -> String {
        let screen = self.screen(style);
        match &self.shards {
            Some(rows) => format!("{screen}\n\n{}", Self::shard_table(rows).trim_fmt()),
            None => screen,
        }
    }

    fn text(&self) -> String {
        let state = &self.state;
        let or_dash = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let mut lines = vec![
            format!("name\t{}", state.name),
            format!("arn\t{}", state.arn),
            format!("status\t{}", state.status),
            format!("mode\t{}", state.mode),
            format!("open_shards\t{}", state.open_shards),
            format!("retention_hours\t{}", state.retention_hours),
            format!("encryption\t{}", state.encryption.as_deref().unwrap_or("none")),
            format!("consumer_count\t{}", state.consumer_count),
            format!("max_record_size_kib\t{}", state.max_record_size_kib),
            format!("created\t{}", or_dash(state.created.map(|t| t.to_string()))),
        ];
        lines.extend(
            state
                .monitoring
                .iter()
                .map(|metric| format!("monitoring\t{metric}")),
        );
        lines.extend(
            state
                .tags
                .iter()
                .map(|(key, value)| format!("tag\t{}\t{}", one_line(key), one_line(value))),
        );
        for row in self.shards.iter().flatten() {
            let parents = row.parents.join(",");
            lines.push(format!(
                "shard\t{}\t{}\t{}\t{}",
                row.id,
                row.state(),
                row.percent().trim_end_matches(" %"),
                or_dash((!parents.is_empty()).then_some(parents))
            ));
        }
        lines.join("\n")
    }
}

/// Columns of the screen, and of the labels at its left. An ARN is never broken: it is there to be copied.
const SCREEN: usize = 80;
const LABEL: usize = 12;

/// The lines of a value beside its label.
fn labelled(label: &str, values: Vec<String>) -> impl Iterator<Item = String> {
    let first = std::iter::once(label).chain(std::iter::repeat(""));
    first
        .zip(values)
        .map(|(label, value)| format!("{label:LABEL$}{value}"))
        .collect::<Vec<_>>()
        .into_iter()
}

/// Breaks `text` at spaces into lines of at most `width` characters; a longer word has a line for itself.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

/// Text that cannot move the cursor or end its line.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

fn monitoring(state: &StreamState) -> String {
    let names: Vec<&str> = state.monitoring.iter().map(|metric| metric.name()).collect();
    match names.len() {
        0 => "stream level only".to_owned(),
        n if n == ShardMetric::ALL.len() => "all 7 shard-level metrics".to_owned(),
        _ => names.join(", "),
    }
}

fn retention(hours: u32) -> String {
    match hours {
        hours if hours > 24 && hours.is_multiple_of(24) => {
            format!("{} h ({} days)", grouped(hours.into()), hours / 24)
        }
        hours => format!("{} h", grouped(hours.into())),
    }
}

/// A time to the second, in UTC.
pub(super) fn time(time: Option<Timestamp>) -> String {
    time.map_or_else(
        || "-".to_owned(),
        |t| t.strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
    )
}

/// A number with a comma between thousands.
fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
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
    fn a_stream_fits_a_screen() {
        insta::assert_snapshot!(screen(concert()), @r"
        concert-data-stream  ACTIVE

        ARN         arn:aws:kinesis:us-east-1:000000000000:stream/concert-data-stream
        Mode        provisioned
        Shards      2 open
        Capacity    in 2 MiB/s and 2,000 records/s, out 4 MiB/s
        Retention   24 h
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
        Retention   8,760 h (365 days)
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
        Retention   24 h
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
        assert!(report.table(&Style::plain()).contains("a b= [2J "));
        assert!(report.text().ends_with("tag\ta b\t [2J "));
    }

    #[test]
    fn numbers_are_grouped_by_thousands() {
        let texts = [0, 999, 1_000, 123_456, 1_234_567].map(grouped);
        assert_eq!(texts, ["0", "999", "1,000", "123,456", "1,234,567"]);
    }
}
