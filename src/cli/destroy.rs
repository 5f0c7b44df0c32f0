//! `streamctl destroy`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct DestroyArgs {}

pub(super) async fn run(_args: DestroyArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl destroy` is not built yet"))
}
