//! Writes the documents of responses.

use crate::clock::utc;
use crate::query::Xml;
use crate::types::Tags;

use super::error::NAMESPACE;
use super::model::{AccessControl, Config, Distribution, ErrorResponse, Invalidation, Origin};

/// The settings of a DistributionConfig that have their default value here, as AWS shows them.
pub(super) const CONFIG_DEFAULTS: &str = "<Aliases><Quantity>0</Quantity></Aliases>\
    <OriginGroups><Quantity>0</Quantity></OriginGroups><CacheBehaviors><Quantity>0</Quantity></CacheBehaviors>\
    <Logging><Enabled>false</Enabled><IncludeCookies>false</IncludeCookies><Bucket></Bucket><Prefix></Prefix></Logging>\
    <ViewerCertificate><CloudFrontDefaultCertificate>true</CloudFrontDefaultCertificate>\
    <SSLSupportMethod>vip</SSLSupportMethod><MinimumProtocolVersion>TLSv1</MinimumProtocolVersion>\
    <CertificateSource>cloudfront</CertificateSource></ViewerCertificate>\
    <Restrictions><GeoRestriction><RestrictionType>none</RestrictionType><Quantity>0</Quantity></GeoRestriction>\
    </Restrictions><WebACLId></WebACLId><ContinuousDeploymentPolicyId></ContinuousDeploymentPolicyId>\
    <Staging>false</Staging><ConnectionMode>direct</ConnectionMode>";
pub(super) const ORIGIN_DEFAULTS: &str = "<CustomHeaders><Quantity>0</Quantity></CustomHeaders>\
    <S3OriginConfig><OriginAccessIdentity></OriginAccessIdentity><OriginReadTimeout>30</OriginReadTimeout>\
    </S3OriginConfig><OriginShield><Enabled>false</Enabled></OriginShield>";
pub(super) const BEHAVIOR_DEFAULTS: &str = "<TrustedSigners><Enabled>false</Enabled><Quantity>0</Quantity></TrustedSigners>\
    <TrustedKeyGroups><Enabled>false</Enabled><Quantity>0</Quantity></TrustedKeyGroups>\
    <SmoothStreaming>false</SmoothStreaming>\
    <LambdaFunctionAssociations><Quantity>0</Quantity></LambdaFunctionAssociations>\
    <FunctionAssociations><Quantity>0</Quantity></FunctionAssociations>\
    <FieldLevelEncryptionId></FieldLevelEncryptionId><GrpcConfig><Enabled>false</Enabled></GrpcConfig>";

fn flag(xml: &mut Xml, name: &str, value: bool) {
    xml.leaf(name, if value { "true" } else { "false" });
}

fn number(xml: &mut Xml, name: &str, value: impl std::fmt::Display) {
    xml.leaf(name, &value.to_string());
}

fn time(xml: &mut Xml, name: &str, ms: i64) {
    xml.leaf(name, &utc(ms, "%Y-%m-%dT%H:%M:%S.%3fZ"));
}

/// A list with its Quantity. AWS leaves out the Items of an empty one.
fn list<T>(xml: &mut Xml, name: &str, items: &[T], item: impl Fn(&mut Xml, &T)) {
    xml.element(name, |xml| quantity_and_items(xml, items, item));
}

fn quantity_and_items<T>(xml: &mut Xml, items: &[T], item: impl Fn(&mut Xml, &T)) {
    number(xml, "Quantity", items.len());
    if !items.is_empty() {
        xml.element("Items", |xml| items.iter().for_each(|one| item(xml, one)));
    }
}

/// The members of a DistributionConfig that a DistributionSummary has too.
fn shared(xml: &mut Xml, config: &Config) {
    list(xml, "Origins", &config.origins, origin);
    behavior(xml, config);
    list(xml, "CustomErrorResponses", &config.errors, error_response);
    xml.leaf("Comment", &config.comment);
    xml.leaf("PriceClass", &config.price_class);
    flag(xml, "Enabled", config.enabled);
    xml.leaf("HttpVersion", &config.http_version);
    flag(xml, "IsIPV6Enabled", config.ipv6);
    xml.raw(CONFIG_DEFAULTS);
}

fn config_members(xml: &mut Xml, config: &Config) {
    xml.leaf("CallerReference", &config.caller_reference);
    xml.leaf("DefaultRootObject", &config.default_root_object);
    shared(xml, config);
}

fn origin(xml: &mut Xml, origin: &Origin) {
    xml.element("Origin", |xml| {
        xml.leaf("Id", &origin.id);
        xml.leaf("DomainName", &origin.domain_name);
        xml.leaf("OriginPath", &origin.path);
        number(xml, "ConnectionAttempts", origin.connection_attempts);
        number(xml, "ConnectionTimeout", origin.connection_timeout);
        xml.leaf("OriginAccessControlId", &origin.access_control);
        xml.raw(ORIGIN_DEFAULTS);
    });
}

fn behavior(xml: &mut Xml, config: &Config) {
    let behavior = &config.behavior;
    let method = |xml: &mut Xml, method: &String| xml.leaf("Method", method);
    xml.element("DefaultCacheBehavior", |xml| {
        xml.leaf("TargetOriginId", &behavior.target);
        xml.leaf("ViewerProtocolPolicy", &behavior.viewer_protocol);
        xml.element("AllowedMethods", |xml| {
            quantity_and_items(xml, &behavior.methods, method);
            list(xml, "CachedMethods", &behavior.cached_methods, method);
        });
        flag(xml, "Compress", behavior.compress);
        xml.leaf("CachePolicyId", &behavior.cache_policy);
        if let Some(policy) = &behavior.origin_request_policy {
            xml.leaf("OriginRequestPolicyId", policy);
        }
        if let Some(policy) = &behavior.response_headers_policy {
            xml.leaf("ResponseHeadersPolicyId", policy);
        }
        xml.raw(BEHAVIOR_DEFAULTS);
    });
}

