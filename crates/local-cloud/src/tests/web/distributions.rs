//! Distributions of CloudFront in front of buckets.

use aws_sdk_s3::primitives::ByteStream;
use ground::xml::Node;

use super::*;

const CONFIG: &str = "<DistributionConfig><CallerReference>one</CallerReference><Comment>shop</Comment>\
    <Enabled>true</Enabled><DefaultRootObject>index.html</DefaultRootObject><Origins><Quantity>1</Quantity><Items>\
    <Origin><Id>o</Id><DomainName>site.s3.eu-west-1.amazonaws.com</DomainName>\
    <OriginAccessControlId>ACCESS</OriginAccessControlId>\
    <S3OriginConfig><OriginAccessIdentity></OriginAccessIdentity></S3OriginConfig></Origin></Items></Origins>\
    <DefaultCacheBehavior><TargetOriginId>o</TargetOriginId><ViewerProtocolPolicy>redirect-to-https</ViewerProtocolPolicy>\
    <CachePolicyId>658327ea-f89d-4fab-a63d-7e88639e58f6</CachePolicyId></DefaultCacheBehavior></DistributionConfig>";
const ACCESS: &str = "<OriginAccessControlConfig><Name>shop</Name><SigningProtocol>sigv4</SigningProtocol>\
    <SigningBehavior>always</SigningBehavior><OriginAccessControlOriginType>s3</OriginAccessControlOriginType>\
    </OriginAccessControlConfig>";

impl Running {
    /// A call to the control plane of CloudFront, with this access key.
    async fn cloudfront_as(&self, key: &str, method: &str, path: &str, body: &str) -> Seen {
        let signed = format!(
            "Authorization: AWS4-HMAC-SHA256 Credential={key}/20260101/us-east-1/cloudfront/aws4_request\r\n"
        );
        let path = format!("/2020-05-31/{path}");
        self.send(Sent::post(path, body.as_bytes()).by(method).with(&signed))
            .await
    }

    /// The document of the answer to a call that succeeds.
    async fn cloudfront(&self, method: &str, path: &str, body: &str) -> Node {
        let seen = self.cloudfront_as("local", method, path, body).await;
        assert!(seen.status < 300, "{}", seen.body);
        Node::read(seen.body.as_bytes()).unwrap_or_default()
    }

    fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::config::Builder::from(&self.sdk).force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// The bucket `site` with a page and a style sheet.
    async fn bucket(&self) {
        let s3 = self.s3();
        ok!(s3.create_bucket().bucket("site").create_bucket_configuration(
            aws_sdk_s3::types::CreateBucketConfiguration::builder()
                .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::EuWest1)
                .build()
        ));
        for (key, content_type, content) in [
            ("index.html", "text/html", "<p>shop"),
            ("a/style.css", "text/css", "p { color: red }"),
        ] {
            ok!(s3
                .put_object()
                .bucket("site")
                .key(key)
                .content_type(content_type)
                .cache_control("max-age=60")
                .body(ByteStream::from_static(content.as_bytes())));
        }
    }

    /// A distribution of the bucket, which its policy lets it read. Returns the id.
    async fn distribution(&self) -> String {
        let access = self.cloudfront("POST", "origin-access-control", ACCESS).await;
        let config = CONFIG.replace("ACCESS", access.text_of("Id").unwrap());
        let made = self.cloudfront("POST", "distribution", &config).await;
        let policy = json!({"Version": "2012-10-17", "Statement": {
            "Effect": "Allow", "Principal": {"Service": "cloudfront.amazonaws.com"}, "Action": "s3:GetObject",
            "Resource": "arn:aws:s3:::site/*",
            "Condition": {"StringEquals": {"AWS:SourceArn": made.text_of("ARN").unwrap()}},
        }});
        ok!(self
            .s3()
            .put_bucket_policy()
            .bucket("site")
            .policy(policy.to_string()));
        made.text_of("Id").unwrap().to_owned()
    }
}

#[tokio::test]
async fn a_browser_gets_the_objects_of_a_private_bucket() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    running.bucket().await;
    let id = running.distribution().await;
    let host = format!("{}.cloudfront.localhost:1", id.to_ascii_lowercase());
    let get = |path: &str, headers: &'static str| {
        let sent = Sent::get(path).with(headers);
        running.send_to(&host, sent)
    };
    // As a link on another page is followed, and as a page loads its own style sheet.
    let page = get("/", "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n").await;
    assert_eq!((page.status, page.body.as_str()), (200, "<p>shop"));
    assert_eq!(page.header("content-type"), "text/html");
    assert_eq!(page.header("cache-control"), "max-age=60");
    assert_eq!(page.header("content-security-policy"), "");
    assert_eq!(page.header("x-amz-request-id"), "");
    let style = get(
        "/a/style.css",
        "Sec-Fetch-Site: same-origin\r\nRange: bytes=0-0\r\n",
    )
    .await;
    assert_eq!((style.status, style.body.as_str()), (206, "p"));
    assert_eq!(style.header("content-range"), "bytes 0-0/16");
    let etag = Box::leak(format!("If-None-Match: {}\r\n", page.header("etag")).into_boxed_str());
    let unchanged = get("/", etag).await;
    assert_eq!((unchanged.status, unchanged.body.as_str()), (304, ""));
    assert_eq!(get("/none", "").await.status, 403);
    let head = running.send_to(&host, Sent::get("/").by("HEAD")).await;
    assert_eq!(
        (head.status, head.header("content-length"), head.body.as_str()),
        (200, "7", "")
    );
}

#[tokio::test]
async fn a_page_below_a_path_has_no_origin() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    running.bucket().await;
    let id = running.distribution().await;
    let page = running.send(Sent::get(format!("/_cloudfront/{id}/"))).await;
    assert_eq!((page.status, page.body.as_str()), (200, "<p>shop"));
    assert!(page.header("content-security-policy").starts_with("sandbox "));
    // The bucket itself is not open to pages.
    let bucket = running
        .send(Sent::get("/site/index.html").with("Origin: null\r\n"))
        .await;
    assert_eq!(bucket.status, 403);
}

#[tokio::test]
async fn pages_do_not_reach_the_control_plane_and_policies_restrict_it() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let list = "/2020-05-31/distribution";
    let page = running
        .send(Sent::get(list).with("Origin: https://page.example\r\n"))
        .await;
    assert_eq!(page.status, 403);
    assert_eq!(running.send(Sent::get(list)).await.status, 403);

    let iam = running.iam();
    ok!(iam.create_user().user_name("ann"));
    let key = ok!(iam.create_access_key().user_name("ann")).access_key.unwrap();
    let key = key.access_key_id();
    let denied = running.cloudfront_as(key, "GET", "distribution", "").await;
    let document = Node::read(denied.body.as_bytes()).unwrap();
    assert_eq!((denied.status, document.name.as_str()), (403, "ErrorResponse"));
    let error = document.child("Error").unwrap();
    assert_eq!(error.text_of("Code"), Some("AccessDenied"));
    let message = error.text_of("Message").unwrap();
    assert!(
        message.contains("cloudfront:ListDistributions on resource: *"),
        "{message}"
    );
    let policy = json!({"Version": "2012-10-17", "Statement": {
        "Effect": "Allow", "Action": "cloudfront:ListDistributions", "Resource": "*",
    }});
    ok!(iam
        .put_user_policy()
        .user_name("ann")
        .policy_name("p")
        .policy_document(policy.to_string()));
    assert_eq!(
        running.cloudfront_as(key, "GET", "distribution", "").await.status,
        200
    );
}
