//! `streamctl put`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct PutArgs {}

pub(super) async fn run(_args: PutArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl put` is not built yet"))
}
