//! The command line: one file per subcommand. The only place that knows clap.
//!
//! A subcommand's file holds its arguments and a `run` that resolves them, calls the domain and renders the result. What
//! several subcommands need is in [`shared`]; a subcommand never imports another.
//!
//! To add a command:
//! 1. Write `src/cli/NAME.rs` with `NameArgs` (clap, with examples in `after_help`) and
//!    `pub(super) async fn run(args: NameArgs, session: &Session) -> Result<Exit>`.
//! 2. Add `mod name;` and one line to the table in `commands!` below: its group, and what Ctrl-C does.
//! 3. Run the tests with `STREAMCTL_WRITE_DOCS=1 INSTA_UPDATE=always`: they write `docs/commands.md`, the table in
//!    `README.md` and the snapshot of the help.

mod account;
mod alarms;
mod attach;
mod channel;
mod completions;
mod config;
mod consumer;
mod copy;
mod cost;
mod create;
mod dashboard;
mod delete;
mod demo;
mod deploy;
mod describe;
mod destroy;
mod detach;
mod dlq;
mod doctor;
mod encrypt;
mod generate;
mod group;
mod handlers;
mod help;
mod init;
mod invoke;
mod list;
mod local;
mod logs;
mod man;
mod mappings;
mod metrics;
mod mode;
mod monitoring;
mod open;
mod outputs;
mod plan;
mod policy;
mod put;
mod record_size;
#[cfg(test)]
mod reference;
mod reshard;
mod retention;
mod sample;
mod schemas;
mod setup;
mod shared;
mod size;
mod tag;
mod tail;
mod top;
mod undeploy;
mod usage;
mod verify;
mod warm_throughput;

use std::ffi::OsString;
use std::io;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};
use futures_util::future::LocalBoxFuture;

use crate::ui::{BrokenPipe, Format, Printer, TargetFlags, UiOptions, decide_layout, no_csv, no_raw, units};
use domain::functions::bundle;
use ground::error::{Error, Result};
use ground::exit::Exit;
use shared::Session;
use shared::global::{Configuration, GlobalArgs, with_timeout};

/// Declares the commands: the enum that clap parses, the call of each, and the headings of the help. The order is that
/// of the help.
macro_rules! commands {
    ($($heading:literal { $($name:ident($module:ident::$args:ident, $ctrl_c:ident)),* $(,)? })*) => {
        #[derive(Debug, Subcommand)]
        enum Command {
            $($($name(Box<$module::$args>),)*)*
        }

        impl Command {
            /// Boxed: otherwise the compiler makes one function of all commands, which takes it minutes to optimise.
            fn run(self, session: &Session) -> LocalBoxFuture<'_, Result<Exit>> {
                match self {
                    $($(Self::$name(args) => Box::pin($module::run(*args, session)),)*)*
                }
            }

            fn ctrl_c(&self) -> CtrlC {
                match self {
                    $($(Self::$name(_) => CtrlC::$ctrl_c,)*)*
                }
            }
        }

        /// The headings, each with the number of commands below it.
        const GROUPS: &[(&str, usize)] = &[$(($heading, [$(stringify!($name)),*].len())),*];
    };
}

/// What Ctrl-C does to a command. A second Ctrl-C ends any command at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CtrlC {
    /// Ends it at once: it changes nothing.
    Ends,
    /// The command waits for it or holds it (see [`Session::interrupt`]), stops cleanly and reports what was done. It ends at
    /// once while the command does neither.
    Handled,
}

/// The threads that the tasks of a command run on, beside those for work that blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Threads {
    /// One, which spends the least processor time where tasks hand much on to each other.
    One,
    /// As many as the machine has processors.
    Many,
}

impl Command {
    fn threads(&self) -> Threads {
        match self {
            Self::Put(_) => Threads::One,
            _ => Threads::Many,
        }
    }
}

