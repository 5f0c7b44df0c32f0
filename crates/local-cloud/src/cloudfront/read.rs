//! Reads the documents of requests. A setting that the local cloud does not offer is accepted with its default value only.

use std::sync::LazyLock;

use ground::xml::Node;

use super::error::{Error, Result};
use super::model::{AccessControl, Behavior, Config, ErrorResponse, Origin};
use super::policies;
use super::write::{BEHAVIOR_DEFAULTS, CONFIG_DEFAULTS, ORIGIN_DEFAULTS};
use crate::types::Tags;

/// Source: DistributionConfig, CloudFront API reference.
const MAX_COMMENT: usize = 128;
const MAX_ROOT_OBJECT: usize = 255;
/// Source: "General quotas on distributions", CloudFront developer guide; Amazon CloudFront in Service Quotas.
const MAX_ORIGINS: usize = 100;
/// Source: "General quotas", CloudFront developer guide: tags of a distribution.
const MAX_TAGS: usize = 50;
/// Source: CustomErrorResponse, CloudFront API reference.
const ERROR_CODES: [u16; 11] = [400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504];
const RESPONSE_CODES: [u16; 12] = [200, 400, 403, 404, 405, 414, 416, 500, 501, 502, 503, 504];
const METHOD_SETS: [&[&str]; 2] = [&["GET", "HEAD"], &["GET", "HEAD", "OPTIONS"]];

/// The document of a request whose root element is `root`.
pub(super) fn document(body: &[u8], root: &str) -> Result<Node> {
    if body.is_empty() {
        return Err(Error::new(
            400,
            "MissingBody",
            "This operation requires a body. Ensure that the body is present and the Content-Type header is set.",
        ));
    }
    let document = Node::read(body).filter(|node| node.name == root);
    document.ok_or_else(Error::malformed)
}

