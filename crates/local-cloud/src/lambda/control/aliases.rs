//! Aliases of versions. Weighted aliases are not supported.

use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Request, check_revision, created, no_content, ok};
use crate::answer::request_id;
use crate::lambda::error::{ApiError, Result};
use crate::lambda::model::{Alias, Function};
use crate::lambda::name::{FunctionName, LATEST};
use crate::lambda::settings;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Input {
    name: Option<String>,
    function_version: Option<String>,
    description: Option<String>,
    routing_config: Option<Value>,
    revision_id: Option<String>,
}

impl Input {
    fn check(&self, function: &Function, name: &FunctionName) -> Result<()> {
        if let Some(description) = &self.description {
            settings::check_description(description)?;
        }
        let weights = self
            .routing_config
            .as_ref()
            .map(|routing| &routing["AdditionalVersionWeights"]);
        if weights
            .and_then(Value::as_object)
            .is_some_and(|weights| !weights.is_empty())
        {
            return Err(ApiError::invalid(
                "The local cloud does not support weighted aliases: an alias refers to one version.",
            ));
        }
        let Some(version) = self.function_version.as_deref() else {
            return Ok(());
        };
        let is_version = version == LATEST
            || version
                .parse()
                .is_ok_and(|number: u64| function.versions.contains_key(&number));
        if is_version {
            return Ok(());
        }
        Err(ApiError::not_found(format!(
            "Function not found: {}:{version}",
            name.arn()
        )))
    }
}

impl Request<'_> {
    pub(super) fn create_alias(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let input: Input = settings::read(self.body)?;
        let alias = input.name.clone().ok_or_else(|| ApiError::missing("name"))?;
        let version = input
            .function_version
            .clone()
            .ok_or_else(|| ApiError::missing("functionVersion"))?;
        let is_alias = (1..=128).contains(&alias.len())
            && alias
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !alias.bytes().all(|b| b.is_ascii_digit());
        if !is_alias {
            return Err(ApiError::constraint(
                alias,
                "name",
                "Member must satisfy regular expression pattern: (?!^[0-9]+$)([a-zA-Z0-9-_]+)",
            ));
        }
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        input.check(&function, &name)?;
        if function.aliases.contains_key(&alias) {
            return Err(ApiError::conflict(format!(
                "Alias already exists: {}:{alias}",
                name.arn()
            )));
        }
        let fresh = Alias {
            version,
            description: input.description.unwrap_or_default(),
            revision: request_id(),
        };
        let shown = fresh.describe(&name.arn(), &alias);
        function.aliases.insert(alias, fresh);
        change.put(self.caller, function)?;
        created(shown)
    }

    pub(super) fn get_alias(&self, text: &str, alias: &str) -> Answer {
        let name = self.unqualified(text)?;
        let function = self.lambda.registry.find(&name)?;
        let found = function
            .aliases
            .get(alias)
            .ok_or_else(|| no_alias(&name, alias))?;
        ok(found.describe(&name.arn(), alias))
    }

    pub(super) fn list_aliases(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let function = self.lambda.registry.find(&name)?;
        let wanted = self.route.parameter("FunctionVersion");
        let rows: Vec<_> = function
            .aliases
            .iter()
            .filter(|(_, alias)| wanted.is_none_or(|version| alias.version == version))
            .collect();
        let (page, next) = self.page(rows, |(alias, _)| (*alias).clone())?;
        let aliases: Vec<Value> = page
            .into_iter()
            .map(|(alias, found)| found.describe(&name.arn(), alias))
            .collect();
        ok(json!({"Aliases": aliases, "NextMarker": next}))
    }

    pub(super) fn update_alias(&self, text: &str, alias: &str) -> Answer {
        let name = self.unqualified(text)?;
        let input: Input = settings::read(self.body)?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        input.check(&function, &name)?;
        let found = function
            .aliases
            .get_mut(alias)
            .ok_or_else(|| no_alias(&name, alias))?;
        check_revision(input.revision_id.as_deref(), &found.revision)?;
        if let Some(version) = input.function_version {
            found.version = version;
        }
        if let Some(description) = input.description {
            found.description = description;
        }
        found.revision = request_id();
        let shown = found.describe(&name.arn(), alias);
        change.put(self.caller, function)?;
        ok(shown)
    }

    pub(super) fn delete_alias(&self, text: &str, alias: &str) -> Answer {
        let name = self.unqualified(text)?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        if function.aliases.remove(alias).is_some() {
            function.policies.remove(alias);
            function.event_configs.remove(alias);
            function.urls.remove(alias);
            change.put(self.caller, function)?;
        }
        no_content()
    }
}

fn no_alias(name: &FunctionName, alias: &str) -> ApiError {
    ApiError::not_found(format!("Cannot find alias arn: {}:{alias}", name.arn()))
}
