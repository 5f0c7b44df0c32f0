//! The front door, asked in process and over a socket.

use std::sync::Mutex;

use http::StatusCode;
use http_body_util::Full;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::answer::whole;
use crate::authorise::Function;
use crate::awsim::{Awsim, Iam, Stored};
use crate::clock::ManualClock;
use crate::cloudwatch::CloudWatch;
use crate::service::Permission;
use awsim_sts::StsService;
use daemon::protocol::{HEALTH_PATH, Health, STOP_PATH, TOKEN_HEADER};
use futures_util::future::BoxFuture;

const KINESIS: &str = "Kinesis_20131202";
const MAX_KINESIS_BODY: usize = 16 << 20;

/// Keeps its requests, and answers with the operation.
#[derive(Default)]
struct Recorder(Mutex<Vec<service::Request>>);

impl Service for Recorder {
    fn call(self: Arc<Self>, request: service::Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            let operation = request.target().map_or("", |(_, operation)| operation).to_owned();
            assert_ne!(operation, "Panic", "as asked");
            self.0.lock().unwrap().push(request);
            Response::new(whole(operation))
        }
        .boxed()
    }

    fn permissions(&self, _: &service::Request) -> Vec<Permission> {
        Vec::new()
    }

    fn max_body(&self) -> usize {
        MAX_KINESIS_BODY
    }
}

/// No functions.
struct NoPolicies;

impl Policies for NoPolicies {
    fn account<'a>(&self, _: &'a str) -> Option<&'a str> {
        None
    }

    fn function(&self, _: &str) -> Option<Function> {
        None
    }

    fn decide(&self, _: &str, _: &Permission) -> Decision {
        Decision::Allow
    }
}

struct Fixture {
    _dir: tempfile::TempDir,
    recorder: Arc<Recorder>,
    front: Arc<Front>,
}

fn fixture() -> Fixture {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::default());
    let clock = Arc::new(ManualClock::new(0));
    let cloudwatch = CloudWatch::open(&dir.path().join("cloudwatch"), clock).unwrap();
    let iam = Stored::new(dir.path(), Iam::default);
    let sts = Stored::new(dir.path(), StsService::new);
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
        policies: Arc::new(NoPolicies),
        stream_count: Box::new(|| 3),
    };
    let identity = Identity {
        home: "/home".to_owned(),
        started_ms: 0,
        token: "secret".to_owned(),
    };
    Fixture {
        front: Front::new(backends, identity),
        recorder,
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
    let response = front.answer(request.map(|body| Full::new(body.into()))).await;
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
        .answer(request.map(|body| Full::new(Bytes::from(body))))
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
}

