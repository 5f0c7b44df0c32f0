//! Who is served: the user of the daemon, and nobody else on the machine. Tests that need a second user run as root only.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::running::Running;
use crate::support::{Cloud, Machine};

/// The user `nobody`.
#[cfg(target_os = "linux")]
const NOBODY: u32 = 65534;

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

/// Sends a request as text and returns the answer.
fn exchange(endpoint: &str, request: &str) -> String {
    let address = endpoint.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// A request that names any key, as every user of the machine could send it.
fn with_any_key(service: &str, method: &str, path: &str, headers: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\
         Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, \
         SignedHeaders=host, Signature=00\r\n\r\n{body}",
        body.len()
    )
}

fn kinesis(operation: &str, body: &str) -> String {
    let headers =
        format!("X-Amz-Target: Kinesis_20131202.{operation}\r\nContent-Type: application/x-amz-json-1.1\r\n");
    with_any_key("kinesis", "POST", "/", &headers, body)
}

/// Runs `work` as `nobody`. The rest of the process stays root: credentials are of a thread on Linux.
#[cfg(target_os = "linux")]
fn as_nobody<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    use rustix::process::{Gid, Uid};
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let (uid, gid) = (Uid::from_raw(NOBODY), Gid::from_raw(NOBODY));
            rustix::thread::set_thread_groups(&[]).unwrap();
            rustix::thread::set_thread_res_gid(gid, gid, gid).unwrap();
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            work()
        });
        Some(thread.join().unwrap())
    })
}

#[cfg(target_os = "linux")]
#[test]
fn another_user_can_neither_read_write_run_nor_stop() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let function = r#"{"FunctionName":"f","Role":"arn:aws:iam::000000000000:role/r","Handler":"h",
        "Runtime":"provided.al2023","Code":{"ZipFile":""}}"#;
    let requests = [
        kinesis("ListStreams", "{}"),
        kinesis(
            "PutRecord",
            r#"{"StreamName":"orders","PartitionKey":"1","Data":"eA=="}"#,
        ),
        kinesis("DeleteStream", r#"{"StreamName":"orders"}"#),
        with_any_key("lambda", "POST", "/2015-03-31/functions", "", function),
        with_any_key("lambda", "POST", "/2015-03-31/functions/f/invocations", "", "{}"),
        with_any_key("s3", "GET", "/", "", ""),
        with_any_key("s3", "PUT", "/bucket", "", ""),
        // What functions sign with is not valid either: their keys cannot be guessed.
        kinesis("ListStreams", "{}").replace("Credential=test", "Credential=FN0000000000000123456789ABCDEF"),
        "GET /_streamctl/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".to_owned(),
        "POST /_streamctl/stop HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
            .to_owned(),
    ];
    let home = cloud.path().join("streamctl-home/local");
    let tried = as_nobody(|| {
        let answers: Vec<String> = requests
            .iter()
            .map(|request| exchange(&cloud.endpoint, request))
            .collect();
        let denied = |error: std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
        let files = ["secret", "daemon.json", "daemon.log", "data"];
        let files = files.map(|name| std::fs::File::open(home.join(name)).is_err_and(denied));
        let control = std::os::unix::net::UnixStream::connect(home.join("control.sock"));
        (answers, files, control.is_err_and(denied))
    });
    let Some((answers, files, control)) = tried else {
        eprintln!("skipped: only root can run this as another user");
        return;
    };
    for (request, answer) in requests.iter().zip(answers) {
        assert!(answer.starts_with("HTTP/1.1 403"), "{request}\n{answer}");
        let reason = answer.contains("serves the user who started it")
            || answer.contains("Missing Authentication Token");
        assert!(reason, "{request}\n{answer}");
    }
    assert_eq!((files, control), ([true; 4], true));
    // The same requests are the owner's right.
    assert!(exchange(&cloud.endpoint, &requests[0]).contains("orders"));
    assert!(cloud.records("orders").is_empty());
    assert_eq!(cloud.json(["local", "status"])["running"], true);
}

