//! A minimal HTTP client for the requests between two streamctl processes. A full client would slow the start.

use std::cmp::Ordering;
use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::control::ControlSocket;

/// Above the size of any answer of the daemon's own paths.
const MAX_ANSWER: usize = 64 * 1024;

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

/// Sends a request without a body, on a connection of its own.
///
/// # Errors
/// `TimedOut` after `timeout`, `InvalidData` if the answer is not HTTP, otherwise errors of the connection.
pub(super) async fn send(address: &Address, request: &Request<'_>, timeout: Duration) -> io::Result<Answer> {
    let exchange = async {
        match address {
            Address::Control(socket) => exchange(&mut socket.connect().await?, request, "close").await,
            Address::Port(port) => exchange(&mut connect(*port).await?, request, "close").await,
        }
    };
    tokio::time::timeout(timeout, exchange)
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

pub(super) async fn connect(port: u16) -> io::Result<TcpStream> {
    TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await
}

/// Sends a request without a body, and reads its answer and nothing behind it. `connection` is the header: whether the
/// connection stays open.
///
/// # Errors
/// `InvalidData` if the answer is not HTTP or is too long, `UnexpectedEof` if its end is missing, otherwise errors of the
/// connection.
pub(super) async fn exchange(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    request: &Request<'_>,
    connection: &str,
) -> io::Result<Answer> {
    let Request {
        method,
        path,
        headers,
    } = request;
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\nContent-Length: 0\r\n"
    );
    for (name, value) in *headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    stream.write_all(text.as_bytes()).await?;
    let mut bytes = Vec::with_capacity(1024);
    loop {
        match parse(&bytes) {
            Parsed::Whole(answer) => return Ok(answer),
            Parsed::Invalid => return Err(io::ErrorKind::InvalidData.into()),
            Parsed::Incomplete if bytes.len() > MAX_ANSWER => return Err(io::ErrorKind::InvalidData.into()),
            Parsed::Incomplete => {}
        }
        if stream.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
}

enum Parsed {
    Whole(Answer),
    Incomplete,
    Invalid,
}

/// Parses an answer whose head has its length. Nothing may follow it, since nothing else was asked for.
fn parse(bytes: &[u8]) -> Parsed {
    let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Parsed::Incomplete;
    };
    let body = &bytes[end + 4..];
    let Some((answer, length)) = parse_head(&bytes[..end]) else {
        return Parsed::Invalid;
    };
    match body.len().cmp(&length) {
        Ordering::Less => Parsed::Incomplete,
        Ordering::Greater => Parsed::Invalid,
        Ordering::Equal => Parsed::Whole(Answer {
            body: body.to_vec(),
            ..answer
        }),
    }
}

/// The answer without its body, and the length of its body.
fn parse_head(head: &[u8]) -> Option<(Answer, usize)> {
    let head = std::str::from_utf8(head).ok()?;
    let answer = Answer {
        status: head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?,
        head: head.to_owned(),
        body: Vec::new(),
    };
    let length = answer.header("content-length").parse().ok()?;
    Some((answer, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(bytes: &[u8]) -> Option<Answer> {
        match parse(bytes) {
            Parsed::Whole(answer) => Some(answer),
            Parsed::Incomplete | Parsed::Invalid => None,
        }
    }

    #[test]
    fn answers_are_parsed() {
        let text = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\nX-A:  b:c \r\n\r\n{}";
        let answer = whole(text).unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (202, b"{}".as_slice()));
        assert_eq!((answer.header("x-a"), answer.header("x-b")), ("b:c", ""));
        for length in 0..text.len() {
            assert!(matches!(parse(&text[..length]), Parsed::Incomplete), "{length}");
        }
        for bad in [
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/1.1 x\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{} ",
        ] {
            assert!(matches!(parse(bad.as_bytes()), Parsed::Invalid), "{bad}");
        }
    }
}
