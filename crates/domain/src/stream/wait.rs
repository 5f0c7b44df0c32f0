//! Waiting for a stream to become what a change makes of it, and trying again while the service says "not now".
//!
//! Time is tokio's, so that tests can stop it.

use std::future::Future;
use std::sync::OnceLock;
use std::time::Duration;

use aws_sdk_kinesis::types as sdk;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;

use super::event::{Event, Events};
use super::state::{Status, StreamState, observe, summary};
use crate::context::Context;
use ground::backoff::{self, Backoff};
use ground::duration;
use ground::error::{Error, Result};

/// A stream just created may be unknown for this long: descriptions lag behind changes.
const CREATION_LAG: Duration = Duration::from_secs(20);
/// A stream that is ACTIVE and does not show an accepted change after this long never will.
const CHANGE_LAG: Duration = Duration::from_secs(60);
/// How long a call refused with LimitExceededException is tried again. It stands for a rate (over in a second) as
/// well as for a quota (not over today), and the two look alike.
const LIMIT_PATIENCE: Duration = Duration::from_secs(30);
/// Short pauses at first because the local cloud is through in milliseconds, long ones in the end because an account has
/// 20 DescribeStreamSummary calls a second for all of its programs (Kinesis API reference).
pub(super) const BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(10), Duration::from_secs(2)).jitter(0.75, 1.25);

/// Waits until stream `name` is ACTIVE, at the latest until `deadline`.
///
/// # Errors
/// Exit 1 when it does not exist, is being deleted, or is not ACTIVE by then.
pub async fn wait_until_active(
    ctx: &Context,
    name: &str,
    deadline: Instant,
    events: Events<'_>,
) -> Result<StreamState> {
    poll(deadline, events, name, || async move {
        Ok(judge(name, summary(ctx, name).await?.as_ref()))
    })
    .await?;
    describe(ctx, name).await
}

/// As [`wait_until_active`], for a stream just created: that it is not there yet is no failure.
pub(super) async fn wait_until_created(
    ctx: &Context,
    name: &str,
    deadline: Instant,
    events: Events<'_>,
) -> Result<StreamState> {
    let started = Instant::now();
    poll(deadline, events, name, || async move {
        Ok(match summary(ctx, name).await? {
            None if started.elapsed() < CREATION_LAG => Look::NotYet(Status::Creating),
            found => judge(name, found.as_ref()),
        })
    })
    .await?;
    describe(ctx, name).await
}

/// Waits until stream `name` is ACTIVE and `shown` says that it shows the change `what` ("the retention of 48 h").
/// `shown` is given the state without its tags.
pub(super) async fn wait_until_shown(
    ctx: &Context,
    name: &str,
    deadline: Instant,
    events: Events<'_>,
    what: &str,
    shown: &(dyn Fn(&StreamState) -> bool + Sync),
) -> Result<StreamState> {
    let active_since = &OnceLock::new();
    poll(deadline, events, name, || async move {
        let found = summary(ctx, name).await?;
        let state = found
            .as_ref()
            .map(|found| StreamState::from_summary(found, Default::default()));
        Ok(match judge(name, found.as_ref()) {
            Look::Done(()) if state.as_ref().is_some_and(shown) => Look::Done(()),
            Look::Done(()) if may_still_show(*active_since.get_or_init(Instant::now), deadline) => {
                Look::NotYet(Status::Active)
            }
            Look::Done(()) => Look::Never(Error::failed(format!(
                "stream {name} accepted the change but does not show {what} asked for"
            ))),
            other => other,
        })
    })
    .await?;
    describe(ctx, name).await
}

fn may_still_show(active_since: Instant, deadline: Instant) -> bool {
    let now = Instant::now();
    now < deadline && now < active_since + CHANGE_LAG
}

/// Waits until there is no stream `name`, at the latest until `deadline`.
///
/// # Errors
/// Exit 1 when it still exists by then.
pub async fn wait_until_gone(ctx: &Context, name: &str, deadline: Instant, events: Events<'_>) -> Result<()> {
    poll(deadline, events, name, || async move {
        Ok(match summary(ctx, name).await? {
            None => Look::Done(()),
            Some(found) => Look::NotYet(Status::from(&found.stream_status)),
        })
    })
    .await
}

async fn describe(ctx: &Context, name: &str) -> Result<StreamState> {
    observe(ctx, name).await?.ok_or_else(|| not_found(name))
}

/// The error for a stream that is not there.
pub fn not_found(name: &str) -> Error {
    Error::failed(format!("there is no stream {name}"))
        .with_code("ResourceNotFoundException")
        .hint("`streamctl list` shows the streams here; `streamctl setup` makes one")
}

