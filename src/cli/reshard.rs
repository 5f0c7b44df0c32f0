//! `streamctl reshard`.

use clap::{ArgGroup, Args};
use serde::Serialize;

use super::shared::change::{to_change, watched};
use super::shared::{Session, StreamArg};
use crate::ui::units::{count as grouped, counted};
use crate::ui::{Report, Style, lines, table};
use domain::context::Context;
use domain::cost::price_book;
use domain::stream::reshard::{STEPS_A_DAY, Scale, Step, checked_plan, steps_of};
use domain::stream::shards::{self, Listing};
use domain::stream::split::{ShardChange, SplitPoint, merge, split};
use domain::stream::{Mode, StreamState};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Change the number of shards of a provisioned stream
///
/// Shows a plan first: Kinesis at most doubles or halves the number of shards in one step, and takes 10 such steps in 24
/// hours. Records stay in order for each partition key: a reader finishes the closed shards before it reads the new ones.
/// A reshard that was interrupted is continued by the same command.
#[derive(Debug, Args)]
#[command(override_usage = "streamctl reshard [OPTIONS] [STREAM] <--to|--scale|--split|--merge>")]
#[command(group(ArgGroup::new("how").required(true).args(["to", "scale", "split", "merge"])))]
#[command(after_help = "\
Examples:
  streamctl reshard orders --to 8 --dry-run      show the plan
  streamctl reshard orders --to 8                8 shards of equal size
  streamctl reshard orders --scale +50%          half as many again
  streamctl reshard orders --split 3             shard 3 in two halves
  streamctl reshard orders --split 3@1000000     at a hash key
  streamctl reshard orders --merge 4 5           two neighbours into one")]
pub struct ReshardArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Number of shards, 1 to 10000
    #[arg(long, value_name = "N")]
    to: Option<u32>,
    /// Change of the number of shards: +50%, -25%, 200% or 2x
    #[arg(long, value_name = "CHANGE", allow_hyphen_values = true)]
    scale: Option<Scale>,
    /// Split one shard: in half, or so that a new shard begins at a hash key
    #[arg(long, value_name = "SHARD[@HASHKEY]")]
    split: Option<String>,
    /// Merge two shards whose hash key ranges are adjacent
    #[arg(long, num_args = 2, value_names = ["SHARD", "SHARD"])]
    merge: Option<Vec<String>>,
    /// Show the plan and change nothing
    #[arg(long)]
    dry_run: bool,
}

/// What is to be done.
enum Work {
    Uniform(u32),
    One(ShardChange),
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
struct ReshardReport {
    stream: String,
    arn: String,
    /// Whether it was done; false for a dry run.
    changed: bool,
    shards_before: u32,
    shards_after: u32,
    /// Empty if nothing has to change.
    steps: Vec<Step>,
    before: Capacity,
    after: Capacity,
}

/// Capacity of a number of shards.
/// Source: CreateStream, Kinesis API reference: 1 MiB and 1,000 records a second in, 2 MiB a second out, each shard.
#[derive(Debug, Serialize)]
struct Capacity {
    write_mib_per_second: u64,
    write_records_per_second: u64,
    read_mib_per_second: u64,
    /// Price of the shards in an hour; `None` where the region's prices are not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    usd_per_hour: Option<String>,
}

impl Capacity {
    fn of(shards: u32, context: &Context) -> Self {
        let shards = u64::from(shards);
        let book = price_book(context.region()).filter(|_| !context.is_local());
        Self {
            write_mib_per_second: shards,
            write_records_per_second: shards * 1_000,
            read_mib_per_second: shards * 2,
            usd_per_hour: book.map(|book| book.provisioned.shard_hour.of(shards).rounded(3)),
        }
    }

