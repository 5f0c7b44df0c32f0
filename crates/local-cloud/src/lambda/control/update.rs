//! Changes of code and configuration.

use serde::Deserialize;

use super::functions::Code;
use super::{Answer, Request, check_revision, ok};
use crate::answer::request_id;
use crate::lambda::error::{ApiError, Result};
use crate::lambda::model::Version;
use crate::lambda::name::FunctionName;
use crate::lambda::settings::{self, Settings};

/// Members of UpdateFunctionCode besides the code.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct UpdateCode {
    publish: Option<bool>,
    dry_run: Option<bool>,
    revision_id: Option<String>,
    architectures: Option<Vec<String>>,
}

impl Request<'_> {
    pub(super) fn update_function_configuration(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let settings: Settings = settings::read(self.body)?;
        if let Some(role) = &settings.role {
            self.check_role(role)?;
        }
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        check_revision(settings.revision_id.as_deref(), &function.latest.revision)?;
        self.check_settled(&function.latest, &name)?;
        let before = function.latest.clone();
        settings.apply(&mut function.latest)?;
        self.renew(&mut function.latest);
        let shown = function.latest.clone();
        change.put(self.caller, function)?;
        self.lambda.executor.retire(&name.arn(), &before);
        ok(shown.describe(self.caller, &name.name, None, self.now()))
    }

    pub(super) fn update_function_code(&self, text: &str) -> Answer {
        let name = self.unqualified(text)?;
        let input: UpdateCode = settings::read(self.body)?;
        let code: Code = settings::read(self.body)?;
        let zip = code.zip()?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        check_revision(input.revision_id.as_deref(), &function.latest.revision)?;
        self.check_settled(&function.latest, &name)?;
        let before = function.latest.clone();
        if let Some(architectures) = input.architectures.as_deref() {
            function.latest.architecture = settings::architecture(Some(architectures))?;
        }
        if input.dry_run == Some(true) {
            Self::dry_run_code(&zip, &mut function.latest)?;
            return ok(function
                .latest
                .describe(self.caller, &name.name, None, self.now()));
        }
        let stored = self.lambda.code.put(&zip)?;
        (function.latest.code_sha256, function.latest.code_size) = (stored.sha256, stored.size);
        self.renew(&mut function.latest);
        let (shown, qualifier) = if input.publish == Some(true) {
            let version = super::versions::publish(&mut function, None);
            (version.clone(), Some(version.version))
        } else {
            (function.latest.clone(), None)
        };
        change.put(self.caller, function)?;
        self.lambda.executor.retire(&name.arn(), &before);
        if before.code_sha256 != shown.code_sha256 {
            self.release_code(&before.code_sha256);
        }
        ok(shown.describe(self.caller, &name.name, qualifier.as_deref(), self.now()))
    }

    /// Marks a version as changed: new instances, a new revision, and an update in progress.
    fn renew(&self, version: &mut Version) {
        version.generation = request_id();
        version.revision = request_id();
        version.modified_ms = self.now();
        version.settled_ms = self.now() + self.lambda.timings.status_delay_ms();
        version.creating = false;
    }

    fn check_settled(&self, version: &Version, name: &FunctionName) -> Result<()> {
        if version.is_pending(self.now()) {
            return Err(ApiError::conflict(
                "The operation cannot be performed at this time. The function is currently in the following state: \
                 Pending",
            ));
        }
        if version.is_changing(self.now()) {
            return Err(ApiError::conflict(format!(
                "The operation cannot be performed at this time. An update is in progress for resource: {}",
                name.arn()
            )));
        }
        Ok(())
    }
}
