//! `streamctl local`: runs and controls the local cloud. [`env`] and [`report`] are what it prints.

mod env;
pub(super) mod report;

use std::time::Duration;

use clap::{Args, Subcommand};
use futures_util::FutureExt;

use super::shared::Session;
use super::shared::damage::warn_of_damage;
use super::shared::duration::length;
use daemon::home::{LocalHome, State};
use daemon::{Move, Options, RunOptions, StartOptions};
use ground::duration::{Parser, Unit};
use ground::error::Result;
use ground::exit::Exit;
use ground::platform::orphans::Orphans;

use report::{ClockReport, ResetReport, StatusReport, StopReport};

const REAP_INTERVAL: Duration = Duration::from_secs(60);

/// Run the embedded local cloud
#[derive(Debug, Args)]
#[command(long_about = format!("\
Run the embedded local cloud

It serves {} on 127.0.0.1. Commands with the target `local` start it when they need it. It keeps its data in \
STREAMCTL_HOME and runs until it is stopped. Any AWS SDK or tool can use it.", services()))]
#[command(after_help = "\
Examples:
  streamctl local start               start it in the background
  eval \"$(streamctl local env)\"       use it from any SDK or tool
  streamctl local status -o json      show its state
  streamctl local clock --advance 1h  let an hour pass
  streamctl local reset               delete all its data")]
pub struct LocalArgs {
    #[command(subcommand)]
    command: LocalCommand,
}

/// `A, B and C`.
fn services() -> String {
    match daemon::SERVICES {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        services => services.join(", "),
    }
}

#[derive(Debug, Subcommand)]
enum LocalCommand {
    /// Start the local cloud in the background
    Start(CloudArgs),
    /// Stop the local cloud and keep its data
    Stop,
    /// Show the state of the local cloud
    Status,
    /// Print the environment variables for AWS SDKs and tools
    ///
    /// Starts the local cloud if it is not running. Unsets the session token, the profile and other endpoints of the
    /// shell, so that nothing else is used. With -o json a variable to unset is null, with -o text it is empty.
    #[command(after_help = "\
Examples:
  eval \"$(streamctl local env)\"                       bash, zsh
  streamctl local env --shell fish | source
  streamctl local env --shell powershell | Out-String | Invoke-Expression")]
    Env(env::EnvArgs),
    /// Show the clock of the local cloud, or advance it
    ///
    /// What waits for a time continues as soon as the clock reaches it: batching windows, visibility timeouts, retries,
    /// channels. Times that are data, such as the age of a record or a retention, follow it too. Functions, IAM, KMS,
    /// SNS and STS use the clock of the machine. The clock never goes back, and it is kept when the local cloud stops.
    #[command(after_help = "\
Examples:
  streamctl local start --clock-behind 8d     a new local cloud, 8 days ago
  streamctl local clock --advance 1h          let an hour pass
  streamctl local clock --now                 go to this machine's time")]
    Clock(ClockArgs),
    /// Stop the local cloud and delete all its data
    Reset(ResetArgs),
    /// Run the local cloud in the foreground until Ctrl-C
    Run(RunArgs),
}

/// Settings to test producers and consumers with.
#[derive(Debug, Args)]
struct CloudArgs {
    /// Port to listen on, 0 for any [default: 4566 or the next free one]
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
    /// Enforce the quotas of AWS, to test how a program handles throttling
    #[arg(long)]
    enforce_limits: bool,
    /// Lifetime of a shard iterator; a short one tests how a consumer handles expiry
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = length(Parser::whole(Unit::Millisecond)))]
    iterator_lifetime: Duration,
    /// How long a stream stays CREATING, UPDATING or DELETING; about 10s on AWS
    #[arg(long, value_name = "TIME", default_value = "20ms", value_parser = length(Parser::whole(Unit::Millisecond)))]
    status_delay: Duration,
    /// Filters that an event source mapping may have: 5 on AWS, up to 10 with a raised quota
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..=10))]
    event_filters: u8,
    /// Deliver channels after this time instead of their data freshness, which is 5 to 15 minutes
    #[arg(long, value_name = "TIME", value_parser = length(Parser::whole(Unit::Millisecond)))]
    data_freshness: Option<Duration>,
    /// Start with the clock this far behind, without data; see `local clock`
    #[arg(long, value_name = "TIME", value_parser = length(Parser::whole(Unit::Second)))]
    clock_behind: Option<Duration>,
}

#[derive(Debug, Args)]
struct ClockArgs {
    /// Let this much time pass
    #[arg(long, value_name = "TIME", value_parser = length(Parser::whole(Unit::Second)))]
    advance: Option<Duration>,
    /// Go to this machine's time, if the clock is behind it
    #[arg(long, conflicts_with = "advance")]
    now: bool,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    cloud: CloudArgs,
    /// Detach from the terminal, as `local start` does
    #[arg(long, hide = true)]
    detached: bool,
}

