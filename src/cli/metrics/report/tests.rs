use super::*;
use domain::observe::metrics::{Kind, Limit, Point, Query, spec, specs};

/// 2026-11-21T09:00:00Z.
const START: i64 = 1_795_251_600;
const RANGE: TimeRange = TimeRange {
    start: START,
    end: START + 3_600,
    period: 60,
};

fn series(
    resource: &Resource,
    spec: &domain::observe::metrics::Spec,
    values: &dyn Fn(i64) -> Option<f64>,
) -> Series {
    let point = |minute: i64| {
        Some(Point {
            at: START + minute * 60,
            value: values(minute)?,
            weight: 1.0,
        })
    };
    Series {
        resource: resource.clone(),
        spec: spec.clone(),
        points: (0..60).filter_map(point).collect(),
        is_complete: true,
    }
}

fn orders() -> Resource {
    Resource::Stream("orders".into())
}

fn shard(number: u32) -> Resource {
    Resource::Shard {
        stream: "orders".into(),
        shard: format!("shardId-{number:012}"),
    }
}

#[allow(clippy::cast_precision_loss)]
fn of_stream() -> Vec<Series> {
    let of = |spec: &domain::observe::metrics::Spec| match spec.name.as_ref() {
        "IncomingRecords" => series(&orders(), spec, &|i| (i >= 20).then_some((i * 250) as f64)),
        "IncomingBytes" => series(&orders(), spec, &|i| (i >= 20).then_some((i * 256_000) as f64)),
        "WriteProvisionedThroughputExceeded" => {
            series(&orders(), spec, &|i| Some(f64::from(i32::from(i == 41)) * 12.0))
        }
        "PutRecords.Latency" => series(&orders(), spec, &|i| (i % 7 != 0).then_some(2.0 + (i % 5) as f64)),
        "GetRecords.IteratorAgeMilliseconds" => series(&orders(), spec, &|i| Some((i * 1000) as f64)),
        _ => series(&orders(), spec, &|_| None),
    };
    specs(Kind::Stream).iter().map(of).collect()
}

#[allow(clippy::cast_precision_loss)]
fn of_shards() -> Vec<Series> {
    let known = |name: &str| spec(Kind::Shard, name).unwrap();
    let (records, throttled) = (
        known("IncomingRecords"),
        known("WriteProvisionedThroughputExceeded"),
    );
    vec![
        series(&shard(0), records, &|i| (i >= 50).then_some(600.0)),
        series(&shard(0), throttled, &|_| Some(0.0)),
        series(&shard(1), records, &|i| (i >= 50).then_some((i * 900) as f64)),
        series(&shard(1), throttled, &|i| (i == 58).then_some(7.0)),
        // Closed long ago.
        series(&shard(2), records, &|_| None),
    ]
}

fn report(of: Of, series: Vec<Series>) -> MetricsReport {
    let query = |series: &Series| Query {
        resource: series.resource.clone(),
        spec: series.spec.clone(),
    };
    let mut selection = Selection {
        queries: series.iter().map(query).collect(),
        ..Selection::default()
    };
    let limits = &mut selection.limits;
    limits.set(&orders(), Limit::RecordsIn, 1_000.0);
    limits.set(&orders(), Limit::BytesIn, 1_048_576.0);
    limits.set(&orders(), Limit::Retention, 86_400_000.0);
    let function = Resource::Function("scorer".into());
    limits.set(&function, Limit::Timeout, 3_000.0);
    limits.set(&function, Limit::Concurrency, 10.0);
    let reading = Reading { range: RANGE, series };
    let mut report = MetricsReport::new(of, "us-east-1", &selection, reading);
    report.glyphs = Glyphs::Blocks;
    report
}

fn stream(series: Vec<Series>) -> MetricsReport {
    report(Of::Stream("orders".into()), series)
}