    fn cells(&self) -> [String; 4] {
        [
            format!("{} MiB/s", grouped(self.write_mib_per_second)),
            format!("{}/s", grouped(self.write_records_per_second)),
            format!("{} MiB/s", grouped(self.read_mib_per_second)),
            self.usd_per_hour
                .clone()
                .map_or_else(|| "-".to_owned(), |usd| format!("{usd} USD/h")),
        ]
    }
}

impl Report for ReshardReport {
    fn table(&self, _style: &Style) -> String {
        if self.steps.is_empty() {
            return String::new();
        }
        let mut steps = table(["STEP", "CHANGE", "SHARDS"]);
        for (number, step) in (1..).zip(&self.steps) {
            steps.add_row([number.to_string(), step.words(), step.shards.to_string()]);
        }
        let mut capacity = table(["", "SHARDS", "WRITE", "RECORDS", "READ", "PRICE"]);
        for (name, shards, row) in [
            ("before", self.shards_before, &self.before),
            ("after", self.shards_after, &self.after),
        ] {
            let cells = [name.to_owned(), grouped(shards.into())]
                .into_iter()
                .chain(row.cells());
            capacity.add_row(cells);
        }
        format!("{}\n\n{}", steps.trim_fmt(), capacity.trim_fmt())
    }

    fn text(&self) -> String {
        lines(
            (1..)
                .zip(&self.steps)
                .map(|(number, step): (u32, _)| [number.to_string(), step.words(), step.shards.to_string()]),
        )
    }
}

pub(super) async fn run(args: ReshardArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.choose(session)?;
    let name = stream.name.clone();
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let state = to_change(context, &stream).await?;
    if state.mode == Mode::OnDemand {
        return Err(
            Error::usage(format!("stream {name} is on-demand: Kinesis sets its shards"))
                .hint(format!("`streamctl mode {name} provisioned` switches it")),
        );
    }
    let work = args.work(context, &state).await?;
    let steps = match &work {
        Work::Uniform(to) => steps_of(state.open_shards, &checked_plan(state.open_shards, *to)?),
        Work::One(change) => vec![Step::of(change, state.open_shards)],
    };
    let shards_after = steps.last().map_or(state.open_shards, |step| step.shards);
    let report = ReshardReport {
        stream: name.clone(),
        arn: state.arn.clone(),
        changed: !args.dry_run && !steps.is_empty(),
        shards_before: state.open_shards,
        shards_after,
        before: Capacity::of(state.open_shards, context),
        after: Capacity::of(shards_after, context),
        steps,
    };
    if report.steps.is_empty() {
        printer.note(&format!(
            "Nothing to change: stream {name} has {}",
            counted(state.open_shards.into(), "shard")
        ));
    } else if matches!(work, Work::Uniform(_)) {
        printer.note(&format!(
            "{} of the {STEPS_A_DAY} that Kinesis takes in 24 hours",
            counted(report.steps.len() as u64, "step")
        ));
    }
    if report.changed {
        watched(session, &name, async |changer| match &work {
            Work::Uniform(to) => changer.set_shard_count(*to).await,
            Work::One(change) => changer.change_shards(change).await,
        })
        .await?;
    }
    printer.report(&report)?;
    if args.dry_run {
        printer.note("Dry run: nothing was changed");
    }
    Ok(Exit::Done)
}

impl ReshardArgs {
    async fn work(&self, context: &Context, state: &StreamState) -> Result<Work> {
        if let Some(to) = self.to {
            return Ok(Work::Uniform(to));
        }
        if let Some(scale) = self.scale {
            return Ok(Work::Uniform(scale.of(state.open_shards)?));
        }
        let map = shards::list(context, &state.name, &Listing::All).await?;
        match (&self.split, self.merge.as_deref()) {
            (Some(text), _) => {
                let (shard, point) = match text.split_once('@') {
                    None | Some((_, "half")) => (text.split('@').next().unwrap_or(text), SplitPoint::Half),
                    Some((shard, key)) => (
                        shard,
                        SplitPoint::At(key.parse().map_err(|_| {
                            Error::usage(format!("{key:?} is not a hash key"))
                                .hint("use a whole number from 1 to 340282366920938463463374607431768211455")
                        })?),
                    ),
                };
                split(&map, shard, point).map(Work::One)
            }
            (None, Some([a, b])) => merge(&map, a, b).map(Work::One),
            _ => Err(Error::usage("no change was asked for").hint("add --to, --scale, --split or --merge")),
        }
    }
}
