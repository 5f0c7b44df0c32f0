//! The permissions that requests to S3 need.

use super::put::Source;
use super::route::{Operation, Route};
use crate::service::Permission;
use crate::service::Request;
use crate::types::partition;

/// Source: "Required permissions for Amazon S3 API operations", S3 user guide.
pub(super) fn of(request: &Request) -> Vec<Permission> {
    let parts = &request.parts;
    let Ok(route) = Route::of(parts) else {
        return Vec::new();
    };
    // What is not offered is refused for everybody.
    let Ok(operation) = route.operation(parts) else {
        return Vec::new();
    };
    let arn = |bucket: &str, key: &str| {
        let partition = partition(&request.caller.region);
        match key {
            "" => format!("arn:{partition}:s3:::{bucket}"),
            key => format!("arn:{partition}:s3:::{bucket}/{key}"),
        }
    };
    let resource = match operation {
        Operation::ListBuckets => "*".to_owned(),
        Operation::DeleteObjects => arn(&route.bucket, "*"),
        _ => arn(&route.bucket, &route.key),
    };
    let is_of_version = route.parameter("versionId").is_some();
    let mut permissions = vec![Permission::new(
        "s3",
        action(operation, is_of_version),
        Some(resource),
    )];
    if matches!(operation, Operation::CopyObject | Operation::UploadPartCopy)
        && let Some(source) = Source::of_headers(&parts.headers)
    {
        let read = match source.version {
            Some(_) => "GetObjectVersion",
            None => "GetObject",
        };
        permissions.push(Permission::new(
            "s3",
            read,
            Some(arn(&source.bucket, &source.key)),
        ));
    }
    permissions
}

/// The IAM action of an operation, on a version where the request names one. Most have the operation's name.
fn action(operation: Operation, is_of_version: bool) -> &'static str {
    use Operation as O;
    match (operation, is_of_version) {
        (O::DeleteObject, true) => "DeleteObjectVersion",
        (O::DeleteObjectTagging, true) => "DeleteObjectVersionTagging",
        (O::GetObject | O::HeadObject | O::GetObjectAttributes, true) => "GetObjectVersion",
        (O::GetObjectAcl, true) => "GetObjectVersionAcl",
        (O::GetObjectTagging, true) => "GetObjectVersionTagging",
        (O::PutObjectAcl, true) => "PutObjectVersionAcl",
        (O::PutObjectTagging, true) => "PutObjectVersionTagging",
        (O::CompleteMultipartUpload, _)
        | (O::CopyObject, _)
        | (O::CreateMultipartUpload, _)
        | (O::PutObject, _)
        | (O::UploadPart, _)
        | (O::UploadPartCopy, _) => "PutObject",
        (O::DeleteBucketCors | O::PutBucketCors, _) => "PutBucketCORS",
        (O::DeleteBucketEncryption | O::PutBucketEncryption, _) => "PutEncryptionConfiguration",
        (O::DeleteBucketLifecycle | O::PutBucketLifecycleConfiguration, _) => "PutLifecycleConfiguration",
        (O::DeleteBucketOwnershipControls, _) => "PutBucketOwnershipControls",
        (O::DeleteBucketTagging, _) => "PutBucketTagging",
        (O::DeleteObjects, _) => "DeleteObject",
        (O::DeletePublicAccessBlock | O::PutPublicAccessBlock, _) => "PutBucketPublicAccessBlock",
        (O::GetBucketAccelerateConfiguration, _) => "GetAccelerateConfiguration",
        (O::GetBucketCors, _) => "GetBucketCORS",
        (O::GetBucketEncryption, _) => "GetEncryptionConfiguration",
        (O::GetBucketLifecycleConfiguration, _) => "GetLifecycleConfiguration",
        (O::GetBucketNotificationConfiguration, _) => "GetBucketNotification",
        (O::GetBucketReplication, _) => "GetReplicationConfiguration",
        (O::GetObjectAttributes | O::HeadObject, _) => "GetObject",
        (O::GetObjectLockConfiguration, _) => "GetBucketObjectLockConfiguration",
        (O::GetPublicAccessBlock, _) => "GetBucketPublicAccessBlock",
        (O::HeadBucket | O::ListObjects | O::ListObjectsV2, _) => "ListBucket",
        (O::ListBuckets, _) => "ListAllMyBuckets",
        (O::ListMultipartUploads, _) => "ListBucketMultipartUploads",
        (O::ListObjectVersions, _) => "ListBucketVersions",
        (O::ListParts, _) => "ListMultipartUploadParts",
        (O::PutBucketNotificationConfiguration, _) => "PutBucketNotification",
        (operation, _) => operation.as_str(),
    }
}
