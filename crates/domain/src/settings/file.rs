//! `streamctl.toml`: the defaults of a project.

use std::path::Path;

use serde::Deserialize;

use super::TargetChoice;
use ground::error::{Error, Result};

/// The contents of `streamctl.toml`. Every key is optional; an unknown key is an error, so that a typo is not ignored.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConfigFile {
    /// `aws` or `local`.
    pub target: Option<TargetChoice>,
    /// Endpoint of an AWS-compatible service.
    pub endpoint_url: Option<String>,
    /// AWS region.
    pub region: Option<String>,
    /// AWS profile.
    pub profile: Option<String>,
    /// The default stream.
    pub stream: Option<String>,
    /// The default shard count of `setup`.
    pub shard_count: Option<u32>,
    /// Value of the `Environment` tag.
    pub environment: Option<String>,
}

impl ConfigFile {
    /// Reads `path`; a missing file counts as empty unless the user named it.
    ///
    /// # Errors
    /// Exit 2 when the file cannot be read or parsed.
    pub fn read(path: &Path, must_exist: bool) -> Result<Self> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !must_exist => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(Error::usage(format!("could not read {}", path.display())).cause(error));
            }
        };
        toml::from_str(&text).map_err(|error| {
            Error::usage(format!("{} is not a valid configuration", path.display()))
                .cause(error.to_string().trim_end().to_owned())
        })
    }
}
