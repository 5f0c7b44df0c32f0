//! `streamctl metrics`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct MetricsArgs {}

pub(super) async fn run(_args: MetricsArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl metrics` is not built yet"))
}
