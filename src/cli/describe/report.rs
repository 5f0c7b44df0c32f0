//! The description of a stream, in all formats.

use serde::Serialize;

use crate::ui::units::{count as grouped, counted, milliseconds, time};
use crate::ui::{Report, Style, Table, or_dash, table, visible, width, wrap};
use daemon::protocol::Damage;
use domain::cost::{Money, standing};
use domain::observe::dependents::shared_with;
use domain::observe::overview::{Overview, Reader, Used};
use domain::stream::budget::{Basis, Budget};
use domain::stream::desired::hours;
use domain::stream::list::standing_cost;
use domain::stream::reshard::STEPS_A_DAY;
use domain::stream::{Mode, Shard, ShardMap, ShardMetric, Status, StreamState};

/// Width of the output and of the labels. An ARN is copied and therefore never broken.
pub(super) const SCREEN: usize = 80;
const LABEL: usize = 12;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct DescribeReport {
    #[serde(flatten)]
    state: StreamState,
    /// `None` for an on-demand stream: Kinesis adds shards as needed.
    capacity: Option<StreamCapacity>,
    /// US dollars of a month on AWS without traffic; `None` if the prices of the region are not known.
    standing_cost_per_month: Option<Money>,
    #[serde(flatten)]
    overview: Overview,
    /// Only with `--shards`.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_shards: Option<usize>,
    /// Only with `--shards`.
    #[serde(skip_serializing_if = "Option::is_none")]
    shards: Option<Vec<ShardRow>>,
    /// What the metrics of the last hour say; `None` without figures.
    #[serde(rename = "metrics_last_hour", skip_serializing_if = "Option::is_none")]
    pub(super) metrics: Option<String>,
    /// Damaged files of the local cloud.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) damage: Vec<Damage>,
}

/// Capacity of all open shards.
/// Source: CreateStream, Kinesis API reference: 1 MiB and 1,000 records a second in, 2 MiB a second out, each shard.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
struct StreamCapacity {
    write_mib_per_second: u64,
    write_records_per_second: u64,
    read_mib_per_second: u64,
}

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "ShardEntry"))]
struct ShardRow {
    id: String,
    open: bool,
    /// Share of the hash key space, 0 to 1.
    hash_key_share: f64,
    /// Text, since many JSON readers round numbers this long.
    first_hash_key: String,
    last_hash_key: String,
    /// The shards that it was made from.
    parents: Vec<String>,
    first_sequence_number: String,
    /// `None` for an open shard.
    last_sequence_number: Option<String>,
    /// Where the range begins and ends in the hash key space, 0 to 1.
    #[serde(skip)]
    range: (f64, f64),
}

