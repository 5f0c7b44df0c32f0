//! Statements in the resource policies of functions, which let other services and clients invoke them.

use aws_sdk_lambda::types::FunctionUrlAuthType;
use serde_json::Value;

use super::common;
use crate::context::Context;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use ground::error::{self, Result};

/// A permission to invoke a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Permission {
    /// The statement id, by which streamctl finds it again.
    pub sid: String,
    /// Without the prefix `lambda:`.
    pub action: &'static str,
    /// A service, or `*`.
    pub principal: &'static str,
    pub source_arn: Option<String>,
    pub source_account: Option<String>,
    /// Whether it is for a public function URL.
    pub of_url: bool,
}

impl Permission {
    /// Whether the policy of the function has this statement, for this source.
    pub(super) fn is_in(&self, policy: &Value) -> bool {
        let statements = policy["Statement"].as_array();
        let mut all = statements.into_iter().flatten();
        let Some(statement) = all.find(|one| one["Sid"] == *self.sid) else {
            return false;
        };
        let text = statement.to_string();
        let names = |value: &str| text.contains(&Value::from(value).to_string());
        statement["Action"] == format!("lambda:{}", self.action)
            && names(self.principal)
            && self.source_arn.as_deref().is_none_or(names)
            && self.source_account.as_deref().is_none_or(names)
    }
}

/// The resource policy of a function; `Null` for none.
pub(super) async fn policy(context: &Context, function: &str) -> Result<Value> {
    match context.lambda().get_policy().function_name(function).send().await {
        Ok(answer) => Ok(common::policy(answer.policy())),
        Err(error) if error::aws::is_not_found(&error) => Ok(Value::Null),
        Err(error) => {
            let what = format!("could not read the resource policy of function {function}");
            Err(error::aws::failed(what, error))
        }
    }
}

/// Adds the permissions that the function's policy does not have as they are.
pub(super) async fn grant(
    context: &Context,
    function: &str,
    permissions: &[Permission],
    step: &Step<'_>,
) -> Result<()> {
    let there = policy(context, function).await?;
    for permission in permissions.iter().filter(|one| !one.is_in(&there)) {
        step.go_on()?;
        step.doing("allowing the invocation");
        if common::has_sid(&there, &permission.sid) {
            revoke(context, function, &permission.sid).await?;
        }
        let url = permission.of_url && permission.action == "InvokeFunctionUrl";
        let via_url = permission.of_url && permission.action == "InvokeFunction";
        let call = context.lambda().add_permission();
        let call = call
            .function_name(function)
            .statement_id(&permission.sid)
            .action(format!("lambda:{}", permission.action))
            .principal(permission.principal)
            .set_source_arn(permission.source_arn.clone())
            .set_source_account(permission.source_account.clone())
            .set_function_url_auth_type(url.then_some(FunctionUrlAuthType::None))
            .set_invoked_via_function_url(via_url.then_some(true));
        if let Err(error) = call.send().await {
            let what = format!("could not allow the invocation of function {function}");
            return Err(error::aws::failed(what, error));
        }
    }
    Ok(())
}

/// Removes a permission. The function or the statement may be gone.
pub(super) async fn revoke(context: &Context, function: &str, sid: &str) -> Result<()> {
    let call = context.lambda().remove_permission();
    match call.function_name(function).statement_id(sid).send().await {
        Ok(_) => Ok(()),
        Err(error) if error::aws::is_not_found(&error) => Ok(()),
        Err(error) => {
            let what = format!("could not remove a permission of function {function}");
            Err(error::aws::failed(what, error))
        }
    }
}

/// What the operator needs for this.
/// Source: "Actions, resources, and condition keys for AWS Lambda", service authorization reference.
pub(super) fn iam(function_arn: &str) -> Statement {
    Statement::new(
        &[
            "lambda:AddPermission",
            "lambda:GetPolicy",
            "lambda:RemovePermission",
        ],
        [function_arn.to_owned()],
    )
}
