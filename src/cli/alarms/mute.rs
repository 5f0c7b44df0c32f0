//! `streamctl alarms mute` and `streamctl alarms unmute`.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::list::muted;
use crate::cli::shared::Session;
use crate::cli::shared::duration::length;
use crate::ui::{Report, Style, lines, visible};
use domain::observe::alarms::{self, Muted};
use ground::duration::{Parser, Unit};
use ground::error::Result;
use ground::exit::Exit;

/// Whole seconds, with a unit.
const LENGTH: Parser = Parser::whole(Unit::Second);

#[derive(Debug, Args)]
pub(super) struct MuteArgs {
    /// Name of the alarm
    #[arg(value_name = "NAME")]
    name: String,
    /// How long, at most 15 days; rounded up to a minute [default: until you unmute it]
    #[arg(long = "for", value_name = "TIME", value_parser = length(LENGTH))]
    length: Option<Duration>,
}

#[derive(Debug, Args)]
pub(super) struct UnmuteArgs {
    /// Name of the alarm
    #[arg(value_name = "NAME")]
    name: String,
}

/// An alarm after `mute` or `unmute`. A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(in crate::cli) struct MuteReport {
    name: String,
    /// False if it was so before.
    changed: bool,
    /// `None` if its actions are executed.
    muted: Option<Muted>,
}

impl Report for MuteReport {
    // For people, a note on stderr says it.
    fn table(&self, _style: &Style) -> String {
        String::new()
    }

    fn text(&self) -> String {
        let muted = self.muted.as_ref().map_or_else(|| "-".to_owned(), muted);
        lines([[visible(&self.name), self.changed.to_string(), visible(&muted)]])
    }
}

pub(super) async fn mute(args: &MuteArgs, session: &Session) -> Result<Exit> {
    alarms::check_length(args.length)?;
    let context = session.context_for_change().await?;
    let alarm = alarms::find(context, &args.name).await?;
    let done = alarms::mute(context, &alarm.name, args.length, Timestamp::now()).await?;
    session
        .printer()
        .note(&format!("Alarm {} is {}", alarm.name, muted(&done)));
    session.printer().report(&MuteReport {
        name: alarm.name,
        changed: alarm.muted.as_ref() != Some(&done),
        muted: Some(done),
    })?;
    Ok(Exit::Done)
}

pub(super) async fn unmute(args: &UnmuteArgs, session: &Session) -> Result<Exit> {
    let context = session.context_for_change().await?;
    let alarm = alarms::find(context, &args.name).await?;
    let name = &alarm.name;
    alarms::unmute(context, name, alarm.muted.as_ref()).await?;
    session.printer().note(&match alarm.muted {
        Some(_) => format!("Alarm {name} executes its actions again"),
        None => format!("Nothing to change: alarm {name} was not muted"),
    });
    session.printer().report(&MuteReport {
        changed: alarm.muted.is_some(),
        name: alarm.name,
        muted: None,
    })?;
    Ok(Exit::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_whether_it_is_muted() {
        let report = |changed, muted| MuteReport {
            name: "orders-late".to_owned(),
            changed,
            muted,
        };
        let rule = Muted::Rule {
            name: "streamctl-orders-late".to_owned(),
            until: Some("2026-11-28T22:00:00Z".parse().unwrap()),
        };
        let reports = [
            report(true, Some(rule)),
            report(false, Some(Muted::Disabled)),
            report(true, None),
        ];
        assert!(reports.iter().all(|one| one.table(&Style::plain()).is_empty()));
        let texts: Vec<String> = reports.iter().map(Report::text).collect();
        insta::assert_snapshot!(texts.join("\n").replace('\t', "|"), @"
        orders-late|true|muted until 2026-11-28 22:00:00 UTC
        orders-late|false|muted until you unmute it
        orders-late|true|-
        ");
        let documents: Vec<String> = reports
            .iter()
            .map(|one| serde_json::to_string(one).unwrap())
            .collect();
        insta::assert_snapshot!(documents.join("\n"), @r#"
        {"name":"orders-late","changed":true,"muted":{"rule":{"name":"streamctl-orders-late","until":"2026-11-28T22:00:00Z"}}}
        {"name":"orders-late","changed":false,"muted":"disabled"}
        {"name":"orders-late","changed":true,"muted":null}
        "#);
    }
}
