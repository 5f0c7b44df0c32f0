//! S3 through the SDK.

mod bytes;
mod listing;
mod migration;
mod notifications;
mod uploads;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Builder;
use aws_sdk_s3::error::ProvideErrorMetadata;
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus, CompletedMultipartUpload,
    CompletedPart, CreateBucketConfiguration, Delete, ExpirationStatus, LifecycleExpiration, LifecycleRule,
    LifecycleRuleFilter, ObjectIdentifier, PublicAccessBlockConfiguration, ServerSideEncryption,
    ServerSideEncryptionByDefault, ServerSideEncryptionConfiguration, ServerSideEncryptionRule, Tag, Tagging,
    Transition, TransitionStorageClass, VersioningConfiguration,
};

use super::S3;
use crate::Caller;
use crate::clock::SystemClock;
use crate::test_support::{ok, refused};
use crate::tests::Running;

fn client(running: &Running) -> Client {
    Client::from_conf(Builder::from(&running.sdk).force_path_style(true).build())
}

async fn bucket(client: &Client, name: &str) {
    let place = CreateBucketConfiguration::builder().location_constraint(BucketLocationConstraint::EuWest1);
    ok!(client
        .create_bucket()
        .bucket(name)
        .create_bucket_configuration(place.build()));
}

async fn put(client: &Client, key: &str, body: &str) {
    let body = ByteStream::from(body.as_bytes().to_vec());
    ok!(client.put_object().bucket("orders").key(key).body(body));
}

fn service(dir: &std::path::Path) -> S3 {
    S3::new(&dir.join("services"), std::sync::Arc::new(SystemClock))
}

async fn get(client: &Client, key: &str) -> String {
    let object = ok!(client.get_object().bucket("orders").key(key));
    String::from_utf8(object.body.collect().await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn objects_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    // Names that a file system would not take side by side.
    for key in ["a", "a/b", "a/../c", "ä ö+%", "d//e"] {
        put(&s3, key, &format!("body of {key}")).await;
    }
    put(&s3, "a", "newer").await;
    ok!(s3
        .put_object()
        .bucket("orders")
        .key("tagged")
        .content_type("text/csv")
        .metadata("who", "me")
        .tagging("k=v")
        .body(ByteStream::from_static(b"0123456789")));
    // Content types of other protocols.
    for (key, kind) in [
        ("form", "application/x-www-form-urlencoded"),
        ("cbor", "application/cbor"),
    ] {
        let body = ByteStream::from_static(b"Action=x&Tags.member.0.Key=a");
        ok!(s3
            .put_object()
            .bucket("orders")
            .key(key)
            .content_type(kind)
            .body(body));
        let head = ok!(s3.head_object().bucket("orders").key(key));
        assert_eq!(head.content_type(), Some(kind));
        ok!(s3.delete_object().bucket("orders").key(key));
    }
    ok!(s3
        .copy_object()
        .bucket("orders")
        .key("copy")
        .copy_source("orders/%C3%A4%20%C3%B6%2B%25"));
    assert_eq!(get(&s3, "copy").await, "body of ä ö+%");
    ok!(s3.delete_object().bucket("orders").key("copy"));
    drop(running);
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    assert_eq!(get(&s3, "a").await, "newer");
    for key in ["a/b", "a/../c", "ä ö+%", "d//e"] {
        assert_eq!(get(&s3, key).await, format!("body of {key}"));
    }
    let head = ok!(s3.head_object().bucket("orders").key("tagged"));
    assert_eq!(head.content_length(), Some(10));
    assert_eq!(head.content_type(), Some("text/csv"));
    assert_eq!(head.metadata().unwrap()["who"], "me");
    let tags = ok!(s3.get_object_tagging().bucket("orders").key("tagged"));
    assert_eq!(tags.tag_set()[0].value(), "v");
    let part = ok!(s3.get_object().bucket("orders").key("tagged").range("bytes=2-4"));
    assert_eq!(part.content_range(), Some("bytes 2-4/10"));
    assert_eq!(&part.body.collect().await.unwrap().to_vec(), b"234");
    let files = || {
        std::fs::read_dir(dir.path().join("services/s3-objects"))
            .unwrap()
            .count()
    };
    assert_eq!(files(), 10);
    drop(running);
    service(dir.path()).sweep();
    assert_eq!(files(), 6, "what was overwritten is gone");
}

#[tokio::test]
async fn listing_deleting_and_conditions() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    for i in 0..5 {
        put(&s3, &format!("2024/{i}.json"), "{}").await;
    }
    put(&s3, "top", "x").await;
    let mut keys = Vec::new();
    let mut token = None;
    loop {
        let page = ok!(s3
            .list_objects_v2()
            .bucket("orders")
            .max_keys(2)
            .set_continuation_token(token));
        keys.extend(
            page.contents()
                .iter()
                .map(|object| object.key().unwrap().to_owned()),
        );
        token = page.next_continuation_token.clone();
        if token.is_none() {
            break;
        }
    }
    assert_eq!(
        keys,
        [
            "2024/0.json",
            "2024/1.json",
            "2024/2.json",
            "2024/3.json",
            "2024/4.json",
            "top"
        ]
    );
    let folders = ok!(s3.list_objects_v2().bucket("orders").delimiter("/"));
    assert_eq!(folders.common_prefixes()[0].prefix(), Some("2024/"));

    let again = refused!(s3.put_object().bucket("orders").key("top").if_none_match("*"));
    assert_eq!(again.code(), Some("PreconditionFailed"));
    let full = refused!(s3.delete_bucket().bucket("orders"));
    assert_eq!(full.code(), Some("BucketNotEmpty"));
    let objects = keys
        .iter()
        .map(|key| ObjectIdentifier::builder().key(key).build().unwrap());
    let delete = Delete::builder()
        .set_objects(Some(objects.collect()))
        .build()
        .unwrap();
    let deleted = ok!(s3.delete_objects().bucket("orders").delete(delete));
    assert_eq!(deleted.deleted().len(), 6);
    let gone = refused!(s3.get_object().bucket("orders").key("top"));
    assert!(gone.into_service_error().is_no_such_key());
    ok!(s3.delete_bucket().bucket("orders"));
    let missing = refused!(s3.head_bucket().bucket("orders"));
    assert!(missing.into_service_error().is_not_found());
}

