//! The versions of a managed policy's document, and what it is attached to.

use aws_sdk_iam::types::PolicyVersion;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde_json::Value;

use super::super::common::while_iam_lags;
use super::ManagedPolicy;
use crate::iam;
use crate::pipeline::event::Step;
use ground::error::{self, Result};

/// Versions a policy can have. Source: "IAM and AWS STS quotas", IAM user guide.
const VERSIONS: usize = 5;

impl ManagedPolicy<'_> {
    /// The document of `version`. IAM gives it percent-encoded.
    pub(super) async fn document_of(&self, arn: &str, version: &str) -> Result<Value> {
        let answer = while_iam_lags("NoSuchEntity", || {
            let call = self.context.iam().get_policy_version().policy_arn(arn);
            call.version_id(version).send()
        })
        .await
        .map_err(|error| error::aws::failed(self.what("read the document of"), error))?;
        let text = answer.policy_version.and_then(|version| version.document);
        Ok(iam::decoded(text.as_deref()))
    }

    /// Makes the declared document the default one; the oldest of five versions makes room.
    pub(super) async fn replace_document(&self, arn: &str, step: &Step<'_>) -> Result<()> {
        step.doing("replacing the document");
        let versions = self.versions(arn).await?;
        if versions.len() >= VERSIONS
            && let Some(oldest) = versions
                .iter()
                .filter(|version| !version.is_default_version)
                .min_by_key(|version| number(version))
        {
            self.delete_version(arn, oldest).await?;
            step.go_on()?;
        }
        let call = self.context.iam().create_policy_version().policy_arn(arn);
        let call = call
            .policy_document(self.document().to_string())
            .set_as_default(true);
        call.send()
            .await
            .map(drop)
            .map_err(|error| error::aws::failed(self.what("replace the document of"), error))
    }

    /// Deletes every version but the default one, which goes with the policy.
    pub(super) async fn delete_versions(&self, arn: &str, step: &Step<'_>) -> Result<()> {
        for version in self.versions(arn).await? {
            if !version.is_default_version {
                step.go_on()?;
                self.delete_version(arn, &version).await?;
            }
        }
        Ok(())
    }

    async fn delete_version(&self, arn: &str, version: &PolicyVersion) -> Result<()> {
        let id = version.version_id.clone().unwrap_or_default();
        let call = self.context.iam().delete_policy_version().policy_arn(arn);
        match call.version_id(&id).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchEntity") => Ok(()),
            Err(error) => Err(error::aws::failed(
                self.what(&format!("delete version {id} of")),
                error,
            )),
        }
    }

    async fn versions(&self, arn: &str) -> Result<Vec<PolicyVersion>> {
        let mut versions = Vec::new();
        let mut marker = None;
        loop {
            let call = self.context.iam().list_policy_versions().policy_arn(arn);
            let page = call
                .set_marker(marker)
                .send()
                .await
                .map_err(|error| error::aws::failed(self.what("list the versions of"), error))?;
            versions.extend(page.versions.unwrap_or_default());
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                return Ok(versions);
            }
        }
    }

    /// Roles, users and groups it is attached to.
    pub(super) async fn attached(&self, arn: &str) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut marker = None;
        loop {
            let call = self.context.iam().list_entities_for_policy().policy_arn(arn);
            let page = call
                .set_marker(marker)
                .send()
                .await
                .map_err(|error| error::aws::failed(self.what("list what is attached to"), error))?;
            let named =
                |kind: &str, name: &Option<String>| format!("{kind} {}", name.as_deref().unwrap_or("?"));
            names.extend(
                page.policy_roles()
                    .iter()
                    .map(|role| named("role", &role.role_name)),
            );
            names.extend(
                page.policy_users()
                    .iter()
                    .map(|user| named("user", &user.user_name)),
            );
            names.extend(
                page.policy_groups()
                    .iter()
                    .map(|group| named("group", &group.group_name)),
            );
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                return Ok(names);
            }
        }
    }
}

/// The number in a version id such as `v12`.
fn number(version: &PolicyVersion) -> u64 {
    let digits = version.version_id.as_deref().map(|id| id.trim_start_matches('v'));
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}
