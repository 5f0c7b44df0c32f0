//! `streamctl list`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct ListArgs {}

pub(super) async fn run(_args: ListArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl list` is not built yet"))
}
