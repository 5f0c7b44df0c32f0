//! What policies allow a user or a role, asked of IAM's policy simulator, and the statement that would allow more.
//!
//! Source: SimulatePrincipalPolicy, IAM API reference.

use aws_sdk_iam::types::{EvaluationResult, PolicyEvaluationDecisionType};

use super::super::finding::{Finding, Skipped};
use crate::context::Context;
use crate::iam::{self, Statement};
use crate::policy::simulate::evaluate;
use ground::shell::quoted;

/// An action that is not allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Denial {
    pub action: String,
    pub resource: String,
    /// Why, in words.
    pub reason: String,
    /// Whether a statement denies it, which overrides every statement that allows it.
    pub is_explicit: bool,
}

/// What a principal may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Simulated {
    Denied(Vec<Denial>),
    /// There is no such user or role.
    NoPrincipal,
}

/// Which of `actions` the policies of the user or role `principal` do not allow on `resource`. `keys` are values of context keys
/// that conditions may ask for. A decision that depends on other keys counts as allowed, since they are not known.
///
/// # Errors
/// When IAM cannot be asked.
pub(super) async fn simulate(
    context: &Context,
    principal: &str,
    actions: &[&str],
    resource: &str,
    keys: &[(&str, &str)],
) -> Result<Simulated, Skipped> {
    match evaluate(context, principal, actions, resource, keys).await {
        Ok(results) => Ok(Simulated::Denied(results.iter().filter_map(denial).collect())),
        Err(error) if error.is_not_found() => Ok(Simulated::NoPrincipal),
        Err(error) => Err(error.into()),
    }
}

fn denial(result: &EvaluationResult) -> Option<Denial> {
    let is_explicit = *result.eval_decision() == PolicyEvaluationDecisionType::ExplicitDeny;
    let reason = match result.eval_decision() {
        PolicyEvaluationDecisionType::Allowed => return None,
        _ if is_explicit => {
            let by = result.matched_statements().iter();
            let by: Vec<&str> = by.filter_map(|statement| statement.source_policy_id()).collect();
            match by.as_slice() {
                [] => "a policy denies it".to_owned(),
                by => format!("denied by {}", by.join(" or ")),
            }
        }
        // What is not known cannot be called missing.
        _ if !result.missing_context_values().is_empty() => return None,
        _ => match result.permissions_boundary_decision_detail() {
            Some(boundary) if !boundary.allowed_by_permissions_boundary() => {
                "the permissions boundary does not allow it".to_owned()
            }
            _ => "no policy allows it".to_owned(),
        },
    };
    Some(Denial {
        action: result.eval_action_name().to_owned(),
        resource: result.eval_resource_name().unwrap_or("*").to_owned(),
        reason,
        is_explicit,
    })
}

/// The user or role whose policies count for the caller `arn`. `None` for the root user, whom policies do not restrict, and
/// for what cannot be simulated, such as a federated user. The role of a session may have a path, which the session does not
/// show: IAM is asked.
pub(super) async fn principal_of(context: &Context, arn: &str) -> Option<String> {
    match entity(arn) {
        Entity::Known => Some(arn.to_owned()),
        Entity::Session { role, guess } => {
            let found = context.iam().get_role().role_name(role).send().await;
            let found = found.ok().and_then(|answer| answer.role).map(|role| role.arn);
            Some(found.unwrap_or(guess))
        }
        Entity::Root | Entity::Other => None,
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Entity<'a> {
    Known,
    Root,
    /// A session of a role, and the ARN of the role if it has no path.
    Session {
        role: &'a str,
        guess: String,
    },
    Other,
}

fn entity(arn: &str) -> Entity<'_> {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    let ["arn", partition, service, "", account, name] = parts.as_slice() else {
        return Entity::Other;
    };
    let segments: Vec<&str> = name.split('/').collect();
    match (*service, segments.as_slice()) {
        ("iam", ["root"]) => Entity::Root,
        ("iam", ["user" | "role", _, ..]) => Entity::Known,
        ("sts", ["assumed-role", role, _]) => Entity::Session {
            role,
            guess: format!("arn:{partition}:iam::{account}:role/{role}"),
        },
        _ => Entity::Other,
    }
}

/// Adds the denials, the policy that allows them, and the command that attaches it.
pub(super) fn explain(finding: Finding, principal: Option<&str>, name: &str, denied: &[Denial]) -> Finding {
    let finding = denied.iter().fold(finding, |finding, denial| {
        finding.evidence(format!(
            "{} on {}: {}",
            denial.action, denial.resource, denial.reason
        ))
    });
    let wanted: Vec<&Denial> = denied.iter().filter(|denial| !denial.is_explicit).collect();
    if wanted.is_empty() {
        return finding;
    }
    let document = iam::document(
        wanted
            .iter()
            .map(|denial| Statement::new(&[denial.action.as_str()], [denial.resource.clone()])),
    );
    let finding = finding.evidence(format!("this policy allows it: {document}"));
    match principal.and_then(|principal| attach(principal, name, &wanted, &document.to_string())) {
        Some(command) => finding.other_fix(command),
        None => finding,
    }
}

