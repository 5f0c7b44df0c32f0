//! `streamctl.toml`: the defaults of a project.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::TargetChoice;
use super::dotenv::MOST_BYTES;
use ground::error::{Error, Result};
use ground::file;

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
    /// How long a call may take, such as "10s".
    pub timeout: Option<String>,
    /// Where it was read, and its text; `None` if there is no file.
    #[serde(skip)]
    pub source: Option<ConfigSource>,
}

/// A `streamctl.toml` as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigSource {
    pub path: PathBuf,
    pub text: String,
    /// Whether the user named the file with `--config`.
    pub named: bool,
}

impl ConfigSource {
    /// The line, from 1, that sets `key`.
    pub fn line_of(&self, key: &str) -> Option<usize> {
        let sets = |line: &str| {
            let rest = line.trim_start().strip_prefix(key);
            rest.is_some_and(|rest| rest.trim_start().starts_with('='))
        };
        self.text.lines().position(sets).map(|index| index + 1)
    }
}

impl ConfigFile {
    /// Reads `path`; a missing file counts as empty unless the user `named` it.
    ///
    /// # Errors
    /// Exit 2 when the file cannot be read, is larger than 1 MiB, or cannot be parsed.
    pub fn read(path: &Path, named: bool) -> Result<Self> {
        let text = match file::read_text(path, MOST_BYTES) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {
                return Ok(Self::default());
            }
            Err(error) => {
                return Err(Error::usage(format!("could not read {}", path.display())).cause(error));
            }
        };
        let parsed: Self = toml::from_str(&text).map_err(|error| {
            Error::usage(format!("{} is not a valid configuration", path.display()))
                .cause(error.to_string().trim_end().to_owned())
        })?;
        let source = ConfigSource {
            path: path.to_owned(),
            text,
            named,
        };
        Ok(Self {
            source: Some(source),
            ..parsed
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("streamctl.toml");
        std::fs::write(&path, format!("# {}\n", "x".repeat(1 << 20))).unwrap();
        let error = ConfigFile::read(&path, false).unwrap_err();
        assert_eq!(error.chain()[1], "it is larger than 1 MiB");
        std::fs::remove_file(&path).unwrap();
        assert!(ConfigFile::read(&path, false).unwrap().source.is_none());
        assert!(ConfigFile::read(&path, true).is_err());
    }

    #[test]
    fn deep_nesting_is_refused_and_does_not_overflow_the_stack() {
        for (open, close) in [("[", "]"), ("{a=", "}")] {
            let text = format!("stream = {}1{}", open.repeat(200_000), close.repeat(200_000));
            assert!(toml::from_str::<ConfigFile>(&text).is_err());
        }
        let dotted = format!("{}a = 1", "a.".repeat(100_000));
        assert!(toml::from_str::<ConfigFile>(&dotted).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn any_text_is_read_or_refused(text in r#"(stream|target|endpoint_url|aws|[ \t=#'"\\.,0-9\r\n\[\]{}]|\PC){0,40}"#) {
            let _ = toml::from_str::<ConfigFile>(&text);
        }
    }
}
