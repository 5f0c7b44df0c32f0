//! `streamctl tail`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct TailArgs {}

pub(super) async fn run(_args: TailArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl tail` is not built yet"))
}
