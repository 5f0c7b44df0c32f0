//! `role`: an IAM role that a service may take on, under the pipeline's own path, with one inline policy.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_iam::types::Role as SdkRole;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, iam_tags, observed, while_iam_lags};
use crate::context::Context;
use crate::iam::{self, Statement};
use crate::pipeline::event::Step;
use crate::pipeline::resource::{
    Change, Check, CheckState, Location, Observed, Outputs, Present, Resource, Spec, Surroundings, shortened,
};
use crate::pipeline::tags::{MANAGED_BY, PIPELINE};
use ground::error::{self, Error, Result};

/// What a manifest can say about a role.
pub(super) const PROPERTIES: &[&str] = &["name", "service", "description", "tracing", "statements"];

/// Characters of a role's name. Source: CreateRole, `RoleName`, IAM API reference.
const LONGEST_NAME: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Declared {
    name: String,
    #[serde(default = "lambda")]
    service: String,
    #[serde(default)]
    description: Option<String>,
    /// Whether it may send X-Ray traces.
    #[serde(default)]
    tracing: bool,
    #[serde(default)]
    statements: Vec<DeclaredStatement>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredStatement {
    sid: String,
    actions: Vec<String>,
    /// None left, since what they refer to is not there: then the statement is left out.
    resources: Vec<String>,
    /// Operator, key, value.
    #[serde(default)]
    condition: Option<BTreeMap<String, BTreeMap<String, Value>>>,
}

fn lambda() -> String {
    "lambda.amazonaws.com".to_owned()
}

impl Declared {
    fn read(spec: &Spec) -> Result<Self> {
        let mut declared: Self = spec.read()?;
        declared.name = shortened(&declared.name, LONGEST_NAME);
        Ok(declared)
    }

    /// Who may take the role on.
    fn trust(&self) -> Value {
        json!({"Version": "2012-10-17", "Statement": [{
            "Effect": "Allow",
            "Principal": {"Service": self.service},
            "Action": "sts:AssumeRole",
        }]})
    }

    /// What the role may do; `None` where that is nothing.
    fn policy(&self) -> Option<Value> {
        policy(self.allowed(), self.tracing)
    }

    fn allowed(&self) -> Vec<Value> {
        let statements = self.statements.iter();
        statements
            .filter(|statement| !statement.resources.is_empty())
            .map(|statement| {
                let mut allowed = json!({
                    "Sid": statement.sid,
                    "Effect": "Allow",
                    "Action": statement.actions,
                    "Resource": statement.resources,
                });
                if let Some(condition) = &statement.condition {
                    allowed["Condition"] = json!(condition);
                }
                allowed
            })
            .collect()
    }
}

/// The statement that lets a function send traces.
const TRACING: &str = "Tracing";

fn policy(mut statements: Vec<Value>, tracing: bool) -> Option<Value> {
    if tracing {
        // X-Ray knows no resources for these. Source: "Actions, resources, and condition keys for AWS X-Ray".
        statements.push(json!({
            "Sid": TRACING,
            "Effect": "Allow",
            "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
            "Resource": ["*"],
        }));
    }
    (!statements.is_empty()).then(|| json!({"Version": "2012-10-17", "Statement": statements}))
}

/// The policy document that a role of `spec` gets; `None` where it gets none. Makes no call.
///
/// # Errors
/// Exit 2 when `spec` is not that of a role.
pub fn policy_of(spec: &Spec) -> Result<Option<Value>> {
    Declared::read(spec).map(|declared| declared.policy())
}

/// What is there, as far as the differences matter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Facts {
    arn: String,
    description: String,
    trust: Value,
    /// The inline policy of the role's own name.
    policy: Option<Value>,
}

pub(super) struct Role<'a> {
    context: &'a Context,
    spec: Spec,
    declared: Declared,
    path: String,
    arn: String,
    arn_by_hand: String,
}

