//! The tables that were opened one from another.

use super::{Snapshot, Table, View};

/// The table that is looked at, and those that Esc leads back to.
#[derive(Debug, Clone)]
pub struct Live {
    outer: Vec<Table>,
    table: Table,
}

impl Live {
    pub fn new(view: View) -> Self {
        let outer = match &view {
            View::Shards { .. } => vec![Table::new(View::Streams)],
            _ => Vec::new(),
        };
        Self {
            outer,
            table: Table::new(view),
        }
    }

    pub fn table(&self) -> &Table {
        &self.table
    }

    pub fn table_mut(&mut self) -> &mut Table {
        &mut self.table
    }

    /// Opens the view behind the selected row. Returns whether there is one.
    pub fn open(&mut self) -> bool {
        let view = self
            .table
            .selected()
            .and_then(|row| self.table.view().of_row(row));
        let Some(view) = view else {
            return false;
        };
        let outer = std::mem::replace(&mut self.table, Table::new(view));
        self.outer.push(outer);
        true
    }

    /// Goes back to the table that this one was opened from. Returns whether there was one.
    pub fn back(&mut self) -> bool {
        match self.outer.pop() {
            Some(table) => {
                self.table = table;
                true
            }
            None => false,
        }
    }

    /// Goes to `view`, with the views above it to go back to.
    pub fn go_to(&mut self, view: View) {
        if *self.table.view() != view {
            *self = Self::new(view);
        }
    }

    /// Takes the rows of `snapshot`, unless another view is looked at meanwhile.
    pub fn update(&mut self, snapshot: &Snapshot) -> bool {
        let is_current = snapshot.view == *self.table.view();
        if is_current {
            self.table.set_rows(snapshot.rows.clone());
        }
        is_current
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::observe::live::{Cell, Row};

    fn snapshot(view: View, keys: &[&str]) -> Snapshot {
        let row = |key: &&str| Row {
            key: (*key).to_owned(),
            arn: None,
            cells: vec![Cell::Text((*key).to_owned())],
            detail: Arc::default(),
        };
        Snapshot {
            view,
            rows: keys.iter().map(row).collect(),
            age_seconds: None,
            notes: Vec::new(),
        }
    }

    #[test]
    fn enter_goes_in_and_back_comes_out_with_the_same_selection() {
        let mut live = Live::new(View::Streams);
        assert!(!live.open());
        assert!(live.update(&snapshot(View::Streams, &["clicks", "orders"])));
        live.table_mut().select(1);
        assert!(live.open());
        let shards = View::Shards {
            stream: "orders".into(),
        };
        assert_eq!(*live.table().view(), shards);
        // What was asked for before arrives late.
        assert!(!live.update(&snapshot(View::Streams, &["clicks"])));
        assert!(live.update(&snapshot(shards, &["shardId-000000000000"])));
        assert!(live.open() && live.back() && live.back());
        assert_eq!(live.table().selected().unwrap().key, "orders");
        assert!(!live.back());
    }

    #[test]
    fn a_stream_that_was_asked_for_leads_back_to_all() {
        let mut live = Live::new(View::Shards {
            stream: "orders".into(),
        });
        assert!(live.back());
        assert_eq!(*live.table().view(), View::Streams);
    }
}
