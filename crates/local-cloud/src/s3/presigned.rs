//! The time for which a presigned URL is valid.
//!
//! Source: "Authenticating requests: using query parameters (AWS Signature Version 4)", S3 API reference.

use super::error::{Error, Result};
use super::route::Route;
use super::time::read_basic;

/// Seven days.
const MAX_SECONDS: i64 = 604_800;
/// How far the clock of a client may be ahead.
const SKEW_SECONDS: i64 = 15 * 60;

/// # Errors
/// AccessDenied, if the URL has expired.
pub(super) fn check(route: &Route, now_ms: i64) -> Result<()> {
    let now = now_ms.div_euclid(1000);
    let is_old = route.parameter("AWSAccessKeyId").is_some() && route.parameter("Signature").is_some();
    if let (true, Some(expires)) = (is_old, route.parameter("Expires")) {
        let at: i64 = expires.parse().map_err(|_| {
            Error::access_denied("Invalid date (should be seconds since epoch)").with("Expires", expires)
        })?;
        return if now > at { Err(expired(at, now)) } else { Ok(()) };
    }
    if route.parameter("X-Amz-Signature").is_none() {
        return Ok(());
    }
    let seconds = route.parameter("X-Amz-Expires").unwrap_or_default();
    let malformed = |message: &str| Error::new(400, "AuthorizationQueryParametersError", message);
    let lifetime: i64 = seconds
        .parse()
        .map_err(|_| malformed("X-Amz-Expires should be a number"))?;
    if lifetime < 0 {
        return Err(malformed("X-Amz-Expires must be non-negative"));
    }
    if lifetime > MAX_SECONDS {
        return Err(malformed(
            "X-Amz-Expires must be less than a week (in seconds); that is, the given X-Amz-Expires must be less than \
             604800 seconds",
        ));
    }
    let signed = route
        .parameter("X-Amz-Date")
        .and_then(read_basic)
        .ok_or_else(|| malformed("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\""))?;
    if signed > now + SKEW_SECONDS {
        return Err(Error::access_denied("Request is not yet valid"));
    }
    if now > signed + lifetime {
        return Err(expired(signed + lifetime, now).with("X-Amz-Expires", seconds));
    }
    Ok(())
}

fn expired(at: i64, now: i64) -> Error {
    let show = |seconds: i64| crate::clock::utc(seconds.saturating_mul(1000), "%Y-%m-%dT%H:%M:%SZ");
    Error::access_denied("Request has expired")
        .with("Expires", show(at))
        .with("ServerTime", show(now))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(query: &str, now: i64) -> Result<(), &'static str> {
        let request = http::Request::get(format!("/b/k?{query}")).body(()).unwrap();
        let route = Route::of(&request.into_parts().0).unwrap();
        check(&route, now * 1000).map_err(|error| error.code)
    }

    #[test]
    fn a_url_is_valid_for_its_time() {
        let signed = 1_767_225_600;
        let url = "X-Amz-Date=20260101T000000Z&X-Amz-Signature=0&X-Amz-Expires";
        assert_eq!(checked(&format!("{url}=60"), signed + 60), Ok(()));
        assert_eq!(checked(&format!("{url}=60"), signed + 61), Err("AccessDenied"));
        assert_eq!(checked(&format!("{url}=60"), signed - 3600), Err("AccessDenied"));
        for seconds in ["604801", "-1", "x", ""] {
            let got = checked(&format!("{url}={seconds}"), signed);
            assert_eq!(got, Err("AuthorizationQueryParametersError"), "{seconds}");
        }
        assert_eq!(
            checked("X-Amz-Expires=1", signed),
            Ok(()),
            "not signed by the query"
        );
        let old = "AWSAccessKeyId=a&Signature=0&Expires";
        assert_eq!(checked(&format!("{old}={signed}"), signed), Ok(()));
        assert_eq!(
            checked(&format!("{old}={signed}"), signed + 1),
            Err("AccessDenied")
        );
    }
}
