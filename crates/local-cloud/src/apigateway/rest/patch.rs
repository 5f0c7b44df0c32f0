//! Patch operations: a description is changed as JSON and read again, so that a change is checked as a creation is.
//!
//! Source: "API Gateway REST API patch operations", API reference.

use serde::Deserialize;
use serde_json::Value;

use super::super::error::{Error, Result};

const MAX_OPERATIONS: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Input {
    #[serde(default)]
    patch_operations: Vec<Patch>,
}

/// A change of one member.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Patch {
    op: String,
    path: String,
    value: Option<String>,
}

/// The operations in a body.
pub(super) fn read(body: &[u8]) -> Result<Vec<Patch>> {
    let input: Input = super::control::read(body)?;
    if input.patch_operations.len() > MAX_OPERATIONS {
        return Err(Error::bad_request(format!(
            "A request has at most {MAX_OPERATIONS} patch operations"
        )));
    }
    Ok(input.patch_operations)
}

impl Patch {
    pub fn invalid(&self) -> Error {
        let Self { op, path, .. } = self;
        Error::bad_request(format!(
            "Invalid patch operation specified: the local cloud does not offer {op} of {path}"
        ))
    }

    /// The parts of the path: `/a~1b/c` is `a/b` and `c`. Source: RFC 6901.
    pub fn parts(&self) -> Vec<String> {
        let parts = self.path.split('/').skip(1);
        parts
            .map(|part| part.replace("~1", "/").replace("~0", "~"))
            .collect()
    }

    /// The value to set; `None` for a removal.
    pub fn value(&self) -> Result<Option<&str>> {
        match (self.op.as_str(), &self.value) {
            ("remove", _) => Ok(None),
            ("add" | "replace", value) => Ok(Some(value.as_deref().unwrap_or_default())),
            _ => Err(self.invalid()),
        }
    }

    /// Changes a member of `document`, or an entry of a map in it. `names` are the members that may be changed.
    pub fn apply(&self, document: &mut Value, names: &[&str]) -> Result<()> {
        let parts = self.parts();
        let Some(first) = parts.first().filter(|first| names.contains(&first.as_str())) else {
            return Err(self.invalid());
        };
        let value = self.value()?;
        let (holder, name) = match parts.as_slice() {
            [name] => (document, name),
            [_, name] => {
                let holder = &mut document[first];
                if holder.is_null() {
                    *holder = Value::Object(Default::default());
                }
                (holder, name)
            }
            _ => return Err(self.invalid()),
        };
        let Some(holder) = holder.as_object_mut() else {
            return Err(self.invalid());
        };
        match value {
            None => {
                holder.remove(name);
            }
            Some(text) => {
                let typed = typed(name, text).ok_or_else(|| self.invalid())?;
                holder.insert(name.clone(), typed);
            }
        }
        Ok(())
    }
}

/// Values are texts; some members are not.
fn typed(name: &str, text: &str) -> Option<Value> {
    Some(match name {
        "timeoutInMillis" => text.parse::<u32>().ok()?.into(),
        "disableExecuteApiEndpoint" | "apiKeyRequired" => text.parse::<bool>().ok()?.into(),
        name if name.starts_with("method.") && ["true", "false"].contains(&text) => (text == "true").into(),
        _ => text.into(),
    })
}
