//! `streamctl local`.

use std::time::Duration;

use clap::{Args, Subcommand};
use futures_util::FutureExt;
use serde::Serialize;
use serde_json::{Map, Value};

use super::shared::Session;
use super::shared::damage::{damage_text, warn_of_damage};
use super::shared::duration::length;
use crate::ui::{Report, Style, lines, shell_quoted, units};
use daemon::home::{LocalHome, State};
use daemon::{Clock, Move, Options, Reset, RunOptions, StartOptions, Status};
use domain::settings::{DEFAULT_REGION, SERVICES};
use ground::duration::{self, Parser, Unit};
use ground::error::Result;
use ground::exit::Exit;
use ground::platform::orphans::Orphans;

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
    /// Starts the local cloud if it does not run. Unsets the session token, the profile and other endpoints of the shell, so
    /// that nothing else is used. With -o json a variable to unset is null, with -o text it is empty.
    Env(EnvArgs),
    /// Show the clock of the local cloud, or advance it
    ///
    /// What waits for a time continues at once if the clock gets there: batching windows, visibility timeouts, retries,
    /// channels. Times that are data, such as the age of a record or a retention, follow it too. Functions have the clock
    /// of the machine, and so have IAM, KMS, SNS and STS. It never goes back, and it is kept when the local cloud stops.
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
    /// Start this long ago, without data; see `local clock`
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
struct EnvArgs {
    /// Print the command that unsets the variables
    #[arg(long)]
    unset: bool,
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
        LocalCommand::Env(args) => env(&args, session).await?,
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
    match daemon::stop(&session.settings().home).await? {
        Some(pid) => session.printer().note(&format!(
            "Stopped the local cloud (process {pid}); its data is kept"
        )),
        None => session.printer().note("The local cloud is not running"),
    }
    Ok(())
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

async fn env(args: &EnvArgs, session: &Session) -> Result<()> {
    let settings = session.settings();
    let region = settings.region.as_deref().unwrap_or(DEFAULT_REGION);
    let (endpoint, secret) = if args.unset {
        (String::new(), String::new())
    } else {
        let endpoint = daemon::ensure_running(&settings.home).await?;
        (endpoint, daemon::secret_access_key(&settings.home))
    };
    let is_set = |name: &str| std::env::var_os(name).is_some();
    session.printer().report(&Environment {
        variables: variables(&endpoint, &secret, region),
        cleared: cleared(&is_set),
        unset: args.unset,
    })
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

/// The variables that AWS SDKs and tools read. Source: "Environment variables support", AWS SDKs and Tools reference guide.
fn variables(endpoint: &str, secret: &str, region: &str) -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ENDPOINT_URL", endpoint.to_owned()),
        ("AWS_ACCESS_KEY_ID", daemon::ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", secret.to_owned()),
        ("AWS_REGION", region.to_owned()),
        ("AWS_DEFAULT_REGION", region.to_owned()),
    ]
}

/// Variables that would lead SDKs and tools away from the local cloud, or mix other credentials into the requests. Always
/// those of a session and a profile; endpoints of single services and the switch that ignores endpoints if they are set.
fn cleared(is_set: &dyn Fn(&str) -> bool) -> Vec<&'static str> {
    let services = SERVICES.iter().map(|(_, variable)| *variable);
    let others = services.chain(["AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"]);
    ["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE"]
        .into_iter()
        .chain(others.filter(|name| is_set(name)))
        .collect()
}

struct Environment {
    variables: Vec<(&'static str, String)>,
    /// Variables to unset.
    cleared: Vec<&'static str>,
    /// Print how to unset `variables`.
    unset: bool,
}

impl Environment {
    /// Every variable with its value; `None` for one to unset.
    fn all(&self) -> impl Iterator<Item = (&'static str, Option<&str>)> {
        let set = self.variables.iter().map(|(name, value)| {
            let value = (!self.unset).then_some(value.as_str());
            (*name, value)
        });
        let cleared = self.cleared.iter().filter(|_| !self.unset);
        set.chain(cleared.map(|name| (*name, None)))
    }
}

impl Serialize for Environment {
    /// An object of the variables; one to unset is null.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let object: Map<String, Value> = self
            .all()
            .map(|(name, value)| (name.to_owned(), value.map_or(Value::Null, Value::from)))
            .collect();
        object.serialize(serializer)
    }
}

