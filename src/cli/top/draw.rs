//! Draws an [`App`]. Colours only support what is also there in words and bars, and are the terminal's own, so that they can
//! be read on a light and on a dark ground.

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

use super::app::{App, Mode};
use super::figure;
use super::overlay::{Pages, Picker};
use crate::ui::sparkline::Glyphs;
use crate::ui::{units, visible};
use domain::observe::live::{Cell, Column, Row, Sort, View};

/// Shares of a limit from which it is worth a look, and nearly used up.
const CAUTION: f64 = 0.7;
const BAD: f64 = 0.9;
/// The smallest terminal.
const LEAST: (u16, u16) = (20, 6);

/// What the terminal can show.
#[derive(Debug, Clone, Copy)]
pub(super) struct Look {
    pub(super) glyphs: Glyphs,
    pub(super) has_colour: bool,
}

impl Look {
    fn colour(self, colour: Color) -> Style {
        match self.has_colour {
            true => Style::new().fg(colour),
            false => Style::new(),
        }
    }

    fn dim(self) -> Style {
        match self.has_colour {
            true => Style::new().add_modifier(Modifier::DIM),
            false => Style::new(),
        }
    }

    fn heading(self) -> Style {
        self.colour(Color::Cyan).add_modifier(Modifier::BOLD)
    }

    fn of_cell(self, cell: &Cell, column: &Column) -> Style {
        match cell {
            Cell::Missing => self.dim(),
            Cell::Share(share) if column.title == "USED" => match *share {
                share if share >= BAD => self.colour(Color::Red),
                share if share >= CAUTION => self.colour(Color::Yellow),
                _ => self.colour(Color::Green),
            },
            Cell::Count(n) if *n > 0.0 => match column.title {
                "THROTTLED" => self.colour(Color::Yellow),
                "FAILED" | "ERRORS" | "DROPPED" => self.colour(Color::Red),
                _ => Style::new(),
            },
            Cell::Text(text) if text.starts_with("PROBLEM") => self.colour(Color::Red),
            _ => Style::new(),
        }
    }

    fn arrow(self, is_descending: bool) -> &'static str {
        match (self.glyphs, is_descending) {
            (Glyphs::Blocks, true) => "▼",
            (Glyphs::Blocks, false) => "▲",
            (Glyphs::Ascii, true) => "v",
            (Glyphs::Ascii, false) => "^",
        }
    }

    fn cut(self) -> &'static str {
        match self.glyphs {
            Glyphs::Blocks => "…",
            Glyphs::Ascii => "~",
        }
    }

    fn separator(self) -> &'static str {
        match self.glyphs {
            Glyphs::Blocks => " › ",
            Glyphs::Ascii => " > ",
        }
    }
}

/// Draws `app`, and tells it what fits on the screen.
pub(super) fn draw(frame: &mut Frame<'_>, app: &mut App, look: Look) {
    let area = frame.area();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        let text = "the terminal is too small";
        put(frame.buffer_mut(), area.x, area.y, area.width, text, Style::new());
        return;
    }
    let body = Rect {
        y: area.y + 1,
        height: area.height - 3,
        ..area
    };
    draw_title(frame.buffer_mut(), area, app, look);
    let cursor = match app.mode.clone() {
        Mode::Table | Mode::Filter { .. } => {
            draw_table(frame.buffer_mut(), body, app, look);
            None
        }
        Mode::Pages(pages) => {
            draw_pages(frame.buffer_mut(), body, app, pages, look);
            None
        }
        Mode::Picker(picker) => {
            draw_picker(frame.buffer_mut(), body, &picker, look);
            Some(format!(":{}", picker.query))
        }
    };
    draw_status(frame.buffer_mut(), area, app, look);
    let typing = match &app.mode {
        Mode::Filter { .. } => Some(format!("/{}", app.live.table().filter())),
        _ => cursor,
    };
    if let Some(text) = &typing {
        let shown = visible(text);
        let end = width(&shown).min(area.width - 1);
        frame.set_cursor_position((area.x + end, area.bottom() - 1));
    }
    draw_keys(frame.buffer_mut(), area, app, typing.as_deref(), look);
}

fn width(text: &str) -> u16 {
    u16::try_from(Span::raw(text).width()).unwrap_or(u16::MAX)
}

/// Writes `text` into at most `room` columns; what does not fit is left out.
fn put(buffer: &mut Buffer, x: u16, y: u16, room: u16, text: &str, style: Style) {
    buffer.set_stringn(x, y, text, usize::from(room), style);
}

