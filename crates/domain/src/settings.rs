//! Flags, environment, `.env` and `streamctl.toml` resolved into plain values.
//!
//! Precedence, highest first: flag, environment variable, `.env` (loaded into the environment at start; existing
//! variables win), `streamctl.toml`, default. Pure: all input comes from [`Sources`].

mod file;
mod target;

use std::path::PathBuf;

pub use file::ConfigFile;
pub use target::{Target, TargetChoice, TargetReason};

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
}

/// Sources of settings.
pub struct Sources<'a> {
    /// Reads an environment variable; empty values count as unset.
    pub env: &'a dyn Fn(&str) -> Option<String>,
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

/// Resolved settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub target: Target,
    /// Why that target was chosen.
    pub target_reason: TargetReason,
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
    /// Directory of the local cloud (`STREAMCTL_HOME`).
    pub home: PathBuf,
}

impl Settings {
    /// Resolves all settings.
    ///
    /// # Errors
    /// Exit 2 when a variable or the file has an invalid value.
    pub fn resolve(flags: &Flags, sources: &Sources<'_>) -> Result<Self> {
        let env = |name: &str| (sources.env)(name).filter(|value| !value.trim().is_empty());
        let (target, target_reason) = target::resolve(flags, sources)?;
        let region = flags
            .region
            .clone()
            .or_else(|| env("AWS_REGION"))
            .or_else(|| env("AWS_DEFAULT_REGION"))
            .or_else(|| sources.file.region.clone());
        if let Some(region) = &region {
            check_region(region)?;
        }
        let stream = env("STREAMCTL_STREAM")
            .or_else(|| env("AWS_KINESIS_STREAM_NAME"))
            .or_else(|| sources.file.stream.clone())
            .unwrap_or_else(|| DEFAULT_STREAM.to_owned());
        let shard_count = env("AWS_KINESIS_SHARD_COUNT")
            .map(|text| {
                text.trim().parse().map_err(|_| {
                    Error::usage(format!(
                        "AWS_KINESIS_SHARD_COUNT is {text:?}, not a number of shards"
                    ))
                })
            })
            .transpose()?
            .or(sources.file.shard_count);
        let home = env("STREAMCTL_HOME")
            .map(PathBuf::from)
            .or_else(|| sources.data_dir.as_ref().map(|dir| dir.join("streamctl")))
            .ok_or_else(|| {
                Error::usage("this machine names no home directory").hint("set STREAMCTL_HOME to a directory")
            })?;
        Ok(Self {
            target,
            target_reason,
            region,
            profile: flags
                .profile
                .clone()
                .or_else(|| env("AWS_PROFILE"))
                .or_else(|| sources.file.profile.clone()),
            stream,
            shard_count,
            environment: env("APP_ENVIRONMENT").or_else(|| sources.file.environment.clone()),
            home,
        })
    }
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
    Err(Error::unreachable(format!("{region:?} is not an AWS region"))
        .hint("a region looks like us-east-1; set it with --region or AWS_REGION"))
}

#[cfg(test)]
mod tests;
