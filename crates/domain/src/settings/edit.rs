//! Changes one key of `streamctl.toml`, and keeps its comments and its order.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Value};

use super::dotenv::MOST_BYTES;
use super::target::check_endpoint;
use super::{ConfigFile, check_region, parse_timeout};
use crate::stream::StreamReference;
use crate::stream::change::check_shards;
use ground::error::{Error, Result};
use ground::file;

/// The keys of the file.
pub const KEYS: [&str; 8] = [
    "endpoint_url",
    "environment",
    "profile",
    "region",
    "shard_count",
    "stream",
    "target",
    "timeout",
];

/// A file and its text before and after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edited {
    pub path: PathBuf,
    /// Empty if there was no file.
    pub before: String,
    pub after: String,
}

/// Sets `key` in the file `path`, which is created if there is none. The file is replaced in one step: nobody sees half of
/// it.
///
/// # Errors
/// Exit 2 for a key that the file does not have, a value that it does not take, or a file that is not valid; exit 1 if it
/// cannot be written.
pub fn set(path: &Path, key: &str, value: &str) -> Result<Edited> {
    let value = checked(key, value)?;
    let before = match file::read_text(path, MOST_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::usage(format!("could not read {}", path.display())).cause(error)),
    };
    let after = with(&before, key, value).map_err(|cause| {
        Error::usage(format!("{} is not a valid configuration", path.display())).cause(cause)
    })?;
    // A link stays a link to the file.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    if after != before {
        replace(&path, &after)
            .map_err(|error| Error::failed(format!("could not write {}", path.display())).cause(error))?;
    }
    Ok(Edited { path, before, after })
}

/// `value` as the file holds it.
fn checked(key: &str, value: &str) -> Result<Value> {
    let not_empty = |what: &str| match value.trim().is_empty() {
        true => Err(Error::usage(format!("{what} cannot be empty"))),
        false => Ok(()),
    };
    match key {
        "endpoint_url" => check_endpoint(value)?,
        "environment" => not_empty("the environment")?,
        "profile" => not_empty("the profile")?,
        "region" => check_region(value)
            .map_err(|error| Error::usage(error.to_string()).hint("a region looks like us-east-1"))?,
        "shard_count" => {
            let shards: u32 = value
                .parse()
                .map_err(|_| Error::usage(format!("{value:?} is not a number of shards")))?;
            check_shards(shards)?;
            return Ok(i64::from(shards).into());
        }
        "stream" => drop(StreamReference::parse(value)?),
        "timeout" => {
            let parsed = parse_timeout(value);
            parsed.map_err(|cause| {
                Error::usage(format!("{value:?} is not a time limit of calls")).cause(cause)
            })?;
        }
        "target" if !matches!(value, "aws" | "local") => {
            return Err(Error::usage(format!("{value:?} is not a target")).hint("use aws or local"));
        }
        "target" => {}
        other => {
            return Err(Error::usage(format!("streamctl.toml has no key {other:?}"))
                .hint(format!("its keys are {}", KEYS.join(", "))));
        }
    }
    Ok(value.into())
}

/// `text` with `key` set to `value`.
///
/// # Errors
/// The reason why it is not a configuration.
fn with(text: &str, key: &str, mut value: Value) -> Result<String, String> {
    let mut document: DocumentMut = text
        .parse()
        .map_err(|error: toml_edit::TomlError| error.to_string())?;
    match document.get_mut(key) {
        Some(Item::Value(there)) => {
            // The decoration is what surrounds the value: space, and a comment at the end of the line.
            *value.decor_mut() = there.decor().clone();
            *there = value;
        }
        _ => document[key] = Item::Value(value),
    }
    let text = document.to_string();
    toml::from_str::<ConfigFile>(&text).map_err(|error| error.to_string())?;
    Ok(text)
}

