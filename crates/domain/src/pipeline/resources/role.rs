//! `role`: an IAM role that a service may assume, under the pipeline's own path, with one inline policy.

use std::collections::BTreeMap;

use async_trait::async_trait;
use aws_sdk_iam::types::{AttachedPolicy, Role as SdkRole, Tag};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::common::{self, sdk_tags};
use super::iam_entity::{EXISTS, until_consistent};
use super::kind::{Existing, Kind, Managed, TagMap};
use crate::iam::{self, Statement};
use crate::pipeline::event::Step;
use crate::pipeline::resource::{Change, Check, CheckState, Outputs, Spec, User, shortened};
use ground::error::{self, Result};

/// Characters of a role's name. Source: CreateRole, `RoleName`, IAM API reference.
const LONGEST_NAME: usize = 64;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    name: String,
    #[serde(default = "lambda")]
    service: String,
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
    /// Empty where the resources that they refer to are left out: then the statement is left out too.
    resources: Vec<String>,
    /// Operator, key, value.
    condition: Option<BTreeMap<String, BTreeMap<String, Value>>>,
}

fn lambda() -> String {
    "lambda.amazonaws.com".to_owned()
}

impl Declared {
    fn shorten_name(&mut self) {
        self.name = shortened(&self.name, LONGEST_NAME);
    }

    /// Who may assume the role.
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

/// The statement that allows a function to send traces.
const TRACING: &str = "Tracing";

fn policy(mut statements: Vec<Value>, tracing: bool) -> Option<Value> {
    if tracing {
        // These actions have no resources. Source: "Actions, resources, and condition keys for AWS X-Ray".
        statements.push(json!({
            "Sid": TRACING,
            "Effect": "Allow",
            "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
            "Resource": ["*"],
        }));
    }
    (!statements.is_empty()).then(|| json!({"Version": "2012-10-17", "Statement": statements}))
}

/// The policy document of the role that `spec` declares; `None` where it has none. Makes no call.
///
/// # Errors
/// Exit 2 when `spec` does not declare a role.
pub fn policy_of(spec: &Spec) -> Result<Option<Value>> {
    spec.read().map(|declared: Declared| declared.policy())
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    arn: String,
    description: String,
    trust: Value,
    /// The inline policy of the role's own name.
    policy: Option<Value>,
}

type Role<'a> = Managed<'a, Declared>;

/// The service that assumes the roles of functions.
const LAMBDA: &str = "lambda.amazonaws.com";

impl Role<'_> {
    fn role_name(&self) -> &str {
        &self.declared.name
    }

    async fn get(&self) -> Result<Option<SdkRole>> {
        let call = self.context.iam().get_role().role_name(self.role_name());
        let answer = self.response_if_exists("read", call.send().await)?;
        Ok(answer.and_then(|answer| answer.role))
    }

    async fn inline_policy(&self) -> Result<Option<Value>> {
        let call = self.context.iam().get_role_policy();
        let call = call.role_name(self.role_name()).policy_name(self.role_name());
        let answer = self.response_if_exists("read the policy of", call.send().await)?;
        Ok(answer.map(|answer| iam::decoded(Some(&answer.policy_document))))
    }

    /// The role's tags; some endpoints leave them out of GetRole's response.
    async fn tags(&self, role: &SdkRole) -> Result<TagMap> {
        let mut tags = role.tags().to_vec();
        if tags.is_empty() {
            let call = self.context.iam().list_role_tags().role_name(self.role_name());
            let listing = call.into_paginator().items().send().collect().await;
            tags = self.listing("list the tags of", listing)?;
        }
        Ok(tags.into_iter().map(|tag| (tag.key, tag.value)).collect())
    }

    /// Finishes a role that was not seen although it exists: IAM shows changes late, and a response can be lost.
    async fn complete(&self, step: &Step<'_>) -> Result<()> {
        let role = self.get().await?;
        let Some(role) = role.filter(|role| role.path == self.spec.identity.iam_path()) else {
            return Err(self.name_taken());
        };
        step.touched();
        self.set_trust(step).await?;
        self.set_policy(self.declared.policy(), step).await?;
        let there = self.tags(&role).await?;
        self.set_tags(self.role_name(), &there, step).await
    }

    async fn set_trust(&self, step: &Step<'_>) -> Result<()> {
        step.doing("setting its trust policy");
        let call = self.context.iam().update_assume_role_policy();
        let call = call
            .role_name(self.role_name())
            .policy_document(self.declared.trust().to_string());
        self.response("change the trust policy of", call.send().await)
            .map(drop)
    }