fn error_response(xml: &mut Xml, error: &ErrorResponse) {
    xml.element("CustomErrorResponse", |xml| {
        number(xml, "ErrorCode", error.code);
        let (path, code) = match &error.page {
            Some((path, code)) => (path.as_str(), code.to_string()),
            None => ("", String::new()),
        };
        xml.leaf("ResponsePagePath", path);
        xml.leaf("ResponseCode", &code);
        number(xml, "ErrorCachingMinTTL", error.min_ttl);
    });
}

pub(super) fn config(config: &Config) -> Vec<u8> {
    Xml::root("DistributionConfig", NAMESPACE, |xml| config_members(xml, config))
}

/// What a Distribution and a DistributionSummary have in common. `domain` is the host of the distribution.
fn identity(xml: &mut Xml, distribution: &Distribution, domain: &str, now_ms: i64) {
    xml.leaf("Id", &distribution.id);
    xml.leaf("ARN", &distribution.arn());
    let status = match distribution.is_deployed(now_ms) {
        true => "Deployed",
        false => "InProgress",
    };
    xml.leaf("Status", status);
    time(xml, "LastModifiedTime", distribution.modified_ms);
    xml.leaf("DomainName", domain);
}

pub(super) fn distribution(distribution: &Distribution, domain: &str, now_ms: i64) -> Vec<u8> {
    Xml::root("Distribution", NAMESPACE, |xml| {
        identity(xml, distribution, domain, now_ms);
        number(xml, "InProgressInvalidationBatches", 0);
        xml.raw(
            "<ActiveTrustedSigners><Enabled>false</Enabled><Quantity>0</Quantity></ActiveTrustedSigners>",
        );
        xml.raw(
            "<ActiveTrustedKeyGroups><Enabled>false</Enabled><Quantity>0</Quantity></ActiveTrustedKeyGroups>",
        );
        xml.element("DistributionConfig", |xml| {
            config_members(xml, &distribution.config);
        });
    })
}

/// A page of a listing: what stands before the items, and the items.
pub(super) struct Page<T> {
    pub marker: String,
    pub max_items: usize,
    pub next: Option<String>,
    pub items: Vec<T>,
}

/// The document `root` with a page.
pub(super) fn page<T>(root: &str, page: &Page<T>, item: impl Fn(&mut Xml, &T)) -> Vec<u8> {
    Xml::root(root, NAMESPACE, |xml| {
        xml.leaf("Marker", &page.marker);
        if let Some(next) = &page.next {
            xml.leaf("NextMarker", next);
        }
        number(xml, "MaxItems", page.max_items);
        flag(xml, "IsTruncated", page.next.is_some());
        quantity_and_items(xml, &page.items, item);
    })
}

pub(super) fn distribution_summary(xml: &mut Xml, distribution: &Distribution, domain: &str, now_ms: i64) {
    xml.element("DistributionSummary", |xml| {
        identity(xml, distribution, domain, now_ms);
        xml.leaf("ETag", &distribution.etag);
        shared(xml, &distribution.config);
    });
}

fn access_control_members(xml: &mut Xml, control: &AccessControl) {
    xml.leaf("Name", &control.name);
    xml.leaf("Description", &control.description);
    xml.leaf("SigningProtocol", "sigv4");
    xml.leaf("SigningBehavior", &control.signing_behavior);
    xml.leaf("OriginAccessControlOriginType", "s3");
}

pub(super) fn access_control_config(control: &AccessControl) -> Vec<u8> {
    Xml::root("OriginAccessControlConfig", NAMESPACE, |xml| {
        access_control_members(xml, control);
    })
}

pub(super) fn access_control(control: &AccessControl) -> Vec<u8> {
    Xml::root("OriginAccessControl", NAMESPACE, |xml| {
        xml.leaf("Id", &control.id);
        xml.element("OriginAccessControlConfig", |xml| {
            access_control_members(xml, control);
        });
    })
}

pub(super) fn access_control_summary(xml: &mut Xml, control: &AccessControl) {
    xml.element("OriginAccessControlSummary", |xml| {
        xml.leaf("Id", &control.id);
        access_control_members(xml, control);
    });
}

pub(super) fn invalidation(invalidation: &Invalidation) -> Vec<u8> {
    Xml::root("Invalidation", NAMESPACE, |xml| {
        xml.leaf("Id", &invalidation.id);
        xml.leaf("Status", "Completed");
        time(xml, "CreateTime", invalidation.created_ms);
        xml.element("InvalidationBatch", |xml| {
            let path = |xml: &mut Xml, path: &String| xml.leaf("Path", path);
            list(xml, "Paths", &invalidation.paths, path);
            xml.leaf("CallerReference", &invalidation.caller_reference);
        });
    })
}

pub(super) fn invalidation_summary(xml: &mut Xml, invalidation: &Invalidation) {
    xml.element("InvalidationSummary", |xml| {
        xml.leaf("Id", &invalidation.id);
        time(xml, "CreateTime", invalidation.created_ms);
        xml.leaf("Status", "Completed");
    });
}

pub(super) fn tags(tags: &Tags) -> Vec<u8> {
    Xml::root("Tags", NAMESPACE, |xml| {
        xml.element("Items", |xml| {
            for (key, value) in tags {
                xml.element("Tag", |xml| {
                    xml.leaf("Key", key);
                    xml.leaf("Value", value);
                });
            }
        });
    })
}
