//! `streamctl mode`.

use clap::{Args, ValueEnum};

use super::shared::change::{ChangeArgs, Consequences, change};
use super::shared::{Session, StreamArg};
use crate::ui::units::time;
use domain::context::Context;
use domain::cost::{self, Demand, Item, price_book};
use domain::observe::load;
use domain::stream::{Desired, Difference, MODE_SWITCHES_A_DAY, Mode, StreamState, trail};
use ground::error::Result;
use ground::exit::Exit;

/// Switch a stream between provisioned and on-demand mode
///
/// First shows what each mode costs, from the measured traffic of the last day if there is any, and how many of the two
/// switches in 24 hours are left, if CloudTrail shows it. A stream keeps its shards when it is switched; on-demand mode
/// then changes their number with the traffic.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  streamctl mode on-demand                       the default stream
  streamctl mode orders on-demand --dry-run      see what it would cost
  streamctl mode orders provisioned --shards 4   and set the shard count")]
pub struct ModeArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// The mode: provisioned or on-demand
    #[arg(value_enum, value_name = "MODE", hide_possible_values = true)]
    mode: ModeArg,
    /// Number of shards of the provisioned stream [default: those that it has now]
    #[arg(long, value_name = "N")]
    shards: Option<u32>,
    #[command(flatten)]
    change: ChangeArgs,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ModeArg {
    Provisioned,
    OnDemand,
}

pub(super) async fn run(args: ModeArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.choose(session)?;
    let desired = Desired {
        mode: Some(match args.mode {
            ModeArg::Provisioned => Mode::Provisioned,
            ModeArg::OnDemand => Mode::OnDemand,
        }),
        shards: args.shards,
        ..Desired::default()
    };
    change(
        session,
        &stream,
        &desired,
        args.change,
        async |context, state, changes| Ok(consequences(context, state, changes, args.shards).await),
    )
    .await
}

/// What each mode costs, and how many switches are left.
async fn consequences(
    context: &Context,
    state: &StreamState,
    changes: &[Difference],
    shards: Option<u32>,
) -> Consequences {
    if !changes.iter().any(|change| change.setting == "mode") {
        return Consequences::default();
    }
    let shards = shards.unwrap_or(state.open_shards);
    let mut notes = costs(context, state, shards).await;
    notes.push(switches(context, state).await);
    notes.into()
}

/// What the measured use costs in a month; without one, or where it cannot be measured, the prices.
async fn costs(context: &Context, state: &StreamState, shards: u32) -> Vec<String> {
    const DAY: i64 = 86_400;
    let region = context.region();
    if context.is_local() {
        return Vec::new();
    }
    let Some(book) = price_book(region) else {
        return vec![format!("The prices of {region} are not known here")];
    };
    let Ok(Some(measured)) = load::measure(context, state, DAY).await else {
        return prices(book, shards);
    };
    let demand = Demand {
        load: measured.load,
        consumers: measured.shared_consumers,
        fan_out_consumers: measured.fan_out_consumers,
        retention_hours: state.retention_hours,
    };
    let sized = cost::size(&demand, region, Some(shards.into()));
    let total = |name: &str| {
        let mode = sized.modes.iter().find(|mode| mode.mode == name);
        let total = mode.and_then(|mode| mode.estimate.total);
        total.map_or_else(|| "an unknown amount of".to_owned(), |total| total.rounded(2))
    };
    let mut notes = vec![format!(
        "At the traffic of the last day, a month costs {} USD provisioned with {}, and {} USD on-demand ({region}, as of {})",
        total("provisioned"),
        crate::ui::units::counted(shards.into(), "shard"),
        total("on-demand"),
        book.as_of
    )];
    if u64::from(shards) < sized.shards {
        notes.push(format!(
            "The peak of the last day needs {} shards: `streamctl size --from-stream {}` shows why",
            sized.shards, state.name
        ));
    }
    notes
}

fn prices(book: &cost::PriceBook, shards: u32) -> Vec<String> {
    let dollars = |item, quantity| {
        let amount = book.amount(item, quantity);
        amount.map_or_else(|| "an unknown amount of".to_owned(), |amount| amount.rounded(3))
    };
    vec![
        format!(
            "Provisioned: {} USD an hour for {}, and {} USD for a million PUT payload units of 25 KB",
            dollars(Item::ShardHour, shards.into()),
            crate::ui::units::counted(shards.into(), "shard"),
            dollars(Item::PutUnits, 1_000_000),
        ),
        format!(
            "On-demand: {} USD an hour, {} USD for a GB written and {} USD for a GB read ({}, as of {})",
            dollars(Item::StreamHour, 1),
            dollars(Item::OnDemandIn, 1 << 30),
            dollars(Item::OnDemandOut, 1 << 30),
            book.region,
            book.as_of,
        ),
    ]
}

/// How many switches are left.
async fn switches(context: &Context, state: &StreamState) -> String {
    let Some(made) = trail::last_day(context, "UpdateStreamMode", &state.arn).await else {
        return format!("Kinesis allows {MODE_SWITCHES_A_DAY} switches of the mode of a stream in 24 hours");
    };
    let left = MODE_SWITCHES_A_DAY.saturating_sub(made.len());
    let free = made
        .first()
        .and_then(|first| first.checked_add(jiff::SignedDuration::from_hours(24)).ok());
    match free {
        None => format!("Switches left in 24 hours: {left} of {MODE_SWITCHES_A_DAY}"),
        Some(_) => format!(
            "Switches left in 24 hours: {left} of {MODE_SWITCHES_A_DAY}; the next is free at {}",
            time(free)
        ),
    }
}
