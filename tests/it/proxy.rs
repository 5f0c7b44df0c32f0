//! An HTTP proxy in front of a local cloud. A test decides for each request whether it is passed on, and whether its answer
//! is passed back.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

/// A request as the proxy sees it.
pub struct Call {
    pub method: String,
    /// With the query.
    pub path: String,
    /// The operation of a JSON or query protocol; empty for REST.
    pub operation: String,
}

impl Call {
    /// Whether the request changes something.
    pub fn is_change(&self) -> bool {
        const READS: &[&str] = &[
            "BatchGet", "Describe", "Filter", "Get", "List", "Lookup", "Query", "Scan",
        ];
        match self.operation.as_str() {
            "" => !matches!(self.method.as_str(), "GET" | "HEAD"),
            operation => !READS.iter().any(|read| operation.starts_with(read)),
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Pass,
    /// The connection closes before the request is passed on.
    CutBefore,
    /// The request is passed on. Its answer is not passed back: the connection closes.
    CutAfter,
    /// The request is passed on. In its answer, the second text takes the place of the first.
    Replace(&'static str, &'static str),
    /// The request is not passed on. It is answered with this HTTP status and error code.
    Refuse(u16, &'static str),
    /// The request is passed on. In its answer, the first occurrence of the first text becomes the second one.
    Damage(&'static str, &'static str),
}

/// Decides on a request, and is called with its fate once it is carried out.
pub trait Judge: Send + Sync + 'static {
    fn judge(&self, call: &Call) -> Fate;

    /// A connection is about to close.
    fn cut(&self) {}
}

impl<F: Fn(&Call) -> Fate + Send + Sync + 'static> Judge for F {
    fn judge(&self, call: &Call) -> Fate {
        self(call)
    }
}

/// Starts a proxy of `endpoint` and returns its URL.
pub fn start(endpoint: &str, judge: Arc<dyn Judge>) -> String {
    let target = endpoint.strip_prefix("http://").unwrap().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let (target, judge) = (target.clone(), Arc::clone(&judge));
            std::thread::spawn(move || serve(socket.unwrap(), &target, &*judge));
        }
    });
    format!("http://{address}")
}

/// Serves one connection of the client, with one to the target.
fn serve(mut client: TcpStream, target: &str, judge: &dyn Judge) -> Option<()> {
    let mut server = TcpStream::connect(target).ok()?;
    let (mut from_client, mut from_server) = (Vec::new(), Vec::new());
    loop {
        let request = read_message(&mut client, &mut from_client, false)?;
        let call = call_of(&request);
        let fate = judge.judge(&call);
        if fate == Fate::CutBefore {
            judge.cut();
            return None;
        }
        if let Fate::Refuse(status, code) = fate {
            client.write_all(&refusal(status, code)).ok()?;
            continue;
        }
        server.write_all(&request).ok()?;
        let mut answer = read_message(&mut server, &mut from_server, call.method == "HEAD")?;
        if fate == Fate::CutAfter {
            judge.cut();
            return None;
        }
        if let Fate::Replace(from, to) = fate {
            answer = replaced(&answer, from, to);
        }
        if let Fate::Damage(from, to) = fate {
            assert_eq!(from.len(), to.len(), "the length of the answer stays");
            let at = answer
                .windows(from.len())
                .position(|part| part == from.as_bytes());
            if let Some(at) = at {
                answer[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
        }
        client.write_all(&answer).ok()?;
    }
}

/// `answer` with `to` in the place of each `from` in its body.
fn replaced(answer: &[u8], from: &str, to: &str) -> Vec<u8> {
    let end = head_end(answer).unwrap_or(answer.len());
    let body = String::from_utf8_lossy(&answer[end..]).replace(from, to);
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let is_length = |line: &&str| line.to_ascii_lowercase().starts_with("content-length");
    let mut changed: String = head
        .trim_end()
        .lines()
        .filter(|line| !is_length(line))
        .map(|line| format!("{line}\r\n"))
        .collect();
    changed.push_str(&format!("content-length: {}\r\n\r\n{body}", body.len()));
    changed.into_bytes()
}

fn refusal(status: u16, code: &str) -> Vec<u8> {
    let body = format!("{{\"__type\":\"{code}\",\"message\":\"refused by the proxy\"}}");
    let length = body.len();
    format!(
        "HTTP/1.1 {status} Refused\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn call_of(request: &[u8]) -> Call {
    let end = head_end(request).unwrap_or(request.len());
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let body = String::from_utf8_lossy(&request[end..]).into_owned();
    let by_target =
        header(&head, "x-amz-target").and_then(|target| Some(target.rsplit('.').next()?.to_owned()));
    let by_action = body
        .split('&')
        .find_map(|pair| pair.strip_prefix("Action="))
        .map(str::to_owned);
    Call {
        method: head.split(' ').next().unwrap_or_default().to_owned(),
        path: head.split(' ').nth(1).unwrap_or_default().to_owned(),
        operation: by_target.or(by_action).unwrap_or_default(),
    }
}

fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// One complete message, head and body; `buffer` keeps what follows it.
fn read_message(socket: &mut TcpStream, buffer: &mut Vec<u8>, without_body: bool) -> Option<Vec<u8>> {
    let end = loop {
        match head_end(buffer) {
            Some(end) => break end,
            None => fill(socket, buffer)?,
        }
    };
    let head = String::from_utf8_lossy(&buffer[..end]).into_owned();
    if header(&head, "expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
        socket.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok()?;
    }
    let chunked =
        header(&head, "transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked"));
    let length = match header(&head, "content-length") {
        _ if without_body => end,
        Some(length) => end + length.parse::<usize>().ok()?,
        None if chunked => loop {
            match chunks_end(&buffer[end..]) {
                Some(length) => break end + length,
                None => fill(socket, buffer)?,
            }
        },
        None => end,
    };
    while buffer.len() < length {
        fill(socket, buffer)?;
    }
    Some(buffer.drain(..length).collect())
}

/// The length of a complete chunked body.
fn chunks_end(mut body: &[u8]) -> Option<usize> {
    let all = body.len();
    loop {
        let line = body.windows(2).position(|window| window == b"\r\n")?;
        let size = std::str::from_utf8(&body[..line]).ok()?;
        let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
        body = body.get(line + 2 + size + 2..)?;
        if size == 0 {
            return Some(all - body.len());
        }
    }
}

fn fill(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    let mut part = [0; 16 * 1024];
    match socket.read(&mut part) {
        Ok(0) | Err(_) => None,
        Ok(read) => {
            buffer.extend_from_slice(&part[..read]);
            Some(())
        }
    }
}
