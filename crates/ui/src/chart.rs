//! Charts of values over time: in a terminal with braille dots, and as SVG and PNG pictures.
//!
//! Owns scales, axes and their labels. Knows nothing of what the values are.

mod layout;
mod png;
mod svg;
mod terminal;

pub use png::png;
pub use svg::svg;
pub use terminal::terminal;

use jiff::Timestamp;

/// Charts of the same time range, one below the other.
#[derive(Debug, Clone)]
pub struct Chart {
    pub title: String,
    /// Seconds since the epoch.
    pub start: i64,
    /// Seconds since the epoch, after the last value.
    pub end: i64,
    pub panels: Vec<Panel>,
}

/// One pair of axes.
#[derive(Debug, Clone)]
pub struct Panel {
    pub title: String,
    pub lines: Vec<Line>,
    /// Shows a value of the vertical axis.
    pub format: fn(f64) -> String,
    /// 1,000, or 1,024 for bytes: labels are round in it.
    pub base: f64,
    /// Drawn if values come near to it.
    pub limit: Option<f64>,
}

/// One value for each period; `None` where there is no data, which is a gap in the line.
#[derive(Debug, Clone)]
pub struct Line {
    pub name: String,
    pub values: Vec<Option<f64>>,
}

impl Line {
    fn peak(&self) -> f64 {
        self.values.iter().flatten().copied().fold(0.0, f64::max)
    }
}

impl Panel {
    fn peak(&self) -> f64 {
        self.lines.iter().map(Line::peak).fold(0.0, f64::max)
    }

    /// The limit, if the values come near enough to it to be compared.
    fn visible_limit(&self) -> Option<f64> {
        self.limit.filter(|limit| self.peak() >= *limit * 0.3)
    }

    /// The value at the top of the axis: round, and not below any value.
    fn top(&self) -> f64 {
        round_up(self.peak().max(self.visible_limit().unwrap_or(0.0)), self.base)
    }
}

/// The next value from `value` up whose first digits are 1, 2, 2.5, 4, 5 or 8, in powers of `base`; 1 for zero and less.
fn round_up(value: f64, base: f64) -> f64 {
    if !value.is_finite() || value <= 0.0 {
        return 1.0;
    }
    let mut scale = 1.0;
    while value / scale >= base && scale < 1e100 {
        scale *= base;
    }
    while value / scale > 10.0 {
        scale *= 10.0;
    }
    while value / scale < 1.0 {
        scale /= 10.0;
    }
    let first = value / scale;
    let round = [1.0, 2.0, 2.5, 4.0, 5.0, 8.0]
        .into_iter()
        .find(|round| first <= *round);
    round.unwrap_or(10.0) * scale
}

/// A time of the horizontal axis, in UTC: `09:15`, with the date where the range is longer than a day.
fn time(seconds: i64, range: i64) -> String {
    let format = match range > 2 * 86_400 {
        true => "%m-%d %H:%M",
        false => "%H:%M",
    };
    let time = Timestamp::from_second(seconds).unwrap_or_default();
    time.strftime(format).to_string()
}

/// `values` as `count` values: the largest of those that share one, each repeated where there are too few.
fn resampled(values: &[Option<f64>], count: usize) -> Vec<Option<f64>> {
    let length = values.len();
    let at = |index: usize| {
        let from = index * length / count.max(1);
        let to = ((index + 1) * length / count.max(1)).max(from + 1).min(length);
        let shared = values.get(from..to).unwrap_or_default();
        shared.iter().flatten().copied().reduce(f64::max)
    };
    (0..count).map(at).collect()
}

#[cfg(test)]
mod tests;
