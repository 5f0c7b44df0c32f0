//! Where a stream may be that was not found: other regions that have a stream of its name, and streams here with a
//! similar name.
//!
//! Best effort within a time limit: what cannot be asked is left out.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use super::list;
use super::wait::absent;
use crate::context::Context;
use crate::similar::similar;
use ground::error::aws::Class;
use ground::error::{self, Error, Result};

/// How long to look. A region that the account has not enabled may not answer at all.
const TIME_LIMIT: Duration = Duration::from_secs(2);
/// Regions asked at the same time: more than a partition has, since a connection to a distant region takes a second.
const REGIONS_AT_ONCE: usize = 48;

/// Where a stream may be that is not in the region of the context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Whereabouts {
    /// Other regions that have a stream of this name.
    pub regions: Vec<String>,
    /// Streams of this region with a similar name, the most similar first.
    pub similar: Vec<String>,
}

/// Looks for the stream `name` for at most two seconds. An ARN names its region, so nothing is looked for.
pub async fn find(ctx: &Context, name: &str) -> Whereabouts {
    if name.starts_with("arn:") {
        return Whereabouts::default();
    }
    let deadline = Instant::now() + TIME_LIMIT;
    let ask = |region: &'static str| async move {
        let client = ctx.kinesis_in(region);
        let answer = client.describe_stream_summary().stream_name(name).send();
        answer.await.is_ok().then_some(region)
    };
    // Collected: a future with the closure in it is not `Send` for every lifetime.
    let asked: Vec<_> = ctx.other_regions().map(ask).collect();
    let (regions, here) = tokio::join!(holders(asked.into_iter(), deadline), list::until(ctx, deadline));
    let names = here.into_iter().map(|entry| entry.name);
    Whereabouts {
        regions,
        similar: similar(name, names),
    }
}

/// Checks that the stream `address`, a name or an ARN, is there. A caller that may not describe it learns nothing.
///
/// # Errors
/// [`Error::is_not_found`] if there is no such stream, with where it may be. Exit 4 when the target cannot be reached.
pub async fn check(ctx: &Context, address: &str) -> Result<()> {
    let call = ctx.kinesis().describe_stream_summary();
    let call = match address.starts_with("arn:") {
        true => call.stream_arn(address),
        false => call.stream_name(address),
    };
    let Err(failure) = call.send().await else {
        return Ok(());
    };
    let name = address.rsplit('/').next().unwrap_or(address);
    match error::aws::class(&failure) {
        Class::NotFound if name == address => Err(not_found(ctx, name).await),
        Class::NotFound => Err(absent(name)),
        class if class.is_outage() || class == Class::Credentials => Err(error::aws::failed(
            format!("could not look for stream {name}"),
            failure,
        )),
        _ => Ok(()),
    }
}

/// The error for a stream `name` that is not there. It says where the stream may be.
pub async fn not_found(ctx: &Context, name: &str) -> Error {
    explain(ctx, name, absent(name)).await
}

/// Adds to an error of a call on the stream `name` where it may be, if the stream was not found.
pub async fn explain(ctx: &Context, name: &str, error: Error) -> Error {
    if !error.is("ResourceNotFoundException") {
        return error;
    }
    if name.starts_with("arn:") {
        return error
            .hint("check the ARN; a resource policy of the stream must allow the calls of this account");
    }
    match find(ctx, name).await.hint(ctx.region()) {
        Some(hint) => error.hint(hint),
        None => error.hint(nowhere(ctx).await),
    }
}

/// The hint where nothing was found. Names what may be wrong: the region and the account.
async fn nowhere(ctx: &Context) -> String {
    let account = match ctx.known_account().await {
        Ok(Some(account)) => format!(" of account {account}"),
        _ => String::new(),
    };
    let region = ctx.region();
    format!("`streamctl list` shows the streams in {region}{account}; `streamctl setup` creates one")
}

impl Whereabouts {
    /// What to do now; `None` if nothing was found.
    fn hint(&self, here: &str) -> Option<String> {
        let enumerate = |words: &[String], last: &str| match words {
            [] => String::new(),
            [one] => one.clone(),
            [first @ .., end] => format!("{} {last} {end}", first.join(", ")),
        };
        let similar = enumerate(&self.similar, "or");
        match (self.regions.first(), similar.is_empty()) {
            (None, true) => None,
            (None, false) => Some(format!(
                "did you mean {similar}? `streamctl list` shows the streams here"
            )),
            (Some(region), unknown) => {
                let regions = enumerate(&self.regions, "and");
                let here_is = match unknown {
                    true => String::new(),
                    false => format!("; similar names here: {}", enumerate(&self.similar, "and")),
                };
                Some(format!(
                    "it is in {regions}, not in {here}: add `--region {region}`{here_is}"
                ))
            }
        }
    }
}

/// The regions that are found until `deadline`, by name.
async fn holders(
    asked: impl Iterator<Item = impl Future<Output = Option<&'static str>>>,
    deadline: Instant,
) -> Vec<String> {
    let mut answers = stream::iter(asked).buffer_unordered(REGIONS_AT_ONCE);
    let mut found = Vec::new();
    while let Ok(Some(answer)) = timeout_at(deadline, answers.next()).await {
        found.extend(answer.map(str::to_owned));
    }
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn the_hint_says_what_was_found() {
        let hint = |regions: &[&str], similar: &[&str]| {
            let found = Whereabouts {
                regions: owned(regions),
                similar: owned(similar),
            };
            found.hint("us-east-1").unwrap_or_default()
        };
        insta::assert_snapshot!(
            [
                hint(&[], &[]),
                hint(&[], &["order"]),
                hint(&[], &["order", "orders-2", "odrers"]),
                hint(&["eu-west-1"], &[]),
                hint(&["ap-south-1", "eu-west-1"], &["order", "odrers"]),
            ]
            .join("\n"),
            @r"
        did you mean order? `streamctl list` shows the streams here
        did you mean order, orders-2 or odrers? `streamctl list` shows the streams here
        it is in eu-west-1, not in us-east-1: add `--region eu-west-1`
        it is in ap-south-1 and eu-west-1, not in us-east-1: add `--region ap-south-1`; similar names here: order and odrers
        "
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_region_that_does_not_answer_is_left_out() {
        let started = Instant::now();
        let regions = ["us-west-2", "eu-west-1", "af-south-1", "ap-east-2"];
        let asked = regions.into_iter().map(|region| async move {
            let pause = match region {
                "af-south-1" => Duration::from_secs(3_600),
                _ => Duration::from_millis(400),
            };
            tokio::time::sleep(pause).await;
            (region != "ap-east-2").then_some(region)
        });
        let found = holders(asked, started + TIME_LIMIT).await;
        assert_eq!(found, ["eu-west-1", "us-west-2"]);
        assert_eq!(started.elapsed(), TIME_LIMIT);
    }
}
