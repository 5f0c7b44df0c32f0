//! What functions may do: the policies of their roles, as IAM evaluates them.
//!
//! Only functions are held to policies; whoever else asks the local cloud may do all. So may a function whose role is
//! not there, or has policies of AWS itself, whose text is not known here.

pub mod request;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use awsim_iam_policy::{AuthzRequest, Decision, EvalContext, PolicyDocument};

use super::{Caller, partition};

/// What policies say of an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A statement allows it, and none denies it.
    Allowed,
    /// No statement speaks of it.
    NotAllowed,
    /// A statement denies it.
    Denied,
}

/// A function that asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// ARN of its role.
    pub role: String,
    /// Its name.
    pub function: String,
}

impl User {
    /// What AWS answers a caller that is not allowed `action` on `resource`.
    /// Source: "Troubleshoot access denied error messages", IAM user guide.
    pub fn refused(&self, caller: &Caller, action: &str, resource: &str, verdict: Verdict) -> String {
        let role = self.role.rsplit('/').next().unwrap_or_default();
        // SQS writes its actions in lower case.
        let action = match action.strip_prefix("sqs:") {
            Some(_) => action.to_ascii_lowercase(),
            None => action.to_owned(),
        };
        let reason = if verdict == Verdict::Denied {
            "with an explicit deny in an identity-based policy".to_owned()
        } else {
            format!("because no identity-based policy allows the {action} action")
        };
        format!(
            "User: arn:{}:sts::{}:assumed-role/{role}/{} is not authorized to perform: {action} on resource: \
             {resource} {reason}",
            partition(&caller.region),
            caller.account,
            self.function
        )
    }
}

/// What the policy documents `documents` of the role `arn` say of `action` on `resource`. Beside one that
/// cannot be read, nothing is allowed: it might deny.
pub fn decide(documents: &[String], arn: &str, action: &str, resource: &str) -> Verdict {
    let parsed = documents.iter().map(|document| awsim_iam_policy::parse(document));
    let Ok(policies) = parsed.collect::<Result<Vec<PolicyDocument>, _>>() else {
        return Verdict::NotAllowed;
    };
    let context = HashMap::new();
    let request = AuthzRequest {
        principal_arn: arn,
        principal_account: arn.split(':').nth(4).unwrap_or_default(),
        action,
        resource_arn: resource,
        context: &context,
    };
    let policies = EvalContext {
        identity_policies: &policies,
        ..EvalContext::default()
    };
    match awsim_iam_policy::evaluate(&request, &policies) {
        Decision::Allow => Verdict::Allowed,
        Decision::ExplicitDeny => Verdict::Denied,
        Decision::ImplicitDeny => Verdict::NotAllowed,
    }
}
