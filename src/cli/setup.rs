//! `streamctl setup`.

use clap::Args;

use super::shared::Session;
use super::shared::pipeline::{apply, print_hints};
use super::shared::template::{ChoiceArgs, TemplateArgs};
use crate::pipeline::Pipeline;
use crate::pipeline::apply::{ResourceReport, RunReport};
use crate::pipeline::event::Outcome;
use crate::pipeline::resources::Kinds;
use crate::ui::next_steps;
use ground::error::Result;
use ground::exit::Exit;

/// Create a stream and what belongs to it, or bring what exists to what you ask for
///
/// What is not asked for here, in the environment or in streamctl.toml takes the template's default when it is made,
/// and stays as it is when it exists. Running it again changes nothing; after a crash or Ctrl-C it goes on from there.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl setup                              the default stream
  streamctl setup --shard-count 4              make it with, or bring it to, 4
  streamctl setup --stream orders --on-demand  a stream that scales by itself
  streamctl setup retail --param alarm_email=me@example.com
  streamctl setup -f pipeline.toml             a manifest of your own
  streamctl setup --retention 7d --monitoring none
  streamctl setup --tag \"Cost Centre=Live Music\"
  streamctl setup --dry-run                    show what would be done

Templates:
  stream    one stream with encryption, monitoring and a policy (the default)
  concert   the same, and a function that stores the data of concerts
  function  one function of your own (see `deploy`)
  prices    a stream and a function that sets prices in a table
  realtime  sums of readings in a table, the readings in a bucket, alarms
  retail    scored customer events in a table, alarms, a dashboard")]
pub struct SetupArgs {
    #[command(flatten)]
    template: TemplateArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Show what would be done, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before a change that loses data, such as a shorter retention
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(args: SetupArgs, session: &Session) -> Result<Exit> {
    let draft = args.template.draft(session, Some(&args.choice), false)?;
    let context = session.context_for_change_unless(args.dry_run).await?;
    let kinds = Kinds::new(context).await?;
    let pipeline = draft.bind(&kinds)?;
    let Some(report) = apply(session, &pipeline, args.dry_run, args.yes).await? else {
        return Ok(Exit::Done);
    };
    say_at_the_end(&args, session, &pipeline, &report);
    Ok(report.exit)
}

fn say_at_the_end(args: &SetupArgs, session: &Session, pipeline: &Pipeline<'_>, report: &RunReport) {
    let printer = session.printer();
    let identity = pipeline.identity();
    print_hints(session, report);
    match report.exit {
        Exit::Done => {}
        Exit::Interrupted => {
            printer.note("Stopped; the same command goes on from here");
            return;
        }
        _ => {
            printer.note("Not everything was done; once the cause is mended, setup goes on from here");
            return;
        }
    }
    let unchanged = |one: &ResourceReport| one.result == Outcome::Unchanged;
    let nothing_done = report.resources.iter().all(unchanged);
    printer.note(&match nothing_done {
        true => format!("Nothing to change: {identity} is as asked for"),
        false => format!("{identity} is ready"),
    });
    let longest = report.outputs.keys().map(String::len).max().unwrap_or(0);
    let width = (longest + 1).max(12);
    for (name, value) in &report.outputs {
        printer.note(&format!("  {name:<width$} {value}"));
    }
    if nothing_done {
        return;
    }
    printer.note(&next_steps(&steps(args, session, pipeline, report)));
}

/// What one does next with a pipeline that is ready.
fn steps(
    args: &SetupArgs,
    session: &Session,
    pipeline: &Pipeline<'_>,
    report: &RunReport,
) -> Vec<(String, &'static str)> {
    let place = session.target_flags();
    let stream = match report.outputs.get("stream_name") {
        Some(name) if *name != session.settings().stream => format!("{place} --stream {name}"),
        _ => place.to_owned(),
    };
    let this = args.template.as_typed(session);
    let mut steps = Vec::new();
    let events = pipeline.manifest().events.as_ref();
    let records = match events {
        Some(events) => {
            // Those of a bundled template are where `init` writes them.
            let bundled = pipeline.manifest().name.clone();
            let dir = args.template.dir();
            let path = dir
                .clone()
                .unwrap_or_else(|| bundled.clone().into())
                .join(&events.file);
            if dir.is_none() && !path.exists() {
                steps.push((format!("streamctl init {bundled}"), "write sample events"));
            }
            path.display().to_string()
        }
        None => "records.json".to_owned(),
    };
    let key = events.and_then(|events| events.partition_key_field.as_ref());
    let key = key.map_or_else(String::new, |field| format!(" --partition-key-field {field}"));
    steps.push((
        format!("streamctl put{stream} --file {records}{key}"),
        "send records",
    ));
    if pipeline.manifest().verify.is_some() {
        steps.push((format!("streamctl verify{this}"), "follow an event"));
    } else {
        steps.push((format!("streamctl tail{stream} --from trim"), "read them back"));
    }
    if let Some(function) = report.outputs.get("function_name") {
        steps.push((
            format!("streamctl logs {function}{place}"),
            "what the function logs",
        ));
    }
    steps.push((format!("streamctl metrics{stream}"), "see the last hour"));
    steps.push((format!("streamctl destroy{this}"), "delete what setup made"));
    steps
}
