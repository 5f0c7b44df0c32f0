//! `streamctl destroy`.

use clap::Args;

use super::shared::Session;
use super::shared::pipeline::delete;
use super::shared::template::TemplateArgs;
use domain::pipeline::resources::Kinds;
use ground::error::Result;
use ground::exit::Exit;

/// Delete what setup created, and check that nothing is left
///
/// Works from any machine and after a crash: the resources of the pipeline are found by their names and tags. A
/// resource that this pipeline did not create is kept, unless --adopt is given. A role that other functions use is kept
/// too. If something is kept, the exit code is 3.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl destroy                    list, confirm, delete, check
  streamctl destroy --stream orders --yes
  streamctl destroy --dry-run          only list what would be deleted")]
pub struct DestroyArgs {
    #[command(flatten)]
    template: TemplateArgs,
    /// Also delete resources that this pipeline did not create
    #[arg(long)]
    adopt: bool,
    /// Only list what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(mut args: DestroyArgs, session: &Session) -> Result<Exit> {
    args.template.adopt = args.adopt;
    let draft = args.template.draft(session, None, true).await?;
    let context = session.context_for_change_unless(args.dry_run).await?;
    let kinds = Kinds::new(context).await?;
    let pipeline = draft.bind(&kinds)?;
    let name = pipeline.identity().to_string();
    delete(session, &pipeline, (&name, &name), args.dry_run, args.yes).await
}
