use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use protocol::prove_answer;

fn health(port: u16) -> Vec<u8> {
    let health = Health {
        version: "0.1.0".to_owned(),
        pid: 7,
        port,
        started_ms: 1,
        uptime_seconds: 1,
        home: "/home".to_owned(),
        requests: 0,
        streams: 0,
        resident_bytes: None,
        clock_offset_ms: 0,
        damage: Vec::new(),
    };
    serde_json::to_vec(&health).unwrap()
}

fn answer(body: &[u8], proof: &str, rest: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{PROOF_HEADER}: {proof}\r\n\r\n");
    [head.as_bytes(), body, rest.as_bytes()].concat()
}

/// How a process at the port answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Process {
    /// The daemon of the home, on a slow machine.
    Daemon,
    /// It repeats an answer that the daemon gave to another nonce.
    Replay,
    /// It passes on the answer of a daemon at another port.
    Relay,
    /// It knows another secret.
    OtherHome,
    /// It sends a second answer with the first.
    Eager,
    Closes,
    NotHttp,
}

/// Answers one connection at `listener`, and returns all that is sent to it, after the string `ping` is answered.
async fn serve(listener: TcpListener, secret: Secret, process: Process) -> String {
    let port = listener.local_addr().unwrap().port();
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") && stream.read_buf(&mut seen).await.unwrap() > 0 {}
    let text = String::from_utf8(seen.clone()).unwrap();
    let nonce = text
        .split(&format!("{NONCE_HEADER}: "))
        .nth(1)
        .unwrap()
        .lines()
        .next()
        .unwrap();
    let body = health(port);
    let bytes = match process {
        Process::Daemon => answer(&body, &prove_answer(&secret, nonce, &body), ""),
        Process::Replay => answer(&body, &prove_answer(&secret, "another", &body), ""),
        Process::Relay => {
            let body = health(port ^ 1);
            answer(&body, &prove_answer(&secret, nonce, &body), "")
        }
        Process::OtherHome => answer(&body, &prove_answer(&Secret::for_tests(), nonce, &body), ""),
        Process::Eager => answer(&body, &prove_answer(&secret, nonce, &body), "HTTP/1.1 200 OK\r\n"),
        Process::Closes => Vec::new(),
        Process::NotHttp => b"SSH-2.0-OpenSSH_9.9\r\n\r\n".to_vec(),
    };
    for part in bytes.chunks(100) {
        // The client may have read enough.
        if stream.write_all(part).await.is_err() {
            break;
        }
        tokio::task::yield_now().await;
    }
    if process == Process::Daemon {
        let mut ping = [0; 4];
        stream.read_exact(&mut ping).await.unwrap();
        stream.write_all(&ping).await.unwrap();
    }
    stream.shutdown().await.ok();
    let _ = stream.read_to_end(&mut seen).await;
    String::from_utf8(seen).unwrap()
}

#[tokio::test]
async fn only_the_daemon_of_the_home_gets_a_connection() {
    let dir = tempfile::tempdir().unwrap();
    let home = LocalHome::new(dir.path());
    let lock = home.lock_daemon().unwrap().unwrap();
    let secret = home.secret_or_new(&lock).unwrap();
    for process in [
        Process::Daemon,
        Process::Replay,
        Process::Relay,
        Process::OtherHome,
        Process::Eager,
        Process::Closes,
        Process::NotHttp,
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let served = tokio::spawn(serve(listener, secret.clone(), process));
        match connect(&home, port).await {
            Ok(mut stream) => {
                assert_eq!(process, Process::Daemon);
                stream.write_all(b"ping").await.unwrap();
                let mut pong = String::new();
                stream.read_to_string(&mut pong).await.unwrap();
                assert_eq!(pong, "ping", "nothing of the proof is left");
            }
            Err(error) => {
                assert_ne!(process, Process::Daemon, "{error}");
                assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused, "{process:?}");
                assert!(error.to_string().contains("did not prove"), "{process:?} {error}");
                let seen = served.await.unwrap();
                assert_eq!(seen.matches("\r\n\r\n").count(), 1, "{process:?} {seen}");
                assert!(
                    seen.starts_with("GET /_streamctl/health?proof "),
                    "{process:?} {seen}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_home_without_a_secret_has_no_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(listener, Secret::generate(), Process::Daemon));
    assert!(connect(&LocalHome::new(dir.path()), port).await.is_err());
}
