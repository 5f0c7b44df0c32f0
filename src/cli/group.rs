//! `streamctl group`.

use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;

use super::shared::stream::or_whereabouts;
use super::shared::{Session, StreamFlag};
use crate::ui::{Report, Style, lines, or_dash, table, units, visible};
use domain::consume::group::{self, Group, LeaseState, Leases, Table, check_name};
use domain::consume::{KinesisShards, StartRule};
use domain::context::Context;
use domain::stream::StreamReference;
use domain::stream::shards::full_shard_id;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// List, show and reset the positions of consumer groups
///
/// A group is a lease table in DynamoDB, of `tail --group` or of a KCL application.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl group list
  streamctl group show billing --stream orders
  streamctl group reset billing --to trim --stream orders")]
pub struct GroupArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the groups
    #[command(after_help = "\
Examples:
  streamctl group list
  streamctl group list -o text | cut -f1")]
    List,
    /// Show the position of each shard, and how far it is behind
    #[command(after_help = "\
Examples:
  streamctl group show billing --stream orders
  streamctl group show billing -o json | jq -r '.[].checkpoint'")]
    Show(ShowArgs),
    /// Set the position of all shards, or of some
    ///
    /// All members must be stopped. A KCL application takes the time of AT_TIMESTAMP from its own configuration.
    #[command(after_help = "\
Examples:
  streamctl group reset billing --to trim --stream orders
  streamctl group reset billing --to 2h --stream orders --yes
  streamctl group reset billing --to seq:3:NUMBER --stream orders")]
    Reset(ResetArgs),
}

#[derive(Debug, Args)]
struct ShowArgs {
    /// Name of the group: of its table, or of the KCL application
    #[arg(value_name = "GROUP")]
    group: String,
    #[command(flatten)]
    stream: StreamFlag,
}

#[derive(Debug, Args)]
struct ResetArgs {
    /// Name of the group: of its table, or of the KCL application
    #[arg(value_name = "GROUP")]
    group: String,
    #[command(flatten)]
    stream: StreamFlag,
    /// Where to continue: trim, latest, 10m, a time, @EPOCH or seq:SHARD:NUMBER
    #[arg(long, value_name = "POSITION", allow_hyphen_values = true)]
    to: String,
    /// Only this shard, by id or number (repeatable)
    #[arg(long, value_name = "ID")]
    shard: Vec<String>,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

/// JSON is an array of groups.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct Groups(Vec<Group>);

/// JSON is an array of positions.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(inline))]
#[serde(transparent)]
pub(super) struct Positions(Vec<LeaseState>);

/// What was set.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "GroupReset"))]
pub(super) struct Reset {
    group: String,
    stream: String,
    /// Shards whose position was set.
    shards: usize,
}

impl Report for Groups {
    fn table(&self, _style: &Style) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let mut rows = table(["GROUP", "SHARDS", "ENDED", "MEMBERS"]);
        for group in &self.0 {
            rows.add_row([
                visible(&group.name),
                group.shards.to_string(),
                group.ended.to_string(),
                group.members.len().to_string(),
            ]);
        }
        rows.trim_fmt()
    }

    fn text(&self) -> String {
        lines(self.0.iter().map(|group| {
            [
                group.name.clone(),
                group.shards.to_string(),
                group.ended.to_string(),
                group.members.len().to_string(),
            ]
        }))
    }
}

impl Report for Positions {
    fn table(&self, _style: &Style) -> String {
        if self.0.is_empty() {
            return String::new();
        }
        let mut rows = table(["SHARD", "CHECKPOINT", "BEHIND", "OWNER"]);
        for one in &self.0 {
            let checkpoint = match one.sub_sequence_number {
                0 => one.checkpoint.clone(),
                sub => format!("{}:{sub}", one.checkpoint),
            };
            rows.add_row([
                visible(&one.shard_id),
                visible(&checkpoint),
                or_dash(one.behind_ms.map(|ms| units::milliseconds(ms as f64))),
                visible(&or_dash(one.owner.as_ref())),
            ]);
        }
        // Sequence numbers are copied: never break one.
        rows.all_whole();
        rows.trim_fmt()
    }