commands! {
    "Provision" {
        Setup(setup::SetupArgs, Handled),
        Plan(plan::PlanArgs, Ends),
        Destroy(destroy::DestroyArgs, Handled),
        Verify(verify::VerifyArgs, Handled),
        Outputs(outputs::OutputsArgs, Ends),
        Open(open::OpenArgs, Ends),
        Init(init::InitArgs, Ends),
    }
    "Streams" {
        List(list::ListArgs, Ends),
        Describe(describe::DescribeArgs, Ends),
        Create(create::CreateArgs, Handled),
        Delete(delete::DeleteArgs, Handled),
        Encrypt(encrypt::EncryptArgs, Handled),
        Tag(tag::TagArgs, Handled),
        Retention(retention::RetentionArgs, Handled),
        Mode(mode::ModeArgs, Handled),
        Monitoring(monitoring::MonitoringArgs, Handled),
        Reshard(reshard::ReshardArgs, Handled),
        Size(size::SizeArgs, Ends),
        Consumer(consumer::ConsumerArgs, Handled),
        Channel(channel::ChannelArgs, Handled),
        RecordSize(record_size::RecordSizeArgs, Handled),
        WarmThroughput(warm_throughput::WarmThroughputArgs, Handled),
        Account(account::AccountArgs, Handled),
        Policy(policy::PolicyArgs, Handled),
    }
    "Data" {
        Put(put::PutArgs, Handled),
        Tail(tail::TailArgs, Handled),
        Sample(sample::SampleArgs, Handled),
        Group(group::GroupArgs, Handled),
        Generate(generate::GenerateArgs, Handled),
        Copy(copy::CopyArgs, Handled),
    }
    "Functions" {
        Handlers(handlers::HandlersArgs, Ends),
        Deploy(deploy::DeployArgs, Handled),
        Undeploy(undeploy::UndeployArgs, Handled),
        Attach(attach::AttachArgs, Handled),
        Detach(detach::DetachArgs, Handled),
        Mappings(mappings::MappingsArgs, Ends),
        Invoke(invoke::InvokeArgs, Handled),
        Logs(logs::LogsArgs, Handled),
        Dlq(dlq::DlqArgs, Handled),
    }
    "Operate" {
        Doctor(doctor::DoctorArgs, Handled),
        Metrics(metrics::MetricsArgs, Ends),
        Alarms(alarms::AlarmsArgs, Handled),
        Dashboard(dashboard::DashboardArgs, Handled),
        Cost(cost::CostArgs, Ends),
        Top(top::TopArgs, Ends),
    }
    "Local" {
        Local(local::LocalArgs, Handled),
        Demo(demo::DemoArgs, Handled),
    }
    "Shell" {
        Help(help::HelpArgs, Ends),
        Completions(completions::CompletionsArgs, Ends),
        Man(man::ManArgs, Ends),
        Config(config::ConfigArgs, Ends),
    }
}

/// Provision and operate Amazon Kinesis data streams and the functions that read them, on AWS or on an embedded local
/// cloud.
#[derive(Debug, Parser)]
#[command(
    name = "streamctl",
    version,
    propagate_version = true,
    disable_help_subcommand = true
)]
#[command(after_help = "\
Examples:
  streamctl demo                      try it on the local cloud
  streamctl setup --shard-count 1     create the default stream
  streamctl put --file records.json   send records
  streamctl tail --from trim -n 10    read them back
  streamctl metrics                   see the last hour
  streamctl setup retail              create a pipeline from a template
  streamctl destroy                   delete what setup created")]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

impl Command {
    /// Whether it has a CSV form.
    fn writes_csv(&self) -> bool {
        matches!(self, Self::Metrics(_) | Self::Cost(_))
    }

    /// The error of a format that only other commands write.
    fn refuses(&self, format: Format) -> Option<Error> {
        match format {
            Format::Csv => (!self.writes_csv()).then(no_csv),
            Format::Raw => (!matches!(self, Self::Tail(_))).then(no_raw),
            Format::Table | Format::Json | Format::Yaml | Format::Text => None,
        }
    }
}

impl Cli {
    /// The definition of the command line, with the commands in groups in its help.
    fn definition() -> clap::Command {
        let command = Self::command();
        let template = help::template(&command);
        with_timeout(command.help_template(template))
    }

