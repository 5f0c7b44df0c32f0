//! The permissions that requests to S3 need.

use http::Method;

use crate::awsim::virtual_host::path_style;
use crate::query::{pairs, percent_decode};
use crate::service::Permission;
use crate::service::Request;
use crate::types::partition;

/// Source: "Required permissions for Amazon S3 API operations", S3 user guide.
pub(super) fn of(request: &Request) -> Vec<Permission> {
    let (caller, parts) = (&request.caller, &request.parts);
    let uri = path_style(parts);
    let path = percent_decode(uri.path().trim_start_matches('/'));
    let (bucket, key) = path.split_once('/').unwrap_or((path.as_str(), ""));
    let query = uri.query().unwrap_or_default();
    let asks = |name: &str| pairs(query.as_bytes()).any(|(asked, _)| asked == name);
    let bucket_arn = format!("arn:{}:s3:::{bucket}", partition(&caller.region));
    let object = format!("{bucket_arn}/{key}");
    let need = |action: &str, resource: &str| vec![Permission::new("s3", action, Some(resource.to_owned()))];
    let tagging = if asks("tagging") { "Tagging" } else { "" };
    match (&parts.method, bucket, key) {
        (_, "", _) => need("ListAllMyBuckets", "*"),
        (&Method::PUT, _, "") if query.is_empty() => need("CreateBucket", &bucket_arn),
        (&Method::DELETE, _, "") if query.is_empty() => need("DeleteBucket", &bucket_arn),
        (&Method::GET | &Method::HEAD, _, "") if asks("versions") => need("ListBucketVersions", &bucket_arn),
        (&Method::GET | &Method::HEAD, _, "") if query.is_empty() || asks("list-type") || asks("prefix") => {
            need("ListBucket", &bucket_arn)
        }
        (&Method::POST, _, "") if asks("delete") => need("DeleteObject", &format!("{bucket_arn}/*")),
        // Settings of a bucket.
        (method, _, "") => {
            let verb = if method == Method::PUT { "Put" } else { "Get" };
            let what = query.split(['&', '=']).next().unwrap_or_default();
            need(&format!("{verb}Bucket{}", camel(what)), &bucket_arn)
        }
        (&Method::DELETE, ..) if asks("uploadId") => need("AbortMultipartUpload", &object),
        (&Method::GET, ..) if asks("uploadId") => need("ListMultipartUploadParts", &object),
        (&Method::PUT | &Method::POST, ..) => need(&format!("PutObject{tagging}"), &object),
        (&Method::DELETE, ..) if asks("versionId") => need("DeleteObjectVersion", &object),
        (&Method::DELETE, ..) => need(&format!("DeleteObject{tagging}"), &object),
        _ if asks("versionId") => need("GetObjectVersion", &object),
        _ => need(&format!("GetObject{tagging}"), &object),
    }
}

fn camel(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}
