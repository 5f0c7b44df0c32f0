//! One value of a row, and the order of values.

use std::cmp::Ordering;

use serde_json::{Value, json};

/// A value with its unit.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Text(String),
    Count(f64),
    /// Per second.
    Rate(f64),
    Bytes(f64),
    /// Bytes per second.
    ByteRate(f64),
    /// Share of a limit; 1 is all of it.
    Share(f64),
    Milliseconds(f64),
    /// Not known, which is not zero.
    Missing,
}

impl Cell {
    /// `value` in the unit that `unit` makes; missing without one.
    pub fn known(value: Option<f64>, unit: impl Fn(f64) -> Self) -> Self {
        match value {
            Some(value) if value.is_finite() => unit(value),
            _ => Self::Missing,
        }
    }

    fn number(&self) -> Option<f64> {
        match *self {
            Self::Count(n)
            | Self::Rate(n)
            | Self::Bytes(n)
            | Self::ByteRate(n)
            | Self::Share(n)
            | Self::Milliseconds(n) => Some(n),
            Self::Text(_) | Self::Missing => None,
        }
    }

    /// The order of two cells of a column. What is missing is last in both directions.
    pub fn order(&self, other: &Self, is_descending: bool) -> Ordering {
        let directed = |order: Ordering| if is_descending { order.reverse() } else { order };
        match (self, other) {
            (Self::Missing, Self::Missing) => Ordering::Equal,
            (Self::Missing, _) => Ordering::Greater,
            (_, Self::Missing) => Ordering::Less,
            (Self::Text(one), Self::Text(other)) => {
                directed(one.to_lowercase().cmp(&other.to_lowercase()).then(one.cmp(other)))
            }
            _ => match (self.number(), other.number()) {
                (Some(one), Some(other)) => directed(one.total_cmp(&other)),
                (one, other) => directed(one.is_some().cmp(&other.is_some())),
            },
        }
    }

    /// The value without its unit; null if it is missing.
    pub fn value(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Missing => Value::Null,
            Self::Count(n) | Self::Bytes(n) => json!(n.round() as i64),
            _ => json!(self.number()),
        }
    }
}
