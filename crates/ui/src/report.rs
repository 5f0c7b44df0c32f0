//! The result of a command, in all output formats.

use ground::error::{Error, Result};
use serde::Serialize;
use serde_json::Value;

use super::Style;

/// The format of reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: tables and sentences.
    #[default]
    Table,
    /// One JSON document (streaming commands: one JSON object a line).
    Json,
    /// One YAML document.
    Yaml,
    /// Tab-separated values without headings, for cut and awk.
    Text,
    /// Comma-separated values with a heading, for spreadsheets. Only some commands write it.
    Csv,
    /// The bytes of records. Only `tail` writes it.
    Raw,
}

/// The result of a command. Its `Serialize` form is a stable contract with scripts.
pub trait Report: Serialize {
    /// The form for people.
    fn table(&self, style: &Style) -> String;

    /// Lines of tab-separated values, without headings.
    fn text(&self) -> String;

    /// Lines of comma-separated values with a heading; `None` where the command has no such form.
    fn csv(&self) -> Option<String> {
        None
    }
}

/// A [`Report`] of any type. Its value is in a form that the writers of JSON and YAML share: they are compiled once, and not
/// for each report.
pub(super) trait Printable {
    fn table(&self, style: &Style) -> String;
    fn text(&self) -> String;
    fn csv(&self) -> Option<String>;
    fn value(&self) -> Result<Value>;
}

impl<R: Report> Printable for R {
    fn table(&self, style: &Style) -> String {
        Report::table(self, style)
    }

    fn text(&self) -> String {
        Report::text(self)
    }

    fn csv(&self) -> Option<String> {
        Report::csv(self)
    }

    fn value(&self) -> Result<Value> {
        serde_json::to_value(self).map_err(|e| Error::failed("could not write the report as JSON").cause(e))
    }
}

/// Tab-separated values, one line for each row: the form of [`Report::text`].
pub fn lines<R: AsRef<[String]>>(rows: impl IntoIterator<Item = R>) -> String {
    let lines = rows.into_iter().map(|row| row.as_ref().join("\t"));
    lines.collect::<Vec<_>>().join("\n")
}

/// `value`, or `-` if there is none.
pub fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
