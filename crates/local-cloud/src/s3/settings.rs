//! Configurations of buckets that are documents: stored as the client sent them, and returned.
//!
//! Rules of a lifecycle and of a website have no effect here. Notifications and CORS do: see [`super::notification`] and
//! [`super::cors`].

use super::S3;
use super::bucket::Bucket;
use super::call::{Call, Reply};
use super::error::{Error, Result};
use super::object::Encryption;
use super::xml::{self, Node};

/// A configuration that is a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Setting {
    Cors,
    Encryption,
    Lifecycle,
    Notification,
    OwnershipControls,
    PublicAccessBlock,
    Website,
}

pub(super) const ENCRYPTIONS: &[&str] = &["AES256", "aws:kms", "aws:kms:dsse"];
const OWNERSHIPS: &[&str] = &["BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter"];
const BLOCKS: [&str; 4] = [
    "BlockPublicAcls",
    "IgnorePublicAcls",
    "BlockPublicPolicy",
    "RestrictPublicBuckets",
];
const METHODS: &[&str] = &["GET", "PUT", "POST", "DELETE", "HEAD"];
const MAX_CORS_RULES: usize = 100;
const MAX_LIFECYCLE_RULES: usize = 1000;
/// What a rule of a lifecycle does.
const ACTIONS: &[&str] = &[
    "AbortIncompleteMultipartUpload",
    "Expiration",
    "NoncurrentVersionExpiration",
    "NoncurrentVersionTransition",
    "Transition",
];
/// The size below which objects are not moved, in a header beside the lifecycle.
const SIZE_HEADER: &str = "x-amz-transition-default-minimum-object-size";
const DEFAULT_SIZE: &str = "all_storage_classes_128K";

impl Setting {
    /// The name in queries, under which the document is stored.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cors => "cors",
            Self::Encryption => "encryption",
            Self::Lifecycle => "lifecycle",
            Self::Notification => "notification",
            Self::OwnershipControls => "ownershipControls",
            Self::PublicAccessBlock => "publicAccessBlock",
            Self::Website => "website",
        }
    }

    /// The root element.
    pub fn root(self) -> &'static str {
        match self {
            Self::Cors => "CORSConfiguration",
            Self::Encryption => "ServerSideEncryptionConfiguration",
            Self::Lifecycle => "LifecycleConfiguration",
            Self::Notification => "NotificationConfiguration",
            Self::OwnershipControls => "OwnershipControls",
            Self::PublicAccessBlock => "PublicAccessBlockConfiguration",
            Self::Website => "WebsiteConfiguration",
        }
    }

    fn missing(self, bucket: &Bucket) -> Error {
        let (code, message) = match self {
            Self::Cors => ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
            Self::Encryption => (
                "ServerSideEncryptionConfigurationNotFoundError",
                "The server side encryption configuration was not found",
            ),
            Self::Lifecycle => (
                "NoSuchLifecycleConfiguration",
                "The lifecycle configuration does not exist",
            ),
            Self::Notification => (
                "NoSuchNotificationConfiguration",
                "The notification configuration does not exist",
            ),
            Self::OwnershipControls => (
                "OwnershipControlsNotFoundError",
                "The bucket ownership controls were not found",
            ),
            Self::PublicAccessBlock => (
                "NoSuchPublicAccessBlockConfiguration",
                "The public access block configuration was not found",
            ),
            Self::Website => (
                "NoSuchWebsiteConfiguration",
                "The specified bucket does not have a website configuration",
            ),
        };
        Error::new(404, code, message).with("BucketName", bucket.name.as_str())
    }

    /// Checks what the client sent, and completes it.
    fn check(self, document: &mut Node) -> Result<()> {
        match self {
            Self::Cors => check_cors(document),
            Self::Encryption => check_encryption(document),
            Self::Lifecycle => check_lifecycle(document),
            Self::Notification => Ok(()),
            Self::OwnershipControls => check_ownership(document),
            Self::PublicAccessBlock => check_block(document),
            Self::Website => check_website(document),
        }
    }
}

impl S3 {
    pub(super) fn get_setting(&self, call: &Call, setting: Setting) -> Result<Reply> {
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        let document = bucket.settings.get(setting.name());
        let document = match (setting, document) {
            (_, Some(document)) => document.clone(),
            (Setting::Encryption, None) => xml::to_xml(&encryption_document("AES256")),
            (Setting::Notification, None) => xml::to_xml(&leaf(setting.root(), "")),
            (_, None) => return Err(setting.missing(&bucket)),
        };
        let mut reply = Reply::document(document.as_bytes());
        if setting == Setting::Lifecycle {
            let size = bucket.settings.get(SIZE_HEADER);
            reply.set(SIZE_HEADER, size.map_or(DEFAULT_SIZE, String::as_str));
        }
        Ok(reply)
    }

