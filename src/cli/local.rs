//! `streamctl local`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct LocalArgs {}

pub(super) async fn run(_args: LocalArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl local` is not built yet"))
}
