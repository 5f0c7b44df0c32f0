//! As much of HTTP/1.1 as runtimes speak: kept-alive connections, bodies of known length or in chunks, trailers.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Invocation;

/// The longest head of a request, or line of a chunked body.
const MAX_HEAD: usize = 64 * 1024;

/// A request.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) body: Bytes,
    /// The body was larger than allowed and is left out.
    pub(super) too_large: bool,
    /// Header or trailer `Lambda-Runtime-Function-Error-Type`.
    pub(super) error_kind: Option<String>,
    /// Trailer `Lambda-Runtime-Function-Error-Body`, decoded: a streamed answer broke off.
    pub(super) error_body: Option<Bytes>,
}

/// What is sent back.
pub(super) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Bytes,
}

impl Reply {
    pub(super) fn accepted() -> Self {
        Self::json(202, Bytes::from_static(b"{\"status\":\"OK\"}"))
    }

    pub(super) fn error(status: u16, kind: &str, message: &str) -> Self {
        Self::json(status, super::error_object(message, kind))
    }

    pub(super) fn invocation(invocation: &Invocation) -> Self {
        let mut reply = Self::json(200, invocation.payload.clone());
        reply.headers.extend([
            ("Lambda-Runtime-Aws-Request-Id", invocation.request_id.clone()),
            ("Lambda-Runtime-Deadline-Ms", invocation.deadline_ms.to_string()),
            (
                "Lambda-Runtime-Invoked-Function-Arn",
                invocation.function_arn.clone(),
            ),
        ]);
        if let Some(trace) = &invocation.trace_id {
            reply.headers.push(("Lambda-Runtime-Trace-Id", trace.clone()));
        }
        reply
    }

    fn json(status: u16, body: Bytes) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body,
        }
    }
}

/// One connection of the process.
pub(super) struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    pub(super) fn new(stream: TcpStream) -> Self {
        Self {
            stream,
            buffer: BytesMut::with_capacity(16 * 1024),
        }
    }

    /// The next request; `None` once the connection is closed. A body over `max` bytes is read and thrown away.
    pub(super) async fn receive(&mut self, max: usize) -> io::Result<Option<Received>> {
        let Some(head) = self.head().await? else {
            return Ok(None);
        };
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let mut received = Received {
            method: first.next().unwrap_or_default().to_owned(),
            path: first.next().unwrap_or_default().to_owned(),
            ..Received::default()
        };
        let (mut length, mut chunked, mut expects) = (0, false, false);
        for (name, value) in lines.filter_map(header) {
            match name.as_str() {
                "content-length" => length = value.parse().map_err(|_| bad("a length that is no number"))?,
                "transfer-encoding" => chunked = value.eq_ignore_ascii_case("chunked"),
                "expect" => expects = value.eq_ignore_ascii_case("100-continue"),
                "lambda-runtime-function-error-type" => received.error_kind = Some(value.to_owned()),
                _ => {}
            }
        }
        if expects {
            self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
        }
        if chunked {
            self.chunks(&mut received, max).await?;
        } else {
            let mut body = BytesMut::new();
            received.too_large = !self.take(length, max, &mut body).await?;
            received.body = body.freeze();
        }
        Ok(Some(received))
    }

    pub(super) async fn send(&mut self, reply: Reply) -> io::Result<()> {
        let mut head = format!(
            "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n",
            reply.status,
            reason(reply.status),
            reply.body.len()
        );
        for (name, value) in &reply.headers {
            // A line end would begin another header.
            let value = value.replace(['\r', '\n'], " ");
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        let mut whole = BytesMut::with_capacity(head.len() + reply.body.len());
        whole.extend_from_slice(head.as_bytes());
        whole.extend_from_slice(&reply.body);
        self.stream.write_all(&whole).await
    }

    /// The head without its empty line.
    async fn head(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(end);
                self.buffer.advance(4);
                return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(bad("a head that is too long"));
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end);
                self.buffer.advance(2);
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if self.buffer.len() > MAX_ANSWER_LINE || !self.fill().await? {
                return Err(bad("a chunk without its end"));
            }
        }
    }

    async fn chunks(&mut self, received: &mut Received, max: usize) -> io::Result<()> {
        let mut body = BytesMut::new();
        loop {
            let line = self.line().await?;
            let digits = line.split(';').next().unwrap_or_default().trim();
            let length = usize::from_str_radix(digits, 16).map_err(|_| bad("a chunk without its length"))?;
            if length == 0 {
                break;
            }
            let room = max.saturating_sub(body.len());
            received.too_large |= !self.take(length, room, &mut body).await?;
            self.line().await?;
        }
        loop {
            let line = self.line().await?;
            let Some((name, value)) = header(&line) else { break };
            match name.as_str() {
                "lambda-runtime-function-error-type" => received.error_kind = Some(value.to_owned()),
                "lambda-runtime-function-error-body" => {
                    let decoded = base64_simd::STANDARD.decode_to_vec(value.as_bytes());
                    received.error_body = Some(Bytes::from(decoded.unwrap_or_default()));
                }
                _ => {}
            }
        }
        received.body = body.freeze();
        Ok(())
    }

    /// Reads `length` bytes into `body`; `false` where they are more than `max` and were thrown away.
    async fn take(&mut self, length: usize, max: usize, body: &mut BytesMut) -> io::Result<bool> {
        let keep = length <= max;
        let mut left = length;
        while left > 0 {
            if self.buffer.is_empty() && !self.fill().await? {
                return Err(bad("a body that is too short"));
            }
            let part = self.buffer.split_to(left.min(self.buffer.len()));
            left -= part.len();
            if keep {
                body.extend_from_slice(&part);
            }
        }
        Ok(keep)
    }

    async fn fill(&mut self) -> io::Result<bool> {
        self.buffer.reserve(16 * 1024);
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

/// Trailers hold an error object in base64.
const MAX_ANSWER_LINE: usize = 1024 * 1024;

fn header(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once(':')?;
    Some((name.trim().to_ascii_lowercase(), value.trim()))
}

fn find(buffer: &[u8], what: &[u8]) -> Option<usize> {
    buffer.windows(what.len()).position(|window| window == what)
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the runtime sent {what}"))
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        410 => "Gone",
        413 => "Payload Too Large",
        _ => "Error",
    }
}
