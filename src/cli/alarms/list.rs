//! `streamctl alarms list`.

use clap::Args;
use serde::Serialize;

use crate::cli::shared::Session;
use crate::ui::units::time;
use crate::ui::{Report, Style, lines, or_dash, visible, width, wrap};
use domain::observe::alarms::{self, AlarmEntry, Filter, Muted, State};
use ground::error::Result;
use ground::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Only alarms in this state: ALARM, OK or INSUFFICIENT_DATA
    #[arg(long, value_name = "STATE", ignore_case = true)]
    state: Option<State>,
    /// Only alarms whose names begin with this
    #[arg(long, value_name = "TEXT")]
    prefix: Option<String>,
    /// Only alarms that streamctl made
    #[arg(long)]
    ours: bool,
}

/// JSON is an array of alarms.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(in crate::cli) struct Alarms(Vec<AlarmEntry>);

/// Width of the column of states.
const STATES: usize = "INSUFFICIENT_DATA".len() + 2;

impl Report for Alarms {
    /// A heading for each alarm with its details below: names and reasons are long.
    fn table(&self, style: &Style) -> String {
        let left = width().saturating_sub(STATES).max(20);
        let mut text = String::new();
        for alarm in &self.0 {
            let state = format!("{:STATES$}", alarm.state.word());
            let state = match alarm.state {
                State::Alarm => style.bad(&state),
                State::Ok => style.good(&state),
                State::InsufficientData => style.dim(&state),
            };
            text.push_str(&format!("{state}{}\n", visible(&alarm.name)));
            for line in details(alarm).iter().flat_map(|detail| wrap(detail, left)) {
                text.push_str(&format!("{:STATES$}{line}\n", ""));
            }
        }
        text
    }

    fn text(&self) -> String {
        lines(self.0.iter().map(|alarm| {
            vec![
                visible(&alarm.name),
                alarm.state.word().to_owned(),
                or_dash(alarm.since),
                visible(&alarm.condition),
                visible(&alarm.reason),
                or_dash(alarm.pipeline.as_deref().map(visible)),
            ]
        }))
    }
}

fn details(alarm: &AlarmEntry) -> Vec<String> {
    let mut details = vec![visible(&alarm.condition)];
    let since = alarm.since.map(|_| format!("since {}", time(alarm.since)));
    let mut words: Vec<String> = since.into_iter().collect();
    words.extend(alarm.muted.as_ref().map(muted));
    words.extend(alarm.actions.is_empty().then(|| "notifies nobody".to_owned()));
    words.extend(
        alarm
            .pipeline
            .is_none()
            .then(|| "not made by streamctl".to_owned()),
    );
    if !words.is_empty() {
        details.push(words.join(", "));
    }
    // What is well needs no explanation.
    if !alarm.reason.is_empty() && alarm.state != State::Ok {
        details.push(visible(&alarm.reason));
    }
    details
}

/// As in "muted until 2026-11-28 22:00:00 UTC".
pub(super) fn muted(muted: &Muted) -> String {
    match muted {
        Muted::Disabled => "muted until you unmute it".to_owned(),
        Muted::Rule { name, until: None } => format!("muted by the rule {}", visible(name)),
        Muted::Rule { until, .. } => format!("muted until {}", time(*until)),
    }
}

