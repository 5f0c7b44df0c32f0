//! A change of the settings of one stream: observed, shown, confirmed, made with progress, and reported.

use std::sync::{Mutex, PoisonError};

use clap::Args;
use serde::Serialize;

use super::Session;
use super::stream::ChosenStream;
use crate::ui::{Report, Style, lines, or_dash, table, visible};
use domain::context::Context;
use domain::pipeline::tags::MANAGED_BY;
use domain::stream::{self, Changer, Desired, Difference, Event, StreamState};
use ground::error::{Error, Result};
use ground::exit::Exit;

/// What every command that changes a stream takes.
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct ChangeArgs {
    /// Show what would be changed and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// Do not ask before a change that loses data
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// A change of a stream; its JSON form is a contract with scripts.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeReport {
    stream: String,
    arn: String,
    /// Whether the changes were made; false for a dry run.
    changed: bool,
    /// What was not as asked for; empty if nothing had to change.
    changes: Vec<Difference>,
}

impl ChangeReport {
    pub(crate) fn new(stream: &str, arn: &str, changed: bool, changes: Vec<Difference>) -> Self {
        Self {
            stream: stream.to_owned(),
            arn: arn.to_owned(),
            changed,
            changes,
        }
    }
}

impl Report for ChangeReport {
    fn table(&self, _style: &Style) -> String {
        if self.changes.is_empty() {
            return String::new();
        }
        let mut table = table(["SETTING", "FROM", "TO"]);
        for change in &self.changes {
            let word = |value: &Option<String>| visible(&or_dash(value.as_ref()));
            table.add_row([visible(&change.setting), word(&change.from), word(&change.to)]);
        }
        table.trim_fmt()
    }

    fn text(&self) -> String {
        lines(self.changes.iter().map(|change| {
            let word = |value: &Option<String>| visible(&or_dash(value.as_ref()));
            [visible(&change.setting), word(&change.from), word(&change.to)]
        }))
    }
}

/// Makes `stream` as `desired`. `notes` are said of the differences before anything is changed.
pub(crate) async fn change(
    session: &Session,
    stream: &ChosenStream,
    desired: &Desired,
    args: ChangeArgs,
    notes: impl Fn(&Context, &StreamState, &[Difference]) -> Vec<String>,
) -> Result<Exit> {
    desired.check()?;
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let name = stream.name.as_str();
    let state = to_change(context, stream).await?;
    let changes = desired.differences(&state)?;
    if changes.is_empty() {
        printer.note(&format!("Nothing to change: stream {name} is as asked for"));
    }
    notes(context, &state, &changes)
        .iter()
        .for_each(|note| printer.note(note));
    let report = |changed, changes| ChangeReport::new(name, &state.arn, changed, changes);
    if args.dry_run || changes.is_empty() {
        printer.report(&report(false, changes))?;
        if args.dry_run {
            printer.note("Dry run: nothing was changed");
        }
        return Ok(Exit::Done);
    }
    confirm_losses(session, name, &changes, args.yes).await?;
    watched(session, name, async |changer| changer.make(desired).await).await?;
    printer.report(&report(true, changes))?;
    Ok(Exit::Done)
}

/// The stream `name`.
///
/// # Errors
/// Exit 1 if it does not exist.
pub(crate) async fn existing(context: &Context, name: &str) -> Result<StreamState> {
    match stream::observe(context, name).await? {
        Some(state) => Ok(state),
        None => Err(stream::not_found(context, name).await),
    }
}

/// The stream to change. One that streamctl did not create must be chosen by the user.
///
/// # Errors
/// Exit 1 if it does not exist, exit 2 if it is not chosen.
pub(crate) async fn to_change(context: &Context, stream: &ChosenStream) -> Result<StreamState> {
    let state = existing(context, &stream.name).await?;
    if stream.is_chosen || state.tags.contains_key(MANAGED_BY) {
        return Ok(state);
    }
    let text = format!(
        "stream {} was not created by streamctl, and the command does not name it",
        stream.name
    );
    Err(Error::usage(text).hint("name the stream that you mean"))
}

/// Names what `changes` lose, and asks the user to type the stream's name.
async fn confirm_losses(session: &Session, name: &str, changes: &[Difference], yes: bool) -> Result<()> {
    let losses: Vec<&str> = changes
        .iter()
        .filter_map(|change| change.loses.as_deref())
        .collect();
    if losses.is_empty() {
        return Ok(());
    }
    for loss in losses {
        session.printer().warn(&format!("stream {name}: {loss}"));
    }
    session.confirm_by_name("lose data for good", name, yes).await
}

/// Makes a change of stream `name` with a line of progress. Ctrl-C stops waiting; a change that Kinesis has accepted
/// continues.
///
/// # Errors
/// Those of the change; exit 130 after Ctrl-C.
pub(crate) async fn watched<T>(
    session: &Session,
    name: &str,
    work: impl AsyncFnOnce(Changer<'_>) -> Result<T>,
) -> Result<T> {
    let step = session.printer().progress().step(format!("stream {name}"));
    // What is waited for stays in sight.
    let current = Mutex::new(String::new());
    let tell = |event: Event| {
        let text = event.to_string();
        let mut current = current.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Step { .. } | Event::Resharding { .. } => current.clone_from(&text),
            Event::Waiting { .. } | Event::Retrying { .. } => {
                if !current.is_empty() {
                    return step.message(format!("{current}: {text}"));
                }
            }
        }
        step.message(text);
    };
    let changer = Changer::new(session.context().await?, name, &tell);
    let outcome = tokio::select! {
        outcome = work(changer) => outcome,
        () = session.interrupt().wait() => Err(Error::new(Exit::Interrupted, "stopped waiting")
            .cause(format!("a change that Kinesis has accepted for stream {name} continues there"))
            .hint(format!("see how far it is with `streamctl describe {name}`"))),
    };
    step.clear();
    outcome
}
