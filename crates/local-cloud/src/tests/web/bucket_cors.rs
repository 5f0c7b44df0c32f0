//! Pages that read and write objects through presigned URLs.

use std::time::Duration;

use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::types::{CorsConfiguration, CorsRule};

use super::*;

const PAGE: &str = "Origin: https://page.example\r\nSec-Fetch-Site: cross-site\r\n";

/// The path and query of a presigned URL to put `orders/k`.
async fn presigned(sdk: &SdkConfig, expires: u64) -> String {
    let expires = PresigningConfig::expires_in(Duration::from_secs(expires)).unwrap();
    let s3 = client(sdk);
    let put = s3
        .put_object()
        .bucket("orders")
        .key("k")
        .content_type("image/jpeg");
    let url = put.presigned(expires).await.unwrap();
    let (_, path) = url.uri().split_once("//").unwrap();
    path[path.find('/').unwrap()..].to_owned()
}

fn client(sdk: &SdkConfig) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::config::Builder::from(sdk)
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

fn with_secret(sdk: &SdkConfig, secret: &str) -> SdkConfig {
    let credentials = Credentials::new("local", secret, None, None, "test");
    let provider = aws_credential_types::provider::SharedCredentialsProvider::new(credentials);
    sdk.clone().into_builder().credentials_provider(provider).build()
}

#[tokio::test]
async fn a_page_uploads_through_a_presigned_url() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let sdk = with_secret(&running.sdk, Secret::for_tests().as_str());
    let s3 = client(&sdk);
    ok!(s3.create_bucket().bucket("orders").create_bucket_configuration(
        aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::EuWest1)
            .build()
    ));
    let path = presigned(&sdk, 60).await;
    let asked = format!(
        "{PAGE}Access-Control-Request-Method: PUT\r\nAccess-Control-Request-Headers: content-type\r\n"
    );
    let preflight = || running.send(Sent::get(path.clone()).by("OPTIONS").with(&asked));
    let refused = preflight().await;
    assert_eq!(refused.status, 403);
    assert!(
        refused.body.contains("CORS is not enabled for this bucket"),
        "{}",
        refused.body
    );
    let rule = CorsRule::builder()
        .allowed_origins("https://page.example")
        .allowed_methods("PUT")
        .allowed_methods("GET")
        .allowed_headers("*")
        .expose_headers("ETag")
        .max_age_seconds(60)
        .build();
    let rules = CorsConfiguration::builder().cors_rules(rule.unwrap()).build();
    ok!(s3
        .put_bucket_cors()
        .bucket("orders")
        .cors_configuration(rules.unwrap()));
    let allowed = preflight().await;
    assert_eq!(allowed.status, 200, "{}", allowed.body);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://page.example"
    );
    assert_eq!(allowed.header("access-control-allow-methods"), "PUT, GET");
    assert_eq!(allowed.header("access-control-allow-headers"), "content-type");
    assert_eq!(allowed.header("access-control-max-age"), "60");

    let headers = format!("{PAGE}Content-Type: image/jpeg\r\n");
    let put = |path: &str| {
        let sent = Sent::post(path, b"picture").by("PUT").with(&headers);
        running.send(sent)
    };
    let seen = put(&path).await;
    assert_eq!(seen.status, 200, "{}", seen.body);
    assert_eq!(seen.header("access-control-allow-origin"), "https://page.example");
    assert_eq!(seen.header("access-control-expose-headers"), "ETag");
    let got = ok!(s3.get_object().bucket("orders").key("k"));
    assert_eq!(got.body.collect().await.unwrap().into_bytes(), "picture");

    // What a page makes up itself is refused, and so is an expired URL.
    let forged = path.replace("X-Amz-Signature=", "X-Amz-Signature=0");
    assert_eq!(put(&forged).await.status, 403);
    let other = path.replace("/orders/k", "/orders/other");
    assert_eq!(put(&other).await.status, 403);
    let wrong = presigned(&running.sdk, 60).await;
    assert_eq!(put(&wrong).await.status, 403, "signed with another secret");
    let plain = Sent::post("/orders/k", b"x").by("PUT").with(&headers);
    assert_eq!(running.send(plain).await.status, 403, "not signed");
}

#[tokio::test]
async fn a_page_shows_an_object_and_errors_have_headers() {
    let dir = tempfile::tempdir().unwrap();
    let running = Running::on(dir.path()).await;
    let sdk = with_secret(&running.sdk, Secret::for_tests().as_str());
    let s3 = client(&sdk);
    ok!(s3.create_bucket().bucket("orders").create_bucket_configuration(
        aws_sdk_s3::types::CreateBucketConfiguration::builder()
            .location_constraint(aws_sdk_s3::types::BucketLocationConstraint::EuWest1)
            .build()
    ));
    let rule = CorsRule::builder()
        .allowed_origins("*")
        .allowed_methods("GET")
        .build();
    let rules = CorsConfiguration::builder().cors_rules(rule.unwrap()).build();
    ok!(s3
        .put_bucket_cors()
        .bucket("orders")
        .cors_configuration(rules.unwrap()));
    let expires = PresigningConfig::expires_in(Duration::from_secs(60)).unwrap();
    let url = s3
        .get_object()
        .bucket("orders")
        .key("k")
        .presigned(expires)
        .await
        .unwrap();
    let (_, path) = url.uri().split_once("//").unwrap();
    let path = &path[path.find('/').unwrap()..];
    let missing = running.send(Sent::get(path).with(PAGE)).await;
    assert_eq!(missing.status, 404, "{}", missing.body);
    assert_eq!(missing.header("access-control-allow-origin"), "*");
    ok!(s3
        .put_object()
        .bucket("orders")
        .key("k")
        .body(aws_sdk_s3::primitives::ByteStream::from_static(b"picture")));
    // As an image of a page, without an origin.
    let image = running
        .send(Sent::get(path).with("Sec-Fetch-Site: cross-site\r\nSec-Fetch-Dest: image\r\n"))
        .await;
    assert_eq!((image.status, image.body.as_str()), (200, "picture"));
    let unsigned = running
        .send(Sent::get("/orders/k").with("Sec-Fetch-Site: cross-site\r\n"))
        .await;
    assert_eq!(unsigned.status, 403);

    // The daemon's own paths stay closed to pages, whatever the request names.
    let query = path.split_once('?').unwrap().1;
    let health = Sent::get(format!("/_streamctl/health?{query}")).with(PAGE);
    assert_eq!(running.send(health).await.status, 403);
    let asked = format!("{PAGE}Access-Control-Request-Method: GET\r\n");
    let preflight = Sent::get("/_streamctl/health").by("OPTIONS").with(&asked);
    assert_eq!(running.send(preflight).await.status, 403);
}
