//! The process behind the local cloud.

use std::path::Path;

use crate::error::{Error, Result};

/// The endpoint of the running local cloud of `home`, started if it is not running.
///
/// # Errors
/// Exit 4 when it cannot be started.
pub async fn ensure_running(_home: &Path) -> Result<String> {
    Err(Error::unreachable("the local cloud is not built yet"))
}
