//! `streamctl doctor`.

mod junit;
pub(super) mod report;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;
use clap_complete::ArgValueCompleter;

use self::report::{DoctorReport, headline};
use super::shared::candidates::templates;
use super::shared::template::{TemplateArgs, parameter};
use super::shared::{Session, StreamArg};
use crate::ui::units::counted;
use crate::ui::{Printer, shell_quoted};
use domain::observe::doctor::{Event, Fix, Outcome, Scope, Severity, Subject, examine};
use domain::pipeline::resources::Kinds;
use domain::settings::DEFAULT_STREAM;
use ground::error::{Error, Result};
use ground::exit::Exit;

/// Find what is wrong with a stream or a pipeline
///
/// Looks at the stream, the functions that read it, their mappings, queues, logs and alarms, and at the metrics of the
/// last hour. Each finding has its evidence and the command that repairs it. A fault loses, delays or refuses records,
/// or will do so; a caution is worth a look. Without a stream or a default stream it looks at the account. Changes
/// nothing without --fix.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl doctor                      the default stream
  streamctl doctor orders               a stream and what reads it
  streamctl doctor --pipeline retail    all resources of a pipeline
  streamctl doctor orders --fix         apply what loses nothing
  streamctl doctor orders -o json | jq '.checks[] | select(.state == \"fault\")'

Exit codes: 0 no fault, 5 a fault (with --strict also a caution), 4 target
unreachable.")]
pub struct DoctorArgs {
    #[command(flatten)]
    stream: StreamArg,
    /// Template or manifest file of a pipeline; all its resources are checked
    #[arg(long, value_name = "NAME", conflicts_with = "word", add = ArgValueCompleter::new(templates))]
    pipeline: Option<String>,
    /// Set a parameter of the template (repeatable)
    #[arg(long = "param", value_name = "NAME=VALUE", value_parser = parameter, requires = "pipeline")]
    parameters: Vec<(String, String)>,
    /// Also check recommended practice
    #[arg(long)]
    posture: bool,
    /// Exit with 5 for cautions too
    #[arg(long)]
    strict: bool,
    /// Apply the fixes that lose no data, after showing them
    #[arg(long)]
    fix: bool,
    /// Do not ask before --fix applies something
    #[arg(short, long, requires = "fix")]
    yes: bool,
    /// Also write the result as JUnit XML
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
}

pub(super) async fn run(args: DoctorArgs, session: &Session) -> Result<Exit> {
    let report = tokio::select! {
        report = diagnosed(&args, session, args.fix) => report?,
        () = session.interrupt().wait() => {
            return Err(Error::new(Exit::Interrupted, "stopped before all checks had run; nothing was changed"));
        }
    };
    session.printer().report(&report)?;
    if let Some(path) = &args.junit {
        write_junit(&report, path, args.strict).await?;
    }
    let report = match args.fix {
        true => fixed(&args, session, report).await?,
        false => report,
    };
    summarise(session.printer(), &report);
    outcome(&report, args.strict)
}

/// Exit 5 for faults.
///
/// # Errors
/// Exit 4 when nothing at all could be looked at.
fn outcome(report: &DoctorReport, strict: bool) -> Result<Exit> {
    if report.checks.is_empty() || report.skipped < report.checks.len() {
        return Ok(match report.faults > 0 || (strict && report.cautions > 0) {
            true => Exit::Faults,
            false => Exit::Done,
        });
    }
    let reason = report.checks.iter().find_map(|check| check.skipped.clone());
    Err(Error::unreachable("no check could run")
        .cause(reason.unwrap_or_default())
        .hint("check the credentials, --region and --endpoint-url"))
}

/// Runs the checks with progress on a terminal. Names the target first if something is then changed.
async fn diagnosed(args: &DoctorArgs, session: &Session, changes: bool) -> Result<DoctorReport> {
    if let Some(name) = &args.pipeline {
        return of_pipeline(args, name, session, changes).await;
    }
    let chosen = args.stream.choose(session)?;
    let context = session.context_for_change_unless(!changes).await?;
    let mut subject = Subject::new(context, Scope::stream(&chosen.name));
    let mut of = format!("stream {}", chosen.name);
    // The built-in default stream is a guess. Any other name is a choice.
    let is_absent =
        |described: &std::collections::BTreeMap<String, Option<_>>| described.values().all(Option::is_none);
    if !chosen.is_chosen && subject.described().await.is_ok_and(is_absent) {
        session.printer().note(&format!(
            "There is no stream {DEFAULT_STREAM}: checking the account only (name a stream, or --pipeline)"
        ));
        subject = Subject::new(context, Scope::account());
        of = "account".to_owned();
    }
    Ok(watched(args, session, &subject, of).await)
}

async fn of_pipeline(
    args: &DoctorArgs,
    name: &str,
    session: &Session,
    changes: bool,
) -> Result<DoctorReport> {
    let template = TemplateArgs::named(
        name.to_owned(),
        args.stream.flag().clone(),
        args.parameters.clone(),
    );
    let draft = template.draft(session, None, false).await?;
    let context = session.context_for_change_unless(!changes).await?;
    let kinds = Kinds::new(context).await?;
    let pipeline = draft.bind(&kinds)?;
    let mut scope = Scope::pipeline(&pipeline)?;
    scope.setup = setup_words(args, name);
    let of = format!("pipeline {}", pipeline.identity());
    let subject = Subject::of_pipeline(context, scope, &pipeline);
    Ok(watched(args, session, &subject, of).await)
}

