//! `streamctl alarms mute` and `streamctl alarms unmute`.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::list::muted;
use crate::cli::shared::Session;
use crate::cli::shared::duration::length;
use domain::observe::alarms;
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

pub(super) async fn mute(args: &MuteArgs, session: &Session) -> Result<Exit> {
    alarms::check_length(args.length)?;
    let context = session.context_for_change().await?;
    let alarm = alarms::find(context, &args.name).await?;
    let done = alarms::mute(context, &alarm.name, args.length, Timestamp::now()).await?;
    session
        .printer()
        .note(&format!("Alarm {} is {}", alarm.name, muted(&done)));
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
    Ok(Exit::Done)
}
