//! What a client says about an object in headers: read from requests, and written to responses.
//!
//! Source: PutObject and GetObject, S3 API reference.

use std::collections::BTreeMap;

use http::HeaderValue;

use super::acl;
use super::bucket::{Bucket, Versioning};
use super::call::{Call, Reply};
use super::error::{Error, Result};
use super::list::storage_class;
use super::object::{Encryption, Head, Version};
use super::settings;
use super::tagging;
use super::time;

/// Headers that are stored and returned.
const STORED: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
];
/// Query parameters that replace headers of a response.
const OVERRIDES: &[(&str, &str)] = &[
    ("response-cache-control", "cache-control"),
    ("response-content-disposition", "content-disposition"),
    ("response-content-encoding", "content-encoding"),
    ("response-content-language", "content-language"),
    ("response-content-type", "content-type"),
    ("response-expires", "expires"),
];
const METADATA: &str = "x-amz-meta-";
/// Bytes of names and values of metadata. Source: "Working with object metadata", S3 user guide.
const MAX_METADATA: usize = 2048;
const DEFAULT_TYPE: &str = "binary/octet-stream";
/// Storage classes whose objects can be read at any time.
const STORAGE_CLASSES: &[&str] = &[
    "STANDARD",
    "REDUCED_REDUNDANCY",
    "STANDARD_IA",
    "ONEZONE_IA",
    "INTELLIGENT_TIERING",
    "GLACIER_IR",
];
const OTHER_STORAGE_CLASSES: &[&str] = &[
    "GLACIER",
    "DEEP_ARCHIVE",
    "OUTPOSTS",
    "SNOW",
    "EXPRESS_ONEZONE",
    "FSX_OPENZFS",
    "FSX_ONTAP",
];
/// Headers of features that the local cloud does not offer.
const NOT_OFFERED: &[(&str, &str)] = &[
    (
        "x-amz-server-side-encryption-customer-algorithm",
        "encryption with keys of the client (SSE-C)",
    ),
    ("x-amz-object-lock-mode", "object lock"),
    ("x-amz-object-lock-retain-until-date", "object lock"),
    ("x-amz-object-lock-legal-hold", "object lock"),
    ("x-amz-write-offset-bytes", "appending to objects"),
    ("x-amz-bucket-object-lock-enabled", "object lock"),
];

/// The text of a header, also of one that is not ASCII.
fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// Refuses headers of features that are not offered.
pub(super) fn refuse_unknown(call: &Call) -> Result<()> {
    let asked = NOT_OFFERED.iter().find(|(name, _)| {
        let value = call.header(name);
        value.is_some_and(|value| !value.eq_ignore_ascii_case("false"))
    });
    match asked {
        Some((_, feature)) => Err(Error::not_offered(feature)),
        None => Ok(()),
    }
}

impl Head {
    /// What the headers of a request say about a new object.
    ///
    /// # Errors
    /// If a header is invalid or asks for what is not offered.
    pub fn of_request(call: &Call, bucket: &Bucket) -> Result<Self> {
        refuse_unknown(call)?;
        Ok(Self {
            headers: content_headers(call),
            metadata: metadata(call)?,
            tags: match call.header("x-amz-tagging") {
                Some(tags) => tagging::of_header(tags)?,
                None => BTreeMap::new(),
            },
            storage_class: read_storage_class(call)?,
            encryption: encryption(call, bucket)?,
            acl: acl::of_headers(call, bucket)?,
            checksum: None,
            upload: None,
        })
    }
}

/// The headers of the content. `aws-chunked` is the encoding of the request, not of the object.
pub(super) fn content_headers(call: &Call) -> BTreeMap<String, String> {
    let mut headers = BTreeMap::new();
    for name in STORED {
        let Some(value) = call.headers.get(*name) else {
            continue;
        };
        let mut value = text(value);
        if *name == "content-encoding" {
            let codings = value.split(',').map(str::trim);
            let codings: Vec<&str> = codings
                .filter(|one| *one != "aws-chunked" && !one.is_empty())
                .collect();
            value = codings.join(",");
        }
        if !value.is_empty() {
            headers.insert((*name).to_owned(), value);
        }
    }
    headers
}

