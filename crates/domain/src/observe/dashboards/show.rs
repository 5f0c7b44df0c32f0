//! A dashboard with its values: what a terminal shows instead of the console.

use aws_sdk_cloudwatch::types::MetricDataQuery;
use serde::Serialize;
use serde_json::{Map, Value};

use super::rows::{self, Row};
use crate::context::Context;
use crate::observe::metric_data::{self, Answer, Answers, MAX_QUERIES, Span};
use ground::error::{self, Error, Result};

/// Periods that are read at most, so that a graph is as wide as a terminal.
const MOST_PERIODS: i64 = 60;

/// The time that is shown, in seconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Window {
    pub start: i64,
    pub end: i64,
    /// Seconds of the shortest period.
    pub period: i64,
}

impl Window {
    /// The `seconds` before `now`, in whole periods.
    pub fn last(seconds: i64, now: i64) -> Self {
        let minutes = (seconds.max(60) + MOST_PERIODS * 60 - 1) / (MOST_PERIODS * 60);
        let period = minutes.max(1) * 60;
        let end = (now + period - 1).div_euclid(period) * period;
        let periods = (seconds + period - 1).div_euclid(period).max(1);
        Self {
            start: end - periods * period,
            end,
            period,
        }
    }

    fn slots(self, period: i64) -> usize {
        usize::try_from((self.end - self.start) / period.max(1)).unwrap_or(0)
    }
}

/// A dashboard and the values of its widgets.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Read {
    pub name: String,
    pub window: Window,
    pub widgets: Vec<ShownWidget>,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct ShownWidget {
    /// `metric`, `text`, `alarm`, `log`, …
    #[serde(rename = "type")]
    pub kind: String,
    pub title: String,
    /// The text of a text widget.
    pub text: String,
    pub series: Vec<ShownSeries>,
    /// The ARNs of an alarm widget.
    pub alarms: Vec<String>,
}

/// One line of a graph.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct ShownSeries {
    pub label: String,
    pub stat: String,
    /// Seconds of each value.
    pub period: i64,
    /// A value for each period of the window, oldest first; `null` where there is no data.
    pub values: Vec<Option<f64>>,
}

/// The address of a dashboard in the console of AWS.
/// Source: "Sharing a dashboard by its address", CloudWatch user guide.
pub fn console_url(partition: &str, region: &str, name: &str) -> String {
    let host = match partition {
        "aws-cn" => "console.amazonaws.cn",
        "aws-us-gov" => "console.amazonaws-us-gov.com",
        _ => "console.aws.amazon.com",
    };
    format!("https://{region}.{host}/cloudwatch/home?region={region}#dashboards/dashboard/{name}")
}

/// Reads the dashboard `name` and the values of its metrics in `window`.
///
/// # Errors
/// Exit 1 if it does not exist, or its values cannot be read.
pub async fn read(context: &Context, name: &str, window: Window) -> Result<Read> {
    let call = context.cloudwatch().get_dashboard().dashboard_name(name);
    let answer = match call.send().await {
        Ok(answer) => answer,
        Err(error) if error::aws::is_not_found(&error) => {
            return Err(Error::failed(format!("there is no dashboard {name}"))
                .hint("create one with `streamctl dashboard create STREAM`"));
        }
        Err(error) => {
            return Err(error::aws::failed(
                format!("could not read dashboard {name}"),
                error,
            ));
        }
    };
    let body: Value = serde_json::from_str(answer.dashboard_body().unwrap_or_default())
        .map_err(|e| Error::failed(format!("the body of dashboard {name} is not JSON")).cause(e))?;
    let widgets = ordered(&body);
    let all: Vec<Vec<Row>> = widgets
        .iter()
        .map(|widget| rows::rows(properties(widget)))
        .collect();
    let mut queries = Vec::new();
    for (index, rows) in all.iter().enumerate() {
        let period = i32::try_from(window.period).unwrap_or(i32::MAX);
        queries.push(rows::queries(rows, &format!("w{index}"), period));
    }
    let values = fetch(context, queries, window).await?;
    let widgets = widgets.iter().zip(&all).enumerate();
    Ok(Read {
        name: name.to_owned(),
        window,
        widgets: widgets
            .map(|(index, (widget, rows))| shown(widget, rows, &format!("w{index}"), &values, window))
            .collect(),
    })
}

/// The widgets of a body from top to bottom, then from left to right.
fn ordered(body: &Value) -> Vec<&Value> {
    let place = |widget: &&Value| {
        let number = |key: &str| widget[key].as_u64().unwrap_or(u64::MAX);
        (number("y"), number("x"))
    };
    let mut widgets: Vec<&Value> = body["widgets"]
        .as_array()
        .map_or(Vec::new(), |all| all.iter().collect());
    widgets.sort_by_key(place);
    widgets
}

