//! Rows of what was read, with the figures of the meter.

use std::sync::Arc;

use serde_json::{Value, json};

use super::FunctionEntry;
use crate::context::Context;
use crate::functions::mapping::Mapping;
use crate::observe::doctor::Queue;
use crate::observe::live::meter::Meter;
use crate::observe::live::{Cell, Row};
use crate::observe::metrics::{Limit, Limits, Resource, Selection};
use crate::stream::{Shard, StreamEntry, StreamState};

/// The metrics that rows show, of all kinds of resources.
pub const METRICS: &[&str] = &[
    "ApproximateAgeOfOldestMessage",
    "ConcurrentExecutions",
    "DroppedEventCount",
    "Duration",
    "Errors",
    "FailedInvokeEventCount",
    "GetRecords.Bytes",
    "GetRecords.IteratorAgeMilliseconds",
    "GetRecords.Records",
    "IncomingBytes",
    "IncomingRecords",
    "Invocations",
    "IteratorAge",
    "IteratorAgeMilliseconds",
    "NumberOfMessagesDeleted",
    "NumberOfMessagesSent",
    "OutgoingBytes",
    "OutgoingRecords",
    "PolledEventCount",
    "PutRecords.FailedRecords",
    "ReadProvisionedThroughputExceeded",
    "Throttles",
    "WriteProvisionedThroughputExceeded",
];

/// The figures of one resource.
struct Figures<'m> {
    meter: &'m Meter,
    resource: &'m Resource,
}

impl Figures<'_> {
    fn rate(&self, metric: &str) -> Cell {
        Cell::known(self.meter.rate(self.resource, metric), Cell::Rate)
    }

    fn byte_rate(&self, metric: &str) -> Cell {
        Cell::known(self.meter.rate(self.resource, metric), Cell::ByteRate)
    }

    fn count(&self, metric: &str) -> Cell {
        Cell::known(self.meter.figure(self.resource, metric), Cell::Count)
    }

    fn milliseconds(&self, metric: &str) -> Cell {
        Cell::known(self.newest(metric), Cell::Milliseconds)
    }

    fn newest(&self, metric: &str) -> Option<f64> {
        self.meter.newest(self.resource, metric)
    }

    /// Throttled reads and writes.
    fn throttled(&self) -> Cell {
        let both = [
            "WriteProvisionedThroughputExceeded",
            "ReadProvisionedThroughputExceeded",
        ];
        let known = both
            .iter()
            .filter_map(|metric| self.meter.figure(self.resource, metric));
        Cell::known(known.reduce(|one, other| one + other), Cell::Count)
    }

    /// The larger of the shares of the two write limits; missing without limits.
    fn write_share(&self, limits: &Limits) -> Cell {
        let share = |metric: &str, limit: Limit| {
            let limit = limits.of(self.resource, limit).filter(|limit| *limit > 0.0)?;
            Some(self.meter.rate(self.resource, metric)? / limit)
        };
        let shares = [
            share("IncomingRecords", Limit::RecordsIn),
            share("IncomingBytes", Limit::BytesIn),
        ];
        Cell::known(shares.into_iter().flatten().reduce(f64::max), Cell::Share)
    }
}

fn text(text: impl Into<String>) -> Cell {
    Cell::Text(text.into())
}

fn share(value: Option<f64>, limit: f64) -> Cell {
    Cell::known(
        value.filter(|_| limit > 0.0).map(|value| value / limit),
        Cell::Share,
    )
}

/// The members of `value`, which is made to be serialised.
fn detail(value: &impl serde::Serialize) -> Arc<Value> {
    Arc::new(serde_json::to_value(value).unwrap_or_default())
}

pub fn stream(entry: &StreamEntry, state: Option<&StreamState>, meter: &Meter) -> Row {
    let resource = Resource::Stream(entry.name.clone());
    let figures = Figures {
        meter,
        resource: &resource,
    };
    let limits = state.map(|state| Selection::of_state(state).limits);
    let shards = state.map(|state| f64::from(state.open_shards));
    Row {
        key: entry.name.clone(),
        arn: Some(entry.arn.clone()),
        cells: vec![
            text(&entry.name),
            text(entry.status.to_string()),
            Cell::known(shards, Cell::Count),
            figures.rate("IncomingRecords"),
            figures.byte_rate("IncomingBytes"),
            figures.write_share(&limits.unwrap_or_default()),
            figures.rate("GetRecords.Records"),
            figures.byte_rate("GetRecords.Bytes"),
            figures.milliseconds("GetRecords.IteratorAgeMilliseconds"),
            figures.throttled(),
            figures.count("PutRecords.FailedRecords"),
        ],
        detail: match state {
            Some(state) => detail(state),
            None => detail(entry),
        },
    }
}