/// An element whose children are taken one by one. What is left must have its default value.
struct Fields<'a> {
    node: &'a Node,
    taken: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    fn of(node: &'a Node) -> Self {
        Self {
            node,
            taken: Vec::new(),
        }
    }

    fn node(&mut self, name: &'static str) -> Option<&'a Node> {
        self.taken.push(name);
        self.node.child(name)
    }

    /// The text of a member; `None` where it is missing or empty.
    fn text(&mut self, name: &'static str) -> Option<&'a str> {
        let node = self.node(name)?;
        Some(node.text.trim()).filter(|text| !text.is_empty())
    }

    fn required(&mut self, name: &'static str) -> Result<&'a str> {
        let text = self.text(name);
        text.ok_or_else(|| Error::argument(format!("The parameter {name} is required.")))
    }

    fn flag(&mut self, name: &'static str, default: bool) -> Result<bool> {
        match self.text(name) {
            None => Ok(default),
            Some("true") => Ok(true),
            Some("false") => Ok(false),
            Some(_) => Err(Error::argument(format!("{name} must be true or false."))),
        }
    }

    fn number(&mut self, name: &'static str, default: u32, (least, most): (u32, u32)) -> Result<u32> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        let number = text.parse().ok();
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| Error::argument(format!("{name} must be a number from {least} to {most}.")))
    }

    fn one_of(&mut self, name: &'static str, default: &str, allowed: &[&str]) -> Result<String> {
        let text = self.text(name).unwrap_or(default);
        if allowed.contains(&text) {
            return Ok(text.to_owned());
        }
        Err(Error::argument(format!(
            "The parameter {name} is invalid. Allowed values are {}.",
            allowed.join(", ")
        )))
    }

    /// Refuses members that were not taken and are not as in `defaults`.
    fn rest(self, defaults: &Node) -> Result<()> {
        for child in &self.node.children {
            if self.taken.contains(&child.name.as_str()) {
                continue;
            }
            let default = defaults.child(&child.name);
            if !default.map_or(is_empty(child), |default| is_default(child, default)) {
                return Err(Error::not_offered(format_args!("the setting {}", child.name)));
            }
        }
        Ok(())
    }
}

fn is_empty(node: &Node) -> bool {
    node.text.trim().is_empty() && node.children.iter().all(is_empty)
}

/// Whether all that `given` says is said by `default` too.
fn is_default(given: &Node, default: &Node) -> bool {
    if given.children.is_empty() {
        let text = given.text.trim();
        return text.is_empty() || text == default.text;
    }
    given
        .children
        .iter()
        .all(|child| match default.child(&child.name) {
            Some(default) => is_default(child, default),
            None => is_empty(child),
        })
}

/// The items of a list, whose number must be its Quantity.
fn items<'a>(list: Option<&'a Node>, item: &'a str) -> Result<Vec<&'a Node>> {
    let Some(list) = list else {
        return Ok(Vec::new());
    };
    let items: Vec<&Node> = list
        .child("Items")
        .into_iter()
        .flat_map(|items| items.all(item))
        .collect();
    let quantity = list
        .text_of("Quantity")
        .and_then(|text| text.trim().parse::<usize>().ok());
    if quantity == Some(items.len()) {
        return Ok(items);
    }
    Err(Error::new(
        400,
        "InconsistentQuantities",
        "The value of Quantity and the size of Items don't match.",
    ))
}

fn texts(items: Vec<&Node>) -> Vec<String> {
    items
        .into_iter()
        .map(|item| item.text.trim().to_owned())
        .collect()
}

fn defaults(xml: &str) -> Node {
    Node::read(format!("<Defaults>{xml}</Defaults>").as_bytes()).unwrap_or_default()
}

/// A DistributionConfig.
pub(super) fn config(document: &Node) -> Result<Config> {
    static DEFAULTS: LazyLock<Node> = LazyLock::new(|| defaults(CONFIG_DEFAULTS));
    let mut fields = Fields::of(document);
    let caller_reference = fields.required("CallerReference")?.to_owned();
    let comment = fields.text("Comment").unwrap_or_default().to_owned();
    if comment.chars().count() > MAX_COMMENT {
        return Err(Error::argument(
            "The parameter Comment is too long: at most 128 characters.",
        ));
    }
    if fields.text("Enabled").is_none() {
        return Err(Error::argument("The parameter Enabled is required."));
    }
    let config = Config {
        caller_reference,
        comment,
        enabled: fields.flag("Enabled", true)?,
        default_root_object: root_object(fields.text("DefaultRootObject").unwrap_or_default())?,
        price_class: fields.one_of(
            "PriceClass",
            "PriceClass_All",
            &["PriceClass_100", "PriceClass_200", "PriceClass_All"],
        )?,
        http_version: fields.one_of(
            "HttpVersion",
            "http2",
            &["http1.1", "http2", "http3", "http2and3"],
        )?,
        ipv6: fields.flag("IsIPV6Enabled", false)?,
        origins: origins(fields.node("Origins"))?,
        behavior: behavior(fields.node("DefaultCacheBehavior"))?,
        errors: items(fields.node("CustomErrorResponses"), "CustomErrorResponse")?
            .into_iter()
            .map(error_response)
            .collect::<Result<_>>()?,
    };
    fields.rest(&DEFAULTS)?;
    if !config
        .origins
        .iter()
        .any(|origin| origin.id == config.behavior.target)
    {
        return Err(Error::new(
            404,
            "NoSuchOrigin",
            "One or more of your origins or origin groups do not exist.",
        ));
    }
    Ok(config)
}

fn root_object(name: &str) -> Result<String> {
    // Source: "Specify a default root object", CloudFront developer guide.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.*$/~\"'&".contains(c);
    let is_sound = name.len() <= MAX_ROOT_OBJECT && !name.starts_with('/') && name.chars().all(allowed);
    if is_sound {
        return Ok(name.to_owned());
    }
    Err(Error::new(
        400,
        "InvalidDefaultRootObject",
        "The default root object file name is too big or contains an invalid character.",
    ))
}

fn origins(node: Option<&Node>) -> Result<Vec<Origin>> {
    let all = items(node, "Origin")?;
    if all.is_empty() {
        return Err(Error::argument("A distribution needs at least one origin."));
    }
    if all.len() > MAX_ORIGINS {
        return Err(Error::new(
            400,
            "TooManyOrigins",
            "You cannot create more origins for the distribution.",
        ));
    }
    let origins: Vec<Origin> = all.into_iter().map(origin).collect::<Result<_>>()?;
    for (at, origin) in origins.iter().enumerate() {
        if origins[..at].iter().any(|other| other.id == origin.id) {
            return Err(Error::argument("Each origin needs an id of its own."));
        }
    }
    Ok(origins)
}

fn origin(node: &Node) -> Result<Origin> {
    static DEFAULTS: LazyLock<Node> = LazyLock::new(|| defaults(ORIGIN_DEFAULTS));
    let mut fields = Fields::of(node);
    let id = fields.required("Id")?.to_owned();
    let domain_name = fields.required("DomainName")?.to_owned();
    let path = fields.text("OriginPath").unwrap_or_default().to_owned();
    if !path.is_empty() && (!path.starts_with('/') || path.ends_with('/') || path.len() > 255) {
        return Err(Error::argument(
            "The parameter OriginPath must begin with a slash and must not end with one.",
        ));
    }
    if bucket_of(&domain_name).is_none() {
        return Err(Error::not_offered(format_args!(
            "origins other than buckets, such as {domain_name},"
        )));
    }
    let Some(access_control) = fields.text("OriginAccessControlId") else {
        return Err(Error::not_offered(
            "buckets as origins without origin access control",
        ));
    };
    let origin = Origin {
        id,
        domain_name,
        path,
        access_control: access_control.to_owned(),
        connection_attempts: fields.number("ConnectionAttempts", 3, (1, 3))?,
        connection_timeout: fields.number("ConnectionTimeout", 10, (1, 10))?,
    };
    fields.rest(&DEFAULTS)?;
    Ok(origin)
}

/// The bucket in the domain name of an origin, and its region, if the name says it.
/// Source: "Use various origins with CloudFront distributions", CloudFront developer guide.
pub(super) fn bucket_of(domain: &str) -> Option<(&str, Option<&str>)> {
    let rest = domain
        .strip_suffix(".amazonaws.com")
        .or_else(|| domain.strip_suffix(".amazonaws.com.cn"))?;
    let is_name = |name: &str| {
        let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'.' || b == b'-';
        !name.is_empty() && name.bytes().all(allowed)
    };
    if let Some(bucket) = rest.strip_suffix(".s3") {
        return is_name(bucket).then_some((bucket, None));
    }
    let (bucket, region) = rest.rsplit_once('.')?;
    let (bucket, region) = match region.strip_prefix("s3-") {
        Some(region) => (bucket, region),
        None => (bucket.strip_suffix(".s3")?, region),
    };
    let is_region = region.contains('-') && !region.starts_with("website");
    (is_region && is_name(bucket)).then_some((bucket, Some(region)))
}

fn behavior(node: Option<&Node>) -> Result<Behavior> {
    static DEFAULTS: LazyLock<Node> = LazyLock::new(|| defaults(BEHAVIOR_DEFAULTS));
    let node = node.ok_or_else(|| Error::argument("The parameter DefaultCacheBehavior is required."))?;
    let mut fields = Fields::of(node);
    let target = fields.required("TargetOriginId")?.to_owned();
    let allowed = ["allow-all", "https-only", "redirect-to-https"];
    fields.required("ViewerProtocolPolicy")?;
    let viewer_protocol = fields.one_of("ViewerProtocolPolicy", "", &allowed)?;
    let (methods, cached_methods) = methods(fields.node("AllowedMethods"))?;
    let Some(cache_policy) = fields.text("CachePolicyId") else {
        return Err(Error::not_offered(
            "cache settings without a cache policy (ForwardedValues)",
        ));
    };
    let behavior = Behavior {
        target,
        viewer_protocol,
        methods,
        cached_methods,
        compress: fields.flag("Compress", false)?,
        cache_policy: policies::cache(cache_policy)?.to_owned(),
        origin_request_policy: fields
            .text("OriginRequestPolicyId")
            .map(policies::origin_request)
            .transpose()?,
        response_headers_policy: fields
            .text("ResponseHeadersPolicyId")
            .map(policies::response_headers)
            .transpose()?,
    };
    fields.rest(&DEFAULTS)?;
    Ok(behavior)
}

/// The allowed and the cached methods.
fn methods(node: Option<&Node>) -> Result<(Vec<String>, Vec<String>)> {
    let read = |node: Option<&Node>| -> Result<Vec<String>> {
        let Some(node) = node else {
            return Ok(METHOD_SETS[0].iter().map(|method| (*method).to_owned()).collect());
        };
        let mut methods = texts(items(Some(node), "Method")?);
        methods.sort();
        match METHOD_SETS.iter().any(|set| **set == methods[..]) {
            true => Ok(methods),
            false => Err(Error::not_offered("methods other than GET, HEAD and OPTIONS")),
        }
    };
    let cached = node.and_then(|node| node.child("CachedMethods"));
    Ok((read(node)?, read(cached)?))
}

fn error_response(node: &Node) -> Result<ErrorResponse> {
    let mut fields = Fields::of(node);
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u16>().ok());
    let code = number(fields.text("ErrorCode")).filter(|code| ERROR_CODES.contains(code));
    let code =
        code.ok_or_else(|| Error::new(400, "InvalidErrorCode", "An invalid error code was specified."))?;
    let (path, response) = (fields.text("ResponsePagePath"), fields.text("ResponseCode"));
    let page = match (path, response) {
        (None, None) => None,
        (Some(path), Some(_)) if path.starts_with('/') && path.len() <= 4000 => {
            let code = number(response).filter(|code| RESPONSE_CODES.contains(code));
            let code =
                code.ok_or_else(|| Error::new(400, "InvalidResponseCode", "A response code is not valid."))?;
            Some((path.to_owned(), code))
        }
        _ => {
            return Err(Error::argument(
                "ResponsePagePath, which begins with a slash, and ResponseCode go together.",
            ));
        }
    };
    let min_ttl = u64::from(fields.number("ErrorCachingMinTTL", 10, (0, 31_536_000))?);
    fields.rest(&Node::default())?;
    Ok(ErrorResponse { code, page, min_ttl })
}

