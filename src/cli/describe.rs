//! `streamctl describe`.

use clap::Args;
use serde::Serialize;

use super::shared::change::existing;
use super::shared::{Session, StreamArg};
use crate::ui::units::{count as grouped, counted, time};
use crate::ui::{Report, Style, or_dash, table, visible};
use daemon::protocol::Damage;
use domain::stream::desired::hours;
use domain::stream::{self, Listing, Mode, Shard, ShardMap, ShardMetric, Status, StreamState};
use ground::error::Result;
use ground::exit::Exit;

/// Show a stream: status, shards, retention, encryption, tags
///
/// With --shards it also lists each shard, open or closed, with its share of the hash key space and its parents.
#[derive(Debug, Args)]
#[command(alias = "desc")]
#[command(after_help = "\
Examples:
  streamctl describe                         the default stream
  streamctl describe --stream orders         another one
  streamctl describe --shards                with its shards
  streamctl describe -o json | jq .open_shards")]
pub struct DescribeArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Also list the shards
    #[arg(long)]
    shards: bool,
}

pub(super) async fn run(args: DescribeArgs, session: &Session) -> Result<Exit> {
    let name = args.stream.resolve(session)?;
    let context = session.context().await?;
    let state = existing(context, &name).await?;
    let shards = match args.shards {
        true => Some(stream::shards::list(context, &name, &Listing::All).await?),
        false => None,
    };
    let mut report = DescribeReport::new(state, shards.as_ref());
    if context.is_local() {
        let status = daemon::status(&session.settings().home).await?;
        report.damage = of_stream(status.damage, &report.state.arn);
    }
    session.printer().report(&report)?;
    Ok(Exit::Done)
}

/// The damaged files of the stream `arn`. Kinesis has no answer for them: the local cloud tells them with its health.
fn of_stream(damage: Vec<Damage>, arn: &str) -> Vec<Damage> {
    let is_of_stream = |damage: &Damage| damage.resource.as_deref() == Some(arn);
    damage.into_iter().filter(is_of_stream).collect()
}

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
    /// Damaged files of the local cloud.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    damage: Vec<Damage>,
}

/// Capacity of all open shards.
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
    /// Share of the hash key space, 0 to 1.
    hash_key_share: f64,
    /// Text, since many JSON readers round numbers this long.
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
            damage: Vec::new(),
            state,
        }
    }

    /// Labels and values, in the order of the output.
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
            ("Retention", hours(state.retention_hours)),
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
        if !self.damage.is_empty() {
            let records = self.damage.iter().map(|damage| damage.records).sum();
            let text = format!(
                "{} lost in {}; see `streamctl local status`",
                counted(records, "record"),
                counted(self.damage.len() as u64, "file")
            );
            fields.push(("Damage", text));
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
            lines.extend(labelled(label, crate::ui::wrap(&value, SCREEN - LABEL)));
        }
        let tags = self.state.tags.iter();
        let tags: Vec<String> = tags.map(|(k, v)| visible(&format!("{k}={v}"))).collect();
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
            format!("created\t{}", or_dash(state.created)),
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
                .map(|(key, value)| format!("tag\t{}\t{}", visible(key), visible(value))),
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

/// Width of the output and of the labels. An ARN is copied and therefore never broken.
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

fn monitoring(state: &StreamState) -> String {
    let names: Vec<&str> = state.monitoring.iter().map(|metric| metric.name()).collect();
    match names.len() {
        0 => "stream level only".to_owned(),
        n if n == ShardMetric::ALL.len() => "all 7 shard-level metrics".to_owned(),
        _ => names.join(", "),
    }
}

#[cfg(test)]
mod tests;
