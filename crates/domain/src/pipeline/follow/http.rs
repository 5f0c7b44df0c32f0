//! Requests of a web client: `verify` sends each one after the one before it was answered as expected. Values of answers,
//! such as the id of what was created, are kept for later requests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout_at};

use super::super::condition::Condition;
use super::super::resource::{Check, CheckState};
use super::super::substitute;
use super::run::BACKOFF;
use super::{Filler, Services};
use crate::context::{WebAnswer, WebRequest, without_query};
use ground::duration;
use ground::error::{Error, Result};
use ground::stop::Stop;

const METHODS: [&str; 6] = ["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"];
/// Limit of an answer, in bytes.
pub(super) const MOST_BYTES: usize = 8 << 20;
/// How long an answer is waited for that may be missing.
const SOON: Duration = Duration::from_secs(5);
/// Characters of an answer in a message.
const EXCERPT: usize = 200;
/// Enclose the name of a kept value until the value is known. Characters for private use: no manifest needs them.
const OPEN: char = '\u{f8f0}';
const CLOSE: char = '\u{f8f1}';

/// A section `[[verify.http]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Declared {
    /// What it shows, such as `products API`.
    name: String,
    pub(super) when: Option<Condition>,
    requests: Vec<DeclaredRequest>,
    /// What to do if a request is not answered as expected: a sentence. Then that is a caution and no fault, and is not waited
    /// for as long.
    caution: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct DeclaredRequest {
    method: String,
    url: String,
    /// The expected status.
    #[serde(default = "ok")]
    status: u16,
    /// Sent as JSON.
    body: Option<Value>,
    /// A body that is not JSON.
    body_base64: Option<String>,
    content_type: Option<String>,
    /// The JSON that is expected. An object may have more members.
    answer: Option<Value>,
    /// Names for members of the answer, such as `{ product = "id" }`: then `${product}` is the value in later requests.
    #[serde(default)]
    keep: BTreeMap<String, String>,
    /// Repeats the request until it is answered as expected.
    #[serde(default)]
    wait: bool,
}

fn ok() -> u16 {
    200
}

impl Declared {
    /// The names of kept values.
    pub(super) fn kept(&self) -> impl Iterator<Item = &str> {
        let keeps = self.requests.iter().flat_map(|request| request.keep.keys());
        keeps.map(String::as_str)
    }

    /// The values that may contain references.
    pub(super) fn values(&self) -> Vec<Value> {
        self.requests.iter().map(DeclaredRequest::value).collect()
    }

    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut kept: BTreeSet<&str> = BTreeSet::new();
        for one in &self.requests {
            let mut report = |problem: String| problems.push(format!("http {}: {problem}", self.name));
            if !METHODS.contains(&one.method.as_str()) {
                report(format!(
                    "{:?} is not a method; use {}",
                    one.method,
                    METHODS.join(", ")
                ));
            }
            if !(100..=599).contains(&one.status) {
                report("`status` must be from 100 to 599".to_owned());
            }
            if one.body.is_some() && one.body_base64.is_some() {
                report("a request has either `body` or `body_base64`".to_owned());
            }
            if one
                .body_base64
                .as_ref()
                .is_some_and(|text| decoded(text).is_none())
            {
                report("`body_base64` is not base64".to_owned());
            }
            let names = substitute::references(&one.value()).unwrap_or_default();
            let is_later = |name: &&String| {
                let is_kept = self.kept().any(|kept| kept == name.as_str());
                is_kept && !kept.contains(name.as_str())
            };
            if let Some(name) = names.iter().find(is_later) {
                report(format!("${{{name}}} is kept by a later request"));
            }
            kept.extend(one.keep.keys().map(String::as_str));
        }
        if self.requests.is_empty() {
            problems.push(format!("http {}: it has no requests", self.name));
        }
        problems
    }

    pub(super) fn filled(&self, filler: &Filler<'_, '_>) -> Result<Sequence> {
        let own: Vec<&str> = self.kept().collect();
        let placeholder = |name: &str| own.contains(&name).then(|| format!("{OPEN}{name}{CLOSE}"));
        self.filled_with(&|value| filler.value_with(value, &placeholder))
    }

    /// `fill` replaces all references, those to kept values by [`OPEN`], the name and [`CLOSE`].
    fn filled_with(&self, fill: &dyn Fn(&Value) -> Result<Value>) -> Result<Sequence> {
        let text = |text: &str| Ok::<_, Error>(substitute::plain(&fill(&text.into())?));
        let request = |one: &DeclaredRequest| {
            let body = match (&one.body, &one.body_base64) {
                (Some(value), _) => Body::Json(fill(value)?),
                (None, Some(encoded)) => Body::Bytes(decoded(encoded).unwrap_or_default()),
                (None, None) => Body::Bytes(Bytes::new()),
            };
            let json = matches!(body, Body::Json(_)).then(|| "application/json".to_owned());
            Ok(Request {
                method: one.method.clone(),
                url: text(&one.url)?,
                content_type: one.content_type.as_deref().map(text).transpose()?.or(json),
                body,
                status: one.status,
                answer: one.answer.as_ref().map(fill).transpose()?,
                keep: one.keep.clone(),
                wait: one.wait,
            })
        };
        Ok(Sequence {
            name: self.name.clone(),
            requests: self.requests.iter().map(request).collect::<Result<_>>()?,
            caution: self.caution.clone(),
        })
    }
}

