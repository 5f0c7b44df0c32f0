//! The Range header.
//!
//! Source: RFC 9110, section 14. S3 serves one range; it ignores a header that it cannot read.

use super::error::{Error, Result};
use super::files::Span;

/// The range of an object of `size` bytes that `header` asks for; `None` for all of it.
///
/// # Errors
/// InvalidRange, if no byte of the object is in it.
pub(super) fn of_header(header: &str, size: u64) -> Result<Option<Span>> {
    let Some((first, last)) = parse(header) else {
        return Ok(None);
    };
    let span = match (first, last) {
        (Some(first), last) => {
            let end = last.map_or(size, |last| last.saturating_add(1).min(size));
            end.checked_sub(first)
                .filter(|length| *length > 0)
                .map(|length| Span { first, length })
        }
        (None, suffix) => {
            let length = suffix.unwrap_or(0).min(size);
            (length > 0).then(|| Span {
                first: size - length,
                length,
            })
        }
    };
    span.map(Some).ok_or_else(|| {
        Error::new(416, "InvalidRange", "The requested range is not satisfiable")
            .with("RangeRequested", header)
            .with("ActualObjectSize", size.to_string())
            .header("content-range", format!("bytes */{size}"))
    })
}

/// First and last byte, of which one may be missing; `None` for what is not one range of bytes.
fn parse(header: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (first, last) = header.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| -> Option<Option<u64>> {
        let text = text.trim();
        if text.is_empty() {
            return Some(None);
        }
        if !text.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        // A number that is too large is beyond the end of every object.
        Some(Some(text.parse().unwrap_or(u64::MAX)))
    };
    match (number(first)?, number(last)?) {
        (None, None) => None,
        (Some(first), Some(last)) if first > last => None,
        range => Some(range),
    }
}

/// The header that names the range of a response.
pub(super) fn content_range(span: Span, size: u64) -> String {
    format!("bytes {}-{}/{size}", span.first, span.first + span.length - 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(header: &str, size: u64) -> Result<Option<(u64, u64)>, &'static str> {
        of_header(header, size)
            .map(|span| span.map(|span| (span.first, span.length)))
            .map_err(|error| error.code)
    }

    #[test]
    fn the_three_forms() {
        assert_eq!(range("bytes=2-4", 10), Ok(Some((2, 3))));
        assert_eq!(range("bytes=2-", 10), Ok(Some((2, 8))));
        assert_eq!(range("bytes=-3", 10), Ok(Some((7, 3))));
        assert_eq!(range("bytes=-30", 10), Ok(Some((0, 10))));
        assert_eq!(range("bytes=8-99999999999999999999999", 10), Ok(Some((8, 2))));
    }

    #[test]
    fn what_has_no_byte_is_refused_and_what_is_no_range_is_ignored() {
        for header in ["bytes=10-", "bytes=10-11", "bytes=-0"] {
            assert_eq!(range(header, 10), Err("InvalidRange"), "{header}");
        }
        assert_eq!(range("bytes=-3", 0), Err("InvalidRange"));
        for header in [
            "",
            "bytes=-",
            "bytes=4-2",
            "bytes=a-b",
            "bytes=0-1,3-4",
            "lines=1-2",
            "bytes=+1-2",
        ] {
            assert_eq!(range(header, 10), Ok(None), "{header}");
        }
    }

    proptest! {
        #[test]
        fn a_range_is_inside_the_object(first in proptest::option::of(0u64..20), last in proptest::option::of(0u64..20), size in 0u64..15) {
            let show = |number: Option<u64>| number.map(|number| number.to_string()).unwrap_or_default();
            let header = format!("bytes={}-{}", show(first), show(last));
            let bytes: Vec<u64> = (0..size).collect();
            let expected: Vec<u64> = match (first, last) {
                (Some(first), Some(last)) if first > last => bytes.clone(),
                (None, None) => bytes.clone(),
                (Some(first), last) => bytes.iter().copied().filter(|at| *at >= first && last.is_none_or(|last| *at <= last)).collect(),
                (None, Some(suffix)) => bytes.iter().copied().filter(|at| size - at <= suffix).collect(),
            };
            match of_header(&header, size) {
                Ok(Some(span)) => {
                    let got: Vec<u64> = (span.first..span.first + span.length).collect();
                    prop_assert_eq!(got, expected);
                }
                Ok(None) => prop_assert_eq!(bytes, expected),
                Err(_) => prop_assert!(expected.is_empty()),
            }
        }

        #[test]
        fn any_header_is_read(header in "(bytes=)?[-0-9, ]{0,12}|.{0,20}", size in any::<u64>()) {
            let _ = of_header(&header, size);
        }
    }
}
