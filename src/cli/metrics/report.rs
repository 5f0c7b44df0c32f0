//! Metrics as a table with bars, and as lines of text or CSV.

use std::fmt::Write as _;
use std::time::Duration;

use serde::{Serialize, Serializer};

use super::shape::Shape;
use crate::cli::shared::verdict::{amount, coloured, percent, words};
use crate::ui::sparkline::{Glyphs, sparkline, values_per_mark};
use crate::ui::{Report, Style, width, wrap};
use domain::observe::metrics::{
    Reading, Resource, Selection, Series, Statistic, TimeRange, Unit, Usage, Verdict, usages, verdicts,
};
use ground::duration;

/// Narrowest column of bars.
const BARS: usize = 8;
/// Space between two columns.
const GAP: usize = 2;

/// What the metrics are of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Of {
    Stream(String),
    Function(String),
    Pipeline(String),
}

impl Of {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Stream(name) | Self::Function(name) | Self::Pipeline(name) => name,
        }
    }

    fn title(&self) -> String {
        match self {
            Self::Stream(name) => name.clone(),
            Self::Function(name) => format!("function {name}"),
            Self::Pipeline(name) => format!("pipeline {name}"),
        }
    }

    /// Whether `resource` is what the metrics are of: it needs no heading.
    fn is(&self, resource: &Resource) -> bool {
        match (self, resource) {
            (Self::Stream(name), Resource::Stream(other))
            | (Self::Function(name), Resource::Function(other)) => name == other,
            _ => false,
        }
    }
}

/// What `streamctl metrics` prints.
pub(super) struct MetricsReport {
    pub of: Of,
    pub region: String,
    pub reading: Reading,
    pub usages: Vec<Usage>,
    pub verdicts: Vec<Verdict>,
    pub glyphs: Glyphs,
}

/// Cells of a row: label, value, peak, share of the limit.
type Cells = [String; 4];

impl MetricsReport {
    pub(super) fn new(of: Of, region: &str, selection: &Selection, reading: Reading) -> Self {
        Self {
            of,
            region: region.to_owned(),
            usages: usages(&reading.series, &selection.limits, &reading.range),
            verdicts: verdicts(&reading.series, &selection.limits, &reading.range),
            reading,
            glyphs: Glyphs::detect(),
        }
    }

    pub(super) fn range(&self) -> &TimeRange {
        &self.reading.range
    }

    /// Names, region and range: the first line.
    pub(super) fn title(&self) -> String {
        format!("{} in {}, {}", self.of.title(), self.region, span(self.range()))
    }

    fn share(&self, series: &Series) -> Option<f64> {
        let found = self.usages.iter().find(|usage| {
            usage.resource == series.resource
                && usage.spec.name == series.spec.name
                && usage.spec.statistic == series.spec.statistic
        });
        found.map(Usage::share)
    }

    fn cells(&self, series: &Series) -> Cells {
        let nothing = self.glyphs.nothing().to_owned();
        [
            series.spec.label.to_string(),
            value(series).unwrap_or(nothing),
            peak(series, self.range()).unwrap_or_default(),
            self.share(series)
                .map(|share| percent(share * 100.0))
                .unwrap_or_default(),
        ]
    }

    /// The table, `width` columns wide at most.
    pub(super) fn draw(&self, style: &Style, width: usize) -> String {
        let is_shard = |series: &&Series| series.resource.shard().is_some();
        let rows: Vec<(&Series, Cells)> = self
            .reading
            .series
            .iter()
            .filter(|series| !is_shard(series))
            .map(|series| (series, self.cells(series)))
            .collect();
        let mut text = String::new();
        for line in wrap(&self.title(), width) {
            let _ = writeln!(text, "{}", style.bold(&line));
        }
        let columns = Columns::fitting(&rows, width);
        let bars = columns.bars.map(|room| self.step(room));
        let _ = writeln!(
            text,
            "\n{}",
            columns.line(&HEADINGS.map(str::to_owned), bars.as_deref())
        );
        let mut resource = None;
        for (series, cells) in &rows {
            if resource != Some(&series.resource) {
                let blank = if resource.is_some() { "\n" } else { "" };
                resource = Some(&series.resource);
                if !self.of.is(&series.resource) {
                    let _ = writeln!(text, "{blank}{}", style.bold(&heading(&series.resource)));
                }
            }
            let bars = columns
                .bars
                .map(|room| sparkline(&series.slots(self.range()), room, self.glyphs));
            let _ = writeln!(text, "{}", columns.line(cells, bars.as_deref()));
        }
        text.push_str(&super::shards::draw(self, style, width));
        text.push_str(&self.verdict_lines(style, width));
        text
    }

