//! `streamctl alarms history`.

use clap::Args;
use serde::Serialize;

use crate::cli::shared::Session;
use crate::ui::units::time;
use crate::ui::{Report, Style, lines, or_dash, visible, width, wrap};
use domain::observe::alarms::{self, Item};
use ground::error::Result;
use ground::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct HistoryArgs {
    /// Name of the alarm
    #[arg(value_name = "NAME")]
    name: String,
    /// Only changes of its state
    #[arg(long)]
    states: bool,
    /// At most this many items, the newest first
    #[arg(short = 'n', long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    limit: u32,
}

/// JSON is an array of items, the newest first.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(in crate::cli) struct History(Vec<Item>);

/// Width of the column of times.
const TIMES: usize = "2026-01-01 12:30:00 UTC".len() + 2;

impl Report for History {
    fn table(&self, style: &Style) -> String {
        let left = width().saturating_sub(TIMES).max(20);
        let mut text = String::new();
        for item in &self.0 {
            let mut begin = format!("{:TIMES$}", time(item.at));
            for line in wrap(&visible(&item.summary), left) {
                let shown = match item.summary.ends_with("to ALARM") || item.summary.starts_with("Failed") {
                    true => style.bad(&line),
                    false => line,
                };
                text.push_str(&format!("{begin}{shown}\n"));
                begin = " ".repeat(TIMES);
            }
            if !item.reason.is_empty() {
                for line in wrap(&visible(&item.reason), left) {
                    text.push_str(&format!("{begin}{}\n", style.dim(&line)));
                }
            }
        }
        text
    }

    fn text(&self) -> String {
        lines(self.0.iter().map(|item| {
            vec![
                or_dash(item.at),
                item.kind.clone(),
                visible(&item.summary),
                visible(&item.reason),
            ]
        }))
    }
}

pub(super) async fn run(args: &HistoryArgs, session: &Session) -> Result<Exit> {
    let context = session.context().await?;
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let items = alarms::history(context, &args.name, args.states, limit).await?;
    if items.is_empty() {
        // Nothing happened to an alarm that exists: CloudWatch keeps items for 30 days.
        alarms::find(context, &args.name).await?;
        session.printer().note(&format!(
            "Nothing happened to alarm {} in the last 30 days",
            args.name
        ));
    }
    session.printer().report(&History(items))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_fits_80_columns() {
        let item = |summary: &str, reason: &str| Item {
            at: "2026-11-28T20:39:00Z".parse().ok(),
            alarm: "orders-late".to_owned(),
            kind: "StateUpdate".to_owned(),
            summary: summary.to_owned(),
            reason: reason.to_owned(),
        };
        let history = History(vec![
            item(
                "Successfully executed action arn:aws:sns:us-east-1:000000000000:streamctl-alarms",
                "",
            ),
            item(
                "Alarm updated from OK to ALARM",
                "Threshold Crossed: 1 out of the last 1 datapoints [11.0 (28/11/26 20:38:00)] was greater than the \
                 threshold (10.0) (minimum 1 datapoint for OK -> ALARM transition).",
            ),
        ]);
        insta::assert_snapshot!(history.table(&Style::plain()), @r"
        2026-11-28 20:39:00 UTC  Successfully executed action
                                 arn:aws:sns:us-east-1:000000000000:streamctl-alarms
        2026-11-28 20:39:00 UTC  Alarm updated from OK to ALARM
                                 Threshold Crossed: 1 out of the last 1 datapoints [11.0
                                 (28/11/26 20:38:00)] was greater than the threshold
                                 (10.0) (minimum 1 datapoint for OK -> ALARM
                                 transition).
        ");
        assert!(
            history
                .text()
                .starts_with("2026-11-28T20:39:00Z\tStateUpdate\tSuccessfully")
        );
    }
}