impl<'a> Role<'a> {
    pub(super) fn new(context: &'a Context, location: &Location, spec: Spec) -> Result<Self> {
        let declared = Declared::read(&spec)?;
        check_name(&declared.name)?;
        let path = spec.identity.iam_path();
        let arn = |path: &str| {
            let Location {
                account, partition, ..
            } = location;
            format!("arn:{partition}:iam::{account}:role{path}{}", declared.name)
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

    fn name(&self) -> &str {
        &self.declared.name
    }

    fn what(&self, action: &str) -> String {
        format!("could not {action} role {}", self.name())
    }

    async fn get(&self) -> Result<Option<SdkRole>> {
        match self.context.iam().get_role().role_name(self.name()).send().await {
            Ok(answer) => Ok(answer.role),
            Err(error) if error.code() == Some("NoSuchEntity") => Ok(None),
            Err(error) => Err(error::aws::failed(self.what("read"), error)),
        }
    }

    async fn inline_policy(&self) -> Result<Option<Value>> {
        let call = self.context.iam().get_role_policy();
        let call = call.role_name(self.name()).policy_name(self.name());
        match call.send().await {
            Ok(answer) => Ok(Some(iam::decoded(Some(&answer.policy_document)))),
            Err(error) if error.code() == Some("NoSuchEntity") => Ok(None),
            Err(error) => Err(error::aws::failed(self.what("read the policy of"), error)),
        }
    }

    /// The role's tags, where GetRole does not tell them already.
    async fn tags(&self, role: &SdkRole) -> Result<BTreeMap<String, String>> {
        let mut tags = role.tags().to_vec();
        let mut marker = None;
        while tags.is_empty() || marker.is_some() {
            let call = self.context.iam().list_role_tags().role_name(self.name());
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

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let call = self.context.iam().create_role().role_name(self.name());
        let call = call
            .path(&self.path)
            .set_description(self.declared.description.clone())
            .assume_role_policy_document(self.declared.trust().to_string())
            .set_tags(Some(iam_tags(&self.spec.tags.all())?));
        let answer = match call.send().await {
            Ok(answer) => answer,
            Err(error) if error.code() == Some("EntityAlreadyExists") => return self.complete(step).await,
            Err(error) => return Err(error::aws::failed(self.what("create"), error)),
        };
        step.touched();
        step.go_on()?;
        self.set_policy(self.declared.policy(), step).await?;
        // Some AWS-compatible endpoints pass over the tags of CreateRole; setting them again does no harm.
        if answer.role.as_ref().is_some_and(|role| !role.tags().is_empty()) {
            return Ok(());
        }
        self.set_tags(&BTreeMap::new(), step).await
    }

    /// Finishes a role that is there although it was not seen: IAM shows changes late, and an answer can be lost.
    async fn complete(&self, step: &Step<'_>) -> Result<()> {
        let role = self.get().await?;
        let Some(role) = role.filter(|role| role.path == self.path) else {
            return Err(Error::failed(format!(
                "there is another role named {} in this account",
                self.name()
            ))
            .hint("delete or rename it, then run the same command again"));
        };
        step.touched();
        self.set_trust(step).await?;
        self.set_policy(self.declared.policy(), step).await?;
        let there = self.tags(&role).await?;
        self.set_tags(&there, step).await
    }

    async fn set_trust(&self, step: &Step<'_>) -> Result<()> {
        step.doing("saying who may take it on");
        let call = self.context.iam().update_assume_role_policy();
        let call = call
            .role_name(self.name())
            .policy_document(self.declared.trust().to_string());
        let done = call.send().await;
        done.map(drop)
            .map_err(|error| error::aws::failed(self.what("change who may take on"), error))
    }

    /// What the role is to be allowed where it has a policy: statements and tracing that depend on a mere default stay as
    /// they are. A role without a policy was not finished, and gets the declared one.
    fn policy_over(&self, facts: &Facts, present: &Present) -> Option<Value> {
        let Some(there) = facts
            .policy
            .as_ref()
            .and_then(|policy| policy["Statement"].as_array())
        else {
            return self.declared.policy();
        };
        let (traces, others): (Vec<&Value>, Vec<&Value>) =
            there.iter().partition(|statement| statement["Sid"] == TRACING);
        let enforced = |key: &str| self.spec.properties.enforced(key, present);
        let statements = match enforced("statements") {
            true => self.declared.allowed(),
            false => others.into_iter().cloned().collect(),
        };
        let tracing = match enforced("tracing") {
            true => self.declared.tracing,
            false => !traces.is_empty(),
        };
        policy(statements, tracing)
    }

    async fn set_policy(&self, policy: Option<Value>, step: &Step<'_>) -> Result<()> {
        let Some(policy) = policy else {
            return self.delete_inline(self.name()).await;
        };
        step.doing("setting its permissions");
        let set = while_iam_lags("NoSuchEntity", || {
            let call = self.context.iam().put_role_policy();
            let call = call.role_name(self.name()).policy_name(self.name());
            call.policy_document(policy.to_string()).send()
        });
        set.await
            .map(drop)
            .map_err(|error| error::aws::failed(self.what("set the permissions of"), error))
    }

    async fn delete_inline(&self, policy: &str) -> Result<()> {
        let call = self.context.iam().delete_role_policy();
        match call.role_name(self.name()).policy_name(policy).send().await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchEntity") => Ok(()),
            Err(error) => Err(error::aws::failed(
                self.what(&format!("delete the policy {policy} of")),
                error,
            )),
        }
    }

    async fn set_tags(&self, there: &BTreeMap<String, String>, step: &Step<'_>) -> Result<()> {
        let (set, remove) = self.spec.tags.difference(there);
        if !set.is_empty() {
            step.doing("setting tags");
            let call = self.context.iam().tag_role().role_name(self.name());
            let call = call.set_tags(Some(iam_tags(&set)?)).send();
            call.await
                .map_err(|error| error::aws::failed(self.what("tag"), error))?;
        }
        if !remove.is_empty() {
            step.go_on()?;
            let call = self.context.iam().untag_role().role_name(self.name());
            let call = call.set_tag_keys(Some(remove.into_iter().collect())).send();
            call.await
                .map_err(|error| error::aws::failed(self.what("untag"), error))?;
        }
        Ok(())
    }

    /// Takes away what IAM wants gone before a role goes: attached and inline policies, whoever put them there.
    async fn strip(&self, step: &Step<'_>) -> Result<()> {
        let mut marker = None;
        loop {
            let call = self.context.iam().list_attached_role_policies();
            let call = call.role_name(self.name()).set_marker(marker);
            let page = match call.send().await {
                Ok(page) => page,
                Err(error) if error.code() == Some("NoSuchEntity") => return Ok(()),
                Err(error) => return Err(error::aws::failed(self.what("list the policies of"), error)),
            };
            for policy in page.attached_policies() {
                step.go_on()?;
                let arn = policy.policy_arn().unwrap_or_default();
                let call = self.context.iam().detach_role_policy().role_name(self.name());
                match call.policy_arn(arn).send().await {
                    Ok(_) => {}
                    Err(error) if error.code() == Some("NoSuchEntity") => {}
                    Err(error) => {
                        let what = self.what(&format!("detach policy {arn} from"));
                        return Err(error::aws::failed(what, error));
                    }
                }
            }
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                break;
            }
        }
        loop {
            let call = self.context.iam().list_role_policies().role_name(self.name());
            let page = call
                .set_marker(marker)
                .send()
                .await
                .map_err(|error| error::aws::failed(self.what("list the policies of"), error))?;
            for policy in &page.policy_names {
                step.go_on()?;
                self.delete_inline(policy).await?;
            }
            marker = page.marker.filter(|_| page.is_truncated);
            if marker.is_none() {
                return Ok(());
            }
        }
    }
}

#[async_trait]
impl Resource for Role<'_> {
    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn summary(&self) -> String {
        let statements = self.declared.policy();
        let count = statements.map_or(0, |policy| policy["Statement"].as_array().map_or(0, Vec::len));
        match count {
            0 => format!("for {}, without permissions", self.declared.service),
            1 => format!("for {}, 1 statement", self.declared.service),
            n => format!("for {}, {n} statements", self.declared.service),
        }
    }

