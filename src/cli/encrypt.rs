//! `streamctl encrypt`.

use clap::Args;

use super::shared::change::{ChangeArgs, change};
use super::shared::{Session, StreamArg};
use domain::stream::Desired;
use domain::stream::change::AWS_MANAGED_KEY;
use ground::error::Result;
use ground::exit::Exit;

/// Encrypt a stream with a KMS key, or turn encryption off
///
/// Applies to records that are put from then on. With a key of your own, producers need kms:GenerateDataKey and consumers
/// kms:Decrypt on it. Kinesis takes 25 changes of the key in 24 hours.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl encrypt                             the default stream, with the key that AWS manages
  streamctl encrypt orders --key alias/orders   with a key of your own
  streamctl encrypt orders --key none           no encryption at rest")]
pub struct EncryptArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// KMS key: alias, id or ARN; none turns encryption off
    #[arg(long, value_name = "KEY", default_value = AWS_MANAGED_KEY)]
    key: String,
    #[command(flatten)]
    change: ChangeArgs,
}

pub(super) async fn run(args: EncryptArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.choose(session)?;
    let desired = Desired {
        encryption: Some((args.key != "none").then(|| args.key.clone())),
        ..Desired::default()
    };
    change(session, &stream, &desired, args.change, |_, state, changes| {
        let own = args.key != "none" && args.key != AWS_MANAGED_KEY;
        let note = format!(
            "Producers of {} need kms:GenerateDataKey on {}, consumers kms:Decrypt",
            state.name, args.key
        );
        (own && !changes.is_empty()).then_some(note).into_iter().collect()
    })
    .await
}
