//! The rows of one view: their order, what the filter shows, and the selected one.

use super::{Cell, Row, View};

/// Order by a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sort {
    /// Index of the column.
    pub column: usize,
    pub is_descending: bool,
}

/// A view with its rows. The selection follows its row when others come, go or change places.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    view: View,
    rows: Vec<Row>,
    /// Indexes of the rows that the filter shows, in order.
    shown: Vec<usize>,
    /// Key of the selected row.
    selected: Option<String>,
    /// Its place in `shown`.
    position: usize,
    sort: Option<Sort>,
    filter: String,
}

impl Table {
    pub fn new(view: View) -> Self {
        Self {
            view,
            rows: Vec::new(),
            shown: Vec::new(),
            selected: None,
            position: 0,
            sort: None,
            filter: String::new(),
        }
    }

    pub fn view(&self) -> &View {
        &self.view
    }

    pub fn sort(&self) -> Option<Sort> {
        self.sort
    }

    pub fn filter(&self) -> &str {
        &self.filter
    }

    /// Number of rows, with those that the filter hides.
    pub fn total(&self) -> usize {
        self.rows.len()
    }

    /// The shown rows, in order.
    pub fn shown(&self) -> impl ExactSizeIterator<Item = &Row> {
        self.shown.iter().map(|&index| &self.rows[index])
    }

    /// Place of the selected row among the shown ones.
    pub fn position(&self) -> usize {
        self.position
    }

    pub fn selected(&self) -> Option<&Row> {
        self.shown.get(self.position).map(|&index| &self.rows[index])
    }

    /// Replaces the rows. If the selected row is gone, the one in its place is selected.
    pub fn set_rows(&mut self, rows: Vec<Row>) {
        self.rows = rows;
        self.arrange();
    }

    /// Shows only rows with `filter` in one of their texts, in upper or lower case.
    pub fn set_filter(&mut self, filter: &str) {
        filter.clone_into(&mut self.filter);
        self.arrange();
    }

    /// Sorts by the next of `columns` (indexes), and after the last by none. Numbers begin with the largest.
    pub fn sort_by_next(&mut self, columns: &[usize]) {
        let next = match self.sort {
            None => columns.first(),
            Some(sort) => columns.iter().find(|&&column| column > sort.column),
        };
        self.sort = next.map(|&column| Sort {
            column,
            is_descending: self.view.columns().get(column).is_some_and(|c| c.is_number),
        });
        self.arrange();
    }

    /// Turns the order round; without one, sorts by the first column downwards.
    pub fn reverse(&mut self) {
        self.sort = Some(match self.sort {
            Some(sort) => Sort {
                is_descending: !sort.is_descending,
                ..sort
            },
            None => Sort {
                column: 0,
                is_descending: true,
            },
        });
        self.arrange();
    }

    /// Moves the selection by `rows`, and not past an end.
    pub fn move_by(&mut self, rows: isize) {
        self.select(self.position.saturating_add_signed(rows));
    }

    /// Selects the row at `position`, or the last one.
    pub fn select(&mut self, position: usize) {
        self.position = position.min(self.shown.len().saturating_sub(1));
        self.selected = self.selected().map(|row| row.key.clone());
    }

    fn arrange(&mut self) {
        let filter = self.filter.to_lowercase();
        let rows = &self.rows;
        let mut shown: Vec<usize> = (0..rows.len())
            .filter(|&index| is_match(&rows[index], &filter))
            .collect();
        if let Some(sort) = self.sort {
            // A stable sort: rows that are equal keep their order, in both directions.
            shown.sort_by(|&one, &other| {
                let cell = |index: usize| rows[index].cells.get(sort.column).unwrap_or(&Cell::Missing);
                cell(one).order(cell(other), sort.is_descending)
            });
        }
        self.shown = shown;
        let place = self.selected.as_ref().and_then(|key| {
            let mut keys = self.shown().map(|row| &row.key);
            keys.position(|found| found == key)
        });
        self.select(place.unwrap_or(self.position));
    }
}

