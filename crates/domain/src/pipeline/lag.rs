//! Eventual consistency of services: a resource that was just created may be unknown for some seconds, and a deleted one
//! may still be shown.

use std::time::Duration;

use tokio::time::Instant;

use super::resource::{Observed, Resource};
use ground::backoff::{self, Backoff, Look};
use ground::error::Result;

/// How long a change may be invisible. IAM documents seconds, without a limit.
/// Source: "Changes that I make are not always immediately visible", IAM user guide.
const MAX_LAG: Duration = Duration::from_secs(20);

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Observes `resource` until it exists, at the latest at `deadline`. Returns the last observation.
pub(super) async fn observe_return(resource: &dyn Resource, deadline: Instant) -> Result<Observed> {
    observe_before(resource, true, deadline).await
}

/// Observes `resource` until it exists, or until it no longer does. Returns the last observation, also after the time
/// limit.
pub(super) async fn observe_until(resource: &dyn Resource, present: bool) -> Result<Observed> {
    observe_before(resource, present, Instant::now() + MAX_LAG).await
}

async fn observe_before(resource: &dyn Resource, present: bool, deadline: Instant) -> Result<Observed> {
    let look = || async {
        let observed = resource.observe().await?;
        Ok(match observed.present().is_some() == present {
            true => Look::Done(observed),
            false => Look::NotYet(observed),
        })
    };
    let (Look::Done(observed) | Look::NotYet(observed)) =
        backoff::wait_until(BACKOFF, deadline, look, |_, _| Ok(())).await?;
    Ok(observed)
}