impl DeclaredRequest {
    /// What may contain references.
    fn value(&self) -> Value {
        json!([self.url, self.body, self.content_type, self.answer])
    }
}

fn decoded(base64: &str) -> Option<Bytes> {
    let bytes = base64_simd::STANDARD.decode_to_vec(base64).ok()?;
    Some(bytes.into())
}

/// Requests, sent one after another.
#[derive(Debug, Clone, PartialEq)]
pub struct Sequence {
    pub name: String,
    pub requests: Vec<Request>,
    /// What to do if one is not answered as expected; `None` makes that a fault.
    pub caution: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    pub method: String,
    pub url: String,
    pub content_type: Option<String>,
    pub body: Body,
    /// The expected status.
    pub status: u16,
    /// The JSON that is expected.
    pub answer: Option<Value>,
    /// Names for members of the answer.
    pub keep: BTreeMap<String, String>,
    /// Whether it is repeated until it is answered as expected.
    pub wait: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    Json(Value),
    Bytes(Bytes),
}

/// Values of answers, by name.
type Kept = BTreeMap<String, Value>;

impl Sequence {
    /// Sends the requests, until one is not answered as expected within `limit`, or until a stop.
    pub(super) async fn run(&self, services: &dyn Services, limit: Duration, stop: &Stop) -> Check {
        let begun = Instant::now();
        let limit = match self.caution {
            Some(_) => limit.min(SOON),
            None => limit,
        };
        let mut kept = Kept::new();
        for (done, request) in self.requests.iter().enumerate() {
            let answered = request.answered(services, &mut kept, begun + limit, stop);
            let result = answered.await;
            if stop.is_set() {
                let detail = format!("stopped after {} of {} requests", done + 1, self.requests.len());
                return Check::new(CheckState::Caution, &self.name, detail);
            }
            if let Err(problem) = result {
                let later = match self.requests.len() - done - 1 {
                    0 => String::new(),
                    n => format!("; {n} more were not sent"),
                };
                let (state, hint) = match &self.caution {
                    Some(hint) => (CheckState::Caution, hint.as_str()),
                    None => (CheckState::Fault, "`streamctl logs FUNCTION` may show the cause"),
                };
                return Check::new(state, &self.name, format!("{problem}{later}; {hint}"));
            }
        }
        let took = duration::measured(begun.elapsed());
        let detail = format!("{} requests answered, after {took}", self.requests.len());
        Check::new(CheckState::Good, &self.name, detail)
    }
}

