//! The files of a site: what is declared, what is in the bucket, and how the one becomes the other.

use std::collections::BTreeMap;

use aws_sdk_s3::primitives::ByteStream;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{Site, content_type};
use crate::pipeline::event::Step;
use crate::pipeline::resource::UNKNOWN;
use ground::error::{Error, Result};

/// Metadata of an object that streamctl put: the hash of its content.
const HASH: &str = "streamctl-sha256";
/// Objects of a bucket that are looked at.
const MOST_OBJECTS: usize = 5_000;
/// Calls at once, each with one file in memory.
const AT_ONCE: usize = 8;
/// Files named in a message.
const NAMED: usize = 3;

/// An object in the bucket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stored {
    /// Of the content, in hexadecimal; `None` for an object that streamctl did not put.
    hash: Option<String>,
    content_type: String,
    cache_control: String,
}

impl Stored {
    pub(super) fn is_ours(&self) -> bool {
        self.hash.is_some()
    }
}

/// A file as declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    /// `None` while it depends on what does not exist yet, or where any content will do.
    hash: Option<String>,
    content_type: &'static str,
    cache_control: String,
}

#[cfg(test)]
impl Wanted {
    pub(super) fn known_hash(&self) -> Option<&str> {
        self.hash.as_deref()
    }

    pub(super) fn content_type(&self) -> &'static str {
        self.content_type
    }
}

impl Wanted {
    fn is_at(&self, stored: &Stored) -> bool {
        (self.hash.is_none() && stored.is_ours() || self.hash == stored.hash)
            && self.content_type == stored.content_type
            && self.cache_control == stored.cache_control
    }
}

/// The keys to put and to delete.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    new: Vec<String>,
    changed: Vec<String>,
    gone: Vec<String>,
    /// Keys of `changed` with objects that streamctl did not put.
    foreign: Vec<String>,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        self.new.is_empty() && self.changed.is_empty() && self.gone.is_empty()
    }

    pub(super) fn words(&self) -> String {
        let part = |what: &str, names: &[String]| {
            let shown: Vec<&str> = names.iter().take(NAMED).map(String::as_str).collect();
            let more = match names.len().saturating_sub(NAMED) {
                0 => String::new(),
                n => format!(" and {n} more"),
            };
            (!names.is_empty()).then(|| format!("{} {what} ({}{more})", names.len(), shown.join(", ")))
        };
        let parts = [
            part("new", &self.new),
            part("changed", &self.changed),
            part("gone", &self.gone),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }

    /// What is lost for good.
    pub(super) fn loses(&self) -> Option<String> {
        match self.foreign.as_slice() {
            [] => None,
            [one] => Some(format!("the object {one}, which streamctl did not put")),
            many => Some(format!("{} objects that streamctl did not put", many.len())),
        }
    }
}

pub(super) fn difference(wanted: &BTreeMap<String, Wanted>, there: &BTreeMap<String, Stored>) -> Difference {
    let mut difference = Difference::default();
    for (key, file) in wanted {
        match there.get(key) {
            None => difference.new.push(key.clone()),
            Some(stored) if file.is_at(stored) => {}
            Some(stored) => {
                difference.changed.push(key.clone());
                if !stored.is_ours() {
                    difference.foreign.push(key.clone());
                }
            }
        }
    }
    let gone = there
        .iter()
        .filter(|(key, stored)| stored.is_ours() && !wanted.contains_key(*key));
    difference.gone = gone.map(|(key, _)| key.clone()).collect();
    difference
}

pub(super) fn count(files: usize) -> String {
    match files {
        0 => "no files".to_owned(),
        1 => "1 file".to_owned(),
        n => format!("{n} files"),
    }
}

