//! The shards of a stream, a line each.

use std::fmt::Write as _;

use super::report::{MetricsReport, value};
use crate::cli::shared::verdict::percent;
use crate::ui::Style;
use crate::ui::sparkline::sparkline;
use domain::observe::metrics::{Resource, Series, Usage};

/// Columns: heading, and the metric whose value is shown; `None` for the share of the write limit.
const COLUMNS: [(&str, Option<&str>); 5] = [
    ("RECORDS IN", Some("IncomingRecords")),
    ("LIMIT", None),
    ("THROTTLED", Some("WriteProvisionedThroughputExceeded")),
    ("RECORDS OUT", Some("OutgoingRecords")),
    ("AGE", Some("IteratorAgeMilliseconds")),
];
const BARS: usize = 8;

/// The shards with data; empty if there are none. Leaves out columns from the right where there is no room.
pub(super) fn draw(report: &MetricsReport, style: &Style, width: usize) -> String {
    let shards = shards(report);
    if shards.is_empty() {
        return String::new();
    }
    let longest = shards
        .iter()
        .map(|(id, _)| id.len())
        .max()
        .unwrap_or(0)
        .max("SHARD".len());
    let rows: Vec<[String; 5]> = shards
        .iter()
        .map(|(id, series)| cells(report, id, series))
        .collect();
    let mut widths = [0; 5];
    for (column, (heading, _)) in COLUMNS.iter().enumerate() {
        let cells = rows.iter().map(|row| row[column].chars().count());
        // A column without a cell is left out.
        widths[column] = match cells.max().unwrap_or(0) {
            0 => 0,
            most => most.max(heading.len()),
        };
    }
    let used = |widths: &[usize; 5]| -> usize {
        let columns = widths.iter().filter(|width| **width > 0);
        longest + columns.map(|width| width + 2).sum::<usize>()
    };
    let room = width.saturating_sub(used(&widths) + 2);
    let bars = (room >= BARS).then(|| room.min(240));
    for column in (2..COLUMNS.len()).rev() {
        if used(&widths) > width {
            widths[column] = 0;
        }
    }
    let line = |id: &str, cells: &[String; 5], bars: Option<&str>| {
        let mut line = format!("{id:<longest$}");
        for (cell, width) in cells.iter().zip(widths).filter(|(_, width)| *width > 0) {
            let _ = write!(line, "  {cell:>width$}");
        }
        if let Some(bars) = bars {
            let _ = write!(line, "  {bars}");
        }
        line.trim_end().to_owned()
    };
    let headings = COLUMNS.map(|(heading, _)| heading.to_owned());
    let step = bars.map(|room| report.step(room));
    let mut text = format!("\n{}\n", line("SHARD", &headings, step.as_deref()));
    for ((id, series), cells) in shards.iter().zip(&rows) {
        let of_in = find(series, "IncomingRecords").or_else(|| find(series, "IncomingBytes"));
        let bars = bars.zip(of_in);
        let bars = bars.map(|(room, series)| sparkline(&series.slots(report.range()), room, report.glyphs));
        let _ = writeln!(text, "{}", line(id, cells, bars.as_deref()));
    }
    if let Some(uneven) = unevenness(&shards) {
        let _ = writeln!(text, "{}", style.dim(&uneven));
    }
    text
}

type Shards<'r> = Vec<(&'r str, Vec<&'r Series>)>;

/// The series of each shard that has data.
fn shards(report: &MetricsReport) -> Shards<'_> {
    let mut all: Shards<'_> = Vec::new();
    for series in &report.reading.series {
        let Some(id) = series.resource.shard() else {
            continue;
        };
        match all.last_mut() {
            Some((last, of_last)) if *last == id => of_last.push(series),
            _ => all.push((id, vec![series])),
        }
    }
    all.retain(|(_, series)| series.iter().any(|series| !series.points.is_empty()));
    all
}

fn find<'s>(series: &[&'s Series], name: &str) -> Option<&'s Series> {
    series.iter().copied().find(|series| series.spec.name == name)
}

fn cells(report: &MetricsReport, id: &str, series: &[&Series]) -> [String; 5] {
    let nothing = report.glyphs.nothing();
    COLUMNS.map(|(_, name)| match name {
        Some(name) => match find(series, name) {
            Some(series) => value(series).map_or(nothing.to_owned(), |text| {
                text.trim_end_matches(" max").to_owned()
            }),
            None => String::new(),
        },
        None => {
            let of_shard = report.usages.iter().filter(|usage| is_write_of(usage, id));
            let share = of_shard.map(Usage::share).reduce(f64::max);
            share.map(|share| percent(share * 100.0)).unwrap_or_default()
        }
    })
}

fn is_write_of(usage: &Usage, id: &str) -> bool {
    let is_shard = matches!(&usage.resource, Resource::Shard { shard, .. } if shard == id);
    is_shard && usage.limit.words() == "the write limit"
}

/// How far the busiest shard is from the average, if traffic is uneven.
fn unevenness(shards: &Shards<'_>) -> Option<String> {
    let totals: Vec<(&str, f64)> = shards
        .iter()
        .filter_map(|(id, series)| Some((*id, find(series, "IncomingRecords")?.figure()?)))
        .collect();
    #[allow(clippy::cast_precision_loss, reason = "at most some thousand shards")]
    let average = totals.iter().map(|(_, total)| total).sum::<f64>() / totals.len().max(1) as f64;
    let (id, most) = totals.iter().max_by(|a, b| a.1.total_cmp(&b.1))?;
    let times = most / average;
    (times >= 1.5).then(|| format!("{id} has {times:.1} times the records of the average shard"))
}