    /// The permissions of a role that exists: statements and tracing that are only a default stay as they are. A role
    /// without a policy was not finished, and gets the declared one.
    fn effective_policy(&self, existing: &Existing<'_, Facts>) -> Option<Value> {
        let policy_there = existing.facts.policy.as_ref();
        let Some(there) = policy_there.and_then(|policy| policy["Statement"].as_array()) else {
            return self.declared.policy();
        };
        let (traces, others): (Vec<&Value>, Vec<&Value>) =
            there.iter().partition(|statement| statement["Sid"] == TRACING);
        let statements = match self.enforced("statements", existing) {
            true => self.declared.allowed(),
            false => others.into_iter().cloned().collect(),
        };
        let tracing = match self.enforced("tracing", existing) {
            true => self.declared.tracing,
            false => !traces.is_empty(),
        };
        policy(statements, tracing)
    }

    async fn set_policy(&self, policy: Option<Value>, step: &Step<'_>) -> Result<()> {
        let Some(policy) = policy else {
            return self.delete_inline(self.role_name()).await;
        };
        step.doing("setting its permissions");
        let set = until_consistent("NoSuchEntity", || {
            let call = self.context.iam().put_role_policy();
            let call = call.role_name(self.role_name()).policy_name(self.role_name());
            call.policy_document(policy.to_string()).send()
        });
        self.response("set the permissions of", set.await).map(drop)
    }

    async fn delete_inline(&self, policy: &str) -> Result<()> {
        let call = self.context.iam().delete_role_policy();
        let call = call.role_name(self.role_name()).policy_name(policy);
        self.response_if_exists(&format!("delete the policy {policy} of"), call.send().await)
            .map(drop)
    }

    /// Detaches and deletes all policies of the role, whoever attached them: IAM deletes no role that has any.
    async fn remove_policies(&self, step: &Step<'_>) -> Result<()> {
        const LIST: &str = "list the policies of";
        let iam = self.context.iam();
        let attached = iam.list_attached_role_policies().role_name(self.role_name());
        let attached = attached.into_paginator().items().send().collect().await;
        for policy in self.listing::<AttachedPolicy, _>(LIST, attached)? {
            step.go_on()?;
            let arn = policy.policy_arn.unwrap_or_default();
            let call = iam.detach_role_policy().role_name(self.role_name());
            self.response_if_exists(
                &format!("detach policy {arn} from"),
                call.policy_arn(&arn).send().await,
            )?;
        }
        let inline = iam.list_role_policies().role_name(self.role_name());
        let inline = inline.into_paginator().items().send().collect().await;
        for policy in self.listing::<String, _>(LIST, inline)? {
            step.go_on()?;
            self.delete_inline(&policy).await?;
        }
        Ok(())
    }
}

