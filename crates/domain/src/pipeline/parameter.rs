//! Parameters of a template: their types, ranges and defaults. All invalid values are reported together, before any call.

use std::collections::BTreeMap;

use regex_lite::Regex;
use serde::Deserialize;
use serde_json::Value;

use super::substitute::Filled;
use ground::error::{Error, Result};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ParameterType {
    String,
    Integer,
    Boolean,
    /// Strings, written with commas between them.
    List,
    /// Keys and strings, written as `key=value` with commas between them.
    Map,
    /// One of the allowed strings.
    Enum,
}

/// A parameter as a manifest declares it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    #[serde(rename = "type")]
    pub kind: ParameterType,
    /// Its purpose, in one line.
    pub description: String,
    pub default: Option<Value>,
    /// Whether it may have no value. A parameter that is not optional and has no default is required.
    #[serde(default)]
    pub optional: bool,
    /// Minimum of an integer.
    pub min: Option<i64>,
    /// Maximum of an integer.
    pub max: Option<i64>,
    /// Regular expression that the whole string, or each string of a list, must match.
    pub pattern: Option<String>,
    /// The allowed strings of an enum or of the elements of a list, or the allowed numbers of an integer.
    pub allowed: Option<Vec<String>>,
    /// The setting that provides its value if no flag does. Without it, the environment and `streamctl.toml` are not
    /// used.
    pub setting: Option<Setting>,
}

/// A setting from the environment or `streamctl.toml`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    /// The default stream (`AWS_KINESIS_STREAM_NAME`).
    Stream,
    /// The default shard count (`AWS_KINESIS_SHARD_COUNT`).
    ShardCount,
    /// The value of the tag `Environment` (`APP_ENVIRONMENT`).
    Environment,
}

impl Setting {
    /// Its name, which is usually also the name of the parameter.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::ShardCount => "shard_count",
            Self::Environment => "environment",
        }
    }
}

/// Where a value comes from, weakest first. An [`Origin::Default`] is used when a resource is created and never changes one
/// that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The parameter's default.
    Default,
    /// An environment variable or `streamctl.toml`.
    Environment,
    /// A flag.
    Given,
    /// A literal in the template.
    Template,
}

/// A value for a parameter, as the user wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Given {
    /// Not yet checked.
    pub text: String,
    pub origin: Origin,
    /// Its name in messages, such as `--shard-count`.
    pub source: String,
}

impl Given {
    /// A value from the flag `source`.
    pub fn flag(source: &str, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: Origin::Given,
            source: source.to_owned(),
        }
    }

    /// A value from the environment or a file; `source` names it.
    pub fn environment(source: &str, text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            origin: Origin::Environment,
            source: source.to_owned(),
        }
    }
}

/// The value and origin of every parameter; `Null` for an optional one without a value.
#[derive(Debug, Clone, Default)]
pub struct Values(BTreeMap<String, (Value, Origin)>);

impl Values {
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).map(|(value, _)| value)
    }

    pub fn origin(&self, name: &str) -> Option<Origin> {
        self.0.get(name).map(|(_, origin)| *origin)
    }

    pub(super) fn lookup(&self, name: &str) -> Option<Filled> {
        self.0.get(name).map(|(value, origin)| Filled {
            value: value.clone(),
            origin: Some(*origin),
        })
    }
}

/// The default values; `Null` for parameters without a default.
pub(super) fn defaults(parameters: &BTreeMap<String, Parameter>) -> Values {
    let value = |parameter: &Parameter| parameter.default.clone().unwrap_or(Value::Null);
    Values(
        parameters
            .iter()
            .map(|(name, parameter)| (name.clone(), (value(parameter), Origin::Default)))
            .collect(),
    )
}

