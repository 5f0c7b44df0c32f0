//! StartStreamEncryption, StopStreamEncryption.

use crate::KeyState;
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Code, Result};
use crate::kinesis::model::input::{self, text};
use crate::kinesis::stream::meta::{Encryption, count_in_day};

/// How often a key can be applied, and encryption be stopped, in 24 hours.
const CHANGES_PER_DAY: usize = 25;

/// StartStreamEncryption. It takes effect when the stream is ACTIVE again.
pub fn start(engine: &Engine, context: &Context, input: input::StreamEncryption) -> Result<()> {
    let stream = engine.find(context, &input)?;
    require_kms(&input)?;
    let key = text(&input.key_id);
    check_key(engine, context, key)?;
    let due_ms = engine.due(context.now_ms);
    stream.change_active(context.now_ms, |meta| {
        let wanted = Encryption::Kms(key.to_owned());
        if meta.encryption == wanted {
            return Ok(());
        }
        let (name, account) = (meta.name.clone(), meta.account.clone());
        count_in_day(&mut meta.key_starts_ms, context.now_ms, CHANGES_PER_DAY, || {
            limit_text(&name, &account)
        })?;
        meta.next_encryption = Some(wanted);
        meta.update_until(due_ms);
        Ok(())
    })
}

/// StopStreamEncryption. Stored records keep their encryption type.
pub fn stop(engine: &Engine, context: &Context, input: input::StreamEncryption) -> Result<()> {
    let stream = engine.find(context, &input)?;
    require_kms(&input)?;
    let due_ms = engine.due(context.now_ms);
    stream.change_active(context.now_ms, |meta| {
        if meta.encryption == Encryption::None {
            return Ok(());
        }
        let (name, account) = (meta.name.clone(), meta.account.clone());
        count_in_day(&mut meta.key_stops_ms, context.now_ms, CHANGES_PER_DAY, || {
            limit_text(&name, &account)
        })?;
        meta.next_encryption = Some(Encryption::None);
        meta.update_until(due_ms);
        Ok(())
    })
}

fn limit_text(name: &str, account: &str) -> String {
    format!(
        "Stream {name} under account {account} has had its encryption changed {CHANGES_PER_DAY} times in the last 24 \
         hours."
    )
}

fn require_kms(input: &input::StreamEncryption) -> Result<()> {
    if text(&input.encryption_type) == "KMS" {
        return Ok(());
    }
    Err(ApiError::invalid_argument(
        "The only valid value of EncryptionType is KMS.",
    ))
}

/// Whether a key is the one owned by Kinesis.
pub fn is_own_key(key: &str) -> bool {
    key == "alias/aws/kinesis" || key == "aws/kinesis" || key.ends_with(":alias/aws/kinesis")
}

/// Rejects a KMS key that cannot be used. The key owned by Kinesis is always usable.
///
/// # Errors
/// `KMSNotFoundException`, `KMSDisabledException`, `KMSInvalidStateException`.
pub fn check_key(engine: &Engine, context: &Context, key: &str) -> Result<()> {
    if is_own_key(key) {
        return Ok(());
    }
    let (code, text) = match engine.kms.exists(&context.caller, key) {
        KeyState::Enabled => return Ok(()),
        KeyState::Disabled => (Code::KMSDisabledException, "is disabled."),
        KeyState::Unusable => (
            Code::KMSInvalidStateException,
            "is in a state that does not allow this.",
        ),
        KeyState::Missing => (Code::KMSNotFoundException, "is not found."),
    };
    Err(ApiError::new(code, format!("Key {key} {text}")))
}
