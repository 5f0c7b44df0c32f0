//! Charts of characters: braille dots, or `*` for terminals without UTF-8. One chart for each line, since dots of two lines
//! cannot be told apart without colour.

use std::fmt::Write as _;

use super::{Chart, Line, Panel, resampled, time};
use crate::sparkline::Glyphs;
use crate::{Style, wrap};

/// Rows of characters of a chart.
const ROWS: usize = 6;
/// Narrowest area of dots, in characters.
const NARROWEST: usize = 10;

/// The charts of `chart`, `width` columns wide at most.
pub fn terminal(chart: &Chart, width: usize, glyphs: Glyphs, style: &Style) -> String {
    let mut text = String::new();
    for line in wrap(&chart.title, width) {
        let _ = writeln!(text, "{}", style.bold(&line));
    }
    for panel in &chart.panels {
        for line in &panel.lines {
            let _ = write!(text, "\n{}", one(chart, panel, line, width, glyphs, style));
        }
    }
    text
}

fn one(chart: &Chart, panel: &Panel, line: &Line, width: usize, glyphs: Glyphs, style: &Style) -> String {
    let alone = Panel {
        lines: vec![line.clone()],
        ..panel.clone()
    };
    let (top, format) = (alone.top(), panel.format);
    let labels = [format(top), format(top / 2.0), format(0.0)];
    let margin = labels
        .iter()
        .map(|label| label.chars().count())
        .max()
        .unwrap_or(0);
    let columns = width.saturating_sub(margin + 2).max(NARROWEST);
    let limit = match panel.limit {
        Some(limit) => format!(" of {}", format(limit)),
        None => String::new(),
    };
    let heading = format!("{}, peak {}{limit}", line.name, format(line.peak()));
    let mut text = String::new();
    for line in wrap(&heading, width) {
        let _ = writeln!(text, "{}", style.bold(&line));
    }
    let (axis, corner, dash) = match glyphs {
        Glyphs::Blocks => ('│', '└', "─"),
        Glyphs::Ascii => ('|', '+', "-"),
    };
    for (row, dots) in rows(&line.values, top, columns, glyphs).iter().enumerate() {
        let label = match row {
            0 => labels[0].as_str(),
            row if row == ROWS / 2 => labels[1].as_str(),
            row if row == ROWS - 1 => labels[2].as_str(),
            _ => "",
        };
        let pad = " ".repeat(margin.saturating_sub(label.chars().count()));
        let _ = writeln!(text, "{pad}{label} {axis}{}", dots.trim_end());
    }
    let _ = writeln!(text, "{} {corner}{}", " ".repeat(margin), dash.repeat(columns));
    let _ = writeln!(
        text,
        "{}  {}",
        " ".repeat(margin),
        times(chart, columns).trim_end()
    );
    text
}

/// Start, middle and end below an axis of `columns` characters.
fn times(chart: &Chart, columns: usize) -> String {
    let range = chart.end - chart.start;
    let [start, middle, end] = [chart.start, chart.start + range / 2, chart.end].map(|at| time(at, range));
    let fixed = start.chars().count() + end.chars().count();
    let room = columns.saturating_sub(fixed);
    let length = middle.chars().count();
    if room < length + 2 {
        return format!("{start}{}{end}", " ".repeat(room.max(1)));
    }
    let before = (columns / 2)
        .saturating_sub(start.chars().count() + length / 2)
        .max(1);
    let after = room.saturating_sub(before + length).max(1);
    format!("{start}{}{middle}{}{end}", " ".repeat(before), " ".repeat(after))
}

/// The rows of dots, the top first.
fn rows(values: &[Option<f64>], top: f64, columns: usize, glyphs: Glyphs) -> Vec<String> {
    let (wide, high) = match glyphs {
        Glyphs::Blocks => (2, 4),
        Glyphs::Ascii => (1, 1),
    };
    let height = ROWS * high;
    let mut cells = vec![vec![0u8; columns]; ROWS];
    let mut last: Option<usize> = None;
    for (x, value) in resampled(values, columns * wide).into_iter().enumerate() {
        let Some(value) = value else {
            last = None;
            continue;
        };
        let y = level(value, top, height);
        // The line goes through all levels since the last value.
        let from = last.map_or(y, |last| match last < y {
            true => last + 1,
            false if last > y => last - 1,
            false => y,
        });
        for y in from.min(y)..=from.max(y) {
            let row = ROWS - 1 - y / high;
            cells[row][x / wide] |= dot(x % wide, y % high, glyphs);
        }
        last = Some(y);
    }
    let character = |cell: &u8| match glyphs {
        Glyphs::Blocks if *cell == 0 => ' ',
        Glyphs::Blocks => char::from_u32(0x2800 + u32::from(*cell)).unwrap_or(' '),
        Glyphs::Ascii if *cell == 0 => ' ',
        Glyphs::Ascii => '*',
    };
    cells
        .iter()
        .map(|row| row.iter().map(character).collect())
        .collect()
}

/// 0 for zero, and the highest of `height` levels for `top`.
fn level(value: f64, top: f64, height: usize) -> usize {
    let highest = height.saturating_sub(1);
    #[allow(clippy::cast_precision_loss, reason = "some dozens")]
    let exact = (value / top).clamp(0.0, 1.0) * highest as f64;
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "0 to `highest`"
    )]
    let level = exact.round() as usize;
    // A small value must differ from zero.
    if value > 0.0 {
        level.clamp(highest.min(1), highest)
    } else {
        0
    }
}

/// The bit of a dot in a braille character; `y` counts from below.
/// Source: Unicode, "Braille Patterns": dots 1 to 3 and 7 on the left, 4 to 6 and 8 on the right.
fn dot(x: usize, y: usize, glyphs: Glyphs) -> u8 {
    const LEFT: [u8; 4] = [0x40, 0x04, 0x02, 0x01];
    const RIGHT: [u8; 4] = [0x80, 0x20, 0x10, 0x08];
    match (glyphs, x) {
        (Glyphs::Ascii, _) => 1,
        (Glyphs::Blocks, 0) => LEFT[y % 4],
        (Glyphs::Blocks, _) => RIGHT[y % 4],
    }
}