#[derive(Debug, Args)]
struct ResetArgs {
    /// Do not ask for confirmation
    #[arg(short, long)]
    yes: bool,
}

impl LocalArgs {
    /// Whether this process is the daemon: it writes warnings to its log.
    pub(super) fn is_daemon(&self) -> bool {
        matches!(self.command, LocalCommand::Run(_))
    }
}

impl CloudArgs {
    fn options(&self) -> Options {
        Options {
            enforce_limits: self.enforce_limits,
            iterator_lifetime: self.iterator_lifetime,
            status_delay: self.status_delay,
            event_filters: self.event_filters,
            data_freshness: self.data_freshness,
            clock_behind: self.clock_behind,
        }
    }
}

pub(super) async fn run(args: LocalArgs, session: &Session) -> Result<Exit> {
    match args.command {
        LocalCommand::Start(args) => start(&args, session).await?,
        LocalCommand::Stop => stop(session).await?,
        LocalCommand::Status => status(session).await?,
        LocalCommand::Env(args) => env::run(&args, session).await?,
        LocalCommand::Clock(args) => clock(&args, session).await?,
        LocalCommand::Reset(args) => reset(&args, session).await?,
        LocalCommand::Run(args) => return foreground(&args, session).await,
    }
    Ok(Exit::Done)
}

async fn start(args: &CloudArgs, session: &Session) -> Result<()> {
    let options = StartOptions {
        port: args.port,
        options: args.options(),
    };
    let home = &session.settings().home;
    let started = daemon::start(home, &options).await?;
    warn_of_damage(session.printer(), &started.damage);
    if !started.fresh && options != StartOptions::default() {
        session
            .printer()
            .warn("the local cloud is running already; to change its options, stop it first");
    }
    status(session).await
}

async fn stop(session: &Session) -> Result<()> {
    let pid = daemon::stop(&session.settings().home).await?;
    let printer = session.printer();
    match pid {
        Some(pid) => printer.note(&format!(
            "Stopped the local cloud (process {pid}); its data is kept"
        )),
        None => printer.note("The local cloud is not running"),
    }
    printer.report(&StopReport {
        stopped: pid.is_some(),
        pid,
    })
}

async fn status(session: &Session) -> Result<()> {
    let status = daemon::status(&session.settings().home).await?;
    if let Some(version) = status.version.as_deref()
        && version != env!("CARGO_PKG_VERSION")
    {
        session.printer().warn(&format!(
            "the local cloud runs streamctl {version}, this is {}; after `streamctl local stop`, the next command starts \
             this version",
            env!("CARGO_PKG_VERSION")
        ));
    }
    session.printer().report(&StatusReport(status))
}

async fn clock(args: &ClockArgs, session: &Session) -> Result<()> {
    let change = match args.advance {
        Some(by) => Move::Advance(by),
        None if args.now => Move::ToNow,
        None => Move::Stay,
    };
    let clock = daemon::clock(&session.settings().home, change).await?;
    session.printer().report(&ClockReport(clock))
}

async fn reset(args: &ResetArgs, session: &Session) -> Result<()> {
    let home = &session.settings().home;
    let data = LocalHome::new(home).data_dir();
    if data.exists() {
        let action = format!("delete all data of the local cloud in {}", data.display());
        session.confirm_by_name(&action, "local", args.yes).await?;
    }
    let reset = daemon::reset(home).await?;
    session.printer().report(&ResetReport(reset))
}

async fn foreground(args: &RunArgs, session: &Session) -> Result<Exit> {
    let options = RunOptions {
        port: args.cloud.port,
        options: args.cloud.options(),
        detached: args.detached,
    };
    let printer = session.printer();
    let detached = args.detached;
    let ready = move |state: &State| {
        printer.note(&format!(
            "The local cloud is ready at {} (process {}, streamctl {})",
            state.endpoint(),
            state.pid,
            state.version
        ));
        if !detached {
            printer.note(
                "Press Ctrl-C to stop it. To use it in another terminal: eval \"$(streamctl local env)\"",
            );
        }
    };
    let run = session.local_cloud()?;
    // Processes of functions that have left their groups.
    let mut orphans = Orphans::adopt();
    let mut reap = tokio::time::interval(REAP_INTERVAL);
    let mut serving = run(
        &session.settings().home,
        options,
        Box::new(ready),
        session.interrupt().wait().boxed(),
    );
    let outcome = loop {
        tokio::select! {
            outcome = serving.as_mut() => break outcome,
            _ = reap.tick() => orphans.reap(),
        }
    };
    orphans.kill();
    if let (true, Err(error)) = (detached, &outcome) {
        // The error goes to the log, which may be on a full disk. The command that starts the daemon reads this too.
        printer.out(&error.chain().join(": "))?;
        printer.flush()?;
    }
    outcome?;
    printer.note("The local cloud has stopped");
    Ok(Exit::Done)
}
