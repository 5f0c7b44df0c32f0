//! Runs a command in the background: reads its output line by line, sends signals and waits for its end.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::support::Machine;

/// Time limit for any single step of a test.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Polls `ready` until it returns a value.
pub fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ready() {
            return found;
        }
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A running `streamctl`.
pub struct Running {
    child: Child,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

/// The result of a process that has ended.
pub struct Ended {
    pub code: Option<i32>,
    /// Lines of stdout that were not read before.
    pub lines: Vec<String>,
    pub stderr: String,
}

impl Running {
    /// Starts `streamctl ARGS` on `machine`, with stdin, stdout and stderr piped.
    pub fn start<const N: usize>(machine: &Machine, args: [&str; N]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_streamctl"))
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", machine.path())
            .env("STREAMCTL_HOME", machine.path().join("streamctl-home"))
            .env("STREAMCTL_TARGET", "local")
            .current_dir(machine.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (sender, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.split(b'\n') {
                let line = String::from_utf8_lossy(&line.unwrap()).into_owned();
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = Arc::new(Mutex::new(String::new()));
        let said = Arc::clone(&stderr);
        let mut pipe = child.stderr.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = pipe.read(&mut buffer) {
                said.lock()
                    .unwrap()
                    .push_str(&String::from_utf8_lossy(&buffer[..read]));
            }
        });
        Self {
            stdin: child.stdin.take(),
            child,
            lines,
            stderr,
            reader: Some(reader),
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes to its stdin. Returns `false` if stdin is closed.
    pub fn write(&mut self, text: &str) -> bool {
        let stdin = self.stdin.as_mut().unwrap();
        stdin
            .write_all(text.as_bytes())
            .and_then(|()| stdin.flush())
            .is_ok()
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    /// The next line of stdout.
    pub fn line(&mut self) -> String {
        self.lines
            .recv_timeout(PATIENCE)
            .unwrap_or_else(|_| panic!("no line came; it said: {}", self.said()))
    }

    /// The content of stderr so far.
    pub fn said(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// Waits until stderr contains `text`.
    pub fn says(&self, text: &str) {
        until(text, || self.said().contains(text).then_some(()));
    }

    /// Sends the signal `name`, such as INT.
    pub fn signal(&self, name: &str) {
        let pid = self.pid().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status()
            .unwrap();
        assert!(status.success());
    }

    /// Closes its stdin and waits for its end.
    pub fn end(mut self) -> Ended {
        self.close_stdin();
        let said = Arc::clone(&self.stderr);
        let code = until("the end of the command", || {
            let status = self.child.try_wait().unwrap();
            status.map(|status| status.code())
        });
        let lines = self.lines.iter().collect();
        // When the pipe is closed, all of it has been read.
        self.reader.take().unwrap().join().unwrap();
        let stderr = said.lock().unwrap().clone();
        Ended { code, lines, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
