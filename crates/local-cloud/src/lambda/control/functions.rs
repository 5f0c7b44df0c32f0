//! Functions: create, read, list, delete.

use std::collections::BTreeMap;

use http::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Request, created, no_content, ok, version_of};
use crate::Body;
use crate::answer::{answer, request_id, whole};
use crate::lambda::code::{self, CodeStore};
use crate::lambda::error::{ApiError, Result};
use crate::lambda::model::{Function, Logging, Version};
use crate::lambda::name::{FunctionName, LATEST};
use crate::lambda::route::DOWNLOAD;
use crate::lambda::settings::{self, Settings};

/// Members of CreateFunction besides [`Settings`].
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Create {
    function_name: Option<String>,
    code: Option<Code>,
    publish: Option<bool>,
    package_type: Option<String>,
    architectures: Option<Vec<String>>,
    tags: Option<BTreeMap<String, String>>,
    code_signing_config_arn: Option<String>,
}

/// Source of code.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Code {
    pub zip_file: Option<String>,
    pub s3_bucket: Option<String>,
    pub image_uri: Option<String>,
}

impl Code {
    /// The decoded zip.
    pub fn zip(&self) -> Result<Vec<u8>> {
        if self.image_uri.is_some() {
            return Err(ApiError::invalid(
                "The local cloud does not run container images: upload a zip.",
            ));
        }
        if self.s3_bucket.is_some() {
            return Err(ApiError::invalid(
                "The local cloud takes code as ZipFile only, not from S3.",
            ));
        }
        let text = self
            .zip_file
            .as_ref()
            .ok_or_else(|| ApiError::invalid("Please provide a source for function code."))?;
        base64_simd::STANDARD
            .decode_to_vec(text)
            .map_err(|_| ApiError::serialization("ZipFile is not valid base64"))
    }
}

impl Create {
    /// Checks required settings, and rejects members that the local cloud does not support.
    fn check(&self, settings: &Settings) -> Result<()> {
        if settings.role.is_none() {
            return Err(ApiError::missing("role"));
        }
        if settings.runtime.is_none() || settings.handler.is_none() {
            return Err(ApiError::invalid(
                "Runtime and Handler are mandatory parameters for functions created with deployment packages.",
            ));
        }
        if self.package_type.as_deref().is_some_and(|kind| kind != "Zip") {
            return Err(ApiError::invalid(
                "The local cloud does not run container images: upload a zip.",
            ));
        }
        if self.code_signing_config_arn.is_some() {
            return Err(ApiError::invalid(
                "The local cloud does not support code signing.",
            ));
        }
        Ok(())
    }
}

