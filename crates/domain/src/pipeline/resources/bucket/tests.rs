use serde_json::json;

use super::super::kind::property_names;
use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, there, with_step};
use super::*;
use crate::pipeline::resource::{Observed, Resource};
use crate::pipeline::tags::UNFINISHED;

const DECLARED: &str = r#"
name = "archive"
versioning = true
encryption = "AES256"
lifecycle = [{ id = "archive", prefix = "raw/", glacier_days = 30, deep_archive_days = 120 }]
"#;

async fn made<T>(declared: &str, by_default: &[&str], look: impl FnOnce(&Bucket<'_>) -> T) -> T {
    let context = context().await;
    look(&Bucket::new(&context, location(), spec("bucket", declared, by_default)).unwrap())
}

async fn differences(declared: &str, by_default: &[&str], observed: &Observed) -> String {
    made(declared, by_default, |bucket| changes(bucket, observed)).await
}

/// A bucket as declared.
async fn facts() -> Facts {
    made(DECLARED, &[], |bucket| Facts {
        elsewhere: false,
        unmarked: false,
        versioning: Versioning::On,
        encryption: Some(bucket.encryption()),
        public_blocked: true,
        owner_enforced: true,
        policy: json!({"Version": "2012-10-17", "Statement": [bucket.statement()]}),
        rules: bucket.rules(None),
        cors: Vec::new(),
    })
    .await
}

fn seen(facts: &Facts, tags: &[(&str, &str)]) -> Observed {
    there(facts, tags)
}

/// As CreateBucket leaves it.
async fn bare() -> Facts {
    Facts {
        versioning: Versioning::Off,
        encryption: None,
        public_blocked: false,
        owner_enforced: false,
        policy: Value::Null,
        rules: Vec::new(),
        ..facts().await
    }
}

#[tokio::test]
async fn without_tls_nobody_gets_in() {
    assert_eq!(
        facts().await.policy,
        json!({
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Sid": "StreamctlTlsOnly",
                    "Effect": "Deny",
                    "Principal": "*",
                    "Action": "s3:*",
                    "Resource": [
                        "arn:aws:s3:::archive",
                        "arn:aws:s3:::archive/*"
                    ],
                    "Condition": {
                        "Bool": {
                            "aws:SecureTransport": "false"
                        }
                    }
                }
            ]
        })
    );
}

#[tokio::test]
async fn a_bucket_as_declared_needs_nothing() {
    assert_eq!(differences(DECLARED, &[], &Observed::Absent).await, "create");
    let facts = facts().await;
    assert_eq!(
        differences(DECLARED, &[], &seen(&facts, &[("Theirs", "1")])).await,
        ""
    );
    assert_eq!(
        differences("name = \"archive\"", &[], &seen(&facts, &[])).await,
        ""
    );
}