#[cfg(target_os = "linux")]
#[test]
fn the_secret_of_the_home_works_for_another_user() {
    use std::os::unix::process::CommandExt;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can run this as another user");
        return;
    }
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let env = cloud.json(["local", "env"]);
    // A place that the other user can enter.
    let place = tempfile::tempdir().unwrap();
    std::fs::set_permissions(place.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = place.path().join("streamctl");
    let built = Path::new(env!("CARGO_BIN_EXE_streamctl"));
    if std::fs::hard_link(built, &program).is_err() {
        std::fs::copy(built, &program).unwrap();
    }
    let list = |secret: &str| -> Output {
        std::process::Command::new(&program)
            .args(["list", "-o", "text", "--endpoint-url", &cloud.endpoint])
            .env_clear()
            .env("HOME", "/nonexistent")
            .env("STREAMCTL_HOME", "/nonexistent")
            .env("AWS_ACCESS_KEY_ID", "local")
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_REGION", "us-east-1")
            .current_dir("/")
            .uid(NOBODY)
            .gid(NOBODY)
            .output()
            .unwrap()
    };
    let refused = list("test");
    assert_eq!(refused.status.code(), Some(4), "{refused:?}");
    assert!(
        text(&refused.stderr).contains("serves the user who started it"),
        "{refused:?}"
    );
    let allowed = list(env["AWS_SECRET_ACCESS_KEY"].as_str().unwrap());
    assert!(allowed.status.success(), "{allowed:?}");
    assert!(text(&allowed.stdout).contains("orders"), "{allowed:?}");
}

/// A process that took the port of a killed daemon, and gives the answers that the daemon gave.
#[test]
fn a_process_that_takes_the_port_is_not_believed() {
    let mut cloud = Cloud::start();
    let health = "GET /_streamctl/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let health = exchange(&cloud.endpoint, health);
    assert!(health.contains("\"pid\""), "{health}");
    cloud.kill();
    let address = cloud.endpoint.strip_prefix("http://").unwrap().to_owned();
    let thief = std::net::TcpListener::bind(&address).unwrap();
    let (sender, taken) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for stream in thief.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = vec![0; 64 * 1024];
            let length = stream.read(&mut request).unwrap_or(0);
            let _ = stream.write_all(health.as_bytes());
            let _ = sender.send(String::from_utf8_lossy(&request[..length]).into_owned());
        }
    });
    assert_eq!(cloud.json(["local", "status"])["running"], false);
    cloud.ok(["local", "stop"]);
    let file = cloud.file("records.json", "{\"secret\": \"precious\"}\n");
    cloud.ok(["setup", "--stream", "orders"]);
    cloud.ok(["put", "--stream", "orders", "--file", file.to_str().unwrap()]);
    let status = cloud.json(["local", "status"]);
    assert_ne!(status["endpoint"], cloud.endpoint.as_str(), "the port is taken");
    cloud.ok(["local", "stop"]);
    let taken: Vec<String> = taken.try_iter().collect();
    assert!(taken.iter().all(String::is_empty), "{taken:?}");
}

/// A process that takes the port of a killed daemon, gives the answer that the daemon gave to a health check, and records
/// what it is sent.
struct Thief {
    seen: Arc<Mutex<String>>,
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<()>,
}

impl Thief {
    fn take(endpoint: &str, health: String) -> Self {
        let listener = std::net::TcpListener::bind(endpoint.strip_prefix("http://").unwrap()).unwrap();
        listener.set_nonblocking(true).unwrap();
        let (seen, stop) = (Arc::<Mutex<String>>::default(), Arc::<AtomicBool>::default());
        let (record, is_over) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !is_over.load(Ordering::SeqCst) {
                let Ok((mut stream, _)) = listener.accept() else {
                    std::thread::sleep(Duration::from_millis(2));
                    continue;
                };
                stream.set_nonblocking(false).unwrap();
                let (record, health) = (Arc::clone(&record), health.clone());
                std::thread::spawn(move || {
                    let mut part = [0; 64 * 1024];
                    while let Ok(length @ 1..) = stream.read(&mut part) {
                        let text = String::from_utf8_lossy(&part[..length]).into_owned();
                        record.lock().unwrap().push_str(&text);
                        let _ = stream.write_all(health.as_bytes());
                    }
                });
            }
        });
        Self { seen, stop, thread }
    }

    /// Ends it. Returns what it was sent.
    fn end(self) -> String {
        self.stop.store(true, Ordering::SeqCst);
        self.thread.join().unwrap();
        self.seen.lock().unwrap().clone()
    }
}