#[tokio::test]
async fn versions_and_uploads_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    let versioning = VersioningConfiguration::builder()
        .status(BucketVersioningStatus::Enabled)
        .build();
    ok!(s3
        .put_bucket_versioning()
        .bucket("orders")
        .versioning_configuration(versioning));
    put(&s3, "k", "one").await;
    put(&s3, "k", "two").await;
    ok!(s3.delete_object().bucket("orders").key("k"));
    let upload = ok!(s3.create_multipart_upload().bucket("orders").key("big"));
    let id = upload.upload_id().unwrap().to_owned();
    let part = vec![b'x'; 5 << 20];
    let first = s3
        .upload_part()
        .bucket("orders")
        .key("big")
        .upload_id(&id)
        .part_number(1);
    let first = ok!(first.body(ByteStream::from(part.clone())));

    drop(running);
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    let versions = ok!(s3.list_object_versions().bucket("orders"));
    assert_eq!(versions.versions().len(), 2);
    assert_eq!(versions.delete_markers().len(), 1);
    let oldest = versions
        .versions()
        .iter()
        .find(|version| version.is_latest() == Some(false))
        .unwrap();
    assert!(oldest.version_id().is_some());
    let second = s3
        .upload_part()
        .bucket("orders")
        .key("big")
        .upload_id(&id)
        .part_number(2);
    let second = ok!(second.body(ByteStream::from_static(b"end")));
    let completed = |number: i32, etag: Option<&str>| {
        CompletedPart::builder()
            .part_number(number)
            .set_e_tag(etag.map(str::to_owned))
            .build()
    };
    let parts = CompletedMultipartUpload::builder()
        .parts(completed(1, first.e_tag()))
        .parts(completed(2, second.e_tag()))
        .build();
    let done = s3
        .complete_multipart_upload()
        .bucket("orders")
        .key("big")
        .upload_id(&id);
    ok!(done.multipart_upload(parts));
    let object = ok!(s3.get_object().bucket("orders").key("big"));
    assert_eq!(
        object.body.collect().await.unwrap().to_vec().len(),
        part.len() + 3
    );
}

