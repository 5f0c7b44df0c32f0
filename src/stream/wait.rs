//! Waiting for a stream to become what a change makes of it.

use tokio::time::Instant;

use super::event::Events;
use super::state::StreamState;
use crate::context::Context;
use crate::error::{Error, Result};

/// Waits until stream `name` is ACTIVE, at the latest until `deadline`.
///
/// # Errors
/// Exit 1 when it does not exist, is being deleted, or is not ACTIVE by then.
pub async fn wait_until_active(
    _ctx: &Context,
    name: &str,
    _deadline: Instant,
    _events: Events<'_>,
) -> Result<StreamState> {
    Err(Error::failed(name))
}

/// Waits until there is no stream `name`, at the latest until `deadline`.
///
/// # Errors
/// Exit 1 when it still exists by then.
pub async fn wait_until_gone(
    _ctx: &Context,
    name: &str,
    _deadline: Instant,
    _events: Events<'_>,
) -> Result<()> {
    Err(Error::failed(name))
}
