//! Credentials of functions. The access key contains the account, and a code of the role that nobody can make without the
//! secret of the home; the secret access key is derived from the access key.

use daemon::secret::Secret;

/// Hexadecimal digits of the code.
const CODE: usize = 16;

/// The access key of functions with the role `role` in `account`.
pub(super) fn access_key(secret: &Secret, account: &str, role: &str) -> String {
    let code = secret.derive("role", role).to_ascii_uppercase();
    format!("FN{account}{}", &code[..CODE])
}

/// The secret access key of an access key from [`access_key`].
pub(crate) fn secret_key(secret: &Secret, access_key: &str) -> String {
    secret.derive("function", access_key)
}

/// The account of an access key from [`access_key`].
pub(crate) fn account_of_access_key(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("FN")?;
    let (account, hash) = (rest.get(..12)?, rest.get(12..)?);
    let is_ours = account.bytes().all(|b| b.is_ascii_digit())
        && hash.len() == CODE
        && hash.bytes().all(|b| b.is_ascii_hexdigit());
    is_ours.then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_contains_its_account() {
        let secret = Secret::for_tests();
        let key = access_key(&secret, "123456789012", "arn:aws:iam::123456789012:role/a");
        assert_eq!(account_of_access_key(&key), Some("123456789012"));
        assert_ne!(
            key,
            access_key(&secret, "123456789012", "arn:aws:iam::123456789012:role/b")
        );
        for other in [
            "",
            "FN",
            "AKIAIOSFODNN7EXAMPLE",
            "FN12345678901x0123456789ABCDEF",
            "local",
        ] {
            assert_eq!(account_of_access_key(other), None, "{other}");
        }
    }
}
