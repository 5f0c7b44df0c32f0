//! The whole cloud through the SDK and the front door, over restarts. The tests of services use it too.

mod faults;
mod principals;
mod web;

use std::path::Path;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_sdk_iam::error::ProvideErrorMetadata;
use aws_sdk_iam::types::{PolicyScopeType, Tag};
use aws_smithy_http_client::Builder as HttpBuilder;
use serde_json::{Value, json};

use crate::awsim::{Kms, Stored};
use crate::cloud::Cloud;
use crate::front::{Backends, Front, Identity, bind};
use crate::service::Request;
use crate::test_support::{ok, refused};
use crate::types::{Caller, KeyState};
use daemon::Options;
use daemon::secret::Secret;

const DOCUMENT: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kinesis:PutRecord","Resource":"arn:aws:kinesis:*:*:stream/100%"}]}"#;

/// A front door on the data in `dir`. Dropping it is a kill: nothing is shut down.
pub(crate) struct Running {
    pub sdk: SdkConfig,
    pub endpoint: String,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Running {
    pub async fn on(dir: &Path) -> Self {
        Self::with_key(dir, "local").await
    }

    pub async fn with_key(dir: &Path, key: &str) -> Self {
        Self::serving(dir, key, "local", Front::new).await
    }

    /// On a platform that does not tell who sends a request.
    async fn verifying(dir: &Path, secret_key: &str) -> Self {
        Self::serving(dir, "local", secret_key, Front::without_peers).await
    }

    async fn serving(
        dir: &Path,
        key: &str,
        secret_key: &str,
        make: fn(Backends, Identity) -> std::sync::Arc<Front>,
    ) -> Self {
        let options = Options {
            status_delay: std::time::Duration::ZERO,
            ..Options::default()
        };
        let secret = Secret::for_tests();
        let cloud = Cloud::open(dir, options, "http://127.0.0.1:1", &secret).unwrap();
        let listener = bind(0).await.unwrap();
        let identity = Identity {
            home: String::new(),
            port: listener.local_addr().unwrap().port(),
            started_ms: 0,
            secret,
        };
        let front = make(cloud.backends(), identity);
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { front.serve(listener).await });
        let sdk = aws_config::defaults(BehaviorVersion::latest())
            .http_client(HttpBuilder::new().build_http())
            .credentials_provider(Credentials::new(key, secret_key, None, None, "test"))
            .region(Region::from_static("eu-west-1"))
            .endpoint_url(&endpoint)
            .load()
            .await;
        Self {
            sdk,
            endpoint,
            server,
        }
    }

    fn iam(&self) -> aws_sdk_iam::Client {
        aws_sdk_iam::Client::new(&self.sdk)
    }

    /// A GET as a browser sends it, and the body of the answer.
    pub async fn get(&self, host: &str, path: &str) -> String {
        let text = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        self.raw(&text).await
    }

    /// A call in the query protocol, and the body of the answer.
    pub async fn form(&self, service: &str, path: &str, form: &str) -> String {
        let headers = "Content-Type: application/x-www-form-urlencoded";
        self.post(service, path, headers, form).await.1
    }

    /// A call in JSON to a service that this program has no client of.
    pub async fn json(&self, service: &str, target: &str, input: Value) -> Result<Value, Value> {
        let headers = format!("X-Amz-Target: {target}\r\nContent-Type: application/x-amz-json-1.1");
        let (head, body) = self.post(service, "/", &headers, &input.to_string()).await;
        let value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&body).unwrap()
        };
        if head.starts_with("HTTP/1.1 200") {
            Ok(value)
        } else {
            Err(value)
        }
    }

    async fn post(&self, service: &str, path: &str, headers: &str, body: &str) -> (String, String) {
        let length = body.len();
        self.exchange(&format!(
            "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n{headers}\r\nContent-Length: {length}\r\n\
             Authorization: AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-1/{service}/aws4_request\r\n\r\n{body}"
        ))
        .await
    }

    /// A request to S3 with a body of any bytes: status and body of the answer.
    pub async fn request(&self, method: &str, path: &str, headers: &str, body: &[u8]) -> (u16, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\
             Authorization: AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-1/s3/aws4_request\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, body.to_owned())
    }

    pub async fn raw(&self, request: &str) -> String {
        self.exchange(request).await.1
    }

    /// Sends a request as text. Returns the head and the body of the answer.
    async fn exchange(&self, request: &str) -> (String, String) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let address = self.endpoint.trim_start_matches("http://");
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_owned(), body.to_owned())
    }
}

fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build().unwrap()
}

#[tokio::test]
async fn a_policy_lives_its_life() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let iam = running.iam();
    let created = ok!(iam
        .create_policy()
        .policy_name("orders-producer")
        .path("/streamctl/orders/")
        .description("Lets put")
        .policy_document(DOCUMENT)
        .tags(tag("b", "2"))
        .tags(tag("a", "1")));
    let arn = created.policy().unwrap().arn().unwrap().to_owned();
    assert_eq!(
        arn,
        "arn:aws:iam::000000000000:policy/streamctl/orders/orders-producer"
    );

    let policy = ok!(iam.get_policy().policy_arn(&arn)).policy.unwrap();
    assert_eq!(policy.tags(), [tag("a", "1"), tag("b", "2")]);
    assert_eq!(policy.description(), Some("Lets put"));
    assert_eq!(policy.default_version_id(), Some("v1"));

    let again = refused!(
        iam.create_policy()
            .policy_name("orders-producer")
            .path("/streamctl/orders/")
            .policy_document(DOCUMENT)
    );
    assert_eq!(again.code(), Some("EntityAlreadyExists"));

    let version = ok!(iam.get_policy_version().policy_arn(&arn).version_id("v1"));
    let document = version.policy_version().unwrap().document().unwrap().to_owned();
    assert!(
        document.starts_with("%7B%22Version%22%3A%222012-10-17%22"),
        "{document}"
    );
    assert!(document.contains("100%25"), "{document}");

    ok!(iam.tag_policy().policy_arn(&arn).tags(tag("c", "3")));
    let tags = ok!(iam.list_policy_tags().policy_arn(&arn));
    assert_eq!(tags.tags(), [tag("a", "1"), tag("b", "2"), tag("c", "3")]);

    let second = ok!(iam
        .create_policy_version()
        .policy_arn(&arn)
        .policy_document(DOCUMENT)
        .set_as_default(true));
    assert_eq!(second.policy_version().unwrap().version_id(), Some("v2"));
    let refused = refused!(iam.delete_policy().policy_arn(&arn));
    assert_eq!(refused.code(), Some("DeleteConflict"));
    ok!(iam.delete_policy_version().policy_arn(&arn).version_id("v1"));
    ok!(iam.delete_policy().policy_arn(&arn));
    let gone = refused!(iam.get_policy().policy_arn(&arn));
    assert_eq!(gone.code(), Some("NoSuchEntity"));
}

#[tokio::test]
async fn policies_are_listed_by_path_and_page() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let iam = running.iam();
    for (path, name) in [
        ("/streamctl/a/", "one"),
        ("/streamctl/a/", "two"),
        ("/streamctl/b/", "three"),
        ("/", "four"),
    ] {
        ok!(iam
            .create_policy()
            .policy_name(name)
            .path(path)
            .policy_document(DOCUMENT));
    }
    let list = iam
        .list_policies()
        .path_prefix("/streamctl/a/")
        .scope(PolicyScopeType::Local);
    let page = ok!(list.clone().max_items(1));
    assert_eq!(page.policies().len(), 1);
    assert!(page.is_truncated());
    let rest = ok!(list.marker(page.marker().unwrap()));
    let names: Vec<_> = page
        .policies()
        .iter()
        .chain(rest.policies())
        .filter_map(|policy| policy.policy_name())
        .collect();
    assert_eq!(names, ["one", "two"]);
    assert!(!rest.is_truncated());
}

#[tokio::test]
async fn sts_names_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let identity = |sdk: SdkConfig| async move { ok!(aws_sdk_sts::Client::new(&sdk).get_caller_identity()) };
    let running = Running::on(dir.path()).await;
    assert_eq!(
        identity(running.sdk.clone()).await.account(),
        Some("000000000000")
    );
    let other = Running::with_key(dir.path(), "123456789012").await;
    assert_eq!(identity(other.sdk.clone()).await.account(), Some("123456789012"));
}

