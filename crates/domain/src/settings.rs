//! Flags, environment, `.env` and `streamctl.toml` resolved into plain values.
//!
//! Precedence, highest first: flag, environment variable, `.env`, `streamctl.toml`, default. Pure but for the trusted
//! files: all input comes from [`Sources`]. Files of the working directory choose names and numbers; [`dotenv`] and
//! [`trust`] say what they can not do.

mod access;
pub mod dotenv;
pub mod edit;
mod file;
mod target;
pub mod trust;

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use access::{Access, CredentialSource, SERVICES};
pub use dotenv::DotEnv;
pub use file::{ConfigFile, ConfigSource};
pub use target::{Target, TargetChoice, is_endpoint, is_loopback};
pub use trust::Trust;

use ground::duration::{self, Parser, Unit};
use ground::error::{Error, Result};

/// The default stream. Source: the concert pipeline's contract.
pub const DEFAULT_STREAM: &str = "concert-data-stream";

/// The default region.
pub const DEFAULT_REGION: &str = "us-east-1";

/// Values of command-line flags.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `--target`.
    pub target: Option<TargetChoice>,
    /// `--endpoint-url`.
    pub endpoint_url: Option<String>,
    /// `--region`.
    pub region: Option<String>,
    /// `--profile`.
    pub profile: Option<String>,
    /// `--timeout`.
    pub timeout: Option<Duration>,
}

/// Sources of settings.
pub struct Sources<'a> {
    /// Reads an environment variable; empty values count as unset.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// `.env` of the working directory.
    pub dotenv: DotEnv,
    /// `streamctl.toml`, or its defaults.
    pub file: ConfigFile,
    /// Whether the file exists (used to find the shared AWS config files).
    pub exists: &'a dyn Fn(&std::path::Path) -> bool,
    /// Whether this machine is an EC2 instance; called only when nothing else decides the target.
    pub is_ec2: &'a dyn Fn() -> bool,
    /// The user's home directory.
    pub home_dir: Option<PathBuf>,
    /// The platform's data directory, without streamctl's subdirectory.
    pub data_dir: Option<PathBuf>,
}

