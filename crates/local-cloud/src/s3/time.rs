//! Times as S3 writes and reads them.

use crate::clock::utc;

/// In documents. S3 shows whole seconds.
pub(super) fn iso(ms: i64) -> String {
    utc(ms, "%Y-%m-%dT%H:%M:%S.000Z")
}

/// In headers. Source: RFC 9110, section 5.6.7.
pub(super) fn http(ms: i64) -> String {
    utc(ms, "%a, %d %b %Y %H:%M:%S GMT")
}

/// Seconds since the Unix epoch of a time in a header.
pub(super) fn read_http(text: &str) -> Option<i64> {
    let time = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text.trim());
    Some(time.ok()?.as_second())
}

/// Seconds since the Unix epoch of a time in ISO 8601's basic format, such as `20260101T000000Z`.
pub(super) fn read_basic(text: &str) -> Option<i64> {
    let time = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", text).ok()?;
    Some(
        time.to_zoned(jiff::tz::TimeZone::UTC)
            .ok()?
            .timestamp()
            .as_second(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_and_read() {
        assert_eq!(iso(1_700_000_000_999), "2023-11-14T22:13:20.000Z");
        assert_eq!(http(784_111_777_000), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(read_http("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(read_http("yesterday"), None);
        assert_eq!(read_basic("20260101T000001Z"), Some(1_767_225_601));
        assert_eq!(read_basic("2026-01-01"), None);
    }
}
