//! Mapping of requests and responses: templates, and parameters.
//!
//! Source: "Mapping template transformations for REST APIs" and "Parameter mapping for REST APIs", API Gateway developer guide.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{HeaderMap, Uri};
use mapping_template::{Error, Pairs, Rendered, Scope, Template};
use serde_json::Value;

use super::check::is_static;
use crate::json;
use crate::query::pairs;

/// What a template can refer to, without the body.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    pub path: Pairs,
    pub querystring: Pairs,
    pub headers: Pairs,
    pub context: Value,
    pub stage: Pairs,
}

/// Why a body was not mapped.
#[derive(Debug)]
pub(super) enum NotMapped {
    /// The body has more values than may be in memory.
    TooLarge,
    Failed(Error),
}

impl Variables {
    /// Those of a request. The last of several values counts. Headers have the usual case, which HTTP/2 does not keep.
    pub fn of(headers: &HeaderMap, uri: &Uri, path: &BTreeMap<String, String>, context: Value) -> Self {
        let headers = headers.iter().filter_map(|(name, value)| {
            let value = value.to_str().ok()?;
            Some((title(name.as_str()), value.to_owned()))
        });
        Self {
            path: path
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect(),
            querystring: last(pairs(uri.query().unwrap_or_default().as_bytes())),
            headers: last(headers),
            context,
            stage: Pairs::new(),
        }
    }

    /// Renders a template on a thread of its own, with a permit for the memory of the values in the body.
    pub async fn render(&self, template: &str, body: &Bytes) -> Result<Rendered, NotMapped> {
        let _permit = json::admit(body).await.map_err(|_| NotMapped::TooLarge)?;
        let (template, body, variables) = (template.to_owned(), body.clone(), self.clone());
        let work = move || {
            let text = String::from_utf8_lossy(&body);
            let context = variables.context.to_string();
            let scope = Scope {
                body: &text,
                path: variables.path,
                querystring: variables.querystring,
                headers: variables.headers,
                context: &context,
                stage_variables: variables.stage,
            };
            Template::parse(&template)?.render(&scope)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result.map_err(NotMapped::Failed),
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The local cloud is stopping.
                Err(_) => Err(NotMapped::TooLarge),
            },
        }
    }

    /// The value of a mapping expression, such as `'*'` or `context.requestId`.
    pub fn value(&self, source: &str) -> Option<String> {
        if is_static(source) {
            return Some(source[1..source.len() - 1].to_owned());
        }
        let find = |all: &Pairs, name: &str| {
            let mut all = all.iter();
            all.find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        if let Some(name) = source.strip_prefix("stageVariables.") {
            return find(&self.stage, name);
        }
        if let Some(path) = source.strip_prefix("context.") {
            let found = path
                .split('.')
                .try_fold(&self.context, |value, name| value.get(name))?;
            return text(found);
        }
        let (place, name) = source.strip_prefix("method.request.")?.split_once('.')?;
        match place {
            "header" => find(&self.headers, name),
            "path" => find(&self.path, name),
            _ => find(&self.querystring, name),
        }
    }
}

/// `x-request-id` as `X-Request-Id`.
fn title(name: &str) -> String {
    let mut title = String::with_capacity(name.len());
    for part in name.split_inclusive('-') {
        let (first, rest) = part.split_at(part.len().min(1));
        title.push_str(&first.to_ascii_uppercase());
        title.push_str(rest);
    }
    title
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn last(all: impl Iterator<Item = (String, String)>) -> Pairs {
    let mut kept = Pairs::new();
    for (name, value) in all {
        match kept.iter_mut().find(|(key, _)| *key == name) {
            Some((_, there)) => *there = value,
            None => kept.push((name, value)),
        }
    }
    kept
}