    fn ui_options(&self) -> UiOptions {
        let mut options = self.global.ui_options();
        // The demo has a cloud of its own, which no flag chooses.
        if matches!(self.command, Command::Demo(_)) {
            options.repeated = TargetFlags::default();
        }
        options
    }

    fn parse_words(
        words: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> clap::error::Result<Self> {
        let mut command = Self::definition();
        let matches = command.try_get_matches_from_mut(words)?;
        Self::from_arg_matches(&matches).map_err(|error| error.format(&mut command))
    }
}

/// What `main` hands to the commands, so that this library depends on neither.
#[derive(Clone, Copy)]
pub struct Parts {
    /// The bundled handlers; empty in a streamctl that was built without them.
    pub handlers: bundle::Zips,
    /// Runs the local cloud in this process; `None` in a streamctl that was built without it.
    pub local_cloud: Option<daemon::Run>,
}

/// Runs the process: parses the command line, runs the command, reports errors.
pub fn main(parts: Parts) -> Exit {
    ground::platform::memory::share_between_threads();
    bundle::carry(parts.handlers);
    if completions::answered() {
        return Exit::Done;
    }
    let words: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::parse_words(&words) {
        Ok(cli) => cli,
        Err(error) => return usage::print(&error, &words, &Printer::new(Default::default())),
    };
    let printer = Printer::new(cli.ui_options());
    decide_layout(printer.style());
    if let Command::Help(args) = &cli.command {
        return help::show(args, &printer).unwrap_or_else(|error| reported(&error, &printer));
    }
    let is_daemon = matches!(&cli.command, Command::Local(args) if args.is_daemon());
    if let Err(error) = log_to_stderr(cli.global.verbose, is_daemon) {
        printer.error(&error);
        return error.exit();
    }
    let configuration = match cli.global.configuration() {
        Ok(configuration) => configuration,
        Err(error) => {
            printer.error(&error);
            return error.exit();
        }
    };
    tell_ignored(&printer, &configuration);
    domain::cost::keep_refreshed_in(shared::session::price_file(&configuration.settings));
    hide_endpoints(&configuration);
    let runtime = match start_runtime(cli.command.threads()) {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.error(&error);
            return error.exit();
        }
    };
    let outcome = runtime.block_on(run(cli, configuration, printer, parts.local_cloud));
    // Do not wait for a thread that still reads stdin.
    runtime.shutdown_background();
    outcome
}

/// Starts the threads of the process.
fn start_runtime(threads: Threads) -> Result<tokio::runtime::Runtime> {
    /// Threads beside the workers that a command needs at once, such as that which reads its input.
    const OTHERS: usize = 4;
    let (mut runtime, workers) = match threads {
        Threads::One => (tokio::runtime::Builder::new_current_thread(), 0),
        Threads::Many => {
            let workers = std::thread::available_parallelism().map_or(1, usize::from);
            (tokio::runtime::Builder::new_multi_thread(), workers)
        }
    };
    ground::platform::threads::check(workers + OTHERS).map_err(|error| {
        Error::failed("could not start the threads of this command")
            .cause(error)
            .hint("free some memory, or raise the limit of processes with `ulimit -u 1024`")
    })?;
    runtime.enable_all().build().map_err(|error| {
        Error::failed("could not start the async runtime")
            .cause(error)
            .hint("raise the limits of open files and processes with `ulimit -n 1024` and `ulimit -u 1024`")
    })
}

