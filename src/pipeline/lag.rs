//! Services show a change some time after they have accepted it (eventual consistency): what was just made may be
//! unknown for some seconds, and what was just deleted may still be shown.

use std::time::Duration;

use tokio::time::Instant;

use super::resource::{Observed, Resource};
use ground::backoff::{self, Backoff, Look};
use ground::error::Result;

/// How long a change may stay unseen. IAM says seconds, and gives no bound.
/// Source: "Changes that I make are not always immediately visible", IAM user guide.
const LONGEST: Duration = Duration::from_secs(20);

const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Looks at `resource` until it is there, or until it is not; what the last look saw, which may be neither in the end.
pub(super) async fn observe_until(resource: &dyn Resource, present: bool) -> Result<Observed> {
    let look = || async {
        let observed = resource.observe().await?;
        Ok(match observed.present().is_some() == present {
            true => Look::Done(observed),
            false => Look::NotYet(observed),
        })
    };
    let deadline = Instant::now() + LONGEST;
    let (Look::Done(observed) | Look::NotYet(observed)) =
        backoff::wait_until(BACKOFF, deadline, look, |_, _| Ok(())).await?;
    Ok(observed)
}
