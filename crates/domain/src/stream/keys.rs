//! Whether two names of a KMS key mean the same key. A key has an id and an ARN, and aliases stand for it.

use super::change::same_key;
use crate::context::Context;
use ground::error::aws::Class;
use ground::error::{self, Result};

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
    fn aliases_are_recognised_by_name_and_by_arn() {
        assert!(is_alias("alias/aws/kinesis"));
        assert!(is_alias("arn:aws:kms:us-east-1:123456789012:alias/mine"));
        assert!(!is_alias("arn:aws:kms:us-east-1:123456789012:key/1234"));
        assert!(!is_alias("1234abcd-12ab-34cd-56ef-1234567890ab"));
    }
}