impl From<&Shard> for ShardRow {
    fn from(shard: &Shard) -> Self {
        let begin = Shard::part_below(shard.first_hash);
        Self {
            id: shard.id.clone(),
            open: shard.is_open(),
            hash_key_share: shard.share(),
            first_hash_key: shard.first_hash.to_string(),
            last_hash_key: shard.last_hash.to_string(),
            parents: shard.parents().map(str::to_owned).collect(),
            first_sequence_number: shard.first_sequence.clone(),
            last_sequence_number: shard.last_sequence.clone(),
            range: (begin, begin + shard.share()),
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

    /// Such as `25.00–50.00 %`.
    fn range(&self) -> String {
        let (begin, end) = self.range;
        format!("{:.2}–{:.2} %", begin * 100.0, end * 100.0)
    }
}

/// `3 of 10 changes of the shard count in 24 hours, the next free at …`.
fn resharding(budget: &Budget) -> String {
    let most = match (budget.basis, budget.used) {
        (Basis::Lineage, 1..) => "at most ",
        _ => "",
    };
    let free = budget
        .next_free
        .filter(|_| budget.left == 0)
        .map(|at| format!(" (the next at {})", at.strftime("%Y-%m-%d %H:%M UTC")));
    format!(
        "{most}{} of {STEPS_A_DAY} changes of the shard count in 24 hours{}",
        budget.used,
        free.unwrap_or_default()
    )
}

impl DescribeReport {
    pub(super) fn new(state: StreamState, overview: Overview, shards: Option<&ShardMap>) -> Self {
        let open = u64::from(state.open_shards);
        let region = region_of(&state.arn);
        Self {
            standing_cost_per_month: standing_cost(&state, region),
            capacity: (state.mode == Mode::Provisioned).then_some(StreamCapacity {
                write_mib_per_second: open,
                write_records_per_second: open * 1_000,
                read_mib_per_second: open * 2,
            }),
            closed_shards: shards.map(|map| map.closed().count()),
            shards: shards.map(|map| map.all().iter().map(ShardRow::from).collect()),
            metrics: None,
            damage: Vec::new(),
            overview,
            state,
        }
    }

    pub(super) fn arn(&self) -> &str {
        &self.state.arn
    }

    /// Labels and the lines beside them, in the order of the output.
    fn fields(&self) -> Vec<(&'static str, Vec<String>)> {
        let state = &self.state;
        let one = |text: String| vec![text];
        let mut fields = vec![
            ("ARN", one(state.arn.clone())),
            ("Mode", one(state.mode.to_string())),
            ("Shards", one(self.shards_text())),
            ("Capacity", one(self.capacity_text())),
            ("Retention", one(hours(state.retention_hours))),
            ("Encryption", one(self.encryption_text())),
            ("Monitoring", one(monitoring(state))),
            (
                "Max record",
                one(format!("{} KiB", grouped(state.max_record_size_kib.into()))),
            ),
            ("Created", one(time(state.created))),
        ];
        if let Some(metrics) = &self.metrics {
            fields.push(("Last hour", one(metrics.clone())));
        }
        if state.ignores_partition_keys() {
            let text = "spread evenly; partition keys do not choose the shard";
            fields.push(("Records", one(text.to_owned())));
        }
        if !self.damage.is_empty() {
            let records = self.damage.iter().map(|damage| damage.records).sum();
            let text = format!(
                "{} lost in {}; see `streamctl local status`",
                counted(records, "record"),
                counted(self.damage.len() as u64, "file")
            );
            fields.push(("Damage", one(text)));
        }
        let is_tag_unknown = self.overview.unknown.contains_key("tags");
        let tags = state.tags.iter().map(|(key, value)| format!("{key}={value}"));
        fields.push(("Tags", or_none(tags.collect(), is_tag_unknown)));
        fields.push(("Limits", one(self.limits_text())));
        let cost = standing(self.standing_cost_per_month, region_of(&state.arn));
        fields.push(("Cost", one(cost)));
        if let Some(budget) = &self.overview.limits.resharding {
            fields.push(("Resharding", one(resharding(budget))));
        }
        fields.extend(self.dependents());
        fields
    }

    /// What depends on the stream. A kind of which there is nothing has no row, except consumers and mappings.
    fn dependents(&self) -> Vec<(&'static str, Vec<String>)> {
        let overview = &self.overview;
        let consumers = overview.consumers.iter().flatten();
        let consumers = consumers.map(|one| format!("{} ({})", one.name, one.status));
        let mappings = overview.mappings.iter().flatten().map(mapping_text);
        let names = |names: &Option<Vec<String>>| names.clone().unwrap_or_default();
        let policy = overview.resource_policy.iter().map(shared_with).collect();
        let unknown = overview.unknown.iter();
        let mut rows = vec![
            (
                "Consumers",
                or_none(consumers.collect(), overview.consumers.is_none()),
            ),
            (
                "Mappings",
                or_none(mappings.collect(), overview.mappings.is_none()),
            ),
        ];
        let channels = overview.channels.iter().flatten();
        let channels = channels.map(|one| format!("{} ({}) to {}", one.name, one.status, one.destination));
        let others: [(&'static str, Vec<String>); 6] = [
            ("Roles", names(&overview.roles)),
            ("Channels", channels.collect()),
            ("Firehose", names(&overview.firehose_streams)),
            ("Alarms", overview.alarm_summary.iter().cloned().collect()),
            ("Policy", policy),
            (
                "Unknown",
                unknown
                    .map(|(part, why)| format!("{}: {why}", part.replace('_', " ")))
                    .collect(),
            ),
        ];
        rows.extend(others.into_iter().filter(|(_, lines)| !lines.is_empty()));
        rows
    }

    fn shards_text(&self) -> String {
        let open = grouped(self.state.open_shards.into());
        match self.closed_shards {
            Some(closed) => format!("{open} open, {} closed", grouped(closed as u64)),
            None => format!("{open} open"),
        }
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

    /// The key as the stream names it, then its other names and its state.
    fn encryption_text(&self) -> String {
        let Some(name) = &self.state.encryption else {
            return "none".to_owned();
        };
        let Some(key) = &self.overview.encryption_key else {
            return name.clone();
        };
        let id = key.arn.as_deref().and_then(|arn| arn.rsplit('/').next());
        let other = id.filter(|id| !name.contains(id)).map(|id| format!("key {id}"));
        let state = key.state.iter().map(|state| format!("state {state}"));
        let facts = other.into_iter().chain(key.aliases.iter().cloned()).chain(state);
        std::iter::once(name.clone())
            .chain(facts)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn limits_text(&self) -> String {
        let limits = &self.overview.limits;
        let part =
            |used: Used, what: &str| format!("{} of {} {what}", grouped(used.used), grouped(used.limit));
        let of_account = match self.state.mode {
            Mode::Provisioned => limits
                .account_shards
                .map(|used| part(used, "shards of the account")),
            Mode::OnDemand => limits
                .on_demand_streams
                .map(|used| part(used, "on-demand streams of the account")),
        };
        let of_stream = [part(limits.consumers, "consumers"), part(limits.tags, "tags")];
        of_account
            .into_iter()
            .chain(of_stream)
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn shard_table(rows: &[ShardRow]) -> Table {
        let mut shards = table(["SHARD", "STATE", "SHARE", "HASH KEYS", "PARENTS"]);
        for row in rows {
            let parents = match row.parents.as_slice() {
                [] => "-".to_owned(),
                parents => parents.join("\n"),
            };
            shards.add_row([
                row.id.clone(),
                row.state().to_owned(),
                row.percent(),
                row.range(),
                parents,
            ]);
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
        for (label, values) in self.fields() {
            let wrapped = values
                .iter()
                .flat_map(|value| wrap(&visible(value), SCREEN.min(width()).saturating_sub(LABEL)));
            lines.extend(labelled(label, wrapped.collect()));
        }
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
        let metrics = state.monitoring.iter();
        lines.extend(metrics.map(|metric| format!("monitoring\t{metric}")));
        let tags = state.tags.iter();
        lines.extend(tags.map(|(key, value)| format!("tag\t{}\t{}", visible(key), visible(value))));
        lines.extend(self.overview_lines());
        for row in self.shards.iter().flatten() {
            let parents = row.parents.join(",");
            lines.push(format!(
                "shard\t{}\t{}\t{}\t{}\t{}\t{}",
                row.id,
                row.state(),
                row.percent().trim_end_matches(" %"),
                or_dash((!parents.is_empty()).then_some(parents)),
                row.first_hash_key,
                row.last_hash_key,
            ));
        }
        lines.join("\n")
    }
}

impl DescribeReport {
    fn overview_lines(&self) -> Vec<String> {
        let overview = &self.overview;
        let mut lines = Vec::new();
        let consumers = overview.consumers.iter().flatten();
        lines.extend(consumers.map(|one| format!("consumer\t{}\t{}", one.name, one.status)));
        for mapping in overview.mappings.iter().flatten() {
            let age = or_dash(mapping.iterator_age_ms);
            lines.push(format!("mapping\t{}\t{}\t{age}", mapping.function, mapping.state));
        }
        let channels = overview.channels.iter().flatten();
        lines.extend(
            channels.map(|one| format!("channel\t{}\t{}\t{}", one.name, one.status, one.destination)),
        );
        for (kind, names) in [
            ("role", &overview.roles),
            ("firehose_stream", &overview.firehose_streams),
            ("alarm", &overview.alarms),
        ] {
            let names = names.iter().flatten();
            lines.extend(names.map(|name| format!("{kind}\t{}", visible(name))));
        }
        let policy = overview.resource_policy.iter();
        lines.extend(policy.map(|policy| format!("resource_policy\t{}", visible(&shared_with(policy)))));
        let unknown = overview.unknown.iter();
        lines.extend(unknown.map(|(part, why)| format!("unknown\t{part}\t{}", visible(why))));
        lines
    }
}

/// `scorer: Enabled, 1.2 s behind`, and the last result if it is a problem.
fn mapping_text(mapping: &Reader) -> String {
    let lag = mapping
        .iterator_age_ms
        .map_or_else(String::new, |age| format!(", {} behind", milliseconds(age)));
    let problem = match mapping.last_result.starts_with("PROBLEM") {
        true => format!("; {}", mapping.last_result),
        false => String::new(),
    };
    format!("{}: {}{lag}{problem}", mapping.function, mapping.state)
}

/// The lines, or a word that says that there are none.
fn or_none(lines: Vec<String>, is_unknown: bool) -> Vec<String> {
    match (lines.is_empty(), is_unknown) {
        (false, _) => lines,
        (true, true) => vec!["unknown".to_owned()],
        (true, false) => vec!["none".to_owned()],
    }
}

/// The lines of a value beside its label. Where one is too long for that, all are below the label.
fn labelled(label: &str, values: Vec<String>) -> Vec<String> {
    if values.iter().any(|value| value.chars().count() > SCREEN - LABEL) {
        let below = values.into_iter().map(|value| format!("  {value}"));
        return std::iter::once(label.to_owned()).chain(below).collect();
    }
    let first = std::iter::once(label).chain(std::iter::repeat(""));
    first
        .zip(values)
        .map(|(label, value)| format!("{label:LABEL$}{value}"))
        .collect()
}

/// The region in an ARN; empty if there is none.
fn region_of(arn: &str) -> &str {
    arn.split(':').nth(3).unwrap_or_default()
}

fn monitoring(state: &StreamState) -> String {
    let names: Vec<&str> = state.monitoring.iter().map(|metric| metric.name()).collect();
    match names.len() {
        0 => "stream level only".to_owned(),
        n if n == ShardMetric::ALL.len() => "all 7 shard-level metrics".to_owned(),
        _ => names.join(", "),
    }
}