pub fn shard(stream: &str, shard: &Shard, state: Option<&StreamState>, meter: &Meter) -> Row {
    let resource = Resource::Shard {
        stream: stream.to_owned(),
        shard: shard.id.clone(),
    };
    let figures = Figures {
        meter,
        resource: &resource,
    };
    let is_open = shard.is_open();
    // A closed shard takes nothing, and the shards of an on-demand stream follow the traffic.
    let has_limit = is_open && state.is_some_and(|state| state.mode == crate::stream::Mode::Provisioned);
    let used = match has_limit {
        true => figures.write_share(&Limits::default()),
        false => Cell::Missing,
    };
    Row {
        key: shard.id.clone(),
        arn: None,
        cells: vec![
            text(&shard.id),
            text(if is_open { "open" } else { "closed" }),
            match is_open {
                true => Cell::Share(shard.share()),
                false => Cell::Missing,
            },
            figures.rate("IncomingRecords"),
            figures.byte_rate("IncomingBytes"),
            used,
            figures.rate("OutgoingRecords"),
            figures.byte_rate("OutgoingBytes"),
            figures.milliseconds("IteratorAgeMilliseconds"),
            figures.throttled(),
        ],
        detail: Arc::new(json!({
            "stream": stream,
            "shard_id": shard.id,
            "state": if is_open { "open" } else { "closed" },
            "parents": shard.parents().collect::<Vec<_>>(),
            // Above 2^53: text in JSON.
            "first_hash_key": shard.first_hash.to_string(),
            "last_hash_key": shard.last_hash.to_string(),
            "first_sequence_number": shard.first_sequence,
            "last_sequence_number": shard.last_sequence,
        })),
    }
}

pub fn function(entry: &FunctionEntry, meter: &Meter) -> Row {
    let resource = Resource::Function(entry.name.clone());
    let figures = Figures {
        meter,
        resource: &resource,
    };
    let longest = meter.figure(&resource, "Duration");
    let timeout = f64::from(entry.timeout_seconds) * 1_000.0;
    Row {
        key: entry.name.clone(),
        arn: Some(entry.arn.clone()),
        cells: vec![
            text(&entry.name),
            text(&entry.runtime),
            figures.rate("Invocations"),
            figures.count("Errors"),
            figures.count("Throttles"),
            Cell::known(longest, Cell::Milliseconds),
            share(longest, timeout),
            Cell::known(figures.newest("ConcurrentExecutions"), Cell::Count),
            figures.milliseconds("IteratorAge"),
        ],
        detail: detail(entry),
    }
}

/// What is measured of a mapping: itself, and the iterator age of its function.
pub fn of_mapping(mapping: &Mapping) -> [Resource; 2] {
    let function = mapping.function().to_owned();
    [
        Resource::Mapping {
            id: mapping.id.clone(),
            function: function.clone(),
        },
        Resource::Function(function),
    ]
}

pub fn mapping(mapping: &Mapping, meter: &Meter) -> Row {
    let [own, function] = of_mapping(mapping);
    let figures = Figures {
        meter,
        resource: &own,
    };
    Row {
        key: mapping.id.clone(),
        arn: (!mapping.arn.is_empty()).then(|| mapping.arn.clone()),
        cells: vec![
            text(mapping.function()),
            text(mapping.stream()),
            text(&mapping.state),
            text(&mapping.last_result),
            figures.rate("PolledEventCount"),
            figures.count("FailedInvokeEventCount"),
            figures.count("DroppedEventCount"),
            Cell::known(meter.newest(&function, "IteratorAge"), Cell::Milliseconds),
        ],
        detail: detail(mapping),
    }
}

