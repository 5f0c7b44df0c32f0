//! Value parsers of flags that take a rate, such as 2500/s, 1M/day or 1MB/s.
//!
//! KB, MB and GB are powers of 1,024, as in the limits and on the bill of Kinesis.

use domain::cost::Rate;
use domain::schedule::Pace;

/// The largest whole part, so that no product of it overflows.
const MOST: u64 = 1_000_000_000_000_000;
/// Digits after the decimal point.
const DECIMALS: usize = 6;

/// Records in a length of time; a bare number is in a second.
pub(crate) fn records(text: &str) -> Result<Rate, String> {
    const GRAMMAR: &str = "not a rate; write it like 2500/s, 2.5k/s or 1M/day";
    rate(text, COUNTS).ok_or_else(|| GRAMMAR.to_owned())
}

/// Bytes in a length of time; a bare number is in a second.
pub(crate) fn bytes_rate(text: &str) -> Result<Rate, String> {
    const GRAMMAR: &str = "not a rate; write it like 1MB/s, 512KiB/s or 20GB/day";
    rate(text, BYTES).ok_or_else(|| GRAMMAR.to_owned())
}

/// How fast records are sent: 500/s, 10k/min, 1.5MB/s or 512KiB/s.
pub(crate) fn pace(text: &str) -> Result<Pace, String> {
    const GRAMMAR: &str = "not a rate above 0; write it like 500/s, 10k/min or 1.5MB/s";
    let pace = match (records(text), bytes_rate(text)) {
        (Ok(rate), _) => Pace::Records(rate.as_f64()),
        (Err(_), Ok(rate)) => Pace::Bytes(rate.as_f64()),
        _ => return Err(GRAMMAR.to_owned()),
    };
    let (Pace::Records(rate) | Pace::Bytes(rate)) = pace;
    if rate > 0.0 {
        Ok(pace)
    } else {
        Err(GRAMMAR.to_owned())
    }
}

/// How many times faster a recording is played: 1x, 10x, 0.5x; `None` for max.
pub(crate) fn speed(text: &str) -> Result<Speed, String> {
    const GRAMMAR: &str = "not a speed; write it like 1x, 10x, 0.5x or max";
    if text == "max" {
        return Ok(Speed(None));
    }
    let number = text.strip_suffix(['x', 'X']).unwrap_or(text);
    let speed: f64 = number.parse().map_err(|_| GRAMMAR.to_owned())?;
    match (0.001..=1_000_000.0).contains(&speed) {
        true => Ok(Speed(Some(speed))),
        false => Err(GRAMMAR.to_owned()),
    }
}

/// A factor, or as fast as possible.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Speed(pub(crate) Option<f64>);

/// A number of things, such as 5000, 100k or 1m.
pub(crate) fn count(text: &str) -> Result<u64, String> {
    const GRAMMAR: &str = "not a whole number above 0; write it like 5000, 100k or 1m";
    let counted = amount(text).and_then(|((count, of), unit)| {
        let count = count.checked_mul(factor(unit, COUNTS)?)?;
        (count > 0 && count % of == 0).then_some(count / of)
    });
    counted.ok_or_else(|| GRAMMAR.to_owned())
}

/// A number of bytes.
pub(crate) fn bytes(text: &str) -> Result<u64, String> {
    const GRAMMAR: &str = "not a size; write it like 512, 1KB or 1.5KiB";
    let (amount, unit) = amount(text).ok_or_else(|| GRAMMAR.to_owned())?;
    let factor = factor(unit, BYTES).ok_or_else(|| GRAMMAR.to_owned())?;
    Ok(amount.0.saturating_mul(factor).div_ceil(amount.1))
}

/// A factor, such as 3x or 1.5, as a fraction: 1 to 1,000.
pub(crate) fn peak(text: &str) -> Result<(u32, u32), String> {
    const GRAMMAR: &str = "not a factor from 1 to 1000; write it like 3x or 1.5x";
    let parsed = amount(text).and_then(|((count, of), unit)| {
        let is_factor = unit.is_empty() || unit.eq_ignore_ascii_case("x");
        let in_range = count >= of && count <= of.saturating_mul(1_000);
        let (count, of) = (u32::try_from(count).ok()?, u32::try_from(of).ok()?);
        (is_factor && in_range).then_some((count, of))
    });
    parsed.ok_or_else(|| GRAMMAR.to_owned())
}

