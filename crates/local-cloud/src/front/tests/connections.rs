//! Connections and bodies that hold memory or a slot: over a socket, or as a body that stalls.

use super::*;

/// Serves `fixture`, and connects to it.
async fn connected(fixture: &Fixture) -> (std::net::SocketAddr, TcpStream) {
    let listener = bind(0).await.unwrap();
    let address = listener.local_addr().unwrap();
    let front = Arc::clone(&fixture.front);
    tokio::spawn(async move { front.serve(listener).await });
    (address, TcpStream::connect(address).await.unwrap())
}

#[tokio::test]
async fn what_is_no_http_gets_an_answer() {
    let fixture = fixture();
    let (address, _) = connected(&fixture).await;
    let long = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(1000));
    for (request, status) in [
        ("GET / HTTP/9.9\r\n\r\n", "400"),
        ("rubbish rubbish rubbish\r\n\r\n", "400"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", "400"),
        (&many, "431"),
        (&long, "431"),
    ] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // The server may close before it has read all.
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = vec![0; 1024];
        let length = stream.read(&mut answer).await.unwrap_or(0);
        let answer = String::from_utf8_lossy(&answer[..length]).into_owned();
        let shown = &request[..request.len().min(40)];
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{shown}: {answer}"
        );
    }
}

#[tokio::test]
async fn half_open_connections_lock_nobody_out() {
    let fixture = fixture();
    ground::platform::raise_file_limit(3 * MAX_CONNECTIONS as u64);
    let (address, _first) = connected(&fixture).await;
    let mut half_open = Vec::new();
    for _ in 0..MAX_CONNECTIONS + 50 {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            // The machine allows fewer files.
            return;
        };
        stream.write_all(b"POST / HTTP/1.1\r\nHost: ").await.unwrap();
        half_open.push(stream);
    }
    let request = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: {KINESIS}.ListStreams\r\nAuthorization: {}\r\n\
         Content-Length: 2\r\nConnection: close\r\n\r\n{{}}",
        authorization("kinesis")
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    let read = stream.read_to_string(&mut answer);
    tokio::time::timeout(Duration::from_secs(10), read)
        .await
        .unwrap()
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    fixture.front.stop();
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
            front.answer(request, Peer::Owner).await.status()
        })
    };
    let all: Vec<_> = (0..100).map(slow).collect();
    tokio::task::yield_now().await;
    assert_eq!(
        fixture.front.requests.free(),
        MAX_REQUESTS,
        "they have sent nothing"
    );

    let begun = tokio::time::Instant::now();
    for length in [1, MAX_KINESIS_BODY] {
        let request = to_kinesis("PutRecords").body(vec![b' '; length]).unwrap();
        assert_eq!(ask(&fixture.front, request).await.0, StatusCode::OK);
    }
    assert!(begun.elapsed() < Duration::from_secs(1), "nobody waits for them");
    for slow in all {
        assert_eq!(slow.await.unwrap(), StatusCode::REQUEST_TIMEOUT);
    }
}

#[tokio::test(start_paused = true)]
async fn senders_that_stall_lose_their_memory_to_those_who_wait() {
    let fixture = fixture();
    let (first, rest) = (MAX_KINESIS_BODY - 1, 1);
    let slow = |_| {
        let front = Arc::clone(&fixture.front);
        tokio::spawn(async move {
            let begun = stream::iter([Ok::<_, io::Error>(http_body::Frame::data(Bytes::from(vec![
                0;
                first
            ])))]);
            let never = stream::pending();
            let body = http_body_util::StreamBody::new(begun.chain(never));
            let request = to_kinesis("PutRecords")
                .header("content-length", first + rest)
                .body(body)
                .unwrap();
            front.answer(request, Peer::Owner).await.status()
        })
    };
    let all: Vec<_> = (0..MAX_REQUESTS / MAX_KINESIS_BODY).map(slow).collect();
    tokio::task::yield_now().await;
    assert_eq!(fixture.front.requests.free(), 0);
    let begun = tokio::time::Instant::now();
    let request = to_kinesis("PutRecords").body(vec![b' '; 1 << 20]).unwrap();
    // After five seconds, a sender may be as slow as the rate allows: 16 MiB at 4 MiB/s.
    assert_eq!(ask(&fixture.front, request).await.0, StatusCode::OK);
    assert!(
        begun.elapsed() <= Duration::from_secs(12),
        "{:?}",
        begun.elapsed()
    );
    for slow in all {
        assert_eq!(slow.await.unwrap(), StatusCode::REQUEST_TIMEOUT);
    }
    assert_eq!(fixture.front.requests.free(), MAX_REQUESTS);
}

/// A request whose response is large.
fn large_request(address: std::net::SocketAddr) -> String {
    format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nX-Amz-Target: {KINESIS}.Large\r\nAuthorization: {}\r\n\
         Content-Length: 2\r\n\r\n{{}}",
        authorization("kinesis")
    )
}

/// As those of AWS, which are not chunked.
#[tokio::test]
async fn large_responses_have_a_length() {
    let fixture = fixture();
    let (address, mut stream) = connected(&fixture).await;
    let request = large_request(address);
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.contains(&format!("content-length: {LARGE}\r\n")), "{head}");
    assert!(!head.contains("transfer-encoding"), "{head}");
}

#[tokio::test]
async fn responses_that_nobody_reads_are_bounded() {
    let fixture = fixture();
    let (address, _) = connected(&fixture).await;
    let request = large_request(address);
    let mut unread = Vec::new();
    for _ in 0..MAX_RESPONSES / LARGE + 10 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        unread.push(stream);
    }
    let begun = std::time::Instant::now();
    while fixture.front.responses.free() > LARGE {
        assert!(begun.elapsed() < Duration::from_secs(20), "they are not counted");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(
        fixture.front.responses.patience() < Duration::from_secs(10),
        "others wait"
    );
    // What is read goes back at once.
    drop(unread);
    while fixture.front.responses.free() < MAX_RESPONSES {
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "they are not given back"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    fixture.front.stop();
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
                assert!(!answer.contains("its log has the details"), "{answer}");
            }
        });
    }
}
