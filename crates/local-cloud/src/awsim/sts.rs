//! STS: awsim's as it is.

use awsim_core::Protocol;
use awsim_sts::StsService;
use bytes::Bytes;
use serde_json::Value;

use super::stored::Handler;
use crate::service::Request;
use crate::service::{Permission, operation};

impl Handler for StsService {
    const NAME: &'static str = "sts";
    const PROTOCOL: Protocol = Protocol::AwsQuery;
    const ACCESS_DENIED: (u16, &'static str) = (403, "AccessDeniedException");

    fn changes(_operation: &str, _input: &Value) -> bool {
        false
    }

    /// GetCallerIdentity needs no permission.
    fn permissions(request: &Request) -> Vec<Permission> {
        let operation = operation(request).filter(|(operation, _)| operation != "GetCallerIdentity");
        operation
            .map(|(operation, _)| Permission::new("sts", &operation, None))
            .into_iter()
            .collect()
    }

    /// Source: AWS Security Token Service API reference: "calling ... does not require the use of AWS security
    /// credentials".
    fn accepts_unsigned(body: &Bytes) -> bool {
        crate::query::pairs(body).any(|(name, value)| {
            name == "Action" && matches!(value.as_str(), "AssumeRoleWithSAML" | "AssumeRoleWithWebIdentity")
        })
    }
}
