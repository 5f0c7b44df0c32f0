//! Placeholder credentials of functions. The access key contains the account and a hash of the role.

use super::code::sha256;

/// The access key of functions with the role `role` in `account`.
pub(super) fn access_key(account: &str, role: &str) -> String {
    let hash: String = sha256(role.as_bytes())
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02X}"))
        .collect();
    format!("FN{account}{hash}")
}

/// The account of an access key from [`access_key`].
pub(crate) fn account_of_access_key(key: &str) -> Option<&str> {
    let rest = key.strip_prefix("FN")?;
    let (account, hash) = (rest.get(..12)?, rest.get(12..)?);
    let is_ours = account.bytes().all(|b| b.is_ascii_digit())
        && hash.len() == 16
        && hash.bytes().all(|b| b.is_ascii_hexdigit());
    is_ours.then_some(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_contains_its_account() {
        let key = access_key("123456789012", "arn:aws:iam::123456789012:role/a");
        assert_eq!(account_of_access_key(&key), Some("123456789012"));
        assert_ne!(
            key,
            access_key("123456789012", "arn:aws:iam::123456789012:role/b")
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