    pub(super) fn put_setting(&self, call: &Call, setting: Setting) -> Result<Reply> {
        let mut document = call.document(setting.root())?;
        setting.check(&mut document)?;
        self.write(call, |db, bucket| {
            bucket
                .settings
                .insert(setting.name().to_owned(), xml::to_xml(&document));
            if setting == Setting::Lifecycle {
                let size = call.header(SIZE_HEADER).unwrap_or(DEFAULT_SIZE);
                bucket.settings.insert(SIZE_HEADER.to_owned(), size.to_owned());
            }
            bucket.save(db)
        })?;
        Ok(Reply::empty(200))
    }

    pub(super) fn delete_setting(&self, call: &Call, setting: Setting) -> Result<Reply> {
        self.write(call, |db, bucket| {
            bucket.settings.remove(setting.name());
            bucket.save(db)
        })?;
        Ok(Reply::empty(204))
    }
}

/// A stored configuration.
pub(super) fn get(bucket: &Bucket, setting: Setting) -> Option<Node> {
    let document = bucket.settings.get(setting.name())?;
    xml::parse(document.as_bytes(), setting.root()).ok()
}

/// The settings of a bucket that is being created.
/// Source: "Default settings for new S3 buckets", S3 user guide: no public access, no access control lists.
pub(super) fn of_new_bucket(ownership: &str) -> Result<[(Setting, String); 2]> {
    let rule = node("Rule", vec![leaf("ObjectOwnership", ownership)]);
    let mut controls = node(Setting::OwnershipControls.root(), vec![rule]);
    check_ownership(&mut controls)?;
    let block = BLOCKS.map(|name| leaf(name, "true")).to_vec();
    let block = node(Setting::PublicAccessBlock.root(), block);
    Ok([
        (Setting::OwnershipControls, xml::to_xml(&controls)),
        (Setting::PublicAccessBlock, xml::to_xml(&block)),
    ])
}

/// Whether access control lists are off.
pub(super) fn owner_is_enforced(bucket: &Bucket) -> bool {
    let controls = get(bucket, Setting::OwnershipControls);
    let rule = controls.as_ref().and_then(|controls| controls.child("Rule"));
    rule.and_then(|rule| rule.text_of("ObjectOwnership")) == Some("BucketOwnerEnforced")
}

/// The encryption of objects whose writer asks for none.
pub(super) fn default_encryption(bucket: &Bucket) -> Encryption {
    let document = get(bucket, Setting::Encryption);
    let rule = document.as_ref().and_then(|document| document.child("Rule"));
    let default = rule.and_then(|rule| rule.child("ApplyServerSideEncryptionByDefault"));
    let text = |name| default.and_then(|default| default.text_of(name));
    Encryption {
        algorithm: text("SSEAlgorithm").unwrap_or("AES256").to_owned(),
        key: text("KMSMasterKeyID")
            .filter(|key| !key.is_empty())
            .map(str::to_owned),
        bucket_key: rule.and_then(|rule| rule.text_of("BucketKeyEnabled")) == Some("true"),
    }
}

fn node(name: &str, children: Vec<Node>) -> Node {
    Node {
        name: name.to_owned(),
        text: String::new(),
        children,
    }
}

pub(super) fn leaf(name: &str, text: &str) -> Node {
    Node {
        name: name.to_owned(),
        text: text.to_owned(),
        children: Vec::new(),
    }
}

fn encryption_document(algorithm: &str) -> Node {
    let default = node(
        "ApplyServerSideEncryptionByDefault",
        vec![leaf("SSEAlgorithm", algorithm)],
    );
    let rule = node("Rule", vec![default, leaf("BucketKeyEnabled", "false")]);
    node(Setting::Encryption.root(), vec![rule])
}

fn check_encryption(document: &mut Node) -> Result<()> {
    let [rule] = document.children.as_mut_slice() else {
        return Err(Error::malformed_xml());
    };
    let default = rule.child("ApplyServerSideEncryptionByDefault");
    let default = default.ok_or_else(Error::malformed_xml)?;
    let algorithm = default.text_of("SSEAlgorithm").unwrap_or_default();
    if !ENCRYPTIONS.contains(&algorithm) {
        return Err(Error::malformed_xml());
    }
    let has_key = default
        .text_of("KMSMasterKeyID")
        .is_some_and(|key| !key.is_empty());
    if has_key && algorithm == "AES256" {
        return Err(Error::argument(
            "ApplyServerSideEncryptionByDefault",
            algorithm,
            "a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms or aws:kms:dsse",
        ));
    }
    if rule.text_of("BucketKeyEnabled").is_none() {
        rule.children.push(leaf("BucketKeyEnabled", "false"));
    }
    Ok(())
}

