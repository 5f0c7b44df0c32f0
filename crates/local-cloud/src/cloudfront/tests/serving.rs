//! Requests to distributions.

use super::*;
use crate::web::{Address, Web, WebRequest};

/// An answer to a viewer.
struct Shown {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Shown {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl World {
    /// A deployed distribution for the bucket `site` with these objects, which its policy lets it read. Returns the id.
    async fn site(&self, objects: &[(&str, &'static str)], more: &str) -> String {
        let made = self.distribution("site", more).await;
        let all = objects
            .iter()
            .map(|(key, content)| (format!("/site/{key}"), *content));
        self.buckets.objects.lock().unwrap().extend(all);
        self.allow(made.text("ARN"), "\"s3:GetObject\"");
        made.text("Id").to_owned()
    }

    fn allow(&self, arn: &str, actions: &str) {
        let policy = format!(
            r#"{{"Version": "2012-10-17", "Statement": [{{"Effect": "Allow", "Action": {actions},
            "Principal": {{"Service": "cloudfront.amazonaws.com"}}, "Resource": ["arn:aws:s3:::site", "arn:aws:s3:::site/*"],
            "Condition": {{"StringEquals": {{"AWS:SourceArn": "{arn}"}}}}}}]}}"#
        );
        *self.buckets.policy.lock().unwrap() = Some(policy);
    }

    async fn show(&self, host: &str, request: http::Request<&str>) -> Shown {
        let (parts, body) = request.into_parts();
        let address = Address::of(host, parts.uri.path()).unwrap();
        let request = WebRequest {
            address,
            parts,
            body: Ok(Bytes::copy_from_slice(body.as_bytes())),
            signer: None,
        };
        let response = Arc::clone(&self.cloudfront).serve(request).await;
        let (parts, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Shown {
            status: parts.status.as_u16(),
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    async fn view(&self, id: &str, path: &str) -> Shown {
        let host = format!("{}.cloudfront.localhost:4566", id.to_ascii_lowercase());
        self.show(&host, http::Request::get(path).body("").unwrap()).await
    }
}

const TO_INDEX: &str = "<CustomErrorResponses><Quantity>1</Quantity><Items><CustomErrorResponse><ErrorCode>403</ErrorCode>\
    <ResponsePagePath>/index.html</ResponsePagePath><ResponseCode>200</ResponseCode></CustomErrorResponse></Items>\
    </CustomErrorResponses>";

#[tokio::test]
async fn objects_are_shown_with_the_headers_of_the_policy() {
    let world = World::new();
    let id = world
        .site(&[("index.html", "<p>start"), ("a%20b/c.html", "<p>c")], "")
        .await;
    let start = world.view(&id, "/").await;
    assert_eq!((start.status, start.body.as_str()), (200, "<p>start"));
    assert_eq!(start.header("x-content-type-options"), "nosniff");
    assert_eq!(start.header("strict-transport-security"), "max-age=31536000");
    assert_eq!(start.header("x-cache"), "Miss from cloudfront");
    assert_eq!(world.view(&id, "/a%20b/c.html").await.body, "<p>c");
    // The query of the viewer would name other operations of S3.
    let with_query = world.view(&id, "/index.html?acl&versionId=1").await;
    assert_eq!(with_query.status, 200);
    let asked = world.buckets.asked.lock().unwrap();
    assert_eq!(asked.last().unwrap().1, "/site/index.html");
    let names: Vec<String> = world
        .metrics
        .0
        .lock()
        .unwrap()
        .iter()
        .map(|one| one.name.clone())
        .collect();
    assert_eq!(names.iter().filter(|name| *name == "Requests").count(), 3);
}

#[tokio::test]
async fn only_headers_of_conditions_and_ranges_reach_the_bucket() {
    let world = World::new();
    let id = world.site(&[("index.html", "x")], "").await;
    let host = format!("{}.cloudfront.localhost", id.to_ascii_lowercase());
    let request = http::Request::head("/index.html")
        .header("range", "bytes=0-1")
        .header("if-none-match", "\"a\"")
        .header("authorization", "secret")
        .header("x-amz-copy-source", "/other/key")
        .header("origin", "https://a.example");
    assert_eq!(world.show(&host, request.body("").unwrap()).await.status, 200);
    let asked = world.buckets.asked.lock().unwrap();
    let (method, _, headers) = asked.last().unwrap();
    let mut names: Vec<&str> = headers.keys().map(|name| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!((method.as_str(), names), ("HEAD", vec!["if-none-match", "range"]));
}

#[tokio::test]
async fn the_policy_of_the_bucket_decides() {
    let world = World::new();
    let id = world.site(&[("index.html", "x")], "").await;
    let arn = format!("arn:aws:cloudfront::000000000000:distribution/{id}");
    // A missing object is a secret of those who may list.
    let missing = world.view(&id, "/none").await;
    assert_eq!(
        (missing.status, missing.body.contains("AccessDenied")),
        (403, true)
    );
    world.allow(&arn, "[\"s3:GetObject\", \"s3:ListBucket\"]");
    assert_eq!(world.view(&id, "/none").await.status, 404);
    world.allow(&arn.replace(&id, "E0"), "\"s3:GetObject\"");
    let denied = world.view(&id, "/").await;
    assert_eq!(
        (denied.status, denied.header("x-cache")),
        (403, "Error from cloudfront")
    );
    for policy in [None, Some("{".to_owned())] {
        *world.buckets.policy.lock().unwrap() = policy;
        assert_eq!(world.view(&id, "/").await.status, 403);
    }
}

#[tokio::test]
async fn errors_have_the_page_that_is_configured() {
    let world = World::new();
    let id = world.site(&[("index.html", "<p>start")], TO_INDEX).await;
    let deep = world.view(&id, "/orders/7").await;
    assert_eq!((deep.status, deep.body.as_str()), (200, "<p>start"));
    // Without the page, the error itself is answered.
    world.buckets.objects.lock().unwrap().clear();
    assert_eq!(world.view(&id, "/orders/7").await.status, 403);
    // A page with a query names nothing.
    let query = TO_INDEX.replace("/index.html", "/index.html?acl");
    let world = World::new();
    let id = world.site(&[("index.html", "<p>start")], &query).await;
    assert_eq!(world.view(&id, "/orders/7").await.status, 403);
}

#[tokio::test]
async fn other_methods_and_bodies_are_refused() {
    let world = World::new();
    let id = world.site(&[("index.html", "x")], "").await;
    let host = format!("{}.cloudfront.localhost", id.to_ascii_lowercase());
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let request = http::Request::builder()
            .method(method)
            .uri("/index.html")
            .body("");
        assert_eq!(world.show(&host, request.unwrap()).await.status, 403, "{method}");
    }
    let with_body = http::Request::get("/index.html").body("body").unwrap();
    assert_eq!(world.show(&host, with_body).await.status, 403);
    assert_eq!(world.view("E0", "/").await.status, 403);
    assert!(world.buckets.asked.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_disabled_distribution_shows_nothing() {
    let world = World::new();
    let id = world.site(&[("index.html", "x")], "").await;
    let path = format!("distribution/{id}/config");
    let mut read = world.get(&path).await;
    read.node.set(Node::leaf("Enabled", "false"));
    world.ask("PUT", &path, &read.etag, &read.node.to_xml("")).await;
    assert_eq!(world.view(&id, "/").await.status, 403);
}

#[tokio::test]
async fn below_a_path_the_distribution_is_a_directory() {
    let world = World::new();
    let id = world.site(&[("index.html", "<p>start")], "").await;
    let get = async |path: String| {
        let request = http::Request::get(path).body("").unwrap();
        world.show("127.0.0.1:4566", request).await
    };
    let bare = get(format!("/_cloudfront/{id}")).await;
    assert_eq!(
        (bare.status, bare.header("location")),
        (301, format!("/_cloudfront/{id}/").as_str())
    );
    assert_eq!(get(format!("/_cloudfront/{id}/")).await.body, "<p>start");
    assert_eq!(
        get(format!("/_cloudfront/{}/index.html", id.to_ascii_lowercase()))
            .await
            .body,
        "<p>start"
    );
}