#[tokio::test]
async fn what_was_answered_survives_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let first = Running::on(dir.path()).await;
    let create = |iam: aws_sdk_iam::Client| async move {
        let created = iam
            .create_policy()
            .policy_name("p")
            .policy_document(DOCUMENT)
            .tags(tag("a", "1"));
        ok!(created).policy.unwrap().arn.unwrap()
    };
    let arn = create(first.iam()).await;
    let key = first
        .json("kms", "TrentService.CreateKey", json!({"Description": "mine"}))
        .await
        .unwrap();
    let key_id = key["KeyMetadata"]["KeyId"].clone();
    let managed = json!({"KeyId": "alias/aws/kinesis"});
    let kinesis_key = first
        .json("kms", "TrentService.DescribeKey", managed.clone())
        .await
        .unwrap();
    let tags =
        json!({"ResourceARNList": ["arn:aws:kinesis:eu-west-1:000000000000:stream/s"], "Tags": {"a": "1"}});
    first
        .json("tagging", "ResourceGroupsTaggingAPI_20170126.TagResources", tags)
        .await
        .unwrap();
    let group = json!({"logGroupName": "/aws/lambda/f"});
    first
        .json("logs", "Logs_20140328.CreateLogGroup", group)
        .await
        .unwrap();
    let other_account = Running::with_key(dir.path(), "123456789012").await;
    drop(first);
    let other_arn = create(other_account.iam()).await;
    assert_eq!(other_arn, "arn:aws:iam::123456789012:policy/p");
    drop(other_account);

    let second = Running::on(dir.path()).await;
    let policy = ok!(second.iam().get_policy().policy_arn(&arn)).policy.unwrap();
    assert_eq!(policy.tags(), [tag("a", "1")]);
    let described = second
        .json("kms", "TrentService.DescribeKey", json!({"KeyId": key_id}))
        .await
        .unwrap();
    assert_eq!(described["KeyMetadata"]["Description"], "mine");
    let same = second
        .json("kms", "TrentService.DescribeKey", managed)
        .await
        .unwrap();
    assert_eq!(same["KeyMetadata"]["KeyId"], kinesis_key["KeyMetadata"]["KeyId"]);
    let groups = second
        .json("logs", "Logs_20140328.DescribeLogGroups", json!({}))
        .await
        .unwrap();
    assert_eq!(groups["logGroups"][0]["logGroupName"], "/aws/lambda/f");
    let other_account = Running::with_key(dir.path(), "123456789012").await;
    ok!(other_account.iam().get_policy().policy_arn(&other_arn));
    let foreign = refused!(other_account.iam().get_policy().policy_arn(&arn));
    assert_eq!(foreign.code(), Some("NoSuchEntity"));
}

#[tokio::test]
async fn a_saved_state_that_cannot_be_read_is_not_overwritten() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("services/iam.json");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::write(&file, "{\"torn").unwrap();
    let running = Running::on(dir.path()).await;
    let config = aws_sdk_iam::config::Builder::from(&running.sdk)
        .retry_config(aws_config::retry::RetryConfig::disabled())
        .build();
    let create = aws_sdk_iam::Client::from_conf(config).create_policy();
    let error = refused!(create.policy_name("p").policy_document(DOCUMENT));
    assert!(error.message().unwrap().contains("cannot be read"), "{error:?}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "{\"torn");
}

#[test]
fn keys_are_looked_up_as_kinesis_names_them() {
    let dir = tempfile::tempdir().unwrap();
    let kms = Stored::new(dir.path(), Kms::default);
    let caller = Caller::default();
    for managed in [
        "alias/aws/kinesis",
        "arn:aws:kms:us-east-1:000000000000:alias/aws/kinesis",
    ] {
        assert_eq!(kms.key_state(&caller, managed), KeyState::Enabled);
    }
    for missing in [
        "alias/mine",
        "alias/aws/unheard-of",
        "1234abcd-12ab-34cd-56ef-1234567890ab",
        "",
    ] {
        assert_eq!(kms.key_state(&caller, missing), KeyState::Missing, "{missing}");
    }
    let again = Stored::new(dir.path(), Kms::default);
    assert!(again.get().is_ok());
    assert!(
        dir.path().join("kms.json").exists(),
        "the key AWS manages is kept"
    );
}

fn opened(dir: &Path) -> Cloud {
    let endpoint = "http://127.0.0.1:1";
    Cloud::open(dir, Options::default(), endpoint, &Secret::for_tests()).unwrap()
}

#[tokio::test]
async fn no_service_is_opened_before_it_is_asked() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = opened(dir.path());
    cloud.services.tagged(&Caller::default());
    cloud.tick();
    assert_eq!(std::fs::read_dir(dir.path().join("services")).unwrap().count(), 0);
}

#[tokio::test]
async fn the_table_has_the_services_of_the_documentation() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = opened(dir.path());
    let mut names: Vec<_> = cloud.services.iter().map(|entry| entry.name).collect();
    let mut listed = daemon::SERVICES.to_vec();
    names.sort_unstable();
    listed.sort_unstable();
    assert_eq!(names, listed);
}

