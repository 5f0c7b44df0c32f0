//! `streamctl demo`: a tour on the local cloud.
//!
//! Each step is a command line, parsed and run like any other, on a separate stream.

mod cost;
pub(super) mod report;

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;

use self::report::{DemoReport, DemoStep};
use super::Cli;
use super::shared::Session;
use crate::ui::Format;
use domain::settings::{Access, Settings, Source, Target};
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::platform;

/// Not the default stream: that one may have data of the user.
const STREAM: &str = "streamctl-demo";

/// The home of a demo is a directory with this name and the number of its process.
const HOME_PREFIX: &str = "demo-";

/// Name of the file with [`EVENTS`], in the home of the demo.
const EVENTS_FILE: &str = "events.json";

/// The sample events of the template `stream`.
const EVENTS: &str = include_str!("../../templates/stream/events.json");

/// Try streamctl on the local cloud, from setup to destroy
///
/// Needs no AWS account and never uses one, however this machine is configured.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  streamctl demo           run the tour and delete everything
  streamctl demo --keep    keep the stream and the local cloud")]
pub struct DemoArgs {
    /// Keep the stream and the local cloud at the end
    #[arg(long)]
    keep: bool,
}

pub(super) async fn run(args: DemoArgs, session: &Session) -> Result<Exit> {
    let started = Instant::now();
    let users_home = &session.settings().home;
    // A separate local cloud: the demo neither shows nor deletes data of the user, nor those of another demo.
    let home = if args.keep {
        users_home.clone()
    } else {
        users_home.join(format!("{HOME_PREFIX}{}", std::process::id()))
    };
    let demo = session.with_settings(Settings {
        target: Target::Local,
        target_source: Source::Flag("--target"),
        access: Access::default(),
        region: None,
        profile: None,
        stream: STREAM.to_owned(),
        shard_count: None,
        home,
        ..session.settings().clone()
    });
    // The steps of a demo with `-o json` become one document.
    let is_document = matches!(session.printer().format(), Format::Json | Format::Yaml);
    let demo = match is_document {
        true => demo.with_printer(session.printer().keeping(Format::Json)),
        false => demo,
    };
    // What the demo made is removed also after Ctrl-C.
    let _held = demo.interrupt().hold();
    demo.printer().note(
        "The tour of streamctl, on the local cloud inside this program: no account,\n\
         no network, nothing left afterwards. Each step is a command you can type.",
    );
    let mut report = DemoReport::default();
    let exit = match args.keep {
        true => kept(&demo, &mut report).await?,
        false => whole(&demo, &mut report, started).await?,
    };
    if is_document {
        report.seconds = started.elapsed().as_secs_f64();
        session.printer().report(&report)?;
    }
    Ok(exit)
}

/// The tour without its last step.
async fn kept(demo: &Session, report: &mut DemoReport) -> Result<Exit> {
    let exit = tour(demo, report, false).await?;
    demo.printer().note(&format!(
        "\nKept: stream {STREAM}. Remove it with `streamctl destroy --stream {STREAM} --target local`"
    ));
    Ok(exit)
}

/// The tour, in a home that is deleted afterwards.
async fn whole(demo: &Session, report: &mut DemoReport, started: Instant) -> Result<Exit> {
    let home = &demo.settings().home;
    for left_over in left_over(home) {
        remove(&left_over).await?;
    }
    let outcome = tour(demo, report, true).await;
    let removed = remove(home).await;
    let exit = outcome?;
    removed?;
    if exit == Exit::Done {
        summary(demo, started);
    }
    Ok(exit)
}

