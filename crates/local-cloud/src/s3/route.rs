//! Which operation a request asks for, and on what.
//!
//! Source: the HTTP bindings of the service's model.

use http::Method;
use http::request::Parts;

use super::error::{Error, Result};
use super::virtual_host::path_style;
use crate::operation::operations;
use crate::query::pairs;

operations! {
    pub(super) enum Operation {
        AbortMultipartUpload,
        CompleteMultipartUpload,
        CopyObject,
        CreateBucket,
        CreateMultipartUpload,
        DeleteBucket,
        DeleteBucketCors,
        DeleteBucketEncryption,
        DeleteBucketLifecycle,
        DeleteBucketOwnershipControls,
        DeleteBucketPolicy,
        DeleteBucketTagging,
        DeleteBucketWebsite,
        DeleteObject,
        DeleteObjects,
        DeleteObjectTagging,
        DeletePublicAccessBlock,
        GetBucketAccelerateConfiguration,
        GetBucketAcl,
        GetBucketCors,
        GetBucketEncryption,
        GetBucketLifecycleConfiguration,
        GetBucketLocation,
        GetBucketLogging,
        GetBucketNotificationConfiguration,
        GetBucketOwnershipControls,
        GetBucketPolicy,
        GetBucketReplication,
        GetBucketRequestPayment,
        GetBucketTagging,
        GetBucketVersioning,
        GetBucketWebsite,
        GetObject,
        GetObjectAcl,
        GetObjectAttributes,
        GetObjectLockConfiguration,
        GetObjectTagging,
        GetPublicAccessBlock,
        HeadBucket,
        HeadObject,
        ListBuckets,
        ListMultipartUploads,
        ListObjects,
        ListObjectsV2,
        ListObjectVersions,
        ListParts,
        PutBucketAcl,
        PutBucketCors,
        PutBucketEncryption,
        PutBucketLifecycleConfiguration,
        PutBucketNotificationConfiguration,
        PutBucketOwnershipControls,
        PutBucketPolicy,
        PutBucketTagging,
        PutBucketVersioning,
        PutBucketWebsite,
        PutObject,
        PutObjectAcl,
        PutObjectTagging,
        PutPublicAccessBlock,
        UploadPart,
        UploadPartCopy,
    }
}

/// A query parameter that selects operations, and the operations of GET, PUT, DELETE and POST. Some of them the local
/// cloud does not offer.
type Subresource = (&'static str, [&'static str; 4]);

const OF_BUCKETS: &[Subresource] = &[
    ("abac", ["GetBucketAbac", "PutBucketAbac", "", ""]),
    (
        "accelerate",
        [
            "GetBucketAccelerateConfiguration",
            "PutBucketAccelerateConfiguration",
            "",
            "",
        ],
    ),
    ("acl", ["GetBucketAcl", "PutBucketAcl", "", ""]),
    (
        "analytics",
        [
            "GetBucketAnalyticsConfiguration",
            "PutBucketAnalyticsConfiguration",
            "DeleteBucketAnalyticsConfiguration",
            "",
        ],
    ),
    ("cors", ["GetBucketCors", "PutBucketCors", "DeleteBucketCors", ""]),
    ("delete", ["", "", "", "DeleteObjects"]),
    (
        "encryption",
        [
            "GetBucketEncryption",
            "PutBucketEncryption",
            "DeleteBucketEncryption",
            "",
        ],
    ),
    (
        "intelligent-tiering",
        [
            "GetBucketIntelligentTieringConfiguration",
            "PutBucketIntelligentTieringConfiguration",
            "DeleteBucketIntelligentTieringConfiguration",
            "",
        ],
    ),
    (
        "inventory",
        [
            "GetBucketInventoryConfiguration",
            "PutBucketInventoryConfiguration",
            "DeleteBucketInventoryConfiguration",
            "",
        ],
    ),
    (
        "lifecycle",
        [
            "GetBucketLifecycleConfiguration",
            "PutBucketLifecycleConfiguration",
            "DeleteBucketLifecycle",
            "",
        ],
    ),
    ("location", ["GetBucketLocation", "", "", ""]),
    ("logging", ["GetBucketLogging", "PutBucketLogging", "", ""]),
    (
        "metadataConfiguration",
        [
            "GetBucketMetadataConfiguration",
            "",
            "DeleteBucketMetadataConfiguration",
            "CreateBucketMetadataConfiguration",
        ],
    ),
    (
        "metadataTable",
        [
            "GetBucketMetadataTableConfiguration",
            "",
            "DeleteBucketMetadataTableConfiguration",
            "CreateBucketMetadataTableConfiguration",
        ],
    ),
    (
        "metrics",
        [
            "GetBucketMetricsConfiguration",
            "PutBucketMetricsConfiguration",
            "DeleteBucketMetricsConfiguration",
            "",
        ],
    ),
    (
        "notification",
        [
            "GetBucketNotificationConfiguration",
            "PutBucketNotificationConfiguration",
            "",
            "",
        ],
    ),
    (
        "object-lock",
        ["GetObjectLockConfiguration", "PutObjectLockConfiguration", "", ""],
    ),
    (
        "ownershipControls",
        [
            "GetBucketOwnershipControls",
            "PutBucketOwnershipControls",
            "DeleteBucketOwnershipControls",
            "",
        ],
    ),
    (
        "policy",
        ["GetBucketPolicy", "PutBucketPolicy", "DeleteBucketPolicy", ""],
    ),
    ("policyStatus", ["GetBucketPolicyStatus", "", "", ""]),
    (
        "publicAccessBlock",
        [
            "GetPublicAccessBlock",
            "PutPublicAccessBlock",
            "DeletePublicAccessBlock",
            "",
        ],
    ),
    (
        "replication",
        [
            "GetBucketReplication",
            "PutBucketReplication",
            "DeleteBucketReplication",
            "",
        ],
    ),
    (
        "requestPayment",
        ["GetBucketRequestPayment", "PutBucketRequestPayment", "", ""],
    ),
    ("session", ["CreateSession", "", "", ""]),
    (
        "tagging",
        ["GetBucketTagging", "PutBucketTagging", "DeleteBucketTagging", ""],
    ),
    ("uploads", ["ListMultipartUploads", "", "", ""]),
    (
        "versioning",
        ["GetBucketVersioning", "PutBucketVersioning", "", ""],
    ),
    ("versions", ["ListObjectVersions", "", "", ""]),
    (
        "website",
        ["GetBucketWebsite", "PutBucketWebsite", "DeleteBucketWebsite", ""],
    ),
];

