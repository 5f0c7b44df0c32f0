//! An HTTP proxy in front of a local cloud. A test decides for each request whether it is passed on, and whether its answer
//! is passed back.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

/// A request as the proxy sees it.
pub struct Call {
    pub method: String,
    /// With the query.
    pub path: String,
    /// The operation of a JSON or query protocol; empty for REST.
    pub operation: String,
    /// The access key that signed it.
    pub key: String,
    pub body: Vec<u8>,
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
    /// The request is passed on after so many milliseconds.
    Delay(u64),
    /// The connection is reset before the request is passed on.
    Reset,
    /// The request is passed on. Its answer is replaced by this HTTP status and error code.
    FailAfter(u16, &'static str),
    /// The request is passed on. The connection closes in the middle of the body of its answer.
    Truncate,
    /// The request is passed on. The body of its answer ends in the middle, as if it were whole.
    Shorten,
    /// GetRecords in JSON is passed on. Its answer has this in place of MillisBehindLatest, or nothing.
    Behind(Option<i64>),
    /// PutRecords in JSON is passed on. Its answer has no result for the last entry.
    OmitLast,
    /// PutRecords in JSON is passed on without each entry whose index this number divides. These entries are throttled.
    Throttle(usize),
}

impl Fate {
    /// Whether the request has its effect, and the client is not told so.
    pub fn drops_answer(self) -> bool {
        use Fate::{CutAfter, FailAfter, OmitLast, Shorten, Truncate};
        matches!(self, CutAfter | FailAfter(..) | OmitLast | Shorten | Truncate)
    }
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
        let mut request = read_message(&mut client, &mut from_client, false)?;
        let call = call_of(&request);
        let fate = judge.judge(&call);
        match fate {
            Fate::CutBefore => {
                judge.cut();
                return None;
            }
            Fate::Reset => {
                reset(&client);
                return None;
            }
            Fate::Refuse(status, code) => {
                client.write_all(&refusal(status, code, &call)).ok()?;
                continue;
            }
            Fate::Delay(ms) => std::thread::sleep(Duration::from_millis(ms)),
            Fate::Throttle(each) => request = without_entries(&request, each),
            _ => {}
        }
        server.write_all(&request).ok()?;
        let is_head = call.method == "HEAD";
        let answer = read_message(&mut server, &mut from_server, is_head)?;
        let answer = if is_head { answer } else { unchunked(answer) };
        if fate == Fate::CutAfter {
            judge.cut();
            return None;
        }
        client.write_all(&changed(fate, answer, &call)).ok()?;
        if fate == Fate::Truncate {
            return None;
        }
    }
}

/// The answer as `fate` has it.
fn changed(fate: Fate, mut answer: Vec<u8>, call: &Call) -> Vec<u8> {
    match fate {
        Fate::Replace(from, to) => replaced(&answer, from, to),
        Fate::Damage(from, to) => {
            assert_eq!(from.len(), to.len(), "the length of the answer stays");
            let mut places = answer.windows(from.len());
            if let Some(at) = places.position(|part| part == from.as_bytes()) {
                answer[at..at + to.len()].copy_from_slice(to.as_bytes());
            }
            answer
        }
        Fate::FailAfter(status, code) => refusal(status, code, call),
        Fate::Truncate => {
            let body = head_end(&answer).unwrap();
            answer.truncate(body + (answer.len() - body) / 2);
            answer
        }
        Fate::Shorten => {
            let body = head_end(&answer).unwrap();
            let half = answer[body..body + (answer.len() - body) / 2].to_vec();
            with_body(&answer, &half)
        }
        Fate::Behind(ms) => with_behind(&answer, ms),
        Fate::OmitLast => with_results(&answer, |results| {
            results.pop();
        }),
        Fate::Throttle(each) => {
            let entries = entries_of(&call.body);
            with_results(&answer, |results| {
                let mut stored = std::mem::take(results).into_iter();
                let throttled = json!({
                    "ErrorCode": "ProvisionedThroughputExceededException",
                    "ErrorMessage": "Rate exceeded for shard shardId-000000000000 in stream s under account 1.",
                });
                results.extend((0..entries).map_while(|at| match at % each {
                    0 => Some(throttled.clone()),
                    _ => stored.next(),
                }));
            })
        }
        _ => answer,
    }
}

/// Makes the connection end by a reset when it is dropped. On Linux: elsewhere it closes.
fn reset(socket: &TcpStream) {
    #[cfg(target_os = "linux")]
    rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)).unwrap();
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

/// The message with another body.
fn with_body(message: &[u8], body: &[u8]) -> Vec<u8> {
    let end = head_end(message).unwrap_or(message.len());
    let head = String::from_utf8_lossy(&message[..end]).into_owned();
    let is_length = |line: &&str| {
        let line = line.to_ascii_lowercase();
        line.starts_with("content-length:") || line.starts_with("transfer-encoding:")
    };
    let lines = head.trim_end().lines().filter(|line| !is_length(line));
    let mut changed: String = lines.map(|line| format!("{line}\r\n")).collect();
    changed.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [changed.as_bytes(), body].concat()
}