/// An OriginAccessControlConfig, with the id, the account and the ETag left empty.
pub(super) fn access_control(document: &Node) -> Result<AccessControl> {
    let mut fields = Fields::of(document);
    let name = fields.required("Name")?.to_owned();
    let description = fields.text("Description").unwrap_or_default().to_owned();
    // Source: OriginAccessControlConfig, CloudFront API reference.
    if name.chars().count() > 64 || description.chars().count() > 256 {
        return Err(Error::argument(
            "The name has at most 64 characters, and the description at most 256.",
        ));
    }
    let kind = fields.required("OriginAccessControlOriginType")?;
    if kind != "s3" {
        return Err(Error::not_offered(format_args!(
            "origin access controls for {kind}"
        )));
    }
    let protocol = fields.required("SigningProtocol")?;
    let signing_behavior = fields.required("SigningBehavior")?;
    if protocol != "sigv4" || !["always", "no-override"].contains(&signing_behavior) {
        return Err(Error::not_offered(format_args!(
            "origin access controls with {protocol} {signing_behavior}"
        )));
    }
    let control = AccessControl {
        id: String::new(),
        account: String::new(),
        etag: String::new(),
        name,
        description,
        signing_behavior: signing_behavior.to_owned(),
    };
    fields.rest(&Node::default())?;
    Ok(control)
}

