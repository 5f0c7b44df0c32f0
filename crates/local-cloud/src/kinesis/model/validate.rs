//! Checks an input against its constraints and words the failures as AWS does, all of them at once.

use std::collections::BTreeMap;

use super::input::Target;
use super::rule::{self, Rule};
use super::value::{Blob, Timestamp};
use crate::kinesis::error::{ApiError, Result};

/// AWS names at most this many failures in one answer.
const MOST_FAILURES: usize = 10;
/// The longest value that a message repeats, in characters: a body may be one value of 16 MiB.
const MOST_SHOWN: usize = 4096;

/// An operation's input: knows its fields and their rules.
pub trait Input {
    /// Adds every broken constraint to `check`. `path` is where the value sits, empty at the top.
    fn check(&self, path: &str, check: &mut Check);
}

/// Collects broken constraints.
#[derive(Debug, Default)]
pub struct Check {
    failures: Vec<String>,
}

impl Check {
    /// Checks `input`.
    ///
    /// # Errors
    /// `ValidationException`, naming every broken constraint.
    pub fn run(input: &impl Input) -> Result<()> {
        let mut check = Self::default();
        input.check("", &mut check);
        check.finish()
    }

    /// The outcome of all checks so far.
    ///
    /// # Errors
    /// `ValidationException`, naming every broken constraint.
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

    /// Checks one field. `name` is the member's name on the wire.
    pub fn field<T: Checked>(
        &mut self,
        path: &str,
        name: &str,
        value: &Option<T>,
        required: bool,
        rule: &Rule,
    ) {
        let place = place(path, name);
        match value {
            Some(value) => value.check(&place, rule, self),
            None if required => self.fail(None, &place, "Member must not be null"),
            None => {}
        }
    }

    /// Adds a failure of the value shown as `value` at `place`.
    pub fn fail(&mut self, value: Option<&str>, place: &str, constraint: &str) {
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
            "Value {shown} at '{place}' failed to satisfy constraint: {constraint}"
        ));
    }

    /// Checks text that is only borrowed.
    pub fn text(&mut self, text: &str, rule: &Rule, place: &str) {
        let Rule::Length { min, max, pattern } = rule else {
            return;
        };
        if let Some(pattern) = pattern
            && !(pattern.matches)(text)
        {
            let constraint = format!("Member must satisfy regular expression pattern: {}", pattern.text);
            self.fail(Some(text), place, &constraint);
        }
        self.length(text.chars().count(), *min, *max, &|| text.to_owned(), place);
    }

    /// Checks the length of a blob.
    pub fn blob(&mut self, len: usize, rule: &Rule, place: &str) {
        if let Rule::Length { min, max, .. } = rule {
            self.length(
                len,
                *min,
                *max,
                &|| format!("java.nio.HeapByteBuffer[pos=0 lim={len} cap={len}]"),
                place,
            );
        }
    }

    /// Checks the number of a list's members. The list itself is not shown: it may be long.
    pub fn count(&mut self, len: usize, rule: &Rule, place: &str) {
        let Rule::List { min, max, .. } = rule else { return };
        if len < *min {
            self.fail_unseen(
                place,
                &format!("Member must have length greater than or equal to {min}"),
            );
        } else if len > *max {
            self.fail_unseen(
                place,
                &format!("Member must have length less than or equal to {max}"),
            );
        }
    }

    /// A record that the stream's own limit refuses.
    pub fn oversized(&mut self, place: &str, largest: usize) {
        self.fail_unseen(
            place,
            &format!("Member must have length less than or equal to {largest}"),
        );
    }

    /// Adds a failure of a value that is too large to be shown, as AWS leaves it out.
    fn fail_unseen(&mut self, place: &str, constraint: &str) {
        if self.failures.len() < MOST_FAILURES {
            self.failures.push(format!(
                "Value at '{place}' failed to satisfy constraint: {constraint}"
            ));
        }
    }

    /// Checks how a request names its stream.
    pub fn target(&mut self, target: &Target<'_>) {
        let named = [
            (target.name, &rule::NAME, "streamName"),
            (target.arn, &rule::STREAM_ARN, "streamARN"),
            (target.id, &rule::STREAM_ID, "streamId"),
        ];
        for (value, rule, place) in named {
            if let Some(value) = value {
                self.text(value, rule, place);
            }
        }
    }

    fn length(&mut self, len: usize, min: usize, max: usize, shown: &dyn Fn() -> String, place: &str) {
        if len < min {
            let text = format!("Member must have length greater than or equal to {min}");
            self.fail(Some(&shown()), place, &text);
        } else if len > max {
            let text = format!("Member must have length less than or equal to {max}");
            self.fail(Some(&shown()), place, &text);
        }
    }
}

