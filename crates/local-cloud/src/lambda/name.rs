//! References to a function: name, ARN or partial ARN, with or without qualifier.
//! Source: `FunctionName`, Lambda API reference.

use super::error::{ApiError, Result};
use crate::{Caller, partition};

const PATTERN: &str = "Member must satisfy regular expression pattern: \
     (arn:(aws[a-zA-Z-]*)?:lambda:)?([a-z]{2}(-gov)?-[a-z]+-\\d{1}:)?(\\d{12}:)?(function:)?([a-zA-Z0-9-_]+)\
     (:(\\$LATEST|[a-zA-Z0-9-_]+))?";

/// The unpublished version.
pub(super) const LATEST: &str = "$LATEST";

/// A function, and optionally a version or alias.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FunctionName {
    /// Account and region, from the ARN if given.
    pub caller: Caller,
    pub name: String,
    /// A version number, an alias, or `$LATEST`.
    pub qualifier: Option<String>,
}

impl FunctionName {
    /// Parses a reference by `caller`, with a separate qualifier if given.
    pub fn read(caller: &Caller, text: &str, qualifier: Option<&str>) -> Result<Self> {
        let mut this =
            Self::parse(caller, text).ok_or_else(|| ApiError::constraint(text, "functionName", PATTERN))?;
        if this.caller.region != caller.region {
            return Err(ApiError::not_found(format!(
                "Functions from '{}' are not reachable in this region ('{}')",
                this.caller.region, caller.region
            )));
        }
        if this.caller.account != caller.account {
            return Err(ApiError::new(
                403,
                "AccessDeniedException",
                format!(
                    "User of account {} is not authorized to use {}",
                    caller.account,
                    this.arn()
                ),
            ));
        }
        match (qualifier.filter(|text| !text.is_empty()), &this.qualifier) {
            (Some(given), Some(inline)) if given != inline => {
                return Err(ApiError::invalid(
                    "The derived qualifier from the function name does not match the specified qualifier.",
                ));
            }
            (Some(given), _) if !is_qualifier(given) => {
                return Err(ApiError::constraint(
                    given,
                    "qualifier",
                    "Member must satisfy regular expression pattern: (|[a-zA-Z0-9$_-]+)",
                ));
            }
            (Some(given), _) => this.qualifier = Some(given.to_owned()),
            (None, _) => {}
        }
        Ok(this)
    }

    /// Parses a full ARN of any account.
    pub fn of_arn(arn: &str) -> Option<Self> {
        if arn.starts_with("arn:") {
            Self::parse(&Caller::default(), arn)
        } else {
            None
        }
    }

    fn parse(caller: &Caller, text: &str) -> Option<Self> {
        let mut caller = caller.clone();
        let mut parts: Vec<&str> = text.split(':').collect();
        if parts.first() == Some(&"arn") {
            if parts.len() < 7 || parts[2] != "lambda" || parts[5] != "function" {
                return None;
            }
            if !is_region(parts[3]) || !is_account(parts[4]) {
                return None;
            }
            caller.region = parts[3].to_owned();
            caller.account = parts[4].to_owned();
            parts.drain(..6);
        } else {
            if parts.len() > 1 && is_region(parts[0]) && is_account(parts[1]) {
                caller.region = parts.remove(0).to_owned();
            }
            if parts.len() > 1 && is_account(parts[0]) {
                caller.account = parts.remove(0).to_owned();
            }
            if parts.len() > 1 && parts[0] == "function" {
                parts.remove(0);
            }
        }
        let (name, qualifier) = match parts.as_slice() {
            [name] => (*name, None),
            [name, qualifier] => (*name, Some(*qualifier)),
            _ => return None,
        };
        if !is_name(name) || !qualifier.is_none_or(is_qualifier) {
            return None;
        }
        Some(Self {
            caller,
            name: name.to_owned(),
            qualifier: qualifier.map(str::to_owned),
        })
    }

    /// The unqualified ARN.
    pub fn arn(&self) -> String {
        arn(&self.caller, &self.name)
    }

    /// The ARN with the qualifier if there is one.
    pub fn qualified_arn(&self) -> String {
        match &self.qualifier {
            Some(qualifier) => format!("{}:{qualifier}", self.arn()),
            None => self.arn(),
        }
    }
}

pub(super) fn arn(caller: &Caller, name: &str) -> String {
    format!(
        "arn:{}:lambda:{}:{}:function:{name}",
        partition(&caller.region),
        caller.region,
        caller.account
    )
}

fn is_name(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_qualifier(text: &str) -> bool {
    text == LATEST
        || (1..=128).contains(&text.len())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|b| b.is_ascii_digit())
}

fn is_region(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    text.len() <= 32
        && parts.len() >= 3
        && parts.iter().all(|part| {
            !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_refer_to_the_same_function() {
        let caller = Caller::default();
        for text in [
            "orders",
            "function:orders",
            "000000000000:orders",
            "000000000000:function:orders",
            "us-east-1:000000000000:function:orders",
            "arn:aws:lambda:us-east-1:000000000000:function:orders",
        ] {
            let read = FunctionName::read(&caller, text, None).unwrap();
            assert_eq!((read.name.as_str(), read.qualifier), ("orders", None), "{text}");
            let read = FunctionName::read(&caller, &format!("{text}:live"), Some("live")).unwrap();
            assert_eq!(
                read.qualified_arn(),
                "arn:aws:lambda:us-east-1:000000000000:function:orders:live"
            );
        }
    }

    #[test]
    fn invalid_names_and_other_accounts_are_rejected() {
        let caller = Caller::default();
        let code = |text: &str, qualifier| FunctionName::read(&caller, text, qualifier).unwrap_err().code;
        for text in [
            "",
            "a b",
            "../x",
            "a:b:c",
            "arn:aws:sqs:us-east-1:000000000000:function:a",
            "a.b",
        ] {
            assert_eq!(code(text, None), "ValidationException", "{text}");
        }
        assert_eq!(code("a:1", Some("2")), "InvalidParameterValueException");
        assert_eq!(code("a", Some("x/y")), "ValidationException");
        assert_eq!(
            code("arn:aws:lambda:eu-west-1:000000000000:function:a", None),
            "ResourceNotFoundException"
        );
        assert_eq!(
            code("arn:aws:lambda:us-east-1:111111111111:function:a", None),
            "AccessDeniedException"
        );
    }
}