/// Replaces the content of `path`, and keeps its permissions.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut fresh = name.to_owned();
    fresh.push(format!(".new-{}", std::process::id()));
    let fresh = path.with_file_name(fresh);
    let write = || {
        let mut file = File::options().write(true).create_new(true).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        if let Ok(there) = fs::metadata(path) {
            file.set_permissions(there.permissions())?;
        }
        file.sync_all()?;
        fs::rename(&fresh, path)
    };
    write().inspect_err(|_| {
        // Report the first error, not this one.
        let _ = fs::remove_file(&fresh);
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn after(text: &str, key: &str, value: &str) -> String {
        with(text, key, checked(key, value).unwrap()).unwrap()
    }

    #[test]
    fn comments_and_order_stay() {
        let text = "# Our defaults\nstream = 'orders' # the busy one\n\n# Two are enough\nshard_count = 2\n";
        assert_eq!(
            after(text, "stream", "clicks"),
            "# Our defaults\nstream = \"clicks\" # the busy one\n\n# Two are enough\nshard_count = 2\n"
        );
        assert_eq!(
            after(text, "region", "eu-west-1"),
            format!("{text}region = \"eu-west-1\"\n")
        );
        assert_eq!(after("", "shard_count", "3"), "shard_count = 3\n");
        assert_eq!(
            after("target = \"aws\"", "target", "local"),
            "target = \"local\"\n"
        );
    }

    #[test]
    fn bad_keys_and_values_are_refused() {
        let refused = |key, value| checked(key, value).unwrap_err().to_string();
        insta::assert_snapshot!(
            [
                refused("regoin", "eu-west-1"),
                refused("region", "europe"),
                refused("shard_count", "many"),
                refused("shard_count", "0"),
                refused("stream", "a b"),
                refused("target", "azure"),
                refused("endpoint_url", "localhost"),
                refused("profile", " "),
                refused("timeout", "soon"),
            ]
            .join("\n"),
            @r#"
            streamctl.toml has no key "regoin"
            "europe" is not an AWS region
            "many" is not a number of shards
            0 is not a possible shard count
            "a b" is not a stream name
            "azure" is not a target
            "localhost" is not an endpoint URL
            the profile cannot be empty
            "soon" is not a time limit of calls
            "#
        );
        assert!(with("stream = ", "region", "eu-west-1".into()).is_err());
        assert!(with("colour = 1\n", "region", "eu-west-1".into()).is_err());
    }

    #[test]
    fn a_file_is_made_and_changed_in_place() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("streamctl.toml");
        let made = set(&path, "stream", "orders").unwrap();
        assert_eq!(
            (made.before.as_str(), made.after.as_str()),
            ("", "stream = \"orders\"\n")
        );
        let changed = set(&path, "region", "eu-west-1").unwrap();
        assert_eq!(changed.before, made.after);
        assert_eq!(
            fs::read_to_string(&path).unwrap(),
            "stream = \"orders\"\nregion = \"eu-west-1\"\n"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(set(&dir.path().join("no/streamctl.toml"), "stream", "orders").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn permissions_and_links_stay() {
        use std::os::unix::fs::PermissionsExt;

        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("real.toml"), dir.path().join("streamctl.toml"));
        fs::write(&path, "stream = \"orders\"\n").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        set(&link, "stream", "clicks").unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_to_string(&path).unwrap(), "stream = \"clicks\"\n");
    }

    proptest! {
        #[test]
        fn any_file_is_changed_or_refused(text in "(stream|target|region|aws|[ \\t=#'\"\\\\.,0-9\\r\\n\\[\\]{}]|\\PC){0,40}") {
            if let Ok(after) = with(&text, "region", "eu-west-1".into()) {
                let read: ConfigFile = toml::from_str(&after).unwrap();
                prop_assert_eq!(read.region.as_deref(), Some("eu-west-1"));
            }
        }

        #[test]
        fn any_value_is_kept(value in "\\PC{1,20}") {
            let value = if value.trim().is_empty() { "x".to_owned() } else { value };
            let read: ConfigFile = toml::from_str(&after("# x\n", "environment", &value)).unwrap();
            prop_assert_eq!(read.environment.as_deref(), Some(value.as_str()));
        }
    }
}
