//! What the resource policies of functions allow.
//!
//! Source: "Using resource-based policies for Lambda", Lambda developer guide; "IAM JSON policy elements", IAM user guide.

use serde_json::Value;

use super::Lambda;
use super::name::FunctionName;
use crate::invoke::{Access, AccessPrincipal};

impl Lambda {
    /// Whether a statement in the policy of the function `arn` allows `access`. A qualified function has a policy of its
    /// own.
    pub(super) fn policy_allows(&self, arn: &str, access: &Access<'_>) -> bool {
        let Some(name) = FunctionName::of_arn(arn) else {
            return false;
        };
        let Some(function) = self.registry.get(&name.caller, &name.name) else {
            return false;
        };
        let policy = function
            .policies
            .get(name.qualifier.as_deref().unwrap_or_default());
        policy.is_some_and(|policy| {
            policy
                .statements
                .iter()
                .any(|statement| allows(statement, access))
        })
    }
}

/// Statements are those that AddPermission makes: one principal, one action, the function as resource.
fn allows(statement: &Value, access: &Access<'_>) -> bool {
    statement["Effect"] == "Allow"
        && names(&statement["Principal"], &access.principal)
        && action_covers(statement["Action"].as_str().unwrap_or_default(), access.action)
        && conditions_hold(&statement["Condition"], access)
}

fn names(principal: &Value, wanted: &AccessPrincipal<'_>) -> bool {
    if *principal == "*" || principal["AWS"] == "*" {
        return true;
    }
    match wanted {
        AccessPrincipal::Anyone => false,
        AccessPrincipal::Service(service) => principal["Service"] == **service,
        AccessPrincipal::Identity(arn) => {
            let account = arn.split(':').nth(4).unwrap_or_default();
            let named = principal["AWS"].as_str().unwrap_or_default();
            named == *arn || named.ends_with(&format!("::{account}:root"))
        }
    }
}

fn action_covers(pattern: &str, action: &str) -> bool {
    pattern == "*" || pattern == "lambda:*" || pattern.eq_ignore_ascii_case(action)
}

/// A condition that is not known here does not hold.
fn conditions_hold(conditions: &Value, access: &Access<'_>) -> bool {
    let Some(conditions) = conditions.as_object() else {
        return true;
    };
    conditions.iter().all(|(operator, keys)| {
        keys.as_object().is_some_and(|keys| {
            keys.iter().all(|(key, wanted)| {
                let wanted = wanted.as_str().unwrap_or_default();
                let there = value_of(key, access);
                match operator.as_str() {
                    "StringEquals" | "Bool" => there == Some(wanted),
                    "ArnLike" => there.is_some_and(|there| arn_like(wanted, there)),
                    _ => false,
                }
            })
        })
    })
}

fn value_of<'a>(key: &str, access: &Access<'a>) -> Option<&'a str> {
    match key.to_ascii_lowercase().as_str() {
        "aws:sourcearn" => access.source_arn,
        "aws:sourceaccount" => access.source_account,
        "lambda:functionurlauthtype" => access.url_auth_type,
        "lambda:invokedviafunctionurl" => Some(match access.url_auth_type {
            Some(_) => "true",
            None => "false",
        }),
        _ => None,
    }
}

/// Whether `arn` matches `pattern`, part by part; the last part may contain colons. `*` stands for any text, `?` for one
/// character. Source: "ArnLike", IAM JSON policy elements: condition operators.
fn arn_like(pattern: &str, arn: &str) -> bool {
    let (patterns, parts): (Vec<&str>, Vec<&str>) =
        (pattern.splitn(6, ':').collect(), arn.splitn(6, ':').collect());
    patterns.len() == parts.len()
        && patterns
            .iter()
            .zip(&parts)
            .all(|(pattern, part)| matches(pattern.as_bytes(), part.as_bytes()))
}

