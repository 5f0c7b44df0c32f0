//! Reads the policies of a function's execution role.

use serde::Serialize;
use serde_json::Value;

use crate::context::Context;
use crate::iam::decoded;
use ground::error::{self, Error, Result};

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schemas", derive(schemars::JsonSchema))]
pub struct Policy {
    pub name: String,
    /// `None` for an inline policy.
    pub arn: Option<String>,
    /// The policy document.
    pub document: Value,
}

/// The execution role of the function `name`, and its policies. `None` if the function does not exist.
///
/// # Errors
/// When a call fails.
pub async fn of_function(context: &Context, name: &str) -> Result<Option<(String, Vec<Policy>)>> {
    let Some(role) = role_of(context, name).await? else {
        return Ok(None);
    };
    let mut policies = inline(context, &role).await?;
    policies.extend(attached(context, &role).await?);
    Ok(Some((role, policies)))
}

/// Name of the execution role of the function `name`. `None` if the function does not exist.
///
/// # Errors
/// When the call fails.
pub async fn role_of(context: &Context, name: &str) -> Result<Option<String>> {
    let call = context.lambda().get_function_configuration().function_name(name);
    let function = match call.send().await {
        Ok(function) => function,
        Err(error) if error::aws::is_not_found(&error) => return Ok(None),
        Err(error) => {
            let what = format!("could not read function {name}");
            return Err(error::aws::failed(what, error));
        }
    };
    let arn = function.role().unwrap_or_default();
    let role = arn.rsplit('/').next().unwrap_or_default().to_owned();
    if role.is_empty() {
        return Err(Error::failed(format!(
            "the response has no role for function {name}"
        )));
    }
    Ok(Some(role))
}

async fn inline(context: &Context, role: &str) -> Result<Vec<Policy>> {
    let what = || format!("could not read the policies of role {role}");
    let mut policies = Vec::new();
    let mut marker = None;
    loop {
        let call = context
            .iam()
            .list_role_policies()
            .role_name(role)
            .set_marker(marker);
        let page = call
            .send()
            .await
            .map_err(|error| error::aws::failed(what(), error))?;
        for name in page.policy_names {
            let call = context.iam().get_role_policy().role_name(role).policy_name(&name);
            let answer = call
                .send()
                .await
                .map_err(|error| error::aws::failed(what(), error))?;
            policies.push(Policy {
                name,
                arn: None,
                document: decoded(Some(&answer.policy_document)),
            });
        }
        marker = page.marker.filter(|_| page.is_truncated);
        if marker.is_none() {
            return Ok(policies);
        }
    }
}

async fn attached(context: &Context, role: &str) -> Result<Vec<Policy>> {
    let what = || format!("could not read the policies of role {role}");
    let mut policies = Vec::new();
    let mut marker = None;
    loop {
        let call = context.iam().list_attached_role_policies().role_name(role);
        let page = call.set_marker(marker).send().await;
        let page = page.map_err(|error| error::aws::failed(what(), error))?;
        for policy in page.attached_policies.unwrap_or_default() {
            let arn = policy.policy_arn.unwrap_or_default();
            policies.push(Policy {
                name: policy.policy_name.unwrap_or_default(),
                document: managed(context, &arn).await?,
                arn: Some(arn),
            });
        }
        marker = page.marker.filter(|_| page.is_truncated);
        if marker.is_none() {
            return Ok(policies);
        }
    }
}

async fn managed(context: &Context, arn: &str) -> Result<Value> {
    let what = || format!("could not read policy {arn}");
    let answer = context.iam().get_policy().policy_arn(arn).send().await;
    let policy = answer.map_err(|error| error::aws::failed(what(), error))?.policy;
    let version = policy.and_then(|policy| policy.default_version_id);
    let call = context.iam().get_policy_version().policy_arn(arn);
    let call = call.version_id(version.as_deref().unwrap_or("v1"));
    let answer = call
        .send()
        .await
        .map_err(|error| error::aws::failed(what(), error))?;
    let text = answer.policy_version.and_then(|version| version.document);
    Ok(decoded(text.as_deref()))
}
