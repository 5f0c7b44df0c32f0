//! `streamctl undeploy`.

use clap::Args;
use clap_complete::ArgValueCompleter;

use super::shared::Session;
use super::shared::candidates::handlers;
use super::shared::function::{OWN, name_own};
use super::shared::pipeline::delete;
use super::shared::template::PartArgs;
use domain::functions::bundle;
use domain::pipeline::resources::Kinds;
use domain::pipeline::{Draft, FunctionPart};
use ground::error::Result;
use ground::exit::Exit;

/// Delete a function, its role, log group and mappings
///
/// Data is kept: only `destroy` deletes streams, tables, buckets and queues. A resource that streamctl did not create for
/// this function is kept, unless --adopt is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl undeploy retail-processor          list, confirm, delete, check
  streamctl undeploy scorer --yes              a function of your own
  streamctl undeploy scorer --dry-run          only list what would be deleted")]
pub struct UndeployArgs {
    /// A bundled handler, or the name of a function of your own
    #[arg(value_name = "HANDLER|NAME", add = ArgValueCompleter::new(handlers))]
    name: String,
    #[command(flatten)]
    part: PartArgs,
    /// Also delete resources that streamctl did not create for this function
    #[arg(long)]
    adopt: bool,
    /// Only list what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(mut args: UndeployArgs, session: &Session) -> Result<Exit> {
    args.part.adopt = args.adopt;
    let draft = match bundle::find(&args.name) {
        Ok(handler) => {
            let (manifest, mut request) = args.part.request(session, handler.template, true)?;
            request.only = Some(FunctionPart::of(&manifest, handler.name)?.ids());
            Draft::new(manifest, request)?
        }
        Err(_) => {
            let (manifest, mut request) = args.part.request(session, OWN, true)?;
            name_own(&mut request, &args.name)?;
            Draft::new(manifest, request)?
        }
    };
    let context = session.context_for_change_unless(args.dry_run).await?;
    let kinds = Kinds::new(context).await?;
    let pipeline = draft.bind(&kinds)?;
    let name = format!("the function of {}", args.name);
    delete(session, &pipeline, (&name, &args.name), args.dry_run, args.yes).await
}
