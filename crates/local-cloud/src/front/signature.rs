//! Verifies signatures, where the connection does not tell who sends a request.
//!
//! Source: "Create a signed AWS API request" and "Authenticating Requests: Using Query Parameters", IAM and S3 user
//! guides. Only AWS4-HMAC-SHA256 can be verified: the other algorithms have keys that this machine does not know.

use daemon::secret::{hmac_sha256, is_hmac_sha256};
use http::request::Parts;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};

use super::host::host;
use crate::query::{pairs, percent_decode, percent_encode};
use crate::service::header;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// How far the time of a request may be off.
const MAX_SKEW_MS: i64 = 15 * 60 * 1000;
/// The longest life of a URL, in seconds.
const MAX_EXPIRES: i64 = 7 * 24 * 3600;
const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// Why a signature is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// A part of it is missing, or it is of another algorithm.
    Incomplete,
    /// The request is too old or from the future, or its URL has expired.
    Time,
    Mismatch,
}

impl Refused {
    pub fn reason(self) -> &'static str {
        match self {
            Self::Incomplete => "The request has no complete signature of the algorithm AWS4-HMAC-SHA256.",
            Self::Time => "The signature has expired, or its time is more than 15 minutes off.",
            Self::Mismatch => "The signature of the request does not match.",
        }
    }
}

/// What a request says of its signature.
struct Signature {
    /// Date, region, service and `aws4_request`.
    scope: [String; 4],
    signed_headers: String,
    code: String,
    date: String,
    /// Seconds that a URL is valid. `None` for a header.
    expires: Option<i64>,
}

/// Verifies the signature of a request, made with `secret_key`.
pub(super) fn verify(parts: &Parts, body: &[u8], secret_key: &str, now_ms: i64) -> Result<(), Refused> {
    let signature = Signature::read(parts).ok_or(Refused::Incomplete)?;
    signature.check_time(now_ms)?;
    let payload = payload_hash(parts, body, &signature).ok_or(Refused::Mismatch)?;
    let request = canonical_request(parts, &signature, &payload).ok_or(Refused::Incomplete)?;
    let Signature { scope, date, .. } = &signature;
    let text = format!(
        "{ALGORITHM}\n{date}\n{}\n{}",
        scope.join("/"),
        hex::encode(Sha256::digest(request))
    );
    let first = format!("AWS4{secret_key}").into_bytes();
    let key = scope
        .iter()
        .fold(first, |key, part| hmac_sha256(&key, part.as_bytes()).to_vec());
    let code = hex::decode(&signature.code).map_err(|_| Refused::Mismatch)?;
    if is_hmac_sha256(&key, text.as_bytes(), &code) {
        Ok(())
    } else {
        Err(Refused::Mismatch)
    }
}

impl Signature {
    fn read(parts: &Parts) -> Option<Self> {
        let authorization = header(parts, "authorization");
        if authorization.is_empty() {
            return Self::of_query(parts.uri.query()?);
        }
        let fields = authorization.strip_prefix(ALGORITHM)?.strip_prefix(' ')?;
        let field = |name: &str| {
            let mut fields = fields.split(',').filter_map(|field| field.trim().split_once('='));
            fields.find_map(|(found, value)| (found == name).then_some(value))
        };
        Some(Self {
            scope: scope(field("Credential")?)?,
            signed_headers: field("SignedHeaders")?.to_owned(),
            code: field("Signature")?.to_owned(),
            date: header(parts, "x-amz-date").to_owned(),
            expires: None,
        })
    }

    fn of_query(query: &str) -> Option<Self> {
        let field =
            |name: &str| pairs(query.as_bytes()).find_map(|(found, value)| (found == name).then_some(value));
        let algorithm = field("X-Amz-Algorithm")?;
        Some(Self {
            scope: scope(&field("X-Amz-Credential")?).filter(|_| algorithm == ALGORITHM)?,
            signed_headers: field("X-Amz-SignedHeaders")?,
            code: field("X-Amz-Signature")?,
            date: field("X-Amz-Date")?,
            expires: Some(field("X-Amz-Expires").map_or(Some(MAX_EXPIRES), |text| text.parse().ok())?),
        })
    }

