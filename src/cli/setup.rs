//! `streamctl setup`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct SetupArgs {}

pub(super) async fn run(_args: SetupArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl setup` is not built yet"))
}