#[tokio::test]
async fn resource_group_tags_are_those_of_the_streams() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let arn = "arn:aws:kinesis:eu-west-1:000000000000:stream/orders";
    let stream = json!({"StreamName": "orders", "ShardCount": 1, "Tags": {"Project": "shop"}});
    running
        .json("kinesis", "Kinesis_20131202.CreateStream", stream)
        .await
        .unwrap();
    let untagged = json!({"StreamName": "other", "ShardCount": 1});
    running
        .json("kinesis", "Kinesis_20131202.CreateStream", untagged)
        .await
        .unwrap();

    let tagging = |operation: &'static str, input: Value| {
        let target = format!("ResourceGroupsTaggingAPI_20170126.{operation}");
        let running = &running;
        async move { running.json("tagging", &target, input).await.unwrap() }
    };
    let filter =
        json!({"TagFilters": [{"Key": "Project", "Values": ["shop"]}], "ResourceTypeFilters": ["kinesis"]});
    let found = tagging("GetResources", filter).await;
    assert_eq!(
        found["ResourceTagMappingList"],
        json!([{"ResourceARN": arn, "Tags": [{"Key": "Project", "Value": "shop"}]}])
    );
    let missing = arn.replace("orders", "missing");
    let tag = json!({"ResourceARNList": [arn, missing], "Tags": {"Team": "a"}});
    let failed = tagging("TagResources", tag).await;
    let failed = failed["FailedResourcesMap"].as_object().unwrap();
    assert_eq!(failed.len(), 1);
    assert_eq!(failed[&missing]["ErrorCode"], "ResourceNotFoundException");
    assert_eq!(
        tagging("GetTagKeys", json!({})).await["TagKeys"],
        json!(["Project", "Team"])
    );
    let untag = json!({"ResourceARNList": [arn], "TagKeys": ["Project"]});
    tagging("UntagResources", untag).await;
    assert_eq!(tagging("GetTagKeys", json!({})).await["TagKeys"], json!(["Team"]));
}

fn permissions(
    cloud: &Cloud,
    service: &str,
    method: &str,
    uri: &str,
    target: &str,
    body: &'static str,
) -> Vec<String> {
    let mut request = http::Request::builder().method(method).uri(uri);
    if !target.is_empty() {
        request = request.header("x-amz-target", target);
    }
    let request = Request {
        caller: Caller::default(),
        parts: request.body(()).unwrap().into_parts().0,
        body: body.into(),
    };
    let entry = cloud.services.signed(service).unwrap();
    let all = entry.service.permissions(&request);
    all.into_iter()
        .map(|permission| format!("{} {}", permission.action, permission.resource))
        .collect()
}

