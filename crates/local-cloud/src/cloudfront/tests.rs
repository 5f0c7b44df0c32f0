//! The control plane, and requests to distributions with buckets that this module plays.

mod refused;
mod serving;

use std::collections::BTreeMap;
use std::sync::Mutex;

use bytes::Bytes;
use ground::xml::Node;
use http::HeaderMap;
use http_body_util::BodyExt;

use super::*;
use crate::answer::{answer, whole};
use crate::clock::ManualClock;
use crate::test_support::Metrics;

const DELAY_MS: i64 = 20;

/// Buckets in memory: objects by path, such as `/site/index.html`, and one policy.
#[derive(Default)]
struct Memory {
    policy: Mutex<Option<String>>,
    objects: Mutex<BTreeMap<String, &'static str>>,
    /// Method, path and headers of each request.
    asked: Mutex<Vec<(String, String, HeaderMap)>>,
}

impl Buckets for Memory {
    fn policy(&self, _: &str, _: &str) -> Option<String> {
        self.policy.lock().unwrap().clone()
    }

    fn answer(&self, _: Caller, parts: Parts) -> Response<Body> {
        let path = parts.uri.to_string();
        let found = self.objects.lock().unwrap().get(&path).copied();
        let asked = (parts.method.to_string(), path, parts.headers);
        self.asked.lock().unwrap().push(asked);
        match found {
            Some(content) => answer(200, "text/html", whole(content)),
            None => answer(
                404,
                "application/xml",
                whole("<Error><Code>NoSuchKey</Code></Error>"),
            ),
        }
    }
}

struct World {
    cloudfront: Arc<CloudFront>,
    buckets: Arc<Memory>,
    metrics: Arc<Metrics>,
    clock: Arc<ManualClock>,
    dir: tempfile::TempDir,
}

/// The answer to a request.
struct Seen {
    status: u16,
    etag: String,
    node: Node,
}

impl Seen {
    fn code(&self) -> &str {
        self.node
            .child("Error")
            .and_then(|error| error.text_of("Code"))
            .unwrap_or_default()
    }

    fn text(&self, name: &str) -> &str {
        self.node.text_of(name).unwrap_or_default()
    }
}

impl World {
    fn new() -> Self {
        Self::on(tempfile::tempdir().unwrap())
    }

    fn on(dir: tempfile::TempDir) -> Self {
        let buckets = Arc::new(Memory::default());
        let metrics = Arc::new(Metrics::default());
        let clock = Arc::new(ManualClock::new(1_767_225_600_000));
        let cloudfront = CloudFront::open(
            dir.path(),
            "http://127.0.0.1:4566",
            Duration::from_millis(20),
            Arc::clone(&clock) as Arc<dyn Clock>,
            Arc::clone(&metrics) as Arc<dyn MetricSink>,
            Arc::clone(&buckets) as Arc<dyn Buckets>,
        );
        Self {
            cloudfront: Arc::new(cloudfront.unwrap()),
            buckets,
            metrics,
            clock,
            dir,
        }
    }

    async fn ask(&self, method: &str, path: &str, etag: &str, body: &str) -> Seen {
        self.ask_as(&Caller::default(), method, path, etag, body).await
    }

    async fn ask_as(&self, caller: &Caller, method: &str, path: &str, etag: &str, body: &str) -> Seen {
        let mut request = http::Request::builder()
            .method(method)
            .uri(format!("/2020-05-31/{path}"));
        if !etag.is_empty() {
            request = request.header("if-match", etag);
        }
        let request = Request {
            caller: caller.clone(),
            parts: request.body(()).unwrap().into_parts().0,
            body: Bytes::copy_from_slice(body.as_bytes()),
        };
        let response = Arc::clone(&self.cloudfront).call(request).await;
        let status = response.status().as_u16();
        let etag = response.headers().get("etag");
        let etag = etag.map_or("", |etag| etag.to_str().unwrap()).to_owned();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        Seen {
            status,
            etag,
            node: Node::read(&bytes).unwrap_or_default(),
        }
    }

