//! Typed access to a request's members. The query protocol has only text, so text is accepted for every type.

use serde_json::{Map, Value};

use super::error::ApiError;

/// The members of one structure, and its path, such as `MetricData.member.1.`.
pub(super) struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    pub(super) fn of(map: &'a Map<String, Value>) -> Self {
        Self {
            map,
            path: String::new(),
        }
    }

    /// The full path of the member `name`.
    pub(super) fn path(&self, name: &str) -> String {
        format!("{}{name}", self.path)
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(super) fn invalid(&self, name: &str, value: impl std::fmt::Display) -> ApiError {
        ApiError::invalid(format!(
            "The value {value} for parameter {} is invalid.",
            self.path(name)
        ))
    }

    /// Text of at most `max` characters, without control characters.
    pub(super) fn text(&self, name: &str, max: usize) -> Result<Option<&'a str>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let text = value.as_str().ok_or_else(|| self.invalid(name, value))?;
        if text.is_empty() {
            return Err(ApiError::invalid(format!(
                "The parameter {} must not be empty.",
                self.path(name)
            )));
        }
        if text.chars().count() > max {
            let path = self.path(name);
            return Err(ApiError::invalid(format!(
                "The parameter {path} must be shorter than {} characters.",
                max + 1
            )));
        }
        if text.chars().any(char::is_control) {
            return Err(self.invalid(name, text.escape_debug()));
        }
        Ok(Some(text))
    }

    /// As [`Fields::text`], and empty text is valid.
    pub(super) fn text_or_empty(&self, name: &str, max: usize) -> Result<Option<&'a str>, ApiError> {
        match self.is_empty_text(name) {
            true => Ok(Some("")),
            false => self.text(name, max),
        }
    }

    pub(super) fn need_text(&self, name: &str, max: usize) -> Result<&'a str, ApiError> {
        self.text(name, max)?
            .ok_or_else(|| ApiError::missing(&self.path(name)))
    }

    /// Text of any length with any characters.
    pub(super) fn need_body(&self, name: &str) -> Result<&'a str, ApiError> {
        let value = self
            .get(name)
            .ok_or_else(|| ApiError::missing(&self.path(name)))?;
        value.as_str().ok_or_else(|| self.invalid(name, value))
    }

    /// Whether the member is present and empty.
    pub(super) fn is_empty_text(&self, name: &str) -> bool {
        self.get(name).and_then(Value::as_str) == Some("")
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<f64>, ApiError> {
        self.get(name)
            .map(|value| number(value).ok_or_else(|| self.invalid(name, value)))
            .transpose()
    }

    /// An integer.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(number) = self.number(name)? else {
            return Ok(None);
        };
        if number.fract() != 0.0 || number.abs() > 1e15 {
            return Err(self.invalid(name, number));
        }
        #[allow(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
        Ok(Some(number as i64))
    }

    /// A time in milliseconds since the Unix epoch, from seconds or ISO 8601.
    pub(super) fn time(&self, name: &str) -> Result<Option<i64>, ApiError> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        if let Some(seconds) = number(value) {
            if !seconds.is_finite() || seconds.abs() > 1e11 {
                return Err(self.invalid(name, value));
            }
            #[allow(clippy::cast_possible_truncation, reason = "bounded above")]
            return Ok(Some((seconds * 1000.0).round() as i64));
        }
        let parsed = value
            .as_str()
            .and_then(|text| text.parse::<jiff::Timestamp>().ok());
        parsed.map_or_else(
            || {
                Err(ApiError::invalid(format!(
                    "The parameter {} must be an ISO 8601 time.",
                    self.path(name)
                )))
            },
            |time| Ok(Some(time.as_millisecond())),
        )
    }

    pub(super) fn need_time(&self, name: &str) -> Result<i64, ApiError> {
        self.time(name)?
            .ok_or_else(|| ApiError::missing(&self.path(name)))
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, ApiError> {
        self.get(name)
            .map(|value| match value {
                Value::Bool(flag) => Ok(*flag),
                Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
                Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
                other => Err(self.invalid(name, other)),
            })
            .transpose()
    }

    fn items(&self, name: &str) -> Result<&'a [Value], ApiError> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            // The query protocol writes an empty list like this.
            Some(Value::String(text)) if text.is_empty() => Ok(&[]),
            Some(other) => Err(self.invalid(name, other)),
        }
    }

    /// A list of at most `max` structures.
    pub(super) fn list(&self, name: &str, max: usize) -> Result<Vec<Fields<'a>>, ApiError> {
        let items = self.items(name)?;
        self.bound(name, items, max)?;
        let fields = items.iter().enumerate().map(|(index, item)| {
            let path = format!("{}.member.{}", self.path(name), index + 1);
            match item {
                Value::Object(map) => Ok(Fields {
                    map,
                    path: format!("{path}."),
                }),
                other => Err(ApiError::invalid(format!(
                    "The value {other} for parameter {path} is invalid."
                ))),
            }
        });
        fields.collect()
    }

    pub(super) fn structure(&self, name: &str) -> Result<Option<Fields<'a>>, ApiError> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(map)) => Ok(Some(Fields {
                map,
                path: format!("{}.", self.path(name)),
            })),
            Some(other) => Err(self.invalid(name, other)),
        }
    }

    /// A list of at most `max` numbers.
    pub(super) fn numbers(&self, name: &str, max: usize) -> Result<Vec<f64>, ApiError> {
        let items = self.items(name)?;
        self.bound(name, items, max)?;
        items
            .iter()
            .map(|item| number(item).ok_or_else(|| self.invalid(name, item)))
            .collect()
    }

    /// A list of at most `max` strings.
    pub(super) fn words(&self, name: &str, max: usize) -> Result<Vec<&'a str>, ApiError> {
        let items = self.items(name)?;
        self.bound(name, items, max)?;
        items
            .iter()
            .map(|item| item.as_str().ok_or_else(|| self.invalid(name, item)))
            .collect()
    }

    fn bound(&self, name: &str, items: &[Value], max: usize) -> Result<(), ApiError> {
        if items.len() > max {
            let path = self.path(name);
            return Err(ApiError::invalid(format!(
                "The collection {path} must not have a size greater than {max}."
            )));
        }
        Ok(())
    }

    pub(super) fn dimensions(&self, max: usize) -> Result<Vec<(String, String)>, ApiError> {
        let mut all: Vec<(String, String)> = Vec::new();
        for dimension in self.list("Dimensions", max)? {
            let (name, value) = (
                dimension.need_text("Name", 255)?,
                dimension.need_text("Value", 1024)?,
            );
            if name.starts_with(':') {
                return Err(dimension.invalid("Name", name));
            }
            if all.iter().any(|(known, _)| known == name) {
                return Err(dimension.invalid("Name", name));
            }
            all.push((name.to_owned(), value.to_owned()));
        }
        Ok(all)
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}