/// The command that adds `document` as an inline policy of a user or role. The name tells what it allows, so that no other
/// policy is replaced.
fn attach(principal: &str, name: &str, wanted: &[&Denial], document: &str) -> Option<String> {
    let (kind, entity) = match entity(principal) {
        Entity::Session { role, .. } => ("role", role),
        Entity::Known => {
            let kind = match principal.contains(":user/") {
                true => "user",
                false => "role",
            };
            (kind, principal.rsplit('/').next()?)
        }
        Entity::Root | Entity::Other => return None,
    };
    let mut policy = name.to_owned();
    for denial in wanted {
        let action = denial.action.rsplit(':').next().unwrap_or_default();
        policy = format!("{policy}-{action}");
    }
    // Source: "IAM and AWS STS quotas", IAM user guide.
    policy.truncate(128);
    Some(format!(
        "aws iam put-{kind}-policy --{kind}-name {} --policy-name {} --policy-document {}",
        quoted(entity),
        quoted(&policy),
        quoted(document)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_principal_of_a_caller() {
        assert_eq!(entity("arn:aws:iam::1:root"), Entity::Root);
        assert_eq!(entity("arn:aws:iam::1:user/team/eve"), Entity::Known);
        assert_eq!(
            entity("arn:aws-cn:sts::1:assumed-role/ops/me"),
            Entity::Session {
                role: "ops",
                guess: "arn:aws-cn:iam::1:role/ops".to_owned()
            }
        );
        for other in ["", "arn:aws:sts::1:federated-user/eve", "arn:aws:iam::1:user"] {
            assert_eq!(entity(other), Entity::Other, "{other}");
        }
    }

    fn denial_of(action: &str, reason: &str) -> Denial {
        Denial {
            action: action.to_owned(),
            resource: "arn:aws:kinesis:us-east-1:1:stream/orders".to_owned(),
            reason: reason.to_owned(),
            is_explicit: reason.starts_with("denied"),
        }
    }

    #[test]
    fn the_fix_attaches_the_missing_statement() {
        let denied = [
            denial_of("kinesis:PutRecord", "no policy allows it"),
            denial_of("kinesis:PutRecords", "denied by guard"),
        ];
        let finding = explain(
            Finding::caution("stream orders", "x"),
            Some("arn:aws:iam::1:user/eve"),
            "orders",
            &denied,
        );
        assert_eq!(
            finding.evidence,
            [
                "kinesis:PutRecord on arn:aws:kinesis:us-east-1:1:stream/orders: no policy allows it",
                "kinesis:PutRecords on arn:aws:kinesis:us-east-1:1:stream/orders: denied by guard",
                r#"this policy allows it: {"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kinesis:PutRecord"],"Resource":["arn:aws:kinesis:us-east-1:1:stream/orders"]}]}"#,
            ]
        );
        let command = &finding.fixes[0].command;
        assert!(
            command.starts_with(
                "aws iam put-user-policy --user-name eve --policy-name orders-PutRecord --policy-document '{"
            ),
            "{command}"
        );
        assert!(!finding.fixes[0].is_safe);
    }

    #[test]
    fn a_deny_has_no_fix() {
        let denied = [denial_of("kinesis:PutRecord", "denied by guard")];
        let role = "arn:aws:sts::1:assumed-role/ops/me";
        let finding = explain(
            Finding::caution("stream orders", "x"),
            Some(role),
            "orders",
            &denied,
        );
        assert!(finding.fixes.is_empty());
    }

    fn result(decision: PolicyEvaluationDecisionType, missing: Option<&str>) -> Option<Denial> {
        let built = EvaluationResult::builder()
            .eval_action_name("kinesis:PutRecord")
            .eval_decision(decision)
            .set_missing_context_values(missing.map(|key| vec![key.to_owned()]))
            .build()
            .unwrap();
        denial(&built)
    }

    #[test]
    fn what_depends_on_unknown_keys_is_not_called_missing() {
        assert_eq!(result(PolicyEvaluationDecisionType::Allowed, None), None);
        assert_eq!(
            result(PolicyEvaluationDecisionType::ImplicitDeny, Some("aws:SourceVpc")),
            None
        );
        let implicit = result(PolicyEvaluationDecisionType::ImplicitDeny, None).unwrap();
        assert_eq!(implicit.reason, "no policy allows it");
        let explicit = result(PolicyEvaluationDecisionType::ExplicitDeny, Some("aws:SourceVpc")).unwrap();
        assert_eq!(explicit.reason, "a policy denies it");
    }
}