/// Resolves every parameter of `template`.
///
/// # Errors
/// Exit 2 with each invalid value, unknown name and missing value.
pub(super) fn resolve(
    template: &str,
    parameters: &BTreeMap<String, Parameter>,
    given: &BTreeMap<String, Given>,
) -> Result<Values> {
    let mut problems = Vec::new();
    for (name, given) in given {
        if !parameters.contains_key(name) {
            problems.push(format!(
                "{}: template {template} has no parameter {name}",
                given.source
            ));
        }
    }
    let Values(mut values) = defaults(parameters);
    for (name, parameter) in parameters {
        match given.get(name) {
            Some(given) => match parameter.read(&given.text) {
                Ok(value) => {
                    values.insert(name.clone(), (value, given.origin));
                }
                Err(problem) => problems.push(format!("{} is {:?}: {problem}", given.source, given.text)),
            },
            None if parameter.default.is_none() && !parameter.optional => problems.push(format!(
                "{name} is missing ({}): give it with --param {name}=…",
                parameter.description
            )),
            None => {}
        }
    }
    if problems.is_empty() {
        return Ok(Values(values));
    }
    let unknown = given.keys().any(|name| !parameters.contains_key(name));
    Err(refusal(problems, parameters, unknown))
}

fn refusal(mut problems: Vec<String>, parameters: &BTreeMap<String, Parameter>, unknown: bool) -> Error {
    let names: Vec<&str> = parameters.keys().map(String::as_str).collect();
    // The list of names is useful only after an unknown name.
    let hint = match unknown {
        true => format!("nothing was changed; the parameters are {}", names.join(", ")),
        false => "nothing was changed".to_owned(),
    };
    if problems.len() == 1 {
        return Error::usage(problems.remove(0)).hint(hint);
    }
    Error::usage(format!("{} values are invalid", problems.len()))
        .cause(problems.join("\n"))
        .hint(hint)
}

impl Parameter {
    pub(super) fn is_list(&self) -> bool {
        self.kind == ParameterType::List
    }

    /// The problems of the declaration itself.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.kind == ParameterType::Enum && self.allowed.as_ref().is_none_or(Vec::is_empty) {
            problems.push("an enum needs `allowed`".to_owned());
        }
        if (self.min.is_some() || self.max.is_some()) && self.kind != ParameterType::Integer {
            problems.push("`min` and `max` are only for integers".to_owned());
        }
        if let Some(pattern) = &self.pattern
            && let Err(error) = whole(pattern)
        {
            problems.push(format!("`pattern` is not a valid regular expression: {error}"));
        }
        if let Some(default) = &self.default
            && let Err(problem) = self.check(default)
        {
            problems.push(format!("its default {problem}"));
        }
        problems
    }

    /// Parses a value that the user wrote.
    pub(super) fn read(&self, text: &str) -> Result<Value, String> {
        let trimmed = text.trim();
        let parts = || trimmed.split(',').map(str::trim).filter(|part| !part.is_empty());
        let value = match self.kind {
            ParameterType::String => Value::from(text),
            ParameterType::Enum => Value::from(trimmed),
            ParameterType::Integer => trimmed
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| format!("must be a whole number{}", self.range()))?,
            ParameterType::Boolean => trimmed
                .parse::<bool>()
                .map(Value::from)
                .map_err(|_| "must be true or false".to_owned())?,
            ParameterType::List => parts().map(Value::from).collect(),
            ParameterType::Map => parts()
                .map(|part| {
                    let (key, value) = part
                        .split_once('=')
                        .ok_or_else(|| format!("{part:?} is not of the form key=value"))?;
                    Ok((key.trim().to_owned(), Value::from(value.trim())))
                })
                .collect::<Result<serde_json::Map<_, _>, String>>()?
                .into(),
        };
        self.check(&value)?;
        Ok(value)
    }

    /// Checks the type and the range of `value`; the error says what it must be.
    fn check(&self, value: &Value) -> Result<(), String> {
        match (self.kind, value) {
            (ParameterType::Boolean, Value::Bool(_)) => Ok(()),
            (ParameterType::Integer, Value::Number(number)) => {
                let number = number
                    .as_i64()
                    .ok_or_else(|| "must be a whole number".to_owned())?;
                let in_range =
                    self.min.is_none_or(|min| number >= min) && self.max.is_none_or(|max| number <= max);
                let listed = |allowed: &Vec<String>| allowed.contains(&number.to_string());
                match &self.allowed {
                    Some(allowed) if !listed(allowed) => {
                        Err(format!("must be one of {}", allowed.join(", ")))
                    }
                    _ if in_range => Ok(()),
                    _ => Err(format!("must be a whole number{}", self.range())),
                }
            }
            (ParameterType::String | ParameterType::Enum, Value::String(text)) => self.check_text(text),
            (ParameterType::List, Value::Array(items)) => items.iter().try_for_each(|item| match item {
                Value::String(text) => self.check_text(text),
                _ => Err("must be a list of strings".to_owned()),
            }),
            (ParameterType::Map, Value::Object(entries)) => {
                entries.values().try_for_each(|item| match item {
                    Value::String(text) => self.check_text(text),
                    _ => Err("must be a table of strings".to_owned()),
                })
            }
            _ => Err(format!("must be of type {:?}", self.kind).to_lowercase()),
        }
    }

    fn check_text(&self, text: &str) -> Result<(), String> {
        if let Some(allowed) = &self.allowed
            && !allowed.iter().any(|one| one == text)
        {
            return Err(format!("must be one of {}", allowed.join(", ")));
        }
        if let Some(pattern) = &self.pattern
            && whole(pattern).is_ok_and(|regex| !regex.is_match(text))
        {
            return Err(format!("must match {pattern}"));
        }
        Ok(())
    }

    fn range(&self) -> String {
        match (self.min, self.max) {
            (Some(min), Some(max)) => format!(" from {min} to {max}"),
            (Some(min), None) => format!(", at least {min}"),
            (None, Some(max)) => format!(", at most {max}"),
            (None, None) => String::new(),
        }
    }
}

