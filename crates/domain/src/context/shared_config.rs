//! The user's shared AWS configuration: `~/.aws/config` and `~/.aws/credentials`.

use std::path::{Path, PathBuf};

use aws_config::profile::{ProfileSet, load};
use aws_runtime::env_config::file::{EnvConfigFileKind, EnvConfigFiles};
use aws_types::os_shim_internal::{Env, Fs};

use crate::settings::{Settings, Target};
use ground::error::{Error, Result};
use ground::file;

/// The files are small; the SDK reads them whole.
const MOST_BYTES: u64 = 16 << 20;

/// The shared configuration, as far as it counts.
#[derive(Debug)]
pub(super) struct SharedConfig {
    pub(super) files: EnvConfigFiles,
    pub(super) sections: ProfileSet,
}

impl SharedConfig {
    /// Reads the files, and checks that the profile of the settings exists.
    ///
    /// # Errors
    /// Exit 2 if a file cannot be read or parsed, or if there is no such profile.
    pub(super) async fn read(settings: &Settings) -> Result<Self> {
        // A target that is AWS by name must be AWS for the credentials too: the SDK would ask the STS that a profile names.
        let drops = settings.target == Target::Aws && !settings.access.profile_endpoints;
        let files = match drops {
            true => without_endpoints()?,
            false => EnvConfigFiles::default(),
        };
        let name = settings.profile.clone();
        let sections = load(&Fs::real(), &Env::real(), &files, name.map(Into::into))
            .await
            .map_err(|error| Error::usage("the shared AWS configuration could not be read").cause(error))?;
        let config = Self { files, sections };
        match &settings.profile {
            Some(name) if config.sections.get_profile(name).is_none() => Err(config.no_profile(name)),
            _ => Ok(config),
        }
    }

    /// Whether the profile says that no configured endpoint counts.
    pub(super) fn ignores_endpoints(&self) -> bool {
        let value = self.sections.get("ignore_configured_endpoint_urls");
        value.is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    fn no_profile(&self, name: &str) -> Error {
        let mut names: Vec<&str> = self.sections.profiles().collect();
        names.sort_unstable();
        let error = Error::usage(format!("there is no AWS profile {name:?}"));
        match names.is_empty() {
            true => {
                error.hint("`aws configure --profile NAME` creates one; without a profile, unset AWS_PROFILE")
            }
            false => error.hint(format!("use one of {}", names.join(", "))),
        }
    }
}

/// The contents of both files without the keys that name an endpoint.
fn without_endpoints() -> Result<EnvConfigFiles> {
    let mut builder = EnvConfigFiles::builder();
    for (kind, variable, name) in [
        (EnvConfigFileKind::Config, "AWS_CONFIG_FILE", "config"),
        (
            EnvConfigFileKind::Credentials,
            "AWS_SHARED_CREDENTIALS_FILE",
            "credentials",
        ),
    ] {
        let text = match path_of(variable, name) {
            Some(path) => read(&path)?,
            None => String::new(),
        };
        builder = builder.with_contents(kind, drop_endpoints(&text));
    }
    Ok(builder.build())
}

/// Where the SDK reads a file. Source: "Location of the shared config and credentials files", AWS SDKs and Tools reference
/// guide.
fn path_of(variable: &str, name: &str) -> Option<PathBuf> {
    let home = || {
        let home = std::env::var_os("HOME").or_else(|| std::env::var_os("USERPROFILE"));
        home.map(PathBuf::from)
    };
    match std::env::var(variable) {
        Ok(path) => match path.strip_prefix("~/") {
            Some(rest) => home().map(|home| home.join(rest)),
            None => Some(PathBuf::from(path)),
        },
        Err(_) => home().map(|home| home.join(".aws").join(name)),
    }
}

fn read(path: &Path) -> Result<String> {
    match file::read_text(path, MOST_BYTES) {
        Ok(text) => Ok(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(Error::usage(format!("could not read {}", path.display())).cause(error)),
    }
}

/// A property starts in the first column; what follows it indented belongs to it.
fn drop_endpoints(text: &str) -> String {
    let mut dropping = false;
    let kept = text.lines().filter(|line| {
        if !line.starts_with([' ', '\t']) {
            let key = line.split('=').next().unwrap_or_default().trim();
            dropping = key.eq_ignore_ascii_case("endpoint_url") || key.eq_ignore_ascii_case("services");
        }
        !dropping
    });
    kept.map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_name_an_endpoint_are_dropped_with_what_belongs_to_them() {
        let text = "[profile a]\nrole_arn = r\nEndpoint_URL=http://127.0.0.1:1\nservices = here\nsource_profile = b\n\
                    s3 =\n  addressing_style = path\n[services here]\nsts =\n  endpoint_url = http://127.0.0.1:2\n";
        assert_eq!(
            drop_endpoints(text),
            "[profile a]\nrole_arn = r\nsource_profile = b\ns3 =\n  addressing_style = path\n[services here]\nsts =\n  \
             endpoint_url = http://127.0.0.1:2\n"
        );
    }
}
