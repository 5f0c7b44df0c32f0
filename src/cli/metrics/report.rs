//! Metrics as a table with bars, as JSON and as lines.

use std::fmt::Write as _;
use std::time::Duration;

use comfy_table::{Cell, CellAlignment};
use serde::{Serialize, Serializer};

use crate::ui::sparkline::{Glyphs, sparkline, values_per_mark};
use crate::ui::{Report, Style, table, units};
use domain::observe::metrics::{Series, Statistic, StreamMetrics, TimeRange, Unit, Utilisation};
use ground::duration;

/// What `streamctl metrics` prints.
pub(in crate::cli) struct MetricsReport {
    metrics: StreamMetrics,
    glyphs: Glyphs,
}

/// The JSON form, a stable contract with scripts.
#[derive(Serialize)]
struct Shape<'a> {
    stream: &'a str,
    region: &'a str,
    start: String,
    end: String,
    period_seconds: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    utilisation: Option<UtilisationShape>,
    metrics: Vec<MetricShape<'a>>,
}

#[derive(Serialize)]
struct UtilisationShape {
    open_shards: i32,
    peak_bytes_percent: Option<f64>,
    peak_records_percent: Option<f64>,
}

#[derive(Serialize)]
struct MetricShape<'a> {
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard_id: Option<&'a str>,
    unit: &'a str,
    statistic: &'a str,
    #[serde(flatten)]
    figure: FigureShape,
    datapoints: Vec<PointShape>,
}

/// `null` without data.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum FigureShape {
    Total(Option<f64>),
    Average(Option<f64>),
    Maximum(Option<f64>),
}

#[derive(Serialize)]
struct PointShape {
    timestamp: String,
    value: f64,
}

impl MetricsReport {
    pub(in crate::cli) fn new(metrics: StreamMetrics) -> Self {
        Self {
            metrics,
            glyphs: Glyphs::detect(),
        }
    }

    fn shape(&self) -> Shape<'_> {
        let metrics = &self.metrics;
        Shape {
            stream: &metrics.stream,
            region: &metrics.region,
            start: timestamp(metrics.range.start),
            end: timestamp(metrics.range.end),
            period_seconds: metrics.range.period,
            utilisation: metrics.utilisation.map(|used| UtilisationShape {
                open_shards: used.shards,
                peak_bytes_percent: used.bytes,
                peak_records_percent: used.records,
            }),
            metrics: metrics.series.iter().map(metric_shape).collect(),
        }
    }

    /// Label, value and peak of each series that is shown.
    fn rows(&self) -> Vec<(&Series, [String; 3])> {
        let cells = |series: &Series| {
            let nothing = self.glyphs.nothing();
            [
                series.spec.label.to_owned(),
                value(series).unwrap_or_else(|| nothing.to_owned()),
                peak(series, &self.metrics.range).unwrap_or_default(),
            ]
        };
        let series = shown(&self.metrics.series);
        series.map(|series| (series, cells(series))).collect()
    }

    /// The table, `width` columns wide at most.
    fn draw(&self, style: &Style, width: usize) -> String {
        let metrics = &self.metrics;
        let rows = self.rows();
        // Each column has a margin of two.
        let columns = [0, 1, 2].map(|column| {
            let widths = rows.iter().map(|(_, cells)| cells[column].chars().count());
            widths.max().unwrap_or(0).max("METRIC".len())
        });
        let shard = rows
            .iter()
            .filter_map(|(series, _)| series.shard.as_ref())
            .map(String::len)
            .max();
        let used = columns[0].max(shard.unwrap_or(0)) + columns[1] + columns[2] + 4 * 2;
        let room = width.saturating_sub(used).clamp(8, 240);
        let per_mark = values_per_mark(metrics.range.periods(), room);
        let period = Duration::from_secs(metrics.range.period.unsigned_abs());
        let step = period.saturating_mul(u32::try_from(per_mark).unwrap_or(u32::MAX));

        let bars = format!("EVERY {}", duration::format(step));
        let right = |text: &str| Cell::new(text).set_alignment(CellAlignment::Right);
        let mut table = table([
            Cell::new("METRIC"),
            right("VALUE"),
            right("PEAK"),
            Cell::new(bars),
        ]);
        let mut heading: Option<&str> = None;
        for (series, [label, value, peak]) in rows {
            if series.shard.as_deref() != heading {
                heading = series.shard.as_deref();
                table.add_row([heading.unwrap_or_default()]);
            }
            let bars = sparkline(&series.slots(&metrics.range), room, self.glyphs);
            table.add_row([Cell::new(label), right(&value), right(&peak), Cell::new(bars)]);
        }
        let title = format!(
            "{} in {}, {}",
            metrics.stream,
            metrics.region,
            span(&metrics.range)
        );
        let mut text = format!("{}\n\n", style.bold(&title));
        for line in table.lines() {
            let _ = writeln!(text, "{}", line.trim_end());
        }
        if let Some(line) = metrics.utilisation.as_ref().and_then(utilisation) {
            let _ = write!(text, "\n{line}");
        }
        text
    }
}

