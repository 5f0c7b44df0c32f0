//! Tables for people: columns without borders that fit the terminal. No word is cut: a cell continues on the next line at a
//! space, and a name that is too long loses its middle. A table that cannot fit even so becomes a block of lines for each row.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use unicode_width::UnicodeWidthStr as _;

use super::Style;

/// Columns of tables where nothing else is known.
const DEFAULT_WIDTH: u16 = 80;

/// Spaces between columns, if nothing else is said.
const GAP: usize = 2;

/// Columns that are left of a name that is shortened.
const SHORTENED: usize = 12;

/// Decided once for the process.
static LAYOUT: OnceLock<Layout> = OnceLock::new();

#[derive(Debug, Clone, Copy)]
struct Layout {
    width: u16,
    style: Style,
}

/// Decides how tables look. Their width is `COLUMNS`, else that of the terminal of stdout. What is not a terminal has no width,
/// so that a row is one line, and `grep` finds all of it.
pub fn decide_layout(style: &Style) {
    let given = std::env::var("COLUMNS")
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let width = given.filter(|&width| width > 0).unwrap_or_else(|| {
        if !std::io::stdout().is_terminal() {
            return u16::MAX;
        }
        // Some terminals say that they have no column.
        let size = console::Term::stdout().size_checked();
        size.map(|(_, width)| width)
            .filter(|&width| width > 0)
            .unwrap_or(DEFAULT_WIDTH)
    });
    // The first decision stays.
    let _ = LAYOUT.set(Layout { width, style: *style });
}

fn layout() -> Layout {
    LAYOUT.get().copied().unwrap_or(Layout {
        width: DEFAULT_WIDTH,
        style: Style::plain(),
    })
}

/// Columns of tables and screens, as [`decide_layout`] says.
pub fn width() -> usize {
    layout().width.into()
}

/// Columns of a drawing that fills the width: as [`width`], but 80 where the output has no width of its own.
pub fn drawing_width() -> usize {
    match layout().width {
        u16::MAX => DEFAULT_WIDTH.into(),
        width => width.into(),
    }
}

/// A table with these headings.
pub fn table<H: Into<String>>(headings: impl IntoIterator<Item = H>) -> Table {
    let columns = headings.into_iter().map(|heading| Column {
        heading: heading.into(),
        is_right: false,
        is_whole: false,
    });
    Table {
        columns: columns.collect(),
        gap: GAP,
        rows: Vec::new(),
    }
}

/// Rows of cells below headings. A heading such as `STATUS` makes its column coloured.
#[derive(Debug, Clone)]
pub struct Table {
    columns: Vec<Column>,
    /// Spaces between columns.
    gap: usize,
    rows: Vec<Vec<String>>,
}

#[derive(Debug, Clone)]
struct Column {
    heading: String,
    /// Its cells end at the right.
    is_right: bool,
    /// Its cells are neither broken nor shortened.
    is_whole: bool,
}

impl Table {
    /// Adds a row. A cell may have several lines.
    pub fn add_row<C: Into<String>>(&mut self, cells: impl IntoIterator<Item = C>) -> &mut Self {
        self.rows.push(cells.into_iter().map(Into::into).collect());
        self
    }

    pub fn add_rows<R, C>(&mut self, rows: impl IntoIterator<Item = R>) -> &mut Self
    where
        R: IntoIterator<Item = C>,
        C: Into<String>,
    {
        for row in rows {
            self.add_row(row);
        }
        self
    }

    /// Puts so many spaces between columns.
    pub fn gap(&mut self, spaces: usize) -> &mut Self {
        self.gap = spaces;
        self
    }

    /// Aligns the cells of a column, numbered from 0, at the right.
    pub fn right(&mut self, column: usize) -> &mut Self {
        if let Some(column) = self.columns.get_mut(column) {
            column.is_right = true;
        }
        self
    }

    /// Never breaks or shortens a cell of a column, numbered from 0: it is copied.
    pub fn whole(&mut self, column: usize) -> &mut Self {
        if let Some(column) = self.columns.get_mut(column) {
            column.is_whole = true;
        }
        self
    }

    /// Never breaks or shortens a cell: a row may be wider than the terminal.
    pub fn all_whole(&mut self) -> &mut Self {
        for column in &mut self.columns {
            column.is_whole = true;
        }
        self
    }

    /// The lines, without spaces at their ends.
    pub fn trim_fmt(&self) -> String {
        let Layout { width, style } = layout();
        self.rendered(width.into(), &style)
    }

    fn rendered(&self, width: usize, style: &Style) -> String {
        let Some(widths) = self.widths(width) else {
            return self.blocks(width, style);
        };
        let headings: Vec<String> = self.columns.iter().map(|column| column.heading.clone()).collect();
        let mut text = String::new();
        if headings.iter().any(|heading| !heading.is_empty()) {
            self.write_row(&mut text, &headings, &widths, &|_, line| style.bold(line));
        }
        for row in &self.rows {
            self.write_row(&mut text, row, &widths, &|column, line| {
                self.painted(column, line, style)
            });
        }
        text.truncate(text.trim_end_matches('\n').len());
        text
    }