/// The words of `setup` for this pipeline.
fn setup_words(args: &DoctorArgs, name: &str) -> Vec<String> {
    let mut words = vec!["setup".to_owned(), name.to_owned()];
    if let Some(stream) = &args.stream.flag().stream {
        words.extend(["--stream".to_owned(), stream.clone()]);
    }
    for (name, value) in &args.parameters {
        words.extend(["--param".to_owned(), format!("{name}={value}")]);
    }
    words
}

async fn watched(args: &DoctorArgs, session: &Session, subject: &Subject<'_>, of: String) -> DoctorReport {
    let progress = session.printer().progress();
    let step = progress.step(of.clone());
    let show = |event: Event<'_>| {
        step.message(format!(
            "{} of {} checks: {}",
            event.finished, event.of, event.title
        ));
        let Outcome::Findings(findings) = event.outcome else {
            return;
        };
        for finding in findings.iter().filter(|_| !progress.is_hidden()) {
            progress.step(finding.severity.word()).finish(headline(finding));
        }
    };
    let checks = examine(subject, args.posture, &show).await;
    step.clear();
    DoctorReport::new(subject.context(), of, checks, &session.printer().repeated())
}

async fn write_junit(report: &DoctorReport, path: &Path, strict: bool) -> Result<()> {
    tokio::fs::write(path, junit::document(report, strict))
        .await
        .map_err(|error| {
            Error::failed(format!("could not write {}", path.display()))
                .cause(error)
                .hint("name a file in a directory that exists and that you may write to")
        })
}

fn summarise(printer: &Printer, report: &DoctorReport) {
    let mut parts = vec![counted(report.checks.len() as u64, "check")];
    match (report.faults, report.cautions) {
        (0, 0) => parts.push("no finding".to_owned()),
        (faults, cautions) => {
            parts.extend((faults > 0).then(|| counted(faults as u64, "fault")));
            parts.extend((cautions > 0).then(|| counted(cautions as u64, "caution")));
        }
    }
    parts.extend((report.skipped > 0).then(|| format!("{} could not run", report.skipped)));
    printer.note(&format!("{}: {}", report.subject, parts.join(", ")));
}

/// Applies the safe fixes of `report` and looks again. Returns what is left.
async fn fixed(args: &DoctorArgs, session: &Session, report: DoctorReport) -> Result<DoctorReport> {
    let printer = session.printer();
    let fixes = safe_fixes(&report);
    if fixes.is_empty() {
        printer.note("Nothing to apply: no finding has a safe fix");
        return Ok(report);
    }
    let commands: Vec<&str> = fixes.iter().map(|fix| fix.command.as_str()).collect();
    printer.note(&format!("To be run:\n  {}", commands.join("\n  ")));
    let action = match fixes.len() {
        1 => "run 1 command".to_owned(),
        many => format!("run {many} commands"),
    };
    session.confirm_by_name(&action, "fix", args.yes).await?;
    let _held = session.interrupt().hold();
    let mut failed = Vec::new();
    for fix in &fixes {
        if session.interrupt().is_set() {
            return Err(
                Error::new(Exit::Interrupted, "stopped before all fixes were applied")
                    .hint("run the same command again to continue"),
            );
        }
        match applied(session, fix).await? {
            true => printer.note(&format!("Done: {}", fix.command)),
            false => failed.push(fix.command.as_str()),
        }
    }
    if !failed.is_empty() {
        return Err(Error::failed(format!("did not work: {}", failed.join("; ")))
            .hint("run it alone; its message above says why it failed"));
    }
    diagnosed(args, session, false).await
}

/// The safe fixes, each once, the faults' first.
fn safe_fixes(report: &DoctorReport) -> Vec<Fix> {
    let mut seen = BTreeSet::new();
    let mut findings: Vec<_> = report.checks.iter().flat_map(|check| &check.findings).collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    let fixes = findings.iter().flat_map(|finding| &finding.fixes);
    let safe = fixes.filter(|fix| fix.is_safe && fix.words().is_some());
    safe.filter(|fix| seen.insert(fix.command.clone()))
        .cloned()
        .collect()
}

/// Runs a fix as a process of its own, as its command line says. Only its warnings and errors are shown.
async fn applied(session: &Session, fix: &Fix) -> Result<bool> {
    let program = std::env::current_exe()
        .map_err(|error| Error::failed("could not find the program of this process").cause(error))?;
    let repeated = session.printer().repeated();
    let words: Vec<&str> = fix.words().into_iter().flatten().map(String::as_str).collect();
    let missing = repeated.missing(&words);
    let words: Vec<String> = words.into_iter().chain(missing).map(str::to_owned).collect();
    let run = move || {
        Command::new(program)
            .args(words)
            .arg("--quiet")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .status()
    };
    let status = tokio::task::spawn_blocking(run)
        .await
        .map_err(|error| Error::failed("running the fix ended unexpectedly").cause(error))?
        .map_err(|error| {
            Error::failed(format!("could not run {}", shell_quoted(&fix.command))).cause(error)
        })?;
    Ok(status.success())
}

/// Counts findings of a severity.
fn count(report: &[domain::observe::doctor::Checked], severity: Severity) -> usize {
    let findings = report.iter().flat_map(|check| &check.findings);
    findings.filter(|finding| finding.severity == severity).count()
}
