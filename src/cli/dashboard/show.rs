//! `streamctl dashboard show`: widgets as rows with sparklines.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::WhichArgs;
use crate::cli::shared::Session;
use crate::cli::shared::duration::length;
use crate::ui::sparkline::{Glyphs, sparkline};
use crate::ui::{Report, Style, lines, or_dash, visible, wrap};
use domain::context::Context;
use domain::observe::alarms::{self, AlarmEntry, Filter, State};
use domain::observe::dashboards::{self, Read, ShownSeries, ShownWidget, Window};
use ground::duration::{Parser, Unit, decimal};
use ground::error::Result;
use ground::exit::Exit;

pub(super) const HOUR: Duration = Duration::from_secs(3_600);
/// The longest time that metrics of a minute are kept. Source: "Metrics retention", CloudWatch user guide.
const LONGEST: Duration = Duration::from_secs(455 * 24 * 3_600);
const SINCE: Parser = Parser::whole(Unit::Second).between(Duration::from_secs(60), LONGEST);

#[derive(Debug, Args)]
pub(super) struct ShowArgs {
    #[command(flatten)]
    which: WhichArgs,
    /// How far back
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = length(SINCE))]
    since: Duration,
}

/// The dashboard, its widgets and the values of their metrics.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DashboardReport"))]
pub(in crate::cli) struct Shown {
    #[serde(flatten)]
    read: Read,
    /// The alarms of alarm widgets that exist.
    alarms: Vec<AlarmEntry>,
    #[serde(skip)]
    glyphs: Option<Glyphs>,
}

/// Columns of the labels, and of a number.
const LABELS: usize = 34;
const NUMBERS: usize = 10;
/// Marks of a sparkline.
const MARKS: usize = 20;

impl Shown {
    fn glyphs(&self) -> Glyphs {
        self.glyphs.unwrap_or_else(Glyphs::detect)
    }

    fn widget(&self, widget: &ShownWidget, style: &Style) -> String {
        let mut text = String::new();
        let title = if widget.title.is_empty() {
            &widget.kind
        } else {
            &widget.title
        };
        match widget.kind.as_str() {
            "text" => {
                for line in widget.text.lines() {
                    let line = visible(line);
                    for line in wrap(line.trim_start_matches(['#', ' ']), 80) {
                        text.push_str(&format!("{}\n", style.bold(&line)));
                    }
                }
            }
            "alarm" => {
                text.push_str(&format!("{}\n", style.bold(&visible(title))));
                for arn in &widget.alarms {
                    text.push_str(&self.alarm(arn, style));
                }
            }
            _ if widget.series.is_empty() => {
                text.push_str(&format!("{}\n", style.bold(&visible(title))));
                text.push_str(&style.dim("  only the console shows this widget\n"));
            }
            _ => text.push_str(&self.graph(title, widget, style)),
        }
        text
    }

    fn alarm(&self, arn: &str, style: &Style) -> String {
        let found = self.alarms.iter().find(|alarm| alarm.arn == arn);
        let name = arn.split_once(":alarm:").map_or(arn, |(_, name)| name);
        let state = match found.map(|alarm| alarm.state) {
            Some(State::Alarm) => style.bad("ALARM"),
            Some(State::Ok) => style.good("OK   "),
            Some(State::InsufficientData) => style.dim("no data"),
            None => style.caution("does not exist"),
        };
        format!("  {state}  {}\n", visible(name))
    }

    fn graph(&self, title: &str, widget: &ShownWidget, style: &Style) -> String {
        let stats: Vec<&str> = widget.series.iter().map(|series| series.stat.as_str()).collect();
        let same = stats.windows(2).all(|pair| pair[0] == pair[1]);
        let stat = if same {
            stats.first().copied().unwrap_or_default()
        } else {
            ""
        };
        let columns = format!(
            "{:>NUMBERS$}{:>NUMBERS$}  {}",
            "LAST",
            "MOST",
            stat.to_uppercase()
        );
        let title = visible(title);
        let mut text = match title.chars().count() <= LABELS + 2 {
            true => format!(
                "{}{columns}\n",
                style.bold(&format!("{title:<w$}", w = LABELS + 2))
            ),
            // A long title has its own line.
            false => format!("{}\n{:w$}{columns}\n", style.bold(&title), "", w = LABELS + 2),
        };
        for series in &widget.series {
            let label: String = visible(&series.label).chars().take(LABELS).collect();
            let known = series.values.iter().flatten().copied();
            let (last, most) = (known.clone().last(), known.reduce(f64::max));
            let nothing = self.glyphs().nothing();
            let number = |value: Option<f64>| value.map_or_else(|| nothing.to_owned(), short);
            text.push_str(
                format!(
                    "  {label:<LABELS$}{:>NUMBERS$}{:>NUMBERS$}  {}",
                    number(last),
                    number(most),
                    sparkline(&series.values, MARKS, self.glyphs())
                )
                .trim_end(),
            );
            text.push('\n');
        }
        text
    }
}