#[tokio::test]
async fn only_who_knows_the_token_may_stop() {
    let fixture = fixture();
    let listener = bind(0).await.unwrap();
    let front = Arc::clone(&fixture.front);
    let serving = tokio::spawn(async move { front.serve(listener).await });
    let stop = |token: &str| {
        Request::post(STOP_PATH)
            .header("host", "127.0.0.1")
            .header(TOKEN_HEADER, token)
            .body("")
            .unwrap()
    };
    assert_eq!(ask(&fixture.front, stop("guess")).await.0, StatusCode::FORBIDDEN);
    assert!(!serving.is_finished());
    assert_eq!(ask(&fixture.front, stop("secret")).await.0, StatusCode::ACCEPTED);
    tokio::time::timeout(Duration::from_secs(5), serving)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn one_connection_carries_many_requests_also_pipelined() {
    let fixture = fixture();
    let listener = bind(0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let front = Arc::clone(&fixture.front);
    tokio::spawn(async move { front.serve(listener).await });
    let one = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: Kinesis_20131202.ListStreams\r\nAuthorization: {}\r\n\
         Content-Length: 2\r\n\r\n{{}}",
        authorization("kinesis")
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(one.repeat(3).as_bytes()).await.unwrap();
    let mut text = String::new();
    while text.matches("ListStreams").count() < 3 {
        let mut buffer = [0; 4096];
        let read = stream.read(&mut buffer).await.unwrap();
        assert!(read > 0, "closed after {text}");
        text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    assert_eq!(text.matches("HTTP/1.1 200 OK").count(), 3);
    fixture.front.stop();
}

#[tokio::test]
async fn a_port_in_use_is_not_shared() {
    let listener = bind(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(bind(port).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
    let everywhere = TcpListener::bind(("0.0.0.0", 0)).await.unwrap();
    let port = everywhere.local_addr().unwrap().port();
    assert_eq!(bind(port).await.unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

/// A body of `length` bytes of which none ever comes.
fn stalled(length: usize) -> impl http_body::Body<Data = Bytes, Error = io::Error> + Send {
    struct Stalled(u64);

    impl http_body::Body for Stalled {
        type Data = Bytes;
        type Error = io::Error;

        fn poll_frame(
            self: std::pin::Pin<&mut Self>,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, io::Error>>> {
            std::task::Poll::Pending
        }

        fn size_hint(&self) -> http_body::SizeHint {
            http_body::SizeHint::with_exact(self.0)
        }
    }

    Stalled(length as u64)
}

#[tokio::test(start_paused = true)]
async fn slow_senders_keep_neither_memory_nor_others() {
    let fixture = fixture();
    let slow = |_| {
        let front = Arc::clone(&fixture.front);
        tokio::spawn(async move {
            let request = to_kinesis("PutRecords").body(stalled(MAX_KINESIS_BODY)).unwrap();
            front.answer(request).await.status()
        })
    };
    let all: Vec<_> = (0..BODIES_MIB as usize / (MAX_KINESIS_BODY >> 20))
        .map(slow)
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(fixture.front.bodies.available_permits(), 0);

    let begun = tokio::time::Instant::now();
    let small = to_kinesis("ListStreams").body("{}").unwrap();
    assert_eq!(ask(&fixture.front, small).await.0, StatusCode::OK);
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "a small request waits for nobody"
    );
    let large = to_kinesis("PutRecords").body(vec![b' '; 1 << 20]).unwrap();
    assert_eq!(ask(&fixture.front, large).await.0, StatusCode::OK);
    assert!(begun.elapsed() >= BODY_TIME, "it had to wait for its turn");
    for slow in all {
        assert_eq!(slow.await.unwrap(), StatusCode::REQUEST_TIMEOUT);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 64, ..Default::default() })]

    #[test]
    fn rubbish_is_refused_and_breaks_nothing(
        service in "kinesis|monitoring|iam|sts|[ -~]{0,12}",
        target in "(GraniteServiceVersion20100801\\.(GetMetricData|PutMetricData|ListMetrics))?|[ -~]{0,30}",
        content_type in "application/(x-www-form-urlencoded|cbor|x-amz-json-1.0)|[ -~]{0,12}",
        authorization in "(AWS4-HMAC-SHA256 Credential=a/b/)?[ -~]{0,40}",
        signed in proptest::prelude::any::<bool>(),
        query in "([?]?(Action=[A-Za-z]{0,9}|X-Amz-Credential=[a-z%2F/]{0,20}|[!$-;=?-Z_a-z~]{0,20}))",
        body in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80),
        form in "(Action=(PutMetricData|GetMetricData|ListMetrics|TagPolicy)&)?([A-Za-z]{1,8}(.member.[0-9]{1,3}(.[A-Z][a-z]{1,4})?)?=[ -~]{0,8}&){0,4}",
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = fixture();
            let signature = if signed {
                format!("AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/{service}/aws4_request")
            } else {
                authorization
            };
            for body in [body, form.into_bytes()] {
                let request = Request::post(format!("/{query}"))
                    .header("host", "127.0.0.1")
                    .header("authorization", &signature)
                    .header("x-amz-target", &target)
                    .header("content-type", &content_type)
                    .body(body);
                let Ok(request) = request else { return };
                let (_, answer) = ask(&fixture.front, request).await;
                assert!(!answer.contains("its log says where"), "{answer}");
            }
        });
    }
}
