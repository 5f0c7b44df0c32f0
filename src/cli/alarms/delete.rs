//! `streamctl alarms delete`.

use clap::Args;
use serde::Serialize;

use crate::cli::shared::Session;
use crate::ui::units::counted;
use crate::ui::{Report, Style, lines, visible};
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

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "DeletedAlarms"))]
pub(in crate::cli) struct Deleted {
    /// Whether they are gone; false for a dry run, and if there are none.
    deleted: bool,
    /// Names of the alarms.
    alarms: Vec<String>,
}

impl Report for Deleted {
    // For people, a note on stderr says it before they are asked.
    fn table(&self, _style: &Style) -> String {
        String::new()
    }

    fn text(&self) -> String {
        lines(self.alarms.iter().map(|name| [visible(name)]))
    }
}

pub(super) async fn run(args: &DeleteArgs, session: &Session) -> Result<Exit> {
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let all = alarms::list(context, &Filter::default()).await?;
    let chosen: Vec<AlarmEntry> = match &args.set {
        Some(set) => all.into_iter().filter(|alarm| alarm.is_of_set(set)).collect(),
        None => named(&args.names, &all)?,
    };
    let mut report = Deleted {
        deleted: false,
        alarms: chosen.iter().map(|alarm| alarm.name.clone()).collect(),
    };
    if chosen.is_empty() {
        printer.note("Nothing to delete: there is no such alarm");
        printer.report(&report)?;
        return Ok(Exit::Done);
    }
    alarms::check_deletion(&chosen)?;
    printer.note(&format!("To be deleted:\n  {}", report.alarms.join("\n  ")));
    if args.dry_run {
        printer.report(&report)?;
        printer.note("Dry run: nothing was deleted");
        return Ok(Exit::Done);
    }
    let count = counted(chosen.len() as u64, "alarm");
    let confirm = args.set.as_deref().unwrap_or(&report.alarms[0]);
    session
        .confirm_by_name(&format!("delete {count}"), confirm, args.yes)
        .await?;
    alarms::delete(context, &chosen).await?;
    report.deleted = true;
    printer.note(&format!("Deleted {count}"));
    printer.report(&report)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_reads_what_was_deleted() {
        let alarms = ["orders-late", "orders-throttled"].map(str::to_owned).to_vec();
        let report = Deleted {
            deleted: true,
            alarms,
        };
        assert_eq!(report.table(&Style::plain()), "");
        assert_eq!(report.text(), "orders-late\norders-throttled");
        insta::assert_snapshot!(
            serde_json::to_string(&report).unwrap(),
            @r#"{"deleted":true,"alarms":["orders-late","orders-throttled"]}"#
        );
    }
}
