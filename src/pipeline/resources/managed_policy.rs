//! `managed_policy`: a customer managed IAM policy under the pipeline's own path.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_iam::types::Policy;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, iam_tags, observed, while_iam_lags};
use crate::context::Context;
use crate::iam::{self, Statement};
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Location, Observed, Outputs, Resource, Spec, Surroundings};
use crate::pipeline::tags::{MANAGED_BY, PIPELINE};
use ground::error::{self, Error, Result};

mod versions;

/// What a manifest can say about a managed policy.
pub(super) const PROPERTIES: &[&str] = &["name", "description", "statements"];

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
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

/// What is there, as far as the differences matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    arn: String,
    document: Value,
    attachments: i32,
}

pub(super) struct ManagedPolicy<'a> {
    context: &'a Context,
    spec: Spec,
    declared: Declared,
    path: String,
    /// Where ours is.
    arn: String,
    /// Where one of that name would be that was made by hand; names are unique in an account whatever the path.
    arn_by_hand: String,
}

impl<'a> ManagedPolicy<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let declared: Declared = spec.read()?;
        check_name(&declared.name)?;
        let path = spec.identity.iam_path();
        let arn = |path: &str| {
            format!(
                "arn:{}:iam::{}:policy{path}{}",
                location.partition, location.account, declared.name
            )
        };
        Ok(Self {
            context,
            arn: arn(&path),
            arn_by_hand: arn("/"),
            path,
            declared,
            spec,
        })
    }

    fn document(&self) -> Value {
        let statements: Vec<Value> = self
            .declared
            .statements
            .iter()
            .map(|statement| {
                json!({
                    "Sid": statement.sid,
                    "Effect": "Allow",
                    "Action": statement.actions,
                    "Resource": statement.resources,
                })
            })
            .collect();
        json!({"Version": "2012-10-17", "Statement": statements})
    }

    fn what(&self, action: &str) -> String {
        format!("could not {action} policy {}", self.declared.name)
    }

    async fn get(&self, arn: &str) -> Result<Option<Policy>> {
        match self.context.iam().get_policy().policy_arn(arn).send().await {
            Ok(answer) => Ok(answer.policy),
            Err(error) if error.code() == Some("NoSuchEntity") => Ok(None),
            Err(error) => Err(error::aws::failed(self.what("read"), error)),
        }
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let tags = iam_tags(&self.spec.tags.all())?;
        let call = self
            .context
            .iam()
            .create_policy()
            .policy_name(&self.declared.name);
        let call = call
            .path(&self.path)
            .description(&self.declared.description)
            .policy_document(self.document().to_string())
            .set_tags(Some(tags));
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("EntityAlreadyExists") => return self.complete(step).await,
            Err(error) => return Err(error::aws::failed(self.what("create"), error)),
        };
        step.touched();
        // Some AWS-compatible endpoints pass over the tags of CreatePolicy; setting them again does no harm.
        let tagged = answer
            .policy
            .as_ref()
            .is_some_and(|policy| !policy.tags().is_empty());
        if tagged {
            return Ok(());
        }
        self.set_tags(&self.arn, &BTreeMap::new(), step).await
    }

    /// Finishes a policy that is there although it was not seen: IAM shows changes late, and an answer can be lost.
    async fn complete(&self, step: &Step<'_>) -> Result<()> {
        let Some(policy) = self.get(&self.arn).await? else {
            return Err(Error::failed(format!(
                "there is another policy named {} in this account",
                self.declared.name
            ))
            .hint("delete or rename it, then run the same command again"));
        };
        step.touched();
        let version = policy.default_version_id.as_deref().unwrap_or("v1");
        if !iam::same(&self.document_of(&self.arn, version).await?, &self.document()) {
            self.replace_document(&self.arn, step).await?;
        }
        let there = self.tags(&policy, &self.arn).await?;
        self.set_tags(&self.arn, &there, step).await
    }

    /// The policy's tags, where GetPolicy does not tell them already.
    async fn tags(&self, policy: &Policy, arn: &str) -> Result<BTreeMap<String, String>> {
        let mut tags = policy.tags().to_vec();
        let mut marker = None;
        while tags.is_empty() || marker.is_some() {
            let call = self.context.iam().list_policy_tags().policy_arn(arn);
            let page = call
                .set_marker(marker)
                .send()
                .await
                .map_err(|error| error::aws::failed(self.what("list the tags of"), error))?;
            tags.extend(page.tags);
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                break;
            }
        }
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    async fn set_tags(&self, arn: &str, there: &BTreeMap<String, String>, step: &Step<'_>) -> Result<()> {
        step.doing("setting tags");
        let (set, remove) = self.spec.tags.difference(there);
        if !set.is_empty() {
            let call = self.context.iam().tag_policy().policy_arn(arn);
            let call = call.set_tags(Some(iam_tags(&set)?)).send();
            call.await
                .map_err(|error| error::aws::failed(self.what("tag"), error))?;
        }
        if !remove.is_empty() {
            step.go_on()?;
            let call = self.context.iam().untag_policy().policy_arn(arn);
            let call = call.set_tag_keys(Some(remove.into_iter().collect())).send();
            call.await
                .map_err(|error| error::aws::failed(self.what("untag"), error))?;
        }
        Ok(())
    }
}

