//! Lengths of time in text: one grammar for everything that is read, one form for everything that is shown.
//!
//! A length of time is a sequence of whole numbers with units, largest unit first: `500ms`, `90s`, `1h30m`, `2d`. The
//! units are `w`, `d` (24 hours), `h`, `m`, `s` and `ms`; each occurs at most once, and spaces may separate the parts.
//!
//! jiff and humantime read more (`1.5 hours ago`, `PT5M`, `1h 1h`) and not all of this; checking their input first
//! would take as much code as reading it.

use std::time::Duration;

/// A unit of the grammar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
}

impl Unit {
    /// Largest first.
    const ALL: [Self; 6] = [
        Self::Week,
        Self::Day,
        Self::Hour,
        Self::Minute,
        Self::Second,
        Self::Millisecond,
    ];

    fn symbol(self) -> &'static str {
        match self {
            Self::Week => "w",
            Self::Day => "d",
            Self::Hour => "h",
            Self::Minute => "m",
            Self::Second => "s",
            Self::Millisecond => "ms",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Week => "weeks",
            Self::Day => "days",
            Self::Hour => "hours",
            Self::Minute => "minutes",
            Self::Second => "seconds",
            Self::Millisecond => "milliseconds",
        }
    }

    const fn milliseconds(self) -> u64 {
        match self {
            Self::Week => 7 * 86_400_000,
            Self::Day => 86_400_000,
            Self::Hour => 3_600_000,
            Self::Minute => 60_000,
            Self::Second => 1000,
            Self::Millisecond => 1,
        }
    }
}

/// What one flag or field takes.
#[derive(Debug, Clone, Copy)]
pub struct Parser {
    bare: Option<Unit>,
    whole: Unit,
    least: Duration,
    most: Duration,
}

impl Parser {
    /// Takes a whole number of `unit`s of any length. A number needs its unit.
    pub const fn whole(unit: Unit) -> Self {
        Self {
            bare: None,
            whole: unit,
            least: Duration::ZERO,
            most: Duration::MAX,
        }
    }

    /// Also takes a number without a unit, which is a number of the unit of [`Parser::whole`].
    #[must_use]
    pub const fn or_bare(self) -> Self {
        Self {
            bare: Some(self.whole),
            ..self
        }
    }

    /// Takes nothing shorter than `least` or longer than `most`.
    #[must_use]
    pub const fn between(self, least: Duration, most: Duration) -> Self {
        Self { least, most, ..self }
    }

    /// Reads `text`.
    ///
    /// # Errors
    /// A clause that says what is taken, without `text` itself: "not a length of time; write it like 90s or 1h30m".
    pub fn parse(&self, text: &str) -> Result<Duration, String> {
        let bare = self.bare.filter(|_| is_number(text.trim()));
        let read = match bare {
            Some(unit) => part(text.trim(), unit),
            None => read(text),
        };
        let ms = read.ok_or_else(|| self.grammar())?;
        if ms % self.whole.milliseconds() != 0 {
            return Err(format!("must be a whole number of {}", self.whole.name()));
        }
        let length = Duration::from_millis(ms);
        self.check(length).map(|()| length)
    }

    /// Refuses a length outside the range of [`Parser::between`].
    ///
    /// # Errors
    /// "must be between 1m and 7d".
    pub fn check(&self, length: Duration) -> Result<(), String> {
        if (self.least..=self.most).contains(&length) {
            return Ok(());
        }
        Err(if self.most == Duration::MAX {
            format!("must be at least {}", format(self.least))
        } else {
            format!("must be between {} and {}", format(self.least), format(self.most))
        })
    }

    fn grammar(&self) -> String {
        let examples = match self.whole {
            Unit::Millisecond => "20ms, 30s or 5m",
            Unit::Second => "90s, 1h30m or 2d",
            Unit::Minute => "5m, 1h30m or 2d",
            _ => "36h, 7d or 1d12h",
        };
        let bare = self
            .bare
            .map(|unit| format!(", or as a number of {}", unit.name()))
            .unwrap_or_default();
        format!("not a length of time; write it like {examples}{bare}")
    }
}

/// Reads `text` as a length of time whose numbers all have units; `None` where it is none.
pub fn parse(text: &str) -> Option<Duration> {
    read(text).map(Duration::from_millis)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn part(number: &str, unit: Unit) -> Option<u64> {
    number.parse::<u64>().ok()?.checked_mul(unit.milliseconds())
}

/// In milliseconds.
fn read(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut units = Unit::ALL.into_iter();
    let mut total: u64 = 0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let (number, after) = rest.split_at(digits);
        let end = after
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(after.len());
        let (symbol, after) = after.split_at(end);
        // What is left of the units is smaller than those seen.
        let unit = units.find(|unit| unit.symbol() == symbol)?;
        total = total.checked_add(part(number, unit)?)?;
        rest = after.trim_start();
        if rest.is_empty() {
            return Some(total);
        }
    }
}

