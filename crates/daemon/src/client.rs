//! A minimal HTTP client for the requests between two streamctl processes. A full client would slow the start.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::control::ControlSocket;

/// Above the size of any answer of the daemon's own paths.
const MAX_ANSWER: u64 = 64 * 1024;

/// Where a daemon takes requests of commands.
#[derive(Debug)]
pub(super) enum Address {
    /// The control socket in the home.
    Control(ControlSocket),
    /// The port at 127.0.0.1, where there are no such sockets.
    Port(u16),
}

pub(super) struct Request<'a> {
    pub method: &'a str,
    pub path: &'a str,
    pub headers: &'a [(&'a str, &'a str)],
}

#[derive(Debug)]
pub(super) struct Answer {
    pub status: u16,
    head: String,
    pub body: Vec<u8>,
}

impl Answer {
    /// A header; empty if it is missing. `name` is in lower case.
    pub fn header(&self, name: &str) -> &str {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(':'));
        lines
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map_or("", |(_, value)| value.trim())
    }
}

/// Sends a request without a body.
///
/// # Errors
/// `TimedOut` after `timeout`, `InvalidData` if the answer is not HTTP, otherwise errors of the connection.
pub(super) async fn send(address: &Address, request: &Request<'_>, timeout: Duration) -> io::Result<Answer> {
    let exchange = async {
        match address {
            Address::Control(socket) => exchange(socket.connect().await?, request).await,
            Address::Port(port) => {
                let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, *port)).await?;
                exchange(stream, request).await
            }
        }
    };
    tokio::time::timeout(timeout, exchange)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn exchange(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    request: &Request<'_>,
) -> io::Result<Answer> {
    let Request {
        method,
        path,
        headers,
    } = request;
    let mut text =
        format!("{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n");
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
        head: head.to_owned(),
        body: bytes[end + 4..].to_vec(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_parsed() {
        let answer = parse(b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nX-A:  b:c \r\n\r\n{}").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (202, b"{}".as_slice()));
        assert_eq!((answer.header("x-a"), answer.header("x-b")), ("b:c", ""));
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
