//! The front door, asked in process.

mod connections;

use std::borrow::Cow;
use std::sync::Mutex;

use futures_util::{StreamExt, stream};
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::answer::whole;
use crate::authorise::Principal;
use crate::awsim::{Awsim, Iam, Stored, Sts};
use crate::clock::{CloudClock, ManualClock};
use crate::cloudwatch::CloudWatch;
use crate::service::Permission;
use daemon::protocol::{self, HEALTH_PATH, Health, PROOF_HEADER, PROOF_QUERY, STOP_PATH};
use daemon::secret::Secret;
use futures_util::future::BoxFuture;

const KINESIS: &str = "Kinesis_20131202";
const MAX_KINESIS_BODY: usize = 16 << 20;
const LARGE: usize = 16 << 20;

/// Keeps its requests, and answers with the operation.
#[derive(Default)]
struct Recorder(Mutex<Vec<service::Request>>);

impl Service for Recorder {
    fn call(self: Arc<Self>, request: service::Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            let operation = request.target().map_or("", |(_, operation)| operation).to_owned();
            assert_ne!(operation, "Panic", "as asked");
            self.0.lock().unwrap().push(request);
            if operation == "Large" {
                return Response::new(whole(vec![0; LARGE]));
            }
            Response::new(whole(operation))
        }
        .boxed()
    }

    fn permissions(&self, request: &service::Request) -> Vec<Permission> {
        Permission::of_operation("kinesis", request, |_, _| None)
    }

    fn max_body(&self) -> usize {
        MAX_KINESIS_BODY
    }

    fn max_response(&self, request: &service::Request) -> usize {
        match request.target() {
            Some((_, "Large")) => LARGE,
            _ => 0,
        }
    }
}

/// The access key of a function, which may do nothing.
const FUNCTION_KEY: &str = "FN00";

/// Policies of one function, which allow nothing.
struct OneFunction;

impl Policies for OneFunction {
    fn account<'a>(&self, _: &'a str) -> Option<Cow<'a, str>> {
        None
    }

    fn secret_key(&self, _: &str) -> String {
        Secret::for_tests().as_str().to_owned()
    }

    fn principal(&self, access_key: &str) -> Option<Principal> {
        (access_key == FUNCTION_KEY).then(|| Principal {
            arn: "arn:aws:iam::000000000000:role/r".to_owned(),
            session: Some("f".to_owned()),
        })
    }

    fn decide(&self, _: &str, _: &Permission) -> Decision {
        Decision::ImplicitDeny
    }
}

/// Keeps the requests to endpoints: id, path, length or error of the body, and access key.
#[derive(Default)]
struct Endpoint(Mutex<Vec<String>>);

impl Web for Endpoint {
    fn serve(self: Arc<Self>, request: WebRequest) -> BoxFuture<'static, Response<Body>> {
        let WebRequest {
            address,
            body,
            signer,
            ..
        } = request;
        let body = body.map(|bytes| bytes.len());
        let key = signer.map(|signer| signer.access_key);
        let seen = format!("{} {} {body:?} {key:?}", address.id, address.path);
        self.0.lock().unwrap().push(seen);
        std::future::ready(Response::new(whole("served"))).boxed()
    }
}

struct Fixture {
    _dir: tempfile::TempDir,
    recorder: Arc<Recorder>,
    endpoint: Arc<Endpoint>,
    front: Arc<Front>,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::default());
    let clock = Arc::new(ManualClock::new(0));
    let cloudwatch = CloudWatch::open(&dir.path().join("cloudwatch"), clock).unwrap();
    let iam = Stored::new(dir.path(), Iam::default);
    let sts = Stored::new(dir.path(), || Sts::new(Arc::default(), Arc::new(OneFunction)));
    let endpoint = Arc::new(Endpoint::default());
    let backends = Backends {
        services: Arc::new(Services::new(vec![
            Entry::new("Kinesis", "kinesis", KINESIS, Arc::clone(&recorder)),
            Entry::new(
                "CloudWatch",
                "monitoring",
                "GraniteServiceVersion20100801",
                cloudwatch,
            ),
            Entry::new("IAM", "iam", "", Arc::new(Awsim::new(iam))),
            Entry::new("STS", "sts", "", Arc::new(Awsim::new(sts))),
        ])),
        policies: Arc::new(OneFunction),
        web: Arc::clone(&endpoint) as Arc<dyn Web>,
        stream_count: Box::new(|| 3),
        clock: Arc::new(CloudClock::open(dir.path(), None, false).unwrap()),
    };
    let identity = Identity {
        home: "/home".to_owned(),
        port: 4566,
        started_ms: 0,
        secret: Secret::for_tests(),
    };
    Fixture {
        front: Front::new(backends, identity),
        recorder,
        endpoint,
        _dir: dir,
    }
}

