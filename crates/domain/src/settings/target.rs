//! Selects the target.
//!
//! Order: `--target` › `--endpoint-url` › `AWS_ENDPOINT_URL` › `STREAMCTL_TARGET` › `streamctl.toml` › AWS if this
//! machine is set up for it › the local cloud.

use std::path::Path;

use serde::Deserialize;

use super::{Flags, Sources};
use ground::error::{Error, Result};

/// A target by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TargetChoice {
    /// Amazon Web Services.
    Aws,
    /// The embedded local cloud.
    Local,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Amazon Web Services.
    Aws,
    /// An AWS-compatible endpoint.
    Endpoint(String),
    /// The embedded local cloud, started on first use.
    Local,
}

/// Why a target was chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetReason {
    /// A flag, variable or file names it.
    Asked,
    /// This machine is set up for AWS: credentials, a profile or a role.
    SignOfAws,
    /// Nothing indicates AWS.
    NoSignOfAws,
}

/// Variables that indicate AWS.
/// Source: "Environment variables support" and "Standardized credential providers", AWS SDKs and Tools guide.
const AWS_SIGNS: &[&str] = &[
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONFIG_FILE",
    "AWS_SHARED_CREDENTIALS_FILE",
];

pub(super) fn resolve(flags: &Flags, sources: &Sources<'_>) -> Result<(Target, TargetReason)> {
    let env = |name: &str| (sources.env)(name).filter(|value| !value.trim().is_empty());
    let asked = |target| Ok((target, TargetReason::Asked));
    if let Some(url) = &flags.endpoint_url {
        check_endpoint(url)?;
    }
    let endpoint = flags.endpoint_url.clone().or_else(|| env("AWS_ENDPOINT_URL"));
    match flags.target {
        Some(TargetChoice::Local) if flags.endpoint_url.is_some() => {
            return Err(Error::usage(
                "--target local and --endpoint-url exclude each other",
            ));
        }
        Some(TargetChoice::Local) => return asked(Target::Local),
        Some(TargetChoice::Aws) => {
            return asked(flags.endpoint_url.clone().map_or(Target::Aws, Target::Endpoint));
        }
        None => {}
    }
    if let Some(url) = endpoint {
        check_endpoint(&url)?;
        return asked(Target::Endpoint(url));
    }
    let named = match env("STREAMCTL_TARGET").as_deref() {
        None => sources.file.target,
        Some("aws") => Some(TargetChoice::Aws),
        Some("local") => Some(TargetChoice::Local),
        Some(other) => {
            return Err(Error::usage(format!("STREAMCTL_TARGET is {other:?}"))
                .hint("set it to `aws` or `local`, or unset it"));
        }
    };
    match (named, &sources.file.endpoint_url) {
        (Some(TargetChoice::Local), _) => return asked(Target::Local),
        (_, Some(url)) => {
            check_endpoint(url)?;
            return asked(Target::Endpoint(url.clone()));
        }
        (Some(TargetChoice::Aws), None) => return asked(Target::Aws),
        (None, None) => {}
    }
    if flags.profile.is_some() || sources.file.profile.is_some() || sign_of_aws(sources) {
        return Ok((Target::Aws, TargetReason::SignOfAws));
    }
    Ok((Target::Local, TargetReason::NoSignOfAws))
}

fn sign_of_aws(sources: &Sources<'_>) -> bool {
    let variable = AWS_SIGNS
        .iter()
        .any(|name| (sources.env)(name).is_some_and(|v| !v.trim().is_empty()));
    let shared_file = || {
        sources.home_dir.as_ref().is_some_and(|home| {
            ["config", "credentials"]
                .iter()
                .any(|name| (sources.exists)(&home.join(Path::new(".aws")).join(name)))
        })
    };
    variable || shared_file() || (sources.is_ec2)()
}

fn check_endpoint(url: &str) -> Result<()> {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    if rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(char::is_whitespace)) {
        return Ok(());
    }
    Err(Error::usage(format!("{url:?} is not an endpoint URL"))
        .hint("give scheme, host and port, such as http://127.0.0.1:4566"))
}
