//! `streamctl reshard`.

pub(super) mod auto;
mod plan;
pub(super) mod report;

use std::time::Duration;

use clap::{ArgGroup, Args, ValueEnum};

use self::auto::AutoArgs;
use self::plan::{Plan, Work};
use self::report::ReshardReport;
use super::shared::change::{to_change, watched};
use super::shared::duration::length;
use super::shared::stream::ChosenStream;
use super::shared::{Session, StreamArg};
use crate::ui::units::counted;
use crate::ui::{Format, wrap};
use domain::context::Context;
use domain::stream::reshard::Scale;
use domain::stream::{Mode, StreamState};
use ground::duration::{Parser, Unit};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Change the number of shards of a provisioned stream
///
/// Shows a plan first: Kinesis at most doubles or halves the number of shards in one step, and allows 10 such steps in
/// 24 hours. Records stay in order for each partition key: a reader finishes the closed shards before it reads the new
/// ones. A reshard that was interrupted is continued by the same command.
#[derive(Debug, Args)]
#[command(
    override_usage = "streamctl reshard [OPTIONS] [STREAM]\n       <--to|--scale|--split|--merge|--balance|--auto>"
)]
#[command(group(
    ArgGroup::new("how").required(true).multiple(true).args(["to", "scale", "split", "merge", "balance", "auto"])
))]
#[command(after_help = "\
Examples:
  streamctl reshard orders --to 8 --dry-run      show the plan
  streamctl reshard orders --to 8                8 shards of equal size
  streamctl reshard orders --scale +50%          half as many again
  streamctl reshard orders --split 3             shard 3 in two halves
  streamctl reshard orders --split 3@1000000     at a hash key
  streamctl reshard orders --split 3@by-traffic  half of its traffic to each
  streamctl reshard orders --split hottest       the shard with most traffic
  streamctl reshard orders --merge 4 5           two neighbours into one
  streamctl reshard orders --balance             the same number, all of equal size
  streamctl reshard orders --balance=traffic     all with equal traffic
  streamctl reshard orders --auto --max 20       as many as the traffic needs
  streamctl reshard orders --auto --max 20 --watch")]
pub struct ReshardArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Number of shards, 1 to 10000
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    /// Change of the number of shards: +50%, -25%, 200% or 2x
    #[arg(long, value_name = "CHANGE", allow_hyphen_values = true)]
    #[arg(conflicts_with_all = ["to", "split", "merge", "balance", "auto"])]
    scale: Option<Scale>,
    /// Split one shard: in half, so that a new shard begins at a hash key, or so that both halves have as equal a share of
    /// its traffic as possible. `hottest` is the shard with the most traffic
    #[arg(long, value_name = "SHARD[@HASHKEY|half|by-traffic]", conflicts_with_all = ["to", "merge", "balance", "auto"])]
    split: Option<String>,
    /// Merge two shards whose hash key ranges are adjacent
    #[arg(long, num_args = 2, value_names = ["SHARD", "SHARD"], conflicts_with_all = ["to", "balance", "auto"])]
    merge: Option<Vec<String>>,
    /// Make shards even by splits and merges, which do not count as any of the 10 steps: their hash key ranges
    /// (default), or their traffic. Keeps the number of shards, unless --to gives another
    #[arg(long, value_name = "BY", num_args = 0..=1, require_equals = true, default_missing_value = "ranges")]
    #[arg(conflicts_with = "auto")]
    balance: Option<BalanceBy>,
    /// How far back to measure traffic
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = length(WINDOW))]
    window: Duration,
    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    auto: AutoArgs,
}

/// A sample of less says little, and of more takes in what is long over.
const WINDOW: Parser =
    Parser::whole(Unit::Second).between(Duration::from_secs(60), Duration::from_secs(24 * 3_600));

/// Width of a note, whose lines after the first are indented.
const NOTE: usize = 76;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum BalanceBy {
    Ranges,
    Traffic,
}

pub(super) async fn run(args: ReshardArgs, session: &Session) -> Result<Exit> {
    let policy = args.auto.policy()?;
    if args.auto.watch && session.printer().format() == Format::Yaml {
        return Err(Error::usage("--watch does not write YAML").hint("use -o json, one document a line"));
    }
    if args.to.is_some() && args.balance == Some(BalanceBy::Traffic) {
        return Err(Error::usage("--balance=traffic keeps the number of shards")
            .hint("leave --to out, or use `--balance --to N`"));
    }
    let stream = args.stream.choose(session)?;
    let context = session.context_for_change_unless(args.dry_run).await?;
    let state = ready(&args, session, context, &stream).await?;
    if args.auto.watch {
        return auto::watch(&args.auto, &policy, session, state, args.dry_run).await;
    }
    let plan = Plan::of(&args, &policy, context, &state).await?;
    let report = ReshardReport::of(context, &state, &plan, !args.dry_run).await;
    carry_out(session, &plan, report, args.dry_run).await
}

/// The stream, once a change that is in progress is complete.
async fn ready(
    args: &ReshardArgs,
    session: &Session,
    context: &Context,
    stream: &ChosenStream,
) -> Result<StreamState> {
    let mut state = to_change(context, stream).await?;
    if state.mode == Mode::OnDemand {
        let name = &state.name;
        return Err(
            Error::usage(format!("stream {name} is on-demand: Kinesis sets its shards"))
                .hint(format!("`streamctl mode {name} provisioned` switches it")),
        );
    }
    if !state.is_active() && !args.dry_run {
        state = watched(session, &stream.name, async |changer| {
            changer.wait_until_ready().await
        })
        .await?;
    }
    Ok(state)
}

/// Shows the plan, makes the changes, and reports. A table is shown before the first change, a document after the last.
async fn carry_out(session: &Session, plan: &Plan, report: ReshardReport, dry_run: bool) -> Result<Exit> {
    let printer = session.printer();
    for note in plan.notes.iter().chain(&report.notes()) {
        printer.note(&wrap(note, NOTE).join("\n"));
    }
    let checked = report.check_budget();
    match (dry_run, checked) {
        (true, Err(error)) => printer.warn(&error.to_string()),
        (_, checked) => checked?,
    }
    let is_table = printer.format() == Format::Table;
    if is_table {
        printer.report(&report)?;
    }
    if report.changed {
        let name = &report.stream;
        let now = watched(session, name, async |changer| match &plan.work {
            Work::Uniform(to) => changer.set_shard_count(*to).await,
            Work::One(change) => changer.change_shards(change).await,
            Work::Boundaries(steps) => changer.move_boundaries(steps).await,
            Work::Nothing => changer.wait_until_ready().await,
        })
        .await?;
        printer.note(&format!(
            "Stream {name} has {} now",
            counted(now.open_shards.into(), "shard")
        ));
    }
    if !is_table {
        printer.report(&report)?;
    }
    if dry_run {
        printer.note("Dry run: nothing was changed");
    }
    Ok(Exit::Done)
}