/// A number in few characters: `12.3k`.
fn short(value: f64) -> String {
    const UNITS: [(f64, &str); 3] = [(1e9, "G"), (1e6, "M"), (1e3, "k")];
    let unit = UNITS.iter().find(|(size, _)| value.abs() >= *size * 10.0);
    match unit {
        Some((size, unit)) => format!("{}{unit}", decimal(value / size)),
        None => decimal(value),
    }
}

impl Report for Shown {
    fn table(&self, style: &Style) -> String {
        let widgets = self.read.widgets.iter();
        let shown: Vec<String> = widgets.map(|widget| self.widget(widget, style)).collect();
        shown.join("\n")
    }

    fn text(&self) -> String {
        let rows = self.read.widgets.iter().flat_map(|widget| {
            widget.series.iter().map(|series: &ShownSeries| {
                let known = series.values.iter().flatten().copied();
                vec![
                    visible(&widget.title),
                    visible(&series.label),
                    series.stat.clone(),
                    or_dash(known.clone().last()),
                    or_dash(known.reduce(f64::max)),
                ]
            })
        });
        lines(rows)
    }
}

pub(super) async fn run(args: &ShowArgs, session: &Session) -> Result<Exit> {
    args.which.check(session)?;
    let context = session.context().await?;
    let name = args.which.resolve(session, context).await?;
    print(session, context, &name, args.since).await
}

/// Prints the dashboard `name` with its values since `since`.
pub(super) async fn print(session: &Session, context: &Context, name: &str, since: Duration) -> Result<Exit> {
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let window = Window::last(seconds, Timestamp::now().as_second());
    let read = dashboards::read(context, name, window).await?;
    let has_alarms = read.widgets.iter().any(|widget| !widget.alarms.is_empty());
    let alarms = match has_alarms {
        true => alarms::list(context, &Filter::default()).await?,
        false => Vec::new(),
    };
    let shows = |alarm: &AlarmEntry| {
        read.widgets
            .iter()
            .any(|widget| widget.alarms.contains(&alarm.arn))
    };
    let alarms = alarms.into_iter().filter(shows).collect();
    let printer = session.printer();
    printer.note(&format!(
        "{name}: {} to {}, in periods of {} s",
        clock(window.start),
        clock(window.end),
        window.period
    ));
    printer.report(&Shown {
        read,
        alarms,
        glyphs: None,
    })?;
    Ok(Exit::Done)
}

fn clock(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(
        |_| second.to_string(),
        |time| time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(glyphs: Glyphs) -> Shown {
        let series = |label: &str, values: &[Option<f64>]| ShownSeries {
            label: label.to_owned(),
            stat: "Sum".to_owned(),
            period: 60,
            values: values.to_vec(),
        };
        let widget = |kind: &str, title: &str| ShownWidget {
            kind: kind.to_owned(),
            title: title.to_owned(),
            ..ShownWidget::default()
        };
        let arn = |name: &str| format!("arn:aws:cloudwatch:us-east-1:000000000000:alarm:{name}");
        let widgets = vec![
            ShownWidget {
                text: "# stream orders".to_owned(),
                ..widget("text", "")
            },
            ShownWidget {
                alarms: vec![arn("orders-late")],
                ..widget("alarm", "Alarms")
            },
            ShownWidget {
                series: vec![
                    series(
                        "IncomingRecords",
                        &[Some(1.0), None, Some(12_345.0), Some(200_000.0)],
                    ),
                    series("GetRecords.Records", &[None; 4]),
                ],
                ..widget("metric", "Stream orders: records in and out")
            },
            widget("log", "Errors"),
        ];
        Shown {
            read: Read {
                name: "streamctl-orders-us-east-1".to_owned(),
                window: Window {
                    start: 0,
                    end: 240,
                    period: 60,
                },
                widgets,
            },
            alarms: Vec::new(),
            glyphs: Some(glyphs),
        }
    }

    #[test]
    fn a_dashboard_fits_80_columns() {
        let text = shown(Glyphs::Blocks).table(&Style::plain());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text, @r"
        stream orders

        Alarms
          does not exist  orders-late

        Stream orders: records in and out         LAST      MOST  SUM
          IncomingRecords                         200k      200k  ▂ ▂█
          GetRecords.Records                         –         –

        Errors
          only the console shows this widget
        ");
        assert!(shown(Glyphs::Ascii).table(&Style::plain()).is_ascii());
    }

    #[test]
    fn the_text_has_a_line_for_each_metric() {
        assert_eq!(
            shown(Glyphs::Ascii).text(),
            "Stream orders: records in and out\tIncomingRecords\tSum\t200000\t200000\n\
             Stream orders: records in and out\tGetRecords.Records\tSum\t-\t-"
        );
    }
}
