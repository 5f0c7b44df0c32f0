//! Resource policies of functions. [`crate::lambda::permit`] evaluates them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{Answer, Request, check_revision, created, no_content, ok, version_of};
use crate::answer::request_id;
use crate::lambda::error::{ApiError, Result};
use crate::lambda::name::LATEST;
use crate::lambda::settings;

/// Maximum bytes of a policy. Source: "Lambda quotas", Lambda developer guide.
const MAX_POLICY: usize = 20 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Add {
    statement_id: Option<String>,
    action: Option<String>,
    principal: Option<String>,
    source_arn: Option<String>,
    source_account: Option<String>,
    event_source_token: Option<String>,
    #[serde(rename = "PrincipalOrgID")]
    principal_org_id: Option<String>,
    function_url_auth_type: Option<String>,
    invoked_via_function_url: Option<bool>,
    revision_id: Option<String>,
}

fn need<'a>(member: Option<&'a str>, name: &str) -> Result<&'a str> {
    member.ok_or_else(|| ApiError::missing(name))
}

impl Add {
    /// Statement id, action and principal, validated.
    fn required(&self) -> Result<(&str, &str, &str)> {
        let sid = need(self.statement_id.as_deref(), "statementId")?;
        let action = need(self.action.as_deref(), "action")?;
        let principal = need(self.principal.as_deref(), "principal")?;
        let is_sid = (1..=100).contains(&sid.len())
            && sid
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !is_sid {
            return Err(ApiError::constraint(
                sid,
                "statementId",
                "Member must satisfy regular expression pattern: ([a-zA-Z0-9-_]+)",
            ));
        }
        if action != "*" && !action.starts_with("lambda:") {
            return Err(ApiError::constraint(
                action,
                "action",
                "Member must satisfy regular expression pattern: (lambda:[*]|lambda:[a-zA-Z]+|[*])",
            ));
        }
        Ok((sid, action, principal))
    }

    fn statement(&self, arn: &str, sid: &str, action: &str, principal: &str) -> Value {
        let principal = match principal {
            "*" => json!("*"),
            name if name.contains('.') => json!({"Service": name}),
            account if account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()) => {
                json!({"AWS": format!("arn:aws:iam::{account}:root")})
            }
            arn => json!({"AWS": arn}),
        };
        let mut statement = json!({
            "Sid": sid,
            "Effect": "Allow",
            "Principal": principal,
            "Action": action,
            "Resource": arn,
        });
        let mut equals = Map::new();
        for (key, value) in [
            ("AWS:SourceAccount", &self.source_account),
            ("lambda:EventSourceToken", &self.event_source_token),
            ("aws:PrincipalOrgID", &self.principal_org_id),
            ("lambda:FunctionUrlAuthType", &self.function_url_auth_type),
        ] {
            if let Some(value) = value {
                equals.insert(key.to_owned(), json!(value));
            }
        }
        let mut condition = Map::new();
        if !equals.is_empty() {
            condition.insert("StringEquals".to_owned(), Value::Object(equals));
        }
        if let Some(source) = &self.source_arn {
            condition.insert("ArnLike".to_owned(), json!({"AWS:SourceArn": source}));
        }
        if self.invoked_via_function_url == Some(true) {
            let via = json!({"lambda:InvokedViaFunctionUrl": "true"});
            condition.insert("Bool".to_owned(), via);
        }
        if !condition.is_empty() {
            statement["Condition"] = Value::Object(condition);
        }
        statement
    }
}

impl Request<'_> {
    pub(super) fn add_permission(&self, text: &str) -> Answer {
        let name = self.name(text)?;
        let input: Add = settings::read(self.body)?;
        let (sid, action, principal) = input.required()?;
        if name.qualifier.as_deref() == Some(LATEST) {
            return Err(ApiError::invalid(
                "We currently do not support adding policies for $LATEST.",
            ));
        }
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        version_of(&function, &name)?;
        let key = name.qualifier.clone().unwrap_or_default();
        let policy = function.policies.entry(key).or_default();
        check_revision(input.revision_id.as_deref(), &policy.revision)?;
        if policy.statements.iter().any(|statement| statement["Sid"] == *sid) {
            return Err(ApiError::conflict(format!(
                "The statement id ({sid}) provided already exists. Please provide a new statement id, or remove the \
                 existing statement."
            )));
        }
        let statement = input.statement(&name.qualified_arn(), sid, action, principal);
        policy.statements.push(statement.clone());
        policy.revision = request_id();
        if document(&policy.statements).len() > MAX_POLICY {
            return Err(ApiError::new(
                400,
                "PolicyLengthExceededException",
                format!("The final policy size is bigger than the limit ({MAX_POLICY})."),
            ));
        }
        change.put(self.caller, function)?;
        created(json!({"Statement": statement.to_string()}))
    }

    pub(super) fn get_policy(&self, text: &str) -> Answer {
        let name = self.name(text)?;
        let function = self.lambda.registry.find(&name)?;
        let policy = function
            .policies
            .get(name.qualifier.as_deref().unwrap_or_default())
            .filter(|policy| !policy.statements.is_empty())
            .ok_or_else(|| ApiError::not_found("The resource you requested does not exist."))?;
        ok(json!({"Policy": document(&policy.statements), "RevisionId": policy.revision}))
    }

    pub(super) fn remove_permission(&self, text: &str, sid: &str) -> Answer {
        let name = self.name(text)?;
        let change = self.lambda.registry.change();
        let mut function = (*self.lambda.registry.find(&name)?).clone();
        let gone = || ApiError::not_found(format!("Statement {sid} is not found in resource policy."));
        let policy = function
            .policies
            .get_mut(name.qualifier.as_deref().unwrap_or_default())
            .ok_or_else(gone)?;
        check_revision(self.route.parameter("RevisionId"), &policy.revision)?;
        let before = policy.statements.len();
        policy.statements.retain(|statement| statement["Sid"] != *sid);
        if policy.statements.len() == before {
            return Err(gone());
        }
        policy.revision = request_id();
        change.put(self.caller, function)?;
        no_content()
    }
}

fn document(statements: &[Value]) -> String {
    json!({"Version": "2012-10-17", "Id": "default", "Statement": statements}).to_string()
}
