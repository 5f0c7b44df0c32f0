//! Checks whether policies allow a request.
//!
//! Subject to policies are functions, with those of their roles, the users of IAM, by the access keys that IAM made for
//! them, and sessions of roles. All other callers have all permissions, as the root user of an account has. So has a
//! function whose role does not exist.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::HashMap;

use awsim_iam_policy::{AuthzRequest, ContextValue, DecisionReason, EvalContext, ParseError, PolicyDocument};

use crate::service::Permission;
use crate::types::{Caller, partition};

/// Access keys and policies, which the front door looks up for each request.
pub(crate) trait Policies: Send + Sync + 'static {
    /// The account that an access key belongs to, where the key tells.
    fn account<'a>(&self, access_key: &'a str) -> Option<Cow<'a, str>>;

    /// The secret access key that belongs to an access key.
    fn secret_key(&self, access_key: &str) -> String;

    /// The principal that has this access key, if policies restrict it.
    fn principal(&self, access_key: &str) -> Option<Principal>;

    /// The decision of the policies of the role or user `arn`.
    fn decide(&self, arn: &str, permission: &Permission) -> Decision;
}

/// The result of the evaluation of policies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    /// A statement allows the action, and none denies it.
    Allow,
    /// No statement matches.
    ImplicitDeny,
    /// A statement allows the action, but none of the permissions boundary.
    BoundaryDeny,
    /// A statement denies the action.
    ExplicitDeny,
}

/// A function, a user or a session of a role that signed a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Principal {
    /// The role or user whose policies count.
    pub arn: String,
    /// The name of the session of the role. That of a function is the function's name.
    pub session: Option<String>,
}

impl Principal {
    /// The ARN of the principal itself, as GetCallerIdentity and messages name it.
    pub fn caller_arn(&self, caller: &Caller) -> String {
        let Some(session) = &self.session else {
            return self.arn.clone();
        };
        let role = self.arn.rsplit('/').next().unwrap_or_default();
        let (partition, account) = (partition(&caller.region), &caller.account);
        format!("arn:{partition}:sts::{account}:assumed-role/{role}/{session}")
    }

    /// The message for a permission that the principal does not have.
    /// Source: "Troubleshoot access denied error messages", IAM user guide.
    pub fn denied(&self, caller: &Caller, permission: &Permission, decision: Decision) -> String {
        let Permission { action, resource } = permission;
        // SQS writes its actions in lower case.
        let action = match action.strip_prefix("sqs:") {
            Some(_) => action.to_ascii_lowercase(),
            None => action.clone(),
        };
        let reason = match decision {
            Decision::ExplicitDeny => "with an explicit deny in an identity-based policy".to_owned(),
            Decision::BoundaryDeny => format!("because no permissions boundary allows the {action} action"),
            Decision::Allow | Decision::ImplicitDeny => {
                format!("because no identity-based policy allows the {action} action")
            }
        };
        let user = self.caller_arn(caller);
        format!("User: {user} is not authorized to perform: {action} on resource: {resource} {reason}")
    }
}

/// The policies that decide what a principal may do.
#[derive(Debug, Clone, Default)]
pub(crate) struct PolicySet {
    /// Inline and attached policies, also those of a user's groups.
    pub identity: Vec<Policy>,
    /// Restricts what the others allow.
    pub boundary: Option<Policy>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The name that the policy simulator gives.
    pub id: String,
    pub document: String,
}

/// The decision of `policies`, which belong to the role or user `arn`. A document that cannot be read might deny: nothing is
/// allowed then.
pub(crate) fn decide(policies: &PolicySet, arn: &str, permission: &Permission) -> Decision {
    let identity = policies.identity.iter().map(parse).collect::<Result<Vec<_>, _>>();
    let boundary = policies.boundary.as_ref().map(parse).transpose();
    let (Ok(identity), Ok(boundary)) = (identity, boundary) else {
        return Decision::ImplicitDeny;
    };
    let context = HashMap::new();
    let request = request(arn, &permission.action, &permission.resource, &context);
    let policies = EvalContext {
        identity_policies: &identity,
        permissions_boundary: boundary.as_ref(),
        ..EvalContext::default()
    };
    match awsim_iam_policy::evaluate(&request, &policies) {
        awsim_iam_policy::Decision::Allow => Decision::Allow,
        awsim_iam_policy::Decision::ExplicitDeny => Decision::ExplicitDeny,
        awsim_iam_policy::Decision::ImplicitDeny => {
            match awsim_iam_policy::explain(&request, &policies, &Default::default()) {
                DecisionReason::BoundaryNoAllow => Decision::BoundaryDeny,
                _ => Decision::ImplicitDeny,
            }
        }
    }
}

/// The document of a policy.
///
/// # Errors
/// When it is no policy document.
pub(crate) fn parse(policy: &Policy) -> Result<PolicyDocument, ParseError> {
    awsim_iam_policy::parse(&policy.document)
}

/// A request of the role or user `arn`, as policies are evaluated for it.
pub(crate) fn request<'a>(
    arn: &'a str,
    action: &'a str,
    resource: &'a str,
    context: &'a HashMap<String, ContextValue>,
) -> AuthzRequest<'a> {
    AuthzRequest {
        principal_arn: arn,
        principal_account: arn.split(':').nth(4).unwrap_or_default(),
        action,
        resource_arn: resource,
        context,
    }
}