/// An answer of GetRecords with another distance to the tip.
fn with_behind(answer: &[u8], ms: Option<i64>) -> Vec<u8> {
    let body = head_end(answer).unwrap();
    let mut document: Value = serde_json::from_slice(&answer[body..]).unwrap();
    let members = document.as_object_mut().unwrap();
    if members.remove("MillisBehindLatest").is_some() {
        members.extend(ms.map(|ms| ("MillisBehindLatest".to_owned(), ms.into())));
    }
    with_body(answer, document.to_string().as_bytes())
}

/// An answer of PutRecords with other results. A failure is left as it is.
fn with_results(answer: &[u8], change: impl FnOnce(&mut Vec<Value>)) -> Vec<u8> {
    let body = head_end(answer).unwrap();
    let mut document: Value = serde_json::from_slice(&answer[body..]).unwrap();
    let Some(results) = document["Records"].as_array_mut() else {
        return answer.to_vec();
    };
    change(results);
    let failed = results
        .iter()
        .filter(|result| result["ErrorCode"].is_string())
        .count();
    document["FailedRecordCount"] = failed.into();
    with_body(answer, document.to_string().as_bytes())
}

fn entries_of(body: &[u8]) -> usize {
    let document: Value = serde_json::from_slice(body).unwrap();
    document["Records"].as_array().unwrap().len()
}

/// A request of PutRecords without each entry whose index `each` divides. One entry at least stays in it: the service
/// refuses a request without any.
fn without_entries(request: &[u8], each: usize) -> Vec<u8> {
    let body = head_end(request).unwrap();
    let mut document: Value = serde_json::from_slice(&request[body..]).unwrap();
    let entries = document["Records"].as_array_mut().unwrap();
    assert!(entries.len() > 1, "a single entry is not throttled alone");
    let mut at = 0;
    entries.retain(|_| {
        at += 1;
        !(at - 1_usize).is_multiple_of(each)
    });
    with_body(request, document.to_string().as_bytes())
}

/// `answer` with `to` in the place of each `from` in its body.
fn replaced(answer: &[u8], from: &str, to: &str) -> Vec<u8> {
    let end = head_end(answer).unwrap_or(answer.len());
    let body = String::from_utf8_lossy(&answer[end..]).replace(from, to);
    with_body(answer, body.as_bytes())
}

/// An error in the protocol of the request. Source: "Smithy RPC v2 CBOR protocol" and "AWS JSON 1.1 protocol", Smithy.
fn refusal(status: u16, code: &str, call: &Call) -> Vec<u8> {
    let error = json!({ "__type": code, "message": "refused by the proxy" });
    let (kind, body) = match call.path.contains("/operation/") {
        true => {
            let mut body = Vec::new();
            ciborium::into_writer(&error, &mut body).unwrap();
            ("application/cbor\r\nsmithy-protocol: rpc-v2-cbor", body)
        }
        false => ("application/x-amz-json-1.1", error.to_string().into_bytes()),
    };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} Refused\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\n\r\n");
    [head.into_bytes(), body].concat()
}

fn call_of(request: &[u8]) -> Call {
    let end = head_end(request).unwrap_or(request.len());
    let head = String::from_utf8_lossy(&request[..end]).into_owned();
    let body = request[end..].to_vec();
    let text = String::from_utf8_lossy(&body);
    let by_target =
        header(&head, "x-amz-target").and_then(|target| Some(target.rsplit('.').next()?.to_owned()));
    let key = header(&head, "authorization")
        .and_then(|value| Some(value.split_once("Credential=")?.1.split('/').next()?.to_owned()));
    let by_action = text
        .split('&')
        .find_map(|pair| pair.strip_prefix("Action="))
        .map(str::to_owned);
    Call {
        method: head.split(' ').next().unwrap_or_default().to_owned(),
        path: head.split(' ').nth(1).unwrap_or_default().to_owned(),
        operation: by_target.or(by_action).unwrap_or_default(),
        key: key.unwrap_or_default(),
        body,
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

/// A chunked message as one with a length.
fn unchunked(message: Vec<u8>) -> Vec<u8> {
    let end = head_end(&message).unwrap_or(message.len());
    let head = String::from_utf8_lossy(&message[..end]);
    if header(&head, "transfer-encoding").is_none() {
        return message;
    }
    let (mut rest, mut body) = (&message[end..], Vec::new());
    while let Some((size, length)) = chunk(rest).filter(|(size, _)| *size > 0) {
        body.extend_from_slice(&rest[length - size - 2..length - 2]);
        rest = &rest[length..];
    }
    with_body(&message, &body)
}

/// The size of the data of the first chunk, and the length of the whole chunk.
fn chunk(body: &[u8]) -> Option<(usize, usize)> {
    let line = body.windows(2).position(|window| window == b"\r\n")?;
    let size = std::str::from_utf8(&body[..line]).ok()?;
    let size = usize::from_str_radix(size.split(';').next()?.trim(), 16).ok()?;
    Some((size, line + 2 + size + 2))
}

/// The length of a complete chunked body.
fn chunks_end(mut body: &[u8]) -> Option<usize> {
    let all = body.len();
    loop {
        let (size, length) = chunk(body)?;
        body = body.get(length..)?;
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