    /// How long one bar is, as the heading of the bars.
    pub(super) fn step(&self, room: usize) -> String {
        let per_mark = values_per_mark(self.range().periods(), room);
        let period = Duration::from_secs(self.range().period.unsigned_abs());
        let step = period.saturating_mul(u32::try_from(per_mark).unwrap_or(u32::MAX));
        format!("EVERY {}", duration::format(step))
    }

    fn verdict_lines(&self, style: &Style, width: usize) -> String {
        let mut text = String::new();
        for verdict in &self.verdicts {
            let words = words(verdict, self.range().period);
            let line = match self.of.is(&verdict.resource) || verdict.resource.shard().is_some() {
                true => words,
                false => format!("{}: {words}", heading(&verdict.resource)),
            };
            for (number, line) in wrap(&line, width.saturating_sub(2)).iter().enumerate() {
                let indent = if number > 0 { "  " } else { "" };
                let line = coloured(style, verdict.severity, line);
                let _ = write!(text, "\n{indent}{line}");
            }
        }
        text
    }

    /// The points of all series after `after` and before `before`, oldest period of each series first.
    pub(super) fn points(&self, after: i64, before: i64) -> impl Iterator<Item = (&Series, i64, f64)> {
        self.reading.series.iter().flat_map(move |series| {
            let points = series
                .points
                .iter()
                .filter(move |point| point.at > after && point.at < before);
            points.map(move |point| (series, point.at, point.value))
        })
    }

    /// Lines of [`Report::text`] between two times.
    pub(super) fn text_between(&self, after: i64, before: i64) -> String {
        let mut text = String::new();
        for (series, at, value) in self.points(after, before) {
            let _ = write!(text, "{}\t{}\t{value}", timestamp(at), series.spec.name);
            let _ = match self.of.is(&series.resource) {
                true => writeln!(text),
                false => writeln!(text, "\t{}", series.resource.name()),
            };
        }
        text
    }

    /// Lines of CSV between two times, without the heading.
    pub(super) fn csv_between(&self, after: i64, before: i64) -> String {
        let mut text = String::new();
        for (series, at, value) in self.points(after, before) {
            let cells = [
                timestamp(at),
                series.resource.word().to_owned(),
                series.resource.name().to_owned(),
                series.resource.stream().unwrap_or_default().to_owned(),
                series.spec.name.to_string(),
                series.spec.statistic.name().to_owned(),
                series.spec.unit.name().to_owned(),
                value.to_string(),
            ];
            let cells: Vec<String> = cells.iter().map(|cell| quoted(cell)).collect();
            let _ = writeln!(text, "{}", cells.join(","));
        }
        text
    }
}

/// The heading of the CSV form.
pub(super) const CSV_HEADING: &str = "timestamp,resource,name,stream,metric,statistic,unit,value";

const HEADINGS: [&str; 4] = ["METRIC", "VALUE", "PEAK", "LIMIT"];

/// Widths of the columns that fit.
struct Columns {
    widths: [usize; 4],
    /// Width of the bars, if they fit.
    bars: Option<usize>,
}

impl Columns {
    /// Leaves out what has no room: the bars, then the peak, then the share of the limit.
    fn fitting(rows: &[(&Series, Cells)], width: usize) -> Self {
        let mut widths = [0, 1, 2, 3].map(|column| {
            let cells = rows.iter().map(|(_, cells)| cells[column].chars().count());
            cells.max().unwrap_or(0)
        });
        for (width, heading) in widths.iter_mut().zip(HEADINGS) {
            // A column without a cell is left out.
            *width = if *width > 0 {
                (*width).max(heading.len())
            } else {
                0
            };
        }
        let used = |widths: &[usize; 4]| -> usize {
            let shown = widths.iter().filter(|width| **width > 0);
            shown.map(|width| width + GAP).sum()
        };
        let room = width.saturating_sub(used(&widths));
        if room >= BARS {
            return Self {
                widths,
                bars: Some(room.min(240)),
            };
        }
        for column in [2, 3] {
            if used(&widths) > width + GAP {
                widths[column] = 0;
            }
        }
        Self { widths, bars: None }
    }

