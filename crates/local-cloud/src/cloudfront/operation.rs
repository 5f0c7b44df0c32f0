//! The operations, and how method, path and query name them.
//!
//! Source: "Amazon CloudFront API reference", version 2020-05-31.

use http::request::Parts;

use crate::operation::operations;
use crate::query::{pairs, percent_decode};

operations! {
    pub(super) enum Operation {
        CreateDistribution,
        CreateDistributionWithTags,
        CreateInvalidation,
        CreateOriginAccessControl,
        DeleteDistribution,
        DeleteOriginAccessControl,
        GetDistribution,
        GetDistributionConfig,
        GetInvalidation,
        GetOriginAccessControl,
        GetOriginAccessControlConfig,
        ListDistributions,
        ListInvalidations,
        ListOriginAccessControls,
        ListTagsForResource,
        TagResource,
        UntagResource,
        UpdateDistribution,
        UpdateOriginAccessControl,
    }
}

/// An operation, and what its path and query name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub operation: Operation,
    /// The id of a distribution or an origin access control, or the ARN of tags.
    pub id: String,
    /// The id of an invalidation.
    pub invalidation: String,
    query: Vec<(String, String)>,
}

impl Route {
    /// `None` for an unknown path.
    pub fn of(parts: &Parts) -> Option<Self> {
        let rest = parts.uri.path().strip_prefix("/2020-05-31/")?;
        let segments: Vec<String> = rest
            .trim_end_matches('/')
            .split('/')
            .map(percent_decode)
            .collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        let query: Vec<(String, String)> = pairs(parts.uri.query().unwrap_or_default().as_bytes()).collect();
        let of_query = |name: &str| {
            let mut found = query.iter().filter(|(key, _)| key == name);
            found.next().map(|(_, value)| value.as_str())
        };
        let method = parts.method.as_str();
        let (operation, id, invalidation) = match segments.as_slice() {
            ["tagging"] => {
                let operation = of_tags(method, of_query("Operation"))?;
                (operation, of_query("Resource").unwrap_or_default(), "")
            }
            segments => of_path(method, segments, of_query("WithTags").is_some())?,
        };
        Some(Self {
            operation,
            id: id.to_owned(),
            invalidation: invalidation.to_owned(),
            query: query.clone(),
        })
    }

    pub fn parameter(&self, name: &str) -> Option<&str> {
        let mut found = self.query.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }
}

fn of_tags(method: &str, operation: Option<&str>) -> Option<Operation> {
    match (method, operation) {
        ("GET", _) => Some(Operation::ListTagsForResource),
        ("POST", Some("Tag")) => Some(Operation::TagResource),
        ("POST", Some("Untag")) => Some(Operation::UntagResource),
        _ => None,
    }
}

fn of_path<'a>(method: &str, segments: &[&'a str], with_tags: bool) -> Option<(Operation, &'a str, &'a str)> {
    use Operation as O;
    let named = |operation, id| Some((operation, id, ""));
    match (method, segments) {
        ("POST", ["distribution"]) if with_tags => named(O::CreateDistributionWithTags, ""),
        ("POST", ["distribution"]) => named(O::CreateDistribution, ""),
        ("GET", ["distribution"]) => named(O::ListDistributions, ""),
        ("GET", ["distribution", id]) => named(O::GetDistribution, id),
        ("DELETE", ["distribution", id]) => named(O::DeleteDistribution, id),
        ("GET", ["distribution", id, "config"]) => named(O::GetDistributionConfig, id),
        ("PUT", ["distribution", id, "config"]) => named(O::UpdateDistribution, id),
        ("POST", ["distribution", id, "invalidation"]) => named(O::CreateInvalidation, id),
        ("GET", ["distribution", id, "invalidation"]) => named(O::ListInvalidations, id),
        ("GET", ["distribution", id, "invalidation", invalidation]) => {
            Some((O::GetInvalidation, id, invalidation))
        }
        ("POST", ["origin-access-control"]) => named(O::CreateOriginAccessControl, ""),
        ("GET", ["origin-access-control"]) => named(O::ListOriginAccessControls, ""),
        ("GET", ["origin-access-control", id]) => named(O::GetOriginAccessControl, id),
        ("DELETE", ["origin-access-control", id]) => named(O::DeleteOriginAccessControl, id),
        ("GET", ["origin-access-control", id, "config"]) => named(O::GetOriginAccessControlConfig, id),
        ("PUT", ["origin-access-control", id, "config"]) => named(O::UpdateOriginAccessControl, id),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(method: &str, uri: &str) -> Option<String> {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/2020-05-31/{uri}"))
            .body(())
            .unwrap();
        let Route {
            operation,
            id,
            invalidation,
            ..
        } = Route::of(&request.into_parts().0)?;
        Some(format!("{} {id} {invalidation}", operation.as_str()))
    }

    #[test]
    fn paths_and_queries_name_operations() {
        for (method, uri, expected) in [
            ("POST", "distribution", Some("CreateDistribution  ")),
            (
                "POST",
                "distribution?WithTags",
                Some("CreateDistributionWithTags  "),
            ),
            ("GET", "distribution?MaxItems=1", Some("ListDistributions  ")),
            ("PUT", "distribution/E1/config", Some("UpdateDistribution E1 ")),
            (
                "GET",
                "distribution/E1/invalidation/I1",
                Some("GetInvalidation E1 I1"),
            ),
            (
                "GET",
                "origin-access-control/E2/config",
                Some("GetOriginAccessControlConfig E2 "),
            ),
            (
                "POST",
                "tagging?Operation=Untag&Resource=arn%3Aaws%3Acloudfront%3A%3A1%3Adistribution%2FE1",
                Some("UntagResource arn:aws:cloudfront::1:distribution/E1 "),
            ),
            ("GET", "tagging?Resource=a", Some("ListTagsForResource a ")),
            ("POST", "tagging?Resource=a", None),
            ("PATCH", "distribution", None),
            ("GET", "streaming-distribution", None),
            ("GET", "distribution/a/b/c/d", None),
        ] {
            assert_eq!(found(method, uri).as_deref(), expected, "{method} {uri}");
        }
    }
}
