//! An endpoint of AWS that answers a few calls and records who asks.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A request, as far as a test looks at it.
pub struct Request {
    /// `Kinesis_20131202.ListStreams`, the action of a form, or method and path.
    pub operation: String,
    /// The access key that signed it.
    pub key: String,
}

/// Status and body.
pub type Answer = (u16, String);

/// A running endpoint. Its thread ends with the test process.
pub struct Fake {
    pub url: String,
    seen: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::with_header("x-fake: 1", answer)
    }

    /// Sends `header` with each answer.
    pub fn with_header(
        header: &'static str,
        answer: impl Fn(&Request) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let record = seen.clone();
        let answer = Arc::new(answer);
        std::thread::spawn(move || {
            for socket in listener.incoming() {
                let (answer, record) = (answer.clone(), record.clone());
                std::thread::spawn(move || serve(socket.unwrap(), header, &*answer, &record));
            }
        });
        Self { url, seen }
    }

    /// What was asked since the last time, as "OPERATION by KEY".
    pub fn seen(&self) -> Vec<String> {
        std::mem::take(&mut *self.seen.lock().unwrap())
    }
}

fn serve(
    mut socket: TcpStream,
    header: &str,
    answer: &dyn Fn(&Request) -> Answer,
    record: &Mutex<Vec<String>>,
) {
    let Some(request) = read(&mut BufReader::new(&socket)) else {
        return;
    };
    record
        .lock()
        .unwrap()
        .push(format!("{} by {}", request.operation, request.key));
    let (status, body) = answer(&request);
    let length = body.len();
    let kind = if body.starts_with('<') {
        "text/xml"
    } else {
        "application/x-amz-json-1.1"
    };
    // A client that has gone is not the server's business.
    let _ = write!(
        socket,
        "HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\nx-aws-ec2-metadata-token-ttl-seconds: 60\r\n\
         {header}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
}

fn read(input: &mut impl BufRead) -> Option<Request> {
    let mut first = String::new();
    input.read_line(&mut first).ok()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut length, mut target, mut key) = (0, String::new(), String::new());
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "content-length" => length = value.parse().ok()?,
            "x-amz-target" => target = value.to_owned(),
            "authorization" => {
                let credential = value
                    .split("Credential=")
                    .nth(1)
                    .and_then(|rest| rest.split('/').next());
                key = credential.unwrap_or_default().to_owned();
            }
            _ => {}
        }
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    let body = String::from_utf8_lossy(&body).into_owned();
    let action = body.split('&').find_map(|pair| pair.strip_prefix("Action="));
    let operation = match (target.is_empty(), action) {
        (false, _) => target,
        (true, Some(action)) => action.to_owned(),
        (true, None) => format!("{method} {path}"),
    };
    Some(Request { operation, key })
}
