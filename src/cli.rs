//! The command line: one file per subcommand. The only place that knows clap.
//!
//! A subcommand's file holds its arguments and a `run` that resolves them, calls the domain and renders what comes
//! back. Shared by all: [`GlobalArgs`] and [`Session`].

mod attach;
mod demo;
mod deploy;
mod describe;
mod destroy;
mod detach;
mod dlq;
mod duration;
mod function;
mod handlers;
mod init;
mod invoke;
mod list;
mod local;
mod logs;
mod mappings;
mod metrics;
mod outputs;
mod plan;
mod policy;
mod put;
mod session;
mod setup;
mod tail;
mod template;
mod undeploy;
mod verify;

use std::io;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};

pub use session::{Interrupt, Session};

use crate::functions::bundle;
use crate::settings::TargetChoice;
use crate::ui::{BrokenPipe, Format, Printer, UiOptions};
use ground::error::{Error, Result};
use ground::exit::Exit;

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
  streamctl demo                      the whole tour on the local cloud
  streamctl setup --shard-count 1     create the default stream
  streamctl put --file records.json   send records
  streamctl tail --from trim -n 10    read them back
  streamctl metrics                   see the last hour
  streamctl setup retail              a pipeline: stream, function, table, alarms
  streamctl destroy                   delete what setup made")]
pub struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Command,
}

/// Options every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct GlobalArgs {
    /// Where to act: aws or local [default: aws if this machine shows any sign of it]
    #[arg(
        long,
        global = true,
        value_enum,
        value_name = "TARGET",
        hide_possible_values = true
    )]
    target: Option<TargetArg>,
    /// Endpoint of an AWS-compatible service
    #[arg(long, global = true, value_name = "URL")]
    endpoint_url: Option<String>,
    /// AWS region
    #[arg(long, global = true, value_name = "REGION")]
    region: Option<String>,
    /// Profile of the shared AWS configuration
    #[arg(long, global = true, value_name = "NAME")]
    profile: Option<String>,
    /// Shape of the output: table, json, yaml or text
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    output: Option<Format>,
    /// Say only warnings and errors on stderr
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Log what happens inside, on stderr (-vv for more)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    verbose: u8,
    /// When to use colour: auto, always or never
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    color: ColorArg,
    /// Show no progress bars
    #[arg(long, global = true)]
    no_progress: bool,
    /// Read this file instead of ./streamctl.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<std::path::PathBuf>,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum TargetArg {
    Aws,
    Local,
}

impl From<TargetArg> for TargetChoice {
    fn from(arg: TargetArg) -> Self {
        match arg {
            TargetArg::Aws => Self::Aws,
            TargetArg::Local => Self::Local,
        }
    }
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum ColorArg {
    Auto,
    Always,
    Never,
}

/// Names a stream, or takes the default one.
#[derive(Debug, Clone, Default, Args)]
pub struct StreamArg {
    /// Stream to act on [default: STREAMCTL_STREAM, AWS_KINESIS_STREAM_NAME, streamctl.toml, concert-data-stream]
    #[arg(long, value_name = "NAME")]
    stream: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Setup(setup::SetupArgs),
    Plan(plan::PlanArgs),
    Destroy(destroy::DestroyArgs),
    Verify(verify::VerifyArgs),
    Outputs(outputs::OutputsArgs),
    Init(init::InitArgs),
    List(list::ListArgs),
    Describe(describe::DescribeArgs),
    Put(put::PutArgs),
    Tail(tail::TailArgs),
    Metrics(metrics::MetricsArgs),
    Handlers(handlers::HandlersArgs),
    Deploy(deploy::DeployArgs),
    Undeploy(undeploy::UndeployArgs),
    Policy(policy::PolicyArgs),
    Attach(Box<attach::AttachArgs>),
    Detach(detach::DetachArgs),
    Mappings(mappings::MappingsArgs),
    Invoke(invoke::InvokeArgs),
    Logs(logs::LogsArgs),
    Dlq(dlq::DlqArgs),
    Local(local::LocalArgs),
    Demo(demo::DemoArgs),
}

impl Command {
    async fn run(self, session: &Session) -> Result<Exit> {
        match self {
            Self::Setup(args) => setup::run(args, session).await,
            Self::Plan(args) => plan::run(args, session).await,
            Self::Destroy(args) => destroy::run(args, session).await,
            Self::Verify(args) => verify::run(args, session).await,
            Self::Outputs(args) => outputs::run(args, session).await,
            Self::Init(args) => init::run(args, session).await,
            Self::List(args) => list::run(args, session).await,
            Self::Describe(args) => describe::run(args, session).await,
            Self::Put(args) => put::run(args, session).await,
            Self::Tail(args) => tail::run(args, session).await,
            Self::Metrics(args) => metrics::run(args, session).await,
            Self::Handlers(args) => handlers::run(args, session).await,
            Self::Deploy(args) => deploy::run(args, session).await,
            Self::Undeploy(args) => undeploy::run(args, session).await,
            Self::Policy(args) => policy::run(args, session).await,
            Self::Attach(args) => attach::run(*args, session).await,
            Self::Detach(args) => detach::run(args, session).await,
            Self::Mappings(args) => mappings::run(args, session).await,
            Self::Invoke(args) => invoke::run(args, session).await,
            Self::Logs(args) => logs::run(args, session).await,
            Self::Dlq(args) => dlq::run(args, session).await,
            Self::Local(args) => local::run(args, session).await,
            Self::Demo(args) => demo::run(args, session).await,
        }
    }

