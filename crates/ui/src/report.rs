//! The result of a command, in all output formats.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

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

/// Columns of tables where nothing else is known.
const DEFAULT_WIDTH: u16 = 80;

/// Columns of tables: decided once for the process.
static WIDTH: OnceLock<u16> = OnceLock::new();

/// Decides how wide tables are: `COLUMNS`, else the terminal of stdout. What is not a terminal has no width, so that a row is
/// one line, and `grep` finds all of it.
pub fn decide_width() {
    let given = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let width = given.filter(|&width| width > 0).unwrap_or_else(|| {
        if !std::io::stdout().is_terminal() {
            return u16::MAX;
        }
        // Some terminals say that they have no column.
        let width = Table::new().width().filter(|&width| width > 0);
        width.unwrap_or(DEFAULT_WIDTH)
    });
    // The first decision stays.
    let _ = WIDTH.set(width);
}

/// A table without borders, as wide as [`decide_width`] says.
pub fn table<H: Into<comfy_table::Cell>>(headings: impl IntoIterator<Item = H>) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(*WIDTH.get().unwrap_or(&DEFAULT_WIDTH));
    table.set_header(
        headings
            .into_iter()
            .map(Into::into)
            .collect::<Vec<comfy_table::Cell>>(),
    );
    if let Some(first) = table.column_mut(0) {
        first.set_padding((0, 1));
    }
    table
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

/// Breaks `text` at spaces into lines of at most `width` characters. A longer word has its own line.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() <= width {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}