fn check_ownership(document: &mut Node) -> Result<()> {
    let rule = document.child("Rule").ok_or_else(Error::malformed_xml)?;
    match rule.text_of("ObjectOwnership") {
        Some(ownership) if OWNERSHIPS.contains(&ownership) => Ok(()),
        _ => Err(Error::malformed_xml()),
    }
}

/// What is left out is false.
fn check_block(document: &mut Node) -> Result<()> {
    let flags = BLOCKS.map(|name| {
        let is_on = document
            .text_of(name)
            .is_some_and(|flag| flag.eq_ignore_ascii_case("true"));
        leaf(name, if is_on { "true" } else { "false" })
    });
    document.children = flags.to_vec();
    Ok(())
}

fn check_cors(document: &mut Node) -> Result<()> {
    let rules = document.all("CORSRule").count();
    if !(1..=MAX_CORS_RULES).contains(&rules) {
        return Err(Error::malformed_xml());
    }
    for rule in document.all("CORSRule") {
        if rule.child("AllowedOrigin").is_none() || rule.child("AllowedMethod").is_none() {
            return Err(Error::malformed_xml());
        }
        let many_stars = |node: &&Node| node.text.matches('*').count() > 1;
        for name in ["AllowedOrigin", "AllowedHeader"] {
            if let Some(pattern) = rule.all(name).find(many_stars) {
                let message = format!("{name} \"{}\" can not have more than one wildcard.", pattern.text);
                return Err(Error::request(message));
            }
        }
        if let Some(other) = rule
            .all("AllowedMethod")
            .find(|method| !METHODS.contains(&method.text.as_str()))
        {
            let message = format!(
                "Found unsupported HTTP method in CORS config. Unsupported method is {}",
                other.text
            );
            return Err(Error::request(message));
        }
    }
    Ok(())
}

/// Rules without an id get one.
fn check_lifecycle(document: &mut Node) -> Result<()> {
    let rules = document.all("Rule").count();
    if !(1..=MAX_LIFECYCLE_RULES).contains(&rules) {
        return Err(Error::malformed_xml());
    }
    let mut ids = std::collections::BTreeSet::new();
    for rule in document.children.iter_mut().filter(|child| child.name == "Rule") {
        let is_known = |status| ["Enabled", "Disabled"].contains(&status);
        let has_scope = rule.child("Filter").is_some() || rule.child("Prefix").is_some();
        if !rule.text_of("Status").is_some_and(is_known) || !has_scope {
            return Err(Error::malformed_xml());
        }
        if !ACTIONS.iter().any(|action| rule.child(action).is_some()) {
            return Err(Error::request(
                "At least one action needs to be specified in a rule",
            ));
        }
        rule.children
            .retain(|child| child.name != "ID" || !child.text.is_empty());
        let id = match rule.text_of("ID") {
            Some(id) => id.to_owned(),
            None => {
                let id = crate::answer::request_id();
                rule.children.push(leaf("ID", &id));
                id
            }
        };
        if id.chars().count() > 255 {
            return Err(Error::argument(
                "ID",
                &id,
                "ID length should not exceed allowed limit of 255",
            ));
        }
        if !ids.insert(id.clone()) {
            return Err(Error::argument(
                "ID",
                &id,
                "Rule ID must be unique. Found same ID for more than one rule",
            ));
        }
    }
    Ok(())
}

fn check_website(document: &mut Node) -> Result<()> {
    let redirects_all = document.child("RedirectAllRequestsTo").is_some();
    let index = document
        .child("IndexDocument")
        .map(|index| index.text_of("Suffix"));
    let others = ["IndexDocument", "ErrorDocument", "RoutingRules"];
    match (redirects_all, index) {
        (true, _) if others.iter().any(|name| document.child(name).is_some()) => {
            let message = "RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.";
            Err(Error::request(message))
        }
        (true, _) => Ok(()),
        (false, Some(Some(suffix))) if !suffix.is_empty() && !suffix.contains('/') => Ok(()),
        (false, Some(suffix)) => Err(Error::argument(
            "IndexDocument",
            suffix.unwrap_or_default(),
            "The IndexDocument Suffix is not well formed",
        )),
        (false, None) => Err(Error::argument(
            "IndexDocument",
            "null",
            "A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty",
        )),
    }
}
