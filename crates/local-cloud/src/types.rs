//! Types that every service of the local cloud shares.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;

/// The body of a response: whole or streamed.
pub type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// The default account of the local cloud, which AWS's documentation and emulators use too.
pub(crate) const ACCOUNT: &str = "000000000000";

/// Tags of one resource.
pub(crate) type Tags = BTreeMap<String, String>;

/// Account and region of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// 12-digit account id.
    pub account: String,
    /// Region of the request's signature.
    pub region: String,
}

impl Default for Caller {
    fn default() -> Self {
        Self {
            account: ACCOUNT.to_owned(),
            region: "us-east-1".to_owned(),
        }
    }
}

/// The ARN partition of a region. Source: "Amazon Resource Names (ARNs)", AWS general reference.
pub(crate) fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// The state of a KMS key, for services that encrypt with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyState {
    Enabled,
    Disabled,
    /// Pending deletion, or without key material.
    Unusable,
    Missing,
}