type Units = [(&'static str, u64)];

const COUNTS: &Units = &[("", 1), ("k", 1_000), ("m", 1_000_000), ("g", 1_000_000_000)];

const BYTES: &Units = &[
    ("", 1),
    ("b", 1),
    ("kb", 1 << 10),
    ("kib", 1 << 10),
    ("mb", 1 << 20),
    ("mib", 1 << 20),
    ("gb", 1 << 30),
    ("gib", 1 << 30),
    ("tb", 1 << 40),
    ("tib", 1 << 40),
];

const TIMES: &Units = &[
    ("s", 1),
    ("sec", 1),
    ("second", 1),
    ("min", 60),
    ("minute", 60),
    ("h", 3_600),
    ("hour", 3_600),
    ("d", 86_400),
    ("day", 86_400),
    // AWS's month of 730 hours.
    ("month", 730 * 3_600),
];

fn rate(text: &str, units: &Units) -> Option<Rate> {
    let (quantity, time) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = factor(time, TIMES)?;
    let ((count, of), unit) = amount(quantity)?;
    let count = count.checked_mul(factor(unit, units)?)?;
    Some(Rate::new(count, seconds.checked_mul(of)?))
}

fn factor(unit: &str, units: &Units) -> Option<u64> {
    let unit = unit.trim();
    units
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(unit))
        .map(|(_, factor)| *factor)
}

/// A decimal number as a fraction, and what follows it.
fn amount(text: &str) -> Option<((u64, u64), &str)> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',' && c != '_')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let number = number.replace([',', '_'], "");
    let (whole, decimals) = number.split_once('.').unwrap_or((&number, ""));
    if whole.is_empty() || decimals.len() > DECIMALS || number.ends_with('.') {
        return None;
    }
    let of = 10u64.pow(u32::try_from(decimals.len()).ok()?);
    let whole: u64 = whole.parse().ok().filter(|whole| *whole <= MOST)?;
    let rest: u64 = match decimals {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    Some(((whole.checked_mul(of)?.checked_add(rest)?, of), unit.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_of_records_or_bytes() {
        assert_eq!(pace("500/s"), Ok(Pace::Records(500.0)));
        assert_eq!(pace("6k/min"), Ok(Pace::Records(100.0)));
        assert_eq!(pace("1.5MB/s"), Ok(Pace::Bytes(1_572_864.0)));
        for bad in ["", "0/s", "0MB/s", "x", "-1/s", "1/fortnight"] {
            assert!(pace(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_count_is_a_whole_number_above_zero() {
        for (text, number) in [
            ("1", 1),
            ("5,000", 5_000),
            ("100k", 100_000),
            ("1M", 1_000_000),
            ("1.5k", 1_500),
        ] {
            assert_eq!(count(text), Ok(number), "{text}");
        }
        for bad in [
            "",
            "0",
            "0k",
            "-1",
            "1.5",
            "1.0005k",
            "k",
            "1x",
            "99999999999999999999",
            "900000000000000g",
        ] {
            assert!(count(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_speed_is_a_factor_or_max() {
        assert_eq!(speed("10x"), Ok(Speed(Some(10.0))));
        assert_eq!(speed("0.5"), Ok(Speed(Some(0.5))));
        assert_eq!(speed("max"), Ok(Speed(None)));
        for bad in ["", "0x", "x", "-1x", "nan", "inf", "1e9x"] {
            assert!(speed(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn rates_have_units_of_number_and_time() {
        for (text, count, seconds) in [
            ("2500/s", 2_500, 1),
            ("2500", 2_500, 1),
            ("2.5k/s", 2_500, 1),
            ("1M/day", 1_000_000, 86_400),
            ("1,000,000 / day", 1_000_000, 86_400),
            ("0.5/min", 1, 120),
            ("30/hour", 1, 120),
        ] {
            assert_eq!(records(text), Ok(Rate::new(count, seconds)), "{text}");
        }
        for (text, count, seconds) in [
            ("1MB/s", 1 << 20, 1),
            ("1.5 MiB/s", 3 << 19, 1),
            ("512KiB", 1 << 19, 1),
            ("20GB/day", 20 << 30, 86_400),
            ("100b/s", 100, 1),
        ] {
            assert_eq!(bytes_rate(text), Ok(Rate::new(count, seconds)), "{text}");
        }
        for bad in [
            "",
            "/s",
            "k/s",
            "1x/s",
            "-1/s",
            "1/",
            "1/fortnight",
            "1./s",
            ".5/s",
            "1.2.3/s",
            "1e9/s",
            "99999999999999999999/s",
            "1.1234567/s",
            "1/s/s",
            "٣/s",
        ] {
            assert!(records(bad).is_err(), "{bad}");
            assert!(bytes_rate(bad).is_err(), "{bad}");
        }
        assert!(records("1KB/s").is_err());
    }

    #[test]
    fn sizes_and_factors() {
        assert_eq!(
            ["512", "1KB", "1.5kib", "0.1B"].map(|text| bytes(text).unwrap()),
            [512, 1_024, 1_536, 1]
        );
        assert_eq!(peak("3x"), Ok((3, 1)));
        assert_eq!(peak("1.25"), Ok((125, 100)));
        for bad in ["", "0.5x", "x", "1001x", "3y", "-2x"] {
            assert!(peak(bad).is_err(), "{bad}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[0-9.,_kMGBxs/ ]{0,24}|\\PC{0,12}") {
            let _ = (records(&text), bytes_rate(&text), bytes(&text), peak(&text));
        }
    }
}