impl Request {
    /// Sends it until it is answered as expected, or once. The error is a sentence without a full stop.
    async fn answered(
        &self,
        services: &dyn Services,
        kept: &mut Kept,
        deadline: Instant,
        stop: &Stop,
    ) -> Result<(), String> {
        let sent = self.with(kept);
        let shown = format!("{} {}", sent.method, without_query(&sent.url));
        let mut pauses = BACKOFF.pauses();
        // What the last answer said tells more than that the next one did not come in time.
        let mut before = None;
        loop {
            let problem = match timeout_at(deadline, services.send(&sent)).await {
                Ok(Ok(answer)) => match self.accept(&answer, kept) {
                    Ok(()) => return Ok(()),
                    Err(problem) => format!("{shown} {problem}"),
                },
                Ok(Err(error)) => error.chain().join(": "),
                Err(_) => before.unwrap_or_else(|| format!("{shown} was not answered in time")),
            };
            match pauses.advance_until(deadline).filter(|_| self.wait) {
                Some(pause) => tokio::select! {
                    () = sleep(pause) => before = Some(problem),
                    () = stop.wait() => return Err(problem),
                },
                None => return Err(problem),
            }
        }
    }

    /// The request with the values that are kept.
    fn with(&self, kept: &Kept) -> WebRequest {
        let fill = |text: &str| with_kept(text, kept);
        WebRequest {
            method: self.method.clone(),
            url: fill(&self.url),
            content_type: self.content_type.as_deref().map(fill),
            body: match &self.body {
                Body::Json(value) => value_with_kept(value, kept).to_string().into(),
                Body::Bytes(bytes) => bytes.clone(),
            },
        }
    }

    /// Keeps values of the answer if it is as expected. The error says what it is instead.
    fn accept(&self, answer: &WebAnswer, kept: &mut Kept) -> Result<(), String> {
        let excerpt = || {
            let text = String::from_utf8_lossy(&answer.body);
            let shown: String = text.chars().take(EXCERPT).collect();
            match shown.is_empty() {
                true => format!("answered {}", answer.status),
                false => format!("answered {} {shown}", answer.status),
            }
        };
        if answer.status != self.status {
            return Err(format!("{}, expected {}", excerpt(), self.status));
        }
        if self.answer.is_none() && self.keep.is_empty() {
            return Ok(());
        }
        let json: Value =
            serde_json::from_slice(&answer.body).map_err(|_| format!("{}, expected JSON", excerpt()))?;
        if let Some(expected) = self.answer.as_ref().map(|one| value_with_kept(one, kept))
            && !contains(&json, &expected)
        {
            return Err(format!("{}, expected {expected}", excerpt()));
        }
        for (name, member) in &self.keep {
            let value = json
                .get(member)
                .filter(|value| !substitute::plain(value).is_empty());
            let value = value.ok_or_else(|| format!("{}, expected a member {member}", excerpt()))?;
            kept.insert(name.clone(), value.clone());
        }
        Ok(())
    }
}

/// `text` with kept values in the place of their names.
fn with_kept(text: &str, kept: &Kept) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, (name, after))) = rest
        .split_once(OPEN)
        .and_then(|(before, inner)| Some((before, inner.split_once(CLOSE)?)))
    {
        filled.push_str(before);
        filled.push_str(&kept.get(name).map(substitute::plain).unwrap_or_default());
        rest = after;
    }
    filled.push_str(rest);
    filled
}

fn value_with_kept(value: &Value, kept: &Kept) -> Value {
    match value {
        Value::String(text) => with_kept(text, kept).into(),
        Value::Array(items) => items.iter().map(|item| value_with_kept(item, kept)).collect(),
        Value::Object(entries) => {
            let entries = entries.iter();
            let filled = entries.map(|(key, item)| (key.clone(), value_with_kept(item, kept)));
            filled.collect::<serde_json::Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// Whether `actual` has all that `expected` has. Numbers are compared by value.
fn contains(actual: &Value, expected: &Value) -> bool {
    match (actual, expected) {
        (Value::Object(actual), Value::Object(expected)) => expected
            .iter()
            .all(|(name, value)| actual.get(name).is_some_and(|one| contains(one, value))),
        (Value::Array(actual), Value::Array(expected)) => {
            actual.len() == expected.len()
                && actual
                    .iter()
                    .zip(expected)
                    .all(|(one, other)| contains(one, other))
        }
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (one, other) => one == other,
    }
}

#[cfg(test)]
mod tests;
