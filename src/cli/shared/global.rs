//! The options that every command takes.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use etcetera::BaseStrategy;

use crate::ui::{Format, TargetFlags, UiOptions};
use domain::settings::{
    ConfigFile, ConfigSource, DotEnv, Explained, Flags, Settings, Sources, TargetChoice, parse_timeout,
};
use ground::error::Result;
use ground::platform;

/// File names in the working directory.
pub(crate) const CONFIG_FILE: &str = "streamctl.toml";
const DOTENV_FILE: &str = ".env";

/// The settings, and what can be told about them.
pub(crate) struct Configuration {
    pub(crate) settings: Settings,
    /// Where each setting comes from.
    pub(crate) explained: Vec<Explained>,
    /// `streamctl.toml`, or the file of `--config`.
    pub(crate) file: Option<ConfigSource>,
    /// Variables of `.env` that do not count.
    pub(crate) ignored: Vec<String>,
    /// Numbers of the lines of `.env` that are not assignments.
    pub(crate) unread: Vec<usize>,
}

/// Options every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct GlobalArgs {
    /// Where to act: aws or local [default: aws if this machine is configured for AWS]
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
    /// Longest time that a call may take, with its retries [default: 60s]
    #[arg(id = CALL_TIMEOUT, long = TIMEOUT, global = true, value_name = "TIME", value_parser = parse_timeout)]
    timeout: Option<Duration>,
    /// Output format: table, json, yaml or text
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        value_name = "FORMAT",
        hide_possible_values = true
    )]
    output: Option<OutputArg>,
    /// Print only warnings and errors on stderr
    #[arg(short, long, global = true)]
    quiet: bool,
    /// Print each call on stderr (-vv: also what is sent and answered)
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colour: auto, always or never
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    #[arg(hide_possible_values = true, hide_default_value = true)]
    color: ColorArg,
    /// Show no progress bars
    #[arg(long, global = true)]
    no_progress: bool,
    /// Read this file instead of ./streamctl.toml
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

const TIMEOUT: &str = "timeout";
const CALL_TIMEOUT: &str = "call-timeout";

/// The commands of `command`, each with the global `--timeout`. Where `--timeout` is that of a function or an alarm, the
/// global one is `--call-timeout`.
pub(crate) fn with_timeout(command: clap::Command) -> clap::Command {
    let has_own = command.get_arguments().any(|arg| arg.get_long() == Some(TIMEOUT));
    let is_global = command
        .get_arguments()
        .any(|arg| arg.get_id().as_str() == CALL_TIMEOUT);
    let command = command.mut_subcommands(with_timeout);
    if !has_own || is_global {
        return command;
    }
    // clap gives a subcommand no global argument that it has already.
    let arg = clap::Arg::new(CALL_TIMEOUT).long(CALL_TIMEOUT);
    let arg = arg.value_name("TIME").value_parser(parse_timeout);
    command.arg(
        arg.help_heading("Global options")
            .help("Longest time that a call may take, with its retries [default: 60s]"),
    )
}

#[derive(Debug, Clone, Copy, ValueEnum)]
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

#[derive(Debug, Clone, Copy, ValueEnum)]
enum OutputArg {
    Table,
    Json,
    Yaml,
    Text,
    /// Of some reports only
    Csv,
    /// Of `tail` only
    Raw,
}

impl From<OutputArg> for Format {
    fn from(arg: OutputArg) -> Self {
        match arg {
            OutputArg::Table => Self::Table,
            OutputArg::Json => Self::Json,
            OutputArg::Yaml => Self::Yaml,
            OutputArg::Text => Self::Text,
            OutputArg::Csv => Self::Csv,
            OutputArg::Raw => Self::Raw,
        }
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ColorArg {
    Auto,
    Always,
    Never,
}

impl GlobalArgs {
    pub(crate) fn ui_options(&self) -> UiOptions {
        UiOptions {
            format: self.output.map(Into::into),
            quiet: self.quiet,
            no_progress: self.no_progress,
            color: match self.color {
                ColorArg::Auto => None,
                ColorArg::Always => Some(true),
                ColorArg::Never => Some(false),
            },
            repeated: self.target_flags(),
        }
    }

    /// The settings that flags, environment and files resolve to.
    ///
    /// # Errors
    /// Exit 2 for a value that is not valid or a file that cannot be read.
    pub(crate) fn configuration(&self) -> Result<Configuration> {
        let flags = Flags {
            target: self.target.map(Into::into),
            endpoint_url: self.endpoint_url.clone(),
            region: self.region.clone(),
            profile: self.profile.clone(),
            timeout: self.timeout,
        };
        let path = self.config.as_deref().unwrap_or(Path::new(CONFIG_FILE));
        let base = etcetera::choose_base_strategy().ok();
        let sources = Sources {
            env: &|name| std::env::var(name).ok(),
            dotenv: DotEnv::read(Path::new(DOTENV_FILE))?,
            file: ConfigFile::read(path, self.config.is_some())?,
            exists: &|path| path.exists(),
            is_ec2: &platform::is_ec2,
            home_dir: base.as_ref().map(|base| base.home_dir().to_path_buf()),
            data_dir: base.map(|base| base.data_dir()),
        };
        let (settings, explained) = Settings::explain(&flags, &sources)?;
        Ok(Configuration {
            settings,
            explained,
            file: sources.file.source,
            ignored: sources.dotenv.ignored().to_vec(),
            unread: sources.dotenv.unread().to_vec(),
        })
    }

    /// `--region`.
    pub(crate) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The flags that choose where a command acts, as typed.
    fn target_flags(&self) -> TargetFlags {
        let target = self.target.map(|target| match target {
            TargetArg::Aws => "aws",
            TargetArg::Local => "local",
        });
        let config = self.config.as_ref().map(|path| path.display().to_string());
        [
            ("--target", target),
            ("--endpoint-url", self.endpoint_url.as_deref()),
            ("--region", self.region.as_deref()),
            ("--profile", self.profile.as_deref()),
            ("--config", config.as_deref()),
        ]
        .into_iter()
        .filter_map(|(flag, value)| Some((flag, value?.to_owned())))
        .collect()
    }
}