/// Paths and caller reference of an InvalidationBatch.
pub(super) fn invalidation(document: &Node) -> Result<(Vec<String>, String)> {
    let mut fields = Fields::of(document);
    let reference = fields.required("CallerReference")?.to_owned();
    let paths = texts(items(fields.node("Paths"), "Path")?);
    fields.rest(&Node::default())?;
    // Source: "What you need to know when invalidating files", CloudFront developer guide.
    let is_sound = |path: &String| {
        let before_end = path.len().saturating_sub(1);
        path.starts_with('/')
            && path.len() <= 4000
            && path.is_ascii()
            && !path[..before_end].contains('*')
            && !path.contains(char::is_whitespace)
    };
    if paths.is_empty() || !paths.iter().all(is_sound) {
        return Err(Error::argument(
            "Your request contains one or more invalid invalidation paths.",
        ));
    }
    Ok((paths, reference))
}

/// A Tags element.
pub(super) fn tags(node: &Node) -> Result<Tags> {
    let items = node.child("Items").into_iter().flat_map(|items| items.all("Tag"));
    let mut tags = Tags::new();
    for tag in items {
        let key = tag.text_of("Key").unwrap_or_default();
        let value = tag.text_of("Value").unwrap_or_default();
        tags.insert(key.to_owned(), value.to_owned());
    }
    check_tags(&tags)?;
    Ok(tags)
}

/// The keys of a TagKeys element.
pub(super) fn tag_keys(node: &Node) -> Vec<String> {
    let items = node.child("Items").into_iter().flat_map(|items| items.all("Key"));
    items.map(|key| key.text.clone()).collect()
}

/// Source: Tag, CloudFront API reference.
pub(super) fn check_tags(tags: &Tags) -> Result<()> {
    let invalid = |message: &str| Err(Error::new(400, "InvalidTagging", message));
    if tags.len() > MAX_TAGS {
        return invalid("A resource has at most 50 tags.");
    }
    let allowed = |c: char| c.is_alphanumeric() || c == ' ' || "_.:/=+-@".contains(c);
    for (key, value) in tags {
        let is_sound = (1..=128).contains(&key.chars().count())
            && value.chars().count() <= 256
            && !key.to_ascii_lowercase().starts_with("aws:")
            && key.chars().chain(value.chars()).all(allowed);
        if !is_sound {
            return invalid("The tagging specified is not valid: a key or a value is not allowed.");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_in_domain_names() {
        for (domain, expected) in [
            ("b.s3.amazonaws.com", Some(("b", None))),
            ("a.b.s3.eu-west-1.amazonaws.com", Some(("a.b", Some("eu-west-1")))),
            ("b.s3-eu-west-1.amazonaws.com", Some(("b", Some("eu-west-1")))),
            (
                "b.s3.cn-north-1.amazonaws.com.cn",
                Some(("b", Some("cn-north-1"))),
            ),
            (".s3.amazonaws.com", None),
            ("b.s3-website-us-east-1.amazonaws.com", None),
            ("s3.us-east-1.amazonaws.com", None),
            ("a/b.s3.amazonaws.com", None),
            ("example.com", None),
        ] {
            assert_eq!(bucket_of(domain), expected, "{domain}");
        }
    }
}
