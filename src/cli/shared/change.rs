//! A change of the settings of one stream: observed, shown, confirmed, made with progress, and reported.

use std::sync::{Mutex, PoisonError};

use clap::Args;
use serde::Serialize;

use super::Session;
use super::stream::ChosenStream;
use crate::ui::{Report, Style, lines, or_dash, table, visible, wrap};
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

/// A change of a stream. A contract with scripts.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
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

/// What a change means, besides what its differences say.
#[derive(Debug, Default)]
pub(crate) struct Consequences {
    /// Said before the change is made.
    pub(crate) notes: Vec<String>,
    /// What would be lost: asked about first.
    pub(crate) losses: Vec<String>,
}

impl From<Vec<String>> for Consequences {
    fn from(notes: Vec<String>) -> Self {
        Self {
            notes,
            ..Self::default()
        }
    }
}

/// The consequences of a change that says all in its differences.
pub(crate) async fn no_more(_: &Context, _: &StreamState, _: &[Difference]) -> Result<Consequences> {
    Ok(Consequences::default())
}

/// Makes `stream` as `desired`. `consequences` finds out what the differences mean before anything is changed; its error ends
/// the command.
pub(crate) async fn change(
    session: &Session,
    stream: &ChosenStream,
    desired: &Desired,
    args: ChangeArgs,
    consequences: impl AsyncFn(&Context, &StreamState, &[Difference]) -> Result<Consequences>,
) -> Result<Exit> {
    desired.check()?;
    let printer = session.printer();
    let context = session.context_for_change_unless(args.dry_run).await?;
    let name = stream.name.as_str();
    let state = to_change(context, stream).await?;
    let changes = desired.differences(&state)?;
    if changes.is_empty() {
        printer.note(&format!(
            "Nothing to change: stream {name} has these settings already"
        ));
    }
    let meant = match changes.is_empty() {
        true => Consequences::default(),
        false => consequences(context, &state, &changes).await?,
    };
    for note in &meant.notes {
        // Lines after the first are indented.
        printer.note(&wrap(note, 78).join("\n"));
    }
    let report = |changed, changes| ChangeReport::new(name, &state.arn, changed, changes);
    if args.dry_run || changes.is_empty() {
        warn_of_losses(session, name, &losses(&changes, &meant));
        printer.report(&report(false, changes))?;
        if args.dry_run {
            printer.note("Dry run: nothing was changed");
        }
        return Ok(Exit::Done);
    }
    let losses = losses(&changes, &meant);
    warn_of_losses(session, name, &losses);
    if !losses.is_empty() {
        let action = match meant.losses.is_empty() {
            true => "lose data permanently",
            false => "remove access",
        };
        session.confirm_by_name(action, name, args.yes).await?;
    }
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

/// What is lost by `changes` and by what they mean.
fn losses<'a>(changes: &'a [Difference], meant: &'a Consequences) -> Vec<&'a str> {
    let of_changes = changes.iter().filter_map(|change| change.loses.as_deref());
    of_changes
        .chain(meant.losses.iter().map(String::as_str))
        .collect()
}

fn warn_of_losses(session: &Session, name: &str, losses: &[&str]) {
    for loss in losses {
        session.printer().warn(&format!("stream {name}: {loss}"));
    }
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
