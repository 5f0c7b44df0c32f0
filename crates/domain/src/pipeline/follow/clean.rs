//! Deletes what requests left: items and objects that the mark identifies. It needs no answer of a request, so nothing is
//! left when an answer was lost.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::super::condition::Condition;
use super::{Attribute, Filler, Services};
use ground::error::Result;

const MARKER: &str = "${marker}";

/// A section `[[verify.clean]]`: items by a key of the table or of an index, or objects by a prefix.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    pub(super) when: Option<Condition>,
    table: Option<String>,
    index: Option<String>,
    /// Name and value of the partition key.
    #[serde(default)]
    key: Map<String, Value>,
    bucket: Option<String>,
    #[serde(default)]
    prefix: String,
}

impl Declared {
    pub(super) fn value(&self) -> Value {
        json!([self.table, self.key, self.bucket, self.prefix])
    }

    /// Whatever has not the mark may be the user's.
    pub(super) fn problem(&self) -> Option<String> {
        let is_marked = |text: &str| text.contains(MARKER);
        let keys: Vec<&str> = self.key.values().filter_map(Value::as_str).collect();
        let problem = match (&self.table, &self.bucket) {
            (Some(_), None) if keys.len() != 1 || self.key.len() != 1 || !is_marked(keys[0]) => {
                "a `clean` of a table needs `key` with the name of the partition key and a value with ${marker}"
            }
            (None, Some(_)) if !is_marked(&self.prefix) => {
                "a `clean` of a bucket needs a `prefix` with ${marker}"
            }
            (Some(_), None) | (None, Some(_)) => return None,
            _ => "a `clean` must have exactly one of `table` and `bucket`",
        };
        Some(problem.to_owned())
    }

    /// `None` for a resource that is left out.
    pub(super) fn filled(&self, filler: &Filler<'_, '_>) -> Result<Option<Marked>> {
        let name = filler.text(
            self.table
                .as_deref()
                .or(self.bucket.as_deref())
                .unwrap_or_default(),
        )?;
        if name.is_empty() {
            return Ok(None);
        }
        if self.bucket.is_some() {
            let prefix = filler.text(&self.prefix)?;
            return Ok(Some(Marked::Objects { bucket: name, prefix }));
        }
        let key = filler.item(&self.key)?.into_iter().next();
        Ok(key.map(|key| Marked::Items {
            table: name,
            index: self.index.clone(),
            key,
        }))
    }
}

/// What is deleted in the end.
#[derive(Debug, Clone, PartialEq)]
pub enum Marked {
    Items {
        table: String,
        index: Option<String>,
        /// Name and value of the partition key.
        key: (String, Attribute),
    },
    /// All versions of the objects whose key begins with `prefix`.
    Objects { bucket: String, prefix: String },
}

impl Marked {
    pub(super) fn title(&self) -> String {
        match self {
            Self::Items { table, .. } => format!("items in {table}"),
            Self::Objects { bucket, .. } => format!("objects in {bucket}"),
        }
    }

    /// Returns how many there were.
    pub(in super::super) async fn delete(&self, services: &dyn Services) -> Result<usize> {
        match self {
            Self::Items { table, index, key } => {
                let items = services.items(table, index.as_deref(), key).await?;
                for item in &items {
                    services.delete_item(table, item).await?;
                }
                Ok(items.len())
            }
            Self::Objects { bucket, prefix } => {
                let versions = services.versions(bucket, prefix).await?;
                for (key, version) in &versions {
                    services.delete_object(bucket, key, version.as_deref()).await?;
                }
                Ok(versions.len())
            }
        }
    }
}