#[tokio::test]
async fn settings_of_a_bucket_survive_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    let block = PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .block_public_policy(true);
    let block = block
        .ignore_public_acls(true)
        .restrict_public_buckets(true)
        .build();
    ok!(s3
        .put_public_access_block()
        .bucket("orders")
        .public_access_block_configuration(block.clone()));
    let by_default = ServerSideEncryptionByDefault::builder().sse_algorithm(ServerSideEncryption::Aes256);
    let rule = ServerSideEncryptionRule::builder()
        .apply_server_side_encryption_by_default(by_default.build().unwrap())
        .build();
    let encryption = ServerSideEncryptionConfiguration::builder()
        .rules(rule)
        .build()
        .unwrap();
    ok!(s3
        .put_bucket_encryption()
        .bucket("orders")
        .server_side_encryption_configuration(encryption.clone()));
    let transition = |days: i32, class: TransitionStorageClass| {
        Transition::builder().days(days).storage_class(class).build()
    };
    let rule = LifecycleRule::builder()
        .id("archive")
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("raw/").build())
        .transitions(transition(90, TransitionStorageClass::Glacier))
        .transitions(transition(180, TransitionStorageClass::DeepArchive))
        .expiration(LifecycleExpiration::builder().days(365).build())
        .build()
        .unwrap();
    let lifecycle = BucketLifecycleConfiguration::builder()
        .rules(rule)
        .build()
        .unwrap();
    ok!(s3
        .put_bucket_lifecycle_configuration()
        .bucket("orders")
        .lifecycle_configuration(lifecycle.clone()));
    let tags = Tagging::builder().tag_set(Tag::builder().key("a").value("1").build().unwrap());
    let tags = tags
        .tag_set(Tag::builder().key("b").value("2 + 3").build().unwrap())
        .build()
        .unwrap();
    ok!(s3.put_bucket_tagging().bucket("orders").tagging(tags));
    let policy = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Principal":"*","Action":"s3:*","Resource":["arn:aws:s3:::orders","arn:aws:s3:::orders/*"],"Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}"#;
    ok!(s3.put_bucket_policy().bucket("orders").policy(policy));

    drop(running);
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    let found = ok!(s3.get_public_access_block().bucket("orders"));
    assert_eq!(found.public_access_block_configuration(), Some(&block));
    let found = ok!(s3.get_bucket_encryption().bucket("orders"));
    let found = found.server_side_encryption_configuration().unwrap().rules()[0].clone();
    let algorithm = found
        .apply_server_side_encryption_by_default()
        .unwrap()
        .sse_algorithm();
    assert_eq!(algorithm, &ServerSideEncryption::Aes256);
    let found = ok!(s3.get_bucket_lifecycle_configuration().bucket("orders"));
    assert_eq!(found.rules(), lifecycle.rules());
    let mut found = ok!(s3.get_bucket_tagging().bucket("orders")).tag_set;
    found.sort_by(|a, b| a.key().cmp(b.key()));
    assert_eq!(found[1].value(), "2 + 3");
    let found = ok!(s3.get_bucket_policy().bucket("orders"));
    assert_eq!(found.policy(), Some(policy));
    let found = ok!(s3.get_bucket_location().bucket("orders"));
    assert_eq!(
        found.location_constraint(),
        Some(&BucketLocationConstraint::EuWest1)
    );
    ok!(s3.delete_bucket_policy().bucket("orders"));
    let gone = refused!(s3.get_bucket_policy().bucket("orders"));
    assert_eq!(gone.code(), Some("NoSuchBucketPolicy"));
}

#[tokio::test]
async fn presigned_urls_and_host_names() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    put(&s3, "k", "body").await;
    let for_a_minute = PresigningConfig::expires_in(std::time::Duration::from_secs(60)).unwrap();
    let url = s3
        .get_object()
        .bucket("orders")
        .key("k")
        .presigned(for_a_minute)
        .await
        .unwrap();
    let path = url.uri().split_once("/orders").unwrap().1.to_owned();
    let port = running.endpoint.rsplit_once(':').unwrap().1.to_owned();
    assert_eq!(running.get("127.0.0.1", &format!("/orders{path}")).await, "body");
    assert_eq!(
        running.get(&format!("orders.localhost:{port}"), &path).await,
        "body"
    );
    let old = "/orders/k?AWSAccessKeyId=local&Signature=x&Expires";
    assert_eq!(
        running.get("127.0.0.1", &format!("{old}=4102444800")).await,
        "body"
    );
    let late = running.get("127.0.0.1", &format!("{old}=1")).await;
    assert!(
        late.contains("<Code>AccessDenied</Code><Message>Request has expired</Message>"),
        "{late}"
    );
    let signed_then = path.replace("X-Amz-Date=20", "X-Amz-Date=19");
    let late = running.get("127.0.0.1", &format!("/orders{signed_then}")).await;
    assert!(late.contains("<Message>Request has expired</Message>"), "{late}");
}

#[tokio::test]
async fn other_services_put_objects() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    bucket(&client(&running), "orders").await;
    drop(running);
    service(dir.path())
        .put(&Caller::default(), "orders", "failed/1.json", "{}".into())
        .unwrap();
    let running = Running::on(dir.path()).await;
    assert_eq!(get(&client(&running), "failed/1.json").await, "{}");
}

#[tokio::test]
async fn a_new_bucket_has_its_tags_and_aws_defaults() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    let tag = Tag::builder()
        .key("streamctl:pipeline")
        .value("orders")
        .build()
        .unwrap();
    let configuration = CreateBucketConfiguration::builder()
        .location_constraint(BucketLocationConstraint::EuWest1)
        .tags(tag.clone())
        .build();
    ok!(s3
        .create_bucket()
        .bucket("orders")
        .create_bucket_configuration(configuration));
    assert_eq!(ok!(s3.get_bucket_tagging().bucket("orders")).tag_set, [tag]);
    let block = ok!(s3.get_public_access_block().bucket("orders"));
    let block = block.public_access_block_configuration.unwrap();
    assert_eq!(block.block_public_policy, Some(true));
    let controls = ok!(s3.get_bucket_ownership_controls().bucket("orders"));
    let ownership = controls.ownership_controls.unwrap().rules[0]
        .object_ownership
        .clone();
    assert_eq!(ownership.as_str(), "BucketOwnerEnforced");
    let encryption = ok!(s3.get_bucket_encryption().bucket("orders"));
    let rules = encryption.server_side_encryption_configuration.unwrap().rules;
    let default = rules[0].apply_server_side_encryption_by_default().unwrap();
    assert_eq!(default.sse_algorithm(), &ServerSideEncryption::Aes256);
    let acl = ok!(s3.get_bucket_acl().bucket("orders"));
    assert_eq!(acl.grants().len(), 1);
    assert_eq!(acl.grants()[0].permission().unwrap().as_str(), "FULL_CONTROL");
    put(&s3, "k", "x").await;
    let acl = ok!(s3.get_object_acl().bucket("orders").key("k"));
    assert_eq!(acl.owner().unwrap().id(), acl.grants()[0].grantee().unwrap().id());
    let off = refused!(
        s3.put_object_acl()
            .bucket("orders")
            .key("k")
            .acl(aws_sdk_s3::types::ObjectCannedAcl::PublicRead)
    );
    assert_eq!(off.code(), Some("AccessControlListNotSupported"));

    let listed = ok!(s3.list_buckets());
    assert_eq!(listed.buckets()[0].bucket_region(), Some("eu-west-1"));
    let again = refused!(
        s3.create_bucket().bucket("orders").create_bucket_configuration(
            CreateBucketConfiguration::builder()
                .location_constraint(BucketLocationConstraint::EuWest1)
                .build()
        )
    );
    assert_eq!(again.code(), Some("BucketAlreadyOwnedByYou"));
    let nowhere = refused!(s3.create_bucket().bucket("others"));
    assert_eq!(nowhere.code(), Some("IllegalLocationConstraintException"));
    let foreign = refused!(
        s3.head_bucket()
            .bucket("orders")
            .expected_bucket_owner("123456789012")
    );
    assert_eq!(foreign.raw_response().unwrap().status().as_u16(), 403);
    let other = Running::with_key(dir.path(), "123456789012").await;
    assert_eq!(ok!(client(&other).list_buckets()).buckets().len(), 0);
}

#[tokio::test]
async fn what_is_not_offered_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    let refused = refused!(s3.list_bucket_inventory_configurations().bucket("orders"));
    assert_eq!(refused.code(), Some("NotImplemented"));
    assert!(
        refused
            .message()
            .unwrap()
            .contains("GetBucketInventoryConfiguration")
    );
    let locked = refused!(
        s3.put_object()
            .bucket("orders")
            .key("k")
            .object_lock_mode(aws_sdk_s3::types::ObjectLockMode::Governance)
    );
    assert_eq!(
        locked.message(),
        Some("The local cloud does not offer object lock of S3.")
    );
}

#[tokio::test]
async fn errors_have_the_form_of_s3() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    bucket(&client(&running), "orders").await;
    let (status, answer) = running.request("GET", "/orders/no%20key", "", b"").await;
    assert_eq!(status, 404);
    assert!(
        answer.starts_with(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>NoSuchKey</Code><Message>The specified key does not \
             exist.</Message><Key>no key</Key><Resource>/orders/no%20key</Resource><RequestId>"
        ),
        "{answer}"
    );
    let (status, answer) = running.request("HEAD", "/orders/none", "", b"").await;
    assert_eq!((status, answer.as_str()), (404, ""));
    let (status, answer) = running
        .request("PUT", "/orders?cors", "", &b"<a>".repeat(70_000))
        .await;
    assert_eq!(status, 400);
    assert!(answer.contains("<Code>MalformedXML</Code>"), "{answer}");
}

#[tokio::test]
async fn files_of_a_request_that_was_killed_are_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let s3 = client(&running);
    bucket(&s3, "orders").await;
    put(&s3, "k", "kept").await;
    drop(running);
    let orphan = dir.path().join("services/s3-objects/orphan");
    std::fs::write(&orphan, "never acknowledged").unwrap();
    let service = service(dir.path());
    let begun = dir.path().join("services/s3-objects/begun");
    std::fs::write(&begun, "still being written").unwrap();
    let later = std::time::SystemTime::now() + std::time::Duration::from_secs(1);
    std::fs::File::options()
        .write(true)
        .open(&begun)
        .unwrap()
        .set_modified(later)
        .unwrap();
    service.sweep();
    assert!(!orphan.exists() && begun.exists());
    let running = Running::on(dir.path()).await;
    assert_eq!(get(&client(&running), "k").await, "kept");
}
