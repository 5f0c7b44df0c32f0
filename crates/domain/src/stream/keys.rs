//! The KMS key of a stream: whether two names mean the same key, and whether Kinesis can use it. A key has an id and an
//! ARN, and aliases stand for it.

use super::change::same_key;
use crate::context::{Context, KeyMetadata};
use ground::error::aws::Class;
use ground::error::{Error, Result};

/// What a comparison of two names says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyMatch {
    Same,
    Different,
    /// The key behind an alias could not be looked up, for this reason.
    Unknown(String),
}

/// Compares the keys `wanted` and `there` (alias, id or ARN). Asks KMS only where one of them is an alias and the other is
/// not.
///
/// # Errors
/// When KMS cannot be reached.
pub async fn compare(ctx: &Context, wanted: &str, there: &str) -> Result<KeyMatch> {
    if same_key(wanted, there) {
        return Ok(KeyMatch::Same);
    }
    let (alias, key) = match (is_alias(wanted), is_alias(there)) {
        (true, false) => (wanted, there),
        (false, true) => (there, wanted),
        // Two ids name two keys. An alias can be moved to another key, so two aliases are two wishes.
        _ => return Ok(KeyMatch::Different),
    };
    let what = format!("could not look up the KMS key {alias}");
    match ctx.describe_key(alias, what).await {
        Ok(behind) => {
            let is_it = |name: &str| same_key(name, key);
            let same = behind.is_some_and(|found| is_it(&found.id) || is_it(&found.arn.unwrap_or_default()));
            Ok(match same {
                true => KeyMatch::Same,
                false => KeyMatch::Different,
            })
        }
        Err(error) => match error.class() {
            // The change itself will say that there is no such alias.
            Some(Class::NotFound) => Ok(KeyMatch::Different),
            Some(Class::Denied | Class::Refused) => Ok(KeyMatch::Unknown(error.chain().join(": "))),
            _ => Err(error),
        },
    }
}

/// What is known of a key before it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// Kinesis can use the key with this ARN.
    Usable(String),
    /// KMS did not show the key, for this reason.
    Unknown(String),
}

/// Looks at the key that is to encrypt a stream (alias, id or ARN).
///
/// # Errors
/// Exit 1 if there is no such key, it is not enabled, or it is of a kind that Kinesis does not take.
pub async fn check(ctx: &Context, key: &str) -> Result<Checked> {
    let what = format!("could not look up the KMS key {key}");
    match ctx.describe_key(key, what).await {
        Ok(Some(found)) => usable(key, found).map(Checked::Usable),
        Ok(None) => Ok(Checked::Unknown(
            "the answer does not describe the key".to_owned(),
        )),
        Err(error) if error.is_not_found() => Err(Error::failed(format!(
            "there is no KMS key {key} in {}",
            ctx.region()
        ))
        .hint("name a symmetric KMS key of this region (`aws kms list-aliases`), or `alias/aws/kinesis`")),
        Err(error) => Ok(Checked::Unknown(error.chain().join(": "))),
    }
}

/// The ARN of the key behind `key`; `None` if KMS does not show it.
pub async fn arn_of(ctx: &Context, key: &str) -> Option<String> {
    let what = format!("could not look up the KMS key {key}");
    ctx.describe_key(key, what).await.ok()??.arn
}

/// The ARN of a key that Kinesis can use. Source: StartStreamEncryption, `KeyId`, Kinesis API reference, and "Key states of
/// AWS KMS keys", KMS developer guide.
fn usable(key: &str, found: KeyMetadata) -> Result<String> {
    match found.state.as_deref() {
        Some("Enabled") | None => {}
        Some(state) => {
            let id = &found.id;
            let hint = match state {
                "Disabled" => format!("`aws kms enable-key --key-id {id}` enables it"),
                "PendingDeletion" => {
                    format!("`aws kms cancel-key-deletion --key-id {id}` keeps it; then enable it")
                }
                _ => "use another key".to_owned(),
            };
            return Err(Error::failed(format!("KMS key {key} is {state}")).hint(hint));
        }
    }
    let encrypts = found.usage.is_none_or(|usage| usage == "ENCRYPT_DECRYPT");
    let is_symmetric = found.spec.is_none_or(|spec| spec == "SYMMETRIC_DEFAULT");
    if !encrypts || !is_symmetric {
        return Err(
            Error::failed(format!("KMS key {key} is not a symmetric encryption key"))
                .hint("Kinesis takes symmetric keys only: create one with `aws kms create-key`"),
        );
    }
    Ok(found.arn.unwrap_or(found.id))
}

fn is_alias(key: &str) -> bool {
    let name = match key.starts_with("arn:") {
        true => key.rsplit(':').next().unwrap_or(key),
        false => key,
    };
    name.starts_with("alias/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_must_be_enabled_and_symmetric() {
        let text = |text: &str| Some(text.to_owned());
        let key = || KeyMetadata {
            id: "1".to_owned(),
            arn: text("arn:aws:kms:us-east-1:1:key/1"),
            ..KeyMetadata::default()
        };
        let said = |key: KeyMetadata| usable("alias/mine", key).map_err(|error| error.to_string());
        assert_eq!(said(key()).unwrap(), "arn:aws:kms:us-east-1:1:key/1");
        let enabled = KeyMetadata {
            state: text("Enabled"),
            usage: text("ENCRYPT_DECRYPT"),
            spec: text("SYMMETRIC_DEFAULT"),
            ..key()
        };
        assert!(said(enabled).is_ok());
        let going = KeyMetadata {
            state: text("PendingDeletion"),
            ..key()
        };
        assert_eq!(said(going).unwrap_err(), "KMS key alias/mine is PendingDeletion");
        let signs = KeyMetadata {
            usage: text("SIGN_VERIFY"),
            ..key()
        };
        assert_eq!(
            said(signs).unwrap_err(),
            "KMS key alias/mine is not a symmetric encryption key"
        );
    }

    #[test]
    fn aliases_are_recognised_by_name_and_by_arn() {
        assert!(is_alias("alias/aws/kinesis"));
        assert!(is_alias("arn:aws:kms:us-east-1:123456789012:alias/mine"));
        assert!(!is_alias("arn:aws:kms:us-east-1:123456789012:key/1234"));
        assert!(!is_alias("1234abcd-12ab-34cd-56ef-1234567890ab"));
    }
}
