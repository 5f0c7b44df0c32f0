//! What `size` shows.

use serde::Serialize;

use super::mode_name;
use crate::ui::units::{bytes, count, counted};
use crate::ui::{Report, Style, lines, or_dash, table, wrap};
use domain::cost::{Category, Demand, HOURS_A_MONTH, Limit, Load, ModeCost, Need, SHARD_READ_CALLS, Sizing};
use domain::observe::load::Measured;
use domain::stream::StreamState;
use domain::stream::desired::hours;

const WIDTH: usize = 80;

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct SizeReport {
    region: String,
    #[serde(flatten)]
    load: Load,
    consumers: u32,
    fan_out_consumers: u32,
    retention_hours: u32,
    /// The stream that the load is measured of.
    #[serde(skip_serializing_if = "Option::is_none")]
    measured: Option<Measurement>,
    #[serde(flatten)]
    sizing: Sizing,
    /// What to know about the figures, in words.
    pub(super) remarks: Vec<String>,
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Measurement {
    stream: String,
    mode: &'static str,
    open_shards: u32,
    /// Seconds that the averages are of.
    seconds: u64,
}

impl Measurement {
    pub(super) fn new(stream: &StreamState, measured: &Measured) -> Self {
        Self {
            stream: stream.name.clone(),
            mode: mode_name(stream.mode),
            open_shards: stream.open_shards,
            seconds: measured.seconds,
        }
    }
}

impl SizeReport {
    pub(super) fn new(demand: Demand, region: &str, sizing: Sizing, measured: Option<Measurement>) -> Self {
        Self {
            region: region.to_owned(),
            load: demand.load,
            consumers: demand.consumers,
            fan_out_consumers: demand.fan_out_consumers,
            retention_hours: demand.retention_hours,
            measured,
            remarks: remarks(&demand, region, &sizing),
            sizing,
        }
    }

    fn limits(&self) -> String {
        let mut limits = table(["LIMIT", "NEEDED", "A SHARD", "SHARDS", ""]);
        for need in &self.sizing.needs {
            let [name, needed, per_shard] = cells(need);
            let decides = if need.limit == self.sizing.decided_by {
                "decides"
            } else {
                ""
            };
            limits.add_row([name, needed, per_shard, count(need.shards), decides.to_owned()]);
        }
        if self.consumers > 0 {
            let calls = f64::from(SHARD_READ_CALLS) / f64::from(self.consumers);
            limits.add_row([
                "read calls, each shared consumer".to_owned(),
                "-".to_owned(),
                format!("{}/s", ground::duration::decimal(calls)),
                "-".to_owned(),
                String::new(),
            ]);
        }
        limits.trim_fmt()
    }

    fn costs(&self) -> String {
        let modes = &self.sizing.modes;
        let mut costs = table(
            std::iter::once("USD A MONTH".to_owned())
                .chain(modes.iter().map(|mode| mode.mode.to_uppercase())),
        );
        let mut row = |name: &str, cell: &dyn Fn(&ModeCost) -> String| {
            costs.add_row(std::iter::once(name.to_owned()).chain(modes.iter().map(cell)));
        };
        row("shards", &|mode| {
            mode.shards.map_or_else(|| "automatic".to_owned(), count)
        });
        for (category, name) in CATEGORIES {
            if modes.iter().any(|mode| mode.estimate.has(category)) {
                row(name, &|mode| amount(mode, category));
            }
        }
        row("total", &|mode| match (&mode.impossible, mode.estimate.total) {
            (Some(_), _) => "not possible".to_owned(),
            (None, None) => "unknown".to_owned(),
            (None, Some(total)) => total.rounded(2),
        });
        costs.trim_fmt()
    }

    /// The sentence that answers the question.
    fn answer(&self) -> String {
        let shards = counted(self.sizing.shards, "shard");
        let first = self.sizing.modes.first();
        let as_of = first.and_then(|mode| mode.estimate.as_of.as_deref());
        match (self.sizing.cheapest, self.sizing.cheapest_total(), as_of) {
            (Some(mode), Some(total), Some(as_of)) => format!(
                "Needs {shards}. Cheapest: {mode}, {} USD a month of {HOURS_A_MONTH} hours ({}, prices of {as_of}).",
                total.rounded(2),
                self.region
            ),
            _ => format!(
                "Needs {shards}. The cheapest mode is unknown: not all prices of {} are known.",
                self.region
            ),
        }
    }
}

const CATEGORIES: [(Category, &str); 7] = [
    (Category::Capacity, "shards or stream"),
    (Category::Writes, "writes"),
    (Category::Reads, "reads"),
    (Category::FanOut, "fan-out"),
    (Category::Retention, "retention"),
    (Category::Metrics, "metrics"),
    (Category::Minimum, "minimum"),
];

fn amount(mode: &ModeCost, category: Category) -> String {
    if mode.estimate.as_of.is_none() {
        return "unknown".to_owned();
    }
    if !mode.estimate.has(category) {
        return "-".to_owned();
    }
    let amount = mode.estimate.amount(category);
    amount.map_or_else(|| "unknown".to_owned(), |amount| amount.rounded(2))
}

/// Name, need and limit of a shard.
fn cells(need: &Need) -> [String; 3] {
    let rate = |number: u64| match need.limit {
        Limit::Records => format!("{}/s", count(number)),
        _ => format!("{}/s", bytes(number)),
    };
    let name = match need.limit {
        Limit::Records => "records written",
        Limit::Bytes => "bytes written",
        Limit::SharedReads => "bytes read, shared",
        Limit::FanOut => "bytes read, each fan-out consumer",
    };
    [name.to_owned(), rate(need.needed), rate(need.per_shard)]
}

/// What to know about the figures.
fn remarks(demand: &Demand, region: &str, sizing: &Sizing) -> Vec<String> {
    let mut remarks = vec![record_remark(sizing)];
    if sizing.put_units == 1 && sizing.record_bytes * 5 < 25 * 1_024 {
        remarks.push(
            "Aggregating several small records into one of up to 25 KB lowers PUT payload units and records/s; \
             PutRecords alone does not."
                .to_owned(),
        );
    }
    if demand.consumers > SHARD_READ_CALLS {
        remarks.push(format!(
            "{} consumers share {SHARD_READ_CALLS} read calls a second of each shard: one that polls every second is \
             throttled. Poll less often, or use enhanced fan-out.",
            demand.consumers
        ));
    }
    if demand.load.peak_bytes.per_second() > 4 << 20 || demand.load.peak_records.per_second() > 4_000 {
        // Source: "Quotas and limits" and "On-demand mode", Kinesis developer guide.
        remarks.push(
            "A new on-demand stream takes 4 MiB/s and 4,000 records/s, then up to twice its peak of the last 30 \
             days; warm throughput (Advantage) prepares it for more."
                .to_owned(),
        );
    }
    let known = sizing
        .modes
        .iter()
        .any(|mode| mode.mode == "advantage" && mode.estimate.total.is_some());
    if known {
        remarks.push(
            "Advantage is a setting of the account (`streamctl account show`): all its on-demand streams of a region \
             share the minimum of 25 MiB/s in and out."
                .to_owned(),
        );
    }
    for mode in &sizing.modes {
        if let Some(why) = &mode.impossible {
            remarks.push(format!("{} is not possible: {why}.", mode.mode));
        } else if mode.estimate.total.is_none() && mode.estimate.as_of.is_some() {
            remarks.push(format!("The cost of {} in {region} is unknown.", mode.mode));
        }
    }
    remarks
}

fn record_remark(sizing: &Sizing) -> String {
    let units = counted(sizing.put_units, "PUT payload unit");
    let over = sizing.record_bytes % 1_024;
    let why = match (over, sizing.record_bytes) {
        _ if sizing.billed_record_bytes >= 2 * sizing.record_bytes.max(1) => {
            ", more than twice its size".to_owned()
        }
        // A tenth of a KB or less pays for a whole one.
        (1..=102, 1_025..) => format!(
            ", for {} more than {}",
            counted(over, "byte"),
            bytes(sizing.record_bytes - over)
        ),
        _ => String::new(),
    };
    format!(
        "An average record has {}: {units} of 25 KB, billed on demand as {}{why}.",
        counted(sizing.record_bytes, "byte"),
        bytes(sizing.billed_record_bytes),
    )
}

impl Report for SizeReport {
    fn table(&self, style: &Style) -> String {
        let mut text = String::new();
        if let Some(from) = &self.measured {
            let mode = format!(
                "{}, {}",
                from.mode,
                counted(from.open_shards.into(), "open shard")
            );
            let time = ground::duration::measured(std::time::Duration::from_secs(from.seconds));
            let measured = format!(
                "Stream {} ({mode}), measured over {time}: {} records/s and {}/s on average, read {}.",
                from.stream,
                ground::duration::decimal(self.load.records.as_f64()),
                bytes(self.load.bytes.per_second()),
                counted(self.consumers.into(), "time"),
            );
            text.push_str(&wrap(&measured, WIDTH).join("\n"));
            text.push_str("\n\n");
        }
        text.push_str(&self.limits());
        text.push_str("\n\n");
        text.push_str(&self.costs());
        text.push_str("\n\n");
        let answer = wrap(&self.answer(), WIDTH).into_iter();
        let answer: Vec<String> = answer.map(|line| style.bold(&line)).collect();
        text.push_str(&answer.join("\n"));
        text.push('\n');
        for remark in &self.remarks {
            text.push('\n');
            text.push_str(&wrap(remark, WIDTH).join("\n"));
        }
        if self.retention_hours > 24 {
            let kept = format!("\nRecords are kept for {}.", hours(self.retention_hours));
            text.push_str(&kept);
        }
        text
    }

    fn text(&self) -> String {
        lines(self.sizing.modes.iter().map(|mode| {
            let total = mode.estimate.total.filter(|_| mode.impossible.is_none());
            [
                mode.mode.to_owned(),
                or_dash(mode.shards),
                or_dash(total.map(|total| total.rounded(2))),
            ]
        }))
    }
}

#[cfg(test)]
mod tests {
    use domain::cost::{Rate, size};

    use super::*;

    fn report(region: &str, demand: Demand) -> SizeReport {
        SizeReport::new(demand, region, size(&demand, region, None), None)
    }

    fn demand() -> Demand {
        Demand {
            load: Load::steady(Rate::new(2_500, 1), Rate::new(1 << 20, 1)),
            consumers: 3,
            fan_out_consumers: 0,
            retention_hours: 24,
        }
    }

    #[test]
    fn modes_are_side_by_side() {
        let text = report("us-east-1", demand()).table(&Style::plain());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn all_that_can_be_paid_for() {
        let demand = Demand {
            load: demand().load.with_peak((5, 1)),
            consumers: 7,
            fan_out_consumers: 21,
            retention_hours: 24 * 30,
        };
        let text = report("us-east-1", demand).table(&Style::plain());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn a_byte_that_costs_a_kilobyte_is_named() {
        let remark = |record_bytes: u64| {
            let load = Load::steady(Rate::new(1, 1), Rate::new(record_bytes, 1));
            record_remark(&size(&Demand { load, ..demand() }, "us-east-1", None))
        };
        assert!(
            remark(1_025).ends_with("as 2 KiB, for 1 byte more than 1 KiB."),
            "{}",
            remark(1_025)
        );
        assert!(remark(1_024).ends_with("as 1 KiB."), "{}", remark(1_024));
        assert!(remark(1_500).ends_with("as 2 KiB."), "{}", remark(1_500));
        assert!(
            remark(0).ends_with("as 1 KiB, more than twice its size."),
            "{}",
            remark(0)
        );
    }

    #[test]
    fn a_region_without_prices_says_so() {
        let report = report("eu-central-1", demand());
        insta::assert_snapshot!(report.table(&Style::plain()));
        insta::assert_snapshot!(report.text(), @r"
        provisioned	3	-
        on-demand	-	-
        advantage	-	-
        ");
    }
}