#[async_trait]
impl Resource for ManagedPolicy<'_> {
    fn name(&self) -> String {
        self.declared.name.clone()
    }

    async fn observe(&self) -> Result<Observed> {
        let policy = match self.get(&self.arn).await? {
            Some(policy) => policy,
            None => match self.get(&self.arn_by_hand).await? {
                Some(policy) => policy,
                None => return Ok(Observed::Absent),
            },
        };
        let arn = policy.arn.clone().unwrap_or_else(|| self.arn.clone());
        let version = policy.default_version_id.as_deref().unwrap_or("v1");
        let facts = Facts {
            document: self.document_of(&arn, version).await?,
            attachments: policy.attachment_count.unwrap_or(0),
            arn,
        };
        let mut tags = self.tags(&policy, &facts.arn).await?;
        if facts.arn == self.arn {
            // Nobody else's policy is under this path: the path says whose it is as well as tags do.
            let mark = |key: &str| Some((key.to_owned(), self.spec.tags.all().remove(key)?));
            let marks = [MANAGED_BY, PIPELINE].into_iter().filter_map(mark);
            tags.extend(marks);
        }
        observed(tags, &facts)
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        let mut changes = Vec::new();
        if !iam::same(&facts.document, &self.document()) {
            changes.push(Change::update("document", "another", "as declared"));
        }
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(field) = common::field(change)? else {
            return self.create(step).await;
        };
        let present = observed
            .present()
            .ok_or_else(|| Error::failed(self.what("change")))?;
        let facts: Facts = present.read()?;
        match field {
            "document" => self.replace_document(&facts.arn, step).await,
            "tags" => self.set_tags(&facts.arn, &present.tags, step).await,
            other => Err(Error::failed(format!("a policy has no {other} to change"))),
        }
    }

    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(present) = observed.present() else {
            return Ok(());
        };
        let facts: Facts = present.read()?;
        let attached = self.attached(&facts.arn).await?;
        if !attached.is_empty() {
            return Err(Error::failed(format!(
                "policy {} is attached to {}",
                self.declared.name,
                attached.join(", ")
            ))
            .hint("detach it there (`aws iam detach-role-policy` and its like), then run the same command again"));
        }
        step.doing("deleting");
        self.delete_versions(&facts.arn, step).await?;
        step.go_on()?;
        let deleted = while_iam_lags("DeleteConflict", || {
            let call = self.context.iam().delete_policy().policy_arn(&facts.arn);
            call.send()
        });
        match deleted.await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchEntity") => Ok(()),
            Err(error) => Err(error::aws::failed(self.what("delete"), error)),
        }
    }

    async fn dependents(&self, observed: &Observed) -> Result<Vec<String>> {
        let Some(present) = observed.present() else {
            return Ok(Vec::new());
        };
        let facts: Facts = present.read()?;
        if facts.attachments == 0 {
            return Ok(Vec::new());
        }
        let attached = self.attached(&facts.arn).await?;
        Ok(attached
            .into_iter()
            .map(|entity| format!("{entity} has the policy {}", self.declared.name))
            .collect())
    }

    fn outputs(&self, observed: &Observed) -> Outputs {
        let arn = common::facts(observed).map_or_else(|| self.arn.clone(), |there: Facts| there.arn);
        common::outputs([("name", self.declared.name.clone()), ("arn", arn)])
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
                [self.arn.clone()],
            ),
            Statement::new(
                &["iam:GetPolicy", "iam:GetPolicyVersion", "iam:ListPolicyTags"],
                [self.arn_by_hand.clone()],
            ),
        ]
    }
}

/// 1 to 128 characters. Source: CreatePolicy, `PolicyName`, IAM API reference.
fn check_name(name: &str) -> Result<()> {
    common::check_name("policy", name, (1, 128), "_+=,.@-")
}