fn authorization(service: &str) -> String {
    format!("AWS4-HMAC-SHA256 Credential=local/20260101/eu-west-1/{service}/aws4_request, Signature=0")
}

fn to_kinesis(operation: &str) -> http::request::Builder {
    Request::post("/")
        .header("host", "127.0.0.1:4566")
        .header("authorization", authorization("kinesis"))
        .header("x-amz-target", format!("{KINESIS}.{operation}"))
        .header("content-type", "application/x-amz-json-1.1")
}

async fn ask(front: &Front, request: Request<impl Into<Bytes>>) -> (StatusCode, String) {
    ask_as(front, request, Peer::Owner).await
}

async fn ask_as(front: &Front, request: Request<impl Into<Bytes>>, peer: Peer) -> (StatusCode, String) {
    let request = request.map(|body| Full::new(body.into()));
    let response = front.answer(request, peer).await;
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn kinesis_requests_reach_the_engine_as_they_came() {
    let fixture = fixture();
    let (status, body) = ask(&fixture.front, to_kinesis("ListStreams").body("{}").unwrap()).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "ListStreams"));
    let asked = fixture.recorder.0.lock().unwrap();
    let request = &asked[0];
    assert_eq!(request.caller.region, "eu-west-1");
    assert_eq!(request.caller.account, "000000000000");
    assert_eq!(request.header("content-type"), "application/x-amz-json-1.1");
    assert_eq!(request.body, "{}");
}

