//! Dates. A broken down time is an array: year, month from 0, day, hours, minutes, seconds, day of the week, day of the year.

use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::eval::{Stop, error};
use crate::value::Val;

pub(crate) const ISO_8601: &str = "%Y-%m-%dT%H:%M:%SZ";

pub(crate) fn gmtime(seconds: f64) -> Result<Val, Stop> {
    let whole = seconds.floor();
    let Ok(at) = Timestamp::from_second(whole.clamp(-1e15, 1e15) as i64) else {
        return error("error converting number of seconds since epoch to datetime");
    };
    let at = at.to_zoned(TimeZone::UTC).datetime();
    Ok(broken_down(at, seconds - whole))
}

fn broken_down(at: DateTime, fraction: f64) -> Val {
    let whole = [
        at.year().into(),
        f64::from(at.month()) - 1.0,
        at.day().into(),
        at.hour().into(),
        at.minute().into(),
        f64::from(at.second()) + fraction,
        at.weekday().to_sunday_zero_offset().into(),
        f64::from(at.day_of_year()) - 1.0,
    ];
    Val::array(whole.into_iter().map(Val::number).collect())
}

/// The time of a broken down time.
fn datetime(value: &Val, function: &str) -> Result<DateTime, Stop> {
    let refused = || error(format!("{function} requires array of 6 numbers"));
    let Val::Arr(array) = value else { return refused() };
    let numbers: Option<Vec<f64>> = array
        .items
        .iter()
        .map(|item| match item {
            Val::Num(number) => Some(number.float().floor().clamp(-1e9, 1e9)),
            _ => None,
        })
        .collect();
    let Some([year, month, day, hour, minute, second, ..]) = numbers.as_deref() else {
        return refused();
    };
    // As timegm: what is outside its range is carried over.
    let months = *year as i64 * 12 + *month as i64;
    let first = i16::try_from(months.div_euclid(12))
        .ok()
        .zip(i8::try_from(months.rem_euclid(12) + 1).ok())
        .and_then(|(year, month)| DateTime::new(year, month, 1, 0, 0, 0, 0).ok());
    let seconds = ((day - 1.0) * 86_400.0 + hour * 3_600.0 + minute * 60.0 + second) as i64;
    match first.and_then(|first| first.checked_add(SignedDuration::from_secs(seconds)).ok()) {
        Some(at) => Ok(at),
        None => error("invalid gmtime representation"),
    }
}

pub(crate) fn mktime(value: &Val) -> Result<Val, Stop> {
    let at = datetime(value, "mktime")?;
    match at.to_zoned(TimeZone::UTC) {
        Ok(at) => Ok(Val::number(at.timestamp().as_second() as f64)),
        Err(_) => error("invalid gmtime representation"),
    }
}

/// A time as text. `value` is a number of seconds or a broken down time.
pub(crate) fn strftime(value: &Val, format: &Val) -> Result<Val, Stop> {
    let Val::Str(format) = format else {
        return error("strftime/1 requires a string format");
    };
    let parts = match value {
        Val::Num(number) => gmtime(number.float())?,
        Val::Arr(_) => value.clone(),
        _ => return error("strftime/1 requires parsed datetime inputs"),
    };
    let at = datetime(&parts, "strftime/1")?;
    let text = at
        .to_zoned(TimeZone::UTC)
        .and_then(|at| BrokenDownTime::from(&at).to_string(format.as_bytes()));
    match text {
        Ok(text) => Ok(Val::text(text)),
        Err(_) => error(format!("strftime/1: the format {format} is not offered")),
    }
}

/// Text as a broken down time.
pub(crate) fn strptime(value: &Val, format: &Val) -> Result<Val, Stop> {
    let (Val::Str(text), Val::Str(format)) = (value, format) else {
        return error(format!(
            "strptime/1 requires string inputs and arguments, not {}",
            value.kind()
        ));
    };
    let refused = || error(format!("date {text:?} does not match format {format:?}"));
    // A zone is read and not applied, as by the C library.
    let format = format.replace("%Z", "%z");
    let zone = text.ends_with('Z') && format.ends_with("%z");
    let text = match zone {
        true => format!("{}+0000", text.trim_end_matches('Z')),
        false => text.to_string(),
    };
    let Ok(parsed) = BrokenDownTime::parse(&format, &text) else {
        return refused();
    };
    let date = parsed.to_date().or_else(|error| match parsed.timestamp() {
        Some(at) => Ok(at.to_zoned(TimeZone::UTC).date()),
        None => Err(error),
    });
    let time = parsed
        .to_time()
        .or_else(|error| match (parsed.timestamp(), parsed.hour()) {
            (Some(at), _) => Ok(at.to_zoned(TimeZone::UTC).time()),
            (None, None) => Ok(jiff::civil::Time::midnight()),
            (None, Some(_)) => Err(error),
        });
    match (date, time) {
        (Ok(date), Ok(time)) => Ok(broken_down(date.to_datetime(time), 0.0)),
        _ => refused(),
    }
}