pub fn queue(context: &Context, name: &str, queue: Option<&Queue>, meter: &Meter) -> Row {
    let resource = Resource::Queue(name.to_owned());
    let figures = Figures {
        meter,
        resource: &resource,
    };
    let oldest = figures.newest("ApproximateAgeOfOldestMessage");
    let retention = queue.map(|queue| f64::from(queue.retention_seconds));
    // `https://…/ACCOUNT/NAME`.
    let account = queue.and_then(|queue| queue.url.rsplit('/').nth(1));
    let (partition, region) = (context.partition(), context.region());
    #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
    let count = |of: fn(&Queue) -> u64| Cell::known(queue.map(|queue| of(queue) as f64), Cell::Count);
    Row {
        key: name.to_owned(),
        arn: account.map(|account| format!("arn:{partition}:sqs:{region}:{account}:{name}")),
        cells: vec![
            text(name),
            count(|queue| queue.visible),
            count(|queue| queue.in_flight),
            figures.rate("NumberOfMessagesSent"),
            figures.rate("NumberOfMessagesDeleted"),
            Cell::known(oldest.map(|seconds| seconds * 1_000.0), Cell::Milliseconds),
            share(oldest, retention.unwrap_or_default()),
        ],
        detail: Arc::new(match queue {
            Some(queue) => json!({
                "name": queue.name,
                "url": queue.url,
                "messages": queue.visible,
                "in_flight": queue.in_flight,
                "visibility_timeout_seconds": queue.visibility_seconds,
                "retention_seconds": queue.retention_seconds,
                "has_dead_letter_queue": queue.redrives,
            }),
            None => json!({"name": name}),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::doctor::test_support;
    use crate::observe::live::{Root, View};
    use crate::observe::metrics::test_support::series;

    const NOW: i64 = 630_000;

    fn meter(resource: &Resource, values: &[(&str, f64)]) -> Meter {
        let mut meter = Meter::new(false);
        let all = values
            .iter()
            .map(|(name, value)| series(resource.clone(), name, &[(540, *value)]));
        meter.read(all.collect(), NOW);
        meter
    }

    #[test]
    fn the_nearer_limit_counts() {
        let resource = Resource::Stream("orders".into());
        let half = 60.0 * 512.0 * 1024.0;
        let meter = meter(
            &resource,
            &[
                ("IncomingRecords", 6_000.0),
                ("IncomingBytes", half),
                ("WriteProvisionedThroughputExceeded", 3.0),
            ],
        );
        let state = test_support::stream("orders");
        let entry = StreamEntry {
            name: "orders".into(),
            status: state.status.clone(),
            mode: state.mode,
            open_shards: None,
            created: None,
            arn: state.arn.clone(),
            details: None,
        };
        let row = stream(&entry, Some(&state), &meter);
        assert_eq!(row.cells.len(), View::Streams.columns().len());
        assert_eq!(
            (&row.cells[3], &row.cells[5], &row.cells[9]),
            (&Cell::Rate(100.0), &Cell::Share(0.5), &Cell::Count(3.0))
        );
        let on_demand = StreamState {
            mode: crate::stream::Mode::OnDemand,
            ..state
        };
        assert_eq!(stream(&entry, Some(&on_demand), &meter).cells[5], Cell::Missing);
        // Without a description nothing is guessed.
        let row = stream(&entry, None, &meter);
        assert_eq!((&row.cells[2], &row.cells[5]), (&Cell::Missing, &Cell::Missing));
    }

    #[test]
    fn each_row_has_a_cell_for_each_column() {
        let meter = Meter::new(true);
        let entry = FunctionEntry {
            name: "scorer".into(),
            arn: "arn:aws:lambda:us-east-1:000000000000:function:scorer".into(),
            runtime: "provided.al2023".into(),
            handler: "bootstrap".into(),
            timeout_seconds: 3,
            memory_mib: 128,
            last_modified: String::new(),
        };
        let view = |root: Root| root.view().columns().len();
        assert_eq!(function(&entry, &meter).cells.len(), view(Root::Functions));
        let found = test_support::mapping("scorer", "orders");
        let row = mapping(&found, &meter);
        assert_eq!(row.cells.len(), view(Root::Mappings));
        let shards = View::Shards {
            stream: "orders".into(),
        };
        assert_eq!(Root::Mappings.view().of_row(&row), Some(shards.clone()));
        let one = Shard {
            id: "shardId-000000000000".into(),
            parent: None,
            adjacent_parent: None,
            first_hash: 0,
            last_hash: u128::MAX,
            first_sequence: "1".into(),
            last_sequence: None,
        };
        let row = shard_row(&one, &meter);
        assert_eq!(row.cells.len(), shards.columns().len());
        assert_eq!(row.cells[2], Cell::Share(1.0));
    }

    fn shard_row(one: &Shard, meter: &Meter) -> Row {
        shard("orders", one, Some(&test_support::stream("orders")), meter)
    }

    #[tokio::test]
    async fn the_arn_of_a_queue_comes_from_its_url() {
        let context = test_support::context().await;
        let found = Queue {
            name: "failed".into(),
            url: "https://sqs.us-east-1.amazonaws.com/000000000000/failed".into(),
            visible: 2,
            in_flight: 0,
            visibility_seconds: 30,
            retention_seconds: 600,
            redrives: false,
        };
        let resource = Resource::Queue("failed".into());
        let meter = meter(&resource, &[("ApproximateAgeOfOldestMessage", 300.0)]);
        let row = queue(&context, "failed", Some(&found), &meter);
        assert_eq!(
            row.arn.as_deref(),
            Some("arn:aws:sqs:us-east-1:000000000000:failed")
        );
        assert_eq!(
            (&row.cells[1], &row.cells[6]),
            (&Cell::Count(2.0), &Cell::Share(0.5))
        );
        assert_eq!(row.cells.len(), Root::Queues.view().columns().len());
    }
}
