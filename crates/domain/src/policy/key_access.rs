//! Whether the functions that read a stream may decrypt with a KMS key.
//!
//! A role may use a key if the key's policy allows the role, or leaves the decision to the account and the policies of the
//! role allow it. Source: "Key policies in AWS KMS" and "Determining access to AWS KMS keys", KMS developer guide. Grants are
//! not looked at.

use serde_json::Value;

use super::managed::{Identity, IdentityKind};
use super::simulate::{Decision, simulate};
use super::{Location, key_statement};
use crate::context::Context;
use crate::functions::{mapping, permissions};
use ground::error::{self, Error, Result};

const DECRYPT: &str = "kms:Decrypt";

/// Whether a role may decrypt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyAccess {
    Allowed,
    /// Why not.
    Denied(&'static str),
    /// Why it is not known.
    Unknown(String),
}

/// A function with an event source mapping of the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reader {
    pub function: String,
    pub access: KeyAccess,
}

/// The functions that read the stream, and whether each may decrypt with the key `key_arn`.
///
/// # Errors
/// When the mappings cannot be listed.
pub async fn readers(ctx: &Context, stream_arn: &str, key_arn: &str) -> Result<Vec<Reader>> {
    let mappings = mapping::list(ctx, None, Some(stream_arn)).await?;
    let mut functions: Vec<&str> = mappings
        .iter()
        .filter(|mapping| !mapping.is_going())
        .map(mapping::Mapping::function)
        .collect();
    functions.sort_unstable();
    functions.dedup();
    if functions.is_empty() {
        return Ok(Vec::new());
    }
    let policy = key_policy(ctx, key_arn).await.ok();
    let mut readers = Vec::new();
    for function in functions {
        let access = access(ctx, function, stream_arn, key_arn, policy.as_ref()).await;
        readers.push(Reader {
            function: function.to_owned(),
            access: access.unwrap_or_else(|error| KeyAccess::Unknown(error.chain().join(": "))),
        });
    }
    Ok(readers)
}

/// The policy of a key, by its id or ARN.
///
/// # Errors
/// When KMS refuses to show it.
pub(crate) async fn key_policy(ctx: &Context, key: &str) -> Result<Value> {
    let what = || format!("the policy of the KMS key {key} could not be read");
    let text = ctx.key_policy(key, what()).await?;
    serde_json::from_str(&text).map_err(|error| Error::failed(what()).cause(error))
}

/// Whether the policy of a key allows a role to decrypt by itself, whatever the policies of the role say.
pub(crate) fn allows_by_itself(policy: &Value, role_arn: &str, key_arn: &str) -> bool {
    says(policy, role_arn, Location::of(key_arn).account) == KeyPolicy::Allows
}

async fn access(
    ctx: &Context,
    function: &str,
    stream_arn: &str,
    key_arn: &str,
    policy: Option<&Value>,
) -> Result<KeyAccess> {
    let Some(name) = permissions::role_of(ctx, function).await? else {
        return Ok(KeyAccess::Unknown("the function is gone".to_owned()));
    };
    let role = Identity {
        kind: IdentityKind::Role,
        name,
    };
    let role_arn = role.arn(ctx).await?;
    let asked = [key_statement(DECRYPT, key_arn, stream_arn)];
    // What Kinesis tells KMS. Source: "Permissions to use user-generated KMS keys", Kinesis developer guide.
    let known = [
        ("kms:CallerAccount", Location::of(stream_arn).account),
        ("kms:EncryptionContext:aws:kinesis:arn", stream_arn),
    ];
    let identity = match simulate(ctx, &role_arn, &asked, &known).await {
        Ok(checked) => checked.into_iter().next().map(|one| one.decision),
        Err(error) if error.class().is_some_and(error::aws::Class::is_outage) => return Err(error),
        Err(_) => None,
    };
    Ok(decide(policy, identity.as_ref(), &role_arn, key_arn))
}

/// What the policy of the key says of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum KeyPolicy {
    /// It allows the role, whatever the policies of the role say.
    Allows,
    /// It leaves the decision to the policies of the role.
    Delegates,
    Denies,
    Silent,
    /// It depends on a condition.
    Depends,
}

fn decide(policy: Option<&Value>, identity: Option<&Decision>, role_arn: &str, key_arn: &str) -> KeyAccess {
    let unknown = |why: &str| KeyAccess::Unknown(why.to_owned());
    if identity == Some(&Decision::ExplicitDeny) {
        return KeyAccess::Denied("a policy of its role denies kms:Decrypt");
    }
    let Some(policy) = policy else {
        return unknown("the policy of the key cannot be read");
    };
    match (says(policy, role_arn, Location::of(key_arn).account), identity) {
        (KeyPolicy::Denies, _) => KeyAccess::Denied("the policy of the key denies it"),
        (KeyPolicy::Silent, _) => KeyAccess::Denied("the policy of the key does not allow it"),
        (KeyPolicy::Allows, _) | (KeyPolicy::Delegates, Some(Decision::Allowed)) => KeyAccess::Allowed,
        (KeyPolicy::Delegates, Some(_)) => {
            KeyAccess::Denied("its role has no permission for kms:Decrypt on the key")
        }
        (KeyPolicy::Delegates, None) => unknown("the policies of its role cannot be simulated"),
        (KeyPolicy::Depends, _) => unknown("the policy of the key has conditions"),
    }
}