#[test]
fn running_commands_send_nothing_to_a_process_that_takes_the_port() {
    const STREAM: &str = "concert-data-stream";
    let mut cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let mut tail = Running::start(&cloud, ["tail", "-o", "text"]);
    tail.says("Waiting for new records");
    let mut put = Running::start(&cloud, ["put", "-o", "json"]);
    assert!(put.write("{\"n\":\"first\"}\n"));
    assert_eq!(tail.line(), "{\"n\":\"first\"}");
    // Kept open, as an answer that another process could have seen is.
    let health = "GET /_streamctl/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                  x-streamctl-nonce: 1\r\n\r\n";
    let health = exchange(&cloud.endpoint, health);
    assert!(health.contains("x-streamctl-proof"), "{health}");
    let health = health.replace("connection: close\r\n", "");
    cloud.kill();
    let thief = Thief::take(&cloud.endpoint, health);
    assert!(put.write("{\"n\":\"precious\"}\n"));
    tail.says("could not read");
    put.says("trying again");
    let seen = thief.end();
    assert!(seen.contains("GET /_streamctl/health"), "{seen}");
    let lower = seen.to_ascii_lowercase();
    for secret in ["precious", "authorization", "x-amz", "kinesis", "post "] {
        assert!(!lower.contains(secret), "{secret}: {seen}");
    }
    // The daemon is back: both go on, and nothing is missing.
    cloud.restart_in_place();
    assert_eq!(tail.line(), "{\"n\":\"precious\"}");
    let ended = put.end();
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    assert_eq!(cloud.records(STREAM).len(), 2);
    tail.signal("INT");
    assert_eq!(tail.end().lines, Vec::<String>::new());
}

#[test]
fn connections_that_say_nothing_do_not_lock_out_stop() {
    ground::platform::raise_file_limit(4096);
    let cloud = Cloud::start();
    let address = cloud.endpoint.strip_prefix("http://").unwrap();
    let mut open = Vec::new();
    for _ in 0..2_200 {
        match TcpStream::connect(address) {
            Ok(mut stream) => {
                let _ = stream.write_all(b"POST / HTTP/1.1\r\n");
                open.push(stream);
            }
            Err(_) => break,
        }
    }
    let begun = Instant::now();
    assert_eq!(cloud.json(["local", "status"])["running"], true);
    cloud.ok(["list"]);
    cloud.ok(["local", "stop"]);
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(cloud.json(["local", "status"])["running"], false);
}

#[test]
fn a_home_that_others_can_change_is_refused() {
    let machine = Machine::new();
    let local = machine.path().join("streamctl-home/local");
    std::fs::create_dir_all(&local).unwrap();
    std::fs::set_permissions(&local, PermissionsExt::from_mode(0o777)).unwrap();
    for command in [
        &["local", "start"][..],
        &["local", "status"],
        &["local", "env"],
        &["local", "stop"],
        &["local", "reset", "--yes"],
        &["list"],
    ] {
        let output = machine.streamctl(command).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{command:?} {output:?}");
        let said = text(&output.stderr);
        assert!(
            said.contains("is not safe to use") && said.contains("hint: "),
            "{command:?} {said}"
        );
    }
    assert_eq!(
        std::fs::read_dir(&local).unwrap().count(),
        0,
        "nothing was written"
    );
    std::fs::set_permissions(&local, PermissionsExt::from_mode(0o700)).unwrap();
    // Links in place of the files that it opens.
    let precious = machine.file("precious", "precious");
    for name in ["daemon.log", "daemon.lock", "start.lock"] {
        let link = local.join(name);
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        let said = machine.fails(if name == "daemon.lock" { 4 } else { 1 }, ["local", "start"]);
        assert!(said.contains("symbolic link"), "{name}: {said}");
        std::fs::remove_file(&link).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&precious).unwrap(), "precious");
}

#[test]
fn the_path_of_the_home_may_be_long() {
    let machine = Machine::new();
    let home = machine.path().join("h".repeat(100)).join("i".repeat(100));
    let run = |args: &[&str]| {
        let output = machine
            .streamctl(args)
            .env("STREAMCTL_HOME", &home)
            .output()
            .unwrap();
        assert!(output.status.success(), "{args:?} {output:?}");
        output
    };
    run(&["local", "start", "--port", "0"]);
    let status = run(&["local", "status", "-o", "json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert_eq!(status["running"], true);
    let stopped = run(&["local", "stop"]);
    assert!(
        text(&stopped.stderr).contains("Stopped the local cloud"),
        "{stopped:?}"
    );
}

/// A small file system of its own, which only root can make.
#[cfg(target_os = "linux")]
struct SmallDisk<'a>(&'a Path);

#[cfg(target_os = "linux")]
impl<'a> SmallDisk<'a> {
    fn mount(at: &'a Path) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64k", "none"])
            .arg(at)
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(at))
    }
}

