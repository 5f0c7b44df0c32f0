//! `streamctl describe`.

pub(super) mod report;

use clap::Args;

use super::shared::verdict::last_hour;
use super::shared::{Session, StreamArg};
use daemon::protocol::Damage;
use domain::context::Context;
use domain::observe::metrics::Selection;
use domain::observe::overview;
use domain::stream::{self, Listing};
use ground::error::Result;
use ground::exit::Exit;

use report::DescribeReport;

/// Show a stream: settings, limits, and what depends on it
///
/// Shows state and settings of the stream, its key, consumers, mappings with their lag, Firehose streams, alarms and
/// resource policy, and limits of the account. What you may not read is named, and the rest is shown. With --shards it
/// also lists each shard, open or closed, with its part of the hash key space and its parents. The ARN of a stream of
/// another account works if that account shares it.
#[derive(Debug, Args)]
#[command(alias = "desc")]
#[command(after_help = "\
Examples:
  streamctl describe                         the default stream
  streamctl describe --stream orders         another one
  streamctl describe --shards                with its shards
  streamctl describe -o json | jq .open_shards")]
pub struct DescribeArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Also list the shards
    #[arg(long)]
    shards: bool,
}

pub(super) async fn run(args: DescribeArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.resolve_shared(session)?;
    let context = session.context().await?;
    let name = stream.address(context).await?;
    let Some((state, no_tags)) = stream::observe_as_allowed(context, &name).await? else {
        return Err(stream::not_found(context, &name).await);
    };
    let shards = async {
        match args.shards {
            true => stream::shards::list(context, &name, &Listing::All)
                .await
                .map(Some),
            false => Ok(None),
        }
    };
    let selection = Selection::of_state(&state);
    let (shards, mut overview, damage, metrics) = tokio::join!(
        shards,
        overview::read(context, &state),
        damage(context, session),
        last_hour(context, &selection),
    );
    if let Some(error) = no_tags {
        overview.unknown.insert("tags", error.chain().join(": "));
    }
    let metrics = metrics.unwrap_or_else(|reason| {
        overview.unknown.insert("metrics", reason);
        None
    });
    let mut report = DescribeReport::new(state, overview, shards?.as_ref());
    report.metrics = metrics;
    report.damage = of_stream(damage?, report.arn());
    session.printer().report(&report)?;
    Ok(Exit::Done)
}

/// The damaged files of the local cloud.
async fn damage(context: &Context, session: &Session) -> Result<Vec<Damage>> {
    match context.is_local() {
        true => Ok(daemon::status(&session.settings().home).await?.damage),
        false => Ok(Vec::new()),
    }
}

/// The damaged files of the stream `arn`. Kinesis has no answer for them: the local cloud tells them with its health.
fn of_stream(damage: Vec<Damage>, arn: &str) -> Vec<Damage> {
    let is_of_stream = |damage: &Damage| damage.resource.as_deref() == Some(arn);
    damage.into_iter().filter(is_of_stream).collect()
}

#[cfg(test)]
mod tests;