    async fn observe(&self) -> Result<Observed> {
        let Some(role) = self.get().await? else {
            return Ok(Observed::Absent);
        };
        let mut tags = self.tags(&role).await?;
        if role.path == self.path {
            // Nobody else's role is under this path: the path says whose it is as well as tags do.
            let mark = |key: &str| Some((key.to_owned(), self.spec.tags.all().remove(key)?));
            tags.extend([MANAGED_BY, PIPELINE].into_iter().filter_map(mark));
        }
        let facts = Facts {
            trust: iam::decoded(role.assume_role_policy_document.as_deref()),
            policy: self.inline_policy().await?,
            description: role.description.unwrap_or_default(),
            arn: role.arn,
        };
        observed(tags, &facts)
    }

    fn diff(&self, observed: &Observed, _around: &Surroundings) -> Result<Vec<Change>> {
        let Some(present) = observed.present() else {
            return Ok(vec![Change::Create]);
        };
        let facts: Facts = present.read()?;
        let mut changes = Vec::new();
        if !iam::same(&facts.trust, &self.declared.trust()) {
            changes.push(Change::update("trust", "another", &self.declared.service));
        }
        match (&facts.policy, self.policy_over(&facts, present)) {
            (None, Some(_)) => changes.push(Change::Update {
                field: "permissions".to_owned(),
                from: None,
                to: Some("as declared".to_owned()),
                loses: None,
            }),
            (Some(there), Some(wanted)) if !iam::same(there, &wanted) => {
                changes.push(Change::update("permissions", "another", "as declared"));
            }
            (Some(_), None) => changes.push(Change::update("permissions", "some", "none")),
            _ => {}
        }
        if let Some(wanted) = &self.declared.description
            && *wanted != facts.description
            && self.spec.properties.enforced("description", present)
        {
            changes.push(Change::update("description", &facts.description, wanted));
        }
        changes.extend(self.spec.tags.change(&present.tags));
        Ok(changes)
    }