/// What a look at the stream says about a wait.
enum Look<T> {
    Done(T),
    NotYet(Status),
    Never(Error),
}

fn judge(name: &str, found: Option<&sdk::StreamDescriptionSummary>) -> Look<()> {
    match found.map(|found| Status::from(&found.stream_status)) {
        None => Look::Never(not_found(name)),
        Some(Status::Active) => Look::Done(()),
        Some(Status::Deleting) => Look::Never(
            Error::failed(format!("stream {name} is being deleted"))
                .hint("wait until `streamctl list` no longer shows it, then run the command again"),
        ),
        Some(status) => Look::NotYet(status),
    }
}

/// Looks again and again, in growing intervals, until the look is final or time is up.
async fn poll<T, Looking>(
    deadline: Instant,
    events: Events<'_>,
    name: &str,
    mut look: impl FnMut() -> Looking,
) -> Result<T>
where
    Looking: Future<Output = Result<Look<T>>>,
{
    let started = Instant::now();
    let attempt = || {
        let looking = look();
        async move {
            match looking.await {
                Ok(Look::Done(value)) => Ok(backoff::Look::Done(value)),
                Ok(Look::NotYet(status)) => Ok(backoff::Look::NotYet(Ok(status))),
                // All programs of the account share the rate of descriptions: a refused one says nothing.
                Err(error) if error.is("LimitExceededException") || error.is("ThrottlingException") => {
                    Ok(backoff::Look::NotYet(Err(error)))
                }
                Ok(Look::Never(error)) | Err(error) => Err(error),
            }
        }
    };
    let tell = |looked: &Result<Status>, after: Duration| {
        events(match looked {
            Ok(status) => Event::Waiting {
                status: status.clone(),
                elapsed: started.elapsed(),
            },
            Err(error) => retrying(error.code(), after),
        });
        Ok(())
    };
    // Boxed: futures of callers nest deeply.
    match Box::pin(backoff::wait_until(BACKOFF, deadline, attempt, tell)).await? {
        backoff::Look::Done(value) => Ok(value),
        backoff::Look::NotYet(Err(error)) => Err(error),
        backoff::Look::NotYet(Ok(status)) => {
            let waited = Duration::from_secs(started.elapsed().as_secs());
            Err(Error::failed(format!(
                "stream {name} is still {status} after {}",
                duration::format(waited)
            ))
            .hint("run the command again: it continues from there"))
        }
    }
}

fn retrying(code: Option<&str>, after: Duration) -> Event {
    let code = code.unwrap_or_default().to_owned();
    Event::Retrying { code, after }
}

/// Calls the service until it accepts, refuses for good, or time is up.
///
/// # Errors
/// The last refusal.
pub(super) async fn retry<T, E, Sending>(
    deadline: Instant,
    events: Events<'_>,
    send: impl FnMut() -> Sending,
) -> Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata,
    Sending: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    let started = Instant::now();
    let until = |error: &SdkError<E, HttpResponse>| match refusal(error.code(), error.message()) {
        Refusal::Busy => Some(deadline),
        Refusal::Limit => Some(deadline.min(started + LIMIT_PATIENCE)),
        Refusal::Final => None,
    };
    let tell = |error: &SdkError<E, HttpResponse>, after: Duration| {
        events(retrying(error.code(), after));
        true
    };
    Box::pin(backoff::retry(BACKOFF, send, until, tell)).await
}

/// What a refused call means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// Another change is under way: worth the whole patience.
    Busy,
    /// A rate or a quota: worth a short while.
    Limit,
    /// The same answer would come again.
    Final,
}

/// Source: the errors of UpdateShardCount, CreateStream and StartStreamEncryption, Kinesis API reference.
fn refusal(code: Option<&str>, message: Option<&str>) -> Refusal {
    let message = message.unwrap_or_default().to_ascii_lowercase();
    match code {
        Some("ResourceInUseException") => Refusal::Busy,
        // At most five streams of an account are CREATING at once.
        Some("LimitExceededException") if message.contains("creating") => Refusal::Busy,
        // Quotas of a day or of the account; their messages name the period or the shard limit.
        Some("LimitExceededException")
            if message.contains("24 hour")
                || message.contains("24-hour")
                || message.contains("24h")
                || message.contains("shard limit") =>
        {
            Refusal::Final
        }
        Some("LimitExceededException" | "KMSThrottlingException") => Refusal::Limit,
        _ => Refusal::Final,
    }
}

#[cfg(test)]
mod tests;