    fn check_time(&self, now_ms: i64) -> Result<(), Refused> {
        let time = DateTime::strptime("%Y%m%dT%H%M%SZ", &self.date)
            .ok()
            .and_then(|time| time.to_zoned(TimeZone::UTC).ok())
            .ok_or(Refused::Incomplete)?;
        let age_ms = now_ms.saturating_sub(time.timestamp().as_millisecond());
        let longest_ms = match self.expires {
            None => MAX_SKEW_MS,
            Some(seconds) if (0..=MAX_EXPIRES).contains(&seconds) => seconds * 1000,
            Some(_) => return Err(Refused::Time),
        };
        let is_of_its_day = self.date.starts_with(&self.scope[0]);
        if !is_of_its_day || !(-MAX_SKEW_MS..=longest_ms).contains(&age_ms) {
            return Err(Refused::Time);
        }
        Ok(())
    }

    fn is_for_s3(&self) -> bool {
        self.scope[2] == "s3"
    }
}

/// The scope in `KEY/date/region/service/aws4_request`.
fn scope(credential: &str) -> Option<[String; 4]> {
    let mut fields = credential.split('/').skip(1).map(str::to_owned);
    let scope = [fields.next()?, fields.next()?, fields.next()?, fields.next()?];
    fields.next().is_none().then_some(scope)
}

/// `None` if the request says another hash than that of its body.
fn payload_hash(parts: &Parts, body: &[u8], signature: &Signature) -> Option<String> {
    let said = header(parts, "x-amz-content-sha256");
    // The chunks of a streamed body have signatures of their own, after this one.
    if said == UNSIGNED_PAYLOAD || said.starts_with("STREAMING-") {
        return Some(said.to_owned());
    }
    if said.is_empty() && signature.expires.is_some() && signature.is_for_s3() {
        return Some(UNSIGNED_PAYLOAD.to_owned());
    }
    let hash = hex::encode(Sha256::digest(body));
    (said.is_empty() || said == hash).then_some(hash)
}

/// `None` if the host is not signed, or a signed header is missing.
fn canonical_request(parts: &Parts, signature: &Signature, payload: &str) -> Option<String> {
    let names: Vec<&str> = signature.signed_headers.split(';').collect();
    if !names.contains(&"host") {
        return None;
    }
    let mut headers = String::new();
    for name in &names {
        let values: Vec<String> = match *name {
            "host" => vec![host(parts)?.to_owned()],
            name => {
                let values = parts.headers.get_all(name).iter();
                let values = values.map(|value| value.to_str().ok());
                values.map(|value| value.map(one_space)).collect::<Option<_>>()?
            }
        };
        if values.is_empty() {
            return None;
        }
        headers.push_str(&format!("{name}:{}\n", values.join(",")));
    }
    let path = match signature.is_for_s3() {
        true => encoded_path(&percent_decode(parts.uri.path())),
        false => encoded_path(&normal_path(parts.uri.path())),
    };
    Some(format!(
        "{}\n{path}\n{}\n{headers}\n{}\n{payload}",
        parts.method,
        canonical_query(parts.uri.query().unwrap_or_default()),
        signature.signed_headers
    ))
}

/// Trimmed, with one space in place of several.
fn one_space(text: &str) -> String {
    text.split(' ')
        .filter(|word| !word.is_empty())
        .collect::<Vec<_>>()
        .join(" ")
}

fn encoded_path(path: &str) -> String {
    path.split('/').map(percent_encode).collect::<Vec<_>>().join("/")
}

/// The path without empty segments and dots. Services other than S3 sign it so.
fn normal_path(path: &str) -> String {
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => drop(segments.pop()),
            segment => segments.push(segment),
        }
    }
    let end = if path.ends_with('/') && !segments.is_empty() {
        "/"
    } else {
        ""
    };
    format!("/{}{end}", segments.join("/"))
}