impl Serialize for MetricsReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.shape().serialize(serializer)
    }
}

impl Report for MetricsReport {
    fn table(&self, style: &Style) -> String {
        let width = table([""]).width().unwrap_or(80);
        self.draw(style, width.into())
    }

    fn text(&self) -> String {
        let mut text = String::new();
        for series in &self.metrics.series {
            for point in &series.points {
                let _ = write!(
                    text,
                    "{}\t{}\t{}",
                    timestamp(point.at),
                    series.spec.name,
                    point.value
                );
                let _ = match &series.shard {
                    Some(shard) => writeln!(text, "\t{shard}"),
                    None => writeln!(text),
                };
            }
        }
        text
    }
}

/// Every metric of the stream, and of shards those with data.
fn shown(series: &[Series]) -> impl Iterator<Item = &Series> {
    series
        .iter()
        .filter(|series| series.shard.is_none() || !series.points.is_empty())
}

fn metric_shape(series: &Series) -> MetricShape<'_> {
    let figure = series.figure();
    MetricShape {
        name: series.spec.name,
        shard_id: series.shard.as_deref(),
        unit: series.spec.unit.name(),
        statistic: series.spec.statistic.name(),
        figure: match series.spec.statistic {
            Statistic::Sum => FigureShape::Total(figure),
            Statistic::Average => FigureShape::Average(figure),
            Statistic::Maximum => FigureShape::Maximum(figure),
        },
        datapoints: series
            .points
            .iter()
            .map(|point| PointShape {
                timestamp: timestamp(point.at),
                value: point.value,
            })
            .collect(),
    }
}

/// The figure of the whole range: `12,345`, `1.2 MiB`, `3.2 ms avg`.
fn value(series: &Series) -> Option<String> {
    let figure = series.figure()?;
    let text = amount(figure, series.spec.unit);
    Some(match series.spec.statistic {
        Statistic::Sum => text,
        Statistic::Average => format!("{text} avg"),
        Statistic::Maximum => format!("{text} max"),
    })
}

/// The busiest period: a rate where things are counted, the worst average of a time.
fn peak(series: &Series, range: &TimeRange) -> Option<String> {
    let peak = series.peak()?;
    match (series.spec.statistic, series.spec.unit) {
        (Statistic::Maximum, _) => None,
        (Statistic::Sum, Unit::Count) => {
            let rate = peak / range.period_seconds();
            Some(if rate < 9.95 {
                format!("{rate:.1}/s")
            } else {
                format!("{}/s", amount(rate, Unit::Count))
            })
        }
        (Statistic::Sum, unit) => Some(format!("{}/s", amount(peak / range.period_seconds(), unit))),
        (Statistic::Average, unit) => Some(amount(peak, unit)),
    }
}

fn amount(value: f64, unit: Unit) -> String {
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "saturates; none is negative"
    )]
    let whole = value.round() as u64;
    match unit {
        Unit::Count => units::count(whole),
        Unit::Bytes => units::bytes(whole),
        Unit::Milliseconds => units::milliseconds(value),
    }
}

