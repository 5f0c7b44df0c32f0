//! `streamctl encrypt`.

use clap::Args;

use super::shared::change::{ChangeArgs, Consequences, change};
use super::shared::{Session, StreamArg};
use domain::context::Context;
use domain::policy::is_aws_managed;
use domain::policy::key_access::{KeyAccess, Reader, readers};
use domain::stream::change::AWS_MANAGED_KEY;
use domain::stream::{Desired, StreamState, keys};
use ground::error::Result;
use ground::exit::Exit;

/// Encrypt a stream with a KMS key, or turn encryption off
///
/// Applies to records that are put from then on. With a key of your own, producers need kms:GenerateDataKey and
/// consumers kms:Decrypt on it: streamctl checks that the key can be used, and whether the functions that read the
/// stream may decrypt with it. If one may not, it asks first. Kinesis allows 25 changes of the key in 24 hours.
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
    change(
        session,
        &stream,
        &desired,
        args.change,
        async |context, state, _| match args.key == "none" || is_aws_managed(&args.key) {
            true => Ok(Consequences::default()),
            false => consequences(context, state, &args.key).await,
        },
    )
    .await
}

/// Who needs the key, and which of the functions that read the stream may not use it.
///
/// # Errors
/// When Kinesis cannot use the key.
async fn consequences(context: &Context, state: &StreamState, key: &str) -> Result<Consequences> {
    let name = &state.name;
    let mut found = Consequences::default();
    found.notes.push(format!(
        "Producers of {name} need kms:GenerateDataKey on the key, consumers kms:Decrypt. AWS does not know who they are: \
         `streamctl policy simulate {name} --for producer --encrypted KEY --as role/NAME` checks one"
    ));
    let key_arn = match keys::check(context, key).await? {
        keys::Checked::Usable(arn) => arn,
        keys::Checked::Unknown(why) => {
            found
                .notes
                .push(format!("It is not known whether the key can be used: {why}"));
            return Ok(found);
        }
    };
    match readers(context, &state.arn, &key_arn).await {
        Ok(readers) => readers.into_iter().for_each(|reader| add(&mut found, reader)),
        Err(error) => found.notes.push(format!(
            "It is not known whether functions that read {name} may decrypt: {}",
            error.chain().join(": ")
        )),
    }
    Ok(found)
}

fn add(found: &mut Consequences, reader: Reader) {
    let function = reader.function;
    match reader.access {
        KeyAccess::Allowed => found
            .notes
            .push(format!("Function {function} may decrypt with the key")),
        KeyAccess::Denied(why) => found
            .losses
            .push(format!("function {function} cannot read new records: {why}")),
        KeyAccess::Unknown(why) => found.notes.push(format!(
            "It is not known whether function {function} may decrypt: {why}"
        )),
    }
}
