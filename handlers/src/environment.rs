//! Reads and checks a function's environment variables during init, before any record is read.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

#[derive(Clone, Debug, Default)]
pub struct Environment {
    variables: BTreeMap<String, String>,
}

/// An invalid variable: one sentence with its name and its purpose.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InvalidVariable(pub String);

impl fmt::Display for InvalidVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for InvalidVariable {}

impl Environment {
    /// The variables of this process. Values that are not Unicode are left out.
    pub fn of_process() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { variables }
    }

    /// Only these variables.
    pub fn of(variables: &[(&str, &str)]) -> Self {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Self {
            variables: variables.iter().map(owned).collect(),
        }
    }

    /// The value of `name`, unless it is unset or blank.
    pub fn optional(&self, name: &str) -> Option<&str> {
        self.variables
            .get(name)
            .map(|value| value.trim())
            .filter(|value| !value.is_empty())
    }

    /// The value of `name`. `purpose` completes the sentence "it names …".
    ///
    /// # Errors
    /// The variable is unset or blank.
    pub fn required(&self, name: &str, purpose: &str) -> Result<&str, InvalidVariable> {
        self.optional(name).ok_or_else(|| {
            InvalidVariable(format!(
                "the environment variable {name} is not set: it names {purpose}"
            ))
        })
    }

    /// The number in `name`, or `default`.
    ///
    /// # Errors
    /// The value is not a number within `range`.
    pub fn number<N>(&self, name: &str, default: N, range: RangeInclusive<N>) -> Result<N, InvalidVariable>
    where
        N: FromStr + PartialOrd + fmt::Display,
    {
        let Some(text) = self.optional(name) else {
            return Ok(default);
        };
        match text.parse::<N>() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(InvalidVariable(format!(
                "the environment variable {name} is `{text}`: it takes a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named_with_what_it_is_for() {
        let error = Environment::of(&[("TABLE_NAME", " ")])
            .required("TABLE_NAME", "the table that items are written to")
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "the environment variable TABLE_NAME is not set: it names the table that items are written to"
        );
    }

    #[test]
    fn numbers_have_a_default_and_a_range() {
        let environment = Environment::of(&[("TTL_DAYS", "7"), ("WINDOW_SECONDS", "0")]);
        assert_eq!(environment.number("TTL_DAYS", 30, 1..=3650), Ok(7));
        assert_eq!(environment.number("OTHER", 30, 1..=3650), Ok(30));
        assert_eq!(
            environment
                .number("WINDOW_SECONDS", 60, 1..=86400)
                .unwrap_err()
                .to_string(),
            "the environment variable WINDOW_SECONDS is `0`: it takes a whole number from 1 to 86400"
        );
    }
}