fn says(policy: &Value, role_arn: &str, account: &str) -> KeyPolicy {
    let statements = match &policy["Statement"] {
        Value::Array(statements) => statements.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    };
    let (mut found, mut depends) = (KeyPolicy::Silent, false);
    for statement in statements.into_iter().filter(|one| is_about_decrypting(one)) {
        let principals = texts(&statement["Principal"]["AWS"]);
        let everybody = statement["Principal"] == "*" || principals.contains(&"*");
        let names_role = everybody || principals.contains(&role_arn);
        let names_account = principals
            .iter()
            .any(|one| *one == account || (one.ends_with(":root") && Location::of(one).account == account));
        if !names_role && !names_account {
            continue;
        }
        let has_condition = statement
            .get("Condition")
            .is_some_and(|condition| !condition.is_null());
        match (statement["Effect"].as_str(), has_condition) {
            (_, true) => depends = true,
            (Some("Deny"), false) => return KeyPolicy::Denies,
            (_, false) if names_role => found = KeyPolicy::Allows,
            (_, false) if found == KeyPolicy::Silent => found = KeyPolicy::Delegates,
            _ => {}
        }
    }
    match (found, depends) {
        (KeyPolicy::Silent | KeyPolicy::Delegates, true) => KeyPolicy::Depends,
        (found, _) => found,
    }
}

fn is_about_decrypting(statement: &Value) -> bool {
    texts(&statement["Action"])
        .into_iter()
        .any(|pattern| matches(&pattern.to_ascii_lowercase(), "kms:decrypt"))
}

/// The texts of a list, or the one that stands in its place.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any text and `?` for one character.
fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    // Where to go on after the last `*` if what follows it does not match.
    let (mut p, mut t, mut back) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ROLE: &str = "arn:aws:iam::123456789012:role/scorer";
    const KEY: &str = "arn:aws:kms:us-east-1:123456789012:key/1";

    fn decided(statements: Value, identity: Option<Decision>) -> String {
        let policy = json!({"Statement": statements});
        match decide(Some(&policy), identity.as_ref(), ROLE, KEY) {
            KeyAccess::Allowed => "allowed".to_owned(),
            KeyAccess::Denied(why) => format!("denied: {why}"),
            KeyAccess::Unknown(why) => format!("unknown: {why}"),
        }
    }

    #[test]
    fn the_default_policy_of_a_key_leaves_it_to_the_role() {
        let root = json!({"Effect": "Allow", "Principal": {"AWS": "arn:aws:iam::123456789012:root"}, "Action": "kms:*"});
        assert_eq!(decided(root.clone(), Some(Decision::Allowed)), "allowed");
        assert_eq!(
            decided(root.clone(), Some(Decision::ImplicitDeny)),
            "denied: its role has no permission for kms:Decrypt on the key"
        );
        assert_eq!(
            decided(root.clone(), Some(Decision::ExplicitDeny)),
            "denied: a policy of its role denies kms:Decrypt"
        );
        assert_eq!(
            decided(root, None),
            "unknown: the policies of its role cannot be simulated"
        );
    }

    #[test]
    fn a_policy_of_a_key_can_name_the_role() {
        let named = json!([{"Effect": "Allow", "Principal": {"AWS": [ROLE]}, "Action": ["kms:Decrypt"]}]);
        assert_eq!(decided(named, Some(Decision::ImplicitDeny)), "allowed");
        let other =
            json!([{"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "kms:GenerateDataKey*"}]);
        assert_eq!(
            decided(other, Some(Decision::Allowed)),
            "denied: the policy of the key does not allow it"
        );
        let denied = json!([
            {"Effect": "Allow", "Principal": "*", "Action": "*"},
            {"Effect": "Deny", "Principal": {"AWS": ROLE}, "Action": "kms:Dec*"},
        ]);
        assert_eq!(
            decided(denied, Some(Decision::Allowed)),
            "denied: the policy of the key denies it"
        );
        let depends = json!({"Effect": "Allow", "Principal": {"AWS": ROLE}, "Action": "kms:Decrypt",
            "Condition": {"StringEquals": {"aws:PrincipalTag/team": "a"}}});
        assert_eq!(
            decided(depends, Some(Decision::Allowed)),
            "unknown: the policy of the key has conditions"
        );
        assert!(matches!(
            decide(None, Some(&Decision::Allowed), ROLE, KEY),
            KeyAccess::Unknown(_)
        ));
    }

    #[test]
    fn a_policy_that_leaves_it_to_the_role_allows_nothing_by_itself() {
        let allows = |principal: Value, action: &str| {
            let statement =
                json!([{"Effect": "Allow", "Principal": principal, "Action": action, "Resource": "*"}]);
            allows_by_itself(&json!({"Statement": statement}), ROLE, KEY)
        };
        assert!(allows(json!({"AWS": [ROLE, "x"]}), "kms:*"));
        assert!(allows(json!("*"), "kms:Decrypt"));
        assert!(!allows(json!({"AWS": ROLE}), "kms:Encrypt"));
        assert!(!allows(json!({"AWS": "arn:aws:iam::123456789012:root"}), "kms:*"));
        assert!(!allows_by_itself(&Value::Null, ROLE, KEY));
    }

    #[test]
    fn wildcards_of_actions() {
        let all = ["*", "kms:*", "kms:d?crypt", "k*t", "kms:decrypt", "kms:*crypt*"];
        assert!(all.into_iter().all(|pattern| matches(pattern, "kms:decrypt")));
        let none = ["", "kms:encrypt", "kms:decrypt?", "s3:*", "kms:*x"];
        assert!(!none.into_iter().any(|pattern| matches(pattern, "kms:decrypt")));
    }

    proptest::proptest! {
        #[test]
        fn any_policy_is_decided(text in "[\\[\\]{}\",:*a-zA-Z]{0,60}", pattern in "[*?ab]{0,12}", word in "[ab]{0,12}") {
            let policy = serde_json::from_str(&text).unwrap_or(Value::String(text));
            let _ = decide(Some(&policy), None, ROLE, KEY);
            let _ = matches(&pattern, &word);
        }
    }
}
