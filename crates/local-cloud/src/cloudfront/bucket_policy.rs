//! What the policy of a bucket allows CloudFront.
//!
//! Source: "Restrict access to an Amazon S3 origin", CloudFront developer guide.

use std::collections::HashMap;

use awsim_iam_policy::{AuthzRequest, ContextValue, Decision, EvalContext, PolicyDocument, Principal};
use serde_json::Value;

const SERVICE: &str = "cloudfront.amazonaws.com";

/// The policy of a bucket, as it applies to requests of a distribution.
pub(super) struct BucketPolicy {
    policy: PolicyDocument,
    context: HashMap<String, ContextValue>,
}

impl BucketPolicy {
    /// `arn` is that of the distribution. A policy that cannot be read allows nothing.
    pub fn read(policy: &str, arn: &str, account: &str) -> Option<Self> {
        let document: Value = serde_json::from_str(policy).ok()?;
        // Not with `parse`, which keeps every policy in memory.
        let mut policy = awsim_iam_policy::parse_value(&document).ok()?;
        for statement in &mut policy.statements {
            // The evaluation knows no principals that are services.
            for principal in [&mut statement.principal, &mut statement.not_principal] {
                if principal.as_ref().is_some_and(names_service) {
                    *principal = Some(Principal::Wildcard);
                }
            }
            // Names of keys are not case-sensitive. Source: "Condition", IAM JSON policy elements.
            let conditions = statement.condition.iter_mut();
            for condition in conditions.flat_map(|block| &mut block.conditions) {
                condition.key.make_ascii_lowercase();
            }
        }
        let text = |text: &str| ContextValue::String(text.to_owned());
        let context = HashMap::from([
            ("aws:sourcearn".to_owned(), text(arn)),
            ("aws:sourceaccount".to_owned(), text(account)),
            ("aws:principalservicename".to_owned(), text(SERVICE)),
            ("aws:principalisawsservice".to_owned(), ContextValue::Bool(true)),
            // CloudFront reads from S3 by HTTPS.
            ("aws:securetransport".to_owned(), ContextValue::Bool(true)),
        ]);
        Some(Self { policy, context })
    }

    pub fn allows(&self, action: &str, resource: &str) -> bool {
        let request = AuthzRequest {
            principal_arn: SERVICE,
            principal_account: SERVICE,
            action,
            resource_arn: resource,
            context: &self.context,
        };
        let policies = EvalContext {
            resource_policy: Some(&self.policy),
            ..EvalContext::default()
        };
        awsim_iam_policy::evaluate(&request, &policies) == Decision::Allow
    }
}

fn names_service(principal: &Principal) -> bool {
    match principal {
        Principal::Service(services)
        | Principal::Mixed {
            service: services, ..
        } => services.iter().any(|service| service == SERVICE),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ARN: &str = "arn:aws:cloudfront::000000000000:distribution/E1";
    const OBJECT: &str = "arn:aws:s3:::site/index.html";

    fn allows(statements: Value) -> bool {
        let policy = json!({"Version": "2012-10-17", "Statement": statements}).to_string();
        let policy = BucketPolicy::read(&policy, ARN, "000000000000");
        policy.is_some_and(|policy| policy.allows("s3:GetObject", OBJECT))
    }

    fn statement(principal: Value, condition: Value) -> Value {
        json!({
            "Effect": "Allow", "Principal": principal, "Action": "s3:GetObject", "Resource": "arn:aws:s3:::site/*",
            "Condition": condition,
        })
    }

    #[test]
    fn the_service_is_allowed_for_its_distribution() {
        let service = json!({"Service": SERVICE});
        let source = |arn: &str| json!({"StringEquals": {"AWS:SourceArn": arn}});
        assert!(allows(json!([statement(service.clone(), source(ARN))])));
        assert!(allows(statement(
            service.clone(),
            json!({"ArnLike": {"aws:sourcearn": format!("{ARN}*")}})
        )));
        assert!(allows(statement(
            json!({"Service": ["a.amazonaws.com", SERVICE]}),
            json!({})
        )));
        let other = ARN.replace("E1", "E2");
        for refused in [
            statement(service.clone(), source(&other)),
            statement(json!({"Service": "s3.amazonaws.com"}), source(ARN)),
            statement(json!({"AWS": "000000000000"}), json!({})),
            json!([]),
            json!([{"Effect": "Allow"}]),
        ] {
            assert!(!allows(refused.clone()), "{refused}");
        }
    }

    #[test]
    fn denials_count() {
        let allowed = statement(json!({"Service": SERVICE}), json!({}));
        let deny = |condition: Value| {
            json!({
                "Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::site/*", "Condition": condition,
            })
        };
        let without_tls = deny(json!({"Bool": {"aws:SecureTransport": "false"}}));
        assert!(allows(json!([allowed.clone(), without_tls])));
        let all = deny(json!({"Bool": {"aws:SecureTransport": "true"}}));
        assert!(!allows(json!([allowed, all])));
    }
}
