//! Sends requests that an SDK does not send: any body to any operation, over a plain socket.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;

use crate::support::Cloud;

/// A response, with header names in lower case.
pub(super) struct Answer {
    pub status: u16,
    pub headers: HashMap<String, String>,
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

/// Posts `body` to the operation `target` of the service that is signed as `service`.
pub(super) fn post(cloud: &Cloud, service: &str, target: &str, content_type: &str, body: &[u8]) -> Answer {
    let address = cloud.endpoint.strip_prefix("http://").unwrap();
    let mut socket = TcpStream::connect(address).unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
         Content-Length: {}\r\nX-Amz-Target: {target}\r\n\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=0\r\n\r\n",
        body.len()
    );
    socket.write_all(head.as_bytes()).unwrap();
    socket.write_all(body).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
    let head = String::from_utf8(answer[..end].to_vec()).unwrap();
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()));
    Answer {
        status,
        headers: headers.collect(),
        body: answer[end + 4..].to_vec(),
    }
}

/// Posts JSON to an operation of Kinesis.
pub(super) fn post_json(cloud: &Cloud, operation: &str, body: &str) -> Answer {
    let target = format!("Kinesis_20131202.{operation}");
    post(
        cloud,
        "kinesis",
        &target,
        "application/x-amz-json-1.1",
        body.as_bytes(),
    )
}
