//! A row of numbers as a row of bars.

/// Characters of the bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glyphs {
    /// `▁▂▃▄▅▆▇█`.
    Blocks,
    /// `_.:-=+*#`, for terminals without UTF-8.
    Ascii,
}

impl Glyphs {
    /// The characters for the locale and terminal of this process.
    pub fn detect() -> Self {
        Self::from_env(&|name| std::env::var(name).ok())
    }

    /// Blocks where the locale is UTF-8 and the terminal is not `dumb`.
    ///
    /// Source: POSIX, "Environment Variables": LC_ALL wins over LC_CTYPE, which wins over LANG; empty is unset.
    pub fn from_env(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        if set("TERM").is_some_and(|term| term == "dumb") {
            return Self::Ascii;
        }
        let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
        let utf8 = locale.map_or(cfg!(windows), |locale| {
            let locale = locale.to_ascii_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        });
        if utf8 { Self::Blocks } else { Self::Ascii }
    }

    /// The mark for "no data".
    pub fn nothing(self) -> &'static str {
        match self {
            Self::Blocks => "–",
            Self::Ascii => "-",
        }
    }

    fn bars(self) -> [char; 8] {
        match self {
            Self::Blocks => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'],
            Self::Ascii => ['_', '.', ':', '-', '=', '+', '*', '#'],
        }
    }
}

/// How many values one mark stands for so that `values` fit into `width` marks.
pub fn values_per_mark(values: usize, width: usize) -> usize {
    values.div_ceil(width.max(1)).max(1)
}

/// `values` in at most `width` marks, scaled from zero to the largest. A mark shows the largest of its values, or a gap if
/// it has none.
pub fn sparkline(values: &[Option<f64>], width: usize, glyphs: Glyphs) -> String {
    let known = values.iter().flatten().copied();
    let largest = known.fold(0.0, f64::max);
    let bars = glyphs.bars();
    let mark = |chunk: &[Option<f64>]| {
        let Some(value) = chunk.iter().flatten().copied().reduce(f64::max) else {
            return ' ';
        };
        if largest <= 0.0 || value <= 0.0 {
            return bars[0];
        }
        // A small value must differ from zero.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 7")]
        let height = (value / largest * 7.0).ceil() as usize;
        bars[height.clamp(1, 7)]
    };
    values
        .chunks(values_per_mark(values.len(), width))
        .map(mark)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_rise_from_zero() {
        let values: Vec<_> = (0..8).map(|n| Some(f64::from(n))).collect();
        assert_eq!(sparkline(&values, 80, Glyphs::Blocks), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&values, 80, Glyphs::Ascii), "_.:-=+*#");
    }

    #[test]
    fn gaps_and_zeros_differ() {
        let values = [Some(0.0), None, Some(1e-9), Some(1.0)];
        assert_eq!(sparkline(&values, 80, Glyphs::Blocks), "▁ ▂█");
        assert_eq!(sparkline(&[Some(0.0); 3], 80, Glyphs::Blocks), "▁▁▁");
        assert_eq!(sparkline(&[], 80, Glyphs::Blocks), "");
    }

    #[test]
    fn a_narrow_place_keeps_the_peaks() {
        let mut values = vec![Some(1.0); 60];
        values[31] = Some(70.0);
        assert_eq!(sparkline(&values, 20, Glyphs::Ascii), "..........#.........");
        assert_eq!(values_per_mark(60, 25), 3);
    }

    #[test]
    fn glyphs_follow_the_locale() {
        let of = |pairs: &'static [(&str, &str)]| {
            Glyphs::from_env(&|name| {
                pairs
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map(|(_, v)| (*v).to_owned())
            })
        };
        assert_eq!(of(&[("LANG", "en_GB.UTF-8")]), Glyphs::Blocks);
        assert_eq!(of(&[("LANG", "en_GB.UTF-8"), ("LC_ALL", "C")]), Glyphs::Ascii);
        assert_eq!(of(&[("LC_ALL", ""), ("LC_CTYPE", "C.utf8")]), Glyphs::Blocks);
        assert_eq!(of(&[("LANG", "en_GB.UTF-8"), ("TERM", "dumb")]), Glyphs::Ascii);
    }
}
