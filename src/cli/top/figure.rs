//! Cells as text.

use crate::ui::sparkline::Glyphs;
use crate::ui::{units, visible};
use domain::observe::live::{Cell, Column};

/// Width of a share with its bar.
const WITH_BAR: u16 = 11;

/// The text of `cell` for a column, without control characters.
pub(super) fn text(cell: &Cell, column: &Column, glyphs: Glyphs) -> String {
    match cell {
        Cell::Text(text) => visible(text),
        Cell::Count(n) | Cell::Rate(n) => number(*n),
        Cell::Bytes(n) | Cell::ByteRate(n) => bytes(*n),
        Cell::Milliseconds(n) => units::milliseconds(*n),
        Cell::Share(share) if column.width >= WITH_BAR => bar(*share, glyphs),
        Cell::Share(share) => percent(*share),
        Cell::Missing => glyphs.nothing().to_owned(),
    }
}

/// Up to five characters: `0`, `1.5`, `999`, `1.2k`, `34M`.
fn number(n: f64) -> String {
    const STEPS: [(f64, &str); 4] = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    // 999.6 would be shown as 1000.
    match STEPS.iter().find(|(step, _)| n >= step * 0.999_5) {
        Some((step, unit)) if n / step < 9.95 => format!("{:.1}{unit}", n / step),
        Some((step, unit)) => format!("{:.0}{unit}", n / step),
        None if n < 9.95 && n.fract() != 0.0 => format!("{n:.1}"),
        None => format!("{n:.0}"),
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and a float beyond u64 becomes its largest"
)]
fn bytes(n: f64) -> String {
    units::bytes(n.max(0.0).round() as u64)
}

fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        p if p > 0.0 && p < 0.95 => format!("{p:.1}%"),
        p if p > 9_999.0 => ">9999%".to_owned(),
        p => format!("{p:.0}%"),
    }
}

/// ` 63% ████░░`.
fn bar(share: f64, glyphs: Glyphs) -> String {
    const MARKS: usize = 6;
    let (full, empty) = match glyphs {
        Glyphs::Blocks => ("█", "░"),
        Glyphs::Ascii => ("#", "."),
    };
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 6")]
    let marks = (share.clamp(0.0, 1.0) * MARKS as f64).round() as usize;
    // Something differs from nothing.
    let marks = if share > 0.0 { marks.max(1) } else { marks };
    format!(
        "{:>4} {}{}",
        percent(share),
        full.repeat(marks),
        empty.repeat(MARKS - marks)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::observe::live::View;

    #[test]
    fn numbers_are_short() {
        let shown = [
            0.0, 0.04, 1.5, 9.96, 12.3, 999.4, 999.7, 1_234.0, 12_345.0, 3.4e7, 2e12,
        ]
        .map(number);
        assert_eq!(
            shown,
            [
                "0", "0.0", "1.5", "10", "12", "999", "1.0k", "1.2k", "12k", "34M", "2.0T"
            ]
        );
    }

    #[test]
    fn shares_have_a_bar_where_there_is_room() {
        let used = &View::Streams.columns()[5];
        let keys = &View::Shards { stream: "s".into() }.columns()[2];
        let shown = |share, glyphs| text(&Cell::Share(share), used, glyphs);
        assert_eq!(shown(0.0, Glyphs::Blocks), "  0% ░░░░░░");
        assert_eq!(shown(0.004, Glyphs::Blocks), "0.4% █░░░░░");
        assert_eq!(shown(0.63, Glyphs::Blocks), " 63% ████░░");
        assert_eq!(shown(1.2, Glyphs::Ascii), "120% ######");
        assert_eq!(text(&Cell::Share(0.25), keys, Glyphs::Ascii), "25%");
        assert_eq!(text(&Cell::Missing, used, Glyphs::Ascii), "-");
    }

    #[test]
    fn names_cannot_move_the_cursor() {
        let name = &View::Streams.columns()[0];
        let cell = Cell::Text("a\u{1b}[2Jb\nc".into());
        assert_eq!(text(&cell, name, Glyphs::Ascii), "a\\u{1b}[2Jb\\nc");
    }
}
