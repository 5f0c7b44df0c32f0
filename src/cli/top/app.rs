//! What the keys do. Knows no terminal: [`App::key`] returns what is to be done with it.

use std::mem;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::overlay::{Pages, Picker, Place};
use domain::observe::live::{Column, Live, Root, Snapshot, View};

/// What is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) view: View,
    /// Keys of the rows on the screen.
    pub(super) seen: Vec<String>,
    /// Whether the names for the picker are wanted too.
    pub(super) wants_names: bool,
}

/// What was read.
#[derive(Debug)]
pub(super) enum Answer {
    Snapshot(Snapshot),
    Names(Vec<(&'static str, String, View)>),
    /// Why nothing could be read.
    Problem(String),
}

/// What is to be done after a key or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Nothing,
    Draw,
    Quit,
    /// Ctrl-C.
    Interrupt,
    Suspend,
    /// To the clipboard.
    Copy(String),
}

/// What the keys are for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Mode {
    Table,
    /// Typing a filter, with the one to go back to.
    Filter {
        before: String,
    },
    Pages(Pages),
    Picker(Picker),
}

#[derive(Debug)]
pub(super) struct App {
    pub(super) live: Live,
    pub(super) mode: Mode,
    /// Target and region.
    pub(super) target: String,
    /// The last snapshot of the view; `None` until there is one.
    pub(super) snapshot: Option<Snapshot>,
    /// Why the last reading failed; `None` after one that did not.
    pub(super) problem: Option<String>,
    /// Shown until the next key.
    pub(super) message: Option<String>,
    /// First row on the screen, and number of rows that fit. Drawing sets both.
    pub(super) top: usize,
    pub(super) page: usize,
    /// Columns that fit. Drawing sets it.
    pub(super) columns: Vec<usize>,
    /// Whether the last key was the first `g` of `gg`.
    has_g: bool,
}

impl App {
    pub(super) fn new(view: View, target: String) -> Self {
        let columns = (0..view.columns().len()).collect();
        Self {
            live: Live::new(view),
            mode: Mode::Table,
            target,
            snapshot: None,
            problem: None,
            message: None,
            top: 0,
            page: 20,
            columns,
            has_g: false,
        }
    }

    pub(super) fn ask(&self) -> Ask {
        let table = self.live.table();
        let rows = table.shown().skip(self.top).take(self.page);
        Ask {
            view: table.view().clone(),
            seen: rows.map(|row| row.key.clone()).collect(),
            wants_names: matches!(self.mode, Mode::Picker(_)),
        }
    }

    /// Takes what was read. Nothing is drawn if nothing has changed.
    pub(super) fn take(&mut self, answer: Answer) -> Action {
        match answer {
            Answer::Snapshot(snapshot) => {
                let had_problem = self.problem.take().is_some();
                let is_same = self.snapshot.as_ref() == Some(&snapshot);
                if !is_same && self.live.update(&snapshot) {
                    self.snapshot = Some(snapshot);
                    return Action::Draw;
                }
                if had_problem {
                    Action::Draw
                } else {
                    Action::Nothing
                }
            }
            Answer::Names(names) => {
                let Mode::Picker(picker) = &mut self.mode else {
                    return Action::Nothing;
                };
                let place = |(kind, name, view)| Place { kind, name, view };
                match picker.set_places(names.into_iter().map(place).collect()) {
                    true => Action::Draw,
                    false => Action::Nothing,
                }
            }
            Answer::Problem(problem) => {
                let is_same = self.problem.as_ref() == Some(&problem);
                self.problem = Some(problem);
                if is_same { Action::Nothing } else { Action::Draw }
            }
        }
    }

