//! Numbers and times as people read them.

use jiff::Timestamp;

use super::or_dash;

use std::time::Duration;

use ground::duration::{self, decimal};

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

/// `a is`, `a and b are`, `a, b and c are`: names and the verb that follows them.
pub fn listed(names: &[impl AsRef<str>]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("{} is", one.as_ref()),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {} are", first.join(", "), last.as_ref())
        }
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
    format!("{} {}", decimal(value), UNITS[unit])
}

/// A measured number of milliseconds: `0.42 ms`, then as [`duration::measured`] shows it.
pub fn milliseconds(ms: f64) -> String {
    match Duration::try_from_secs_f64(ms / 1000.0) {
        Ok(_) if ms < 0.995 => format!("{ms:.2} ms"),
        Ok(length) => duration::measured(length),
        Err(_) => "–".to_owned(),
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
    fn short_times_have_two_decimals() {
        let shown = [
            0.0,
            0.42,
            0.996,
            3.21,
            1_500.0,
            125_000.0,
            -1.0,
            f64::NAN,
            f64::INFINITY,
        ];
        assert_eq!(
            shown.map(milliseconds),
            [
                "0.00 ms", "0.42 ms", "1 ms", "3.2 ms", "1.5 s", "2m5s", "–", "–", "–"
            ]
        );
    }
}
