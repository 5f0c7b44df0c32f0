//! Reads account, region and service from the signature of a request. [`super::signature`] verifies it where that is
//! needed.

use http::header::AUTHORIZATION;
use http::request::Parts;

use crate::error::ApiError;
use crate::query::pairs;
use crate::types::{ACCOUNT, Caller};

/// The credential scope of a signed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credential {
    /// The signing name of the service, such as `kinesis`.
    pub service: String,
    pub access_key: String,
    pub caller: Caller,
    /// Whether the URL carries the signature, so that a link to it makes a signed request.
    pub in_query: bool,
}

/// Where a signature names no region (Signature Version 4A).
const DEFAULT_REGION: &str = "us-east-1";

impl Credential {
    /// The credential of the request; `None` when it is not signed.
    ///
    /// # Errors
    /// When the signature cannot be read.
    pub fn read(parts: &Parts) -> Result<Option<Self>, ApiError> {
        if let Some(header) = parts.headers.get(AUTHORIZATION) {
            let scope = header.to_str().ok().and_then(scope_of_header);
            return scope
                .and_then(|scope| Self::of_scope(&scope))
                .map(Some)
                .ok_or_else(incomplete);
        }
        let found = match parts.uri.query().and_then(scope_of_query) {
            Some(scope) => Some(Self::of_scope(&scope).ok_or_else(incomplete)?),
            None => parts.uri.query().and_then(Self::of_old_query),
        };
        Ok(found.map(|credential| Self {
            in_query: true,
            ..credential
        }))
    }

    /// S3's URLs signed with Signature Version 2, which names neither service nor region: boto3 still makes them.
    /// Source: "Signing and authenticating REST requests (AWS signature version 2)", S3 user guide.
    fn of_old_query(query: &str) -> Option<Self> {
        parameter(query, "Signature")?;
        let key = parameter(query, "AWSAccessKeyId")?;
        Self::of_scope(&format!("{key}/0/{DEFAULT_REGION}/s3/aws4_request"))
    }

    /// Source: "Elements of an AWS API request signature", IAM user guide.
    fn of_scope(scope: &str) -> Option<Self> {
        let parts: Vec<&str> = scope.split('/').collect();
        let (key, region, service) = match parts.as_slice() {
            [key, _date, region, service, "aws4_request"] => (*key, *region, *service),
            [key, _date, service, "aws4_request"] => (*key, DEFAULT_REGION, *service),
            _ => return None,
        };
        // The region becomes the name of a directory.
        let region_is_sound = (1..=32).contains(&region.len())
            && region
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        if key.is_empty() || service.is_empty() || !region_is_sound {
            return None;
        }
        // As in other emulators, an access key of 12 digits chooses the account.
        let is_account = key.len() == 12 && key.bytes().all(|b| b.is_ascii_digit());
        let account = if is_account { key } else { ACCOUNT };
        Some(Self {
            service: service.to_owned(),
            access_key: key.to_owned(),
            caller: Caller {
                account: account.to_owned(),
                region: region.to_owned(),
            },
            in_query: false,
        })
    }
}

fn scope_of_header(header: &str) -> Option<String> {
    let (algorithm, rest) = header.split_once(' ')?;
    if !algorithm.starts_with("AWS4-") {
        return None;
    }
    rest.split(',')
        .find_map(|part| part.trim().strip_prefix("Credential="))
        .map(str::to_owned)
}

fn scope_of_query(query: &str) -> Option<String> {
    parameter(query, "X-Amz-Credential")
}

fn parameter(query: &str, name: &str) -> Option<String> {
    pairs(query.as_bytes()).find_map(|(found, value)| (found == name).then_some(value))
}

fn incomplete() -> ApiError {
    ApiError::new(
        400,
        "IncompleteSignatureException",
        "The Authorization header or the X-Amz-Credential parameter is not of the form \
         AWS4-HMAC-SHA256 Credential=<key>/<date>/<region>/<service>/aws4_request.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(authorization: &str) -> Option<Credential> {
        let request = http::Request::builder()
            .header("authorization", authorization)
            .body(())
            .unwrap();
        Credential::read(&request.into_parts().0).ok().flatten()
    }

    #[test]
    fn account_and_region_come_from_the_scope() {
        let credential = read(
            "AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-1/kinesis/aws4_request, SignedHeaders=host, Signature=0",
        )
        .unwrap();
        assert_eq!(credential.service, "kinesis");
        assert_eq!(credential.caller.region, "eu-west-1");
        assert_eq!(credential.caller.account, ACCOUNT);

        let other =
            read("AWS4-HMAC-SHA256 Credential=123456789012/20260101/eu-west-1/kinesis/aws4_request").unwrap();
        assert_eq!(other.caller.account, "123456789012");
    }

    #[test]
    fn a_signature_without_region_falls_to_the_default() {
        let credential =
            read("AWS4-ECDSA-P256-SHA256 Credential=local/20260101/kinesis/aws4_request").unwrap();
        assert_eq!(credential.caller.region, "us-east-1");
    }

    #[test]
    fn a_presigned_query_counts_as_a_signature() {
        let request = http::Request::builder()
            .uri("/?X-Amz-Credential=local%2F20260101%2Fus-west-2%2Fsts%2Faws4_request&X-Amz-Signature=0")
            .body(())
            .unwrap();
        let credential = Credential::read(&request.into_parts().0).ok().flatten().unwrap();
        assert_eq!(
            (credential.service.as_str(), credential.caller.region.as_str()),
            ("sts", "us-west-2")
        );
    }

    #[test]
    fn no_scope_leads_out_of_the_data_directory() {
        for scope in [
            "local/20260101/../kinesis/aws4_request",
            "local/20260101/../../etc/kinesis/aws4_request",
            "local/20260101//kinesis/aws4_request",
            "local/20260101/us-east-1/kinesis",
            "",
        ] {
            assert_eq!(
                read(&format!("AWS4-HMAC-SHA256 Credential={scope}")),
                None,
                "{scope}"
            );
        }
        assert_eq!(read("Bearer token"), None);
    }
}
