//! What `top` shows, as state without a terminal: [`View`]s with their columns, the [`Table`] of one view (order, filter,
//! selection), the [`Live`] stack of tables, and the [`Collector`] that reads what is shown.
//!
//! Knows neither keys nor drawing. Changes nothing at the target.

mod cell;
mod collect;
mod meter;
mod pick;
mod records;
mod stack;
mod table;
mod view;

pub use cell::Cell;
pub use collect::{Collector, METRICS_INTERVAL_ON_AWS};
pub use pick::matches;
pub use stack::Live;
pub use table::{Sort, Table};
pub use view::{Column, Root, View};

use std::sync::Arc;

use serde_json::Value;

/// A row of a view.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Identifies the row within its view, also after other rows have come and gone.
    pub key: String,
    /// `None` if it has no ARN, as a shard or a record.
    pub arn: Option<String>,
    /// One for each column of the view.
    pub cells: Vec<Cell>,
    /// Everything that is known of it.
    pub detail: Arc<Value>,
}

/// The rows of a view at one time.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    pub view: View,
    pub rows: Vec<Row>,
    /// How old the figures of CloudWatch are, in seconds; `None` if they are of this moment or there are none.
    pub age_seconds: Option<i64>,
    /// What the reader must know of the figures, a sentence each.
    pub notes: Vec<String>,
}
