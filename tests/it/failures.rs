//! Errors of the target: one sentence, a hint, and exit code 4.

use std::io::{Read, Write};
use std::net::TcpListener;

use insta::assert_snapshot;

use crate::support::Machine;

/// Starts an endpoint that responds to every request in the same way. Returns its URL.
fn endpoint(status: &'static str, body: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let mut buffer = [0; 64 * 1024];
            let _ = socket.read(&mut buffer);
            let length = body.len();
            let _ = write!(
                socket,
                "HTTP/1.1 {status}\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
            );
        }
    });
    format!("http://{address}")
}

/// The error of `streamctl list` against such an endpoint.
fn list_against(status: &'static str, body: &'static str) -> String {
    let url = endpoint(status, body);
    Machine::new()
        .fails(4, ["list", "--endpoint-url", &url])
        .replace(&url, "URL")
}

#[test]
fn an_expired_token() {
    assert_snapshot!(list_against(
        "400 Bad Request",
        r#"{"__type":"ExpiredTokenException","message":"The security token included in the request is expired"}"#
    ));
}

#[test]
fn a_wrong_key() {
    assert_snapshot!(list_against(
        "400 Bad Request",
        r#"{"__type":"UnrecognizedClientException","message":"The security token included in the request is invalid."}"#
    ));
}

#[test]
fn a_refused_permission() {
    assert_snapshot!(list_against(
        "400 Bad Request",
        r#"{"__type":"AccessDeniedException","message":"User: arn:aws:iam::111122223333:user/eve is not authorized to perform: kinesis:ListStreams because no identity-based policy allows the kinesis:ListStreams action"}"#
    ));
}

#[test]
fn an_unreachable_endpoint() {
    // Bind a port and close it, so that nothing listens there.
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let said = Machine::new().fails(4, ["list", "--endpoint-url", &format!("http://127.0.0.1:{port}")]);
    insta::with_settings!({filters => vec![(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"), (r"os error \d+", "os error N")]}, {
        assert_snapshot!(said);
    });
}

#[test]
fn no_credentials() {
    let machine = Machine::new();
    let output = machine
        .streamctl(["list", "--target", "aws"])
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .assert()
        .code(4)
        .get_output()
        .clone();
    assert_snapshot!(String::from_utf8(output.stderr).unwrap());
}

#[test]
fn an_invalid_region() {
    assert_snapshot!(Machine::new().fails(2, ["list", "--region", "us-esat"]));
}

#[test]
fn an_endpoint_that_is_not_aws() {
    let url = endpoint("200 OK", "<html>hello</html>");
    let said = Machine::new().fails(1, ["list", "--endpoint-url", &url]);
    assert!(said.contains("\nerror: "), "{said}");
    assert!(said.contains("--endpoint-url"), "{said}");
}
