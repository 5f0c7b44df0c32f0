//! Waiting for a stream to become what a change makes of it, and trying again while the service says "not now".
//!
//! Time is tokio's, so that tests can stop it.

use std::fmt;
use std::future::Future;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::types as sdk;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tokio::time::Instant;

use super::change::Changer;
use super::event::{Event, Events};
use super::state::{Status, StreamState, observe, summary};
use crate::context::Context;
use ground::backoff::{self, Backoff, Patience};
use ground::duration;
use ground::error::aws::{self, Class};
use ground::error::{Error, Result};

/// A stream just created may be unknown for this long: descriptions lag behind changes.
const CREATION_LAG: Duration = Duration::from_secs(20);
/// A stream that is ACTIVE and does not show an accepted change after this long never will.
const CHANGE_LAG: Duration = Duration::from_secs(60);
/// How long a throttled call is made again. A rate is over in a second, unless other programs of the account use it up.
const THROTTLE_PATIENCE: Duration = Duration::from_secs(30);
/// How long calls are made again while service or network fail.
const OUTAGE_PATIENCE: Duration = Duration::from_secs(60);
/// Short pauses at first because the local cloud is through in milliseconds, long ones in the end because an account has
/// 20 DescribeStreamSummary calls a second for all of its programs (Kinesis API reference).
pub(super) const BACKOFF: Backoff =
    Backoff::new(Duration::from_millis(10), Duration::from_secs(2)).jitter(0.75, 1.25);

impl Changer<'_> {
    /// Looks until what is waited for is there. In a look, `Err` is the status until then. `what` it is and a `hint` are for
    /// the error at `deadline`.
    ///
    /// # Errors
    /// Exit 1 at `deadline`; errors of a look.
    pub(super) async fn until<T, S: fmt::Display>(
        &self,
        deadline: Instant,
        (what, hint): (String, String),
        look: impl AsyncFn() -> Result<std::result::Result<T, S>>,
    ) -> Result<T> {
        let started = Instant::now();
        let look = &look;
        let judge = || async move {
            Ok(match look().await? {
                Ok(found) => backoff::Look::Done(found),
                Err(status) => backoff::Look::NotYet(status),
            })
        };
        let tell = |status: &S, _| {
            (self.events)(Event::Waiting {
                status: Status::Other(status.to_string()),
                elapsed: started.elapsed(),
            });
            Ok(())
        };
        match backoff::wait_until(BACKOFF, deadline, judge, tell).await? {
            backoff::Look::Done(found) => Ok(found),
            backoff::Look::NotYet(status) => Err(Error::failed(format!(
                "{what} is still {status} after {}",
                duration::measured(started.elapsed())
            ))
            .hint(hint)),
        }
    }
}

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
                "stream {name} accepted the change but does not show the new {what}"
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
    observe(ctx, name).await?.ok_or_else(|| absent(name))
}

/// The error for a stream that is not there.
pub(super) fn absent(name: &str) -> Error {
    Error::failed(format!("there is no stream {name}"))
        .with_code("ResourceNotFoundException")
        .hint("`streamctl list` shows the streams here; `streamctl setup` creates one")
}

/// What a look at the stream says about a wait.
enum Look<T> {
    Done(T),
    NotYet(Status),
    Never(Error),
}

fn judge(name: &str, found: Option<&sdk::StreamDescriptionSummary>) -> Look<()> {
    match found.map(|found| Status::from(&found.stream_status)) {
        None => Look::Never(absent(name)),
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
    let outage = &Outage::default();
    let attempt = || {
        let looking = look();
        async move {
            match looking.await {
                Ok(Look::Done(value)) => Ok(backoff::Look::Done(value)),
                Ok(Look::NotYet(status)) => {
                    outage.is_over();
                    Ok(backoff::Look::NotYet(Ok(status)))
                }
                Err(error) if outage.may_pass(&error) => Ok(backoff::Look::NotYet(Err(error))),
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
            Err(error) => Event::Retrying {
                reason: error.code().map_or_else(|| error.to_string(), str::to_owned),
                after,
            },
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

/// Since when looks fail.
#[derive(Debug, Default)]
struct Outage(Mutex<Option<Instant>>);

impl Outage {
    fn is_over(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whether to look again after `error`.
    fn may_pass(&self, error: &Error) -> bool {
        match error.class() {
            // All programs of the account share the rate of descriptions: a throttled one says nothing.
            Some(Class::Throttle) => true,
            Some(class) if class.is_outage() => {
                let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
                since.get_or_insert_with(Instant::now).elapsed() < OUTAGE_PATIENCE
            }
            _ => false,
        }
    }
}

/// Calls the service until it accepts, refuses, or time is up. `send` must use a client that does not retry, so that the
/// first refusal is returned at once.
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
    let patience = Patience {
        throttle: THROTTLE_PATIENCE,
        outage: OUTAGE_PATIENCE,
        // Another change of the stream, or the creation of others.
        conflict: deadline.saturating_duration_since(started),
    };
    let until = |error: &SdkError<E, HttpResponse>| {
        let until = patience.until(aws::class(error), started)?;
        Some(until.min(deadline))
    };
    let tell = |error: &SdkError<E, HttpResponse>, after: Duration| {
        events(Event::Retrying {
            reason: aws::reason(error),
            after,
        });
        true
    };
    Box::pin(backoff::retry(BACKOFF, send, until, tell)).await
}

#[cfg(test)]
mod tests;
