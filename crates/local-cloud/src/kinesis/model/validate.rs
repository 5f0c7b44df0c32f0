//! Checks an input against its constraints and reports all failures in AWS's wording.

use std::collections::BTreeMap;

use super::rule::{self, Rule};
use super::value::{Blob, Timestamp};
use crate::kinesis::error::{ApiError, Result};

/// AWS reports at most this many failures in one answer.
const MOST_FAILURES: usize = 10;
/// The longest value that a message repeats, in characters. A value may be 16 MiB long.
const MOST_SHOWN: usize = 4096;

pub trait Input {
    /// Adds each broken constraint to `check`. `path` is the path of this value, empty for the input itself.
    fn check(&self, path: &str, check: &mut Check);
}

/// Collects broken constraints.
#[derive(Debug, Default)]
pub struct Check {
    failures: Vec<String>,
}

/// How a request identifies a stream.
#[derive(Debug, Clone, Copy, Default)]
pub struct Target<'a> {
    pub name: Option<&'a str>,
    pub arn: Option<&'a str>,
    pub id: Option<&'a str>,
}

impl Check {
    /// # Errors
    /// `ValidationException`, naming each broken constraint.
    pub fn run(input: &impl Input) -> Result<()> {
        let mut check = Self::default();
        input.check("", &mut check);
        check.finish()
    }

    /// # Errors
    /// `ValidationException`, naming each broken constraint.
    pub fn finish(self) -> Result<()> {
        if self.failures.is_empty() {
            return Ok(());
        }
        let count = self.failures.len();
        let plural = if count == 1 { "" } else { "s" };
        let list = self.failures.join("; ");
        Err(ApiError::validation(format!(
            "{count} validation error{plural} detected: {list}"
        )))
    }

    /// Checks one field. `name` is its name on the wire.
    pub fn field<T: Checked>(
        &mut self,
        path: &str,
        name: &str,
        value: &Option<T>,
        required: bool,
        rule: &Rule,
    ) {
        let path = member_path(path, name);
        match value {
            Some(value) => value.check(&path, rule, self),
            None if required => self.fail(None, &path, "Member must not be null"),
            None => {}
        }
    }

    /// Adds a failure at `path`. `value` is shown in the message.
    pub fn fail(&mut self, value: Option<&str>, path: &str, constraint: &str) {
        if self.failures.len() == MOST_FAILURES {
            return;
        }
        let shown = value.map_or_else(
            || "null".to_owned(),
            |value| match value.char_indices().nth(MOST_SHOWN) {
                Some((end, _)) => format!("'{}…'", &value[..end]),
                None => format!("'{value}'"),
            },
        );
        self.failures.push(format!(
            "Value {shown} at '{path}' failed to satisfy constraint: {constraint}"
        ));
    }

    pub fn text(&mut self, text: &str, rule: &Rule, path: &str) {
        let Rule::Length { min, max, pattern } = rule else {
            return;
        };
        if let Some(pattern) = pattern
            && !(pattern.matches)(text)
        {
            let constraint = format!("Member must satisfy regular expression pattern: {}", pattern.text);
            self.fail(Some(text), path, &constraint);
        }
        self.length(text.chars().count(), *min, *max, &|| text.to_owned(), path);
    }

    pub fn blob(&mut self, len: usize, rule: &Rule, path: &str) {
        if let Rule::Length { min, max, .. } = rule {
            self.length(
                len,
                *min,
                *max,
                &|| format!("java.nio.HeapByteBuffer[pos=0 lim={len} cap={len}]"),
                path,
            );
        }
    }

    /// Checks the number of members. The message does not show the list: it may be long.
    pub fn count(&mut self, len: usize, rule: &Rule, path: &str) {
        let Rule::List { min, max, .. } = rule else { return };
        if len < *min {
            self.fail_unseen(
                path,
                &format!("Member must have length greater than or equal to {min}"),
            );
        } else if len > *max {
            self.fail_unseen(
                path,
                &format!("Member must have length less than or equal to {max}"),
            );
        }
    }

    /// Adds a failure for a record above the stream's size limit.
    pub fn oversized(&mut self, path: &str, largest: usize) {
        self.fail_unseen(
            path,
            &format!("Member must have length less than or equal to {largest}"),
        );
    }

    /// Adds a failure whose value is too large to show. AWS omits it too.
    fn fail_unseen(&mut self, path: &str, constraint: &str) {
        if self.failures.len() < MOST_FAILURES {
            self.failures.push(format!(
                "Value at '{path}' failed to satisfy constraint: {constraint}"
            ));
        }
    }