fn hash(content: &[u8]) -> String {
    use std::fmt::Write as _;
    Sha256::digest(content)
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// A call on the bucket, with name and owner.
macro_rules! on {
    ($site:expr, $operation:ident) => {
        $site
            .context
            .s3()
            .$operation()
            .bucket(&$site.declared.bucket)
            .expected_bucket_owner(&$site.location.account)
    };
}
pub(super) use on;

impl Site<'_> {
    /// The names of all files, with the one for the values.
    fn names(&self) -> Result<Vec<String>> {
        let names = self.declared.files.names();
        let mut names = names.map_err(|problem| self.bad_property(&format!("property files: {problem}")))?;
        let config = self.config_file();
        if self.declared.config.is_some() && !names.iter().any(|name| name == config) {
            names.push(config.to_owned());
        }
        Ok(names)
    }

    /// The content of a file; `None` while it depends on what does not exist yet.
    pub(super) fn content(&self, name: &str) -> Result<Option<Vec<u8>>> {
        if let Some(values) = self
            .declared
            .config
            .as_ref()
            .filter(|_| name == self.config_file())
        {
            let text = config(name, &Value::Object(values.clone()));
            return Ok((!text.contains(UNKNOWN)).then(|| text.into_bytes()));
        }
        let read = self.declared.files.read(name);
        read.map(Some)
            .map_err(|problem| self.bad_property(&format!("property files: {problem}")))
    }

    /// What should be in the bucket, by key. Reads one file after the other. `keeps_config` leaves the values for the page as
    /// they are.
    pub(super) fn wanted_files(&self, keeps_config: bool) -> Result<BTreeMap<String, Wanted>> {
        let names = self.names()?.into_iter();
        names
            .map(|name| {
                let is_kept = keeps_config && self.declared.config.is_some() && name == self.config_file();
                let content = match is_kept {
                    true => None,
                    false => self.content(&name)?,
                };
                let wanted = Wanted {
                    hash: content.map(|content| hash(&content)),
                    content_type: content_type::of(&name),
                    cache_control: self.cache_control().to_owned(),
                };
                Ok((name, wanted))
            })
            .collect()
    }

    /// The objects of the bucket, by key. None if there is no such bucket.
    pub(super) async fn stored_files(&self) -> Result<BTreeMap<String, Stored>> {
        let keys = match self.keys().await {
            Ok(keys) => keys,
            Err(error) if error.is_not_found() => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let looking = keys.into_iter().map(|key| async move {
            let answer = on!(self, head_object).key(&key).send().await;
            let head = self.response_if_exists("look at the files of", answer)?;
            Ok::<_, Error>(head.map(|head| {
                let hash = head.metadata().and_then(|metadata| metadata.get(HASH));
                let stored = Stored {
                    hash: hash.cloned(),
                    content_type: head.content_type().unwrap_or_default().to_owned(),
                    cache_control: head.cache_control().unwrap_or_default().to_owned(),
                };
                (key, stored)
            }))
        });
        let found: Vec<Option<(String, Stored)>> = stream::iter(looking)
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn keys(&self) -> Result<Vec<String>> {
        let mut keys = Vec::new();
        let mut token = None;
        loop {
            let call = on!(self, list_objects_v2).set_continuation_token(token);
            let page = self.response("list the files of", call.send().await)?;
            keys.extend(
                page.contents
                    .unwrap_or_default()
                    .into_iter()
                    .filter_map(|one| one.key),
            );
            if keys.len() > MOST_OBJECTS {
                return Err(Error::failed(format!(
                    "the bucket {} of {} holds more than {MOST_OBJECTS} objects",
                    self.declared.bucket, self.declared.name
                ))
                .hint("give the site a bucket of its own"));
            }
            token = page.next_continuation_token;
            if token.is_none() {
                return Ok(keys);
            }
        }
    }

    /// Puts the files that the bucket does not have as declared, and deletes those of ours that are not declared.
    pub(super) async fn put_files(&self, keeps_config: bool, step: &Step<'_>) -> Result<()> {
        let wanted = self.wanted_files(keeps_config)?;
        let difference = difference(&wanted, &self.stored_files().await?);
        let names: Vec<String> = difference
            .new
            .iter()
            .chain(&difference.changed)
            .cloned()
            .collect();
        if !names.is_empty() {
            step.waiting(format!("putting {}", count(names.len())));
        }
        let putting = names.into_iter().map(|name| async move {
            step.go_on()?;
            self.put_file(&name).await
        });
        stream::iter(putting)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        self.delete_files(&difference.gone, step).await
    }

    async fn put_file(&self, name: &str) -> Result<()> {
        let Some(content) = self.content(name)? else {
            return Err(
                Error::failed(self.failure("put a file of")).cause(format!("a value of {name} is not known"))
            );
        };
        let call = on!(self, put_object)
            .key(name)
            .content_type(content_type::of(name))
            .cache_control(self.cache_control())
            // The file may have changed since it was compared.
            .metadata(HASH, hash(&content))
            .body(ByteStream::from(content));
        self.response("put a file of", call.send().await).map(drop)
    }

    pub(super) async fn delete_files(&self, keys: &[String], step: &Step<'_>) -> Result<()> {
        let deleting = keys.iter().cloned().map(|key| async move {
            step.go_on()?;
            let answer = on!(self, delete_object).key(key).send().await;
            self.response_if_exists("delete a file of", answer).map(drop)
        });
        stream::iter(deleting)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }
}

/// The file `name` with these values: JSON, or a script that sets `window.CONFIG`.
fn config(name: &str, values: &Value) -> String {
    let json = format!("{values:#}");
    match name.ends_with(".json") {
        true => format!("{json}\n"),
        false => format!("window.CONFIG = {json};\n"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wanted(hash: Option<&str>) -> Wanted {
        Wanted {
            hash: hash.map(str::to_owned),
            content_type: "text/html",
            cache_control: "max-age=1".to_owned(),
        }
    }

    fn stored(hash: Option<&str>, cache_control: &str) -> Stored {
        Stored {
            hash: hash.map(str::to_owned),
            content_type: "text/html".to_owned(),
            cache_control: cache_control.to_owned(),
        }
    }

    #[test]
    fn files_are_compared_by_content_and_headers() {
        let keys = ["changed", "foreign", "headers", "new", "same", "unknown"];
        let files = keys.map(|key| (key.to_owned(), wanted((key != "unknown").then_some("1"))));
        let there = [
            ("changed", stored(Some("2"), "max-age=1")),
            ("foreign", stored(None, "max-age=1")),
            ("gone", stored(Some("1"), "max-age=1")),
            ("headers", stored(Some("1"), "max-age=2")),
            ("others", stored(None, "")),
            ("same", stored(Some("1"), "max-age=1")),
            ("unknown", stored(Some("2"), "max-age=1")),
        ];
        let there = there.map(|(key, stored)| (key.to_owned(), stored)).into();
        let difference = difference(&files.into(), &there);
        assert_eq!(
            difference.words(),
            "1 new (new), 3 changed (changed, foreign, headers), 1 gone (gone)"
        );
        assert_eq!(
            difference.loses().as_deref(),
            Some("the object foreign, which streamctl did not put")
        );
        let all = Difference {
            new: (1..=5).map(|at| at.to_string()).collect(),
            ..Difference::default()
        };
        assert_eq!(all.words(), "5 new (1, 2, 3 and 2 more)");
        assert_eq!(all.loses(), None);
    }

    #[test]
    fn values_are_a_script_or_json() {
        let values = json!({"api_url": "http://a/b"});
        assert_eq!(
            config("config.js", &values),
            "window.CONFIG = {\n  \"api_url\": \"http://a/b\"\n};\n"
        );
        assert_eq!(
            config("a/config.json", &values),
            "{\n  \"api_url\": \"http://a/b\"\n}\n"
        );
        assert_eq!(
            hash(b""),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