    fn text(&self) -> String {
        lines(self.0.iter().map(|one| {
            [
                one.shard_id.clone(),
                one.checkpoint.clone(),
                one.sub_sequence_number.to_string(),
                or_dash(one.behind_ms),
                or_dash(one.owner.as_ref()),
            ]
        }))
    }
}

impl Report for Reset {
    fn table(&self, _style: &Style) -> String {
        String::new()
    }

    fn text(&self) -> String {
        lines([[self.group.clone(), self.stream.clone(), self.shards.to_string()]])
    }
}

pub(super) async fn run(args: GroupArgs, session: &Session) -> Result<Exit> {
    match args.action {
        Action::List => list(session).await,
        Action::Show(args) => show(&args, session).await,
        Action::Reset(args) => reset(&args, session).await,
    }
}

async fn list(session: &Session) -> Result<Exit> {
    let groups = group::list(session.context().await?).await?;
    if groups.is_empty() {
        session
            .printer()
            .note("There are no groups: `streamctl tail STREAM --group NAME` creates one");
    }
    session.printer().report(&Groups(groups))?;
    Ok(Exit::Done)
}

/// The lease table of the group `name`, which must exist.
async fn existing(context: &Context, name: &str) -> Result<Table> {
    let table = Table::new(context, name);
    match table.exists().await? {
        true => Ok(table),
        false => Err(Error::failed(format!("there is no group {name}"))
            .hint("`streamctl group list` shows the groups of this account and region")),
    }
}

async fn show(args: &ShowArgs, session: &Session) -> Result<Exit> {
    check_name(&args.group)?;
    let stream = args
        .stream
        .stream
        .as_deref()
        .map(StreamReference::parse)
        .transpose()?;
    if let Some(stream) = &stream {
        session.act_on(&stream.clone().of_any_account())?;
    }
    let context = session.context().await?;
    let table = existing(context, &args.group).await?;
    let source = match stream {
        Some(stream) => Some(KinesisShards::retrying(context, stream.address(context).await?)),
        None => None,
    };
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let positions = group::show(&table, source.as_ref(), now_ms).await?;
    if positions.is_empty() {
        session
            .printer()
            .note(&format!("Group {} has no leases", args.group));
    }
    session.printer().report(&Positions(positions))?;
    Ok(Exit::Done)
}

async fn reset(args: &ResetArgs, session: &Session) -> Result<Exit> {
    check_name(&args.group)?;
    let stream = args.stream.resolve(session)?;
    let only = args.shard.iter().map(|text| {
        full_shard_id(text).ok_or_else(|| {
            Error::usage(format!("{text:?} is not a shard id")).hint("use shardId-000000000003, or just 3")
        })
    });
    let only: Vec<String> = only.collect::<Result<_>>()?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let start = args.to.parse::<StartRule>()?.resolve(now_ms, &only)?;
    let context = session.context_for_change().await?;
    let table = existing(context, &args.group).await?;
    let source = Arc::new(KinesisShards::retrying(context, &stream));
    let shards = or_whereabouts(context, &stream, group::shards(&source).await).await?;
    let plan = group::reset_plan(&stream, &shards, &table.list().await?, &start, now_ms, &only)?;
    let action = format!(
        "set the position of {}",
        units::counted(plan.put.len() as u64, "shard")
    );
    session.confirm_by_name(&action, &args.group, args.yes).await?;
    group::write_reset(&table, &plan).await?;
    session.printer().note(&format!(
        "Group {} continues from {} in {}",
        args.group,
        args.to,
        units::counted(plan.put.len() as u64, "shard")
    ));
    session.printer().report(&Reset {
        group: args.group.clone(),
        stream,
        shards: plan.put.len(),
    })?;
    Ok(Exit::Done)
}