    fn line(&self, cells: &Cells, bars: Option<&str>) -> String {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(self.widths).enumerate() {
            if width == 0 {
                continue;
            }
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            match column {
                0 => line.push_str(&format!("{cell}{pad}")),
                _ => line.push_str(&format!("  {pad}{cell}")),
            }
        }
        if let Some(bars) = bars.filter(|_| self.bars.is_some()) {
            line.push_str("  ");
            line.push_str(bars);
        }
        line.trim_end().to_owned()
    }
}

impl Serialize for MetricsReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Shape::of(self).serialize(serializer)
    }
}

impl Report for MetricsReport {
    fn table(&self, style: &Style) -> String {
        self.draw(style, width())
    }

    fn text(&self) -> String {
        self.text_between(i64::MIN, i64::MAX)
    }

    fn csv(&self) -> Option<String> {
        Some(format!("{CSV_HEADING}\n{}", self.csv_between(i64::MIN, i64::MAX)))
    }
}

/// `stream orders`, `mapping 6cb2b1a8 of scorer`, `metrics of RetailEventProcessing (Environment dev)`.
pub(super) fn heading(resource: &Resource) -> String {
    match resource {
        Resource::Account => "account".to_owned(),
        Resource::Mapping { id, function } => {
            let short: String = id.chars().take(8).collect();
            format!("mapping {short} of {function}")
        }
        Resource::Custom {
            namespace,
            dimensions,
        } => {
            let dimensions: Vec<String> = dimensions
                .iter()
                .map(|(name, value)| format!("{name} {value}"))
                .collect();
            match dimensions.is_empty() {
                true => namespace.clone(),
                false => format!("{namespace} ({})", dimensions.join(", ")),
            }
        }
        resource => format!("{} {}", resource.word(), resource.name()),
    }
}

/// The figure of the whole range: `12,345`, `1.2 MiB`, `3.2 ms avg`.
pub(super) fn value(series: &Series) -> Option<String> {
    let figure = series.figure()?;
    let text = amount(figure, series.spec.unit);
    Some(match (series.spec.statistic, series.spec.unit) {
        (Statistic::Sum, _) => text,
        (Statistic::Average, _) => format!("{text} avg"),
        (Statistic::Maximum, _) => format!("{text} max"),
    })
}

/// The busiest period: a rate where things are counted, the worst average of a time.
fn peak(series: &Series, range: &TimeRange) -> Option<String> {
    let peak = series.peak()?;
    match (series.spec.statistic, series.spec.unit) {
        (Statistic::Maximum, _) => None,
        (Statistic::Sum, unit) => Some(rate(peak / range.period_seconds(), unit)),
        (Statistic::Average, unit) => Some(amount(peak, unit)),
    }
}

/// `0.03/s`, `2.0/s`, `246/s`, `246 KiB/s`.
pub(super) fn rate(per_second: f64, unit: Unit) -> String {
    match unit {
        Unit::Count if per_second > 0.0 && per_second < 0.005 => "under 0.01/s".to_owned(),
        Unit::Count if per_second > 0.0 && per_second < 0.095 => format!("{per_second:.2}/s"),
        Unit::Count if per_second < 9.95 => format!("{per_second:.1}/s"),
        unit => format!("{}/s", amount(per_second, unit)),
    }
}

/// A cell of CSV. Source: RFC 4180.
fn quoted(cell: &str) -> String {
    match cell.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", cell.replace('"', "\"\"")),
        false => cell.to_owned(),
    }
}

/// The range in words, in UTC.
pub(super) fn span(range: &TimeRange) -> String {
    let show = |seconds: i64, format: &str| {
        let time = jiff::Timestamp::from_second(seconds).unwrap_or_default();
        time.strftime(format).to_string()
    };
    let same_day = show(range.start, "%F") == show(range.end, "%F");
    let until = if same_day { "%H:%M" } else { "%F %H:%M" };
    format!(
        "{} to {} UTC",
        show(range.start, "%F %H:%M"),
        show(range.end, until)
    )
}

pub(super) fn timestamp(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}

#[cfg(test)]
mod tests;
