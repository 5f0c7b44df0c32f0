//! A minimal HTTP client for the requests between two streamctl processes. A full client would slow the start.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Above the size of any answer of the daemon's own paths.
const MAX_ANSWER: u64 = 64 * 1024;

pub(super) struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
}

pub(super) struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Sends a request without a body to 127.0.0.1.
///
/// # Errors
/// `TimedOut` after `timeout`, `InvalidData` if the answer is not HTTP, otherwise network errors.
pub(super) async fn send(port: u16, request: &Request<'_>, timeout: Duration) -> io::Result<Answer> {
    tokio::time::timeout(timeout, exchange(port, request))
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn exchange(port: u16, request: &Request<'_>) -> io::Result<Answer> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
    let Request {
        method,
        path,
        headers,
    } = request;
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Length: 0\r\n"
    );
    for (name, value) in *headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(1024);
    stream.take(MAX_ANSWER).read_to_end(&mut bytes).await?;
    parse(&bytes).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The server closes the connection after the answer, so everything after the head is the body.
fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    Some(Answer {
        status,
        body: bytes[end + 4..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed() {
        let answer = parse(b"HTTP/1.1 202 Accepted\r\ncontent-length: 2\r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (202, b"{}".as_slice()));
        for bad in [
            "",
            "HTTP/1.1 200 OK",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 x\r\n\r\n",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
