//! Selects the target.
//!
//! Order: `--target` › `--endpoint-url` › `AWS_ENDPOINT_URL` › `STREAMCTL_TARGET` › `streamctl.toml` › AWS if this
//! machine is set up for it › the local cloud.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;

use http::Uri;
use serde::Deserialize;

use super::access::{ENDPOINT, ignores_endpoints};
use super::{Flags, Lookup, Source};
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

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aws => "aws",
            Self::Endpoint(url) => url,
            Self::Local => "local",
        })
    }
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

pub(super) fn resolve(flags: &Flags, lookup: &Lookup<'_>) -> Result<(Target, Source)> {
    if let Some(url) = &flags.endpoint_url {
        check_endpoint(url)?;
    }
    match (flags.target, &flags.endpoint_url) {
        (Some(TargetChoice::Local), Some(_)) => {
            return Err(Error::usage(
                "--target local and --endpoint-url exclude each other",
            ));
        }
        (_, Some(url)) => return Ok((Target::Endpoint(url.clone()), Source::Flag("--endpoint-url"))),
        (Some(TargetChoice::Local), None) => return Ok((Target::Local, Source::Flag("--target"))),
        (Some(TargetChoice::Aws), None) => return Ok((Target::Aws, Source::Flag("--target"))),
        (None, None) => {}
    }
    if let Some(url) = lookup
        .environment(ENDPOINT)
        .filter(|_| !ignores_endpoints(lookup))
    {
        check_endpoint(&url)?;
        return Ok((Target::Endpoint(url), Source::Variable(ENDPOINT)));
    }
    if let Some(found) = lookup.variable(&["STREAMCTL_TARGET"]) {
        return match found.value.as_str() {
            "aws" => Ok((Target::Aws, found.source)),
            "local" => Ok((Target::Local, found.source)),
            other => Err(Error::usage(format!("STREAMCTL_TARGET is {other:?}"))
                .hint("set it to `aws` or `local`, or unset it")),
        };
    }
    let file = &lookup.sources.file;
    match (file.target, &file.endpoint_url) {
        (Some(TargetChoice::Local), _) => return Ok((Target::Local, Source::File)),
        (_, Some(url)) => {
            check_endpoint(url)?;
            return Ok((Target::Endpoint(url.clone()), Source::File));
        }
        (Some(TargetChoice::Aws), None) => return Ok((Target::Aws, Source::File)),
        (None, None) => {}
    }
    if flags.profile.is_some() || file.profile.is_some() || sign_of_aws(lookup) {
        return Ok((Target::Aws, Source::Machine));
    }
    Ok((Target::Local, Source::Default))
}

fn sign_of_aws(lookup: &Lookup<'_>) -> bool {
    let sources = lookup.sources;
    let shared_file = || {
        sources.home_dir.as_ref().is_some_and(|home| {
            ["config", "credentials"]
                .iter()
                .any(|name| (sources.exists)(&home.join(Path::new(".aws")).join(name)))
        })
    };
    lookup.variable(AWS_SIGNS).is_some() || shared_file() || (sources.is_ec2)()
}

/// Whether it is the URL of a host. A URL with a user name is not: `http://127.0.0.1:80@example.com` names example.com.
pub fn is_endpoint(url: &str) -> bool {
    url.parse::<Uri>().is_ok_and(|uri| {
        let host = uri.host().is_some_and(|host| !host.is_empty());
        let user = uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'));
        matches!(uri.scheme_str(), Some("http" | "https")) && host && !user
    })
}

/// # Errors
/// Exit 2 if it is not the URL of a host.
pub(super) fn check_endpoint(url: &str) -> Result<()> {
    if is_endpoint(url) {
        return Ok(());
    }
    Err(Error::usage(format!("{url:?} is not an endpoint URL"))
        .hint("give scheme, host and port, such as http://127.0.0.1:4566"))
}

/// Whether the endpoint is on this machine.
pub fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<Uri>() else { return false };
    let host = uri.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost"
        || address
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}