    /// Checks how a request identifies its stream.
    pub fn target(&mut self, target: &Target<'_>) {
        let named = [
            (target.name, &rule::NAME, "streamName"),
            (target.arn, &rule::STREAM_ARN, "streamARN"),
            (target.id, &rule::STREAM_ID, "streamId"),
        ];
        for (value, rule, path) in named {
            if let Some(value) = value {
                self.text(value, rule, path);
            }
        }
    }

    fn length(&mut self, len: usize, min: usize, max: usize, shown: &dyn Fn() -> String, path: &str) {
        if len < min {
            let text = format!("Member must have length greater than or equal to {min}");
            self.fail(Some(&shown()), path, &text);
        } else if len > max {
            let text = format!("Member must have length less than or equal to {max}");
            self.fail(Some(&shown()), path, &text);
        }
    }
}

/// The dotted path of the member `name` under `path`. AWS lowers its first letter.
pub fn member_path(path: &str, name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    let lowered: String = first.into_iter().chain(chars).collect();
    if path.is_empty() {
        lowered
    } else {
        format!("{path}.{lowered}")
    }
}

/// A value that a rule can check.
pub trait Checked {
    /// Adds each failure of `self` against `rule`.
    fn check(&self, path: &str, rule: &Rule, check: &mut Check);
}

impl Checked for String {
    fn check(&self, path: &str, rule: &Rule, check: &mut Check) {
        match rule {
            Rule::Length { .. } => check.text(self, rule, path),
            Rule::OneOf(words) if !words.contains(&self.as_str()) => {
                let text = format!("Member must satisfy enum value set: [{}]", words.join(", "));
                check.fail(Some(self), path, &text);
            }
            _ => {}
        }
    }
}

impl Checked for i64 {
    fn check(&self, path: &str, rule: &Rule, check: &mut Check) {
        let Rule::Range { min, max } = rule else { return };
        if self < min {
            let text = format!("Member must have value greater than or equal to {min}");
            check.fail(Some(&self.to_string()), path, &text);
        } else if let Some(max) = max.filter(|max| self > max) {
            let text = format!("Member must have value less than or equal to {max}");
            check.fail(Some(&self.to_string()), path, &text);
        }
    }
}

impl Checked for bool {
    fn check(&self, _: &str, _: &Rule, _: &mut Check) {}
}

impl Checked for Timestamp {
    fn check(&self, _: &str, _: &Rule, _: &mut Check) {}
}

impl Checked for Blob {
    fn check(&self, path: &str, rule: &Rule, check: &mut Check) {
        check.blob(self.0.len(), rule, path);
    }
}

impl Checked for Vec<String> {
    fn check(&self, path: &str, rule: &Rule, check: &mut Check) {
        let Rule::List { min, max, member } = rule else {
            return;
        };
        check.length(self.len(), *min, *max, &|| format!("[{}]", self.join(", ")), path);
        for (index, item) in self.iter().enumerate() {
            item.check(&format!("{path}.{}.member", index + 1), member, check);
        }
    }
}

impl Checked for BTreeMap<String, Option<String>> {
    fn check(&self, path: &str, rule: &Rule, check: &mut Check) {
        let Rule::Map { min, max, key, value } = rule else {
            return;
        };
        let shown = || {
            let pairs: Vec<String> = self
                .iter()
                .map(|(k, v)| format!("{k}={}", v.as_deref().unwrap_or("null")))
                .collect();
            format!("{{{}}}", pairs.join(", "))
        };
        check.length(self.len(), *min, *max, &shown, path);
        let fits = |text: &str, (min, max): (usize, usize)| (min..=max).contains(&text.chars().count());
        if !self.keys().all(|k| fits(k, *key)) {
            check.fail(
                Some(&shown()),
                path,
                &format!("Map keys must satisfy constraint: {}", lengths(*key)),
            );
        }
        if !self.values().flatten().all(|v| fits(v, *value)) {
            check.fail(
                Some(&shown()),
                path,
                &format!("Map value must satisfy constraint: {}", lengths(*value)),
            );
        }
    }
}

fn lengths((min, max): (usize, usize)) -> String {
    format!(
        "[Member must have length less than or equal to {max}, Member must have length greater than or equal to {min}]"
    )
}

impl<T: Input> Checked for T {
    fn check(&self, path: &str, _: &Rule, check: &mut Check) {
        Input::check(self, path, check);
    }
}

#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(transparent)]
pub struct Items<T>(pub Vec<T>);

impl<T: Input> Checked for Items<T> {
    fn check(&self, path: &str, rule: &Rule, check: &mut Check) {
        check.count(self.0.len(), rule, path);
        for (index, item) in self.0.iter().enumerate() {
            Input::check(item, &format!("{path}.{}.member", index + 1), check);
        }
    }
}
