//! `top --once`: a view as a table, as lines and as JSON.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use super::figure;
use crate::ui::sparkline::Glyphs;
use crate::ui::{Report, Style, lines, table, width};
use domain::observe::live::{Cell, Snapshot};

/// What is printed.
pub(super) struct TopReport {
    pub(super) snapshot: Snapshot,
    pub(super) glyphs: Glyphs,
}

/// A view of `top`. What is not known is null. A contract with scripts.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "TopReport"))]
pub(in crate::cli) struct Shape<'a> {
    /// What the rows are.
    view: &'a str,
    /// How old the figures are; null if they are of this moment.
    age_seconds: Option<i64>,
    notes: &'a [String],
    /// The members of a row are the columns of the view.
    rows: Vec<Map<String, Value>>,
}

impl Serialize for TopReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let columns = self.snapshot.view.columns();
        let row = |cells: &[Cell], arn: &Option<String>| {
            let pairs = columns.iter().zip(cells);
            let mut members: Map<String, Value> = pairs
                .map(|(column, cell)| (column.id.to_owned(), cell.value()))
                .collect();
            if let Some(arn) = arn {
                members.insert("arn".to_owned(), arn.as_str().into());
            }
            members
        };
        let rows = self.snapshot.rows.iter();
        let shape = Shape {
            view: self.snapshot.view.noun(),
            age_seconds: self.snapshot.age_seconds,
            notes: &self.snapshot.notes,
            rows: rows.map(|one| row(&one.cells, &one.arn)).collect(),
        };
        shape.serialize(serializer)
    }
}

impl Report for TopReport {
    fn table(&self, style: &Style) -> String {
        let columns = self.snapshot.view.columns();
        if self.snapshot.rows.is_empty() {
            return format!("There are no {} here", self.snapshot.view.noun());
        }
        // As many columns as fit, as on the screen.
        let room = u16::try_from(width()).unwrap_or(u16::MAX);
        let kept = super::draw::fitting(columns, room.saturating_sub(2 * 2));
        let kept = || kept.iter().map(|&index| (index, &columns[index]));
        let mut rows = table(kept().map(|(_, column)| column.title));
        // As on the screen.
        rows.gap(1);
        for (at, (_, column)) in kept().enumerate() {
            if column.is_number {
                rows.right(at);
            }
        }
        for row in &self.snapshot.rows {
            let cells = kept()
                .filter_map(|(index, column)| Some(figure::text(row.cells.get(index)?, column, self.glyphs)));
            rows.add_row(cells.collect::<Vec<_>>());
        }
        let title = self.snapshot.view.path().join(" > ");
        let age = self.snapshot.age_seconds;
        let age = age.map_or_else(String::new, |age| format!(", figures {age} s old"));
        format!("{}{age}\n\n{}", style.bold(&title), rows.trim_fmt())
    }

    fn text(&self) -> String {
        let value = |cell: &Cell| match cell.value() {
            Value::Null => "-".to_owned(),
            Value::String(text) => text.replace(['\t', '\n', '\r'], " "),
            number => number.to_string(),
        };
        let rows = self.snapshot.rows.iter();
        lines(rows.map(|row| row.cells.iter().map(value).collect::<Vec<String>>()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::app::tests::streams;
    use super::*;

    fn report() -> TopReport {
        TopReport {
            snapshot: streams(),
            glyphs: Glyphs::Ascii,
        }
    }

    #[test]
    fn the_table_fits_eighty_columns() {
        let text = report().table(&Style::plain());
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        insta::assert_snapshot!(text);
    }

    #[test]
    fn json_has_numbers_and_null() {
        let value = serde_json::to_value(report()).unwrap();
        assert_eq!(value["view"], "streams");
        let orders = &value["rows"][1];
        assert_eq!(orders["name"], "orders");
        assert_eq!(orders["records_in_per_second"], 2_520.0);
        assert_eq!(orders["write_limit_used"], 0.63);
        assert_eq!(orders["throttled"], 0);
        assert!(orders["failed"].is_null());
        assert_eq!(
            orders["arn"],
            "arn:aws:kinesis:us-east-1:000000000000:stream/orders"
        );
    }

    #[test]
    fn text_has_a_dash_for_what_is_not_known() {
        let text = report().text();
        let last: Vec<&str> = text.lines().last().unwrap().split('\t').collect();
        assert_eq!((last[0], last[3], last[10]), ("payments", "3960.0", "-"));
    }
}