impl Request<'_> {
    pub(super) fn create_function(&self) -> Answer {
        let input: Create = settings::read(self.body)?;
        let settings: Settings = settings::read(self.body)?;
        let name = input
            .function_name
            .as_deref()
            .ok_or_else(|| ApiError::missing("functionName"))?;
        let name = self.unqualified(name)?;
        input.check(&settings)?;
        let tags = input.tags.unwrap_or_default();
        settings::check_tags(&tags)?;
        let mut version = self.fresh_version(&name.name);
        version.architecture = settings::architecture(input.architectures.as_deref())?;
        settings.apply(&mut version)?;
        let zip = input.code.ok_or_else(|| ApiError::missing("code"))?.zip()?;
        self.check_role(&version.role)?;

        let change = self.lambda.registry.change();
        if self.lambda.registry.get(self.caller, &name.name).is_some() {
            return Err(ApiError::conflict(format!(
                "Function already exist: {}",
                name.name
            )));
        }
        let stored = self.lambda.code.put(&zip)?;
        (version.code_sha256, version.code_size) = (stored.sha256, stored.size);
        let mut function = Function {
            name: name.name.clone(),
            latest: version,
            versions: BTreeMap::new(),
            last_version: 0,
            aliases: BTreeMap::new(),
            policies: BTreeMap::new(),
            urls: BTreeMap::new(),
            event_configs: BTreeMap::new(),
            tags,
            reserved: None,
        };
        let shown = if input.publish == Some(true) {
            super::versions::publish(&mut function, None)
        } else {
            function.latest.clone()
        };
        change.put(self.caller, function)?;
        let qualifier = (shown.version != LATEST).then_some(shown.version.as_str());
        created(shown.describe(self.caller, &name.name, qualifier, self.now()))
    }

    /// Rejects a role of this account that does not exist.
    pub(super) fn check_role(&self, role: &str) -> Result<()> {
        let Some(roles) = &self.lambda.roles else {
            return Ok(());
        };
        let is_own = role.split(':').nth(4) == Some(self.caller.account.as_str());
        let runtime = tokio::runtime::Handle::current();
        if is_own && !runtime.block_on(roles.exists(self.caller, role)) {
            return Err(ApiError::invalid(
                "The role defined for the function cannot be assumed by Lambda.",
            ));
        }
        Ok(())
    }

    /// A version with Lambda's defaults.
    fn fresh_version(&self, name: &str) -> Version {
        let now = self.now();
        Version {
            version: LATEST.to_owned(),
            generation: request_id(),
            revision: request_id(),
            modified_ms: now,
            runtime: String::new(),
            role: String::new(),
            handler: String::new(),
            description: String::new(),
            timeout_seconds: 3,
            memory_mb: 128,
            ephemeral_mb: 512,
            architecture: "x86_64".to_owned(),
            environment: None,
            kms_key: None,
            tracing: "PassThrough".to_owned(),
            dead_letter: None,
            logging: Logging {
                format: "Text".to_owned(),
                application_level: None,
                system_level: None,
                group: format!("/aws/lambda/{name}"),
            },
            code_sha256: String::new(),
            code_size: 0,
            settled_ms: now + self.lambda.timings.status_delay_ms(),
            creating: true,
        }
    }

    pub(super) fn get_function(&self, text: &str) -> Answer {
        let name = self.name(text)?;
        let function = self.lambda.registry.find(&name)?;
        let version = version_of(&function, &name)?;
        let mut value = json!({
            "Configuration": version.describe(self.caller, &name.name, name.qualifier.as_deref(), self.now()),
            "Code": {"RepositoryType": "S3", "Location": self.location(version)},
        });
        if !function.tags.is_empty() {
            value["Tags"] = json!(function.tags);
        }
        if let Some(reserved) = function.reserved {
            value["Concurrency"] = json!({"ReservedConcurrentExecutions": reserved});
        }
        ok(value)
    }

    /// A URL for the code that needs no credentials, like AWS's presigned URL.
    fn location(&self, version: &Version) -> String {
        format!(
            "{}/{DOWNLOAD}/{}?X-Amz-Credential=local%2F20260101%2F{}%2Flambda%2Faws4_request",
            self.lambda.endpoint,
            code::hex(&version.code_sha256).unwrap_or_default(),
            self.caller.region,
        )
    }

    pub(super) fn download(&self, hash: &str) -> Response<Body> {
        match self.lambda.code.zip(hash) {
            Some(zip) => answer(200, "application/zip", whole(zip)),
            None => ApiError::not_found("The resource you requested does not exist.").answer(),
        }
    }

    pub(super) fn get_function_configuration(&self, text: &str) -> Answer {
        let name = self.name(text)?;
        let function = self.lambda.registry.find(&name)?;
        let version = version_of(&function, &name)?;
        ok(version.describe(self.caller, &name.name, name.qualifier.as_deref(), self.now()))
    }

    pub(super) fn list_functions(&self) -> Answer {
        let all = self.lambda.registry.list(self.caller);
        let now = self.now();
        let every_version = match self.route.parameter("FunctionVersion") {
            None => false,
            Some("ALL") => true,
            Some(other) => {
                return Err(ApiError::constraint(
                    other,
                    "functionVersion",
                    "Member must satisfy enum value set: [ALL]",
                ));
            }
        };
        let mut rows: Vec<(String, Value)> = Vec::new();
        for function in &all {
            let name = &function.name;
            if every_version {
                for (number, version) in function.all().enumerate() {
                    let shown = version.describe(self.caller, name, Some(&version.version), now);
                    rows.push((format!("{name}\u{1}{number:08}"), shown));
                }
            } else {
                rows.push((
                    name.clone(),
                    function.latest.describe(self.caller, name, None, now),
                ));
            }
        }
        let (page, next) = self.page(rows, |(key, _)| key.clone())?;
        let functions: Vec<Value> = page.into_iter().map(|(_, value)| value).collect();
        ok(json!({"Functions": functions, "NextMarker": next}))
    }

    pub(super) fn delete_function(&self, text: &str) -> Answer {
        let name = self.name(text)?;
        let change = self.lambda.registry.change();
        let function = self.lambda.registry.find(&name)?;
        if let Some(qualifier) = &name.qualifier {
            return self.delete_version(&change, &function, &name, qualifier);
        }
        change.remove(self.caller, &name.name)?;
        for version in function.all() {
            self.lambda.executor.retire(&name.arn(), version);
            self.release_code(&version.code_sha256);
        }
        no_content()
    }

    fn delete_version(
        &self,
        change: &crate::lambda::registry::Change<'_>,
        function: &Function,
        name: &FunctionName,
        qualifier: &str,
    ) -> Answer {
        if qualifier == LATEST {
            return Err(ApiError::invalid(
                "$LATEST version cannot be deleted without deleting the function.",
            ));
        }
        if function.aliases.contains_key(qualifier) {
            return Err(ApiError::invalid(
                "Use DeleteAlias to delete an alias of a function.",
            ));
        }
        let mut function = function.clone();
        let number = qualifier.parse().ok();
        let Some(version) = number.and_then(|number: u64| function.versions.remove(&number)) else {
            // Deleting a missing version succeeds.
            return no_content();
        };
        if let Some((alias, _)) = function
            .aliases
            .iter()
            .find(|(_, alias)| alias.version == qualifier)
        {
            return Err(ApiError::conflict(format!(
                "Version {qualifier} is referenced by alias {alias}"
            )));
        }
        change.put(self.caller, function)?;
        self.lambda.executor.retire(&name.arn(), &version);
        self.release_code(&version.code_sha256);
        no_content()
    }

    /// Deletes code that no version uses. Call it only within a change.
    pub(super) fn release_code(&self, sha256: &str) {
        let is_used = self
            .lambda
            .registry
            .any(|_, function| function.all().any(|version| version.code_sha256 == sha256));
        if !is_used {
            self.lambda.code.remove(sha256);
        }
    }

    /// Calculates hash and size of a zip without storing it.
    pub(super) fn dry_run_code(zip: &[u8], version: &mut Version) -> Result<()> {
        let stored = CodeStore::check(zip)?;
        (version.code_sha256, version.code_size) = (stored.sha256, stored.size);
        Ok(())
    }
}
