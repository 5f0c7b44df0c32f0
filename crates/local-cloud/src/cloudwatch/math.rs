//! Metric math: numbers, ids, lists, arithmetic, comparisons, `AND` and `OR`, and functions on time series.
//!
//! [`parse`] reads an expression, [`functions`] evaluates it. Source: "Using math expressions with CloudWatch metrics",
//! CloudWatch user guide. Functions that are not offered are rejected with an error that names them.

mod functions;
mod parse;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

pub(super) use parse::parse;

/// A time series.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Series {
    /// Value by start of the period in milliseconds.
    pub(super) points: BTreeMap<i64, f64>,
    /// Seconds.
    pub(super) period: i64,
}

/// Result of an expression.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Scalar(f64),
    Series(Series),
    Many(Vec<Series>),
}

/// Access to the queries of a request.
pub(super) trait Scope {
    /// The query with this id.
    fn lookup(&mut self, id: &str) -> Result<Value, String>;
    /// All queries for metrics (not expressions), by id.
    fn metrics(&mut self) -> Result<Vec<(String, Series)>, String>;
    /// Accounts for work on `points` points.
    ///
    /// # Errors
    /// If the request exceeds its limit.
    fn spend(&mut self, points: i64) -> Result<(), String>;
    /// Start and end of the request in milliseconds.
    fn range(&self) -> (i64, i64);
}

/// Evaluates the expression `text`.
///
/// # Errors
/// A sentence that names what is invalid or unsupported.
pub(super) fn evaluate(text: &str, scope: &mut dyn Scope) -> Result<Value, String> {
    functions::value(&parse(text)?, scope)
}
