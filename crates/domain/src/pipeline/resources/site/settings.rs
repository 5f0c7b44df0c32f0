//! The settings of a distribution that streamctl decides: as declared, as observed, and the differences.

use ground::xml::Node;
use serde::{Deserialize, Serialize};

use super::super::common;
use super::Site;

/// The managed policies CachingOptimized and SecurityHeadersPolicy. Source: "Use managed cache policies" and "Use managed
/// response headers policies", CloudFront developer guide.
const CACHE_POLICY: &str = "658327ea-f89d-4fab-a63d-7e88639e58f6";
const HEADERS_POLICY: &str = "67f7725c-6f97-4210-82d7-5512b31e9d03";
const PROTOCOL: &str = "redirect-to-https";
const PRICE_CLASS: &str = "PriceClass_100";
const ORIGIN: &str = "bucket";
/// Seconds that CloudFront keeps an error.
const ERROR_TTL: &str = "10";

/// The settings of a distribution that streamctl decides.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Settings {
    pub(super) enabled: bool,
    index: String,
    /// The domain name of the bucket.
    pub(super) origin: String,
    /// The id of the origin access control.
    access_control: String,
    protocol: String,
    cache_policy: String,
    headers_policy: String,
    compress: bool,
    /// Status of the bucket, page, and status of the answer.
    errors: Vec<(String, String, String)>,
    pub(super) price_class: String,
}

impl Settings {
    /// Of a DistributionConfig.
    pub(super) fn of_node(config: &Node) -> Self {
        let text = |node: Option<&Node>, name: &str| {
            let text = node.and_then(|node| node.text_of(name));
            text.unwrap_or_default().trim().to_owned()
        };
        let behavior = config.child("DefaultCacheBehavior");
        let target = text(behavior, "TargetOriginId");
        let origins = config.child("Origins").and_then(|origins| origins.child("Items"));
        let mut origins = origins.into_iter().flat_map(|items| items.all("Origin"));
        let origin = origins.find(|origin| origin.text_of("Id") == Some(target.as_str()));
        let errors = config
            .child("CustomErrorResponses")
            .and_then(|list| list.child("Items"));
        let errors = errors
            .into_iter()
            .flat_map(|items| items.all("CustomErrorResponse"));
        let mut errors: Vec<(String, String, String)> = errors
            .map(|error| {
                let of = |name| text(Some(error), name);
                (of("ErrorCode"), of("ResponsePagePath"), of("ResponseCode"))
            })
            .collect();
        errors.sort();
        Self {
            enabled: text(Some(config), "Enabled") == "true",
            index: text(Some(config), "DefaultRootObject"),
            origin: text(origin, "DomainName"),
            access_control: text(origin, "OriginAccessControlId"),
            protocol: text(behavior, "ViewerProtocolPolicy"),
            cache_policy: text(behavior, "CachePolicyId"),
            headers_policy: text(behavior, "ResponseHeadersPolicyId"),
            compress: text(behavior, "Compress") == "true",
            errors,
            price_class: text(Some(config), "PriceClass"),
        }
    }

    /// In words, what is different from `wanted`, and how `wanted` has it.
    pub(super) fn differences(&self, wanted: &Self) -> Option<(String, String)> {
        let pages = |settings: &Self| match settings.errors.as_slice() {
            [] => "no error page".to_owned(),
            errors => errors
                .iter()
                .map(|(code, page, status)| format!("{code} shows {page} with {status}"))
                .collect::<Vec<_>>()
                .join(", "),
        };
        let words = |settings: &Self| {
            [
                if settings.enabled { "enabled" } else { "disabled" }.to_owned(),
                format!("index {}", settings.index),
                format!("origin {}", settings.origin),
                format!("origin access control {}", settings.access_control),
                settings.protocol.clone(),
                format!("cache policy {}", settings.cache_policy),
                format!("response headers policy {}", settings.headers_policy),
                format!("compression {}", common::on_off(settings.compress)),
                pages(settings),
                settings.price_class.clone(),
            ]
        };
        let (mut from, mut to) = (Vec::new(), Vec::new());
        for (one, other) in words(self).into_iter().zip(words(wanted)) {
            if one != other {
                from.push(one);
                to.push(other);
            }
        }
        (!from.is_empty()).then(|| (from.join(", "), to.join(", ")))
    }