pub(super) fn metadata(call: &Call) -> Result<BTreeMap<String, String>> {
    let mut metadata = BTreeMap::new();
    for name in call.headers.keys() {
        if let Some(short) = name.as_str().strip_prefix(METADATA) {
            let values: Vec<String> = call.headers.get_all(name).iter().map(text).collect();
            metadata.insert(short.to_owned(), values.join(","));
        }
    }
    let size: usize = metadata
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if size > MAX_METADATA {
        return Err(Error::new(
            400,
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
        )
        .with("Size", size.to_string())
        .with("MaxSizeAllowed", MAX_METADATA.to_string()));
    }
    Ok(metadata)
}

pub(super) fn read_storage_class(call: &Call) -> Result<Option<String>> {
    match call.header("x-amz-storage-class") {
        None | Some("STANDARD") => Ok(None),
        Some(class) if STORAGE_CLASSES.contains(&class) => Ok(Some(class.to_owned())),
        Some(class) if OTHER_STORAGE_CLASSES.contains(&class) => {
            Err(Error::not_offered(format_args!("the storage class {class}")))
        }
        Some(class) => Err(Error::new(
            400,
            "InvalidStorageClass",
            "The storage class you specified is not valid",
        )
        .with("StorageClassRequested", class)),
    }
}

/// The encryption that the request or the bucket asks for.
pub(super) fn encryption(call: &Call, bucket: &Bucket) -> Result<Option<Encryption>> {
    let Some(algorithm) = call.header("x-amz-server-side-encryption") else {
        return Ok(Some(settings::default_encryption(bucket)));
    };
    if !settings::ENCRYPTIONS.contains(&algorithm) {
        let message = "The encryption method specified is not supported";
        return Err(Error::new(400, "InvalidEncryptionAlgorithmError", message)
            .with("ArgumentName", "x-amz-server-side-encryption")
            .with("ArgumentValue", algorithm));
    }
    let key = call.header("x-amz-server-side-encryption-aws-kms-key-id");
    if key.is_some() && algorithm == "AES256" {
        return Err(Error::argument(
            "x-amz-server-side-encryption",
            algorithm,
            "Server Side Encryption with AWS KMS managed key requires HTTP header x-amz-server-side-encryption : aws:kms",
        ));
    }
    Ok(Some(Encryption {
        algorithm: algorithm.to_owned(),
        key: key.map(str::to_owned),
        bucket_key: call.header("x-amz-server-side-encryption-bucket-key-enabled") == Some("true"),
    }))
}

/// The headers about the encryption of an object.
pub(super) fn show_encryption(reply: &mut Reply, head: &Head) {
    let Some(encryption) = &head.encryption else {
        return;
    };
    reply.set("x-amz-server-side-encryption", encryption.algorithm.as_str());
    if let Some(key) = &encryption.key {
        reply.set("x-amz-server-side-encryption-aws-kms-key-id", key.as_str());
    }
    if encryption.bucket_key {
        reply.set("x-amz-server-side-encryption-bucket-key-enabled", "true");
    }
}

/// The id of a version, where the bucket has or had versions.
pub(super) fn show_version(reply: &mut Reply, bucket: &Bucket, id: &str) {
    if bucket.versioning != Versioning::Off {
        reply.set("x-amz-version-id", id);
    }
}

pub(super) fn show_checksum(reply: &mut Reply, head: &Head) {
    if let Some(checksum) = &head.checksum {
        reply.set(checksum.algorithm.header(), checksum.value.as_str());
        reply.set("x-amz-checksum-type", checksum.kind.as_str());
    }
}

/// The headers of GetObject and HeadObject.
pub(super) fn show(reply: &mut Reply, call: &Call, bucket: &Bucket, version: &Version) {
    let head = &version.head;
    reply.set("content-type", DEFAULT_TYPE);
    for (name, value) in &head.headers {
        reply.set(name, value.as_str());
    }
    for (name, value) in &head.metadata {
        reply.set(&format!("{METADATA}{name}"), value.as_str());
    }
    for (parameter, name) in OVERRIDES {
        if let Some(value) = call.parameter(parameter) {
            reply.set(name, value);
        }
    }
    reply.set("accept-ranges", "bytes");
    reply.set("etag", version.etag.as_str());
    reply.set("last-modified", time::http(version.modified_ms));
    if !head.tags.is_empty() {
        reply.set("x-amz-tagging-count", head.tags.len().to_string());
    }
    if head.storage_class.is_some() {
        reply.set("x-amz-storage-class", storage_class(version));
    }
    show_encryption(reply, head);
    show_version(reply, bucket, &version.id);
}
