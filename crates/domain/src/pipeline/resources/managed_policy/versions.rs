//! The versions of a managed policy's document, and what the policy is attached to.

use aws_sdk_iam::types::{Policy, PolicyVersion};
use serde_json::Value;

use super::super::iam_entity::until_consistent;
use super::ManagedPolicy;
use crate::iam;
use crate::pipeline::event::Step;
use ground::error::Result;

impl ManagedPolicy<'_> {
    /// The document of the default version.
    pub(super) async fn default_document(&self, policy: &Policy, arn: &str) -> Result<Value> {
        let version = policy.default_version_id.as_deref().unwrap_or("v1");
        let answer = until_consistent("NoSuchEntity", || {
            let call = self.context.iam().get_policy_version().policy_arn(arn);
            call.version_id(version).send()
        });
        let answer = self.response("read the document of", answer.await)?;
        let text = answer.policy_version.and_then(|version| version.document);
        Ok(iam::decoded(text.as_deref()))
    }

    /// Makes the declared document the default version. Where the policy has all the versions that IAM allows, the oldest
    /// one is deleted first.
    pub(super) async fn replace_document(&self, arn: &str, step: &Step<'_>) -> Result<()> {
        step.doing("replacing the document");
        let versions = self.versions(arn).await?;
        if let Some(oldest) = iam::version_in_the_way(&versions) {
            self.delete_version(arn, oldest).await?;
            step.go_on()?;
        }
        let call = self.context.iam().create_policy_version().policy_arn(arn);
        let call = call
            .policy_document(self.document().to_string())
            .set_as_default(true);
        self.response("replace the document of", call.send().await)
            .map(drop)
    }

    /// Deletes every version but the default one, which IAM deletes with the policy.
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
        let id = version.version_id().unwrap_or_default();
        let call = self.context.iam().delete_policy_version().policy_arn(arn);
        let call = call.version_id(id);
        self.response_if_exists(&format!("delete version {id} of"), call.send().await)
            .map(drop)
    }

    async fn versions(&self, arn: &str) -> Result<Vec<PolicyVersion>> {
        let call = self.context.iam().list_policy_versions().policy_arn(arn);
        let listing = call.into_paginator().items().send().collect().await;
        self.listing("list the versions of", listing)
    }

    /// Roles, users and groups that the policy is attached to.
    pub(super) async fn attached(&self, arn: &str) -> Result<Vec<String>> {
        let call = self.context.iam().list_entities_for_policy().policy_arn(arn);
        let mut pages = call.into_paginator().send();
        let mut names = Vec::new();
        while let Some(page) = pages.next().await {
            let page = self.response("list what is attached to", page)?;
            let named = |kind: &str, name: Option<&str>| format!("{kind} {}", name.unwrap_or("?"));
            let roles = page.policy_roles().iter();
            names.extend(roles.map(|role| named("role", role.role_name())));
            let users = page.policy_users().iter();
            names.extend(users.map(|user| named("user", user.user_name())));
            let groups = page.policy_groups().iter();
            names.extend(groups.map(|group| named("group", group.group_name())));
        }
        Ok(names)
    }
}
