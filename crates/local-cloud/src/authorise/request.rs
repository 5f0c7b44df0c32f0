//! The IAM actions that a request needs, and on what.
//!
//! Source: "Actions, resources, and condition keys for AWS services", Service Authorization Reference.

use bytes::Bytes;
use http::Method;
use http::request::Parts;
use serde_json::Value;

use crate::services::Services;
use crate::{Caller, partition, query};

/// An action and the ARN of what it is done to.
pub type Need = (String, String);

/// What the request needs. Nothing where that cannot be told: a body in CBOR, Lambda's operations other than Invoke.
pub fn needs(caller: &Caller, service: &str, parts: &Parts, body: &Bytes) -> Vec<Need> {
    let arn = |service: &str, resource: &str| {
        format!(
            "arn:{}:{service}:{}:{}:{resource}",
            partition(&caller.region),
            caller.region,
            caller.account
        )
    };
    match service {
        "s3" => return s3(caller, parts),
        "lambda" => {
            let path = parts.uri.path();
            let name = path.strip_prefix("/2015-03-31/functions/");
            let name = name.and_then(|rest| rest.strip_suffix("/invocations"));
            return name
                .map(|name| {
                    let name = query::percent_decode(name);
                    let name = name.rsplit(":function:").next().unwrap_or_default().to_owned();
                    (
                        "lambda:InvokeFunction".to_owned(),
                        arn("lambda", &format!("function:{name}")),
                    )
                })
                .into_iter()
                .collect();
        }
        _ => {}
    }
    let target = parts.headers.get("x-amz-target");
    let target = target.and_then(|target| target.to_str().ok()).unwrap_or_default();
    let (operation, input) = match target.split_once('.') {
        Some((_, operation)) => match serde_json::from_slice(body) {
            Ok(input) => (operation.to_owned(), input),
            Err(_) => return Vec::new(),
        },
        None => {
            let input = Value::from_iter(query::pairs(body));
            match input["Action"].as_str() {
                Some(operation) => (operation.to_owned(), input),
                None => return Vec::new(),
            }
        }
    };
    let text = |name: &str| input[name].as_str();
    let named = |field: &str, prefix: &str| text(field).map(|name| whole_arn(&arn, service, prefix, name));
    let resource = match service {
        "dynamodb" => return dynamodb(&arn, &operation, &input),
        "sqs" => {
            let queue = text("QueueUrl").or(text("QueueName"));
            queue.map(|queue| arn("sqs", queue.rsplit('/').next().unwrap_or_default()))
        }
        "sns" => text("TopicArn").or(text("TargetArn")).map(str::to_owned),
        "kinesis" => ["ConsumerARN", "StreamARN", "ResourceARN"]
            .iter()
            .find_map(|field| text(field).map(str::to_owned))
            .or_else(|| named("StreamName", "stream/")),
        "logs" => text("logGroupName").map(|group| {
            let stream = text("logStreamName").map(|stream| format!("log-stream:{stream}"));
            arn(
                "logs",
                &format!("log-group:{group}:{}", stream.unwrap_or_default()),
            )
        }),
        "kms" => text("KeyId").and_then(|key| match key {
            key if key.starts_with("arn:") => Some(key.to_owned()),
            key if key.starts_with("alias/") => None,
            key => Some(arn("kms", &format!("key/{key}"))),
        }),
        // Everyone may ask who they are.
        "sts" if operation == "GetCallerIdentity" => return Vec::new(),
        _ => None,
    };
    let prefix = match service {
        "monitoring" => "cloudwatch",
        "tagging" => "tag",
        other => other,
    };
    // A batch needs what each of its parts does.
    let action = match (service, operation.strip_suffix("Batch")) {
        ("sqs", Some(one)) => one,
        ("sns", Some("Publish")) => "Publish",
        _ => operation.as_str(),
    };
    vec![(
        format!("{prefix}:{action}"),
        resource.unwrap_or_else(|| "*".to_owned()),
    )]
}

fn whole_arn(arn: &dyn Fn(&str, &str) -> String, service: &str, prefix: &str, name: &str) -> String {
    if name.starts_with("arn:") {
        name.to_owned()
    } else {
        arn(service, &format!("{prefix}{name}"))
    }
}

fn dynamodb(arn: &dyn Fn(&str, &str) -> String, operation: &str, input: &Value) -> Vec<Need> {
    let table = |name: &str| whole_arn(arn, "dynamodb", "table/", name);
    let action = |name: &str| format!("dynamodb:{name}");
    if let Some(tables) = input["RequestItems"].as_object() {
        return tables
            .keys()
            .map(|name| (action(operation), table(name)))
            .collect();
    }
    if let Some(items) = input["TransactItems"].as_array() {
        let parts = items.iter().filter_map(Value::as_object).flatten();
        let mut needs: Vec<Need> = parts
            .filter_map(|(kind, part)| {
                let kind = match kind.as_str() {
                    "ConditionCheck" => "ConditionCheckItem".to_owned(),
                    kind => format!("{kind}Item"),
                };
                Some((action(&kind), table(part["TableName"].as_str()?)))
            })
            .collect();
        needs.dedup();
        return needs;
    }
    let resource = match (input["TableName"].as_str(), input["IndexName"].as_str()) {
        (Some(name), Some(index)) => format!("{}/index/{index}", table(name)),
        (Some(name), None) => table(name),
        (None, _) => input["ResourceArn"].as_str().unwrap_or("*").to_owned(),
    };
    vec![(action(operation), resource)]
}

/// Source: "Required permissions for Amazon S3 API operations", S3 user guide.
fn s3(caller: &Caller, parts: &Parts) -> Vec<Need> {
    let uri = Services::s3_uri(parts);
    let path = query::percent_decode(uri.path().trim_start_matches('/'));
    let (bucket, key) = path.split_once('/').unwrap_or((path.as_str(), ""));
    let query = uri.query().unwrap_or_default();
    let asks = |name: &str| query::pairs(query.as_bytes()).any(|(asked, _)| asked == name);
    let bucket_arn = format!("arn:{}:s3:::{bucket}", partition(&caller.region));
    let object = format!("{bucket_arn}/{key}");
    let need = |action: &str, resource: &str| vec![(format!("s3:{action}"), resource.to_owned())];
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