async fn tour(demo: &Session, report: &mut DemoReport, destroy: bool) -> Result<Exit> {
    let home = &demo.settings().home;
    platform::create_private_dir(home).map_err(|e| cannot_write(home, e))?;
    let file = home.join(EVENTS_FILE);
    std::fs::write(&file, EVENTS).map_err(|e| cannot_write(&file, e))?;
    let file = file.to_string_lossy().into_owned();
    let steps: [&[&str]; 4] = [
        &["setup", "--stream", STREAM, "--shard-count", "1"],
        &["put", "--stream", STREAM, "--file", &file],
        &[
            "tail",
            "--stream",
            STREAM,
            "--from",
            "trim",
            "--no-follow",
            "-n",
            "8",
        ],
        &["metrics", "--stream", STREAM],
    ];
    for words in steps {
        let exit = step(demo, report, words).await?;
        if exit != Exit::Done {
            return Ok(exit);
        }
    }
    report.cost = Some(cost::show(demo, EVENTS).await?);
    if !destroy {
        return Ok(Exit::Done);
    }
    step(demo, report, &["destroy", "--stream", STREAM, "--yes"]).await
}

/// The homes of demos that were killed, and what is at `home`.
fn left_over(home: &Path) -> Vec<PathBuf> {
    let parent = home.parent().unwrap_or(home);
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let is_left_over = |name: &str| {
        let process = name.strip_prefix(HOME_PREFIX)?.parse().ok()?;
        Some(process == std::process::id() || platform::is_running(process) == Some(false))
    };
    entries
        .filter(|entry| is_left_over(&entry.file_name().to_string_lossy()) == Some(true))
        .map(|entry| entry.path())
        .collect()
}

/// Stops the local cloud of the demo and deletes its directory.
async fn remove(home: &Path) -> Result<()> {
    if !home.exists() {
        return Ok(());
    }
    daemon::reset(home).await?;
    // Delete only files that the demo created.
    for entry in std::fs::read_dir(home).map_err(|e| cannot_write(home, e))? {
        let name = entry.map_err(|e| cannot_write(home, e))?.file_name();
        if name != EVENTS_FILE && name != "local" {
            return Err(Error::failed(format!(
                "{} contains files that the demo did not create",
                home.display()
            ))
            .hint("move them away, then run the demo again"));
        }
    }
    std::fs::remove_dir_all(home).map_err(|e| cannot_write(home, e))
}

/// Prints a command line and runs it.
async fn step(demo: &Session, report: &mut DemoReport, words: &[&str]) -> Result<Exit> {
    if demo.interrupt().is_set() {
        return Ok(Exit::Interrupted);
    }
    demo.printer().flush()?;
    demo.printer().note(&format!("\n$ streamctl {}", words.join(" ")));
    let cli = Cli::parse_words(std::iter::once("streamctl").chain(words.iter().copied()))
        .map_err(|e| Error::failed(format!("the demo's own command is wrong: {e}")))?;
    let exit = Box::pin(cli.command.run(demo)).await?;
    demo.printer().flush()?;
    report.steps.push(DemoStep::new(words, demo.printer(), exit));
    Ok(exit)
}

fn summary(demo: &Session, started: Instant) {
    demo.printer().note(&format!(
        "\nDone in {:.1} s: a stream was created, written, read, measured and destroyed.\n\
         Now the same by hand, on a local stream of your own:\n\
         \n\
         \u{20} streamctl setup --shard-count 1\n\
         \u{20} streamctl sample events > records.json\n\
         \u{20} streamctl put --file records.json\n\
         \u{20} streamctl tail --from trim\n\
         \u{20} streamctl metrics\n\
         \u{20} streamctl destroy\n\
         \n\
         With boto3, the AWS CLI or any SDK:  eval \"$(streamctl local env)\"\n\
         On AWS: set AWS_PROFILE, or add --target aws",
        started.elapsed().as_secs_f64()
    ));
    if let Some(program) = not_on_path() {
        demo.printer().note(&format!(
            "streamctl is {}: `cargo install --locked --path .` puts it on your PATH",
            program.display()
        ));
    }
}

/// The path of this program, if it is not on the PATH.
fn not_on_path() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).any(|dir| dir.join("streamctl").exists());
    (!found).then_some(program)
}

fn cannot_write(path: &std::path::Path, error: std::io::Error) -> Error {
    Error::failed(format!("could not write {}", path.display()))
        .cause(error)
        .hint("set STREAMCTL_HOME to a directory you own")
}
