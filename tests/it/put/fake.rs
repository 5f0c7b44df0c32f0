//! A fake endpoint: a test decides the result of each PutRecords entry.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use serde_json::{Value, json};

/// Decides the result of an entry: `None` if it is stored, otherwise its error code.
type Verdict = dyn Fn(&Value) -> Option<&'static str> + Send + Sync;

/// Starts the endpoint and returns its URL.
pub fn kinesis(verdict: impl Fn(&Value) -> Option<&'static str> + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let verdict: Arc<Verdict> = Arc::new(verdict);
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let verdict = Arc::clone(&verdict);
            std::thread::spawn(move || answer(socket.unwrap(), &*verdict));
        }
    });
    format!("http://{address}")
}

fn answer(mut socket: TcpStream, verdict: &Verdict) {
    let Some((head, body)) = request(&mut socket) else {
        return;
    };
    let answer = if body.starts_with(b"Action=") {
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Arn>arn:aws:iam::111122223333:user/eve</Arn><UserId>E</UserId><Account>111122223333</Account>\
         </GetCallerIdentityResult></GetCallerIdentityResponse>"
            .to_owned()
    } else if head.contains("DescribeStreamSummary") {
        json!({"StreamDescriptionSummary": {
            "StreamName": "concert-data-stream",
            "StreamARN": "arn:aws:kinesis:us-east-1:111122223333:stream/concert-data-stream",
            "StreamStatus": "ACTIVE", "RetentionPeriodHours": 24, "StreamCreationTimestamp": 1.0,
            "EnhancedMonitoring": [], "OpenShardCount": 1
        }})
        .to_string()
    } else if head.contains("ListShards") {
        json!({"Shards": [{
            "ShardId": "shardId-000000000000",
            "HashKeyRange": {"StartingHashKey": "0", "EndingHashKey": "340282366920938463463374607431768211455"},
            "SequenceNumberRange": {"StartingSequenceNumber": "49590338271490256608559692538361571095921575989136588898"}
        }]})
        .to_string()
    } else {
        let body: Value = serde_json::from_slice(&body).unwrap();
        let entries = body["Records"].as_array().unwrap();
        let answers: Vec<Value> = entries.iter().map(|entry| entry_answer(verdict(entry))).collect();
        let failed = answers
            .iter()
            .filter(|answer| answer["ErrorCode"].is_string())
            .count();
        json!({"FailedRecordCount": failed, "Records": answers}).to_string()
    };
    let length = answer.len();
    let _ = write!(
        socket,
        "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{answer}"
    );
}

fn entry_answer(code: Option<&str>) -> Value {
    match code {
        Some(code) => json!({"ErrorCode": code, "ErrorMessage": "Internal service failure."}),
        None => {
            json!({"SequenceNumber": "49590338271490256608559692538361571095921575989136588898", "ShardId": "shardId-000000000000"})
        }
    }
}

/// Reads the head and body of one request.
fn request(socket: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 64 * 1024];
    loop {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
            let length: usize = head
                .lines()
                .find_map(|line| {
                    line.to_lowercase()
                        .strip_prefix("content-length:")?
                        .trim()
                        .parse()
                        .ok()
                })
                .unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                return Some((head, bytes[end + 4..].to_vec()));
            }
        }
        match socket.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(read) => bytes.extend_from_slice(&buffer[..read]),
        }
    }
}