fn whole(pattern: &str) -> Result<Regex, regex_lite::Error> {
    Regex::new(&format!("^(?:{pattern})$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters() -> BTreeMap<String, Parameter> {
        toml::from_str(
            r#"
            [count]
            type = "integer"
            description = "How many"
            default = 1
            min = 1
            max = 10
            [mode]
            type = "enum"
            description = "Which"
            default = "slow"
            allowed = ["slow", "fast"]
            [email]
            type = "string"
            description = "Whom to tell"
            optional = true
            pattern = ".+@.+"
            [owner]
            type = "string"
            description = "Whose it is"
            [labels]
            type = "map"
            description = "Labels"
            default = {}
            "#,
        )
        .unwrap()
    }

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, Given> {
        pairs
            .iter()
            .map(|(name, text)| ((*name).to_owned(), Given::flag(&format!("--{name}"), *text)))
            .collect()
    }

    #[test]
    fn every_invalid_value_is_reported() {
        let error = resolve(
            "demo",
            &parameters(),
            &given(&[
                ("count", "11"),
                ("mode", "quick"),
                ("email", "nobody"),
                ("colour", "red"),
            ]),
        )
        .unwrap_err();
        assert_eq!(error.exit(), ground::exit::Exit::Usage);
        insta::assert_snapshot!(error.chain().join("\n"), @r#"
        5 values are invalid
        --colour: template demo has no parameter colour
        --count is "11": must be a whole number from 1 to 10
        --email is "nobody": must match .+@.+
        --mode is "quick": must be one of slow, fast
        owner is missing (Whose it is): give it with --param owner=…
        "#);
    }

    #[test]
    fn values_have_an_origin() {
        let values = resolve(
            "demo",
            &parameters(),
            &given(&[("owner", "me"), ("labels", "a=1, b = two words")]),
        )
        .unwrap();
        assert_eq!(values.get("count"), Some(&Value::from(1)));
        assert_eq!(values.origin("count"), Some(Origin::Default));
        assert_eq!(values.origin("owner"), Some(Origin::Given));
        assert_eq!(values.get("labels").unwrap()["b"], "two words");
        assert_eq!(values.get("email"), Some(&Value::Null));
    }

    #[test]
    fn a_faulty_declaration_is_found() {
        let parameter: Parameter =
            toml::from_str("type = \"integer\"\ndescription = \"x\"\ndefault = 0\nmin = 1\npattern = \"(\"")
                .unwrap();
        assert_eq!(parameter.problems().len(), 2);
    }
}
