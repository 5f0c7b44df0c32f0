//! Times and lengths of time in a position.

use jiff::{Timestamp, civil, tz::TimeZone};

use super::{Fault, StartRule, UntilRule};
use ground::duration;

/// A time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    /// Before now.
    Ago(i64),
    /// Since the Unix epoch.
    At(i64),
}

impl Moment {
    pub(super) fn start(self) -> StartRule {
        match self {
            Self::Ago(ms) => StartRule::Ago(ms),
            Self::At(ms) => StartRule::At(ms),
        }
    }

    pub(super) fn until(self) -> UntilRule {
        match self {
            Self::Ago(ms) => UntilRule::Ago(ms),
            Self::At(ms) => UntilRule::At(ms),
        }
    }
}

/// What follows `@`: an epoch, a date and time, or `-` and a length of time.
pub(super) fn time(text: &str) -> Result<Moment, Fault> {
    if let Some(ago) = text.strip_prefix('-') {
        return length(ago).map(Moment::Ago).map_err(|fault| fault.after(1));
    }
    match looks_like_date(text) {
        true => instant(text).map(Moment::At),
        false => epoch(text).map(Moment::At),
    }
}

/// What follows the colon of a range: `end`, a time, or a length of time from the start.
pub(super) fn range_end(text: &str) -> Result<UntilRule, Fault> {
    if text == "end" {
        return Ok(UntilRule::Now);
    }
    let is_length = text.ends_with(|c: char| c.is_ascii_alphabetic() && c != 'Z' && c != 'z');
    match is_length && !text.starts_with('-') {
        true => length(text).map(UntilRule::AfterStart),
        false => time(text).map(Moment::until),
    }
}

/// A date and time, or a length of time before now.
pub(super) fn ago_or_instant(text: &str) -> Result<Moment, Fault> {
    if looks_like_date(text) {
        return instant(text).map(Moment::At);
    }
    match text.starts_with(|c: char| c.is_ascii_digit()) {
        true => length(text).map(Moment::Ago),
        false => Fault::new(0, "there is no such position"),
    }
}

fn looks_like_date(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() > 4 && bytes[..4].iter().all(u8::is_ascii_digit) && bytes[4] == b'-'
}

/// A length of time, in milliseconds.
pub(super) fn length(text: &str) -> Result<i64, Fault> {
    let ms = duration::parse(text).and_then(|length| i64::try_from(length.as_millis()).ok());
    ms.ok_or_else(|| length_fault(text))
}

/// Where a length of time goes wrong: at its first number or unit after which it cannot be read.
fn length_fault(text: &str) -> Fault {
    let mut at = 0;
    loop {
        let rest = &text[at..];
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let unit = rest[digits..].bytes().take_while(u8::is_ascii_alphabetic).count();
        let end = at + digits + unit;
        let fault = |at, what| Fault { at, what };
        if digits == 0 {
            return fault(at, "expected a number, as in 90s or 1h30m");
        }
        let is_known = duration::parse(&format!("1{}", &rest[digits..digits + unit])).is_some();
        if unit == 0 || !is_known {
            return fault(at + digits, "expected a unit: w, d, h, m, s or ms");
        }
        if duration::parse(&text[..end]).is_none() {
            return fault(
                at + digits,
                "expected a unit smaller than the one before: w, d, h, m, s or ms",
            );
        }
        at = end + text[end..].bytes().take_while(|b| *b == b' ').count();
        if at == text.len() {
            return fault(0, "this is too long ago");
        }
    }
}

/// Seconds since the epoch, optionally with a fraction; from 12 digits on, milliseconds.
pub(super) fn epoch(text: &str) -> Result<i64, Fault> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let bad = |part: &str| part.bytes().position(|b| !b.is_ascii_digit());
    if let Some(at) = bad(whole) {
        return Fault::new(
            at,
            "expected a digit of an epoch, a date, or `-` and a length of time",
        );
    }
    if whole.is_empty() {
        return Fault::new(0, "expected an epoch, a date, or `-` and a length of time");
    }
    if let Some(at) = bad(fraction) {
        return Fault::new(whole.len() + 1 + at, "expected a digit of a fraction of a second");
    }
    let too_large = Fault {
        at: 0,
        what: "this time is too far in the future",
    };
    let number: i64 = whole.parse().map_err(|_| too_large.clone())?;
    if whole.len() >= 12 {
        return match fraction {
            "" => Ok(number),
            _ => Fault::new(whole.len(), "milliseconds have no fraction"),
        };
    }
    let millis: i64 = format!("{fraction:0<3}")[..3]
        .parse()
        .map_err(|_| too_large.clone())?;
    number
        .checked_mul(1000)
        .and_then(|ms| ms.checked_add(millis))
        .ok_or(too_large)
}

/// A date and time. The default zone is UTC, the default time midnight.
fn instant(text: &str) -> Result<i64, Fault> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.as_millisecond());
    }
    let local = text.parse::<civil::DateTime>().ok();
    let zoned = local.and_then(|local| local.to_zoned(TimeZone::UTC).ok());
    zoned
        .map(|zoned| zoned.timestamp().as_millisecond())
        .ok_or_else(|| instant_fault(text))
}

const NO_SUCH_TIME: Fault = Fault {
    at: 0,
    what: "there is no such date and time",
};

/// Where a date and time goes wrong.
fn instant_fault(text: &str) -> Fault {
    const SHAPE: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    const WHAT: &str = "expected a date and time, as 2026-11-21T10:00:00Z";
    for (at, shape) in SHAPE.iter().enumerate() {
        let fits = |byte: &u8| match shape {
            b'd' => byte.is_ascii_digit(),
            b'T' => matches!(byte, b'T' | b't' | b' '),
            shape => byte == shape,
        };
        match text.as_bytes().get(at) {
            Some(byte) if fits(byte) => {}
            // A date alone, or a time without seconds, that has the right form.
            None if at == 10 || at == 16 => return NO_SUCH_TIME,
            // Seconds may be missing, and a zone may follow the minutes.
            Some(b'Z' | b'z' | b'+' | b'-') if at >= 16 => {
                return Fault {
                    at: at + 1,
                    what: WHAT,
                };
            }
            _ => return Fault { at, what: WHAT },
        }
    }
    let rest = &text.as_bytes()[SHAPE.len()..];
    let fraction = match rest.first() {
        Some(b'.') => 1 + rest[1..].iter().take_while(|b| b.is_ascii_digit()).count(),
        _ => 0,
    };
    match rest.len() > fraction {
        true => Fault {
            at: SHAPE.len() + fraction,
            what: "expected the end, a fraction of a second, or a zone, as Z or +02:00",
        },
        false => NO_SUCH_TIME,
    }
}
