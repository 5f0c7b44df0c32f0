//! The secret of a home: the key that proves to a daemon who its user is, and to its user which daemon is theirs.
//!
//! It is the secret access key that `local env` prints. The daemon and its user's commands read it from a file in the
//! home that nobody else can read, so it is never sent.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use rand::distr::Alphanumeric;
use sha2::Sha256;

/// As long as a secret access key of AWS.
const LENGTH: usize = 40;

#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub(crate) fn generate() -> Self {
        let characters = rand::rng().sample_iter(Alphanumeric).take(LENGTH);
        Self(characters.map(char::from).collect())
    }

    /// `None` if `text` is no secret.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let is_sound = text.len() == LENGTH && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_sound.then(|| Self(text.to_owned()))
    }

    /// The secret access key of this home.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A key for `purpose`, which shows nothing of the secret: 64 hexadecimal digits.
    pub fn derive(&self, purpose: &str, name: &str) -> String {
        hex::encode(hmac_sha256(
            self.0.as_bytes(),
            format!("streamctl {purpose}\n{name}").as_bytes(),
        ))
    }

    /// A secret for tests that need no home.
    #[doc(hidden)]
    pub fn for_tests() -> Self {
        Self("0".repeat(LENGTH))
    }
}

/// Does not show the secret.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

pub fn hmac_sha256(key: &[u8], message: &[u8]) -> [u8; 32] {
    keyed(key, message).finalize().into_bytes().into()
}

/// Whether `code` is the code of `message`. Takes the same time for every wrong code.
pub fn is_hmac_sha256(key: &[u8], message: &[u8], code: &[u8]) -> bool {
    keyed(key, message).verify_slice(code).is_ok()
}

fn keyed(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length (RFC 2104), so that this does not fail.
    let mut code = Hmac::<Sha256>::new_from_slice(key).unwrap_or_else(|_| Hmac::new(&Default::default()));
    code.update(message);
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let code = hmac_sha256(b"Jefe", b"what do ya want for nothing?");
        assert_eq!(
            hex::encode(code),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(is_hmac_sha256(b"Jefe", b"what do ya want for nothing?", &code));
        assert!(!is_hmac_sha256(b"Jefe", b"what do ya want", &code));
        assert!(!is_hmac_sha256(
            b"Jefe",
            b"what do ya want for nothing?",
            &code[..31]
        ));
    }

    #[test]
    fn secrets_differ_and_stay_out_of_logs() {
        let (one, other) = (Secret::generate(), Secret::generate());
        assert_ne!(one, other);
        assert_eq!(Secret::parse(one.as_str()), Some(one.clone()));
        assert!(!format!("{one:?}").contains(one.as_str()));
        for bad in ["", "short", "ä", &"-".repeat(LENGTH), &"a".repeat(LENGTH + 1)] {
            assert_eq!(Secret::parse(bad), None, "{bad}");
        }
        assert_ne!(one.derive("a", "x"), one.derive("b", "x"));
        assert_ne!(one.derive("a", "x"), other.derive("a", "x"));
    }
}
