//! `managed_policy`: a customer managed IAM policy under the pipeline's own path.

use async_trait::async_trait;
use aws_sdk_iam::types::{Policy, Tag};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, sdk_tags};
use super::iam_entity::{EXISTS, until_consistent};
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::{self, Statement};
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Outputs};
use ground::error::{Error, Result};

mod versions;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    #[serde(default)]
    description: String,
    statements: Vec<DeclaredStatement>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredStatement {
    sid: String,
    actions: Vec<String>,
    resources: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    arn: String,
    document: Value,
    attachments: i32,
}

type ManagedPolicy<'a> = Managed<'a, Declared>;

impl ManagedPolicy<'_> {
    fn document(&self) -> Value {
        let statements = self.declared.statements.iter().map(|statement| {
            json!({
                "Sid": statement.sid,
                "Effect": "Allow",
                "Action": statement.actions,
                "Resource": statement.resources,
            })
        });
        json!({"Version": "2012-10-17", "Statement": statements.collect::<Vec<Value>>()})
    }

    async fn get(&self, arn: &str) -> Result<Option<Policy>> {
        let call = self.context.iam().get_policy().policy_arn(arn);
        let answer = self.response_if_exists("read", call.send().await)?;
        Ok(answer.and_then(|answer| answer.policy))
    }

    /// Finishes a policy that was not seen although it exists: IAM shows changes late, and a response can be lost.
    async fn complete(&self, step: &Step<'_>) -> Result<()> {
        let arn = self.arn();
        let Some(policy) = self.get(&arn).await? else {
            return Err(self.name_taken());
        };
        step.touched();
        if !iam::same(&self.default_document(&policy, &arn).await?, &self.document()) {
            self.replace_document(&arn, step).await?;
        }
        let there = self.tags(&policy, &arn).await?;
        self.set_tags(&arn, &there, step).await
    }

    /// The policy's tags; some endpoints leave them out of GetPolicy's response.
    async fn tags(&self, policy: &Policy, arn: &str) -> Result<TagMap> {
        let mut tags = policy.tags().to_vec();
        if tags.is_empty() {
            let call = self.context.iam().list_policy_tags().policy_arn(arn);
            let listing = call.into_paginator().items().send().collect().await;
            tags = self.listing("list the tags of", listing)?;
        }
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }
}

#[async_trait]
impl Kind for ManagedPolicy<'_> {
    const NOUN: &'static str = "policy";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        // Source: CreatePolicy, `PolicyName`, IAM API reference.
        common::check_name("policy", &self.declared.name, (1, 128), "_+=,.@-")
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        self.entity_arn(&self.spec.identity.iam_path())
    }

    /// Looks under the pipeline's path, then for a policy of this name that was created by hand: names are unique in an
    /// account whatever the path.
    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let ours = self.arn();
        let policy = match self.get(&ours).await? {
            Some(policy) => Some(policy),
            None => self.get(&self.entity_arn("/")).await?,
        };
        let Some(policy) = policy else {
            return Ok(None);
        };
        let arn = policy.arn.clone().unwrap_or_else(|| ours.clone());
        let mut tags = self.tags(&policy, &arn).await?;
        if arn == ours {
            self.add_owner_tags(&mut tags);
        }
        let facts = Facts {
            document: self.default_document(&policy, &arn).await?,
            attachments: policy.attachment_count.unwrap_or(0),
            arn,
        };
        Ok(Some((tags, facts)))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let same = iam::same(&existing.facts.document, &self.document());
        let change = (!same).then(|| Change::update("document", "another", "as declared"));
        Ok(change.into_iter().collect())
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let call = self.context.iam().create_policy();
        let call = call
            .policy_name(&self.declared.name)
            .path(self.spec.identity.iam_path())
            .description(&self.declared.description)
            .policy_document(self.document().to_string())
            .set_tags(Some(sdk_tags!(Tag, self.spec.tags.all())?));
        let Some(answer) = self.response_unless("create", EXISTS, call.send().await)? else {
            return self.complete(step).await;
        };
        step.touched();
        // Some AWS-compatible endpoints ignore the tags of CreatePolicy; setting them again does no harm.
        if answer.policy.is_some_and(|policy| !policy.tags().is_empty()) {
            return Ok(());
        }
        self.set_tags(&self.arn(), &TagMap::new(), step).await
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        match field {
            "document" => self.replace_document(&existing.facts.arn, step).await,
            other => Err(self.unknown_field(other)),
        }
    }

    fn tag_target(&self, facts: &Facts) -> String {
        facts.arn.clone()
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        let call = self.context.iam().tag_policy().policy_arn(target);
        let call = call.set_tags(Some(sdk_tags!(Tag, tags)?));
        self.response("tag", call.send().await).map(drop)
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        let call = self.context.iam().untag_policy().policy_arn(target);
        self.response("untag", call.set_tag_keys(Some(keys)).send().await)
            .map(drop)
    }

    async fn delete(&self, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        let arn = &existing.facts.arn;
        let attached = self.attached(arn).await?;
        if !attached.is_empty() {
            return Err(Error::failed(format!(
                "policy {} is attached to {}",
                self.declared.name,
                attached.join(", ")
            ))
            .hint(
                "detach it there (`aws iam detach-role-policy` or similar), then run the same command again",
            ));
        }
        step.doing("deleting");
        self.delete_versions(arn, step).await?;
        step.go_on()?;
        let deleted = until_consistent("DeleteConflict", || {
            self.context.iam().delete_policy().policy_arn(arn).send()
        });
        self.response_if_exists("delete", deleted.await).map(drop)
    }

    async fn dependents(&self, facts: &Facts) -> Result<Vec<String>> {
        if facts.attachments == 0 {
            return Ok(Vec::new());
        }
        let attached = self.attached(&facts.arn).await?.into_iter();
        Ok(attached
            .map(|entity| format!("{entity} has the policy {}", self.declared.name))
            .collect())
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        self.name_and_arn(facts.map(|facts| facts.arn))
    }

    /// Source: "Actions, resources, and condition keys for AWS Identity and Access Management", service authorization
    /// reference.
    fn iam(&self) -> Vec<Statement> {
        vec![
            Statement::new(
                &[
                    "iam:CreatePolicy",
                    "iam:CreatePolicyVersion",
                    "iam:DeletePolicy",
                    "iam:DeletePolicyVersion",
                    "iam:GetPolicy",
                    "iam:GetPolicyVersion",
                    "iam:ListEntitiesForPolicy",
                    "iam:ListPolicyTags",
                    "iam:ListPolicyVersions",
                    "iam:TagPolicy",
                    "iam:UntagPolicy",
                ],
                [self.arn()],
            ),
            Statement::new(
                &["iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyTags"],
                [self.entity_arn("/")],
            ),
        ]
    }
}

#[cfg(test)]
mod tests;
