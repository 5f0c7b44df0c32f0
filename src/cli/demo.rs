//! `streamctl demo`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct DemoArgs {}

pub(super) async fn run(_args: DemoArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl demo` is not built yet"))
}
