//! What lies over the table: help, the detail of a row, the picker.

use std::sync::Arc;

use serde_json::Value;

use super::help;
use crate::ui;
use domain::observe::live::{View, matches};

/// Lines to scroll through.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pages {
    pub(super) title: String,
    pub(super) lines: Vec<String>,
    /// First line on the screen; drawing keeps it within the lines.
    pub(super) top: usize,
    /// What it shows, if it can be shown in another format.
    detail: Option<(Arc<Value>, Format)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Yaml,
}

impl Pages {
    pub(super) fn help() -> Self {
        Self {
            title: "help".to_owned(),
            lines: help::LINES.iter().map(|line| (*line).to_owned()).collect(),
            top: 0,
            detail: None,
        }
    }

    /// `detail` as JSON.
    pub(super) fn detail(name: &str, detail: &Arc<Value>) -> Self {
        Self::of(name, detail, Format::Json)
    }

    fn of(name: &str, detail: &Arc<Value>, format: Format) -> Self {
        let text = match format {
            Format::Json => ui::to_json(detail.as_ref(), true),
            Format::Yaml => ui::to_yaml(detail.as_ref()),
        };
        let text = text.unwrap_or_else(|error| error.to_string());
        Self {
            title: name.to_owned(),
            lines: text.lines().map(ui::visible).collect(),
            top: 0,
            detail: Some((Arc::clone(detail), format)),
        }
    }

    /// Shows a detail in the other format.
    pub(super) fn other_format(&mut self) {
        if let Some((detail, format)) = &self.detail {
            let other = match format {
                Format::Json => Format::Yaml,
                Format::Yaml => Format::Json,
            };
            *self = Self::of(&self.title, detail, other);
        }
    }

    pub(super) fn is_detail(&self) -> bool {
        self.detail.is_some()
    }

    pub(super) fn scroll(&mut self, lines: isize) {
        self.top = self.top.saturating_add_signed(lines);
    }
}

/// A name that leads to a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// Such as `stream`.
    pub(super) kind: &'static str,
    pub(super) name: String,
    pub(super) view: View,
}

/// A search in all names.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Picker {
    pub(super) query: String,
    places: Vec<Place>,
    found: Vec<usize>,
    pub(super) at: usize,
}

impl Picker {
    pub(super) fn new(places: Vec<Place>) -> Self {
        let mut picker = Self {
            query: String::new(),
            places,
            found: Vec::new(),
            at: 0,
        };
        picker.search();
        picker
    }

    /// Replaces the names, and keeps what was typed. Returns whether they differ.
    pub(super) fn set_places(&mut self, places: Vec<Place>) -> bool {
        let differs = self.places != places;
        if differs {
            self.places = places;
            self.search();
        }
        differs
    }

    pub(super) fn push(&mut self, c: char) {
        self.query.push(c);
        self.search();
    }

    pub(super) fn pop(&mut self) {
        self.query.pop();
        self.search();
    }

    fn search(&mut self) {
        let names: Vec<&str> = self.places.iter().map(|place| place.name.as_str()).collect();
        self.found = matches(&self.query, &names);
        self.at = 0;
    }

    pub(super) fn move_by(&mut self, places: isize) {
        let last = self.found.len().saturating_sub(1);
        self.at = self.at.saturating_add_signed(places).min(last);
    }

    /// Best first.
    pub(super) fn found(&self) -> impl ExactSizeIterator<Item = &Place> {
        self.found.iter().map(|&index| &self.places[index])
    }

    pub(super) fn chosen(&self) -> Option<&Place> {
        self.found.get(self.at).map(|&index| &self.places[index])
    }
}
