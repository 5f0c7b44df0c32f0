//! `reshard --auto`: the number of shards follows the traffic.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::plan::in_words;
use crate::cli::shared::Session;
use crate::cli::shared::change::{existing, watched};
use crate::cli::shared::duration::length;
use crate::ui::Format;
use crate::ui::units::{counted, time};
use domain::observe::scaling::{Decided, decision};
use domain::stream::StreamState;
use domain::stream::autoscale::{Decision, Direction, Policy};
use domain::stream::change::MAX_SHARDS;
use ground::duration::{Parser, Unit};
use ground::error::aws::Class;
use ground::error::{Error, Result};
use ground::exit::Exit;

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MINUTES: Parser = Parser::whole(Unit::Minute).between(MINUTE, DAY);
const COOL_OFF: Parser = Parser::whole(Unit::Second).between(Duration::ZERO, DAY.saturating_mul(7));
const PERIOD: Parser = Parser::whole(Unit::Second).between(Duration::from_secs(1), DAY);

/// clap does not ask for `--auto` where it conflicts with another flag.
const OTHERS: [&str; 5] = ["to", "scale", "split", "merge", "balance"];

/// The policy of `--auto`.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of --auto")]
pub(super) struct AutoArgs {
    /// Change the number of shards if the write traffic of the last minutes needs it
    #[arg(long, help_heading = "Options", conflicts_with = "to")]
    pub(super) auto: bool,
    /// Utilization of the shards to scale to; above it, shards are added
    #[arg(long, value_name = "PERCENT", default_value = "70%", requires = "auto", conflicts_with_all = OTHERS, value_parser = percent)]
    target_utilization: f64,
    /// Utilization below which shards are removed [default: 70% of the target]
    #[arg(long, value_name = "PERCENT", requires = "auto", conflicts_with_all = OTHERS, value_parser = percent)]
    down_below: Option<f64>,
    /// Minimum number of shards
    #[arg(long, value_name = "N", default_value_t = 1, requires = "auto", conflicts_with_all = OTHERS)]
    min: u32,
    /// Maximum number of shards; required by --watch
    #[arg(long, value_name = "N", requires = "auto", conflicts_with_all = OTHERS)]
    max: Option<u32>,
    /// Add shards when the traffic was above the target for this long
    #[arg(long, value_name = "TIME", default_value = "5m", requires = "auto", conflicts_with_all = OTHERS, value_parser = length(MINUTES))]
    up_after: Duration,
    /// Remove shards when the traffic was low for this long
    #[arg(long, value_name = "TIME", default_value = "1h", requires = "auto", conflicts_with_all = OTHERS, value_parser = length(MINUTES))]
    down_after: Duration,
    /// Change nothing for this long after a change
    #[arg(long, value_name = "TIME", default_value = "30m", requires = "auto", conflicts_with_all = OTHERS, value_parser = length(COOL_OFF))]
    cool_off: Duration,
    /// Keep deciding until Ctrl-C
    #[arg(long, requires = "auto", conflicts_with_all = OTHERS)]
    pub(super) watch: bool,
    /// Time between two decisions of --watch
    #[arg(long, value_name = "TIME", default_value = "1m", requires = "watch", value_parser = length(PERIOD))]
    period: Duration,
}

/// `70%` or `70` as 0.7.
fn percent(text: &str) -> std::result::Result<f64, String> {
    let figure = text.strip_suffix('%').unwrap_or(text);
    let is_plain = !figure.is_empty() && figure.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let number = figure
        .parse::<f64>()
        .ok()
        .filter(|number| is_plain && *number <= 100.0);
    number
        .map(|number| number / 100.0)
        .ok_or_else(|| "not a percentage; write it like 70%".to_owned())
}