    pub(super) fn key(&mut self, key: KeyEvent) -> Action {
        self.message = None;
        let had_g = mem::take(&mut self.has_g);
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            match key.code {
                KeyCode::Char('c') => return Action::Interrupt,
                KeyCode::Char('z') => return Action::Suspend,
                _ => {}
            }
        }
        match &self.mode {
            Mode::Table => self.table_key(key, had_g),
            Mode::Filter { .. } => self.filter_key(key),
            Mode::Pages(_) => self.pages_key(key, had_g),
            Mode::Picker(_) => self.picker_key(key),
        }
    }

    fn table_key(&mut self, key: KeyEvent, had_g: bool) -> Action {
        if let Some(rows) = self.distance(key) {
            self.live.table_mut().move_by(rows);
            return Action::Draw;
        }
        match key.code {
            KeyCode::Char('q') => return Action::Quit,
            KeyCode::Char('g') if had_g => self.live.table_mut().select(0),
            KeyCode::Char('g') => self.has_g = true,
            KeyCode::Home => self.live.table_mut().select(0),
            KeyCode::Char('G') | KeyCode::End => self.live.table_mut().select(usize::MAX),
            KeyCode::Enter | KeyCode::Char('l') | KeyCode::Right => self.go_in(),
            KeyCode::Esc | KeyCode::Char('h') | KeyCode::Left | KeyCode::Backspace => self.go_out(),
            KeyCode::Char('s') => self.sort(),
            KeyCode::Char('S') => self.live.table_mut().reverse(),
            KeyCode::Char('/') => {
                let before = self.live.table().filter().to_owned();
                self.mode = Mode::Filter { before };
            }
            KeyCode::Char(':') => {
                let places = Root::ALL.map(|root| Place {
                    kind: "view",
                    name: root.name().to_owned(),
                    view: root.view(),
                });
                self.mode = Mode::Picker(Picker::new(places.to_vec()));
            }
            KeyCode::Char('?') => self.mode = Mode::Pages(Pages::help()),
            KeyCode::Char('d') => self.show_detail(),
            KeyCode::Char('y') => return self.copy(),
            _ => return Action::Nothing,
        }
        Action::Draw
    }

    /// How far a key moves; `None` if it is not for moving.
    fn distance(&self, key: KeyEvent) -> Option<isize> {
        let page = isize::try_from(self.page.saturating_sub(1).max(1)).unwrap_or(isize::MAX);
        let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
        Some(match key.code {
            KeyCode::Char('f') if is_control => page,
            KeyCode::Char('b') if is_control => -page,
            KeyCode::Char('d') if is_control => page / 2,
            KeyCode::Char('u') if is_control => -page / 2,
            KeyCode::Char('j') | KeyCode::Down => 1,
            KeyCode::Char('k') | KeyCode::Up => -1,
            KeyCode::PageDown | KeyCode::Char(' ') => page,
            KeyCode::PageUp => -page,
            _ => return None,
        })
    }

    fn go_in(&mut self) {
        match self.live.open() {
            true => self.enter_view(),
            false => self.show_detail(),
        }
    }

    /// Out of the filter first, then out of the view.
    fn go_out(&mut self) {
        if !self.live.table().filter().is_empty() {
            self.live.table_mut().set_filter("");
        } else if self.live.back() {
            self.enter_view();
        }
    }

    /// Another view has its own snapshot and place.
    fn enter_view(&mut self) {
        self.snapshot = None;
        self.top = 0;
        self.columns = (0..self.live.table().view().columns().len()).collect();
    }

    fn sort(&mut self) {
        let columns = mem::take(&mut self.columns);
        self.live.table_mut().sort_by_next(&columns);
        self.columns = columns;
    }

    fn show_detail(&mut self) {
        if let Some(row) = self.live.table().selected() {
            self.mode = Mode::Pages(Pages::detail(&row.key, &row.detail));
        }
    }

    fn copy(&mut self) -> Action {
        let row = self.live.table().selected();
        let arn = row.and_then(|row| row.arn.clone());
        match arn {
            Some(arn) => {
                self.message = Some(format!("Copied {arn}"));
                Action::Copy(arn)
            }
            None => {
                self.message = Some("This row has no ARN".to_owned());
                Action::Draw
            }
        }
    }

    fn filter_key(&mut self, key: KeyEvent) -> Action {
        let mut filter = self.live.table().filter().to_owned();
        match key.code {
            KeyCode::Enter => {
                self.mode = Mode::Table;
                return Action::Draw;
            }
            KeyCode::Esc => {
                if let Mode::Filter { before } = mem::replace(&mut self.mode, Mode::Table) {
                    filter = before;
                }
            }
            KeyCode::Backspace => {
                filter.pop();
            }
            KeyCode::Down | KeyCode::Up => return self.table_key(key, false),
            _ => match typed(key) {
                Some(c) => filter.push(c),
                None => return Action::Nothing,
            },
        }
        self.live.table_mut().set_filter(&filter);
        Action::Draw
    }

    fn pages_key(&mut self, key: KeyEvent, had_g: bool) -> Action {
        let distance = self.distance(key);
        let Mode::Pages(pages) = &mut self.mode else {
            return Action::Nothing;
        };
        if let Some(lines) = distance {
            pages.scroll(lines);
            return Action::Draw;
        }
        match key.code {
            KeyCode::Char('g') if had_g => pages.top = 0,
            KeyCode::Char('g') => self.has_g = true,
            KeyCode::Home => pages.top = 0,
            KeyCode::Char('G') | KeyCode::End => pages.top = usize::MAX,
            KeyCode::Char('d') if pages.is_detail() => pages.other_format(),
            KeyCode::Char('y') if pages.is_detail() => return self.copy(),
            KeyCode::Char('q' | '?' | 'h') | KeyCode::Esc | KeyCode::Left => self.mode = Mode::Table,
            _ => return Action::Nothing,
        }
        Action::Draw
    }

    fn picker_key(&mut self, key: KeyEvent) -> Action {
        let Mode::Picker(picker) = &mut self.mode else {
            return Action::Nothing;
        };
        match key.code {
            KeyCode::Esc => self.mode = Mode::Table,
            KeyCode::Down | KeyCode::Tab => picker.move_by(1),
            KeyCode::Up | KeyCode::BackTab => picker.move_by(-1),
            KeyCode::Backspace if picker.query.is_empty() => self.mode = Mode::Table,
            KeyCode::Backspace => picker.pop(),
            KeyCode::Enter => {
                let chosen = picker.chosen().cloned();
                self.mode = Mode::Table;
                if let Some(place) = chosen {
                    self.go_to(place);
                }
            }
            _ => match typed(key) {
                Some(c) => picker.push(c),
                None => return Action::Nothing,
            },
        }
        Action::Draw
    }

    fn go_to(&mut self, place: Place) {
        if *self.live.table().view() != place.view {
            self.live.go_to(place.view);
            self.enter_view();
        }
        if matches!(place.kind, "function" | "queue") {
            self.live.table_mut().set_filter(&place.name);
        }
    }

    /// The columns of the view that fit, in order.
    pub(super) fn shown_columns(&self) -> impl Iterator<Item = (usize, &'static Column)> {
        let all = self.live.table().view().columns();
        self.columns
            .iter()
            .filter_map(move |&index| Some((index, all.get(index)?)))
    }
}