    fn painted(&self, column: usize, line: &str, style: &Style) -> String {
        match self.columns[column].heading.as_str() {
            "STATUS" | "STATE" | "RESULT" | "ACTION" | "DECISION" => style.state(line),
            _ => line.to_owned(),
        }
    }

    /// The cells of a column, with its heading.
    fn cells(&self, column: usize) -> impl Iterator<Item = &str> {
        let heading = std::iter::once(self.columns[column].heading.as_str());
        heading.chain(
            self.rows
                .iter()
                .filter_map(move |row| row.get(column).map(String::as_str)),
        )
    }

    /// The widths of the columns; `None` if they do not fit into `width` even with shortened names.
    fn widths(&self, width: usize) -> Option<Vec<usize>> {
        let gaps = self.gap * self.columns.len().saturating_sub(1);
        let left = width.saturating_sub(gaps);
        let columns = || 0..self.columns.len();
        let most = |column: usize, pieces: fn(&str) -> Vec<&str>| {
            let widths = self
                .cells(column)
                .flat_map(|cell| pieces(cell))
                .map(|piece| piece.width());
            widths.max().unwrap_or(0)
        };
        let natural: Vec<usize> = columns()
            .map(|at| most(at, |cell| cell.lines().collect()))
            .collect();
        // What is copied may be wider than the terminal.
        let is_copied = self.columns.iter().all(|column| column.is_whole);
        if is_copied || natural.iter().sum::<usize>() <= left {
            return Some(natural);
        }
        let whole_or = |least: &dyn Fn(usize) -> usize| -> Vec<usize> {
            columns()
                .map(|at| {
                    if self.columns[at].is_whole {
                        natural[at]
                    } else {
                        least(at)
                    }
                })
                .collect()
        };
        let words = whole_or(&|at| most(at, |cell| cell.split_whitespace().collect()));
        if words.iter().sum::<usize>() <= left {
            return Some(level(&words, &natural, left));
        }
        let shortened = whole_or(&|at| words[at].min(SHORTENED.max(self.columns[at].heading.width())));
        (shortened.iter().sum::<usize>() <= left).then(|| level(&shortened, &natural, left))
    }

    /// Appends a row: the lines of its cells side by side.
    fn write_row(
        &self,
        text: &mut String,
        cells: &[String],
        widths: &[usize],
        paint: &dyn Fn(usize, &str) -> String,
    ) {
        let cells: Vec<Vec<String>> = cells
            .iter()
            .zip(widths)
            .map(|(cell, &width)| cell.lines().flat_map(|line| broken(line, width)).collect())
            .collect();
        let height = cells.iter().map(Vec::len).max().unwrap_or(0).max(1);
        for index in 0..height {
            // Spaces are written before the next cell that is not empty: none is left at the end of a line.
            let mut spaces = 0;
            for (column, (lines, &width)) in cells.iter().zip(widths).enumerate() {
                let line = lines.get(index).map_or("", |line| line.trim_end());
                let room = width.saturating_sub(line.width());
                let (before, after) = if self.columns[column].is_right {
                    (room, 0)
                } else {
                    (0, room)
                };
                if line.is_empty() {
                    spaces += width + self.gap;
                    continue;
                }
                text.push_str(&" ".repeat(spaces + before));
                text.push_str(&paint(column, line));
                spaces = after + self.gap;
            }
            text.push('\n');
        }
    }

    /// A line for each cell, with its heading, and an empty line between rows.
    fn blocks(&self, width: usize, style: &Style) -> String {
        let headings = self.columns.iter().map(|column| column.heading.width());
        let label = headings.max().unwrap_or(0);
        let left = width.saturating_sub(label + GAP).max(1);
        let block = |row: &Vec<String>| {
            let mut block = Vec::new();
            for (at, cell) in row.iter().enumerate().take(self.columns.len()) {
                let heading = &self.columns[at].heading;
                let lines = cell.lines().flat_map(|line| match self.columns[at].is_whole {
                    true => vec![line.to_owned()],
                    false => broken(line, left),
                });
                for (index, line) in lines.enumerate() {
                    let heading = if index == 0 { heading.as_str() } else { "" };
                    let spaces = " ".repeat(label + GAP - heading.width());
                    let painted = self.painted(at, line.trim_end(), style);
                    let shown = format!("{}{spaces}{painted}", style.bold(heading));
                    block.push(shown.trim_end().to_owned());
                }
            }
            block.join("\n")
        };
        self.rows.iter().map(block).collect::<Vec<_>>().join("\n\n")
    }
}

