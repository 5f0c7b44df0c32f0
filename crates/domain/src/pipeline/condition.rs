//! Conditions on parameters: `when` in a manifest.
//!
//! `"name"` holds if the parameter is true or has a value, and `"!name"` if not. `"name=text"` and `"name!=text"` compare.
//! A list holds if all its conditions hold.

use serde::Deserialize;
use serde_json::Value;

use super::substitute::{Lookup, plain};

/// Tests that must all hold.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub struct Condition(Vec<Test>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Test {
    name: String,
    /// The expected value; `None` to test whether the parameter is true or has a value.
    equals: Option<String>,
    negated: bool,
}

impl TryFrom<Value> for Condition {
    type Error = String;

    fn try_from(value: Value) -> Result<Self, String> {
        Self::read(&value)
    }
}

impl Condition {
    /// Reads a string or a list of strings.
    ///
    /// # Errors
    /// The problem, as a sentence.
    pub fn read(value: &Value) -> Result<Self, String> {
        let test = |value: &Value| match value {
            Value::String(text) => Test::read(text),
            _ => Err("`when` must be a string or a list of strings".to_owned()),
        };
        match value {
            Value::Array(items) => items.iter().map(test).collect::<Result<_, _>>().map(Self),
            one => Ok(Self(vec![test(one)?])),
        }
    }

    /// The parameters that it refers to.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|test| test.name.as_str())
    }

    /// Whether it holds. An unknown name has no value.
    pub fn holds(&self, lookup: Lookup<'_>) -> bool {
        self.0.iter().all(|test| {
            let value = lookup(&test.name).map_or(Value::Null, |filled| filled.value);
            let holds = match &test.equals {
                Some(text) => plain(&value) == *text,
                None => is_on(&value),
            };
            holds != test.negated
        })
    }
}

impl Test {
    fn read(text: &str) -> Result<Self, String> {
        let (name, equals, negated) = if let Some((name, value)) = text.split_once("!=") {
            (name, Some(value), true)
        } else if let Some((name, value)) = text.split_once('=') {
            (name, Some(value), false)
        } else if let Some(name) = text.strip_prefix('!') {
            (name, None, true)
        } else {
            (text, None, false)
        };
        let name = name.trim();
        if name.is_empty() {
            return Err(format!("`when` is {text:?}, which names no parameter"));
        }
        Ok(Self {
            name: name.to_owned(),
            equals: equals.map(|value| value.trim().to_owned()),
            negated,
        })
    }
}

/// Whether a value is true or not empty.
fn is_on(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(entries) => !entries.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::substitute::Filled;
    use super::*;
    use serde_json::json;

    fn holds(condition: Value) -> bool {
        let lookup = |name: &str| {
            let value = match name {
                "alarms" => json!(true),
                "tracing" => json!(false),
                "email" => Value::Null,
                "key" => json!("alias/mine"),
                "count" => json!(0),
                "emails" => json!([]),
                _ => return None,
            };
            Some(Filled { value, origin: None })
        };
        Condition::read(&condition).unwrap().holds(&lookup)
    }

    #[test]
    fn conditions_depend_on_values() {
        for yes in [
            json!("alarms"),
            json!("!tracing"),
            json!("!email"),
            json!("!emails"),
            json!("count"),
            json!("key=alias/mine"),
            json!("key!=alias/aws/kinesis"),
            json!(["alarms", "count=0"]),
        ] {
            assert!(holds(yes.clone()), "{yes}");
        }
        for no in [
            json!("tracing"),
            json!("email"),
            json!("key=x"),
            json!(["alarms", "email"]),
        ] {
            assert!(!holds(no.clone()), "{no}");
        }
    }

    #[test]
    fn malformed_conditions_are_refused() {
        assert!(Condition::read(&json!(3)).is_err());
        assert!(Condition::read(&json!("=x")).is_err());
        assert!(Condition::read(&json!("!")).is_err());
    }
}
