//! `streamctl delete`.

use clap::Args;
use serde::Serialize;

use super::shared::change::{to_change, watched};
use super::shared::{Session, StreamArg};
use crate::ui::{Format, Report, Style, lines, table, visible};
use domain::observe::dependents::{self, Dependent};
use domain::pipeline::source::selected_by;
use domain::pipeline::tags::PIPELINE;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Delete a stream and its records
///
/// First shows what depends on the stream: consumers, functions that read it and their roles, Firehose streams, alarms,
/// and the policy that shares it. None of them is deleted, except consumers with --force. Waits until the stream is
/// gone.
#[derive(Debug, Args)]
#[command(alias = "rm")]
#[command(after_help = "\
Examples:
  streamctl delete orders              show what depends on it, ask, delete, wait
  streamctl delete orders --dry-run    only show
  streamctl delete orders --force      together with its registered consumers
  streamctl delete orders --yes        without a question")]
pub struct DeleteArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Also delete the registered consumers of the stream
    #[arg(long)]
    force: bool,
    /// Only show what depends on the stream
    #[arg(long)]
    dry_run: bool,
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

/// A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct DeleteReport {
    stream: String,
    arn: String,
    /// Whether it is gone; false for a dry run.
    deleted: bool,
    dependents: Vec<Dependent>,
}

impl Report for DeleteReport {
    fn table(&self, _style: &Style) -> String {
        if self.dependents.is_empty() {
            return String::new();
        }
        let mut table = table(["DEPENDS ON IT", "NAME"]);
        for dependent in &self.dependents {
            table.add_row([dependent.kind.to_owned(), visible(&dependent.name)]);
        }
        table.trim_fmt()
    }

    fn text(&self) -> String {
        lines(
            self.dependents
                .iter()
                .map(|dependent| [dependent.kind.to_owned(), visible(&dependent.name)]),
        )
    }
}

pub(super) async fn run(args: DeleteArgs, session: &Session) -> Result<Exit> {
    let stream = args.stream.choose(session)?;
    let name = stream.name.clone();
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let state = to_change(context, &stream).await?;
    let dependents = dependents::of_stream(context, &state).await;
    for unknown in &dependents.unknown {
        printer.warn(unknown);
    }
    if let Some(pipeline) = state.tags.get(PIPELINE) {
        printer.warn(&format!(
            "stream {name} belongs to the pipeline {pipeline}, which `streamctl destroy{}` deletes as a whole",
            selected_by(pipeline).unwrap_or_else(|| " -f FILE".to_owned())
        ));
    }
    let has_consumers = dependents.found.iter().any(|one| one.kind == "consumer");
    let mut report = DeleteReport {
        stream: name.clone(),
        arn: state.arn.clone(),
        deleted: false,
        dependents: dependents.found,
    };
    // People see it before they are asked. A document says whether the stream is gone.
    let is_document = matches!(printer.format(), Format::Json | Format::Yaml);
    if args.dry_run || !is_document {
        printer.report(&report)?;
    }
    if args.dry_run {
        printer.note("Dry run: nothing was deleted");
        return Ok(Exit::Done);
    }
    if has_consumers && !args.force {
        return Err(Error::failed(format!("stream {name} has registered consumers"))
            .hint("add --force to delete them with the stream"));
    }
    let action = format!("delete stream {name} and all its records");
    session.confirm_by_name(&action, &name, args.yes).await?;
    watched(session, &name, async |changer| changer.delete(args.force).await).await?;
    report.deleted = true;
    if is_document {
        printer.report(&report)?;
    }
    printer.note(&format!("Stream {name} is deleted"));
    Ok(Exit::Done)
}
