//! `streamctl alarms delete`.

use clap::Args;

use crate::cli::shared::Session;
use crate::ui::units::counted;
use domain::observe::alarms::{self, AlarmEntry, Filter};
use ground::error::{Error, Result};
use ground::exit::Exit;

#[derive(Debug, Args)]
pub(super) struct DeleteArgs {
    /// Names of alarms
    #[arg(value_name = "NAME", required_unless_present = "set")]
    names: Vec<String>,
    /// All alarms that `alarms set` made for this stream, function or pipeline
    #[arg(long, value_name = "NAME", conflicts_with = "names")]
    set: Option<String>,
    /// Show what would be deleted and delete nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(args: &DeleteArgs, session: &Session) -> Result<Exit> {
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let all = alarms::list(context, &Filter::default()).await?;
    let chosen: Vec<AlarmEntry> = match &args.set {
        Some(set) => all.into_iter().filter(|alarm| alarm.is_of_set(set)).collect(),
        None => named(&args.names, &all)?,
    };
    if chosen.is_empty() {
        printer.note("Nothing to delete: there is no such alarm");
        return Ok(Exit::Done);
    }
    alarms::check_deletion(&chosen)?;
    let names: Vec<&str> = chosen.iter().map(|alarm| alarm.name.as_str()).collect();
    printer.note(&format!("To be deleted:\n  {}", names.join("\n  ")));
    if args.dry_run {
        printer.note("Dry run: nothing was deleted");
        return Ok(Exit::Done);
    }
    let count = counted(names.len() as u64, "alarm");
    let confirm = args.set.as_deref().unwrap_or(names[0]);
    session
        .confirm_by_name(&format!("delete {count}"), confirm, args.yes)
        .await?;
    alarms::delete(context, &chosen).await?;
    printer.note(&format!("Deleted {count}"));
    Ok(Exit::Done)
}

/// The alarms `names` of `all`.
///
/// # Errors
/// Exit 1 naming one that does not exist.
fn named(names: &[String], all: &[AlarmEntry]) -> Result<Vec<AlarmEntry>> {
    let find = |name: &String| {
        let found = all.iter().find(|alarm| alarm.name == *name).cloned();
        found.ok_or_else(|| {
            Error::failed(format!("there is no alarm {name}"))
                .hint("list the alarms with `streamctl alarms list`")
        })
    };
    names.iter().map(find).collect()
}
