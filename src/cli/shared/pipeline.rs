//! Applying and deleting a pipeline: plan, confirmation, progress and report.

use super::Session;
use crate::ui::Printer;
use crate::ui::apply::ApplyProgress;
use domain::cost::Money;
use domain::pipeline::Pipeline;
use domain::pipeline::apply::RunReport;
use domain::pipeline::destroy::Survey;
use domain::pipeline::event::ResourceResult;
use domain::pipeline::plan::PlanReport;
use ground::error::Result;
use ground::exit::Exit;
use ground::stop::Stop;

/// What [`apply`] did.
pub(crate) struct Applied {
    pub(crate) report: RunReport,
    /// What a month costs without traffic; `None` if a price is not known.
    pub(crate) standing_cost: Option<Money>,
}

/// Plans and applies `pipeline` with progress, and prints the report. A dry run prints the plan and returns `None`.
pub(crate) async fn apply(
    session: &Session,
    pipeline: &Pipeline<'_>,
    dry_run: bool,
    yes: bool,
) -> Result<Option<Applied>> {
    let printer = session.printer();
    let plan = pipeline.plan().await?;
    if dry_run {
        let report = plan.report(pipeline);
        printer.report(&report)?;
        plan.check()?;
        note_cost(session, &report);
        printer.note("Dry run: nothing was changed");
        return Ok(None);
    }
    plan.check()?;
    let standing_cost = pipeline.cost_change(&plan)?.after;
    let losses = plan.losses();
    if !losses.is_empty() {
        losses.iter().for_each(|loss| printer.warn(loss));
        session
            .confirm_by_name("lose data permanently", &pipeline.identity().to_string(), yes)
            .await?;
    }
    let progress = ApplyProgress::new(printer);
    let show = |event| progress.show(&event);
    let stop = Stop::default();
    let report = session
        .run_until_stopped(&stop, pipeline.apply(plan, &show, &stop))
        .await;
    progress.finish();
    let report = report?;
    printer.report(&report)?;
    Ok(Some(Applied {
        report,
        standing_cost,
    }))
}

/// Says what the changes of a plan cost. Nothing is said of changes that cost nothing.
pub(crate) fn note_cost(session: &Session, report: &PlanReport) {
    if let Some(cost) = report
        .cost
        .filter(|cost| cost.before.is_none() || cost.before != cost.after)
    {
        session
            .printer()
            .note(&format!("Cost on AWS without traffic: {cost}"));
    }
}

/// Deletes the resources of `pipeline` that exist, with confirmation, progress and report. Messages call the pipeline
/// `identity`; the user types `confirm`.
pub(crate) async fn delete(
    session: &Session,
    pipeline: &Pipeline<'_>,
    (identity, confirm): (&str, &str),
    dry_run: bool,
    yes: bool,
) -> Result<Exit> {
    let printer = session.printer();
    let survey = pipeline.survey().await?;
    warn_of_what_stays(printer, &survey);
    if dry_run {
        printer.report(&survey.report(pipeline))?;
        printer.note("Dry run: nothing was deleted");
        return Ok(Exit::Done);
    }
    if survey.is_empty() {
        printer.note(&match survey.kept().is_empty() {
            true => format!("Nothing to delete: {identity} has no resources"),
            false => format!("Nothing to delete: all resources of {identity} are kept"),
        });
        let report = pipeline.destroy(survey, &|_| {}, &Stop::default()).await;
        printer.report(&report)?;
        print_hints(session, &report);
        return Ok(report.exit);
    }
    let to_delete = survey.to_delete();
    printer.note(&format!("To be deleted:\n  {}", to_delete.join("\n  ")));
    let action = match to_delete.as_slice() {
        [one] => format!("delete {one}"),
        many => format!("delete {} resources and all their data", many.len()),
    };
    session.confirm_by_name(&action, confirm, yes).await?;
    let progress = ApplyProgress::new(printer);
    let show = |event| progress.show(&event);
    let stop = Stop::default();
    let report = session
        .run_until_stopped(&stop, pipeline.destroy(survey, &show, &stop))
        .await;
    progress.finish();
    printer.report(&report)?;
    print_hints(session, &report);
    match report.exit {
        Exit::Partial if is_all_but_kept(&report) => {
            printer.warn(&format!(
                "all resources of {identity} are deleted, except those that are kept"
            ));
        }
        Exit::Done => printer.note(&format!("All resources of {identity} are deleted")),
        Exit::Interrupted => printer.note("Stopped. Run the same command again to continue"),
        _ => printer.warn(&format!(
            "some resources of {identity} are left; the table names them"
        )),
    }
    Ok(report.exit)
}

/// Whether what is left was kept on purpose.
fn is_all_but_kept(report: &RunReport) -> bool {
    report.resources.iter().all(|one| {
        matches!(
            one.result,
            ResourceResult::Deleted | ResourceResult::Absent | ResourceResult::Kept
        )
    })
}

fn warn_of_what_stays(printer: &Printer, survey: &Survey<'_>) {
    for kept in survey.kept() {
        printer.warn(&format!("{kept}: it is kept"));
    }
    for dependent in survey.dependents() {
        printer.warn(&dependent);
    }
}

/// Prints each hint of the failed resources once.
pub(crate) fn print_hints(session: &Session, report: &RunReport) {
    let mut said: Vec<&str> = Vec::new();
    for hint in report.resources.iter().filter_map(|one| one.hint.as_deref()) {
        if !said.contains(&hint) && report.exit != Exit::Interrupted {
            session.printer().note(&format!("hint: {hint}"));
            said.push(hint);
        }
    }
}