const OF_OBJECTS: &[Subresource] = &[
    ("acl", ["GetObjectAcl", "PutObjectAcl", "", ""]),
    ("attributes", ["GetObjectAttributes", "", "", ""]),
    ("legal-hold", ["GetObjectLegalHold", "PutObjectLegalHold", "", ""]),
    ("renameObject", ["", "RenameObject", "", ""]),
    ("restore", ["", "", "", "RestoreObject"]),
    ("retention", ["GetObjectRetention", "PutObjectRetention", "", ""]),
    ("select", ["", "", "", "SelectObjectContent"]),
    (
        "tagging",
        ["GetObjectTagging", "PutObjectTagging", "DeleteObjectTagging", ""],
    ),
    ("torrent", ["GetObjectTorrent", "", "", ""]),
    (
        "uploadId",
        [
            "ListParts",
            "UploadPart",
            "AbortMultipartUpload",
            "CompleteMultipartUpload",
        ],
    ),
    ("uploads", ["", "", "", "CreateMultipartUpload"]),
];

/// What a request addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    /// Empty where the request concerns no bucket.
    pub bucket: String,
    /// Empty where the request concerns no object.
    pub key: String,
    pub query: Vec<(String, String)>,
}

impl Route {
    /// # Errors
    /// If the path is not UTF-8, or the key is too long.
    pub fn of(parts: &Parts) -> Result<Self> {
        let uri = path_style(parts);
        let path = uri.path().strip_prefix('/').unwrap_or(uri.path());
        let path = percent_encoding::percent_decode_str(path)
            .decode_utf8()
            .map_err(|_| Error::new(400, "InvalidURI", "Couldn't parse the specified URI."))?;
        let (bucket, key) = path.split_once('/').unwrap_or((&path, ""));
        check_key(key)?;
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            query: pairs(uri.query().unwrap_or_default().as_bytes()).collect(),
        })
    }

    /// A parameter of the query.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(given, _)| given == name)?;
        Some(&found.1)
    }

    /// The operation.
    ///
    /// # Errors
    /// NotImplemented with the name of an operation that is not offered; MethodNotAllowed for one that does not exist.
    pub fn operation(&self, parts: &Parts) -> Result<Operation> {
        let copies = parts.headers.contains_key("x-amz-copy-source");
        let name = self.name(parts)?;
        let operation =
            Operation::parse(name).ok_or_else(|| Error::not_offered(format_args!("the operation {name}")))?;
        Ok(match operation {
            Operation::PutObject if copies => Operation::CopyObject,
            Operation::UploadPart if copies => Operation::UploadPartCopy,
            operation => operation,
        })
    }

    fn name(&self, parts: &Parts) -> Result<&'static str> {
        let method = &parts.method;
        let not_allowed = || {
            Error::new(
                405,
                "MethodNotAllowed",
                "The specified method is not allowed against this resource.",
            )
            .with("Method", method.as_str())
        };
        if self.bucket.is_empty() {
            return match *method {
                Method::GET => Ok("ListBuckets"),
                _ => Err(not_allowed()),
            };
        }
        let is_object = !self.key.is_empty();
        let column = match *method {
            Method::HEAD if is_object => return Ok("HeadObject"),
            Method::HEAD => return Ok("HeadBucket"),
            Method::GET => 0,
            Method::PUT => 1,
            Method::DELETE => 2,
            Method::POST => 3,
            _ => return Err(not_allowed()),
        };
        let table = if is_object { OF_OBJECTS } else { OF_BUCKETS };
        let selected = table.iter().find(|(name, _)| self.parameter(name).is_some());
        let name = match selected {
            Some((_, names)) => names[column],
            None if is_object => ["GetObject", "PutObject", "DeleteObject", ""][column],
            None => self.name_of_bucket_operation(column),
        };
        if name.is_empty() {
            return Err(not_allowed());
        }
        Ok(name)
    }

    fn name_of_bucket_operation(&self, column: usize) -> &'static str {
        let list = match self.parameter("list-type") {
            Some("2") => "ListObjectsV2",
            _ => "ListObjects",
        };
        // POST to a bucket is an upload by an HTML form.
        [list, "CreateBucket", "DeleteBucket", "PostObject"][column]
    }
}