    async fn get(&self, path: &str) -> Seen {
        self.ask("GET", path, "", "").await
    }

    /// Makes an origin access control. Returns its id.
    async fn access_control(&self, name: &str) -> String {
        let made = self
            .ask("POST", "origin-access-control", "", &access_control(name))
            .await;
        assert_eq!(made.status, 201, "{:?}", made.node);
        made.text("Id").to_owned()
    }

    /// Makes a distribution. Returns the answer.
    async fn distribution(&self, reference: &str, more: &str) -> Seen {
        let access = self.access_control(&format!("access to {reference}")).await;
        let made = self
            .ask("POST", "distribution", "", &config(reference, &access, more))
            .await;
        assert_eq!(made.status, 201, "{:?}", made.node);
        made
    }
}

fn access_control(name: &str) -> String {
    format!(
        "<OriginAccessControlConfig><Name>{name}</Name><Description>d</Description><SigningProtocol>sigv4</SigningProtocol>\
         <SigningBehavior>always</SigningBehavior><OriginAccessControlOriginType>s3</OriginAccessControlOriginType>\
         </OriginAccessControlConfig>"
    )
}

/// A DistributionConfig for the bucket `site`; `more` are further members.
fn config(reference: &str, access: &str, more: &str) -> String {
    format!(
        "<DistributionConfig xmlns=\"{}\"><CallerReference>{reference}</CallerReference><Comment>c</Comment>\
         <Enabled>true</Enabled><DefaultRootObject>index.html</DefaultRootObject><Origins><Quantity>1</Quantity><Items>\
         <Origin><Id>o</Id><DomainName>site.s3.us-east-1.amazonaws.com</DomainName>\
         <OriginAccessControlId>{access}</OriginAccessControlId>\
         <S3OriginConfig><OriginAccessIdentity></OriginAccessIdentity></S3OriginConfig></Origin></Items></Origins>\
         <DefaultCacheBehavior><TargetOriginId>o</TargetOriginId><ViewerProtocolPolicy>redirect-to-https</ViewerProtocolPolicy>\
         <CachePolicyId>658327ea-f89d-4fab-a63d-7e88639e58f6</CachePolicyId>\
         <ResponseHeadersPolicyId>67f7725c-6f97-4210-82d7-5512b31e9d03</ResponseHeadersPolicyId></DefaultCacheBehavior>\
         {more}</DistributionConfig>",
        error::NAMESPACE
    )
}

const TAGS: &str = "<Tags><Items><Tag><Key>a</Key><Value>1</Value></Tag><Tag><Key>b</Key><Value></Value></Tag></Items></Tags>";

#[tokio::test]
async fn a_distribution_is_made_deployed_changed_disabled_and_deleted() {
    let world = World::new();
    let made = world.distribution("one", "").await;
    let id = made.text("Id").to_owned();
    assert!(id.starts_with('E') && id.len() == 14, "{id}");
    assert_eq!(
        made.text("ARN"),
        format!("arn:aws:cloudfront::000000000000:distribution/{id}")
    );
    assert_eq!(made.text("Status"), "InProgress");
    assert_eq!(
        made.text("DomainName"),
        format!("{}.cloudfront.localhost:4566", id.to_ascii_lowercase())
    );
    let path = format!("distribution/{id}");
    world.clock.advance(DELAY_MS);
    let there = world.get(&path).await;
    assert_eq!((there.text("Status"), &there.etag), ("Deployed", &made.etag));
    let shown = there.node.child("DistributionConfig").unwrap();
    // What the request does not say has AWS's default.
    assert_eq!(shown.text_of("PriceClass"), Some("PriceClass_All"));
    assert_eq!(shown.child("Aliases").unwrap().text_of("Quantity"), Some("0"));

    // Written back as it was read, it is accepted.
    let read = world.get(&format!("{path}/config")).await;
    let config_path = format!("{path}/config");
    let same = world
        .ask("PUT", &config_path, &read.etag, &read.node.to_xml(""))
        .await;
    assert_eq!(same.status, 200, "{:?}", same.node);
    assert_ne!(same.etag, read.etag);
    assert_eq!(same.node.child("DistributionConfig"), Some(shown));
    assert_eq!(same.text("Status"), "InProgress");

    let mut disabled = read.node.clone();
    disabled.set(Node::leaf("Enabled", "false"));
    let disabled = disabled.to_xml("");
    let refused = |seen: &Seen| (seen.status, seen.code().to_owned());
    let late = world.ask("PUT", &config_path, &read.etag, &disabled).await;
    assert_eq!(refused(&late), (412, "PreconditionFailed".to_owned()));
    let bare = world.ask("PUT", &config_path, "", &disabled).await;
    assert_eq!(refused(&bare), (400, "InvalidIfMatchVersion".to_owned()));
    let enabled = world.ask("DELETE", &path, &same.etag, "").await;
    assert_eq!(refused(&enabled), (409, "DistributionNotDisabled".to_owned()));
    let off = world.ask("PUT", &config_path, &same.etag, &disabled).await;
    let early = world.ask("DELETE", &path, &off.etag, "").await;
    assert_eq!(refused(&early), (409, "DistributionNotDisabled".to_owned()));
    world.clock.advance(DELAY_MS);
    assert_eq!(world.ask("DELETE", &path, &off.etag, "").await.status, 204);
    assert_eq!(
        refused(&world.get(&path).await),
        (404, "NoSuchDistribution".to_owned())
    );
    assert_eq!(world.get("distribution").await.text("Quantity"), "0");
}