fn is_match(row: &Row, filter: &str) -> bool {
    filter.is_empty()
        || row.key.to_lowercase().contains(filter)
        || row.cells.iter().any(|cell| match cell {
            Cell::Text(text) => text.to_lowercase().contains(filter),
            _ => false,
        })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn row(key: &str, rate: Option<f64>) -> Row {
        let mut cells = vec![Cell::Missing; View::Streams.columns().len()];
        cells[0] = Cell::Text(key.to_owned());
        cells[3] = Cell::known(rate, Cell::Rate);
        Row {
            key: key.to_owned(),
            arn: None,
            cells,
            detail: Arc::new(Value::Null),
        }
    }

    fn table(rows: Vec<Row>) -> Table {
        let mut table = Table::new(View::Streams);
        table.set_rows(rows);
        table
    }

    fn keys(table: &Table) -> Vec<&str> {
        table.shown().map(|row| row.key.as_str()).collect()
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let one = ("[a-d][a-d0-9]{0,3}", prop::option::of(0u8..4));
        prop::collection::vec(one, 0..30).prop_map(|found| {
            let mut rows: Vec<Row> = Vec::new();
            for (key, rate) in found {
                if rows.iter().all(|row| row.key != key) {
                    rows.push(row(&key, rate.map(f64::from)));
                }
            }
            rows
        })
    }

    #[test]
    fn missing_figures_are_last_in_both_directions() {
        let mut table = table(vec![row("a", None), row("b", Some(1.0)), row("c", Some(2.0))]);
        table.sort_by_next(&[3]);
        assert_eq!(keys(&table), ["c", "b", "a"]);
        table.reverse();
        assert_eq!(keys(&table), ["b", "c", "a"]);
        table.sort_by_next(&[3]);
        assert_eq!((keys(&table), table.sort()), (vec!["a", "b", "c"], None));
    }

    #[test]
    fn a_row_that_is_gone_leaves_its_place_to_the_next() {
        let mut table = table(vec![row("a", None), row("b", None), row("c", None)]);
        table.select(1);
        table.set_rows(vec![row("a", None), row("c", None)]);
        assert_eq!(table.selected().unwrap().key, "c");
        table.set_rows(vec![row("a", None)]);
        assert_eq!(table.selected().unwrap().key, "a");
        table.set_rows(Vec::new());
        assert_eq!(table.selected(), None);
        table.move_by(-3);
        table.set_rows(vec![row("z", None)]);
        assert_eq!(table.selected().unwrap().key, "z");
    }

    proptest! {
        #[test]
        fn sorting_is_stable_and_loses_nothing(rows in rows(), reversed: bool) {
            let before: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
            let mut table = table(rows);
            table.sort_by_next(&[3]);
            if reversed {
                table.reverse();
            }
            let shown: Vec<&Row> = table.shown().collect();
            prop_assert_eq!(shown.len(), before.len());
            let place = |row: &Row| before.iter().position(|key| *key == row.key);
            for pair in shown.windows(2) {
                match pair[0].cells[3].order(&pair[1].cells[3], !reversed) {
                    std::cmp::Ordering::Greater => prop_assert!(false, "out of order"),
                    std::cmp::Ordering::Equal => prop_assert!(place(pair[0]) < place(pair[1])),
                    std::cmp::Ordering::Less => {}
                }
            }
        }

        #[test]
        fn the_filter_shows_what_contains_it_and_nothing_else(rows in rows(), filter in "[a-dA-D]{0,2}") {
            let all: Vec<String> = rows.iter().map(|row| row.key.clone()).collect();
            let mut table = table(rows);
            table.set_filter(&filter);
            let wanted = all.iter().filter(|key| key.contains(&filter.to_lowercase()));
            prop_assert_eq!(keys(&table), wanted.map(String::as_str).collect::<Vec<_>>());
            table.set_filter("");
            prop_assert_eq!(table.shown().len(), all.len());
        }

        #[test]
        fn the_selection_follows_its_row(rows in rows(), next in rows(), at in 0usize..30, sorts in 0usize..3) {
            let mut table = table(rows);
            table.select(at);
            for _ in 0..sorts {
                table.sort_by_next(&[0, 3]);
            }
            let selected = table.selected().map(|row| row.key.clone());
            table.set_rows(next.clone());
            let now = table.selected().map(|row| row.key.clone());
            match selected.filter(|key| next.iter().any(|row| row.key == *key)) {
                Some(kept) => prop_assert_eq!(now, Some(kept)),
                None => prop_assert_eq!(now.is_some(), !next.is_empty()),
            }
        }
    }
}
