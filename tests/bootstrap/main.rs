//! A scripted Lambda runtime for tests. It can respond, fail, hang or crash. It uses only the standard library.
//!
//! A script is a list of commands, separated by `;`. It is the value of the variable SCRIPT, or of the first
//! `"do":"…"` in the payload. Without a script, the response is the payload. Other variables:
//! - INIT: a script that runs before the first invocation is requested.
//! - JOURNAL: a file to which each invocation appends its payload as a line, before the script runs.
//!
//! | command | effect |
//! |---|---|
//! | `log TEXT`, `err TEXT` | prints a line to standard output, standard error |
//! | `print TEXT` | prints without ending the line |
//! | `spam N BYTES` | prints N lines of BYTES bytes |
//! | `sleep MS` | waits |
//! | `return TEXT` | responds with TEXT, which does not have to be JSON |
//! | `echo` | responds with the payload |
//! | `env NAME` | responds with the variable as a JSON string, or null |
//! | `pid`, `header NAME` | responds with the process id, or a header of the invocation |
//! | `big BYTES` | responds with a JSON string of BYTES bytes, including the quotes |
//! | `throw TYPE MESSAGE` | reports an error |
//! | `break TYPE MESSAGE` | streams a part of a response and then reports an error |
//! | `exit CODE`, `abort` | ends the process |
//! | `late MS` | responds with null, then waits before it requests the next invocation |
//! | `leave CODE` | responds with null, then ends the process |
//! | `twice` | responds with null twice |
//! | `alloc MIB` | allocates memory and keeps it |
//! | `fork SECONDS FILE` | starts a child process that keeps running, and writes its process id to FILE |
//! | `failed A B …` | responds with these batch item failures |
//! | `fail-if TEXT` | responds with a batch item failure for each record whose data contains TEXT |
//! | `if TEXT COMMAND` | runs COMMAND if the payload or the data of a record contains TEXT |
//! | `first N COMMAND` | runs COMMAND in the first N invocations of the journal only |
//! | `init-error TYPE MESSAGE` | (INIT) reports an init error and ends the process |

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::exit;
use std::time::Duration;

struct Api {
    address: String,
    stream: BufReader<TcpStream>,
}

struct Invocation {
    id: String,
    headers: Vec<(String, String)>,
    payload: String,
    runs: usize,
}

enum Done {
    Responded,
    Response(String),
    Continue,
}

fn main() {
    let address = var("AWS_LAMBDA_RUNTIME_API").unwrap_or_else(|| exit(90));
    let stream = TcpStream::connect(&address).unwrap_or_else(|_| exit(91));
    let _ = stream.set_nodelay(true);
    let mut api = Api { address, stream: BufReader::new(stream) };
    let mut kept = Vec::new();
    if let Some(script) = var("INIT") {
        let none = Invocation { id: String::new(), headers: Vec::new(), payload: String::new(), runs: 0 };
        run(&script, &none, &mut api, &mut kept);
    }
    loop {
        let (headers, payload) = api.call("GET", "invocation/next", &[], "");
        let id = header(&headers, "lambda-runtime-aws-request-id").unwrap_or_else(|| exit(92));
        let payload = String::from_utf8_lossy(&payload).into_owned();
        let runs = journal(&payload);
        let invocation = Invocation { id, headers, payload, runs };
        let script = var("SCRIPT").or_else(|| quoted(&invocation.payload, "\"do\":\"").next());
        let answer = match script {
            Some(script) => match run(&script, &invocation, &mut api, &mut kept) {
                Done::Responded => continue,
                Done::Response(text) => text,
                Done::Continue => "null".to_owned(),
            },
            None => invocation.payload.clone(),
        };
        api.respond(&invocation.id, &answer);
    }
}

fn run(script: &str, invocation: &Invocation, api: &mut Api, kept: &mut Vec<Vec<u8>>) -> Done {
    for command in script.split(';').map(str::trim).filter(|command| !command.is_empty()) {
        match step(command, invocation, api, kept) {
            Done::Continue => {}
            done => return done,
        }
    }
    Done::Continue
}