#[tokio::test]
async fn what_keeps_a_bucket_safe_is_always_enforced() {
    let all = property_names::<Declared>();
    let bare = bare().await;
    insta::assert_snapshot!(differences(DECLARED, all, &seen(&bare, &[])).await, @r#"
    public access: possible → blocked
    ownership: access control lists → the bucket's owner
    policy: another → TLS only
    lifecycle: no rules → unfinished uploads deleted after 7 days
    "#);
    insta::assert_snapshot!(differences(DECLARED, all, &seen(&bare, &[(UNFINISHED, "setup")])).await, @r#"
    public access: possible → blocked
    ownership: access control lists → the bucket's owner
    policy: another → TLS only
    versioning: off → on
    encryption: none → AES256
    lifecycle: no rules → raw/: GLACIER after 30 days and DEEP_ARCHIVE after 120 days, unfinished uploads deleted after 7 days
    tags: remove the tag of an unfinished setup
    "#);
}

#[tokio::test]
async fn a_bucket_that_was_left_without_tags_gets_them_first() {
    let bare = Facts {
        unmarked: true,
        ..bare().await
    };
    let changes = differences(DECLARED, &[], &seen(&bare, &[(UNFINISHED, "setup")])).await;
    assert!(changes.starts_with("owner: none → this pipeline\n"), "{changes}");
    assert!(
        changes.ends_with("tags: remove the tag of an unfinished setup"),
        "{changes}"
    );
}

#[tokio::test]
async fn what_differs_is_changed() {
    let other = "name = \"archive\"\nversioning = false\nkms_key = \"alias/mine\"\n\
                 lifecycle = [{ id = \"tidy\", expire_days = 30 }]";
    let facts = facts().await;
    insta::assert_snapshot!(differences(other, &[], &seen(&facts, &[])).await, @r#"
    versioning: on → suspended
    encryption: AES256 → aws:kms with key alias/mine
    lifecycle: raw/: GLACIER after 30 days and DEEP_ARCHIVE after 120 days, unfinished uploads deleted after 7 days → deleted after 30 days, unfinished uploads deleted after 7 days (objects under "" are deleted after 30 days)
    "#);
    let elsewhere = Facts {
        elsewhere: true,
        ..facts
    };
    insta::assert_snapshot!(differences(DECLARED, &[], &seen(&elsewhere, &[])).await, @"belongs to another account, is in another region, or you may not read it");
}

#[tokio::test]
async fn names_are_checked_as_s3_does() {
    let context = context().await;
    let made = |name: &str| {
        let declared = format!("name = \"{name}\"");
        Bucket::new(&context, location(), spec("bucket", &declared, &[])).map(drop)
    };
    let refusals = [
        "ab",
        "Archive",
        "-archive",
        "a..b",
        "192.168.5.4",
        "xn--a",
        "a-s3alias",
    ]
    .map(|name| refusal(made(name)))
    .join("\n");
    insta::assert_snapshot!(refusals, @r#"
    "ab" is not a bucket name
    hint: a bucket name is 3 to 63 characters long
    "Archive" is not a bucket name
    hint: a bucket name contains only lower-case letters, digits, dots and hyphens
    "-archive" is not a bucket name
    hint: a bucket name begins and ends with a letter or digit
    "a..b" is not a bucket name
    hint: a bucket name has no two dots in a row
    "192.168.5.4" is not a bucket name
    hint: a bucket name does not look like an IP address
    "xn--a" is not a bucket name
    hint: a bucket name does not begin with xn--, sthree- or amzn-s3-demo-
    "a-s3alias" is not a bucket name
    hint: a bucket name does not end with a suffix that S3 reserves
    "#);
    assert!(made("realtime-data-archive-000000000000-us-east-1").is_ok());
}

fn versions(keys: &[&str], next: &str) -> String {
    let versions: String = keys
        .iter()
        .map(|key| format!("<Version><Key>{key}</Key><VersionId>1</VersionId></Version>"))
        .collect();
    format!("<ListVersionsResult>{versions}{next}</ListVersionsResult>")
}

#[tokio::test]
async fn a_bucket_is_emptied_page_by_page_and_again_while_somebody_writes() {
    let mut rounds = 0;
    let endpoint = Endpoint::start(move |call, body| match call {
        _ if call.starts_with("GET") && call.contains("?versions") => {
            let more = "<IsTruncated>true</IsTruncated><NextKeyMarker>b</NextKeyMarker>";
            match (call.contains("key-marker=b"), rounds) {
                (true, _) => (200, versions(&["c"], "<DeleteMarker><Key>d</Key><VersionId>2</VersionId></DeleteMarker>")),
                (false, 0) => (200, versions(&["a", "b"], more)),
                (false, _) => (200, versions(&["e"], "")),
            }
        }
        _ if call.starts_with("GET") && call.contains("?uploads") => (
            200,
            "<ListMultipartUploadsResult><Upload><Key>big</Key><UploadId>7</UploadId></Upload></ListMultipartUploadsResult>".into(),
        ),
        _ if call.starts_with("POST") && call.contains("?delete") => {
            assert!(body.contains("<VersionId>"), "{body}");
            (200, "<DeleteResult></DeleteResult>".into())
        }
        _ if call.starts_with("DELETE") && call.contains("uploadId=7") => (204, String::new()),
        _ if call.starts_with("DELETE") => {
            rounds += 1;
            match rounds {
                1 => (409, "<Error><Code>BucketNotEmpty</Code><Message>not empty</Message></Error>".into()),
                _ => (204, String::new()),
            }
        }
        other => panic!("{other}"),
    })
    .await;
    let bucket = Bucket::new(&endpoint.context, location(), spec("bucket", DECLARED, &[])).unwrap();
    let (gone, said) = with_step(async |step| bucket.remove(step).await).await;
    gone.unwrap();
    insta::assert_snapshot!(said.join("\n"), @r#"
    emptying
    emptying: 2 objects and versions deleted
    emptying: 4 objects and versions deleted
    deleting
    S3 still finds something in it
    emptying
    emptying: 5 objects and versions deleted
    deleting
    "#);
}

#[tokio::test]
async fn objects_that_cannot_be_deleted_are_named() {
    let endpoint = Endpoint::start(|call, _| {
        if call.starts_with("GET") {
            return (200, versions(&["a", "b", "c"], ""));
        }
        let error = |key: &str, code: &str| {
            format!("<Error><Key>{key}</Key><Code>{code}</Code><Message>no</Message></Error>")
        };
        let errors = [error("a", "AccessDenied"), error("b", "SlowDown")].concat();
        (200, format!("<DeleteResult>{errors}</DeleteResult>"))
    })
    .await;
    let bucket = Bucket::new(&endpoint.context, location(), spec("bucket", DECLARED, &[])).unwrap();
    insta::assert_snapshot!(bucket.contents().await.unwrap().unwrap(), @"bucket archive holds 3 objects and versions, deleted with it");
    let (gone, _) = with_step(async |step| bucket.remove(step).await).await;
    insta::assert_snapshot!(refusal(gone), @r#"
    1 object of bucket archive could not be deleted: a: no (AccessDenied)
    hint: an object lock or a policy may keep them; lift it, then run the same command again
    "#);
}

#[tokio::test]
async fn a_name_of_another_account_is_refused_in_words() {
    let endpoint = Endpoint::start(|call, _| match call {
        _ if call.starts_with("HEAD") => (403, String::new()),
        _ => (
            409,
            "<Error><Code>BucketAlreadyExists</Code><Message>taken</Message></Error>".into(),
        ),
    })
    .await;
    let spec = spec("bucket", DECLARED, &[]);
    let bucket = Bucket::new(&endpoint.context, location(), spec.clone()).unwrap();
    let observed = Resource::observe(&bucket).await.unwrap();
    assert_eq!(
        observed.owner(&spec.identity),
        Some(crate::pipeline::tags::Owner::Stranger)
    );
    let (made, _) =
        with_step(async |step| bucket.apply(&Change::Create, &Observed::Absent, step).await).await;
    insta::assert_snapshot!(refusal(made), @r#"
    the bucket name archive is taken by another account
    hint: choose another bucket name: all accounts share them
    "#);
}

#[tokio::test]
async fn cors_is_changed_where_it_is_declared() {
    let declared =
        format!("{DECLARED}\ncors = [{{ allow_origins = [\"*\"], allow_methods = [\"PUT\", \"GET\"] }}]");
    let facts = facts().await;
    insta::assert_snapshot!(differences(&declared, &[], &seen(&facts, &[])).await, @"CORS: none → PUT GET for *");
    assert_eq!(differences(DECLARED, &[], &seen(&facts, &[])).await, "");
    let context = context().await;
    let made = |rule: &str| {
        let declared = format!("name = \"archive\"\ncors = [{rule}]");
        Bucket::new(&context, location(), spec("bucket", &declared, &[])).map(drop)
    };
    insta::assert_snapshot!(refusal(made("{ allow_origins = [\"*\"] }")), @"bucket archive: a CORS rule needs allow_origins and allow_methods");
    insta::assert_snapshot!(
        refusal(made("{ allow_origins = [\"*\"], allow_methods = [\"OPTIONS\"] }")),
        @r#"bucket archive: "OPTIONS" is not a method of a CORS rule: it is DELETE, GET, HEAD, POST or PUT"#
    );
}