/// The dotted place of the member `name` under `path`, its first letter lowered as AWS does.
pub fn place(path: &str, name: &str) -> String {
    let mut chars = name.chars();
    let first = chars.next().map(|c| c.to_ascii_lowercase());
    let lowered: String = first.into_iter().chain(chars).collect();
    if path.is_empty() {
        lowered
    } else {
        format!("{path}.{lowered}")
    }
}

/// A value that can be held against a rule.
pub trait Checked {
    /// Adds what `self` breaks of `rule`.
    fn check(&self, place: &str, rule: &Rule, check: &mut Check);
}

impl Checked for String {
    fn check(&self, place: &str, rule: &Rule, check: &mut Check) {
        match rule {
            Rule::Length { .. } => check.text(self, rule, place),
            Rule::OneOf(words) if !words.contains(&self.as_str()) => {
                let text = format!("Member must satisfy enum value set: [{}]", words.join(", "));
                check.fail(Some(self), place, &text);
            }
            _ => {}
        }
    }
}

impl Checked for i64 {
    fn check(&self, place: &str, rule: &Rule, check: &mut Check) {
        let Rule::Range { min, max } = rule else { return };
        if self < min {
            let text = format!("Member must have value greater than or equal to {min}");
            check.fail(Some(&self.to_string()), place, &text);
        } else if let Some(max) = max.filter(|max| self > max) {
            let text = format!("Member must have value less than or equal to {max}");
            check.fail(Some(&self.to_string()), place, &text);
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
    fn check(&self, place: &str, rule: &Rule, check: &mut Check) {
        check.blob(self.0.len(), rule, place);
    }
}

impl Checked for Vec<String> {
    fn check(&self, place: &str, rule: &Rule, check: &mut Check) {
        let Rule::List { min, max, member } = rule else {
            return;
        };
        check.length(
            self.len(),
            *min,
            *max,
            &|| format!("[{}]", self.join(", ")),
            place,
        );
        for (index, item) in self.iter().enumerate() {
            item.check(&format!("{place}.{}.member", index + 1), member, check);
        }
    }
}

impl Checked for BTreeMap<String, Option<String>> {
    fn check(&self, place: &str, rule: &Rule, check: &mut Check) {
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
        check.length(self.len(), *min, *max, &shown, place);
        let fits = |text: &str, (min, max): (usize, usize)| (min..=max).contains(&text.chars().count());
        if !self.keys().all(|k| fits(k, *key)) {
            check.fail(
                Some(&shown()),
                place,
                &format!("Map keys must satisfy constraint: {}", lengths(*key)),
            );
        }
        if !self.values().flatten().all(|v| fits(v, *value)) {
            check.fail(
                Some(&shown()),
                place,
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

/// A structure inside an input.
impl<T: Input> Checked for T {
    fn check(&self, place: &str, _: &Rule, check: &mut Check) {
        Input::check(self, place, check);
    }
}

/// A list of structures.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(transparent)]
pub struct Items<T>(pub Vec<T>);

impl<T: Input> Checked for Items<T> {
    fn check(&self, place: &str, rule: &Rule, check: &mut Check) {
        check.count(self.0.len(), rule, place);
        for (index, item) in self.0.iter().enumerate() {
            Input::check(item, &format!("{place}.{}.member", index + 1), check);
        }
    }
}
