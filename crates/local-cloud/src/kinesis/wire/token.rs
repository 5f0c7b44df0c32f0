//! Pagination tokens, opaque to callers. They expire after 300 seconds where AWS specifies that.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::kinesis::error::{ApiError, Code, Result};

/// Source: `NextToken` of ListShards.
pub const LIFETIME_MS: i64 = 300_000;

#[derive(Serialize, Deserialize)]
struct Token<T> {
    operation: String,
    issued_ms: i64,
    next: T,
}

/// # Errors
/// `InternalFailureException`. No token of this engine causes it.
pub fn encode<T: Serialize>(operation: &str, now_ms: i64, next: T) -> Result<String> {
    let token = Token {
        operation: operation.to_owned(),
        issued_ms: now_ms,
        next,
    };
    let text = serde_json::to_vec(&token)
        .map_err(|e| ApiError::new(Code::InternalFailureException, e.to_string()))?;
    Ok(base64_simd::STANDARD.encode_to_string(text))
}

/// Decodes the token of `operation`.
///
/// # Errors
/// `InvalidArgumentException` if it is not a token of `operation`; `ExpiredNextTokenException`.
pub fn decode<T: DeserializeOwned>(operation: &str, now_ms: i64, token: &str) -> Result<T> {
    let invalid = || ApiError::invalid_argument("Invalid NextToken.");
    let text = base64_simd::STANDARD
        .decode_to_vec(token)
        .map_err(|_| invalid())?;
    let token: Token<T> = serde_json::from_slice(&text).map_err(|_| invalid())?;
    if token.operation != operation || token.issued_ms > now_ms {
        return Err(invalid());
    }
    if now_ms.saturating_sub(token.issued_ms) > LIFETIME_MS {
        return Err(ApiError::new(
            Code::ExpiredNextTokenException,
            format!("NextToken expired. It was issued more than {LIFETIME_MS} milliseconds ago."),
        ));
    }
    Ok(token.next)
}
