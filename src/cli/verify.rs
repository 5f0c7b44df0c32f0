//! `streamctl verify`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct VerifyArgs {}

pub(super) async fn run(_args: VerifyArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl verify` is not built yet"))
}