/// The shortest text that [`parse`] reads as `length`, in days and smaller units: `1h30m`, `7d`, `0s`. What is less than
/// a millisecond is left out.
pub fn format(length: Duration) -> String {
    let mut left = length.as_millis();
    let mut text = String::new();
    // Weeks are read but not written: AWS counts in days.
    for unit in &Unit::ALL[1..] {
        let one = u128::from(unit.milliseconds());
        if left >= one {
            text.push_str(&format!("{}{}", left / one, unit.symbol()));
            left %= one;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// A measured length of time, rounded: `0 ms`, `250 ms`, `1.5 s`, `42 s`; from a minute on its two largest parts as
/// [`format()`] writes them: `2m5s`, `3h20m`, `4d2h`.
pub fn measured(length: Duration) -> String {
    let ms = length.as_secs_f64() * 1000.0;
    if ms < 999.5 {
        return format!("{} ms", decimal(ms));
    }
    if ms < 59_500.0 {
        return format!("{} s", decimal(ms / 1000.0));
    }
    let seconds = (length.as_millis() + 500) / 1000;
    let smallest = match seconds {
        0..3_600 => 1,
        3_600..86_400 => 60,
        _ => 3_600,
    };
    let shown = seconds - seconds % smallest;
    format(Duration::from_secs(u64::try_from(shown).unwrap_or(u64::MAX)))
}

/// A number with one decimal below ten, unless it is a zero, and none above.
pub fn decimal(value: f64) -> String {
    let text = if value < 9.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECONDS: Parser = Parser::whole(Unit::Second);

    #[test]
    fn a_length_of_time_is_numbers_with_units() {
        for (text, seconds) in [
            ("0s", 0),
            ("90s", 90),
            ("10m", 600),
            ("1h30m", 5_400),
            ("1h 30m", 5_400),
            (" 1h   30m ", 5_400),
            ("2d", 172_800),
            ("1w1d", 691_200),
            ("1m0s", 60),
            ("3000ms", 3),
            ("1s1000ms", 2),
        ] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for text in [
            "",
            " ",
            "1",
            "s",
            "m1",
            "1 h",
            "-1h",
            "+1h",
            "1.5h",
            "1x",
            "1H",
            "30m1h",
            "1h1h",
            "1mo",
            "1h30",
            "1h,30m",
            "soon",
            "PT1H",
            "٣s",
            "1ſ",
            "€",
            "99999999999999999999s",
            "18446744073709551615s",
            "1d18446744073709551615ms",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_bare_number_is_taken_where_there_is_a_unit_by_nature() {
        let hours = Parser::whole(Unit::Hour).or_bare();
        assert_eq!(hours.parse("24"), Ok(Duration::from_secs(86_400)));
        assert_eq!(hours.parse("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(SECONDS.or_bare().parse(" 60 "), Ok(Duration::from_secs(60)));
        assert!(SECONDS.parse("60").is_err());
        assert!(SECONDS.or_bare().parse("18446744073709551615").is_err());
    }

    #[test]
    fn an_error_says_what_is_taken() {
        let minute = Duration::from_secs(60);
        let wrong = |parser: Parser, text: &str| parser.parse(text).unwrap_err();
        let said = [
            wrong(SECONDS, "1x"),
            wrong(SECONDS.or_bare(), "1x"),
            wrong(SECONDS, "1500ms"),
            wrong(SECONDS.between(minute, 7 * 1440 * minute), "59s"),
            wrong(SECONDS.between(minute, Duration::MAX), "59s"),
            wrong(Parser::whole(Unit::Millisecond), "5"),
            wrong(Parser::whole(Unit::Hour).or_bare(), ""),
            wrong(Parser::whole(Unit::Hour).or_bare(), "90m"),
        ];
        insta::assert_snapshot!(said.join("\n"), @r"
        not a length of time; write it like 90s, 1h30m or 2d
        not a length of time; write it like 90s, 1h30m or 2d, or as a number of seconds
        must be a whole number of seconds
        must be between 1m and 7d
        must be at least 1m
        not a length of time; write it like 20ms, 30s or 5m
        not a length of time; write it like 36h, 7d or 1d12h, or as a number of hours
        must be a whole number of hours
        ");
    }

    #[test]
    fn lengths_are_shown_as_they_are_read() {
        let shown =
            [0, 5, 90, 3_600, 5_400, 86_400, 604_800, 1_209_601].map(|s| format(Duration::from_secs(s)));
        assert_eq!(shown, ["0s", "5s", "1m30s", "1h", "1h30m", "1d", "7d", "14d1s"]);
        assert_eq!(format(Duration::from_micros(20_500)), "20ms");
        assert!(!format(Duration::MAX).is_empty());
    }

    #[test]
    fn what_is_measured_has_at_most_two_parts() {
        let shown = [
            0,
            3,
            250,
            999,
            1_500,
            59_400,
            59_600,
            125_000,
            3_599_600,
            12_000_000,
            352_800_000,
        ];
        assert_eq!(
            shown.map(|ms| measured(Duration::from_millis(ms))),
            [
                "0 ms", "3 ms", "250 ms", "999 ms", "1.5 s", "59 s", "1m", "2m5s", "1h", "3h20m", "4d2h"
            ]
        );
        assert_eq!(measured(Duration::from_micros(3_210)), "3.2 ms");
        assert!(!measured(Duration::MAX).is_empty());
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_back(ms in any::<u64>()) {
            let length = Duration::from_millis(ms);
            prop_assert_eq!(parse(&format(length)), Some(length));
        }

        #[test]
        fn any_text_is_read_or_refused(text in ".*", near in "[0-9]{0,21}(ms|[smhdwx ])?[0-9]{0,21}(ms|[smhdwx ])?") {
            for text in [text, near] {
                let _ = (parse(&text), SECONDS.or_bare().parse(&text));
            }
        }

        #[test]
        fn any_length_is_shown(seconds in any::<u64>(), nanos in 0u32..1_000_000_000) {
            let length = Duration::new(seconds, nanos);
            prop_assert!(!format(length).is_empty() && !measured(length).is_empty());
        }
    }
}
