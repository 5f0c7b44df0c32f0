use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn invocation(id: &str, payload: &'static str) -> Invocation {
    Invocation {
        request_id: id.to_owned(),
        function_arn: "arn:aws:lambda:us-east-1:000000000000:function:f".to_owned(),
        deadline_ms: 1_795_255_200_000,
        trace_id: None,
        payload: Bytes::from_static(payload.as_bytes()),
    }
}

/// Says `request` on `stream` and returns the whole answer.
async fn say(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    loop {
        let mut part = [0; 4096];
        let read = stream.read(&mut part).await.unwrap();
        answer.extend_from_slice(&part[..read]);
        let text = String::from_utf8(answer.clone()).unwrap();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .unwrap();
            if body.len() == length.parse::<usize>().unwrap() {
                return text;
            }
        }
    }
}

const NEXT: &str = "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n";

#[tokio::test]
async fn an_invocation_goes_out_and_its_answer_comes_back() {
    let api = RuntimeApi::start().await.unwrap();
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    let runtime = async {
        let next = say(&mut stream, NEXT).await;
        assert!(next.contains("Lambda-Runtime-Aws-Request-Id: r1\r\n"), "{next}");
        assert!(next.contains("Lambda-Runtime-Deadline-Ms: 1795255200000\r\n"));
        assert!(next.ends_with("\r\n\r\n{\"a\":1}"));
        let post =
            "POST /2018-06-01/runtime/invocation/r1/response HTTP/1.1\r\nContent-Length: 4\r\n\r\ntrue";
        assert!(say(&mut stream, post).await.starts_with("HTTP/1.1 202 Accepted"));
        let again = say(&mut stream, post).await;
        assert!(again.starts_with("HTTP/1.1 400"), "{again}");
    };
    let (answer, ()) = tokio::join!(api.invoke(invocation("r1", "{\"a\":1}")), runtime);
    assert_eq!(answer, Some(Answer::Returned(Bytes::from_static(b"true"))));
    assert_eq!(api.ready().await, Ok(()));
}

#[tokio::test]
async fn answers_in_chunks_and_broken_off_ones_are_understood() {
    let api = RuntimeApi::start().await.unwrap();
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    let chunked = |id: &str, trailers: &str| {
        format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\n\
             Transfer-Encoding: chunked\r\n\r\n3\r\ntru\r\n1;x=y\r\ne\r\n0\r\n{trailers}\r\n"
        )
    };
    let runtime = async {
        say(&mut stream, NEXT).await;
        say(&mut stream, &chunked("a", "")).await;
        say(&mut stream, NEXT).await;
        let trailers =
            "Lambda-Runtime-Function-Error-Type: Broken\r\nLambda-Runtime-Function-Error-Body: e30=\r\n";
        say(&mut stream, &chunked("b", trailers)).await;
    };
    let invoke = async {
        let first = api.invoke(invocation("a", "1")).await;
        (first, api.invoke(invocation("b", "2")).await)
    };
    let ((first, second), ()) = tokio::join!(invoke, runtime);
    assert_eq!(first, Some(Answer::Returned(Bytes::from_static(b"true"))));
    let broken = Answer::Failed {
        kind: Some("Broken".to_owned()),
        payload: Bytes::from_static(b"{}"),
    };
    assert_eq!(second, Some(broken));
}

#[tokio::test]
async fn a_process_that_cannot_start_says_why() {
    let api = RuntimeApi::start().await.unwrap();
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    let request = "POST /2018-06-01/runtime/init/error HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
    say(&mut stream, request).await;
    assert_eq!(api.ready().await, Err(Bytes::from_static(b"{}")));
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_an_error_of_the_function() {
    let api = RuntimeApi::start().await.unwrap();
    let mut stream = TcpStream::connect(api.address()).await.unwrap();
    let runtime = async {
        say(&mut stream, NEXT).await;
        let post = format!(
            "POST /2018-06-01/runtime/invocation/r/response HTTP/1.1\r\nContent-Length: {}\r\n\r\n{}",
            MAX_ANSWER + 1,
            "x".repeat(MAX_ANSWER + 1)
        );
        assert!(say(&mut stream, &post).await.starts_with("HTTP/1.1 413"));
    };
    let (answer, ()) = tokio::join!(api.invoke(invocation("r", "1")), runtime);
    assert!(
        matches!(answer, Some(Answer::Failed { kind: Some(kind), .. }) if kind == "Function.ResponseSizeTooLarge")
    );
}