/// Where a setting comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A command-line flag.
    Flag(&'static str),
    /// An environment variable.
    Variable(&'static str),
    /// A variable in `.env`.
    DotEnv(&'static str),
    /// `streamctl.toml`, or the file that `--config` names.
    File,
    /// The configuration of this machine: credentials, a profile or a role.
    Machine,
    /// Nothing sets it.
    Default,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) | Self::Variable(name) => f.write_str(name),
            Self::DotEnv(name) => write!(f, "{name} in .env"),
            Self::File => f.write_str("streamctl.toml"),
            Self::Machine => f.write_str("AWS configuration of this machine"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// A setting and where it comes from, for `config show`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    pub name: &'static str,
    /// `None` if nothing sets it, and there is no default or it depends on the target. Never a secret.
    pub value: Option<String>,
    pub source: Source,
}

/// Resolved settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub target: Target,
    /// What chose the target.
    pub target_source: Source,
    /// Credentials, and the endpoints that they may be sent to.
    pub access: Access,
    /// The region, if a flag, variable or `streamctl.toml` sets one; else the profile's, else [`DEFAULT_REGION`].
    pub region: Option<String>,
    /// The AWS profile, if set.
    pub profile: Option<String>,
    /// The default stream.
    pub stream: String,
    /// `AWS_KINESIS_SHARD_COUNT`, the default of `setup --shard-count`.
    pub shard_count: Option<u32>,
    /// `APP_ENVIRONMENT`, the value of the `Environment` tag, if set.
    pub environment: Option<String>,
    /// How long a call may take with all its attempts, if the user limits it.
    pub timeout: Option<Duration>,
    /// Directory of the local cloud (`STREAMCTL_HOME`).
    pub home: PathBuf,
}

#[cfg(test)]
impl Settings {
    /// For tests: the endpoint `url` and the stream `orders`.
    pub(crate) fn of_endpoint(url: &str) -> Self {
        Self {
            target: Target::Endpoint(url.to_owned()),
            target_source: Source::Flag("--endpoint-url"),
            access: Access::default(),
            region: Some(DEFAULT_REGION.to_owned()),
            profile: None,
            stream: "orders".to_owned(),
            shard_count: None,
            environment: None,
            timeout: None,
            home: "/nowhere".into(),
        }
    }
}

const REGION: &[&str] = &["AWS_REGION", "AWS_DEFAULT_REGION"];
pub(crate) const PROFILE: &[&str] = &["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
const ENVIRONMENT: &[&str] = &["APP_ENVIRONMENT"];
const STREAM: &[&str] = &["STREAMCTL_STREAM", "AWS_KINESIS_STREAM_NAME"];

impl Settings {
    /// Resolves all settings.
    ///
    /// # Errors
    /// Exit 2 when a variable or the file has an invalid value.
    pub fn resolve(flags: &Flags, sources: &Sources<'_>) -> Result<Self> {
        Ok(Self::explain(flags, sources)?.0)
    }

    /// As [`Settings::resolve`], and where each setting comes from.
    ///
    /// # Errors
    /// As [`Settings::resolve`].
    pub fn explain(flags: &Flags, sources: &Sources<'_>) -> Result<(Self, Vec<Explained>)> {
        let lookup = Lookup { sources };
        let file = &sources.file;
        let home = home(&lookup)?;
        let (target, target_source) = target::resolve(flags, &lookup)?;
        let mut access = Access::resolve(flags, &lookup, &target, &target_source)?;
        if let (Target::Endpoint(url), Source::File) = (&target, target_source) {
            access.untrusted = untrusted(file, url, &home.value);
        }
        access.named_by = named_by(&target, target_source, file);
        let region = flag("--region", &flags.region)
            .or_else(|| lookup.variable(REGION))
            .or_else(|| in_file(&file.region));
        if let Some(region) = &region {
            check_region(&region.value)?;
        }
        let profile = profile(flags, &lookup, &access);
        let stream = stream(&lookup);
        let environment = lookup
            .variable(ENVIRONMENT)
            .or_else(|| in_file(&file.environment));
        let shard_count = shard_count(&lookup)?;
        let timeout = timeout(flags, &lookup)?;
        let explained = vec![
            Explained {
                name: "target",
                value: Some(target.to_string()),
                source: target_source,
            },
            explained("region", region.as_ref()),
            explained("profile", profile.as_ref()),
            access.explained(),
            explained("stream", Some(&stream)),
            explained("shard_count", shard_count.as_ref()),
            explained("environment", environment.as_ref()),
            explained(
                "timeout",
                timeout.clone().map(|found| found.map(duration::format)).as_ref(),
            ),
            explained("home", Some(&home.clone().map(|home| home.display().to_string()))),
        ];
        let settings = Self {
            target,
            target_source,
            access,
            region: region.map(|found| found.value),
            profile: profile.map(|found| found.value),
            stream: stream.value,
            shard_count: shard_count.map(|found| found.value),
            environment: environment.map(|found| found.value),
            timeout: timeout.map(|found| found.value),
            home: home.value,
        };
        Ok((settings, explained))
    }
}

impl Settings {
    /// Whether an emulator on this machine gets a placeholder for credentials, because the user has none.
    pub fn sends_placeholder(&self) -> bool {
        let access = &self.access;
        let has_credentials = self.profile.is_some() || access.credentials != CredentialSource::Machine;
        let is_here = matches!(&self.target, Target::Endpoint(url) if is_loopback(url));
        is_here && access.endpoints.values().all(|url| is_loopback(url)) && !has_credentials
    }

    /// The next step where credentials are missing, unknown or expired: it names them and the command that mends them.
    /// `are_there` is false if none were found.
    pub fn mend_credentials(&self, are_there: bool) -> String {
        match self.sends_placeholder() {
            true => "streamctl sends placeholder credentials to an endpoint on this machine, unless --profile or the \
                     environment names credentials: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
                .to_owned(),
            false => self.access.mend(self.profile.as_deref(), are_there),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
struct Found<T> {
    value: T,
    source: Source,
}

impl<T> Found<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Found<U> {
        Found {
            value: change(self.value),
            source: self.source,
        }
    }
}

/// Looks up settings in their sources.
struct Lookup<'a> {
    sources: &'a Sources<'a>,
}

impl Lookup<'_> {
    /// A variable of the environment, if it is not empty.
    fn environment(&self, name: &str) -> Option<String> {
        (self.sources.env)(name).filter(|value| !value.trim().is_empty())
    }

    /// A variable of `.env`, if it is not empty.
    fn dotenv(&self, name: &str) -> Option<String> {
        self.sources.dotenv.get(name).map(str::to_owned)
    }

    /// The first of `names` that the environment has, else the first that `.env` has.
    fn variable(&self, names: &[&'static str]) -> Option<Found<String>> {
        let mut all = names.iter();
        let in_environment = all.find_map(|name| {
            let value = self.environment(name)?;
            Some(Found {
                value,
                source: Source::Variable(name),
            })
        });
        in_environment.or_else(|| {
            names.iter().find_map(|name| {
                let value = self.dotenv(name)?;
                Some(Found {
                    value,
                    source: Source::DotEnv(name),
                })
            })
        })
    }
}

fn flag(name: &'static str, value: &Option<String>) -> Option<Found<String>> {
    let value = value.clone()?;
    Some(Found {
        value,
        source: Source::Flag(name),
    })
}

fn in_file<T: Clone>(value: &Option<T>) -> Option<Found<T>> {
    let value = value.clone()?;
    Some(Found {
        value,
        source: Source::File,
    })
}

fn explained<T: ToString>(name: &'static str, found: Option<&Found<T>>) -> Explained {
    Explained {
        name,
        value: found.map(|found| found.value.to_string()),
        source: found.map_or(Source::Default, |found| found.source),
    }
}

/// Only the user's own environment moves the home.
fn home(lookup: &Lookup<'_>) -> Result<Found<PathBuf>> {
    if let Some(home) = lookup.environment("STREAMCTL_HOME") {
        return Ok(Found {
            value: PathBuf::from(home),
            source: Source::Variable("STREAMCTL_HOME"),
        });
    }
    let data = lookup.sources.data_dir.as_ref();
    let value = data.map(|dir| dir.join("streamctl")).ok_or_else(|| {
        Error::usage("the home directory of this user is not known").hint("set STREAMCTL_HOME to a directory")
    })?;
    Ok(Found {
        value,
        source: Source::Default,
    })
}

/// A profile that a file names is only a default: it does not count where the environment or `.env` has keys.
fn profile(flags: &Flags, lookup: &Lookup<'_>, access: &Access) -> Option<Found<String>> {
    let found = flag("--profile", &flags.profile)
        .or_else(|| lookup.variable(PROFILE))
        .or_else(|| in_file(&lookup.sources.file.profile))?;
    let keys = matches!(
        access.credentials,
        CredentialSource::Variables | CredentialSource::Keys(_) | CredentialSource::Incomplete { .. }
    );
    let default_only = matches!(found.source, Source::DotEnv(_) | Source::File);
    (!keys || !default_only).then_some(found)
}

fn shard_count(lookup: &Lookup<'_>) -> Result<Option<Found<u32>>> {
    const NAME: &str = "AWS_KINESIS_SHARD_COUNT";
    let Some(found) = lookup.variable(&[NAME]) else {
        return Ok(in_file(&lookup.sources.file.shard_count));
    };
    let value = found
        .value
        .trim()
        .parse()
        .map_err(|_| Error::usage(format!("{NAME} is {:?}, not a number of shards", found.value)))?;
    Ok(Some(found.map(|_| value)))
}

fn stream(lookup: &Lookup<'_>) -> Found<String> {
    let found = lookup.variable(STREAM);
    let found = found.or_else(|| in_file(&lookup.sources.file.stream));
    found.unwrap_or_else(|| Found {
        value: DEFAULT_STREAM.to_owned(),
        source: Source::Default,
    })
}

/// Flag, variable, file: how long a call may take.
fn timeout(flags: &Flags, lookup: &Lookup<'_>) -> Result<Option<Found<Duration>>> {
    const NAME: &str = "STREAMCTL_TIMEOUT";
    if let Some(value) = flags.timeout {
        return Ok(Some(Found {
            value,
            source: Source::Flag("--timeout"),
        }));
    }
    let found = lookup
        .variable(&[NAME])
        .or_else(|| in_file(&lookup.sources.file.timeout));
    let Some(found) = found else { return Ok(None) };
    let value = parse_timeout(&found.value).map_err(|cause| {
        let name = match found.source {
            Source::File => "timeout in streamctl.toml",
            _ => NAME,
        };
        Error::usage(format!("{name} is {:?}, not a time limit of calls", found.value))
            .cause(cause)
            .hint("give a time such as 10s or 2m")
    })?;
    Ok(Some(found.map(|_| value)))
}

/// Parses the time limit of a call: 100 milliseconds to an hour.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_timeout(text: &str) -> Result<Duration, String> {
    const TIMEOUT: Parser =
        Parser::whole(Unit::Millisecond).between(Duration::from_millis(100), Duration::from_secs(3_600));
    TIMEOUT.parse(text)
}

/// What chose the endpoint of the target, for an error of a call.
fn named_by(target: &Target, source: Source, file: &ConfigFile) -> Option<String> {
    match (target, source) {
        (Target::Aws, _) => None,
        (Target::Local, _) => Some(ground::error::aws::LOCAL.to_owned()),
        (Target::Endpoint(_), Source::File) => {
            let file = file.source.as_ref()?;
            let line = file.line_of("endpoint_url");
            let line = line.map(|line| format!(" line {line}")).unwrap_or_default();
            Some(format!("{}{line}", file.path.display()))
        }
        (Target::Endpoint(_), source) => Some(source.to_string()),
    }
}

/// The file that names the endpoint `url`, if credentials may not be sent there: it is not on this machine, and the user
/// neither named the file nor trusts it.
fn untrusted(file: &ConfigFile, url: &str, home: &Path) -> Option<PathBuf> {
    let source = file.source.as_ref()?;
    let trusted = source.named || is_loopback(url) || Trust::new(home).has(&source.path, &source.text);
    (!trusted).then(|| source.path.clone())
}

/// Rejects an invalid region name before it becomes part of a host name.
fn check_region(region: &str) -> Result<()> {
    let well_formed = region.len() <= 32
        && region.split('-').count() >= 3
        && region
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && region.bytes().last().is_some_and(|b| b.is_ascii_digit());
    if well_formed {
        return Ok(());
    }
    Err(Error::usage(format!("{region:?} is not an AWS region"))
        .hint("a region looks like us-east-1; set it with --region or AWS_REGION"))
}

#[cfg(test)]
mod tests;