fn step(command: &str, invocation: &Invocation, api: &mut Api, kept: &mut Vec<Vec<u8>>) -> Done {
    let (verb, rest) = command.split_once(' ').unwrap_or((command, ""));
    let number = || rest.split(' ').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let second = || rest.split(' ').nth(1).unwrap_or_default();
    match verb {
        "log" => println!("{rest}"),
        "err" => eprintln!("{rest}"),
        "print" => {
            print!("{rest}");
            let _ = std::io::stdout().flush();
        }
        "spam" => {
            let line = "x".repeat(second().parse().unwrap_or(10));
            for _ in 0..number() {
                println!("{line}");
            }
        }
        "sleep" => std::thread::sleep(Duration::from_millis(number())),
        "return" => return Done::Response(rest.to_owned()),
        "echo" => return Done::Response(invocation.payload.clone()),
        "env" => return Done::Response(var(rest).map_or("null".to_owned(), |value| format!("{value:?}"))),
        "pid" => return Done::Response(std::process::id().to_string()),
        "header" => {
            let value = header(&invocation.headers, rest);
            return Done::Response(value.map_or("null".to_owned(), |value| format!("{value:?}")));
        }
        "big" => return Done::Response(format!("\"{}\"", "b".repeat(number().saturating_sub(2) as usize))),
        "throw" => {
            api.throw(&invocation.id, rest);
            return Done::Responded;
        }
        "break" => {
            api.break_off(&invocation.id, rest);
            return Done::Responded;
        }
        "exit" => exit(number() as i32),
        "abort" => std::process::abort(),
        "late" => {
            api.respond(&invocation.id, "null");
            std::thread::sleep(Duration::from_millis(number()));
            return Done::Responded;
        }
        "leave" => {
            api.respond(&invocation.id, "null");
            exit(number() as i32);
        }
        "twice" => {
            api.respond(&invocation.id, "null");
            api.respond(&invocation.id, "null");
            return Done::Responded;
        }
        "alloc" => kept.push(vec![1; number() as usize * 1024 * 1024]),
        "fork" => {
            let child = std::process::Command::new("/bin/sleep").arg(number().to_string()).spawn();
            if let Ok(child) = child {
                let _ = std::fs::write(second(), child.id().to_string());
            }
        }
        "failed" => return Done::Response(failures(rest.split(' '))),
        "fail-if" => {
            let all = records(&invocation.payload);
            let failed = all.iter().filter(|(_, data)| data.contains(rest));
            return Done::Response(failures(failed.map(|(sequence, _)| sequence.as_str())));
        }
        "if" => {
            let (text, command) = rest.split_once(' ').unwrap_or((rest, ""));
            let all = records(&invocation.payload);
            if invocation.payload.contains(text) || all.iter().any(|(_, data)| data.contains(text)) {
                return step(command, invocation, api, kept);
            }
        }
        "first" => {
            if invocation.runs as u64 <= number() {
                return step(rest.split_once(' ').map_or("", |(_, command)| command), invocation, api, kept);
            }
        }
        "init-error" => {
            let (kind, body) = error(rest);
            api.call("POST", "init/error", &[("Lambda-Runtime-Function-Error-Type", kind)], &body);
            exit(1);
        }
        _ => exit(93),
    }
    Done::Continue
}

impl Api {
    fn respond(&mut self, id: &str, body: &str) {
        self.call("POST", &format!("invocation/{id}/response"), &[], body);
    }

    fn throw(&mut self, id: &str, text: &str) {
        let (kind, body) = error(text);
        let headers = [("Lambda-Runtime-Function-Error-Type", kind)];
        self.call("POST", &format!("invocation/{id}/error"), &headers, &body);
    }

    /// Streams a part of a response and reports an error in the trailers.
    fn break_off(&mut self, id: &str, text: &str) {
        let (kind, body) = error(text);
        let request = format!(
            "POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\r\nHost: {}\r\nTransfer-Encoding: chunked\r\n\
             Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n\
             5\r\n\"half\r\n0\r\nLambda-Runtime-Function-Error-Type: {kind}\r\n\
             Lambda-Runtime-Function-Error-Body: {}\r\n\r\n",
            self.address,
            encode(body.as_bytes())
        );
        self.exchange(&request);
    }

    fn call(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (Vec<(String, String)>, Vec<u8>) {
        let mut head = format!(
            "{method} /2018-06-01/runtime/{path} HTTP/1.1\r\nHost: {}\r\nContent-Length: {}\r\n",
            self.address,
            body.len()
        );
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        head.push_str(body);
        self.exchange(&head)
    }

    /// Sends a request. Returns the headers and the body of the response.
    fn exchange(&mut self, request: &str) -> (Vec<(String, String)>, Vec<u8>) {
        if self.stream.get_mut().write_all(request.as_bytes()).is_err() {
            exit(94);
        }
        let mut headers = Vec::new();
        loop {
            let mut line = String::new();
            match self.stream.read_line(&mut line) {
                Ok(0) | Err(_) => exit(95),
                Ok(_) => {}
            }
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let length = header(&headers, "content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if self.stream.read_exact(&mut body).is_err() {
            exit(96);
        }
        (headers, body)
    }
}

/// Parses `TYPE MESSAGE`. Returns the type and the error object.
fn error(text: &str) -> (&str, String) {
    let (kind, message) = text.split_once(' ').unwrap_or((text, ""));
    (kind, format!("{{\"errorType\":{kind:?},\"errorMessage\":{message:?}}}"))
}

fn failures<'a>(ids: impl Iterator<Item = &'a str>) -> String {
    let items: Vec<String> = ids
        .filter(|id| !id.is_empty())
        .map(|id| format!("{{\"itemIdentifier\":{id:?}}}"))
        .collect();
    format!("{{\"batchItemFailures\":[{}]}}", items.join(","))
}

/// Appends the payload to the journal. Returns the number of invocations in it.
fn journal(payload: &str) -> usize {
    let Some(path) = var("JOURNAL") else { return 0 };
    let line = format!("{}\n", payload.replace('\n', " "));
    let file = std::fs::OpenOptions::new().create(true).append(true).open(&path);
    let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    std::fs::read_to_string(&path).map_or(0, |text| text.lines().count())
}

/// The sequence number and the decoded data of each record in a Kinesis event.
fn records(payload: &str) -> Vec<(String, String)> {
    let compact: String = payload.to_owned();
    let sequences = quoted(&compact, "\"sequenceNumber\":\"");
    let data = quoted(&compact, "\"data\":\"");
    sequences.zip(data.map(|text| decode(&text)).collect::<Vec<_>>()).collect()
}

/// The text from each `before` to the next quote.
fn quoted<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = String> + 'a {
    text.split(before).skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned())
}

fn encode(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..4 {
            match digit <= chunk.len() {
                true => text.push(char::from(DIGITS[(bits >> (18 - 6 * digit)) as usize & 63])),
                false => text.push('='),
            }
        }
    }
    text
}

fn decode(base64: &str) -> String {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in base64.bytes() {
        let value = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn header(headers: &[(String, String)], name: &str) -> Option<String> {
    headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
}

fn var(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
