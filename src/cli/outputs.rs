//! `streamctl outputs`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct OutputsArgs {}

pub(super) async fn run(_args: OutputsArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl outputs` is not built yet"))
}
