//! Where everything of a picture is, for each kind of picture.

use super::{Chart, Panel, time};

pub(super) const WIDTH: f64 = 960.0;
const TITLE: f64 = 44.0;
const PANEL: f64 = 210.0;
/// Margins of the axes within their panel.
const LEFT: f64 = 104.0;
const RIGHT: f64 = 24.0;
const ABOVE: f64 = 40.0;
const BELOW: f64 = 34.0;

/// What something is drawn in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ink {
    Text,
    Faint,
    Grid,
    Limit,
    /// The line with this number.
    Line(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// Something to draw on. Coordinates are pixels from the upper left corner.
pub(super) trait Canvas {
    /// Text with its baseline at `y`.
    fn text(&mut self, x: f64, y: f64, anchor: Anchor, ink: Ink, text: &str);
    /// Connects the points. A single point is a dot.
    fn line(&mut self, points: &[(f64, f64)], ink: Ink, width: f64);
    /// Width of `text` in pixels, at least.
    fn text_width(&self, text: &str) -> f64;
}

/// Height of the picture of `chart`.
pub(super) fn height(chart: &Chart) -> f64 {
    #[allow(clippy::cast_precision_loss, reason = "some panels")]
    let panels = chart.panels.len() as f64;
    TITLE + PANEL * panels.max(1.0)
}

pub(super) fn draw(chart: &Chart, canvas: &mut impl Canvas) {
    canvas.text(20.0, 30.0, Anchor::Start, Ink::Text, &chart.title);
    if chart.panels.is_empty() {
        canvas.text(20.0, TITLE + 30.0, Anchor::Start, Ink::Faint, "no data");
    }
    let mut top = TITLE;
    for panel in &chart.panels {
        axes(chart, panel, top, canvas);
        legend(panel, top, canvas);
        lines(panel, top, canvas);
        top += PANEL;
    }
}

const AREA: f64 = WIDTH - LEFT - RIGHT;

/// The vertical position of a share of the axis, 0 at its foot.
fn vertical(share: f64, top: f64) -> f64 {
    let height = PANEL - ABOVE - BELOW;
    top + ABOVE + height * (1.0 - share.clamp(0.0, 1.0))
}

fn axes(chart: &Chart, panel: &Panel, top: f64, canvas: &mut impl Canvas) {
    let most = panel.top();
    for share in [0.0, 0.5, 1.0] {
        let y = vertical(share, top);
        canvas.line(&[(LEFT, y), (WIDTH - RIGHT, y)], Ink::Grid, 1.0);
        let label = (panel.format)(most * share);
        canvas.text(LEFT - 10.0, y + 5.0, Anchor::End, Ink::Faint, &label);
    }
    if let Some(limit) = panel.visible_limit() {
        let y = vertical(limit / most, top);
        canvas.line(&[(LEFT, y), (WIDTH - RIGHT, y)], Ink::Limit, 1.5);
        let label = format!("limit {}", (panel.format)(limit));
        canvas.text(WIDTH - RIGHT, y - 5.0, Anchor::End, Ink::Limit, &label);
    }
    let range = chart.end - chart.start;
    let y = vertical(0.0, top) + 22.0;
    for (quarter, anchor) in [
        (0, Anchor::Start),
        (1, Anchor::Middle),
        (2, Anchor::Middle),
        (3, Anchor::Middle),
        (4, Anchor::End),
    ] {
        let label = time(chart.start + range * quarter / 4, range);
        #[allow(clippy::cast_precision_loss, reason = "0 to 4")]
        let x = LEFT + AREA * quarter as f64 / 4.0;
        canvas.text(x, y, anchor, Ink::Faint, &label);
    }
}

/// The title, and the names of the lines unless the title says them.
fn legend(panel: &Panel, top: f64, canvas: &mut impl Canvas) {
    let y = top + 22.0;
    let mut x = LEFT;
    canvas.text(x, y, Anchor::Start, Ink::Text, &panel.title);
    x += canvas.text_width(&panel.title) + 28.0;
    for (number, line) in panel.lines.iter().enumerate() {
        let width = canvas.text_width(&line.name) + 56.0;
        // What has no room is left out: the order is that of the lines.
        if panel.title.ends_with(&line.name) || x + width > WIDTH - RIGHT {
            return;
        }
        canvas.line(&[(x, y - 5.0), (x + 22.0, y - 5.0)], Ink::Line(number), 4.0);
        canvas.text(x + 30.0, y, Anchor::Start, Ink::Faint, &line.name);
        x += width;
    }
}

fn lines(panel: &Panel, top: f64, canvas: &mut impl Canvas) {
    let most = panel.top();
    for (number, line) in panel.lines.iter().enumerate() {
        #[allow(clippy::cast_precision_loss, reason = "at most some thousand values")]
        let step = AREA / line.values.len().max(1) as f64;
        let mut run: Vec<(f64, f64)> = Vec::new();
        let mut x = LEFT + step / 2.0;
        for value in &line.values {
            match value {
                Some(value) => run.push((x, vertical(value / most, top))),
                None => flush(&mut run, number, canvas),
            }
            x += step;
        }
        flush(&mut run, number, canvas);
    }
}

/// Draws the values between two gaps.
fn flush(run: &mut Vec<(f64, f64)>, number: usize, canvas: &mut impl Canvas) {
    if !run.is_empty() {
        canvas.line(run, Ink::Line(number), 2.0);
        run.clear();
    }
}
