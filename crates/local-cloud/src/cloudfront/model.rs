//! Distributions, origin access controls and invalidations, as they are stored.

use serde::{Deserialize, Serialize};

use crate::types::{Caller, Tags};

/// A distribution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Distribution {
    /// Upper-case letters and digits, beginning with `E`.
    pub id: String,
    pub account: String,
    pub partition: String,
    pub etag: String,
    pub modified_ms: i64,
    /// Before this time its status is InProgress.
    pub deployed_ms: i64,
    pub config: Config,
    #[serde(default)]
    pub tags: Tags,
    /// The newest last.
    #[serde(default)]
    pub invalidations: Vec<Invalidation>,
}

impl Distribution {
    pub fn arn(&self) -> String {
        let Self {
            id,
            account,
            partition,
            ..
        } = self;
        format!("arn:{partition}:cloudfront::{account}:distribution/{id}")
    }

    pub fn is_deployed(&self, now_ms: i64) -> bool {
        now_ms >= self.deployed_ms
    }

    /// Whether an origin has this origin access control.
    pub fn uses(&self, access_control: &str) -> bool {
        let mut origins = self.config.origins.iter();
        origins.any(|origin| origin.access_control == access_control)
    }

    pub fn is_of(&self, caller: &Caller) -> bool {
        self.account == caller.account
    }
}

/// The part of a DistributionConfig that can be other than its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Config {
    pub caller_reference: String,
    pub comment: String,
    pub enabled: bool,
    /// Empty for none.
    pub default_root_object: String,
    pub price_class: String,
    pub http_version: String,
    pub ipv6: bool,
    pub origins: Vec<Origin>,
    pub behavior: Behavior,
    pub errors: Vec<ErrorResponse>,
}

/// A bucket.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Origin {
    pub id: String,
    pub domain_name: String,
    /// Empty, or begins with a slash and does not end with one.
    pub path: String,
    /// The id of its origin access control.
    pub access_control: String,
    pub connection_attempts: u32,
    pub connection_timeout: u32,
}

/// The default cache behavior.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Behavior {
    pub target: String,
    pub viewer_protocol: String,
    pub methods: Vec<String>,
    pub cached_methods: Vec<String>,
    pub compress: bool,
    pub cache_policy: String,
    pub origin_request_policy: Option<String>,
    pub response_headers_policy: Option<String>,
}

/// What is answered in place of an error of the origin.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorResponse {
    pub code: u16,
    /// Path of the page and status of the response; `None` to answer the error itself.
    pub page: Option<(String, u16)>,
    pub min_ttl: u64,
}

/// Since nothing is cached, it is complete as soon as it is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invalidation {
    pub id: String,
    pub created_ms: i64,
    pub caller_reference: String,
    pub paths: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AccessControl {
    pub id: String,
    pub account: String,
    pub etag: String,
    pub name: String,
    pub description: String,
    /// `always` or `no-override`.
    pub signing_behavior: String,
}

/// A random id of `length` upper-case letters and digits.
pub(super) fn new_id(first: char, length: usize) -> String {
    use rand::Rng;
    const LETTERS: &[u8; 32] = b"ABCDEFGHJKLMNOPQRSTUVWXYZ1234567";
    let mut random = rand::rng();
    let rest = (1..length).map(|_| char::from(LETTERS[random.random_range(0..LETTERS.len())]));
    std::iter::once(first).chain(rest).collect()
}