#[tokio::test]
async fn a_caller_reference_makes_one_distribution() {
    let world = World::new();
    let made = world.distribution("one", "").await;
    let access = world.access_control("other").await;
    let again = world
        .ask("POST", "distribution", "", &config("one", &access, ""))
        .await;
    assert_eq!((again.status, again.code()), (409, "DistributionAlreadyExists"));
    assert!(again.node.to_xml("").contains(made.text("Id")));
    // It cannot be changed.
    let path = format!("distribution/{}/config", made.text("Id"));
    let changed = world
        .ask("PUT", &path, &made.etag, &config("two", &access, ""))
        .await;
    assert_eq!((changed.status, changed.code()), (400, "IllegalUpdate"));
}

#[tokio::test]
async fn origin_access_controls_have_names_of_their_own_and_users() {
    let world = World::new();
    let made = world.distribution("one", "").await;
    let list = world.get("origin-access-control").await;
    let summary = list
        .node
        .child("Items")
        .unwrap()
        .child("OriginAccessControlSummary")
        .unwrap();
    assert_eq!(summary.text_of("Name"), Some("access to one"));
    let id = summary.text_of("Id").unwrap().to_owned();
    let again = world
        .ask(
            "POST",
            "origin-access-control",
            "",
            &access_control("access to one"),
        )
        .await;
    assert_eq!(
        (again.status, again.code()),
        (409, "OriginAccessControlAlreadyExists")
    );
    let path = format!("origin-access-control/{id}");
    let etag = world.get(&path).await.etag;
    let changed = world
        .ask(
            "PUT",
            &format!("{path}/config"),
            &etag,
            &access_control("renamed"),
        )
        .await;
    assert_eq!(changed.status, 200);
    let read = world.get(&format!("{path}/config")).await;
    assert_eq!((read.text("Name"), &read.etag), ("renamed", &changed.etag));
    let late = world.ask("DELETE", &path, &etag, "").await;
    assert_eq!((late.status, late.code()), (412, "PreconditionFailed"));
    let used = world.ask("DELETE", &path, &changed.etag, "").await;
    assert_eq!((used.status, used.code()), (409, "OriginAccessControlInUse"));
    let free = world.access_control("free").await;
    let free = format!("origin-access-control/{free}");
    let etag = world.get(&free).await.etag;
    assert_eq!(world.ask("DELETE", &free, &etag, "").await.status, 204);
    assert_eq!(world.get(&free).await.code(), "NoSuchOriginAccessControl");
    let never = access_control("x").replace("always", "never");
    assert_eq!(
        world
            .ask("POST", "origin-access-control", "", &never)
            .await
            .status,
        400
    );
    // Another account sees none of them.
    let other = Caller {
        account: "111111111111".to_owned(),
        ..Caller::default()
    };
    let theirs = world.ask_as(&other, "GET", "origin-access-control", "", "").await;
    assert_eq!(theirs.text("Quantity"), "0");
    let path = format!("distribution/{}", made.text("Id"));
    let theirs = world.ask_as(&other, "GET", &path, "", "").await;
    assert_eq!(theirs.code(), "NoSuchDistribution");
}

