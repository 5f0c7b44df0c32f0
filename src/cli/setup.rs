//! `streamctl setup`.

use clap::Args;

use super::shared::Session;
use super::shared::alarms::say_alarms;
use super::shared::pipeline::{apply, print_hints};
use super::shared::template::{ChoiceArgs, TemplateArgs, template_list};
use super::shared::verdict::last_hour_of_pipeline;
use crate::ui::shell_quoted;
use domain::cost;
use domain::pipeline::Pipeline;
use domain::pipeline::apply::{ResourceReport, RunReport};
use domain::pipeline::event::ResourceResult;
use domain::pipeline::resources::Kinds;
use ground::error::Result;
use ground::exit::Exit;

const EXAMPLES: &str = "\
Examples:
  streamctl setup                              the default stream
  streamctl setup --shard-count 4              with 4 shards
  streamctl setup --stream orders --on-demand  a stream that scales by itself
  streamctl setup retail --param alarm_email=me@example.com
  streamctl setup -f pipeline.toml             a manifest of your own
  streamctl setup --retention 7d --monitoring none
  streamctl setup --tag \"Cost Centre=Live Music\"
  streamctl setup --dry-run                    show what would be done";

/// Create or update a stream, or the pipeline of a template
///
/// A setting that is not given here, in the environment or in streamctl.toml takes the template's default when its
/// resource is created, and is not changed when the resource exists. Running setup again changes nothing. After a crash or
/// Ctrl-C the same command continues.
#[derive(Debug, Args)]
#[command(after_help = format!("{EXAMPLES}\n\n{}", template_list()))]
pub struct SetupArgs {
    #[command(flatten)]
    template: TemplateArgs,
    #[command(flatten)]
    choice: ChoiceArgs,
    /// Take over existing resources that this pipeline did not create
    #[arg(long)]
    adopt: bool,
    /// Show what would be done and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask before a change that loses data, such as a shorter retention
    #[arg(short, long)]
    yes: bool,
}

pub(super) async fn run(mut args: SetupArgs, session: &Session) -> Result<Exit> {
    args.template.adopt = args.adopt;
    let draft = args.template.draft(session, Some(&args.choice), false).await?;
    let context = session.context_for_change_unless(args.dry_run).await?;
    let kinds = Kinds::new(context).await?;
    let pipeline = draft.bind(&kinds)?;
    let Some(applied) = apply(session, &pipeline, args.dry_run, args.yes).await? else {
        return Ok(Exit::Done);
    };
    let report = applied.report;
    let mut lines = vec![format!(
        "Cost on AWS: {}",
        cost::standing(applied.standing_cost, context.region())
    )];
    if report.exit == Exit::Done {
        lines.extend(last_hour_of_pipeline(context, &pipeline).await);
    }
    print_result(&args, session, &pipeline, &report, &lines);
    if report.exit == Exit::Done {
        say_alarms(session, &pipeline).await;
    }
    Ok(report.exit)
}

/// Prints what came of it, `lines` of what it costs and does, and the next commands.
fn print_result(
    args: &SetupArgs,
    session: &Session,
    pipeline: &Pipeline<'_>,
    report: &RunReport,
    lines: &[String],
) {
    let printer = session.printer();
    let identity = pipeline.identity();
    print_hints(session, report);
    match report.exit {
        Exit::Done => {}
        Exit::Interrupted => {
            printer.note("Stopped. Run the same command again to continue");
            return;
        }
        _ => {
            printer
                .note("Not everything was done. Fix the cause, then run the same command again to continue");
            return;
        }
    }
    let unchanged = |one: &ResourceReport| one.result == ResourceResult::Unchanged;
    let nothing_done = report.resources.iter().all(unchanged);
    printer.note(&match nothing_done {
        true => format!("Nothing to change: {identity} is up to date"),
        false => format!("{identity} is ready"),
    });
    let longest = report.outputs.keys().map(String::len).max().unwrap_or(0);
    let width = (longest + 1).max(12);
    for (name, value) in &report.outputs {
        printer.note(&format!("  {name:<width$} {value}"));
    }
    for line in lines {
        printer.note(line);
    }
    if nothing_done {
        return;
    }
    printer.next_steps(&commands_after(args, session, pipeline, report));
}

/// The next commands for a pipeline that is ready.
fn commands_after(
    args: &SetupArgs,
    session: &Session,
    pipeline: &Pipeline<'_>,
    report: &RunReport,
) -> Vec<(String, &'static str)> {
    let stream = match report.outputs.get("stream_name") {
        Some(name) if *name != session.settings().stream => format!(" --stream {name}"),
        _ => String::new(),
    };
    let this = args.template.command_args_with_parameters(session);
    let mut steps = Vec::new();
    if pipeline.has_samples() {
        let what = match pipeline.manifest().items.is_empty() {
            true => "load sample data",
            false => "load sample items",
        };
        steps.push((format!("streamctl sample load{this}"), what));
    }
    let (records, written_by) = sample_events(args, pipeline);
    steps.extend(written_by.map(|command| (command, "write sample events")));
    let key = match &pipeline.manifest().events {
        None => String::new(),
        Some(events) => match &events.partition_key_field {
            Some(field) => format!(" --partition-key-field {field}"),
            None if events.partition_keys.is_empty() => String::new(),
            None => format!(" --pipeline {}", shell_quoted(&args.template.source())),
        },
    };
    steps.push((
        format!("streamctl put{stream} --file {}{key}", shell_quoted(&records)),
        "send records",
    ));
    if pipeline.has_pages() {
        steps.push((format!("streamctl open{this}"), "open the page"));
    }
    if pipeline.manifest().verify.is_some() {
        steps.push((format!("streamctl verify{this}"), "follow an event"));
    } else {
        steps.push((format!("streamctl tail{stream} --from trim"), "read them back"));
    }
    if let Some(function) = report.outputs.get("function_name") {
        steps.push((format!("streamctl logs {function}"), "what the function logs"));
    }
    steps.push((format!("streamctl metrics{stream}"), "see the last hour"));
    steps.push((format!("streamctl destroy{this}"), "delete the resources"));
    steps
}

/// The path of records to send, and the command that writes them if they are not there.
fn sample_events(args: &SetupArgs, pipeline: &Pipeline<'_>) -> (String, Option<String>) {
    let Some(events) = &pipeline.manifest().events else {
        return ("records.json".to_owned(), None);
    };
    let dir = args.template.dir();
    // `init` writes the events of a bundled template to a directory with its name.
    let bundled = &pipeline.manifest().name;
    let path = dir.clone().unwrap_or_else(|| bundled.into()).join(&events.file);
    let written_by = (dir.is_none() && !path.exists()).then(|| format!("streamctl init {bundled}"));
    (path.display().to_string(), written_by)
}