    async fn apply(&self, change: &Change, observed: &Observed, step: &Step<'_>) -> Result<()> {
        let Some(field) = common::field(change)? else {
            return self.create(step).await;
        };
        match field {
            "trust" => self.set_trust(step).await,
            "permissions" => {
                let present = observed.present();
                let present = present.ok_or_else(|| Error::failed(self.what("change")))?;
                let policy = self.policy_over(&present.read()?, present);
                self.set_policy(policy, step).await
            }
            "description" => {
                step.doing("setting the description");
                let call = self.context.iam().update_role().role_name(self.name());
                let done = call.set_description(self.declared.description.clone()).send();
                done.await
                    .map(drop)
                    .map_err(|error| error::aws::failed(self.what("describe"), error))
            }
            "tags" => {
                let there = &common::there(observed, "role")?.tags;
                self.set_tags(there, step).await
            }
            other => Err(Error::failed(format!("a role has no {other} to change"))),
        }
    }

    async fn delete(&self, observed: &Observed, step: &Step<'_>) -> Result<()> {
        if observed.present().is_none() {
            return Ok(());
        }
        step.doing("deleting");
        self.strip(step).await?;
        step.go_on()?;
        let deleted = while_iam_lags("DeleteConflict", || {
            self.context.iam().delete_role().role_name(self.name()).send()
        });
        match deleted.await {
            Ok(_) => Ok(()),
            Err(error) if error.code() == Some("NoSuchEntity") => Ok(()),
            Err(error) => Err(error::aws::failed(self.what("delete"), error)),
        }
    }

    async fn verify(&self, observed: &Observed, _probe: bool) -> Vec<Check> {
        let facts = observed
            .present()
            .and_then(|present| present.read::<Facts>().ok());
        let Some(policy) = facts.and_then(|facts| facts.policy) else {
            return Vec::new();
        };
        // Least privilege: a wildcard in an action is never the template's.
        let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
        let wide = statements.iter().any(|statement| match &statement["Action"] {
            Value::Array(actions) => actions
                .iter()
                .any(|action| action.as_str().is_some_and(|a| a.contains('*'))),
            action => action.as_str().is_some_and(|action| action.contains('*')),
        });
        let state = if wide {
            CheckState::Caution
        } else {
            CheckState::Good
        };
        let detail = match wide {
            true => "an action has a wildcard".to_owned(),
            false => format!("{} statements without wildcard actions", statements.len()),
        };
        vec![Check::new(state, "permissions", detail)]
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
                    "iam:CreateRole",
                    "iam:DeleteRole",
                    "iam:DeleteRolePolicy",
                    "iam:DetachRolePolicy",
                    "iam:GetRole",
                    "iam:GetRolePolicy",
                    "iam:ListAttachedRolePolicies",
                    "iam:ListRolePolicies",
                    "iam:ListRoleTags",
                    "iam:PutRolePolicy",
                    "iam:TagRole",
                    "iam:UntagRole",
                    "iam:UpdateAssumeRolePolicy",
                    "iam:UpdateRole",
                ],
                [self.arn.clone()],
            ),
            Statement::new(
                &["iam:GetRole", "iam:GetRolePolicy", "iam:ListRoleTags"],
                [self.arn_by_hand.clone()],
            ),
            Statement::new(&["iam:PassRole"], [self.arn.clone()]).only_if(
                "StringEquals",
                "iam:PassedToService",
                &self.declared.service,
            ),
        ]
    }
}

/// Letters, digits and `_+=,.@-`. Source: CreateRole, `RoleName`, IAM API reference.
fn check_name(name: &str) -> Result<()> {
    common::check_name("role", name, (1, 64), "_+=,.@-")
}

#[cfg(test)]
mod tests;