/// The character that a key types.
fn typed(key: KeyEvent) -> Option<char> {
    let other = KeyModifiers::CONTROL | KeyModifiers::ALT;
    match key.code {
        KeyCode::Char(c) if !key.modifiers.intersects(other) => Some(c),
        _ => None,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use domain::observe::live::{Cell, Row};

    pub(crate) fn app() -> App {
        App::new(View::Streams, "local cloud us-east-1".into())
    }

    pub(crate) fn press(app: &mut App, keys: &str) -> Action {
        let mut last = Action::Nothing;
        for c in keys.chars() {
            let code = match c {
                '\n' => KeyCode::Enter,
                '\u{1b}' => KeyCode::Esc,
                '\u{8}' => KeyCode::Backspace,
                c => KeyCode::Char(c),
            };
            last = app.key(KeyEvent::new(code, KeyModifiers::NONE));
        }
        last
    }

    /// Three streams.
    pub(crate) fn streams() -> Snapshot {
        let row = |name: &str, rate: f64, share: f64, throttled: f64| Row {
            key: name.to_owned(),
            arn: Some(format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}")),
            cells: vec![
                Cell::Text(name.to_owned()),
                Cell::Text("ACTIVE".into()),
                Cell::Count(4.0),
                Cell::Rate(rate),
                Cell::ByteRate(rate * 512.0),
                Cell::Share(share),
                Cell::Rate(rate / 2.0),
                Cell::ByteRate(rate * 256.0),
                Cell::Milliseconds(rate * 2.0),
                Cell::Count(throttled),
                Cell::Missing,
            ],
            detail: Arc::new(json!({"name": name, "open_shards": 4})),
        };
        Snapshot {
            view: View::Streams,
            rows: vec![
                row("clicks", 12.0, 0.003, 0.0),
                row("orders", 2_520.0, 0.63, 0.0),
                row("payments", 3_960.0, 0.99, 12.0),
            ],
            age_seconds: None,
            notes: Vec::new(),
        }
    }

    fn selected(app: &App) -> &str {
        app.live.table().selected().map_or("", |row| &row.key)
    }

    #[test]
    fn keys_move_and_go_in_and_out() {
        let mut app = app();
        assert_eq!(app.take(Answer::Snapshot(streams())), Action::Draw);
        assert_eq!(app.take(Answer::Snapshot(streams())), Action::Nothing);
        press(&mut app, "j");
        assert_eq!(selected(&app), "orders");
        press(&mut app, "G");
        assert_eq!(selected(&app), "payments");
        press(&mut app, "gg");
        assert_eq!(selected(&app), "clicks");
        // Keys between break the pair.
        press(&mut app, "Ggjg");
        assert_eq!(selected(&app), "payments");
        press(&mut app, "\n");
        let shards = View::Shards {
            stream: "payments".into(),
        };
        assert_eq!(app.ask().view, shards);
        press(&mut app, "\u{1b}");
        assert_eq!((app.ask().view, selected(&app)), (View::Streams, "payments"));
        assert_eq!(press(&mut app, "q"), Action::Quit);
    }

    #[test]
    fn a_filter_is_left_before_the_view() {
        let mut app = app();
        app.take(Answer::Snapshot(streams()));
        press(&mut app, "/ord");
        assert_eq!(app.live.table().shown().len(), 1);
        // While typing, q is a letter.
        press(&mut app, "q\u{8}\n");
        assert_eq!(app.live.table().filter(), "ord");
        press(&mut app, "/er\u{1b}");
        assert_eq!(app.live.table().filter(), "ord");
        press(&mut app, "\u{1b}");
        assert_eq!(app.live.table().shown().len(), 3);
    }

    #[test]
    fn sorting_takes_the_columns_that_are_shown() {
        let mut app = app();
        app.take(Answer::Snapshot(streams()));
        app.columns = vec![0, 3];
        press(&mut app, "ss");
        let keys: Vec<&str> = app.live.table().shown().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, ["payments", "orders", "clicks"]);
        press(&mut app, "S");
        assert_eq!(app.live.table().shown().next().unwrap().key, "clicks");
    }

    #[test]
    fn the_picker_goes_to_what_is_typed() {
        let mut app = app();
        press(&mut app, ":");
        assert!(app.ask().wants_names);
        let shards = View::Shards {
            stream: "orders".into(),
        };
        app.take(Answer::Names(vec![
            ("view", "queues".into(), View::Queues),
            ("stream", "orders".into(), shards.clone()),
            ("queue", "orders-failed".into(), View::Queues),
        ]));
        press(&mut app, "ord\n");
        assert_eq!(app.ask().view, shards);
        press(&mut app, ":");
        app.take(Answer::Names(vec![(
            "queue",
            "orders-failed".into(),
            View::Queues,
        )]));
        press(&mut app, "fail\n");
        assert_eq!(
            (app.ask().view, app.live.table().filter()),
            (View::Queues, "orders-failed")
        );
    }

    #[test]
    fn detail_changes_its_format_and_copies_the_arn() {
        let mut app = app();
        assert_eq!(press(&mut app, "d"), Action::Draw);
        assert_eq!(app.mode, Mode::Table);
        app.take(Answer::Snapshot(streams()));
        press(&mut app, "d");
        let lines = |app: &App| match &app.mode {
            Mode::Pages(pages) => pages.lines.clone(),
            _ => Vec::new(),
        };
        assert_eq!(
            lines(&app),
            ["{", "  \"name\": \"clicks\",", "  \"open_shards\": 4", "}"]
        );
        press(&mut app, "d");
        assert_eq!(lines(&app), ["name: clicks", "open_shards: 4"]);
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/clicks";
        assert_eq!(press(&mut app, "y"), Action::Copy(arn.into()));
        // q leaves the detail, not the program.
        assert_eq!(press(&mut app, "q"), Action::Draw);
    }

    #[test]
    fn a_problem_is_shown_until_something_is_read_again() {
        let mut app = app();
        app.take(Answer::Snapshot(streams()));
        assert_eq!(app.take(Answer::Problem("gone".into())), Action::Draw);
        assert_eq!(app.take(Answer::Problem("gone".into())), Action::Nothing);
        assert_eq!(app.live.table().shown().len(), 3);
        assert_eq!(app.take(Answer::Snapshot(streams())), Action::Draw);
        assert_eq!(app.problem, None);
    }

    #[test]
    fn control_keys_work_everywhere() {
        for keys in ["", "/a", ":", "?"] {
            let mut app = app();
            press(&mut app, keys);
            let control = |c| KeyEvent::new(KeyCode::Char(c), KeyModifiers::CONTROL);
            assert_eq!(app.key(control('z')), Action::Suspend);
            assert_eq!(app.key(control('c')), Action::Interrupt);
        }
    }
}
