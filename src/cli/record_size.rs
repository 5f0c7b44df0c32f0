//! `streamctl record-size`.

use clap::Args;

use super::shared::change::{ChangeArgs, change, no_more};
use super::shared::size::record_size;
use super::shared::{Session, StreamArg};
use domain::stream::Desired;
use ground::error::Result;
use ground::exit::Exit;

/// Set the size of the largest record that a stream takes
///
/// 1 MiB to 10 MiB. Lambda and other consumers must be able to take records of that size.
#[derive(Debug, Args)]
#[command(allow_missing_positional = true)]
#[command(after_help = "\
Examples:
  streamctl record-size 10MiB         the default stream
  streamctl record-size orders 2048   in KiB")]
pub struct RecordSizeArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// The size, such as 2MiB or 1536KiB; a bare number is in KiB
    #[arg(value_name = "SIZE", value_parser = record_size)]
    size: u32,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: RecordSizeArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.choose(session)?;
    let desired = Desired {
        max_record_size_kib: Some(args.size),
        ..Desired::default()
    };
    change(session, &stream, &desired, args.change, no_more).await
}