pub(super) async fn run(args: ListArgs, session: &Session) -> Result<Exit> {
    let context = session.context().await?;
    let filter = Filter {
        state: args.state,
        prefix: args.prefix,
        only_ours: args.ours,
    };
    let found = alarms::list(context, &filter).await?;
    if found.is_empty() {
        let printer = session.printer();
        match filter == Filter::default() {
            true => printer.note("There are no alarms here; `streamctl alarms set STREAM` creates a set"),
            false => printer.note("No alarm matches"),
        }
    } else {
        session.printer().note(&alarms::overview(found.iter()));
    }
    session.printer().report(&Alarms(found))?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alarm(name: &str, state: State) -> AlarmEntry {
        AlarmEntry {
            name: name.to_owned(),
            arn: format!("arn:aws:cloudwatch:us-east-1:000000000000:alarm:{name}"),
            kind: "metric",
            state,
            since: "2026-11-28T20:39:00Z".parse().ok(),
            reason: "Threshold Crossed: 3 out of the last 5 datapoints [600000.0 (28/11/26 20:38:00)] were \
                     greater than the threshold (300000.0) (minimum 3 datapoints for OK -> ALARM transition)."
                .to_owned(),
            description: "Readers of stream orders are more than 300 s late".to_owned(),
            condition:
                "Maximum of AWS/Kinesis GetRecords.IteratorAgeMilliseconds > 300000 in 3 of 5 periods of 60 s"
                    .to_owned(),
            metric: None,
            threshold: Some(300_000.0),
            comparison: ">".to_owned(),
            period_seconds: Some(60),
            evaluation_periods: Some(5),
            actions: vec!["arn:aws:sns:us-east-1:000000000000:streamctl-alarms".to_owned()],
            muted: None,
            pipeline: Some("alarms/orders".to_owned()),
        }
    }

    fn alarms() -> Alarms {
        let mut quiet = alarm("theirs", State::InsufficientData);
        quiet.pipeline = None;
        quiet.actions.clear();
        quiet.reason = "Unchecked: Initial alarm creation".to_owned();
        quiet.muted = Some(Muted::Rule {
            name: "streamctl-theirs".to_owned(),
            until: "2026-11-28T22:39:00Z".parse().ok(),
        });
        Alarms(vec![alarm("orders-late", State::Alarm), quiet])
    }

    #[test]
    fn alarms_fit_80_columns() {
        let shown = alarms().table(&Style::plain());
        assert!(shown.lines().all(|line| line.chars().count() <= 80), "{shown}");
        insta::assert_snapshot!(shown, @r"
        ALARM              orders-late
                           Maximum of AWS/Kinesis GetRecords.IteratorAgeMilliseconds >
                           300000 in 3 of 5 periods of 60 s
                           since 2026-11-28 20:39:00 UTC
                           Threshold Crossed: 3 out of the last 5 datapoints [600000.0
                           (28/11/26 20:38:00)] were greater than the threshold
                           (300000.0) (minimum 3 datapoints for OK -> ALARM transition).
        INSUFFICIENT_DATA  theirs
                           Maximum of AWS/Kinesis GetRecords.IteratorAgeMilliseconds >
                           300000 in 3 of 5 periods of 60 s
                           since 2026-11-28 20:39:00 UTC, muted until 2026-11-28
                           22:39:00 UTC, notifies nobody, not made by streamctl
                           Unchecked: Initial alarm creation
        ");
    }

    #[test]
    fn the_text_has_a_line_for_each_alarm() {
        let text = alarms().text();
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with("orders-late\tALARM\t2026-11-28T20:39:00Z\tMaximum of"));
        assert!(text.ends_with("\t-"));
    }

    #[test]
    fn the_json_form_is_stable() {
        let json = serde_json::to_value(alarms()).unwrap();
        insta::assert_snapshot!(serde_json::to_string(&json[1]).unwrap(), @r#"{"name":"theirs","arn":"arn:aws:cloudwatch:us-east-1:000000000000:alarm:theirs","type":"metric","state":"INSUFFICIENT_DATA","since":"2026-11-28T20:39:00Z","reason":"Unchecked: Initial alarm creation","description":"Readers of stream orders are more than 300 s late","condition":"Maximum of AWS/Kinesis GetRecords.IteratorAgeMilliseconds > 300000 in 3 of 5 periods of 60 s","metric":null,"threshold":300000.0,"comparison":">","period_seconds":60,"evaluation_periods":5,"actions":[],"muted":{"rule":{"name":"streamctl-theirs","until":"2026-11-28T22:39:00Z"}},"pipeline":null}"#);
    }
}
