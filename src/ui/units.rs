//! Numbers and times as people read them.

use jiff::Timestamp;

use super::or_dash;

/// `1,234,567`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() * 4 / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 record`, `1,234 records`: `what` is the singular.
pub fn counted(number: u64, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        many => format!("{} {what}s", count(many)),
    }
}

/// Bytes in powers of 1,024: `512 B`, `1.5 KiB`, `20 MiB`.
pub fn bytes(number: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if number < 1024 {
        return format!("{number} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "shown with two digits")]
    let mut value = number as f64 / 1024.0;
    let mut unit = 0;
    // 1,023.95 KiB would be shown as 1024 KiB.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{} {}", short(value), UNITS[unit])
}

/// A measured duration: `0.42 ms`, `3.2 ms`, `1.5 s`, `2 min 5 s`, `3 h 20 min`, `4 d 2 h`.
pub fn milliseconds(ms: f64) -> String {
    let seconds = ms / 1000.0;
    if !ms.is_finite() || ms < 0.0 {
        return "–".to_owned();
    }
    if ms < 0.995 {
        return format!("{ms:.2} ms");
    }
    if ms < 999.5 {
        return format!("{} ms", short(ms));
    }
    if seconds < 59.95 {
        return format!("{} s", short(seconds));
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "positive; saturates"
    )]
    let whole = seconds.round() as u64;
    let pair = |large: u64, one: &str, small: u64, other: &str| match small {
        0 => format!("{large} {one}"),
        _ => format!("{large} {one} {small} {other}"),
    };
    match whole {
        0..3_600 => pair(whole / 60, "min", whole % 60, "s"),
        3_600..86_400 => pair(whole / 3_600, "h", whole % 3_600 / 60, "min"),
        _ => pair(whole / 86_400, "d", whole % 86_400 / 3_600, "h"),
    }
}

/// A time to the second: `2026-01-01 12:30:00 UTC`.
pub fn time(time: Option<Timestamp>) -> String {
    or_dash(time.map(|time| time.strftime("%Y-%m-%d %H:%M:%S UTC")))
}

/// Milliseconds since the epoch in RFC 3339: `2026-01-01T12:30:00.000Z`.
pub fn rfc3339(ms: i64) -> String {
    Timestamp::from_millisecond(ms).map_or_else(|_| ms.to_string(), |time| format!("{time:.3}"))
}

/// One decimal below ten, unless it is a zero; none above.
fn short(value: f64) -> String {
    let text = if value < 9.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    };
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_separators() {
        let shown = [0, 999, 1_000, 1_234_567].map(count);
        assert_eq!(shown, ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn bytes_have_a_fitting_unit() {
        let shown = [0, 1023, 1024, 1536, 20_971_520, 1_048_575, u64::MAX].map(bytes);
        assert_eq!(
            shown,
            ["0 B", "1023 B", "1 KiB", "1.5 KiB", "20 MiB", "1 MiB", "16 EiB"]
        );
    }

    #[test]
    fn durations_have_at_most_two_parts() {
        let shown = [
            0.0,
            0.42,
            3.21,
            250.0,
            999.9,
            1_500.0,
            125_000.0,
            12_000_000.0,
            352_800_000.0,
        ];
        assert_eq!(
            shown.map(milliseconds),
            [
                "0.00 ms",
                "0.42 ms",
                "3.2 ms",
                "250 ms",
                "1 s",
                "1.5 s",
                "2 min 5 s",
                "3 h 20 min",
                "4 d 2 h"
            ]
        );
    }
}