fn utilisation(used: &Utilisation) -> Option<String> {
    let percent = |of: &str, value: Option<f64>| {
        value.map(|value| match value {
            0.0..0.5 => format!("under 1% of the {of}"),
            value => format!("{value:.0}% of the {of}"),
        })
    };
    let parts: Vec<String> = [percent("bytes", used.bytes), percent("records", used.records)]
        .into_iter()
        .flatten()
        .collect();
    let shards = match used.shards {
        1 => "1 open shard takes".to_owned(),
        shards => format!("{shards} open shards take"),
    };
    (!parts.is_empty()).then(|| format!("Peak: {} that {shards}", parts.join(" and ")))
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

fn timestamp(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::observe::metrics::{Level, Point, specs};

    /// 2026-11-21T09:00:00Z.
    const START: i64 = 1_795_251_600;

    fn report(shards: bool) -> MetricsReport {
        let range = TimeRange {
            start: START,
            end: START + 3600,
            period: 60,
        };
        let series = |spec, shard: Option<&str>, values: &dyn Fn(i64) -> Option<f64>| Series {
            spec,
            shard: shard.map(str::to_owned),
            points: (0..60)
                .filter_map(|i| {
                    Some(Point {
                        at: START + i * 60,
                        value: values(i)?,
                        weight: 1.0,
                    })
                })
                .collect(),
        };
        #[allow(clippy::cast_precision_loss)]
        let mut all: Vec<Series> = specs(Level::Stream)
            .iter()
            .map(|spec| match spec.name {
                "IncomingRecords" => series(spec, None, &|i| (i >= 20).then_some((i * 250) as f64)),
                "IncomingBytes" => series(spec, None, &|i| (i >= 20).then_some((i * 256_000) as f64)),
                "PutRecords.ThrottledRecords" => {
                    series(spec, None, &|i| Some(f64::from(i32::from(i == 41)) * 3.0))
                }
                "PutRecords.Latency" => series(spec, None, &|i| (i % 7 != 0).then_some(2.0 + (i % 5) as f64)),
                "GetRecords.IteratorAgeMilliseconds" => series(spec, None, &|i| Some((i * 1000) as f64)),
                _ => series(spec, None, &|_| None),
            })
            .collect();
        if shards {
            let spec = &specs(Level::Shard)[0];
            all.push(series(spec, Some("shardId-000000000000"), &|i| {
                (i == 59).then_some(120.0)
            }));
            all.push(series(spec, Some("shardId-000000000001"), &|_| None));
        }
        MetricsReport {
            metrics: StreamMetrics {
                stream: "orders".into(),
                region: "us-east-1".into(),
                range,
                series: all,
                utilisation: Some(Utilisation {
                    shards: 1,
                    bytes: Some(24.4),
                    records: Some(0.3),
                }),
            },
            glyphs: Glyphs::Blocks,
        }
    }

    #[test]
    fn a_table_with_bars() {
        let text = report(false).draw(&Style::plain(), 80);
        insta::assert_snapshot!(text, @r#"
        orders in us-east-1, 2026-11-21 09:00 to 10:00 UTC

        METRIC                VALUE       PEAK  EVERY 2m
        records in          395,000      246/s            ▄▄▄▅▅▅▅▆▆▆▆▇▇▇▇█████
        bytes in            386 MiB  246 KiB/s            ▄▄▄▅▅▅▅▆▆▆▆▇▇▇▇█████
        puts accepted             –
        puts failed               –
        puts throttled            3      0.1/s  ▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁▁█▁▁▁▁▁▁▁▁▁
        writes over limit         –
        records out               –
        bytes out                 –
        reads over limit          –
        PutRecord time            –
        PutRecords time    4 ms avg       6 ms  ▅▇█▅█▅▇▄▆█▄▇█▆█▅▇█▆█▅▇█▆▇▅▇█▆█
        GetRecords time           –
        iterator age       59 s max             ▂▂▂▂▃▃▃▃▄▄▄▄▄▅▅▅▅▆▆▆▆▇▇▇▇█████

        Peak: 24% of the bytes and under 1% of the records that 1 open shard takes
        "#);
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn shards_follow_the_stream() {
        let mut report = report(true);
        report.glyphs = Glyphs::Ascii;
        let text = report.draw(&Style::plain(), 80);
        let shards: Vec<&str> = text
            .lines()
            .skip_while(|line| !line.contains("iterator age"))
            .collect();
        insta::assert_snapshot!(shards.join("\n"), @r#"
        iterator age          59 s max             ....::::-----====++++****#####
        shardId-000000000000
        records in                 120      2.0/s                               #

        Peak: 24% of the bytes and under 1% of the records that 1 open shard takes
        "#);
        assert!(text.lines().all(|line| line.len() <= 80));
    }

    #[test]
    fn json_and_text_are_stable() {
        let mut report = report(true);
        report
            .metrics
            .series
            .retain(|series| series.spec.label == "records in" || series.spec.label == "iterator age");
        report
            .metrics
            .series
            .iter_mut()
            .for_each(|series| series.points.truncate(1));
        insta::assert_snapshot!(serde_json::to_string_pretty(&report).unwrap(), @r#"
        {
          "stream": "orders",
          "region": "us-east-1",
          "start": "2026-11-21T09:00:00Z",
          "end": "2026-11-21T10:00:00Z",
          "period_seconds": 60,
          "utilisation": {
            "open_shards": 1,
            "peak_bytes_percent": 24.4,
            "peak_records_percent": 0.3
          },
          "metrics": [
            {
              "name": "IncomingRecords",
              "unit": "Count",
              "statistic": "Sum",
              "total": 5000.0,
              "datapoints": [
                {
                  "timestamp": "2026-11-21T09:20:00Z",
                  "value": 5000.0
                }
              ]
            },
            {
              "name": "GetRecords.IteratorAgeMilliseconds",
              "unit": "Milliseconds",
              "statistic": "Maximum",
              "maximum": 0.0,
              "datapoints": [
                {
                  "timestamp": "2026-11-21T09:00:00Z",
                  "value": 0.0
                }
              ]
            },
            {
              "name": "IncomingRecords",
              "shard_id": "shardId-000000000000",
              "unit": "Count",
              "statistic": "Sum",
              "total": 120.0,
              "datapoints": [
                {
                  "timestamp": "2026-11-21T09:59:00Z",
                  "value": 120.0
                }
              ]
            },
            {
              "name": "IncomingRecords",
              "shard_id": "shardId-000000000001",
              "unit": "Count",
              "statistic": "Sum",
              "total": null,
              "datapoints": []
            }
          ]
        }
        "#);
        insta::assert_snapshot!(report.text().replace('\t', " | "), @r"
        2026-11-21T09:20:00Z | IncomingRecords | 5000
        2026-11-21T09:00:00Z | GetRecords.IteratorAgeMilliseconds | 0
        2026-11-21T09:59:00Z | IncomingRecords | 120 | shardId-000000000000
        ");
    }
}