/// Source: "Object key naming guidelines", S3 user guide: up to 1,024 bytes in UTF-8.
fn check_key(key: &str) -> Result<()> {
    const MAX: usize = 1024;
    if key.len() <= MAX {
        return Ok(());
    }
    Err(Error::new(400, "KeyTooLongError", "Your key is too long")
        .with("Size", key.len().to_string())
        .with("MaxSizeAllowed", MAX.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: &str, uri: &str) -> (String, String, String) {
        let request = http::Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "127.0.0.1");
        let parts = request.body(()).unwrap().into_parts().0;
        let route = match Route::of(&parts) {
            Ok(route) => route,
            Err(error) => return (error.code.to_owned(), String::new(), String::new()),
        };
        let operation = match route.operation(&parts) {
            Ok(operation) => operation.as_str().to_owned(),
            Err(error) => format!("{}: {}", error.code, error.message),
        };
        (operation, route.bucket, route.key)
    }

    #[test]
    fn requests_name_operations() {
        for (method, uri, operation, bucket, key) in [
            ("GET", "/?x-id=ListBuckets", "ListBuckets", "", ""),
            ("PUT", "/b", "CreateBucket", "b", ""),
            ("PUT", "/b/", "CreateBucket", "b", ""),
            ("GET", "/b?list-type=2&prefix=a", "ListObjectsV2", "b", ""),
            ("GET", "/b/?prefix=a", "ListObjects", "b", ""),
            ("GET", "/b?versions", "ListObjectVersions", "b", ""),
            ("POST", "/b?delete", "DeleteObjects", "b", ""),
            ("HEAD", "/b//a", "HeadObject", "b", "/a"),
            ("GET", "/b/a/../%2e%2e/c%2Fd+e", "GetObject", "b", "a/../../c/d+e"),
            ("PUT", "/b/k?partNumber=1&uploadId=x", "UploadPart", "b", "k"),
            ("POST", "/b/k?uploads=", "CreateMultipartUpload", "b", "k"),
            ("GET", "/b/k?acl", "GetObjectAcl", "b", "k"),
        ] {
            let expected = (operation.to_owned(), bucket.to_owned(), key.to_owned());
            assert_eq!(routed(method, uri), expected, "{method} {uri}");
        }
        assert_eq!(routed("GET", "/b/%ff").0, "InvalidURI");
        assert_eq!(
            routed("GET", &format!("/b/{}", "k".repeat(1025))).0,
            "KeyTooLongError"
        );
    }

    #[test]
    fn what_is_not_offered_is_named() {
        for (method, uri, name) in [
            ("GET", "/b?inventory&id=1", "GetBucketInventoryConfiguration"),
            ("PUT", "/b?replication", "PutBucketReplication"),
            ("POST", "/b/k?restore", "RestoreObject"),
            ("POST", "/b", "PostObject"),
        ] {
            let expected =
                format!("NotImplemented: The local cloud does not offer the operation {name} of S3.");
            assert_eq!(routed(method, uri).0, expected);
        }
        assert!(routed("PATCH", "/b").0.starts_with("MethodNotAllowed"));
        assert!(routed("PUT", "/b?location").0.starts_with("MethodNotAllowed"));
    }

    #[test]
    fn every_operation_can_be_asked_for() {
        let named: Vec<&str> = OF_BUCKETS
            .iter()
            .chain(OF_OBJECTS)
            .flat_map(|(_, names)| *names)
            .collect();
        let direct = [
            "ListBuckets",
            "ListObjects",
            "ListObjectsV2",
            "CreateBucket",
            "DeleteBucket",
            "HeadBucket",
            "HeadObject",
            "GetObject",
            "PutObject",
            "DeleteObject",
            "CopyObject",
            "UploadPartCopy",
        ];
        for operation in Operation::ALL {
            let name = operation.as_str();
            assert!(named.contains(&name) || direct.contains(&name), "{name}");
        }
    }
}