#[tokio::test]
async fn invalidations_are_complete_at_once() {
    let world = World::new();
    let made = world.distribution("one", "").await;
    let path = format!("distribution/{}/invalidation", made.text("Id"));
    let batch = |reference: &str, path: &str| {
        format!(
            "<InvalidationBatch><Paths><Quantity>1</Quantity><Items><Path>{path}</Path></Items></Paths>\
             <CallerReference>{reference}</CallerReference></InvalidationBatch>"
        )
    };
    let first = world.ask("POST", &path, "", &batch("r", "/*")).await;
    assert_eq!((first.status, first.text("Status")), (201, "Completed"));
    let again = world.ask("POST", &path, "", &batch("r", "/*")).await;
    assert_eq!(again.text("Id"), first.text("Id"));
    for (reference, wrong) in [("r", "/other"), ("s", "no-slash"), ("s", "/a*b"), ("s", "/ä")] {
        let refused = world.ask("POST", &path, "", &batch(reference, wrong)).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "InvalidArgument"),
            "{wrong}"
        );
    }
    let one = world.get(&format!("{path}/{}", first.text("Id"))).await;
    assert_eq!(one.text("Status"), "Completed");
    assert_eq!(
        world.get(&format!("{path}/I0")).await.code(),
        "NoSuchInvalidation"
    );
    assert_eq!(world.get(&path).await.text("Quantity"), "1");
    // Only the newest are remembered.
    for at in 0..150 {
        let seen = world.ask("POST", &path, "", &batch(&at.to_string(), "/*")).await;
        assert_eq!(seen.status, 201);
    }
    let page = world.get(&path).await;
    assert_eq!(
        (page.text("Quantity"), page.text("IsTruncated")),
        ("100", "false")
    );
}

#[tokio::test]
async fn tags_are_kept_and_listed() {
    let world = World::new();
    let access = world.access_control("a").await;
    let body = format!(
        "<DistributionConfigWithTags>{}{TAGS}</DistributionConfigWithTags>",
        config("one", &access, "")
    );
    let made = world.ask("POST", "distribution?WithTags", "", &body).await;
    assert_eq!(made.status, 201, "{:?}", made.node);
    let resource = format!("Resource={}", crate::query::percent_encode(made.text("ARN")));
    let tags = async || {
        let listed = world.get(&format!("tagging?{resource}")).await.node;
        let items = listed.child("Items").unwrap();
        let tags: Vec<String> = items
            .all("Tag")
            .map(|tag| {
                format!(
                    "{}={}",
                    tag.text_of("Key").unwrap(),
                    tag.text_of("Value").unwrap()
                )
            })
            .collect();
        tags.join(" ")
    };
    assert_eq!(tags().await, "a=1 b=");
    let tag = "<Tags><Items><Tag><Key>b</Key><Value>2</Value></Tag></Items></Tags>";
    let seen = world
        .ask("POST", &format!("tagging?Operation=Tag&{resource}"), "", tag)
        .await;
    assert_eq!(seen.status, 204);
    let untag = "<TagKeys><Items><Key>a</Key></Items></TagKeys>";
    let seen = world
        .ask("POST", &format!("tagging?Operation=Untag&{resource}"), "", untag)
        .await;
    assert_eq!(seen.status, 204);
    assert_eq!(tags().await, "b=2");
    let tagged = world.cloudfront.tagged(&Caller::default());
    assert_eq!(
        tagged[made.text("ARN")],
        Tags::from([("b".to_owned(), "2".to_owned())])
    );
    let elsewhere = Caller {
        region: "eu-west-1".to_owned(),
        ..Caller::default()
    };
    assert!(world.cloudfront.tagged(&elsewhere).is_empty());
    let aws = tag.replace(">b<", ">aws:b<");
    let seen = world
        .ask("POST", &format!("tagging?Operation=Tag&{resource}"), "", &aws)
        .await;
    assert_eq!((seen.status, seen.code()), (400, "InvalidTagging"));
    let missing = resource.replace(made.text("Id"), "E0");
    let seen = world.get(&format!("tagging?{missing}")).await;
    assert_eq!((seen.status, seen.code()), (404, "NoSuchResource"));
}

