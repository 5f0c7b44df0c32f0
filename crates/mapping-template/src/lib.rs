//! The mapping templates of API Gateway: the Velocity Template Language over JSON, as REST APIs use it between a method and
//! its integration.
//!
//! [`Template::parse`] reads a template once; [`Template::render`] renders it for a [`Scope`]: the body and the parameters
//! of a request, `$context` and `$stageVariables`. Numbers keep the digits that were sent. What a template may use is
//! bounded in steps, memory and output, so that no template can hold a thread or exhaust the memory. This crate knows neither
//! HTTP nor API Gateway's API.
//!
//! Sources: "Variables for data transformations for API Gateway" and "Mapping template overrides", API Gateway developer
//! guide; "Velocity User Guide", Apache Velocity Engine 1.7, whose syntax API Gateway documents as its own.
//!
//! Not offered, and refused with an error: `#macro`, `#parse`, `#include`, `#define`, `#evaluate`, filters in JSONPath, and
//! lookaround in regular expressions.

mod ast;
mod builtin;
mod java;
mod json;
mod methods;
mod parse;
mod path;
mod render;
#[cfg(test)]
mod tests;
mod value;

/// The largest template, in bytes. Source: "Quotas for configuring and running a REST API in API Gateway", API Gateway
/// developer guide: 300 KB.
pub const MAX_TEMPLATE: usize = 300 * 1024;
/// The largest output, in bytes: that of a payload. Source: as for [`MAX_TEMPLATE`].
const MAX_OUTPUT: usize = 10 << 20;
/// Iterations of one loop. Source: as for [`MAX_TEMPLATE`].
const MAX_ITERATIONS: usize = 1_000;
/// Nodes and calls that are evaluated.
const MAX_STEPS: u64 = 500_000;
/// Bytes of all values that a rendering makes.
const MAX_MEMORY: usize = 128 << 20;
/// Expressions in one another, and lists and maps in one another.
const MAX_DEPTH: usize = 64;

/// What is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The template.
    Template,
    /// The body is not JSON, and the template looks into it.
    Body,
}

/// An error, and where in the template it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    pub kind: ErrorKind,
    /// Counted from 1.
    pub line: usize,
    /// In characters, counted from 1.
    pub column: usize,
    pub message: String,
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            line,
            column,
            message,
            ..
        } = self;
        write!(f, "line {line}, column {column}: {message}")
    }
}

impl std::error::Error for Error {}

pub type Result<T> = std::result::Result<T, Error>;

/// A template that was read.
#[derive(Debug)]
pub struct Template {
    text: String,
    nodes: Vec<ast::Node>,
}

/// Names and values, in the order of the request.
pub type Pairs = Vec<(String, String)>;

/// What a template can refer to.
#[derive(Debug, Default)]
pub struct Scope<'a> {
    /// `$input.body`. An empty body is `{}` there.
    pub body: &'a str,
    /// `$input.params()`: those of the path, of the query string, and headers.
    pub path: Pairs,
    pub querystring: Pairs,
    pub headers: Pairs,
    /// `$context` as a JSON object.
    pub context: &'a str,
    pub stage_variables: Pairs,
}

/// The result of a rendering.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    pub text: String,
    /// `$context.responseOverride.status`, if the template sets a status from 100 to 599.
    pub status: Option<u16>,
    /// `$context.responseOverride.header`.
    pub headers: Pairs,
    /// Whether the template sets something below `$context.requestOverride`.
    pub overrides_request: bool,
}

impl Template {
    /// Reads a template.
    ///
    /// # Errors
    /// If it is longer than [`MAX_TEMPLATE`], or its syntax is not valid.
    pub fn parse(text: &str) -> Result<Self> {
        if text.len() > MAX_TEMPLATE {
            return Err(Error {
                kind: ErrorKind::Template,
                line: 1,
                column: 1,
                message: format!("the template has more than {MAX_TEMPLATE} bytes"),
            });
        }
        Ok(Self {
            text: text.to_owned(),
            nodes: parse::template(text)?,
        })
    }

    /// Renders the template.
    ///
    /// # Errors
    /// If the template needs more steps, memory or output than allowed, calls what does not exist, or looks into a body that
    /// is not JSON.
    pub fn render(&self, scope: &Scope<'_>) -> Result<Rendered> {
        render::Renderer::run(&self.text, &self.nodes, scope)
    }

    /// The text that was parsed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The error at the byte `at` of `text`.
fn error_at(text: &str, at: usize, kind: ErrorKind, message: impl Into<String>) -> Error {
    let mut end = at.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Error {
        kind,
        line: before.bytes().filter(|b| *b == b'\n').count() + 1,
        column: before[start..].chars().count() + 1,
        message: message.into(),
    }
}
