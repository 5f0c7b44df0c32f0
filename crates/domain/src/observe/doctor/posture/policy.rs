//! Reads resource policies: whom they allow.

use serde_json::Value;

/// Condition keys that restrict a request to an account, an organisation, a resource or a network.
/// Source: "AWS global condition context keys", IAM user guide, and `lambda:EventSourceToken`, Lambda.
const RESTRICTING: &[&str] = &[
    "aws:principalaccount",
    "aws:principalarn",
    "aws:principalorgid",
    "aws:principalorgpaths",
    "aws:sourceaccount",
    "aws:sourcearn",
    "aws:sourceip",
    "aws:sourceorgid",
    "aws:sourceorgpaths",
    "aws:sourceowner",
    "aws:sourcevpc",
    "aws:sourcevpce",
    "aws:userid",
    "lambda:eventsourcetoken",
];

/// The statements of a policy.
fn statements(policy: &Value) -> &[Value] {
    match &policy["Statement"] {
        Value::Array(statements) => statements,
        Value::Null => &[],
        one => std::slice::from_ref(one),
    }
}

/// A text or a list of texts.
pub(super) fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// The operators, keys and values of a statement's conditions.
fn conditions(statement: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let operators = statement["Condition"].as_object().into_iter().flatten();
    operators.flat_map(|(operator, keys)| {
        let keys = keys.as_object().into_iter().flatten();
        keys.map(move |(key, value)| (operator.as_str(), key.as_str(), value))
    })
}

fn is_restricted(statement: &Value) -> bool {
    conditions(statement).any(|(operator, key, value)| {
        let is_negated = operator.to_ascii_lowercase().contains("not");
        let is_open = |text: &&str| matches!(*text, "*" | "0.0.0.0/0" | "::/0");
        !is_negated
            && RESTRICTING.contains(&key.to_ascii_lowercase().as_str())
            && !texts(value).iter().any(is_open)
    })
}

fn names_everyone(statement: &Value) -> bool {
    if !statement["NotPrincipal"].is_null() {
        return true;
    }
    match &statement["Principal"] {
        Value::Object(kinds) => kinds.get("AWS").is_some_and(|aws| texts(aws).contains(&"*")),
        any => texts(any).contains(&"*"),
    }
}

/// How far a policy opens a resource to everyone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Exposure {
    /// Anyone may do this, with any AWS account.
    Everyone(Vec<String>),
    /// Anyone may call the function by its URL, without credentials.
    Url,
}

/// The statements that everyone matches.
pub(super) fn exposures(policy: &Value) -> Vec<Exposure> {
    let open = statements(policy)
        .iter()
        .filter(|it| it["Effect"] == "Allow" && names_everyone(it) && !is_restricted(it));
    open.map(|statement| {
        let auth =
            conditions(statement).find(|(_, key, _)| key.eq_ignore_ascii_case("lambda:FunctionUrlAuthType"));
        match auth {
            Some((_, _, value)) if texts(value).contains(&"NONE") => Exposure::Url,
            _ => Exposure::Everyone(
                texts(&statement["Action"])
                    .into_iter()
                    .map(str::to_owned)
                    .collect(),
            ),
        }
    })
    .collect()
}

/// Services that a policy allows, in the order of their names.
pub(super) fn services(policy: &Value) -> Vec<String> {
    let allowed = statements(policy)
        .iter()
        .filter(|statement| statement["Effect"] == "Allow");
    let mut services: Vec<String> = allowed
        .filter_map(|statement| statement["Principal"].get("Service"))
        .flat_map(texts)
        .map(str::to_owned)
        .collect();
    services.sort();
    services.dedup();
    services
}

/// Whether a policy denies requests that are not over TLS.
pub(super) fn requires_tls(policy: &Value) -> bool {
    statements(policy).iter().any(|statement| {
        statement["Effect"] == "Deny"
            && conditions(statement).any(|(_, key, value)| {
                let refused = value == false || texts(value).contains(&"false");
                key.eq_ignore_ascii_case("aws:SecureTransport") && refused
            })
    })
}

/// Actions with a wildcard for a whole service that a policy allows, such as `kinesis:*`.
pub(super) fn wildcards(policy: &Value) -> Vec<String> {
    let allowed = statements(policy)
        .iter()
        .filter(|statement| statement["Effect"] == "Allow");
    allowed
        .flat_map(|statement| texts(&statement["Action"]))
        .filter(|action| *action == "*" || action.ends_with(":*"))
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn exposed(statement: Value) -> Vec<Exposure> {
        exposures(&json!({"Statement": [statement]}))
    }

    #[test]
    fn a_policy_for_everyone_is_open_unless_a_condition_restricts_it() {
        let open = vec![Exposure::Everyone(vec!["sqs:SendMessage".to_owned()])];
        let with = |condition: Value| json!({"Effect": "Allow", "Principal": {"AWS": ["*"]}, "Action": "sqs:SendMessage", "Condition": condition});
        assert_eq!(exposed(with(Value::Null)), open);
        assert_eq!(
            exposed(json!({"Effect": "Allow", "Principal": "*", "Action": ["sqs:SendMessage"]})),
            open
        );
        assert_eq!(
            exposed(with(json!({"Bool": {"aws:SecureTransport": "true"}}))),
            open
        );
        assert_eq!(
            exposed(with(json!({"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}))),
            open
        );
        assert_eq!(
            exposed(with(json!({"StringNotEquals": {"aws:SourceAccount": "1"}}))),
            open
        );
        for restricting in [
            json!({"ArnLike": {"AWS:SourceArn": "arn:aws:sns:us-east-1:1:t"}}),
            json!({"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
            json!({"IpAddress": {"aws:SourceIp": ["10.0.0.0/8"]}}),
        ] {
            assert!(exposed(with(restricting.clone())).is_empty(), "{restricting}");
        }
    }

    #[test]
    fn others_are_not_everyone() {
        for statement in [
            json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::1:root"}, "Action": "*"}),
            json!({"Effect": "Allow", "Principal": {"Service": "s3.amazonaws.com"}, "Action": "*"}),
            json!({"Effect": "Deny", "Principal": "*", "Action": "*"}),
        ] {
            assert!(exposed(statement.clone()).is_empty(), "{statement}");
        }
        let but_one =
            json!({"Effect": "Allow", "NotPrincipal": {"AWS": "arn:aws:iam::1:root"}, "Action": "a:b"});
        assert_eq!(exposed(but_one), [Exposure::Everyone(vec!["a:b".to_owned()])]);
        assert!(exposures(&Value::Null).is_empty());
    }

    #[test]
    fn an_open_url_is_told_apart() {
        let statement = json!({"Effect": "Allow", "Principal": "*", "Action": "lambda:InvokeFunctionUrl",
            "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}});
        assert_eq!(exposed(statement), [Exposure::Url]);
    }

    #[test]
    fn services_tls_and_wildcards_are_read() {
        let policy = json!({"Statement": [
            {"Effect": "Allow", "Principal": {"Service": ["b.amazonaws.com", "a.amazonaws.com"]}, "Action": "kinesis:*"},
            {"Effect": "Deny", "Principal": "*", "Action": "sqs:*", "Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        ]});
        assert_eq!(services(&policy), ["a.amazonaws.com", "b.amazonaws.com"]);
        assert!(requires_tls(&policy));
        assert_eq!(wildcards(&policy), ["kinesis:*"]);
        assert!(!requires_tls(&Value::Null));
    }
}
