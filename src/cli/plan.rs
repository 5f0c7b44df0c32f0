//! `streamctl plan`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct PlanArgs {}

pub(super) async fn run(_args: PlanArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl plan` is not built yet"))
}