/// As [`put`], and marks a text that is cut.
fn put_cut(buffer: &mut Buffer, x: u16, y: u16, room: u16, text: &str, style: Style, look: Look) {
    if width(text) <= room || room < 2 {
        put(buffer, x, y, room, text, style);
        return;
    }
    let (end, _) = buffer.set_stringn(x, y, text, usize::from(room - 1), style);
    buffer.set_stringn(end, y, look.cut(), 1, style);
}

/// Where this is, and of which target.
fn draw_title(buffer: &mut Buffer, area: Rect, app: &App, look: Look) {
    let table = app.live.table();
    let path: Vec<String> = table.view().path().iter().map(|part| visible(part)).collect();
    let mut title = path.join(look.separator());
    if let Mode::Pages(pages) = &app.mode {
        title = format!("{title}{}{}", look.separator(), visible(&pages.title));
    }
    if app.snapshot.is_some() && matches!(app.mode, Mode::Table | Mode::Filter { .. }) {
        let (shown, total) = (table.shown().len(), table.total());
        title.push_str(&match shown == total {
            true => format!(" ({total})"),
            false => format!(" ({shown} of {total})"),
        });
    }
    let mut right = visible(&app.target);
    if let Some(age) = app.snapshot.as_ref().and_then(|snapshot| snapshot.age_seconds) {
        right = format!("figures {age} s old, {right}");
    }
    // The title is more important than the target.
    let title_width = width(&title).min(area.width);
    let room = area.width - title_width;
    put_cut(buffer, area.x, area.y, area.width, &title, look.heading(), look);
    let right_width = width(&right);
    if right_width + 2 <= room {
        put(
            buffer,
            area.right() - right_width,
            area.y,
            right_width,
            &right,
            look.dim(),
        );
    }
}

/// The columns that fit into `room`, by index. Those with the highest rank go first, the right one of equals.
pub(super) fn fitting(columns: &[Column], room: u16) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..columns.len()).collect();
    loop {
        let needed: u16 = kept.iter().map(|&index| columns[index].width + 1).sum();
        let least = kept
            .iter()
            .copied()
            .filter(|&index| columns[index].rank > 0)
            .max_by_key(|&index| (columns[index].rank, index));
        match least {
            Some(index) if needed > room + 1 => kept.retain(|&other| other != index),
            _ => return kept,
        }
    }
}

/// The columns of the screen: place, width.
fn places(columns: &[Column], kept: &[usize], area: Rect) -> Vec<(u16, u16)> {
    let needed: u16 = kept.iter().map(|&index| columns[index].width + 1).sum();
    let spare = (area.width + 1).saturating_sub(needed);
    let mut x = area.x;
    let mut places = Vec::with_capacity(kept.len());
    for &index in kept {
        let column = &columns[index];
        let wide = column.width + if column.grows { spare } else { 0 };
        places.push((x, wide.min(area.right().saturating_sub(x))));
        x = (x + wide + 1).min(area.right());
    }
    places
}

fn draw_table(buffer: &mut Buffer, area: Rect, app: &mut App, look: Look) {
    let columns = app.live.table().view().columns();
    app.columns = fitting(columns, area.width);
    let places = places(columns, &app.columns, area);
    let page = usize::from(area.height - 1);
    let position = app.live.table().position();
    app.page = page;
    // No empty rows below the last one, and the selected row on the screen.
    let last_top = app.live.table().shown().len().saturating_sub(page);
    app.top = app
        .top
        .clamp((position + 1).saturating_sub(page), position)
        .min(last_top);
    draw_headings(buffer, area, app, &places, look);
    let table = app.live.table();
    if table.shown().len() == 0 {
        let text = nothing(app);
        put(buffer, area.x, area.y + 2, area.width, &text, look.dim());
        return;
    }
    let rows = table.shown().enumerate().skip(app.top).take(page);
    for (y, (index, row)) in (area.y + 1..).zip(rows) {
        draw_row(buffer, y, row, app, &places, look);
        if index == position {
            let line = Rect { y, height: 1, ..area };
            buffer.set_style(line, Style::new().add_modifier(Modifier::REVERSED));
            if !look.has_colour {
                buffer.set_style(line, Style::new().add_modifier(Modifier::BOLD));
            }
        }
    }
}

