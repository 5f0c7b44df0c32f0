//! The KMS key of a stream: whether two names mean the same key, and whether Kinesis can use it. A key has an id and an
//! ARN, and aliases stand for it.

use aws_sdk_kms::types::{KeyMetadata, KeySpec, KeyState, KeyUsageType};

use super::change::same_key;
use crate::context::Context;
use ground::error::aws::Class;
use ground::error::{self, Error, Result};

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
    match ctx.kms().describe_key().key_id(alias).send().await {
        Ok(answer) => {
            let behind = answer
                .key_metadata
                .map(|found| (found.arn.unwrap_or_default(), found.key_id));
            let same = behind.is_some_and(|(arn, id)| same_key(&arn, key) || same_key(&id, key));
            Ok(match same {
                true => KeyMatch::Same,
                false => KeyMatch::Different,
            })
        }
        Err(failure) => {
            let class = error::aws::class(&failure);
            let failed = error::aws::failed(format!("could not look up the KMS key {alias}"), failure);
            match class {
                // The change itself will say that there is no such alias.
                Class::NotFound => Ok(KeyMatch::Different),
                Class::Denied | Class::Refused => Ok(KeyMatch::Unknown(failed.chain().join(": "))),
                _ => Err(failed),
            }
        }
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
    let what = || format!("could not look up the KMS key {key}");
    match ctx.kms().describe_key().key_id(key).send().await {
        Ok(answer) => match answer.key_metadata {
            Some(found) => usable(key, found).map(Checked::Usable),
            None => Ok(Checked::Unknown(
                "the answer does not describe the key".to_owned(),
            )),
        },
        Err(failure) if error::aws::is_not_found(&failure) => Err(Error::failed(format!(
            "there is no KMS key {key} in {}",
            ctx.region()
        ))
        .hint("name a symmetric KMS key of this region (`aws kms list-aliases`), or `alias/aws/kinesis`")),
        Err(failure) => Ok(Checked::Unknown(
            error::aws::failed(what(), failure).chain().join(": "),
        )),
    }
}

/// The ARN of the key behind `key`; `None` if KMS does not show it.
pub async fn arn_of(ctx: &Context, key: &str) -> Option<String> {
    let answer = ctx.kms().describe_key().key_id(key).send().await.ok()?;
    answer.key_metadata?.arn
}

/// The ARN of a key that Kinesis can use. Source: StartStreamEncryption, `KeyId`, Kinesis API reference, and "Key states of
/// AWS KMS keys", KMS developer guide.
fn usable(key: &str, found: KeyMetadata) -> Result<String> {
    match &found.key_state {
        Some(KeyState::Enabled) | None => {}
        Some(state) => {
            let id = &found.key_id;
            let hint = match state {
                KeyState::Disabled => format!("`aws kms enable-key --key-id {id}` enables it"),
                KeyState::PendingDeletion => {
                    format!("`aws kms cancel-key-deletion --key-id {id}` keeps it; then enable it")
                }
                _ => "use another key".to_owned(),
            };
            return Err(Error::failed(format!("KMS key {key} is {}", state.as_str())).hint(hint));
        }
    }
    let encrypts = found
        .key_usage
        .as_ref()
        .is_none_or(|usage| *usage == KeyUsageType::EncryptDecrypt);
    let is_symmetric = found
        .key_spec
        .as_ref()
        .is_none_or(|spec| *spec == KeySpec::SymmetricDefault);
    if !encrypts || !is_symmetric {
        return Err(
            Error::failed(format!("KMS key {key} is not a symmetric encryption key"))
                .hint("Kinesis takes symmetric keys only: create one with `aws kms create-key`"),
        );
    }
    Ok(found.arn.unwrap_or_else(|| found.key_id.clone()))
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
        let key = || {
            KeyMetadata::builder()
                .key_id("1")
                .arn("arn:aws:kms:us-east-1:1:key/1")
        };
        let said = |key: KeyMetadata| usable("alias/mine", key).map_err(|error| error.to_string());
        assert_eq!(
            said(key().build().unwrap()).unwrap(),
            "arn:aws:kms:us-east-1:1:key/1"
        );
        let enabled = key()
            .key_state(KeyState::Enabled)
            .key_spec(KeySpec::SymmetricDefault);
        assert!(said(enabled.build().unwrap()).is_ok());
        assert_eq!(
            said(key().key_state(KeyState::PendingDeletion).build().unwrap()).unwrap_err(),
            "KMS key alias/mine is PendingDeletion"
        );
        assert_eq!(
            said(key().key_usage(KeyUsageType::SignVerify).build().unwrap()).unwrap_err(),
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
