//! Published versions.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Request, check_revision, created, ok};
use crate::answer::request_id;
use crate::lambda::error::ApiError;
use crate::lambda::model::{Function, Version};
use crate::lambda::settings;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Publish {
    code_sha256: Option<String>,
    description: Option<String>,
    revision_id: Option<String>,
}

/// Publishes the current version. If nothing changed, returns the last published version.
pub(super) fn publish(function: &mut Function, description: Option<String>) -> Version {
    if let Some(last) = function.versions.get(&function.last_version)
        && last.generation == function.latest.generation
    {
        return last.clone();
    }
    function.last_version += 1;
    let version = Version {
        version: function.last_version.to_string(),
        revision: request_id(),
        description: description.unwrap_or_else(|| function.latest.description.clone()),
        ..function.latest.clone()
    };
    function.versions.insert(function.last_version, version.clone());
    version
}

impl Request<'_> {
    pub(super) fn publish_version(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let input: Publish = settings::read(self.body)?;
        if let Some(description) = &input.description {
            settings::check_description(description)?;
        }
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        check_revision(input.revision_id.as_deref(), &function.latest.revision)?;
        if input
            .code_sha256
            .as_ref()
            .is_some_and(|sha256| *sha256 != function.latest.code_sha256)
        {
            return Err(ApiError::invalid(format!(
                "CodeSHA256 ({}) is different from current CodeSHA256 in $LATEST ({}). Please try again with the \
                 CodeSHA256 in $LATEST.",
                input.code_sha256.unwrap_or_default(),
                function.latest.code_sha256
            )));
        }
        let version = publish(&mut function, input.description);
        change.put(self.caller, function)?;
        created(version.describe(self.caller, &name.name, Some(&version.version), self.now()))
    }

    pub(super) fn list_versions(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let function = self.lambda.registry.find(&name)?;
        let rows: Vec<(String, &Version)> = function
            .all()
            .enumerate()
            .map(|(number, version)| (format!("{number:08}"), version))
            .collect();
        let (page, next) = self.page(rows, |(key, _)| key.clone())?;
        let versions: Vec<Value> = page
            .into_iter()
            .map(|(_, version)| version.describe(self.caller, &name.name, Some(&version.version), self.now()))
            .collect();
        ok(json!({"Versions": versions, "NextMarker": next}))
    }
}