#[async_trait]
impl Kind for Role<'_> {
    const NOUN: &'static str = "role";
    type Facts = Facts;

    fn check(&mut self) -> Result<()> {
        self.declared.shorten_name();
        // Source: CreateRole, `RoleName`, IAM API reference.
        common::check_name("role", self.role_name(), (1, LONGEST_NAME), "_+=,.@-")
    }

    fn name(&self) -> String {
        self.declared.name.clone()
    }

    fn arn(&self) -> String {
        self.entity_arn(&self.spec.identity.iam_path())
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

    async fn observe(&self) -> Result<Option<(TagMap, Facts)>> {
        let Some(role) = self.get().await? else {
            return Ok(None);
        };
        let mut tags = self.tags(&role).await?;
        if role.path == self.spec.identity.iam_path() {
            self.add_owner_tags(&mut tags);
        }
        let facts = Facts {
            trust: iam::decoded(role.assume_role_policy_document.as_deref()),
            policy: self.inline_policy().await?,
            description: role.description.unwrap_or_default(),
            arn: role.arn,
        };
        Ok(Some((tags, facts)))
    }

    fn changes(&self, existing: &Existing<'_, Facts>) -> Result<Vec<Change>> {
        let facts = &existing.facts;
        let mut changes = Vec::new();
        if !iam::same(&facts.trust, &self.declared.trust()) {
            changes.push(Change::update("trust", "another", &self.declared.service));
        }
        match (&facts.policy, self.effective_policy(existing)) {
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
            && self.enforced("description", existing)
        {
            changes.push(Change::update("description", &facts.description, wanted));
        }
        Ok(changes)
    }

    async fn create(&self, step: &Step<'_>) -> Result<()> {
        step.doing("creating");
        let call = self.context.iam().create_role().role_name(self.role_name());
        let call = call
            .path(self.spec.identity.iam_path())
            .set_description(self.declared.description.clone())
            .assume_role_policy_document(self.declared.trust().to_string())
            .set_tags(Some(sdk_tags!(Tag, self.spec.tags.all())?));
        let Some(answer) = self.response_unless("create", EXISTS, call.send().await)? else {
            return self.complete(step).await;
        };
        step.touched();
        step.go_on()?;
        self.set_policy(self.declared.policy(), step).await?;
        // Some AWS-compatible endpoints ignore the tags of CreateRole; setting them again does no harm.
        if answer.role.as_ref().is_some_and(|role| !role.tags().is_empty()) {
            return Ok(());
        }
        self.set_tags(self.role_name(), &TagMap::new(), step).await
    }

    async fn update(&self, field: &str, existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        match field {
            "trust" => self.set_trust(step).await,
            "permissions" => self.set_policy(self.effective_policy(existing), step).await,
            "description" => {
                step.doing("setting the description");
                let call = self.context.iam().update_role().role_name(self.role_name());
                let call = call.set_description(self.declared.description.clone());
                self.response("describe", call.send().await).map(drop)
            }
            other => Err(self.unknown_field(other)),
        }
    }

    fn tag_target(&self, _facts: &Facts) -> String {
        self.declared.name.clone()
    }

    async fn tag(&self, target: &str, tags: TagMap) -> Result<()> {
        let call = self.context.iam().tag_role().role_name(target);
        let call = call.set_tags(Some(sdk_tags!(Tag, tags)?));
        self.response("tag", call.send().await).map(drop)
    }

    async fn untag(&self, target: &str, keys: Vec<String>) -> Result<()> {
        let call = self.context.iam().untag_role().role_name(target);
        self.response("untag", call.set_tag_keys(Some(keys)).send().await)
            .map(drop)
    }

    async fn delete(&self, _existing: &Existing<'_, Facts>, step: &Step<'_>) -> Result<()> {
        step.doing("deleting");
        self.remove_policies(step).await?;
        step.go_on()?;
        let deleted = until_consistent("DeleteConflict", || {
            self.context
                .iam()
                .delete_role()
                .role_name(self.role_name())
                .send()
        });
        self.response_if_exists("delete", deleted.await).map(drop)
    }

    /// The functions of this account and region that run with the role.
    async fn users(&self, facts: &Facts) -> Result<Vec<User>> {
        if self.declared.service != LAMBDA {
            return Ok(Vec::new());
        }
        let call = self.context.lambda().list_functions();
        let mut functions = call.into_paginator().items().send();
        let mut users = Vec::new();
        while let Some(function) = functions.next().await {
            let function = function
                .map_err(|error| error::aws::failed(self.failure("list the functions that use"), error))?;
            if function.role() == Some(&facts.arn) {
                users.push(User {
                    kind: "function",
                    name: function.function_name.unwrap_or_default(),
                });
            }
        }
        Ok(users)
    }

    /// Least privilege: no template uses a wildcard in an action.
    async fn verify(&self, existing: &Existing<'_, Facts>, _probe: bool) -> Vec<Check> {
        const CHECK: &str = "permissions";
        let Some(policy) = &existing.facts.policy else {
            return Vec::new();
        };
        let has_wildcard = |action: &Value| action.as_str().is_some_and(|action| action.contains('*'));
        let statements = policy["Statement"].as_array().map_or(&[][..], Vec::as_slice);
        let wide = statements.iter().any(|statement| match &statement["Action"] {
            Value::Array(actions) => actions.iter().any(has_wildcard),
            action => has_wildcard(action),
        });
        vec![match wide {
            true => Check::new(CheckState::Caution, CHECK, "an action has a wildcard"),
            false => {
                let detail = format!("{} statements without wildcard actions", statements.len());
                Check::new(CheckState::Good, CHECK, detail)
            }
        }]
    }

    fn outputs(&self, facts: Option<Facts>) -> Outputs {
        self.name_and_arn(facts.map(|facts| facts.arn))
    }

    /// Source: "Actions, resources, and condition keys for AWS Identity and Access Management", service authorization
    /// reference.
    fn iam(&self) -> Vec<Statement> {
        let mut needs = vec![
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
                [self.arn()],
            ),
            Statement::new(
                &["iam:GetRole", "iam:GetRolePolicy", "iam:ListRoleTags"],
                [self.entity_arn("/")],
            ),
            Statement::new(&["iam:PassRole"], [self.arn()]).only_if(
                "StringEquals",
                "iam:PassedToService",
                &self.declared.service,
            ),
        ];
        if self.declared.service == LAMBDA {
            // The action has no resources. Source: "Actions, resources, and condition keys for AWS Lambda".
            needs.push(Statement::new(&["lambda:ListFunctions"], ["*".to_owned()]));
        }
        needs
    }
}

#[cfg(test)]
mod tests;