/// Widths between `least` and `most` that together are `left`: all columns are cut at the same width.
fn level(least: &[usize], most: &[usize], left: usize) -> Vec<usize> {
    let cut = |at: usize| -> Vec<usize> {
        least
            .iter()
            .zip(most)
            .map(|(&least, &most)| at.clamp(least.min(most), most))
            .collect()
    };
    let highest = (0..=left).rev().find(|&at| cut(at).iter().sum::<usize>() <= left);
    cut(highest.unwrap_or(0))
}

/// `line` in lines of at most `width` columns, broken at spaces. A longer word loses its middle.
fn broken(line: &str, width: usize) -> Vec<String> {
    if line.width() <= width {
        return vec![line.to_owned()];
    }
    let mut lines = vec![String::new()];
    for word in line.split(' ').map(|word| shortened(word, width)) {
        let last = lines.len() - 1;
        let line = &mut lines[last];
        if line.is_empty() {
            line.push_str(&word);
        } else if line.width() + 1 + word.width() <= width {
            line.push(' ');
            line.push_str(&word);
        } else {
            lines.push(word);
        }
    }
    lines
}

/// `word` in at most `width` columns: its middle is replaced by an ellipsis.
fn shortened(word: &str, width: usize) -> String {
    if word.width() <= width {
        return word.to_owned();
    }
    let room = width.saturating_sub(1);
    let start = fitting(word.chars(), room.div_ceil(2));
    let mut end: Vec<char> = fitting(word.chars().rev(), room / 2).chars().collect();
    end.reverse();
    format!("{start}…{}", end.iter().collect::<String>())
}

/// The first of `chars` that fit into `width` columns.
fn fitting(chars: impl Iterator<Item = char>, width: usize) -> String {
    let mut text = String::new();
    for c in chars {
        text.push(c);
        if text.width() > width {
            text.pop();
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn streams() -> Table {
        let mut table = table(["NAME", "STATUS", "DESTINATION", "NOTE"]);
        table.add_row([
            "orders",
            "ACTIVE",
            "a-bucket-with-a-long-name-in-eu-west-1",
            "one",
        ]);
        table.add_row(["payments-of-the-whole-year", "CREATING", "b", "two words or more"]);
        table
    }

    #[test]
    fn a_table_that_fits_has_its_natural_widths() {
        insta::assert_snapshot!(streams().rendered(200, &Style::plain()), @"
        NAME                        STATUS    DESTINATION                             NOTE
        orders                      ACTIVE    a-bucket-with-a-long-name-in-eu-west-1  one
        payments-of-the-whole-year  CREATING  b                                       two words or more
        ");
    }

    #[test]
    fn cells_are_broken_at_spaces_then_names_lose_their_middle() {
        insta::assert_snapshot!(streams().rendered(92, &Style::plain()), @"
        NAME                        STATUS    DESTINATION                             NOTE
        orders                      ACTIVE    a-bucket-with-a-long-name-in-eu-west-1  one
        payments-of-the-whole-year  CREATING  b                                       two words or
                                                                                      more
        ");
        insta::assert_snapshot!(streams().rendered(60, &Style::plain()), @"
        NAME             STATUS    DESTINATION      NOTE
        orders           ACTIVE    a-bucke…-west-1  one
        payment…le-year  CREATING  b                two words or
                                                    more
        ");
    }

    #[test]
    fn a_table_that_cannot_fit_becomes_blocks() {
        insta::assert_snapshot!(streams().rendered(30, &Style::plain()), @"
        NAME         orders
        STATUS       ACTIVE
        DESTINATION  a-bucket…u-west-1
        NOTE         one

        NAME         payments…ole-year
        STATUS       CREATING
        DESTINATION  b
        NOTE         two words or more
        ");
    }

    #[test]
    fn headings_are_bold_and_states_coloured() {
        let mut table = table(["NAME", "STATUS"]);
        table.add_row(["orders", "ACTIVE"]).add_row(["old", "DELETING"]);
        let text = table.rendered(80, &Style::new(true, true));
        let bold = |text: &str| Style::new(true, true).bold(text);
        assert!(
            text.starts_with(&format!("{}    {}\n", bold("NAME"), bold("STATUS"))),
            "{text:?}"
        );
        assert!(text.contains("orders  \u{1b}[32mACTIVE\u{1b}[0m\n"), "{text:?}");
        assert!(text.ends_with("old     \u{1b}[33mDELETING\u{1b}[0m"), "{text:?}");
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            rows in prop::collection::vec(prop::collection::vec("[a-z日]{0,30}( [a-z-]{0,40}){0,3}", 3), 0..5),
            width in 30usize..120,
        ) {
            let mut table = table(["NAME", "STATE", "DETAIL OF IT"]);
            for row in rows {
                table.add_row(row);
            }
            let text = table.rendered(width, &Style::plain());
            for line in text.lines() {
                prop_assert!(line.width() <= width, "{}: {line}", line.width());
                prop_assert_eq!(line.trim_end(), line);
            }
        }
    }
}