    /// Writes the settings into a DistributionConfig; what streamctl does not decide stays.
    pub(super) fn write(&self, config: &mut Node) {
        let flag = |value: bool| if value { "true" } else { "false" };
        config.set(Node::leaf("DefaultRootObject", &self.index));
        config.set(Node::leaf("Enabled", flag(self.enabled)));
        config.set(Node::leaf("PriceClass", &self.price_class));
        let origin = Node::of(
            "Origin",
            vec![
                Node::leaf("Id", ORIGIN),
                Node::leaf("DomainName", &self.origin),
                Node::leaf("OriginPath", ""),
                Node::of("CustomHeaders", vec![Node::leaf("Quantity", "0")]),
                Node::of("S3OriginConfig", vec![Node::leaf("OriginAccessIdentity", "")]),
                Node::leaf("OriginAccessControlId", &self.access_control),
            ],
        );
        config.set(list("Origins", vec![origin]));
        let mut behavior = config
            .child("DefaultCacheBehavior")
            .cloned()
            .unwrap_or_else(|| Node::of("DefaultCacheBehavior", Vec::new()));
        behavior.set(Node::leaf("TargetOriginId", ORIGIN));
        behavior.set(Node::leaf("ViewerProtocolPolicy", &self.protocol));
        behavior.set(Node::leaf("Compress", flag(self.compress)));
        behavior.set(Node::leaf("CachePolicyId", &self.cache_policy));
        behavior.set(Node::leaf("ResponseHeadersPolicyId", &self.headers_policy));
        config.set(behavior);
        let errors = self.errors.iter().map(|(code, page, status)| {
            Node::of(
                "CustomErrorResponse",
                vec![
                    Node::leaf("ErrorCode", code),
                    Node::leaf("ResponsePagePath", page),
                    Node::leaf("ResponseCode", status),
                    Node::leaf("ErrorCachingMinTTL", ERROR_TTL),
                ],
            )
        });
        config.set(list("CustomErrorResponses", errors.collect()));
    }
}

/// A list with its Quantity.
pub(super) fn list(name: &str, items: Vec<Node>) -> Node {
    let mut children = vec![Node::leaf("Quantity", items.len().to_string())];
    if !items.is_empty() {
        children.push(Node::of("Items", items));
    }
    Node::of(name, children)
}

impl Site<'_> {
    /// The settings as declared.
    pub(super) fn wanted_settings(&self, access_control: &str) -> Settings {
        let declared = &self.declared;
        let suffix = match self.location.partition.as_str() {
            "aws-cn" => "amazonaws.com.cn",
            _ => "amazonaws.com",
        };
        let status = declared.error_status.unwrap_or(200).to_string();
        let error = |code: &str, page: &String| (code.to_owned(), format!("/{page}"), status.clone());
        // S3 answers 403 for a file that does not exist, since the distribution may not list the bucket.
        let errors = declared
            .error_page
            .iter()
            .flat_map(|page| [error("403", page), error("404", page)]);
        Settings {
            enabled: true,
            index: self.index().to_owned(),
            origin: format!("{}.s3.{}.{suffix}", declared.bucket, self.location.region),
            access_control: access_control.to_owned(),
            protocol: PROTOCOL.to_owned(),
            cache_policy: CACHE_POLICY.to_owned(),
            headers_policy: HEADERS_POLICY.to_owned(),
            compress: true,
            errors: errors.collect(),
            price_class: declared
                .price_class
                .clone()
                .unwrap_or_else(|| PRICE_CLASS.to_owned()),
        }
    }
}