fn properties(widget: &Value) -> &Map<String, Value> {
    static NONE: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    widget["properties"].as_object().unwrap_or(&NONE)
}

/// Reads the queries of all widgets: those of one widget in one call, since its expressions refer to its metrics.
async fn fetch(context: &Context, widgets: Vec<Vec<MetricDataQuery>>, window: Window) -> Result<Answers> {
    let mut calls: Vec<Vec<MetricDataQuery>> = Vec::new();
    for queries in widgets {
        let visible = queries.iter().any(|query| query.return_data() != Some(false));
        if !visible || queries.len() > MAX_QUERIES {
            continue;
        }
        match calls.last_mut() {
            Some(call) if call.len() + queries.len() <= MAX_QUERIES => call.extend(queries),
            _ => calls.push(queries),
        }
    }
    let span = Span {
        start: window.start,
        end: window.end,
    };
    let failed = "could not read the metrics of the dashboard";
    metric_data::read(context.cloudwatch(), calls, span, failed).await
}

fn shown(widget: &Value, rows: &[Row], prefix: &str, values: &Answers, window: Window) -> ShownWidget {
    let properties = properties(widget);
    let text = |key: &str| {
        properties
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let series = rows.iter().enumerate().filter(|(_, row)| row.visible);
    let arns = properties.get("alarms").and_then(Value::as_array);
    ShownWidget {
        kind: widget["type"].as_str().unwrap_or_default().to_owned(),
        title: text("title"),
        text: text("markdown"),
        series: series
            .map(|(index, row)| series_of(row, values.get(&rows::id(prefix, index)), window))
            .collect(),
        alarms: arns
            .into_iter()
            .flatten()
            .filter_map(|arn| arn.as_str().map(str::to_owned))
            .collect(),
    }
}

fn series_of(row: &Row, answer: Option<&Answer>, window: Window) -> ShownSeries {
    let period = match row.source {
        rows::Source::Metric(_) => i64::from(row.period).max(window.period),
        rows::Source::Expression(_) => window.period,
    };
    let mut slots = vec![None; window.slots(period)];
    for (at, value) in answer.iter().flat_map(|answer| &answer.values) {
        let index = usize::try_from((at - window.start).div_euclid(period)).ok();
        if let Some(slot) = index.and_then(|index| slots.get_mut(index)) {
            *slot = Some(*value);
        }
    }
    ShownSeries {
        label: row.label.clone(),
        stat: row.stat.clone(),
        period,
        values: slots,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn windows_have_whole_periods_and_at_most_sixty() {
        let hour = Window::last(3_600, 10_001);
        assert_eq!((hour.period, hour.end - hour.start), (60, 3_600));
        assert_eq!(hour.end, 10_020);
        let day = Window::last(86_400, 10_001);
        assert_eq!((day.period, day.slots(day.period)), (1_440, 60));
    }

    #[test]
    fn widgets_are_shown_in_reading_order_with_gaps_as_gaps() {
        let body = json!({"widgets": [
            {"type": "metric", "x": 8, "y": 1, "properties": {"title": "second", "metrics": []}},
            {"type": "metric", "x": 0, "y": 1, "properties": {
                "title": "first", "stat": "Sum", "period": 60, "metrics": [["App", "Requests"]]}},
            {"type": "text", "y": 0, "properties": {"markdown": "# Title"}},
        ]});
        let titles: Vec<&str> = ordered(&body)
            .into_iter()
            .map(|widget| widget["properties"]["title"].as_str().unwrap_or("text"))
            .collect();
        // A text without a place comes after what has one in the same row.
        assert_eq!(titles, ["text", "first", "second"]);
        let widget = &body["widgets"][1];
        let rows = rows::rows(properties(widget));
        let window = Window {
            start: 600,
            end: 840,
            period: 60,
        };
        let answer = Answer {
            values: [(600, 1.0), (780, 4.0), (6_000, 9.0)].into(),
            ..Answer::default()
        };
        let values = Answers::from([("w0_0".to_owned(), answer)]);
        let shown = shown(widget, &rows, "w0", &values, window);
        assert_eq!(shown.series[0].values, [Some(1.0), None, None, Some(4.0)]);
    }

    #[test]
    fn the_console_of_a_partition_is_named() {
        assert_eq!(
            console_url("aws", "eu-west-1", "streamctl-orders-eu-west-1"),
            "https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1#dashboards/dashboard/streamctl-orders-eu-west-1"
        );
        assert!(console_url("aws-cn", "cn-north-1", "d").contains("console.amazonaws.cn"));
    }

    proptest! {
        #[test]
        fn any_window_has_periods(seconds in 1i64..40_000_000, now in 0i64..4_000_000_000) {
            let window = Window::last(seconds, now);
            prop_assert!(window.end >= now && window.end - window.start >= seconds);
            prop_assert!((1..=61).contains(&window.slots(window.period)));
        }
    }
}
