//! `streamctl metrics`.

mod report;

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use super::shared::duration::{SECONDS, seconds};
use super::shared::stream::or_whereabouts;
use super::shared::{Session, StreamArg};
use crate::ui::Format;
use domain::context::Context;
use domain::observe::metrics::{self, TimeRange};
use ground::duration::{Parser, Unit};
use ground::error::Result;
use ground::exit::Exit;
pub(super) use report::MetricsReport;

/// Show the metrics of a stream: traffic, throttles, latency
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl metrics                          the default stream, the last hour
  streamctl metrics --stream orders --since 1d
  streamctl metrics --since 10m --shard-level
  streamctl metrics -o json | jq '.metrics[] | {name, total}'
  streamctl metrics -o text | grep IncomingBytes")]
pub struct MetricsArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// How far back to look, such as 10m, 6h or 15d
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = seconds::<i64>(Parser::whole(Unit::Second)))]
    since: i64,
    /// Width of one point, such as 1m or 1h [default: 1m up to three hours, then longer]
    #[arg(long, value_name = "TIME", value_parser = seconds::<i64>(SECONDS))]
    period: Option<i64>,
    /// Also show the metrics of each shard (`setup --monitoring`; paid)
    #[arg(long)]
    shard_level: bool,
}

pub(super) async fn run(args: MetricsArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.resolve(session)?;
    let range = TimeRange::last(args.since, args.period, now())?;
    let context = session.context().await?;
    let found = metrics::read(context, &stream, range, args.shard_level).await;
    let found = or_whereabouts(context, &stream, found).await?;
    if let Some(reason) = nothing(context, &found, args.shard_level) {
        session.printer().note(&reason);
    }
    // The message above says more than an empty table.
    if !(found.is_empty() && session.printer().format() == Format::Table) {
        session.printer().report(&MetricsReport::new(found))?;
    }
    Ok(Exit::Done)
}

/// Why there are no figures to show; `None` if there are.
fn nothing(context: &Context, found: &metrics::StreamMetrics, shard_level: bool) -> Option<String> {
    let stream = &found.stream;
    if found.is_empty() {
        let span = report::span(&found.range);
        let reason = if context.is_local() {
            "nothing was put or read"
        } else {
            "nothing was put or read, or it is too recent: CloudWatch metrics are 1 to 2 minutes late"
        };
        return Some(format!("No figures for {stream} {span}: {reason}"));
    }
    let of_shards = found
        .series
        .iter()
        .any(|series| series.shard.is_some() && !series.points.is_empty());
    (shard_level && !of_shards).then(|| {
        format!(
            "No figures for the shards of {stream}: shard-level monitoring may be off (`setup --monitoring`)"
        )
    })
}

/// Seconds since the epoch.
fn now() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_fits_eighty_columns() {
        let command = clap::Command::new("metrics")
            .term_width(80)
            .disable_help_flag(true);
        let help = MetricsArgs::augment_args(command).render_help().to_string();
        insta::assert_snapshot!(help, @r"
        Show the metrics of a stream: traffic, throttles, latency

        Usage: metrics [OPTIONS] [STREAM]

        Arguments:
          [STREAM]  Stream, by name or ARN [default: STREAMCTL_STREAM,
                    AWS_KINESIS_STREAM_NAME, streamctl.toml, concert-data-stream]

        Options:
              --stream <NAME>  Stream to act on, by name or ARN
              --since <TIME>   How far back to look, such as 10m, 6h or 15d [default:
                               1h]
              --period <TIME>  Width of one point, such as 1m or 1h [default: 1m up to
                               three hours, then longer]
              --shard-level    Also show the metrics of each shard (`setup
                               --monitoring`; paid)

        Examples:
          streamctl metrics                          the default stream, the last hour
          streamctl metrics --stream orders --since 1d
          streamctl metrics --since 10m --shard-level
          streamctl metrics -o json | jq '.metrics[] | {name, total}'
          streamctl metrics -o text | grep IncomingBytes
        ");
        assert!(help.lines().all(|line| line.chars().count() <= 80));
    }
}