#[test]
fn a_table_with_bars_and_limits() {
    let text = stream(of_stream()).draw(&Style::plain(), 80);
    insta::assert_snapshot!("stream", text);
    assert!(text.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn narrow_terminals_lose_columns_and_not_figures() {
    let text = stream(of_stream()).draw(&Style::plain(), 40);
    insta::assert_snapshot!("narrow", text);
    assert!(text.lines().all(|line| line.chars().count() <= 40), "{text}");
}

#[test]
fn shards_have_a_line_each() {
    let mut report = stream(of_stream().into_iter().take(2).chain(of_shards()).collect());
    let text = report.draw(&Style::plain(), 80);
    insta::assert_snapshot!("shards", text);
    assert!(text.lines().all(|line| line.chars().count() <= 80));
    report.glyphs = Glyphs::Ascii;
    let text = report.draw(&Style::plain(), 80);
    assert!(text.is_ascii(), "{text}");
}

#[test]
fn a_pipeline_has_a_heading_for_each_resource() {
    let function = Resource::Function("scorer".into());
    let mapping = Resource::Mapping {
        id: "6cb2b1a8-0000".into(),
        function: "scorer".into(),
    };
    let custom = Resource::Custom {
        namespace: "RetailEventProcessing".into(),
        dimensions: vec![("Environment".into(), "dev".into())],
    };
    let mut all: Vec<Series> = of_stream().into_iter().take(2).collect();
    for (index, value) in [(0, 900.0), (1, 3.0), (4, 2_900.0), (5, 4.0)] {
        all.push(series(&function, &specs(Kind::Function)[index], &|i| {
            (i == 9).then_some(value)
        }));
    }
    all.push(series(&mapping, &specs(Kind::Mapping)[4], &|i| {
        (i == 9).then_some(2.0)
    }));
    all.push(series(
        &Resource::Queue("failed".into()),
        &specs(Kind::Queue)[1],
        &|_| Some(90.0),
    ));
    let own = domain::observe::metrics::custom_specs("RetailEventProcessing");
    all.push(series(&custom, &own[3], &|_| Some(99.5)));
    let text = report(Of::Pipeline("retail/dev".into()), all).draw(&Style::plain(), 80);
    insta::assert_snapshot!("pipeline", text);
    assert!(text.lines().all(|line| line.chars().count() <= 80));
}

#[test]
fn json_is_stable() {
    let mut report = stream(vec![
        of_stream().swap_remove(0),
        of_stream().swap_remove(6),
        of_shards().swap_remove(0),
        of_shards().swap_remove(4),
    ]);
    report
        .reading
        .series
        .iter_mut()
        .for_each(|series| series.points.truncate(1));
    insta::assert_snapshot!("json", serde_json::to_string_pretty(&report).unwrap());
}

#[test]
fn text_and_csv_have_a_line_for_each_value() {
    let mut all = vec![of_stream().swap_remove(0), of_shards().swap_remove(0)];
    let custom = Resource::Custom {
        namespace: "App, \"old\"".into(),
        dimensions: Vec::new(),
    };
    all.push(series(
        &custom,
        &domain::observe::metrics::Spec::custom("Lost", Unit::Count, Statistic::Sum),
        &|_| Some(0.5),
    ));
    all.iter_mut().for_each(|series| series.points.truncate(1));
    let report = stream(all);
    insta::assert_snapshot!(report.text().replace('\t', " | "), @r#"
    2026-11-21T09:20:00Z | IncomingRecords | 5000
    2026-11-21T09:50:00Z | IncomingRecords | 600 | shardId-000000000000
    2026-11-21T09:00:00Z | Lost | 0.5 | App, "old"
    "#);
    insta::assert_snapshot!(report.csv().unwrap(), @r#"
    timestamp,resource,name,stream,metric,statistic,unit,value
    2026-11-21T09:20:00Z,stream,orders,orders,IncomingRecords,Sum,Count,5000
    2026-11-21T09:50:00Z,shard,shardId-000000000000,orders,IncomingRecords,Sum,Count,600
    2026-11-21T09:00:00Z,namespace,"App, ""old""",,Lost,Sum,Count,0.5
    "#);
    // What --watch appends.
    let at = START + 20 * 60;
    assert_eq!(report.text_between(at - 1, at + 1).lines().count(), 1);
    assert_eq!(report.text_between(at, START + 50 * 60), "");
}

#[test]
fn charts_have_lines_with_gaps_and_limits() {
    let report = stream(of_stream().into_iter().chain(of_shards()).collect());
    let chart = super::super::panels::combined(&report);
    let titles: Vec<&str> = chart.panels.iter().map(|panel| panel.title.as_str()).collect();
    assert_eq!(
        titles,
        [
            "records/s",
            "bytes/s",
            "refused",
            "iterator age",
            "latency",
            "shards, records/s"
        ]
    );
    assert_eq!(chart.panels[0].limit, Some(1_000.0));
    assert_eq!(chart.panels[3].limit, None);
    assert_eq!(chart.panels[0].lines[0].values[19], None);
    let at_most = chart.panels[0].lines[0]
        .values
        .iter()
        .flatten()
        .copied()
        .fold(0.0, f64::max);
    assert!((at_most - 59.0 * 250.0 / 60.0).abs() < 1e-9);
    let single = super::super::panels::single(&report);
    assert!(single.panels.iter().all(|panel| panel.lines.len() == 1));
    assert!(
        !single
            .panels
            .iter()
            .any(|panel| panel.lines[0].name.contains("failed"))
    );
}
