//! Lambda's limits, checked before the first call, and which of its errors are temporary.

use std::collections::BTreeMap;
use std::time::Duration;

use ground::duration::{self, Parser, Unit};
use ground::error::aws::Class;
use ground::error::{Error, Result};

/// Total size of all variables, in bytes. Source: "Lambda quotas", AWS Lambda developer guide.
const LARGEST_ENVIRONMENT: usize = 4096;

/// Checks the name of a function: 1 to 64 characters of `a-zA-Z0-9-_`.
/// Source: CreateFunction, `FunctionName`, Lambda API reference.
///
/// # Errors
/// Exit 2.
pub fn check_name(name: &str) -> Result<()> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-');
    if (1..=64).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::usage(format!("{name:?} is not a function name"))
        .hint("use 1 to 64 letters, digits, `_` or `-`"))
}

/// Checks the memory: 128 to 10,240 MB. Source: "Lambda quotas", AWS Lambda developer guide.
///
/// # Errors
/// Exit 2.
pub fn check_memory(mb: u32) -> Result<()> {
    if (128..=10_240).contains(&mb) {
        return Ok(());
    }
    Err(Error::usage(format!(
        "memory of {mb} MB is out of range: Lambda takes 128 to 10240 MB"
    )))
}

/// Range of a function's timeout. Source: "Lambda quotas", AWS Lambda developer guide.
pub const TIMEOUT: Parser = Parser::whole(Unit::Second)
    .or_bare()
    .between(Duration::from_secs(1), Duration::from_secs(900));

/// # Errors
/// Exit 2.
pub fn check_timeout(seconds: u32) -> Result<()> {
    let timeout = Duration::from_secs(u64::from(seconds));
    TIMEOUT
        .check(timeout)
        .map_err(|must| Error::usage(format!("the timeout is {}: it {must}", duration::format(timeout))))
}

/// Checks names, reserved names and the total size of variables.
///
/// # Errors
/// Exit 2 naming the variable.
pub fn check_environment(variables: &BTreeMap<String, String>) -> Result<()> {
    for name in variables.keys() {
        check_variable(name).map_err(Error::usage)?;
    }
    let bytes: usize = variables.iter().map(|(k, v)| k.len() + v.len()).sum();
    if bytes > LARGEST_ENVIRONMENT {
        return Err(Error::usage(format!(
            "the environment variables have {bytes} bytes; Lambda takes {LARGEST_ENVIRONMENT} at most"
        ))
        .hint("keep large values in Parameter Store or a bucket, and their name in the variable"));
    }
    Ok(())
}

/// Checks the name of a variable. Source: `EnvironmentVariableName`, Lambda API reference.
///
/// # Errors
/// Why the name is invalid.
pub fn check_variable(name: &str) -> Result<(), String> {
    if lambda_host::RESERVED_VARIABLES.contains(&name) {
        return Err(format!(
            "environment variable {name} is reserved: Lambda sets it itself"
        ));
    }
    let mut bytes = name.bytes();
    let begins = bytes.next().is_some_and(|b| b.is_ascii_alphabetic());
    let goes_on = bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if begins && goes_on && name.len() >= 2 {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not the name of an environment variable: use two or more letters, digits and `_`, a letter first"
    ))
}

/// What to wait for if an error is temporary; `None` if a retry cannot help.
pub(super) fn retry_reason(class: Class, code: &str, message: &str) -> Option<&'static str> {
    let says = |words: &str| message.to_ascii_lowercase().contains(words);
    match class {
        Class::Conflict => return Some("until another change of it is complete"),
        Class::Throttle => return Some("until Lambda takes more calls"),
        class if class.is_outage() => return Some("until Lambda answers"),
        _ => {}
    }
    match code {
        "InvalidParameterValueException" if says("cannot be assumed") => {
            Some("until its role is known everywhere")
        }
        "InvalidParameterValueException" if says("role does not have permission") => {
            Some("until its role's permissions are known everywhere")
        }
        "InvalidParameterValueException" | "KMSAccessDeniedException" if says("creategrant") => {
            Some("until its role is known everywhere")
        }
        _ => None,
    }
}

/// Whether a conflict means that the name is taken: "Function already exist: orders".
pub(super) fn says_exists(message: &str) -> bool {
    message.to_ascii_lowercase().contains("already exist")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserved_or_impossible_variable_is_refused() {
        let refused = |name: &str| {
            let variables = BTreeMap::from([(name.to_owned(), "x".to_owned())]);
            check_environment(&variables).unwrap_err().to_string()
        };
        insta::assert_snapshot!(["AWS_REGION", "_HANDLER", "A", "1ST", "with-dash", ""].map(refused).join("\n"), @r#"
        environment variable AWS_REGION is reserved: Lambda sets it itself
        environment variable _HANDLER is reserved: Lambda sets it itself
        "A" is not the name of an environment variable: use two or more letters, digits and `_`, a letter first
        "1ST" is not the name of an environment variable: use two or more letters, digits and `_`, a letter first
        "with-dash" is not the name of an environment variable: use two or more letters, digits and `_`, a letter first
        "" is not the name of an environment variable: use two or more letters, digits and `_`, a letter first
        "#);
        assert!(check_environment(&BTreeMap::from([("TABLE_NAME".into(), String::new())])).is_ok());
    }

    #[test]
    fn four_kilobytes_are_the_most() {
        let sized = |bytes: usize| BTreeMap::from([("LARGE".to_owned(), "x".repeat(bytes - 5))]);
        assert!(check_environment(&sized(4096)).is_ok());
        insta::assert_snapshot!(check_environment(&sized(4097)).unwrap_err(), @"the environment variables have 4097 bytes; Lambda takes 4096 at most");
    }

    #[test]
    fn numbers_are_kept_in_lambdas_ranges() {
        assert!(check_memory(128).is_ok() && check_memory(10_240).is_ok());
        insta::assert_snapshot!(check_memory(64).unwrap_err(), @"memory of 64 MB is out of range: Lambda takes 128 to 10240 MB");
        insta::assert_snapshot!(check_timeout(901).unwrap_err(), @"the timeout is 15m1s: it must be between 1s and 15m");
        assert!(check_name("a-b_C9").is_ok());
        assert!(
            check_name("a.b").is_err() && check_name("").is_err() && check_name(&"x".repeat(65)).is_err()
        );
    }

    #[test]
    fn only_what_passes_is_waited_for() {
        let role = "The role defined for the function cannot be assumed by Lambda.";
        let reason = |code: &str, message: &str| {
            let class = ground::error::aws::class_of(code, message).unwrap_or(Class::Refused);
            retry_reason(class, code, message)
        };
        assert!(reason("InvalidParameterValueException", role).is_some());
        let busy = "The operation cannot be performed at this time. An update is in progress for resource";
        assert!(reason("ResourceConflictException", busy).is_some());
        assert_eq!(
            reason("ResourceConflictException", "Function already exist: orders"),
            None
        );
        assert_eq!(
            reason("InvalidParameterValueException", "Unzipped size must be smaller"),
            None
        );
        assert_eq!(reason("AccessDeniedException", role), None);
    }
}