#[tokio::test]
async fn requests_need_these_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = opened(dir.path());
    let asked =
        |service, method, uri, target: &str, body| permissions(&cloud, service, method, uri, target, body);
    let dynamodb = |operation: &str, body| {
        asked(
            "dynamodb",
            "POST",
            "/",
            &format!("DynamoDB_20120810.{operation}"),
            body,
        )
    };
    assert_eq!(
        dynamodb("BatchWriteItem", r#"{"RequestItems":{"events":[]}}"#),
        ["dynamodb:BatchWriteItem arn:aws:dynamodb:us-east-1:000000000000:table/events"]
    );
    assert_eq!(
        dynamodb("Query", r#"{"TableName":"events","IndexName":"by-type"}"#),
        ["dynamodb:Query arn:aws:dynamodb:us-east-1:000000000000:table/events/index/by-type"]
    );
    assert_eq!(
        dynamodb(
            "TransactWriteItems",
            r#"{"TransactItems":[{"Put":{"TableName":"a"}},{"ConditionCheck":{"TableName":"b"}}]}"#
        ),
        [
            "dynamodb:PutItem arn:aws:dynamodb:us-east-1:000000000000:table/a",
            "dynamodb:ConditionCheckItem arn:aws:dynamodb:us-east-1:000000000000:table/b"
        ]
    );
    assert_eq!(
        asked(
            "sqs",
            "POST",
            "/",
            "AmazonSQS.SendMessageBatch",
            r#"{"QueueUrl":"http://127.0.0.1/000000000000/dead"}"#
        ),
        ["sqs:SendMessage arn:aws:sqs:us-east-1:000000000000:dead"]
    );
    assert_eq!(
        asked(
            "sns",
            "POST",
            "/",
            "",
            "Action=Publish&TopicArn=arn%3Aaws%3Asns%3Ax"
        ),
        ["sns:Publish arn:aws:sns:x"]
    );
    assert_eq!(
        asked("s3", "PUT", "/data/raw/a%20b.json", "", ""),
        ["s3:PutObject arn:aws:s3:::data/raw/a b.json"]
    );
    assert_eq!(
        asked("s3", "GET", "/data?list-type=2&prefix=raw", "", ""),
        ["s3:ListBucket arn:aws:s3:::data"]
    );
    assert_eq!(
        asked("s3", "PUT", "/data?encryption", "", ""),
        ["s3:PutEncryptionConfiguration arn:aws:s3:::data"]
    );
    assert_eq!(
        asked("s3", "POST", "/data?delete", "", ""),
        ["s3:DeleteObject arn:aws:s3:::data/*"]
    );
    assert!(asked("sts", "POST", "/", "", "Action=GetCallerIdentity").is_empty());
}

/// What the SDK signs is what is verified, for the protocols and odd names of all services.
#[tokio::test]
async fn requests_of_the_sdk_are_verified() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::verifying(dir.path(), Secret::for_tests().as_str()).await;
    let sdk = &running.sdk;
    let s3 = aws_sdk_s3::Client::from_conf(
        aws_sdk_s3::config::Builder::from(sdk)
            .force_path_style(true)
            .build(),
    );
    ok!(s3.create_bucket().bucket("data").create_bucket_configuration(
        aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::EuWest1)
            .build()
    ));
    for key in ["plain", "a b/ü+%25~.json", "x//y/./z", "q=1&r;:@$,"] {
        let body = aws_sdk_s3::primitives::ByteStream::from_static(b"x");
        ok!(s3.put_object().bucket("data").key(key).body(body));
        ok!(s3.list_objects_v2().bucket("data").prefix(key).delimiter("/"));
        ok!(s3.get_object().bucket("data").key(key));
    }
    let presigned = s3
        .get_object()
        .bucket("data")
        .key("plain")
        .presigned(
            aws_sdk_s3::presigning::PresigningConfig::expires_in(std::time::Duration::from_secs(60)).unwrap(),
        )
        .await
        .unwrap();
    let path = presigned.uri().strip_prefix(&running.endpoint).unwrap();
    let host = running.endpoint.strip_prefix("http://").unwrap();
    assert_eq!(running.get(host, path).await, "x");
    assert!(
        running
            .get(host, &path.replace("Expires=60", "Expires=61"))
            .await
            .contains("SignatureDoesNotMatch")
    );

    let kinesis = aws_sdk_kinesis::Client::new(sdk);
    ok!(kinesis.create_stream().stream_name("s").shard_count(1));
    let lambda = aws_sdk_lambda::Client::new(sdk);
    let absent = "arn:aws:lambda:eu-west-1:000000000000:function:f:live";
    let refused = refused!(lambda.get_function().function_name(absent));
    assert_eq!(refused.code(), Some("ResourceNotFoundException"), "{refused:?}");
    ok!(lambda.list_functions());
    ok!(running.iam().list_roles());
    ok!(aws_sdk_sqs::Client::new(sdk).create_queue().queue_name("q"));
    ok!(aws_sdk_sns::Client::new(sdk).create_topic().name("t"));
    ok!(aws_sdk_dynamodb::Client::new(sdk).list_tables());
    ok!(aws_sdk_cloudwatch::Client::new(sdk).list_metrics());
    ok!(aws_sdk_cloudwatchlogs::Client::new(sdk).describe_log_groups());
    ok!(aws_sdk_sts::Client::new(sdk).get_caller_identity());
    drop(running);

    let guessing = Running::verifying(dir.path(), "local").await;
    let refused = refused!(aws_sdk_kinesis::Client::new(&guessing.sdk).list_streams());
    assert_eq!(refused.code(), Some("InvalidSignatureException"), "{refused:?}");
}

#[tokio::test]
async fn bodies_are_limited_as_on_aws() {
    let dir = tempfile::tempdir().unwrap();
    let cloud = opened(dir.path());
    let limit = |name: &str| cloud.services.signed(name).unwrap().service.max_body();
    assert_eq!(limit("dynamodb"), 16 << 20);
    assert_eq!(limit("sqs"), 8 << 20);
    assert_eq!(limit("logs"), 8 << 20);
    assert_eq!(limit("sns"), 2 << 20);
    assert_eq!(limit("monitoring"), 4 << 20);
}