fn canonical_query(query: &str) -> String {
    let mut parameters: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| {
            (
                percent_encode(&percent_decode(name)),
                percent_encode(&percent_decode(value)),
            )
        })
        .filter(|(name, _)| name != "X-Amz-Signature")
        .collect();
    parameters.sort();
    let parameters = parameters.iter().map(|(name, value)| format!("{name}={value}"));
    parameters.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

    fn at(time: &str) -> i64 {
        time.parse::<jiff::Timestamp>().unwrap().as_millisecond()
    }

    fn parts(builder: http::request::Builder) -> Parts {
        builder.body(()).unwrap().into_parts().0
    }

    /// Source: "get-vanilla-query-order-key-case" of AWS's Signature Version 4 test suite.
    fn vanilla() -> http::request::Builder {
        http::Request::get("/?Param2=value2&Param1=value1")
            .header("host", "example.amazonaws.com")
            .header("x-amz-date", "20150830T123600Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
                 SignedHeaders=host;x-amz-date, \
                 Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
            )
    }

    #[test]
    fn the_example_of_aws_is_verified() {
        let now = at("2015-08-30T12:40:00Z");
        let request = parts(vanilla());
        assert_eq!(verify(&request, b"", SECRET, now), Ok(()));
        assert_eq!(verify(&request, b"", "another", now), Err(Refused::Mismatch));
        assert_eq!(verify(&request, b"x", SECRET, now), Err(Refused::Mismatch));
        let later = at("2015-08-30T12:52:00Z");
        assert_eq!(verify(&request, b"", SECRET, later), Err(Refused::Time));
        let mut other = parts(vanilla());
        other.uri = "/?Param2=value2&Param1=value3".parse().unwrap();
        assert_eq!(verify(&other, b"", SECRET, now), Err(Refused::Mismatch));
        let mut other = parts(vanilla());
        other.headers.remove("x-amz-date");
        assert_eq!(verify(&other, b"", SECRET, now), Err(Refused::Incomplete));
    }

    /// Source: "Example: GET Object" in "Authenticating Requests: Using Query Parameters", S3 API reference.
    #[test]
    fn the_presigned_example_of_aws_is_verified() {
        let url = "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2F\
            us-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host&\
            X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
        let request = parts(http::Request::get(url).header("host", "examplebucket.s3.amazonaws.com"));
        let secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
        assert_eq!(verify(&request, b"", secret, at("2013-05-24T20:00:00Z")), Ok(()));
        assert_eq!(
            verify(&request, b"", secret, at("2013-05-25T00:00:01Z")),
            Err(Refused::Time)
        );
        assert_eq!(
            verify(&request, b"", SECRET, at("2013-05-24T20:00:00Z")),
            Err(Refused::Mismatch)
        );
    }

    #[test]
    fn what_is_no_signature_is_incomplete() {
        for authorization in [
            "",
            "AWS4-HMAC-SHA256",
            "AWS4-HMAC-SHA256 Credential=a/20150830/us-east-1/s/aws4_request",
            "AWS4-ECDSA-P256-SHA256 Credential=a/20150830/s/aws4_request, SignedHeaders=host, Signature=00",
            "AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=00",
            "Bearer x",
        ] {
            let request = vanilla().header("authorization", authorization);
            let mut request = parts(request);
            let value = authorization.parse().unwrap();
            request.headers.insert("authorization", value);
            let now = at("2015-08-30T12:36:00Z");
            assert_eq!(
                verify(&request, b"", SECRET, now),
                Err(Refused::Incomplete),
                "{authorization}"
            );
        }
    }

    #[test]
    fn paths_are_as_signers_write_them() {
        assert_eq!(normal_path("/"), "/");
        assert_eq!(normal_path("//a/./b/../c/"), "/a/c/");
        assert_eq!(encoded_path(&normal_path("/a%3Ab")), "/a%253Ab");
        assert_eq!(encoded_path(&percent_decode("/a%3Ab c")), "/a%3Ab%20c");
        assert_eq!(
            canonical_query("b=2&a=x%2fy&a&X-Amz-Signature=0"),
            "a=&a=x%2Fy&b=2"
        );
    }
}