#[cfg(target_os = "linux")]
impl Drop for SmallDisk<'_> {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(self.0)
            .output();
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_start_on_a_full_disk_says_so() {
    let machine = Machine::new();
    let home = machine.path().join("streamctl-home");
    let Some(_disk) = SmallDisk::mount(&home) else {
        eprintln!("skipped: only root can make a small disk");
        return;
    };
    // Less and less is left.
    for left in [40_000, 16_000, 4_096, 0] {
        let filler = home.join("filler");
        let _ = std::fs::remove_file(&filler);
        let _ = std::fs::remove_dir_all(home.join("local"));
        let _ = std::fs::write(&filler, vec![0; 64 * 1024 - left]);
        let output = machine
            .streamctl(["local", "start", "--port", "0"])
            .output()
            .unwrap();
        let said = text(&output.stderr);
        if output.status.success() {
            machine.ok(["local", "stop"]);
            continue;
        }
        assert!(said.contains("No space left on device"), "{left} left: {said}");
        assert!(said.contains(home.to_str().unwrap()), "{left} left: {said}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn no_process_of_a_function_outlives_a_stop() {
    no_process_outlives(|cloud| drop(cloud.ok(["local", "stop"])));
}

#[cfg(target_os = "linux")]
#[test]
fn no_process_of_a_function_outlives_a_kill() {
    no_process_outlives(Cloud::kill);
}

/// A process of a function has left its group and session, and its parent has ended.
#[cfg(target_os = "linux")]
fn no_process_outlives(end: fn(&mut Cloud)) {
    use aws_sdk_lambda::primitives::Blob;
    use aws_sdk_lambda::types::{FunctionCode, InvocationType, Runtime};
    use zip::write::{SimpleFileOptions, ZipWriter};

    use crate::support::block_on;

    let mut cloud = Cloud::start();
    let noted = cloud.path().join("pid");
    let script = format!(
        "#!/bin/sh\n(setsid sh -c 'echo $$ > {0}.new; mv {0}.new {0}; exec sleep 1000' >/dev/null 2>&1 &)\nsleep 1000\n",
        noted.display()
    );
    let mut zip = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().unix_permissions(0o755);
    zip.start_file("bootstrap", options).unwrap();
    zip.write_all(script.as_bytes()).unwrap();
    let zip = zip.finish().unwrap().into_inner();
    let sdk = cloud.sdk();
    block_on(async {
        let iam = aws_sdk_iam::Client::new(&sdk);
        let trust = r#"{"Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Principal":{"Service":"lambda.amazonaws.com"}}]}"#;
        let role = iam
            .create_role()
            .role_name("r")
            .assume_role_policy_document(trust);
        role.send().await.unwrap();
        let lambda = aws_sdk_lambda::Client::new(&sdk);
        let made = lambda
            .create_function()
            .function_name("f")
            .role("arn:aws:iam::000000000000:role/r")
            .handler("h")
            .runtime(Runtime::Providedal2023)
            .code(FunctionCode::builder().zip_file(Blob::new(zip)).build());
        made.send().await.unwrap();
        // It is Pending at first.
        loop {
            let invoked = lambda
                .invoke()
                .function_name("f")
                .invocation_type(InvocationType::Event);
            if invoked.send().await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let deadline = Instant::now() + Duration::from_secs(20);
    while !noted.exists() {
        assert!(Instant::now() < deadline, "the function does not run");
        std::thread::sleep(Duration::from_millis(5));
    }
    let pid = std::fs::read_to_string(&noted).unwrap();
    let process = Path::new("/proc").join(pid.trim());
    assert!(process.exists());
    end(&mut cloud);
    // Nobody may wait for an orphan in a container: what is left of it has no memory.
    while std::fs::read(process.join("environ")).is_ok_and(|environment| !environment.is_empty()) {
        assert!(
            Instant::now() < deadline,
            "process {pid} outlives the local cloud"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}