    /// Commands that hear Ctrl-C themselves, to report what was done; the others are simply ended.
    fn stops_by_itself(&self) -> bool {
        !matches!(
            self,
            Self::Plan(_)
                | Self::Verify(_)
                | Self::Outputs(_)
                | Self::Init(_)
                | Self::List(_)
                | Self::Describe(_)
                | Self::Metrics(_)
                | Self::Handlers(_)
                | Self::Policy(_)
                | Self::Mappings(_)
        )
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

/// Runs the process: parse, settle, run, report.
pub fn main(parts: Parts) -> Exit {
    bundle::carry(parts.handlers);
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return parse_failure(&error),
    };
    let printer = Printer::new(UiOptions {
        format: cli.global.output,
        quiet: cli.global.quiet,
        no_progress: cli.global.no_progress,
        color: match cli.global.color {
            ColorArg::Auto => None,
            ColorArg::Always => Some(true),
            ColorArg::Never => Some(false),
        },
    });
    let is_daemon = matches!(&cli.command, Command::Local(args) if args.is_daemon());
    log_to_stderr(cli.global.verbose, is_daemon);
    // Before any thread exists: variables are read by the SDK too.
    if let Err(error) = session::load_dotenv() {
        printer.error(&error);
        return error.exit();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            printer.error(&Error::failed("could not start the async runtime").cause(error));
            return Exit::Failed;
        }
    };
    let outcome = runtime.block_on(run(cli, printer, parts.local_cloud));
    // A blocking read of stdin must not hold the process up.
    runtime.shutdown_background();
    outcome
}

async fn run(cli: Cli, printer: Printer, local_cloud: Option<daemon::Run>) -> Exit {
    let printer = Arc::new(printer);
    let session = match Session::new(&cli.global, printer.clone(), local_cloud) {
        Ok(session) => session,
        Err(error) => {
            printer.error(&error);
            return error.exit();
        }
    };
    let by_itself = cli.command.stops_by_itself();
    let command = cli.command.run(&session);
    let outcome = tokio::select! {
        outcome = command => outcome,
        () = session.interrupt().wait(), if !by_itself => Ok(Exit::Interrupted),
        () = session.interrupt().wait_again() => Ok(Exit::Interrupted),
    };
    match outcome.and_then(|exit| session.printer().flush().map(|()| exit)) {
        Ok(exit) => exit,
        Err(error) => {
            let quiet_end = std::error::Error::source(&error).is_some_and(|source| source.is::<BrokenPipe>());
            if !quiet_end {
                session.printer().error(&error);
            }
            error.exit()
        }
    }
}

/// Help and version end well; everything else is bad usage.
fn parse_failure(error: &clap::Error) -> Exit {
    let printed = error.print();
    match printed {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Exit::Failed,
        _ if error.use_stderr() => Exit::Usage,
        _ => Exit::Done,
    }
}

fn log_to_stderr(verbose: u8, is_daemon: bool) {
    use tracing_subscriber::EnvFilter;
    let default = match verbose {
        0 if is_daemon => "warn,hyper=error",
        0 => return,
        1 => "streamctl=debug,daemon=debug,local_cloud=debug",
        2 => "streamctl=trace,daemon=trace,local_cloud=trace,aws_smithy_runtime=debug,aws_config=debug",
        _ => "trace",
    };
    let filter = EnvFilter::try_from_env("STREAMCTL_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    // Only fails where a logger is already set, as in tests that call this twice.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .try_init();
}