fn draw_headings(buffer: &mut Buffer, area: Rect, app: &App, places: &[(u16, u16)], look: Look) {
    let style = Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED);
    buffer.set_style(Rect { height: 1, ..area }, style);
    for ((index, column), &(x, wide)) in app.shown_columns().zip(places) {
        let text = heading(index, column, app.live.table().sort(), look);
        put_aligned(buffer, (x, area.y, wide), &text, column, style, look);
    }
}

fn heading(index: usize, column: &Column, sort: Option<Sort>, look: Look) -> String {
    match sort.filter(|sort| sort.column == index) {
        Some(sort) => {
            let arrow = look.arrow(sort.is_descending);
            // A heading that fills its column gives its last letter to the arrow.
            let room = usize::from(column.width).saturating_sub(1);
            let title: String = column.title.chars().take(room).collect();
            format!("{title}{arrow}")
        }
        None => column.title.to_owned(),
    }
}

fn draw_row(buffer: &mut Buffer, y: u16, row: &Row, app: &App, places: &[(u16, u16)], look: Look) {
    for ((index, column), &(x, wide)) in app.shown_columns().zip(places) {
        let Some(cell) = row.cells.get(index) else {
            continue;
        };
        let text = figure::text(cell, column, look.glyphs);
        let style = look.of_cell(cell, column);
        put_aligned(buffer, (x, y, wide), &text, column, style, look);
    }
}

/// Numbers are aligned to the right.
fn put_aligned(
    buffer: &mut Buffer,
    (x, y, wide): (u16, u16, u16),
    text: &str,
    column: &Column,
    style: Style,
    look: Look,
) {
    let indent = match column.is_number {
        true => wide.saturating_sub(width(text)),
        false => 0,
    };
    put_cut(buffer, x + indent, y, wide - indent, text, style, look);
}

/// Why there are no rows.
fn nothing(app: &App) -> String {
    let table = app.live.table();
    if app.snapshot.is_none() {
        return match app.problem {
            Some(_) => "Nothing has been read yet".to_owned(),
            None => "Reading...".to_owned(),
        };
    }
    if table.total() > 0 {
        return format!("No row has the text {:?}", visible(table.filter()));
    }
    match table.view() {
        View::Streams => "There are no streams here: `streamctl setup` creates one".to_owned(),
        View::Functions => "There are no functions here: see `streamctl deploy --help`".to_owned(),
        View::Mappings { .. } => "There are no mappings here: see `streamctl attach --help`".to_owned(),
        View::Queues => "There are no queues here".to_owned(),
        View::Shards { .. } => "There are no shards".to_owned(),
        View::Records { .. } => "There are no records".to_owned(),
    }
}

fn draw_pages(buffer: &mut Buffer, area: Rect, app: &mut App, mut pages: Pages, look: Look) {
    let lines: Vec<String> = pages
        .lines
        .iter()
        .flat_map(|line| wrapped(line, area.width))
        .collect();
    let page = usize::from(area.height);
    pages.top = pages.top.min(lines.len().saturating_sub(page));
    for (y, line) in (area.y..area.bottom()).zip(lines.iter().skip(pages.top)) {
        let is_heading = !pages.is_detail() && line.starts_with(char::is_alphabetic) && !line.contains(' ');
        let style = if is_heading { look.heading() } else { Style::new() };
        put(buffer, area.x, y, area.width, line, style);
    }
    app.page = page;
    app.mode = Mode::Pages(pages);
}

/// `line` in pieces that are at most `room` columns wide.
fn wrapped(line: &str, room: u16) -> Vec<String> {
    let mut pieces = vec![String::new()];
    let mut used = 0;
    for c in line.chars() {
        let wide = width(c.encode_utf8(&mut [0; 4]));
        if used + wide > room {
            pieces.push(String::new());
            used = 0;
        }
        used += wide;
        if let Some(last) = pieces.last_mut() {
            last.push(c);
        }
    }
    pieces
}

fn draw_picker(buffer: &mut Buffer, area: Rect, picker: &Picker, look: Look) {
    const KIND: u16 = 10;
    let page = usize::from(area.height);
    let top = (picker.at + 1).saturating_sub(page);
    let found = picker.found().enumerate().skip(top).take(page);
    for (y, (index, place)) in (area.y..).zip(found) {
        put(buffer, area.x, y, KIND, place.kind, look.dim());
        let room = area.width.saturating_sub(KIND);
        put_cut(
            buffer,
            area.x + KIND,
            y,
            room,
            &visible(&place.name),
            Style::new(),
            look,
        );
        if index == picker.at {
            let line = Rect { y, height: 1, ..area };
            buffer.set_style(line, Style::new().add_modifier(Modifier::REVERSED));
        }
    }
    if picker.found().len() == 0 {
        put(buffer, area.x, area.y, area.width, "No name matches", look.dim());
    }
}

