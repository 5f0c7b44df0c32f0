//! `streamctl plan`.

use clap::Args;

use super::shared::Session;
use super::shared::pipeline::note_cost;
use super::shared::template::{ChoiceArgs, TemplateArgs};
use domain::iam;
use domain::pipeline::resources::Kinds;
use ground::error::Result;
use ground::exit::Exit;

/// Show what setup would change
///
/// Changes nothing. Takes the same arguments as setup.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl plan                       what setup would change
  streamctl plan --shard-count 4       with another shard count
  streamctl plan --check               exit 5 if there are changes
  streamctl plan --iam                 the IAM policy for setup and destroy")]
pub struct PlanArgs {
    #[command(flatten)]
    template: TemplateArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Take over existing resources that this pipeline did not create
    #[arg(long)]
    adopt: bool,
    /// Exit 5 when there are changes
    #[arg(long)]
    check: bool,
    /// Print the least-privilege IAM policy for setup, verify and destroy
    #[arg(long, conflicts_with = "check")]
    iam: bool,
}

pub(super) async fn run(mut args: PlanArgs, session: &Session) -> Result<Exit> {
    args.template.adopt = args.adopt;
    let printer = session.printer();
    let manifest = args.template.manifest(session).await?;
    let draft = args
        .template
        .draft_of(session, manifest.clone(), Some(&args.choice), false)?;
    let kinds = Kinds::new(session.context().await?).await?;
    let pipeline = draft.bind(&kinds)?;
    if args.iam {
        let whole = args
            .template
            .draft_of(session, manifest, Some(&args.choice), true)?;
        let policy = pipeline.operator_policy(&whole.bind(&kinds)?)?;
        printer.document(&policy)?;
        if let Some(size) = iam::beyond_a_managed_policy(&policy) {
            printer.warn(&format!(
                "{size} characters are more than a managed policy may have ({}): use an inline policy of a role, or split \
                 it into two policies",
                iam::LARGEST_MANAGED_POLICY
            ));
        }
        return Ok(Exit::Done);
    }
    let plan = pipeline.plan().await?;
    let report = plan.report(&pipeline);
    printer.report(&report)?;
    plan.check()?;
    note_cost(session, &report);
    if plan.is_empty() {
        printer.note(&format!(
            "Nothing to change: {} is up to date",
            pipeline.identity()
        ));
        return Ok(Exit::Done);
    }
    let (count, them) = match report.changes {
        1 => ("1 change".to_owned(), "it"),
        n => (format!("{n} changes"), "them"),
    };
    let typed = args.template.command_args_with_parameters(session) + &args.choice.typed();
    printer.note(&format!("{count}; `streamctl setup{typed}` makes {them}"));
    Ok(if args.check { Exit::Faults } else { Exit::Done })
}
