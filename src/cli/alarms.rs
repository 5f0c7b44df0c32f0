//! `streamctl alarms`.

pub(super) mod delete;
pub(super) mod history;
pub(super) mod list;
pub(super) mod mute;
mod set;
mod subscribe;
pub(super) mod trial;

use clap::{Args, Subcommand};

use super::shared::Session;
use ground::error::Result;
use ground::exit::Exit;

/// Create, list, mute and test CloudWatch alarms
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl alarms subscribe me@example.com   notify this address
  streamctl alarms set orders                 create alarms for a stream
  streamctl alarms list --state ALARM         what is wrong now
  streamctl alarms test orders-late           check that it notifies")]
pub struct AlarmsArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Create the alarms of a stream, a function or a pipeline
    ///
    /// Watches throttles, failed records, the age of records (in time, and as a share of the retention: older records
    /// are lost), errors, throttles and duration of the functions that read the stream, mappings that publish metrics
    /// of their events, queues of failures, and failed events of a pipeline. Running it again changes what differs.
    /// Alarms that streamctl did not make are never changed, and a metric that another alarm of streamctl already
    /// watches gets no second alarm.
    ///
    /// The alarms notify the topic of `alarms subscribe`, or the one that --topic names.
    #[command(after_help = "\
Examples:
  streamctl alarms set orders --dry-run            what it would create
  streamctl alarms set orders --lag 1m --errors 5
  streamctl alarms set --pipeline retail
  streamctl alarms set --function scorer --topic arn:aws:sns:…:alerts")]
    Set(Box<set::SetArgs>),
    /// List the alarms with their state
    #[command(after_help = "\
Examples:
  streamctl alarms list                  all of the region
  streamctl alarms list --ours           those that streamctl made
  streamctl alarms list --state ALARM -o json | jq -r '.[].name'")]
    List(list::ListArgs),
    /// Show what happened to an alarm
    #[command(after_help = "\
Examples:
  streamctl alarms history orders-late
  streamctl alarms history orders-late --states -n 5")]
    History(history::HistoryArgs),
    /// Keep an alarm from executing its actions
    ///
    /// With --for, a mute rule of CloudWatch ends the mute; the actions are then executed if the alarm is still in the state
    /// that they are for. Without it the actions are disabled until `alarms unmute`. The alarm is evaluated all the time.
    #[command(after_help = "\
Examples:
  streamctl alarms mute orders-late --for 2h
  streamctl alarms mute orders-late          until you unmute it")]
    Mute(mute::MuteArgs),
    /// End the mute of an alarm
    #[command(after_help = "\
Examples:
  streamctl alarms unmute orders-late")]
    Unmute(mute::UnmuteArgs),
    /// Send the notifications of alarms to an email address
    ///
    /// Creates the topic streamctl-alarms and subscribes the address. SNS sends a message with a link to it; nothing is
    /// delivered before the link is opened. The local cloud sends no email: its log shows what it would send.
    #[command(after_help = "\
Examples:
  streamctl alarms subscribe me@example.com")]
    Subscribe(subscribe::SubscribeArgs),
    /// Test an alarm: check that it goes off and runs its actions
    ///
    /// On the local cloud, values beyond the threshold are put into the metric of the alarm, where they stay. On AWS, and
    /// for alarms on expressions or other alarms, the state is set to ALARM after you confirm it; the next evaluation
    /// corrects it. Exits with 5 if an action fails.
    #[command(after_help = "\
Examples:
  streamctl alarms test orders-late
  streamctl alarms test orders-late --set-state --yes")]
    Test(trial::TestArgs),
    /// Delete alarms that streamctl made
    #[command(after_help = "\
Examples:
  streamctl alarms delete orders-late
  streamctl alarms delete --set orders --yes    all of `alarms set orders`")]
    Delete(delete::DeleteArgs),
}

pub(super) async fn run(args: AlarmsArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Action::Set(args) => set::run(&args, session).await,
        Action::List(args) => list::run(args, session).await,
        Action::History(args) => history::run(&args, session).await,
        Action::Mute(args) => mute::mute(&args, session).await,
        Action::Unmute(args) => mute::unmute(&args, session).await,
        Action::Subscribe(args) => subscribe::run(&args, session).await,
        Action::Test(args) => trial::run(&args, session).await,
        Action::Delete(args) => delete::run(&args, session).await,
    }
}
