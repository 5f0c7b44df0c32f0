//! `streamctl describe`.

use clap::Args;

use super::Session;
use crate::error::{Error, Result};
use crate::exit::Exit;

/// Not built yet
#[derive(Debug, Args)]
pub struct DescribeArgs {}

pub(super) async fn run(_args: DescribeArgs, _session: &Session) -> Result<Exit> {
    Err(Error::failed("`streamctl describe` is not built yet"))
}