impl Report for Environment {
    fn table(&self, _style: &Style) -> String {
        let export =
            |(name, value): (&str, Option<&str>)| Some(format!("export {name}={}", shell_quoted(value?)));
        let mut lines: Vec<String> = self.all().filter_map(export).collect();
        let unset: Vec<&str> = self
            .all()
            .filter(|(_, value)| value.is_none())
            .map(|(name, _)| name)
            .collect();
        lines.push(format!("unset {}", unset.join(" ")));
        lines.join("\n")
    }

    /// One to unset has an empty value.
    fn text(&self) -> String {
        lines(
            self.all()
                .map(|(name, value)| [name.to_owned(), value.unwrap_or_default().to_owned()]),
        )
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct StatusReport(Status);

impl StatusReport {
    fn rows(&self) -> Vec<(&'static str, String)> {
        let Status {
            running,
            endpoint,
            pid,
            version,
            uptime_seconds,
            resident_bytes,
            streams,
            requests,
            clock_offset_ms,
            home,
            log,
            damage,
        } = &self.0;
        let text = |value: Option<u64>| value.map(|value| value.to_string());
        let uptime = uptime_seconds.map(|seconds| duration::format(Duration::from_secs(seconds)));
        let rows = [
            (
                "Local cloud",
                Some(if *running { "running" } else { "not running" }.to_owned()),
            ),
            ("Endpoint", endpoint.clone()),
            ("Process", pid.map(|pid| pid.to_string())),
            ("Version", version.clone()),
            ("Uptime", uptime),
            ("Memory", resident_bytes.map(units::bytes)),
            ("Streams", text(*streams)),
            ("Requests", text(*requests)),
            ("Clock", clock_offset_ms.filter(|offset| *offset != 0).map(apart)),
            ("Home", Some(home.clone())),
            ("Log", Some(log.clone())),
        ];
        let damage = damage.iter().map(|damage| ("Damaged", Some(damage_text(damage))));
        rows.into_iter()
            .chain(damage)
            .filter_map(|(name, value)| value.map(|value| (name, value)))
            .collect()
    }
}

impl Report for StatusReport {
    fn table(&self, style: &Style) -> String {
        let lines: Vec<String> = self
            .rows()
            .iter()
            .map(|(name, value)| format!("{}  {value}", style.dim(&format!("{name:<11}"))))
            .collect();
        lines.join("\n")
    }

    fn text(&self) -> String {
        lines(
            self.rows()
                .into_iter()
                .map(|(name, value)| [name.to_owned(), value]),
        )
    }
}

/// How far a clock is from that of the machine.
fn apart(offset_ms: i64) -> String {
    let length = duration::measured(Duration::from_millis(offset_ms.unsigned_abs()));
    match offset_ms {
        0 => "this machine's time".to_owned(),
        ..0 => format!("{length} behind this machine"),
        _ => format!("{length} ahead of this machine"),
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct ClockReport(Clock);

impl Report for ClockReport {
    fn table(&self, _style: &Style) -> String {
        let time = self.0.time.strftime("%Y-%m-%d %H:%M:%S UTC");
        format!("{time}, {}", apart(self.0.offset_ms))
    }

    fn text(&self) -> String {
        format!("{}\t{}", self.0.time, self.0.offset_ms)
    }
}

#[derive(Serialize)]
#[serde(transparent)]
struct ResetReport(Reset);

impl Report for ResetReport {
    fn table(&self, _style: &Style) -> String {
        let Reset {
            stopped,
            deleted,
            data,
        } = &self.0;
        let mut lines = Vec::new();
        if *stopped {
            lines.push("Stopped the local cloud".to_owned());
        }
        lines.push(if *deleted {
            format!("Deleted {data}; the next command starts with an empty local cloud")
        } else {
            "There was no data to delete".to_owned()
        });
        lines.join("\n")
    }

    fn text(&self) -> String {
        format!("{}\t{}\t{}", self.0.stopped, self.0.deleted, self.0.data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use daemon::protocol::Damage;

    fn status(running: bool) -> StatusReport {
        StatusReport(Status {
            running,
            endpoint: running.then(|| "http://127.0.0.1:4566".to_owned()),
            pid: running.then_some(4711),
            version: running.then(|| "0.1.0".to_owned()),
            uptime_seconds: running.then_some(7385),
            resident_bytes: running.then_some(43 << 20),
            streams: running.then_some(3),
            requests: running.then_some(1200),
            clock_offset_ms: running.then_some(0),
            home: "/home/ada/.local/share/streamctl/local".to_owned(),
            log: "/home/ada/.local/share/streamctl/local/daemon.log".to_owned(),
            damage: Vec::new(),
        })
    }

    #[test]
    fn status_of_a_running_cloud() {
        insta::assert_snapshot!(status(true).table(&Style::plain()), @r"
        Local cloud  running
        Endpoint     http://127.0.0.1:4566
        Process      4711
        Version      0.1.0
        Uptime       2h3m5s
        Memory       43 MiB
        Streams      3
        Requests     1200
        Home         /home/ada/.local/share/streamctl/local
        Log          /home/ada/.local/share/streamctl/local/daemon.log
        ");
    }

    #[test]
    fn status_names_damaged_files() {
        let mut report = status(true);
        let damage = |file: &str, records, message: &str| Damage {
            file: file.to_owned(),
            resource: None,
            records,
            message: message.to_owned(),
        };
        report.0.damage = vec![
            damage(
                "/home/ada/a.log",
                3,
                "a part of the log file is damaged or missing; the rest is served",
            ),
            damage("/home/ada/sqs.db", 0, "the database is damaged"),
        ];
        let table = report.table(&Style::plain());
        let (_, shown) = table.split_once("daemon.log\n").unwrap();
        insta::assert_snapshot!(shown, @r"
        Damaged      /home/ada/a.log: a part of the log file is damaged or missing; the rest is served (3 records lost)
        Damaged      /home/ada/sqs.db: the database is damaged
        ");
    }

    #[test]
    fn the_clock_is_shown_where_it_is_not_that_of_the_machine() {
        let mut report = status(true);
        assert!(!report.text().contains("Clock"));
        report.0.clock_offset_ms = Some(-8 * 86_400_000);
        assert!(
            report.text().contains("Clock\t8d behind this machine"),
            "{}",
            report.text()
        );
        let clock = ClockReport(Clock {
            time: "2026-11-28T12:00:00Z".parse().unwrap(),
            offset_ms: 3_600_000,
        });
        insta::assert_snapshot!(
            clock.table(&Style::plain()),
            @"2026-11-28 12:00:00 UTC, 1h ahead of this machine"
        );
        let json = serde_json::to_value(&clock).unwrap();
        assert_eq!(
            json,
            serde_json::json!({"time": "2026-11-28T12:00:00Z", "offset_ms": 3_600_000})
        );
        assert_eq!(clock.text(), "2026-11-28T12:00:00Z\t3600000");
    }

    #[test]
    fn status_of_a_stopped_cloud() {
        insta::assert_snapshot!(status(false).table(&Style::plain()), @r"
        Local cloud  not running
        Home         /home/ada/.local/share/streamctl/local
        Log          /home/ada/.local/share/streamctl/local/daemon.log
        ");
        let json = serde_json::to_value(status(false)).unwrap();
        assert_eq!(json["running"], false);
        assert_eq!(json["endpoint"], Value::Null);
    }

    #[test]
    fn env_is_for_the_shell() {
        let mut report = Environment {
            variables: variables("http://127.0.0.1:4566", "0123456789", "us-east-1"),
            cleared: cleared(&|name| name == "AWS_ENDPOINT_URL_S3"),
            unset: false,
        };
        insta::assert_snapshot!(report.table(&Style::plain()), @r"
        export AWS_ENDPOINT_URL=http://127.0.0.1:4566
        export AWS_ACCESS_KEY_ID=local
        export AWS_SECRET_ACCESS_KEY=0123456789
        export AWS_REGION=us-east-1
        export AWS_DEFAULT_REGION=us-east-1
        unset AWS_SESSION_TOKEN AWS_PROFILE AWS_DEFAULT_PROFILE AWS_ENDPOINT_URL_S3
        ");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["AWS_SECRET_ACCESS_KEY"], "0123456789");
        let null = [
            "AWS_SESSION_TOKEN",
            "AWS_PROFILE",
            "AWS_DEFAULT_PROFILE",
            "AWS_ENDPOINT_URL_S3",
        ];
        assert!(
            null.iter().all(|name| json.get(name) == Some(&Value::Null)),
            "{json}"
        );
        assert!(report.text().contains("\nAWS_PROFILE\t\n"), "{}", report.text());
        report.unset = true;
        insta::assert_snapshot!(
            report.table(&Style::plain()),
            @"unset AWS_ENDPOINT_URL AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_REGION AWS_DEFAULT_REGION"
        );
    }
}
