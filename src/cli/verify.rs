//! `streamctl verify`.

use clap::Args;

use super::shared::Session;
use super::shared::alarms::say_alarms;
use super::shared::template::TemplateArgs;
use super::shared::verdict::last_hour_of_pipeline;
use crate::ui::apply::ApplyProgress;
use crate::ui::units::counted;
use domain::cost;
use domain::pipeline::CheckState;
use domain::pipeline::follow::AwsServices;
use domain::pipeline::resources::Kinds;
use ground::error::Result;
use ground::exit::Exit;
use ground::stop::Stop;

/// Check that what setup created exists and works
///
/// Puts one record, unless --no-put is given. Where the template has a function, the record is a marked event: verify
/// waits until it is in the table, bucket and log, and deletes it there. Where the template has an API, verify also sends
/// requests to it, and deletes what they made. Exits with 5 when a check finds a fault.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl verify
  streamctl verify --stream orders --no-put
  streamctl verify retail              follow an event through the pipeline
  streamctl verify -o json             for scripts; exit 5 means a fault")]
pub struct VerifyArgs {
    #[command(flatten)]
    template: TemplateArgs,
    /// Do not put a record
    #[arg(long)]
    no_put: bool,
}

pub(super) async fn run(args: VerifyArgs, session: &Session) -> Result<Exit> {
    let printer = session.printer();
    let draft = args.template.draft(session, None, false).await?;
    // Only a run that puts a record changes something.
    let follows = draft.manifest().verify.is_some() && !args.no_put;
    let context = session.context_for_change_unless(!follows).await?;
    let kinds = Kinds::new(context).await?;
    let pipeline = draft.bind(&kinds)?;
    let mut report = if follows {
        let progress = ApplyProgress::new(printer);
        let show = |event| progress.show(&event);
        let stop = Stop::default();
        let services = AwsServices(context);
        let following = pipeline.verify_following(&services, &show, &stop);
        let report = session.run_until_stopped(&stop, following).await;
        progress.finish();
        report?
    } else {
        pipeline.verify(!args.no_put).await?
    };
    for check in report.resources.iter_mut().flat_map(|one| &mut one.checks) {
        check.detail = printer.completed(&check.detail).into_owned();
    }
    printer.report(&report)?;
    say_alarms(session, &pipeline).await;
    if let Some(line) = last_hour_of_pipeline(context, &pipeline).await {
        printer.note(&line);
    }
    let checks = || report.resources.iter().flat_map(|one| &one.checks);
    let cautions = checks()
        .filter(|check| check.state == CheckState::Caution)
        .count();
    let faults = checks().filter(|check| check.state == CheckState::Fault).count();
    if faults == 0 {
        printer.note(&format!(
            "{}: {} checks, no fault{}",
            report.pipeline,
            checks().count(),
            match cautions {
                0 => String::new(),
                n => format!(", {}", counted(n as u64, "caution")),
            }
        ));
        let now = pipeline.cost_change(&pipeline.plan().await?)?.before;
        printer.note(&format!("Cost on AWS: {}", cost::standing(now, context.region())));
        return Ok(Exit::Done);
    }
    let word = if faults == 1 { "fault" } else { "faults" };
    printer.warn(&format!(
        "{}: {faults} {word}; `streamctl setup{}` repairs what is missing or changed",
        report.pipeline,
        args.template.command_args_with_parameters(session)
    ));
    Ok(Exit::Faults)
}