/// The line above the keys: what is wrong, or what was done, or a note.
fn draw_status(buffer: &mut Buffer, area: Rect, app: &App, look: Look) {
    let notes = app.snapshot.as_ref().map(|snapshot| &snapshot.notes);
    let note = notes.and_then(|notes| notes.first());
    let (text, style) = match (&app.problem, &app.message, note) {
        (Some(problem), _, _) => (format!("Trying again: {problem}"), look.colour(Color::Red)),
        (None, Some(message), _) => (message.clone(), Style::new()),
        (None, None, Some(note)) => (note.clone(), look.colour(Color::Yellow)),
        (None, None, None) => return,
    };
    let y = area.bottom() - 2;
    put_cut(buffer, area.x, y, area.width, &visible(&text), style, look);
}

/// What is typed, or the keys that are of use.
fn draw_keys(buffer: &mut Buffer, area: Rect, app: &App, typing: Option<&str>, look: Look) {
    let y = area.bottom() - 1;
    if let Some(text) = typing {
        put(buffer, area.x, y, area.width, &visible(text), Style::new());
        return;
    }
    let table = app.live.table();
    let keys: &[&str] = match &app.mode {
        Mode::Pages(pages) if pages.is_detail() => &["Esc back", "d JSON/YAML", "y copy ARN", "j k scroll"],
        Mode::Pages(_) => &["Esc back", "j k scroll"],
        _ if !table.filter().is_empty() => &["Esc all rows", "/ filter", "? help", "q quit"],
        _ => &[
            "? help",
            "q quit",
            "Enter in",
            "Esc out",
            ": go to",
            "/ filter",
            "s sort",
            "d detail",
            "y copy ARN",
        ],
    };
    let mut x = area.x;
    for key in keys {
        let wide = width(key);
        if x + wide > area.right() {
            return;
        }
        put(buffer, x, y, wide, key, look.dim());
        x += wide + 2;
    }
    if !table.filter().is_empty() && !matches!(app.mode, Mode::Pages(_)) {
        let filter = format!("filter: {}", visible(table.filter()));
        let room = area.right().saturating_sub(x);
        put_cut(buffer, x, y, room, &filter, Style::new(), look);
    } else if matches!(app.mode, Mode::Table) && table.position() > 0 && x + 12 < area.right() {
        let number = units::count(table.position() as u64 + 1);
        put(buffer, x, y, area.right() - x, &number, look.dim());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use insta::assert_snapshot;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::super::app::tests::{app, press, streams};
    use super::super::app::{Answer, App};
    use super::*;
    use domain::observe::live::{Root, Snapshot};

    const UNICODE: Look = Look {
        glyphs: Glyphs::Blocks,
        has_colour: true,
    };
    const PLAIN: Look = Look {
        glyphs: Glyphs::Ascii,
        has_colour: false,
    };

    fn screen(app: &mut App, look: Look, width: u16, height: u16) -> Terminal<TestBackend> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, app, look)).unwrap();
        terminal
    }

    fn shown(app: &mut App, look: Look, width: u16, height: u16) -> String {
        screen(app, look, width, height).backend().to_string()
    }

    fn full() -> App {
        let mut app = app();
        app.take(Answer::Snapshot(streams()));
        app
    }

    #[test]
    fn streams_at_eighty_columns() {
        let mut app = full();
        press(&mut app, "ssssj");
        assert_snapshot!(shown(&mut app, UNICODE, 80, 24));
    }

    #[test]
    fn streams_at_forty_columns_without_colour_and_unicode() {
        assert_snapshot!(shown(&mut full(), PLAIN, 40, 12));
    }

    #[test]
    fn streams_at_a_hundred_and_twenty_columns() {
        let mut app = full();
        let mut snapshot = streams();
        snapshot.age_seconds = Some(72);
        snapshot.notes = vec!["No figures: not allowed".into()];
        app.take(Answer::Snapshot(snapshot));
        assert_snapshot!(shown(&mut app, UNICODE, 120, 40));
    }

    #[test]
    fn nothing_yet_nothing_there_and_nothing_reached() {
        let mut app = app();
        let reading = shown(&mut app, PLAIN, 60, 8);
        app.take(Answer::Problem(
            "could not list the streams: connection refused".into(),
        ));
        let away = shown(&mut app, PLAIN, 60, 8);
        app.take(Answer::Snapshot(Snapshot {
            rows: Vec::new(),
            ..streams()
        }));
        let empty = shown(&mut app, PLAIN, 60, 8);
        assert_snapshot!(format!("{reading}\n{away}\n{empty}"));
    }

    #[test]
    fn a_lost_endpoint_keeps_the_rows() {
        let mut app = full();
        app.take(Answer::Problem("could not list the streams: refused".into()));
        let text = shown(&mut app, PLAIN, 80, 10);
        assert!(text.contains("payments") && text.contains("Trying again: could not list"));
    }

    #[test]
    fn help_detail_and_picker() {
        let mut app = full();
        press(&mut app, "?");
        let help = shown(&mut app, UNICODE, 80, 24);
        press(&mut app, "qd");
        let detail = shown(&mut app, UNICODE, 60, 9);
        press(&mut app, "q:qu");
        let picker = shown(&mut app, UNICODE, 60, 9);
        assert_snapshot!(format!("{help}\n{detail}\n{picker}"));
    }

    #[test]
    fn a_limit_that_is_nearly_used_is_red_and_its_bar_is_full() {
        let mut app = full();
        let colours = |look: Look, app: &mut App| {
            let terminal = screen(app, look, 120, 10);
            let buffer = terminal.backend().buffer().clone();
            let cells = buffer.content().iter();
            let mut colours: Vec<Color> = cells.map(|cell| cell.fg).collect();
            colours.dedup();
            colours
        };
        let with = colours(UNICODE, &mut app);
        assert!(with.contains(&Color::Red) && with.contains(&Color::Green) && with.contains(&Color::Yellow));
        // Without colours, none is used.
        assert_eq!(colours(PLAIN, &mut app), [Color::Reset]);
    }

    #[test]
    fn any_size_and_any_name_can_be_drawn() {
        let mut snapshot = streams();
        let name = "日本\u{1b}[2J\u{202e}語".repeat(20);
        let mut odd = snapshot.rows[0].clone();
        odd.cells[0] = Cell::Text(name.clone());
        odd.key = name.clone();
        odd.detail = Arc::new(serde_json::json!({ "name": name }));
        snapshot.rows.push(odd);
        for keys in ["", "G", "?", "Gd", ":", "/x"] {
            let mut app = app();
            app.take(Answer::Snapshot(snapshot.clone()));
            press(&mut app, keys);
            for width in [1, 19, 20, 21, 33, 40, 80, 200] {
                for height in [1, 5, 6, 7, 24] {
                    let text = shown(&mut app, UNICODE, width, height);
                    assert!(!text.contains('\u{1b}') && !text.contains('\u{202e}'));
                }
            }
        }
    }

    #[test]
    fn the_selected_row_is_always_on_the_screen() {
        let mut app = app();
        let mut snapshot = streams();
        let one = snapshot.rows[0].clone();
        snapshot.rows = (0..200)
            .map(|n| Row {
                key: format!("stream-{n:03}"),
                cells: std::iter::once(Cell::Text(format!("stream-{n:03}")))
                    .chain(one.cells[1..].iter().cloned())
                    .collect(),
                ..one.clone()
            })
            .collect();
        app.take(Answer::Snapshot(snapshot));
        for keys in ["G", "k", "gg", "jjjjj", "G", "/1\n", "G", "\u{1b}"] {
            press(&mut app, keys);
            let text = shown(&mut app, PLAIN, 60, 12);
            let selected = &app.live.table().selected().unwrap().key;
            assert!(text.contains(selected.as_str()), "{keys:?} {selected}\n{text}");
            assert!(app.ask().seen.contains(selected));
            assert!(app.ask().seen.len() <= 9);
        }
    }

    #[test]
    fn columns_go_by_rank() {
        for root in Root::ALL {
            let view = root.view();
            let columns = view.columns();
            let mut before = columns.len();
            for room in (30..160).rev() {
                let kept = fitting(columns, room);
                assert!(kept.len() <= before && !kept.is_empty());
                before = kept.len();
            }
        }
    }
}