#[tokio::test(start_paused = true)]
async fn the_parameters_of_a_function_are_parsed_within_the_memory_of_requests() {
    let fixture = fixture();
    let request = |body: &str| {
        let key = authorization("kinesis").replace("Credential=local", &format!("Credential={FUNCTION_KEY}"));
        let mut request = to_kinesis("PutRecords").body(body.to_owned()).unwrap();
        request
            .headers_mut()
            .insert("authorization", key.parse().unwrap());
        request
    };
    let ordinary = format!("{{\"Data\":\"{}\"}}", "x".repeat(1 << 20));
    let (status, body) = ask(&fixture.front, request(&ordinary)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(
        body.contains("is not authorized to perform: kinesis:PutRecords"),
        "{body}"
    );
    // A million values in two megabytes, while half of the memory is in use.
    let many = format!("{{\"Records\":[{}0]}}", "0,".repeat(1 << 20));
    let used = Arc::clone(&fixture.front.requests)
        .take(MAX_REQUESTS / 2)
        .await
        .unwrap();
    let (status, _) = ask(&fixture.front, request(&many)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    drop(used);
    assert_eq!(fixture.front.requests.free(), MAX_REQUESTS);
    assert!(fixture.recorder.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn pages_and_unsigned_requests_reach_endpoints_only() {
    let fixture = fixture();
    let to = |host: &str, path: &str| {
        Request::post(path)
            .header("host", host)
            .header("origin", "https://page.example")
            .header("sec-fetch-site", "cross-site")
    };
    let in_host = "abc1.lambda-url.eu-west-1.localhost:4566";
    let (status, body) = ask(&fixture.front, to(in_host, "/a").body("b").unwrap()).await;
    assert_eq!((status, body.as_str()), (StatusCode::OK, "served"));
    let (status, _) = ask(
        &fixture.front,
        to("localhost", "/_lambda-url/abc1").body("").unwrap(),
    )
    .await;
    assert_eq!(status, StatusCode::OK);
    // A signature that a page cannot make does not count, one of the user's own programs does.
    let signed = |request: http::request::Builder| {
        let request = request.header("authorization", authorization("lambda"));
        request.body("").unwrap()
    };
    ask(&fixture.front, signed(to(in_host, "/page"))).await;
    ask(
        &fixture.front,
        signed(Request::post("/program").header("host", in_host)),
    )
    .await;
    let large = vec![0; crate::web::MAX_BODY + 1];
    ask(&fixture.front, to(in_host, "/large").body(large).unwrap()).await;
    let (status, _) = ask_as(
        &fixture.front,
        to(in_host, "/other").body("").unwrap(),
        Peer::Other(7),
    )
    .await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert_eq!(
        *fixture.endpoint.0.lock().unwrap(),
        [
            "abc1 /a Ok(1) None",
            "abc1 / Ok(0) None",
            "abc1 /page Ok(0) None",
            "abc1 /program Ok(0) Some(\"local\")",
            "abc1 /large Err(413) None",
        ]
    );
    let (status, _) = ask(&fixture.front, to("127.0.0.1", "/").body("").unwrap()).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(fixture.recorder.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_smithy_rpc_path_names_the_operation_too() {
    let fixture = fixture();
    let request = Request::post("/service/Kinesis_20131202/operation/ListShards")
        .header("host", "localhost")
        .header("authorization", authorization("kinesis"))
        .header("smithy-protocol", "rpc-v2-cbor")
        .body(vec![0xa0])
        .unwrap();
    let (_, body) = ask(&fixture.front, request).await;
    assert_eq!(body, "ListShards");
}

#[tokio::test]
async fn unsigned_requests_are_refused_in_the_protocol_of_the_request() {
    let fixture = fixture();
    let unsigned = |content_type: &str| {
        Request::post("/")
            .header("host", "127.0.0.1")
            .header("x-amz-target", "Kinesis_20131202.ListStreams")
            .header("content-type", content_type)
    };
    let request = unsigned("application/x-amz-json-1.1").body("{}").unwrap();
    let (status, body) = ask(&fixture.front, request).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    insta::assert_snapshot!(body, @r#"{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}"#);

    let request = unsigned("application/x-amz-cbor-1.1").body(vec![0xa0]).unwrap();
    let response = fixture
        .front
        .answer(request.map(|body| Full::new(Bytes::from(body))), Peer::Owner)
        .await;
    assert_eq!(response.headers()["content-type"], "application/x-amz-cbor-1.1");
    let body = response.into_body().collect().await.unwrap().to_bytes();
    let error: std::collections::BTreeMap<String, String> = ciborium::from_reader(body.as_ref()).unwrap();
    assert_eq!(error["__type"], "MissingAuthenticationTokenException");

    let request = Request::post("/")
        .header("host", "127.0.0.1")
        .header("content-type", "application/x-www-form-urlencoded")
        .body("Action=GetCallerIdentity&Version=2011-06-15")
        .unwrap();
    let (status, body) = ask(&fixture.front, request).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("<Code>MissingAuthenticationToken</Code>"), "{body}");
    assert!(fixture.recorder.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_foreign_host_is_refused_before_all_else() {
    let fixture = fixture();
    for path in ["/", HEALTH_PATH] {
        let request = Request::get(path)
            .header("host", "evil.example:4566")
            .body("")
            .unwrap();
        assert_eq!(ask(&fixture.front, request).await.0, StatusCode::FORBIDDEN);
    }
    let request = Request::get(HEALTH_PATH).body("").unwrap();
    assert_eq!(
        ask(&fixture.front, request).await.0,
        StatusCode::FORBIDDEN,
        "no host at all"
    );
}

#[tokio::test]
async fn too_large_a_body_is_refused() {
    let fixture = fixture();
    let body = vec![b' '; MAX_KINESIS_BODY + 1];
    let (status, text) = ask(&fixture.front, to_kinesis("PutRecords").body(body).unwrap()).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(text.contains("16 MiB"), "{text}");
    let body = vec![b' '; MAX_KINESIS_BODY];
    assert_eq!(
        ask(&fixture.front, to_kinesis("PutRecords").body(body).unwrap())
            .await
            .0,
        StatusCode::OK
    );

    let announced = to_kinesis("PutRecords")
        .header("content-length", "99999999999")
        .body("")
        .unwrap();
    assert_eq!(
        ask(&fixture.front, announced).await.0,
        StatusCode::PAYLOAD_TOO_LARGE
    );
}

#[tokio::test]
async fn a_fault_in_a_service_is_an_answer() {
    let fixture = fixture();
    let (status, body) = ask(&fixture.front, to_kinesis("Panic").body("{}").unwrap()).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(body.contains("InternalFailure"), "{body}");
    assert_eq!(
        ask(&fixture.front, to_kinesis("ListStreams").body("{}").unwrap())
            .await
            .0,
        StatusCode::OK
    );
}

#[tokio::test]
async fn what_is_not_offered_is_named() {
    let fixture = fixture();
    let request = Request::get("/restapis")
        .header("host", "127.0.0.1")
        .header("authorization", authorization("apigateway"))
        .body("")
        .unwrap();
    let (status, body) = ask(&fixture.front, request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(body.contains("does not offer the service apigateway"), "{body}");
}

#[tokio::test]
async fn hostile_forms_do_not_reach_the_parser() {
    let fixture = fixture();
    for body in [
        "Action=TagPolicy&Tags.member.0.Key=a",
        "Action=TagPolicy&Tags.member.4000000000.Key=a",
    ] {
        let request = Request::post("/")
            .header("host", "127.0.0.1")
            .header("authorization", authorization("iam"))
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .body(body)
            .unwrap();
        let (status, body) = ask(&fixture.front, request).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(body.contains("MalformedQueryString"), "{body}");
    }
}

#[tokio::test]
async fn health_tells_and_counts() {
    let fixture = fixture();
    ask(&fixture.front, to_kinesis("ListStreams").body("{}").unwrap()).await;
    let request = Request::get(HEALTH_PATH)
        .header("host", "127.0.0.1")
        .body("")
        .unwrap();
    let (status, body) = ask(&fixture.front, request).await;
    assert_eq!(status, StatusCode::OK);
    let health: Health = serde_json::from_str(&body).unwrap();
    assert_eq!((health.requests, health.streams), (1, 3));
    assert_eq!(health.pid, std::process::id());
    assert_eq!(health.home, "/home");
    // For the proof alone, which every connection of a command asks for, nothing is looked at.
    let request = Request::get(format!("{HEALTH_PATH}?{PROOF_QUERY}"))
        .header("host", "127.0.0.1")
        .body("")
        .unwrap();
    let (_, body) = ask(&fixture.front, request).await;
    let brief: Health = serde_json::from_str(&body).unwrap();
    assert_eq!((brief.streams, brief.resident_bytes), (0, None));
    assert_eq!((brief.pid, brief.port), (health.pid, health.port));
}

#[tokio::test]
async fn only_who_knows_the_secret_may_stop() {
    let fixture = fixture();
    let listener = bind(0).await.unwrap();
    let front = Arc::clone(&fixture.front);
    let serving = tokio::spawn(async move { front.serve(listener).await });
    let stop = |proof: &str| {
        Request::post(STOP_PATH)
            .header("host", "127.0.0.1")
            .header(PROOF_HEADER, proof)
            .body("")
            .unwrap()
    };
    let of_another_start = protocol::prove_stop(&Secret::for_tests(), std::process::id(), 1);
    for proof in ["", "guess", &of_another_start] {
        assert_eq!(
            ask(&fixture.front, stop(proof)).await.0,
            StatusCode::FORBIDDEN,
            "{proof}"
        );
    }
    assert!(!serving.is_finished());
    let proof = protocol::prove_stop(&Secret::for_tests(), std::process::id(), 0);
    let (status, _) = ask_as(&fixture.front, stop(&proof), Peer::Other(7)).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "another user");
    assert_eq!(ask(&fixture.front, stop(&proof)).await.0, StatusCode::ACCEPTED);
    tokio::time::timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();
}

/// A request that an SDK of another user signed with `secret_key`.
fn signed(secret_key: &str, operation: &str, body: &str) -> Request<Bytes> {
    let date = crate::clock::utc(SystemClock.now_ms(), "%Y%m%dT%H%M%SZ");
    let (day, target) = (&date[..8], format!("{KINESIS}.{operation}"));
    let canonical = format!(
        "POST\n/\n\nhost:127.0.0.1:4566\nx-amz-date:{date}\nx-amz-target:{target}\n\nhost;x-amz-date;x-amz-target\n{}",
        sha256(body.as_bytes())
    );
    let scope = format!("{day}/us-east-1/kinesis/aws4_request");
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let key = scope
        .split('/')
        .fold(format!("AWS4{secret_key}").into_bytes(), |key, part| {
            daemon::secret::hmac_sha256(&key, part.as_bytes()).to_vec()
        });
    let code = hex::encode(daemon::secret::hmac_sha256(&key, text.as_bytes()));
    let authorization = format!(
        "AWS4-HMAC-SHA256 Credential=local/{scope}, SignedHeaders=host;x-amz-date;x-amz-target, Signature={code}"
    );
    Request::post("/")
        .header("host", "127.0.0.1:4566")
        .header("x-amz-date", date)
        .header("x-amz-target", target)
        .header("authorization", authorization)
        .body(Bytes::from(body.to_owned()))
        .unwrap()
}

fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(bytes))
}

#[tokio::test]
async fn others_need_the_secret_of_the_home() {
    let fixture = fixture();
    let front = &fixture.front;
    let secret = Secret::for_tests();
    for peer in [Peer::Other(65534), Peer::Unknown] {
        let any_key = to_kinesis("PutRecord").body("{}").unwrap();
        let (status, body) = ask_as(front, any_key, peer).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{peer:?}");
        assert!(
            body.contains("InvalidSignatureException") && body.contains("local env"),
            "{body}"
        );
        let unsigned = Request::post("/")
            .header("host", "127.0.0.1")
            .header("content-type", "application/x-www-form-urlencoded")
            .body("Action=AssumeRoleWithWebIdentity&Version=2011-06-15")
            .unwrap();
        assert_eq!(ask_as(front, unsigned, peer).await.0, StatusCode::FORBIDDEN);
        let wrong = signed("guess", "PutRecord", "{}");
        assert_eq!(ask_as(front, wrong, peer).await.0, StatusCode::FORBIDDEN);
        let mut altered = signed(secret.as_str(), "PutRecord", "{}");
        *altered.body_mut() = Bytes::from_static(b"[]");
        assert_eq!(ask_as(front, altered, peer).await.0, StatusCode::FORBIDDEN);
        assert!(fixture.recorder.0.lock().unwrap().is_empty());

        let right = signed(secret.as_str(), "PutRecord", "{}");
        assert_eq!(ask_as(front, right, peer).await.0, StatusCode::OK, "{peer:?}");
        fixture.recorder.0.lock().unwrap().clear();
    }
    let health = || {
        Request::get(HEALTH_PATH)
            .header("host", "127.0.0.1")
            .body("")
            .unwrap()
    };
    assert_eq!(
        ask_as(front, health(), Peer::Other(7)).await.0,
        StatusCode::FORBIDDEN
    );
    assert_eq!(ask_as(front, health(), Peer::Unknown).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_link_needs_the_secret_also_from_the_user() {
    let fixture = fixture();
    let link = "/?Action=DeleteRole&RoleName=a&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260101T000000Z\
        &X-Amz-Credential=local%2F20260101%2Fus-east-1%2Fiam%2Faws4_request&X-Amz-SignedHeaders=host&X-Amz-Signature=00";
    let request = Request::get(link).header("host", "127.0.0.1").body("").unwrap();
    let (status, body) = ask(&fixture.front, request).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(body.contains("InvalidSignatureException"), "{body}");
}

#[tokio::test]
async fn web_pages_are_refused_before_all_else() {
    let fixture = fixture();
    for (name, value) in [
        ("origin", "http://localhost:3000"),
        ("origin", "null"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        let request = to_kinesis("PutRecord").header(name, value).body("{}").unwrap();
        let (status, body) = ask(&fixture.front, request).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{name}: {value}");
        assert!(body.contains("does not answer web pages"), "{body}");
    }
    assert!(fixture.recorder.0.lock().unwrap().is_empty());
}
