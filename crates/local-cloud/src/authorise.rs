//! Checks whether policies allow a request.
//!
//! Only functions are subject to policies: those of their roles, as IAM evaluates them. All other callers have all
//! permissions. So has a function whose role does not exist, or has an AWS managed policy, whose text is not known
//! here.

#[cfg(test)]
mod tests;

use std::collections::HashMap;

use awsim_iam_policy::{AuthzRequest, EvalContext, PolicyDocument};

use crate::service::Permission;
use crate::types::{Caller, partition};

/// Access keys and policies, which the front door looks up for each request.
pub(crate) trait Policies: Send + Sync + 'static {
    /// The account that an access key belongs to, where the key tells.
    fn account<'a>(&self, access_key: &'a str) -> Option<&'a str>;

    /// The secret access key that belongs to an access key.
    fn secret_key(&self, access_key: &str) -> String;

    /// The function that has this access key.
    fn function(&self, access_key: &str) -> Option<Function>;

    /// The decision of the policies of the role `role_arn`.
    fn decide(&self, role_arn: &str, permission: &Permission) -> Decision;
}

/// The result of the evaluation of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// A statement allows the action, and none denies it.
    Allow,
    /// No statement matches.
    ImplicitDeny,
    /// A statement denies the action.
    ExplicitDeny,
}

/// A function that signed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub role_arn: String,
    pub name: String,
}

impl Function {
    /// The message for a permission that the function does not have.
    /// Source: "Troubleshoot access denied error messages", IAM user guide.
    pub fn denied(&self, caller: &Caller, permission: &Permission, decision: Decision) -> String {
        let Permission { action, resource } = permission;
        let role = self.role_arn.rsplit('/').next().unwrap_or_default();
        // SQS writes its actions in lower case.
        let action = match action.strip_prefix("sqs:") {
            Some(_) => action.to_ascii_lowercase(),
            None => action.clone(),
        };
        let reason = if decision == Decision::ExplicitDeny {
            "with an explicit deny in an identity-based policy".to_owned()
        } else {
            format!("because no identity-based policy allows the {action} action")
        };
        format!(
            "User: arn:{}:sts::{}:assumed-role/{role}/{} is not authorized to perform: {action} on resource: \
             {resource} {reason}",
            partition(&caller.region),
            caller.account,
            self.name
        )
    }
}

/// The decision of the policy documents `documents` of the role `role_arn`. A document that cannot be read might deny:
/// nothing is allowed then.
pub(crate) fn decide(documents: &[String], role_arn: &str, permission: &Permission) -> Decision {
    let parsed = documents.iter().map(|document| awsim_iam_policy::parse(document));
    let Ok(policies) = parsed.collect::<Result<Vec<PolicyDocument>, _>>() else {
        return Decision::ImplicitDeny;
    };
    let context = HashMap::new();
    let request = AuthzRequest {
        principal_arn: role_arn,
        principal_account: role_arn.split(':').nth(4).unwrap_or_default(),
        action: &permission.action,
        resource_arn: &permission.resource,
        context: &context,
    };
    let policies = EvalContext {
        identity_policies: &policies,
        ..EvalContext::default()
    };
    match awsim_iam_policy::evaluate(&request, &policies) {
        awsim_iam_policy::Decision::Allow => Decision::Allow,
        awsim_iam_policy::Decision::ImplicitDeny => Decision::ImplicitDeny,
        awsim_iam_policy::Decision::ExplicitDeny => Decision::ExplicitDeny,
    }
}