#[tokio::test]
async fn listings_have_pages() {
    let world = World::new();
    for at in 0..5 {
        world.distribution(&at.to_string(), "").await;
    }
    let mut seen = Vec::new();
    let mut marker = String::new();
    loop {
        let page = world
            .get(&format!("distribution?MaxItems=2&Marker={marker}"))
            .await;
        let items = page.node.child("Items").unwrap();
        seen.extend(
            items
                .all("DistributionSummary")
                .map(|one| one.text_of("Id").unwrap().to_owned()),
        );
        marker = page.text("NextMarker").to_owned();
        assert_eq!(page.text("IsTruncated") == "true", !marker.is_empty());
        if marker.is_empty() {
            break;
        }
    }
    assert_eq!(seen.len(), 5);
    assert!(seen.is_sorted());
    assert_eq!(
        world.get("distribution?MaxItems=0").await.code(),
        "InvalidArgument"
    );
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_damage_stays_with_its_distribution() {
    let world = World::new();
    let (one, two) = (
        world.distribution("one", "").await,
        world.distribution("two", "").await,
    );
    let (one, two) = (one.text("Id").to_owned(), two.text("Id").to_owned());
    let before = world.get(&format!("distribution/{one}")).await;
    let dir = world.dir.path().join("distributions");
    for name in [format!("{two}.json"), format!("{two}.json.copy")] {
        if dir.join(&name).exists() {
            std::fs::write(dir.join(name), "damaged").unwrap();
        }
    }
    let world = World::on(world.dir);
    let after = world.get(&format!("distribution/{one}")).await;
    assert_eq!((after.node, after.etag), (before.node, before.etag));
    assert_eq!(world.get("origin-access-control").await.text("Quantity"), "2");
    let damaged = world.get(&format!("distribution/{two}")).await;
    assert_eq!((damaged.status, damaged.code()), (500, "InternalError"));
    assert_eq!(world.cloudfront.damage().len(), 1);
}

#[test]
fn requests_need_the_permissions_that_aws_documents() {
    let world = World::new();
    for (method, path, expected) in [
        (
            "POST",
            "distribution",
            "CreateDistribution arn:aws:cloudfront::000000000000:distribution/*",
        ),
        (
            "POST",
            "distribution?WithTags",
            "CreateDistribution arn:aws:cloudfront::000000000000:distribution/*, \
             TagResource arn:aws:cloudfront::000000000000:distribution/*",
        ),
        (
            "PUT",
            "distribution/E1/config",
            "UpdateDistribution arn:aws:cloudfront::000000000000:distribution/E1",
        ),
        ("GET", "distribution", "ListDistributions *"),
        (
            "DELETE",
            "origin-access-control/E2",
            "DeleteOriginAccessControl arn:aws:cloudfront::000000000000:origin-access-control/E2",
        ),
        ("GET", "tagging?Resource=arn%3Ax", "ListTagsForResource arn:x"),
        ("GET", "functions", ""),
    ] {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("/2020-05-31/{path}"));
        let request = Request {
            caller: Caller::default(),
            parts: request.body(()).unwrap().into_parts().0,
            body: Bytes::new(),
        };
        let needed = world.cloudfront.permissions(&request);
        let needed: Vec<String> = needed
            .iter()
            .map(|one| format!("{} {}", one.action.replace("cloudfront:", ""), one.resource))
            .collect();
        assert_eq!(needed.join(", "), expected, "{method} {path}");
    }
}