impl AutoArgs {
    /// The policy of the flags.
    ///
    /// # Errors
    /// Exit 2 when they contradict each other.
    pub(super) fn policy(&self) -> Result<Policy> {
        if self.watch && self.max.is_none() {
            return Err(Error::usage("--watch needs a limit for the number of shards")
                .hint("add --max N: each shard costs money"));
        }
        let minutes = |length: Duration| usize::try_from(length.as_secs() / 60).unwrap_or(usize::MAX);
        let policy = Policy {
            min: self.min,
            max: self.max.unwrap_or(MAX_SHARDS),
            target: self.target_utilization,
            down_below: self.down_below.unwrap_or(self.target_utilization * 0.7),
            up_after: minutes(self.up_after),
            down_after: minutes(self.down_after),
            cool_off: self.cool_off,
        };
        policy.check()?;
        Ok(policy)
    }
}

/// One decision of `--watch`; a contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "AutoReshardLine"))]
pub(in crate::cli) struct Line<'a> {
    at: Timestamp,
    stream: &'a str,
    /// Open shards before the decision.
    shards: u32,
    /// Of the newest minute with figures, 0 to 1 or more.
    utilisation: Option<f64>,
    decision: &'a Decision,
}

/// Decides and changes again and again, until Ctrl-C.
pub(super) async fn watch(
    args: &AutoArgs,
    policy: &Policy,
    session: &Session,
    mut state: StreamState,
    dry_run: bool,
) -> Result<Exit> {
    let context = session.context().await?;
    let name = state.name.clone();
    let mut last_change = None;
    loop {
        let outcome = async {
            state = existing(context, &name).await?;
            let decided = decision(context, &state, policy, last_change).await?;
            show(session, &state, &decided)?;
            if decided.decision.direction != Direction::None && !dry_run {
                let to = decided.decision.shards;
                last_change = Some(Timestamp::now());
                watched(session, &name, async |changer| changer.set_shard_count(to).await).await?;
                session
                    .printer()
                    .note(&format!("Stream {name} has {} now", counted(to.into(), "shard")));
            }
            Ok(())
        };
        let outcome: Result<()> = tokio::select! {
            outcome = outcome => outcome,
            () = session.interrupt().wait() => return Ok(stopped(session)),
        };
        match outcome {
            Err(error) if may_pass(&error) => session.printer().warn(&error.chain().join(": ")),
            outcome => outcome?,
        }
        tokio::select! {
            () = tokio::time::sleep(args.period) => {}
            () = session.interrupt().wait() => return Ok(stopped(session)),
        }
    }
}

/// Whether a later decision can succeed.
fn may_pass(error: &Error) -> bool {
    let class = error.class();
    class.is_some_and(|class| {
        class.is_outage() || matches!(class, Class::Throttle | Class::Conflict | Class::Quota)
    })
}

fn stopped(session: &Session) -> Exit {
    session
        .printer()
        .note("Stopped: a change that Kinesis has accepted continues there");
    Exit::Interrupted
}

fn show(session: &Session, state: &StreamState, decided: &Decided) -> Result<()> {
    let printer = session.printer();
    let line = Line {
        at: decided.at,
        stream: &state.name,
        shards: state.open_shards,
        utilisation: decided.utilisation,
        decision: &decided.decision,
    };
    match printer.format() {
        Format::Json | Format::Yaml | Format::Csv | Format::Raw => printer.ndjson(&line)?,
        Format::Table => {
            let at = time(Some(decided.at));
            printer.out(&format!("{at}  {}", in_words(&decided.decision)))?;
        }
        Format::Text => {
            let direction = format!("{:?}", decided.decision.direction).to_lowercase();
            let cells = [
                decided.at.to_string(),
                state.open_shards.to_string(),
                direction,
                decided.decision.shards.to_string(),
                decided.decision.reason.to_string(),
            ];
            printer.out(&cells.join("\t"))?;
        }
    }
    printer.flush()
}

#[cfg(test)]
mod tests {
    use super::percent;

    #[test]
    fn percentages_are_read() {
        assert_eq!(percent("70%"), Ok(0.7));
        assert_eq!(percent("12.5"), Ok(0.125));
        for bad in ["", "%", "-1%", "101%", "x", "1e1", "inf", "NaN", "1.2.3"] {
            assert!(percent(bad).is_err(), "{bad}");
        }
    }
}
