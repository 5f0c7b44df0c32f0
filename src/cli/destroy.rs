//! `streamctl destroy`.

use clap::Args;

use super::Session;
use super::setup::say_hints;
use super::template::{TemplateArgs, stoppable};
use crate::pipeline::Pipeline;
use crate::pipeline::destroy::Survey;
use crate::pipeline::resources::Kinds;
use crate::ui::Printer;
use crate::ui::apply::ApplyProgress;
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// Delete what setup made, and check that nothing is left
///
/// Works from any machine and after a crash: what belongs to the pipeline is found by its name and its tags. What was
/// not made by this pipeline is kept, unless --adopt is given.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl destroy                    list what goes, ask, delete, check
  streamctl destroy --stream orders --yes
  streamctl destroy --dry-run          only list what would go")]
pub struct DestroyArgs {
    #[command(flatten)]
    template: TemplateArgs,
    /// Only list what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(args: DestroyArgs, session: &Session) -> Result<Exit> {
    let draft = args.template.draft(session, None, true)?;
    let context = if args.dry_run {
        session.context().await?
    } else {
        session.context_for_change().await?
    };
    let kinds = Kinds::new(context).await?;
    let pipeline = draft.bind(&kinds)?;
    let name = pipeline.identity().to_string();
    let confirm = pipeline.identity().instance().to_owned();
    delete(session, &pipeline, (&name, &confirm), args.dry_run, args.yes).await
}

/// Deletes what is there of `pipeline`, with a question, progress and a report. Messages call it `identity`; `confirm`
/// is what the user types.
pub(super) async fn delete(
    session: &Session,
    pipeline: &Pipeline<'_>,
    (identity, confirm): (&str, &str),
    dry_run: bool,
    yes: bool,
) -> Result<Exit> {
    let printer = session.printer();
    let survey = pipeline.survey().await?;
    say_what_stays(printer, &survey);
    if dry_run {
        printer.report(&survey.report(pipeline))?;
        printer.note("Dry run: nothing was deleted");
        return Ok(Exit::Done);
    }
    if survey.is_empty() {
        if !survey.kept().is_empty() {
            return Err(
                Error::failed(format!("nothing of {identity} is streamctl's to delete"))
                    .hint("add --adopt to delete it all the same"),
            );
        }
        printer.note(&format!("Nothing to delete: nothing of {identity} is there"));
        printer.report(&pipeline.destroy(survey, &|_| {}, &Stop::default()).await)?;
        return Ok(Exit::Done);
    }
    let doomed = survey.doomed();
    printer.note(&format!("To be deleted:\n  {}", doomed.join("\n  ")));
    let action = match doomed.as_slice() {
        [one] => format!("delete {one}"),
        many => format!("delete {} resources and all their data", many.len()),
    };
    session.confirm_by_name(&action, confirm, yes).await?;
    let kept = !survey.kept().is_empty();
    let progress = ApplyProgress::new(printer);
    let show = |event| progress.show(&event);
    let stop = Stop::default();
    let report = stoppable(session, &stop, pipeline.destroy(survey, &show, &stop)).await;
    printer.report(&report)?;
    say_hints(session, &report);
    match report.exit {
        Exit::Done if kept => printer.note(&format!("Nothing of {identity} is left but what is kept")),
        Exit::Done => printer.note(&format!("Nothing of {identity} is left")),
        Exit::Interrupted => printer.note("Stopped; the same command goes on from here"),
        _ => printer.warn(&format!(
            "not everything of {identity} is gone; the table names what is left"
        )),
    }
    Ok(report.exit)
}

fn say_what_stays(printer: &Printer, survey: &Survey<'_>) {
    for kept in survey.kept() {
        printer.warn(&format!("{kept}: it is kept"));
    }
    for dependent in survey.dependents() {
        printer.warn(&dependent);
    }
}
