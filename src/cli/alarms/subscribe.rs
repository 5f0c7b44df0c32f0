//! `streamctl alarms subscribe`.

use clap::Args;

use crate::cli::shared::Session;
use crate::cli::shared::pipeline::{Applied, apply, print_hints};
use domain::observe::alarms::{self, Filter};
use domain::pipeline::resources::Kinds;
use domain::pipeline::{Draft, Request};
use ground::error::Result;
use ground::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct SubscribeArgs {
    /// Address to notify
    #[arg(value_name = "EMAIL")]
    email: String,
    /// Show what would be changed and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(args: &SubscribeArgs, session: &Session) -> Result<Exit> {
    let manifest = alarms::subscription_manifest(&args.email)?;
    let context = session.context_for_change_unless(args.dry_run).await?;
    let kinds = Kinds::new(context).await?;
    let pipeline = Draft::new(manifest, Request::default())?.bind(&kinds)?;
    let Some(Applied { report, .. }) = apply(session, &pipeline, args.dry_run, false).await? else {
        return Ok(Exit::Done);
    };
    print_hints(session, &report);
    if report.exit != Exit::Done {
        return Ok(report.exit);
    }
    let printer = session.printer();
    let verified = pipeline.verify(false).await?;
    let subscription = verified.resources.iter().find(|one| one.kind == "subscription");
    for check in subscription.into_iter().flat_map(|one| &one.checks) {
        if !check.detail.is_empty() {
            printer.note(&check.detail);
        }
    }
    if context.is_local() {
        printer.note(
            "The local cloud sends no email: its log shows what it would send (`streamctl local status`)",
        );
    }
    let ours = Filter {
        only_ours: true,
        ..Filter::default()
    };
    let silent = alarms::list(context, &ours).await?;
    let silent = silent.iter().filter(|alarm| alarm.actions.is_empty()).count();
    if silent > 0 {
        printer.note(&format!(
            "{silent} alarms notify nobody yet: run `streamctl alarms set STREAM` again for what they watch"
        ));
    }
    Ok(Exit::Done)
}