async fn run(
    cli: Cli,
    configuration: Configuration,
    printer: Printer,
    local_cloud: Option<daemon::Run>,
) -> Exit {
    let session = Session::new(configuration, &cli.global, Arc::new(printer), local_cloud);
    if let Some(error) = cli.command.refuses(session.printer().format()) {
        session.printer().error(&error);
        return error.exit();
    }
    let ends_at_once = cli.command.ctrl_c() == CtrlC::Ends;
    let command = cli.command.run(&session);
    let outcome = tokio::select! {
        outcome = command => outcome,
        () = session.interrupt().wait(), if ends_at_once => Ok(Exit::Interrupted),
        () = session.interrupt().wait_unheld() => {
            let text = "Stopped while waiting for an answer; a call that was sent may still take effect";
            session.printer().warn(text);
            Ok(Exit::Interrupted)
        }
        () = session.interrupt().wait_again() => Ok(Exit::Interrupted),
    };
    session.printer().waiting(None);
    match outcome.and_then(|exit| session.printer().flush().map(|()| exit)) {
        Ok(exit) => exit,
        Err(error) => {
            let error = session.with_credentials_named(error);
            reported(&error, session.printer())
        }
    }
}

/// The exit code of `error`, which is printed unless nobody reads the output any more.
fn reported(error: &Error, printer: &Printer) -> Exit {
    let is_broken_pipe = std::error::Error::source(error).is_some_and(|source| source.is::<BrokenPipe>());
    if !is_broken_pipe {
        printer.error(error);
    }
    error.exit()
}

/// Names the settings that do not count.
fn tell_ignored(printer: &Printer, configuration: &Configuration) {
    if let [_, ..] = configuration.ignored.as_slice() {
        printer.note(&format!(
            ".env: {} ignored; it sets only names, numbers and keys (see `streamctl config show --help`)",
            units::listed(&configuration.ignored)
        ));
    }
    if let [first, rest @ ..] = configuration.unread.as_slice() {
        let more = match rest.len() {
            0 => String::new(),
            more => format!(" and {}", units::counted(more as u64, "other line")),
        };
        printer.warn(&format!(
            ".env: line {first}{more} ignored: not of the form NAME=value"
        ));
    }
    let endpoints = &configuration.settings.access.ignored;
    if let [_, ..] = endpoints.as_slice() {
        printer.note(&format!(
            "{} ignored: --target aws always uses AWS",
            units::listed(endpoints)
        ));
    }
}

/// Removes the variables that `--target aws` ignores: the SDK reads the environment itself when it asks STS or SSO for
/// credentials. Must be called before any thread is started.
fn hide_endpoints(configuration: &Configuration) {
    for name in &configuration.settings.access.ignored {
        // SAFETY: this is the only thread. `main` calls this before it builds the runtime, and nothing that it does before
        // starts a thread: it parses arguments, sets up the output and reads files.
        unsafe { std::env::remove_var(name) };
    }
}

/// Logs what `STREAMCTL_LOG` or `--verbose` asks for.
///
/// # Errors
/// Exit 2 if `STREAMCTL_LOG` is not a filter.
fn log_to_stderr(verbose: u8, is_daemon: bool) -> Result<()> {
    use tracing_subscriber::EnvFilter;
    const VARIABLE: &str = "STREAMCTL_LOG";
    let asked = std::env::var(VARIABLE).unwrap_or_default();
    let asked = match asked.trim() {
        "" => None,
        directives => Some(EnvFilter::try_new(directives).map_err(|error| {
            Error::usage(format!("{VARIABLE} is {directives:?}, not a log filter"))
                .cause(error.to_string())
                .hint("set it to a level (error, warn, info, debug or trace) or to MODULE=LEVEL, such as domain=trace")
        })?),
    };
    let default = match verbose {
        0 if is_daemon => "warn,hyper=error",
        0 => return Ok(()),
        1 => "streamctl=debug,domain=debug,daemon=debug,lambda_host=debug,local_cloud=debug",
        // The SDK's own messages can contain signatures: only STREAMCTL_LOG shows them.
        _ => "streamctl=trace,domain=trace,daemon=trace,lambda_host=trace,local_cloud=trace,aws_config=debug",
    };
    let filter = asked.unwrap_or_else(|| EnvFilter::new(default));
    let log = daemon::log::Log::new(io::stderr());
    // Only fails where a logger is already set, as in tests that call this twice.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(move || log.clone())
        .try_init();
    Ok(())
}

#[cfg(test)]
mod tests;