/// In time proportional to the product of the lengths: on a mismatch, only the last star takes one more byte.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(b'?') => (p, t) = (p + 1, t + 1),
            Some(byte) if *byte == text[t] => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((after, from)) => {
                    star = Some((after, from + 1));
                    (p, t) = (after, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const API: &str = "arn:aws:execute-api:us-east-1:000000000000:abc1/$default/POST/submit";

    fn by_api(source: &'static str) -> Access<'static> {
        Access {
            action: "lambda:InvokeFunction",
            principal: AccessPrincipal::Service("apigateway.amazonaws.com"),
            source_arn: Some(source),
            source_account: Some("000000000000"),
            url_auth_type: None,
        }
    }

    fn statement(source: &str) -> Value {
        json!({
            "Effect": "Allow",
            "Principal": {"Service": "apigateway.amazonaws.com"},
            "Action": "lambda:InvokeFunction",
            "Condition": {"ArnLike": {"AWS:SourceArn": source}},
        })
    }

    #[test]
    fn sources_are_compared_part_by_part() {
        for (pattern, expected) in [
            ("arn:aws:execute-api:us-east-1:000000000000:abc1/*/*/submit", true),
            ("arn:aws:execute-api:us-east-1:000000000000:abc1/*", true),
            (
                "arn:aws:execute-api:us-east-1:000000000000:abc1/*/POST/subm?t",
                true,
            ),
            ("arn:aws:execute-api:us-east-1:000000000000:*", true),
            ("arn:aws:execute-api:*:*:abc1/*/*/*", true),
            (
                "arn:aws:execute-api:us-east-1:000000000000:abc1/*/GET/submit",
                false,
            ),
            ("arn:aws:execute-api:us-east-1:000000000000:abc2/*", false),
            ("arn:aws:execute-api:us-east-1:000000000000", false),
            ("arn:*", false),
            ("", false),
        ] {
            assert_eq!(allows(&statement(pattern), &by_api(API)), expected, "{pattern}");
        }
        // Would take years if each star were tried at each place.
        let stars = format!("arn:aws:execute-api:us-east-1:000000000000:{}b", "a*".repeat(40));
        let long: &'static str = Box::leak(
            format!("arn:aws:execute-api:us-east-1:000000000000:{}", "a".repeat(4000)).into_boxed_str(),
        );
        assert!(!allows(&statement(&stars), &by_api(long)));
    }

    #[test]
    fn principals_actions_and_conditions() {
        let url = |principal| Access {
            action: "lambda:InvokeFunctionUrl",
            principal,
            source_arn: None,
            source_account: None,
            url_auth_type: Some("NONE"),
        };
        let role = "arn:aws:iam::000000000000:role/r";
        let of = |principal: Value, action: &str, condition: Value| json!({"Effect": "Allow", "Principal": principal, "Action": action, "Condition": condition});
        let none = || json!({"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}});
        let anyone = || url(AccessPrincipal::Anyone);
        let identity = || url(AccessPrincipal::Identity(role));
        for (statement, access, expected) in [
            (of(json!("*"), "lambda:InvokeFunctionUrl", none()), anyone(), true),
            (of(json!("*"), "lambda:*", Value::Null), anyone(), true),
            (of(json!("*"), "lambda:InvokeFunction", none()), anyone(), false),
            (
                of(json!({"Service": "s3.amazonaws.com"}), "*", none()),
                anyone(),
                false,
            ),
            (of(json!({"AWS": role}), "*", none()), anyone(), false),
            (of(json!({"AWS": role}), "*", none()), identity(), true),
            (
                of(json!({"AWS": "arn:aws:iam::000000000000:root"}), "*", none()),
                identity(),
                true,
            ),
            (
                of(json!({"AWS": "arn:aws:iam::111111111111:root"}), "*", none()),
                identity(),
                false,
            ),
            (
                of(
                    json!("*"),
                    "*",
                    json!({"StringEquals": {"lambda:FunctionUrlAuthType": "AWS_IAM"}}),
                ),
                anyone(),
                false,
            ),
            (
                of(
                    json!("*"),
                    "*",
                    json!({"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
                ),
                anyone(),
                true,
            ),
            (
                of(
                    json!("*"),
                    "*",
                    json!({"StringEquals": {"aws:PrincipalOrgID": "o"}}),
                ),
                anyone(),
                false,
            ),
            (
                of(json!("*"), "*", json!({"IpAddress": {"aws:SourceIp": "::1"}})),
                anyone(),
                false,
            ),
        ] {
            assert_eq!(allows(&statement, &access), expected, "{statement} {access:?}");
        }
    }
}
