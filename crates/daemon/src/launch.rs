//! Starts a daemon as a separate process, once, even if several commands do so at the same time.

use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::Instant;

use crate::Options;
use crate::find;
use crate::home::{HomeLock, LocalHome, with_hint};
use crate::protocol::Damage;
use ground::backoff::Backoff;
use ground::duration;
use ground::error::{Error, Result};
use ground::platform;

/// Maximum time until a daemon answers. It takes a few hundredths of a second on an idle machine.
const READY_TIMEOUT: Duration = Duration::from_secs(10);
const POLL: Backoff = Backoff::constant(Duration::from_millis(2));
/// A larger log is renamed at the next start.
const MAX_LOG: u64 = 1 << 20;
/// Settings of glibc's allocator. Without them it raises its thresholds after each freed answer of 14 MiB, and four
/// readers leave 160 MB allocated instead of 40. Other allocators ignore them. Source: mallopt(3).
const ALLOCATOR: [(&str, &str); 2] = [
    ("MALLOC_MMAP_THRESHOLD_", "4194304"),
    ("MALLOC_TRIM_THRESHOLD_", "8388608"),
];
const FAILED: &str = "could not start the local cloud";
/// Lines of the log in an error.
const LOG_LINES: usize = 8;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StartOptions {
    /// Default: 4566 or the next free port.
    pub port: Option<u16>,
    pub options: Options,
}

/// A running daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Started {
    pub endpoint: String,
    pub pid: u32,
    /// Whether this call started it. If not, it runs with the options of its start.
    pub fresh: bool,
    /// Files that are damaged or missing.
    pub damage: Vec<Damage>,
}

/// Finds the daemon of `home`, or starts it and waits until it answers.
///
/// # Errors
/// Exit 4 if it cannot be started, exit 1 if `home` cannot be written.
pub async fn start(home: &Path, options: &StartOptions) -> Result<Started> {
    let home = LocalHome::new(home);
    let deadline = Instant::now() + READY_TIMEOUT;
    let mut pauses = POLL.pauses();
    let mut launched: Option<Launched> = None;
    loop {
        if let Some(health) = find(&home).await? {
            return Ok(Started {
                endpoint: health.endpoint(),
                pid: health.pid,
                fresh: launched.is_some_and(|launched| launched.child.id() == health.pid),
                damage: health.damage,
            });
        }
        match &mut launched {
            None => {
                if let Some(lock) = home.lock_start()? {
                    // The previous holder of the lock may have started a daemon.
                    if find(&home).await?.is_none() {
                        launched = Some(Launched::spawn(&home, options, lock)?);
                    }
                    continue;
                }
            }
            Some(launched) => launched.check(&home).await?,
        }
        let Some(pause) = pauses.advance_until(deadline) else {
            let limit = duration::format(READY_TIMEOUT);
            let why = format!("it was not ready within {limit}");
            return Err(failed(&home, why, launched.as_mut()));
        };
        tokio::time::sleep(pause).await;
    }
}

struct Launched {
    child: Child,
    /// Offset of this daemon's output in the log.
    log_start: u64,
    _lock: HomeLock,
}

impl Launched {
    fn spawn(home: &LocalHome, options: &StartOptions, lock: HomeLock) -> Result<Self> {
        let failed = |error: std::io::Error| with_hint(Error::unreachable(FAILED), error);
        let (log, log_start) = open_log(home).map_err(|error| {
            let log = home.log_file();
            with_hint(
                Error::failed(format!("could not open the log {}", log.display())),
                error,
            )
        })?;
        let mut command = Command::new(program().map_err(failed)?);
        command
            .args(arguments(options))
            .current_dir(home.dir())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        command.env_clear().envs(environment(home));
        Ok(Self {
            child: platform::detach(&mut command).spawn().map_err(failed)?,
            log_start,
            _lock: lock,
        })
    }

    /// Fails if the process has ended and no daemon of this home answers.
    async fn check(&mut self, home: &LocalHome) -> Result<()> {
        let Ok(Some(status)) = self.child.try_wait() else {
            return Ok(());
        };
        // `local run` in another terminal may have started first.
        if find(home).await?.is_some() {
            return Ok(());
        }
        Err(failed(home, format!("its process ended ({status})"), Some(self)))
    }

    /// What the daemon said about its failure. It is in the log, unless the log could not be written.
    fn output(&mut self, home: &LocalHome) -> String {
        let logged = log_tail(home, self.log_start);
        let has_ended = matches!(self.child.try_wait(), Ok(Some(_)));
        let Some(mut stdout) = self
            .child
            .stdout
            .take()
            .filter(|_| logged.is_empty() && has_ended)
        else {
            return logged;
        };
        let mut text = String::new();
        // What was read before an error is still of use.
        let _ = stdout.read_to_string(&mut text);
        text.trim_end().to_owned()
    }
}

/// Variables of the user that the daemon needs: directories, language and time zone, and what Windows needs to start a
/// process. It uses neither settings nor credentials, and what it inherits could load code into it or lead it elsewhere.
const INHERITED: &[&str] = &[
    "HOME",
    "LANG",
    "LC_ALL",
    "PATH",
    "RUST_BACKTRACE",
    "SystemDrive",
    "SystemRoot",
    "TEMP",
    "TMP",
    "TMPDIR",
    "TZ",
    "USERPROFILE",
];

/// The whole environment of the daemon.
fn environment(home: &LocalHome) -> Vec<(&'static str, OsString)> {
    let inherited = INHERITED
        .iter()
        .filter_map(|name| Some((*name, std::env::var_os(name)?)));
    let allocator = ALLOCATOR
        .iter()
        .map(|(name, value)| (*name, OsString::from(value)));
    let home = ("STREAMCTL_HOME", home.root().as_os_str().to_owned());
    inherited.chain(allocator).chain([home]).collect()
}

/// The path of this program. On Linux it works even after a new build replaced the file.
fn program() -> std::io::Result<PathBuf> {
    let path = std::env::current_exe()?;
    let running = Path::new("/proc/self/exe");
    if !path.exists() && running.exists() {
        return Ok(running.to_path_buf());
    }
    Ok(path)
}

fn arguments(options: &StartOptions) -> Vec<String> {
    let mut arguments: Vec<String> = ["local", "run", "--detached"].map(str::to_owned).to_vec();
    if let Some(port) = options.port {
        arguments.push(format!("--port={port}"));
    }
    let Options {
        enforce_limits,
        iterator_lifetime,
        status_delay,
        event_filters,
        data_freshness,
        clock_behind,
    } = options.options;
    if enforce_limits {
        arguments.push("--enforce-limits".to_owned());
    }
    arguments.push(format!("--iterator-lifetime={}ms", iterator_lifetime.as_millis()));
    arguments.push(format!("--status-delay={}ms", status_delay.as_millis()));
    arguments.push(format!("--event-filters={event_filters}"));
    if let Some(freshness) = data_freshness {
        arguments.push(format!("--data-freshness={}ms", freshness.as_millis()));
    }
    if let Some(behind) = clock_behind {
        arguments.push(format!("--clock-behind={}s", behind.as_secs()));
    }
    arguments
}

fn open_log(home: &LocalHome) -> std::io::Result<(File, u64)> {
    let path = home.log_file();
    let open = || {
        if std::fs::metadata(&path).is_ok_and(|meta| meta.len() > MAX_LOG) {
            std::fs::rename(&path, path.with_extension("log.old"))?;
        }
        let log = platform::open_private(platform::private_file().append(true).create(true), &path)?;
        let length = log.metadata()?.len();
        Ok((log, length))
    };
    open().map_err(|error| platform::at_path(error, &path))
}

fn failed(home: &LocalHome, why: String, launched: Option<&mut Launched>) -> Error {
    let output = launched.map(|launched| launched.output(home)).unwrap_or_default();
    if let Some((cause, Some(hint))) = told(&output) {
        return Error::unreachable(FAILED).cause(cause).hint(hint);
    }
    let cause = if let Some(error) = unwritable(home) {
        format!("{why}, and its log cannot be written: {error}")
    } else if output.is_empty() {
        why
    } else {
        format!("{why}:\n{output}")
    };
    Error::unreachable(FAILED).cause(cause).hint(format!(
        "see {}, or run `streamctl local run` to start it in the foreground",
        home.log_file().display()
    ))
}

/// The last error in `output`, with its causes in one line, and its hint.
fn told(output: &str) -> Option<(String, Option<String>)> {
    let lines: Vec<&str> = output.lines().collect();
    let first = lines.iter().rposition(|line| line.starts_with("error: "))?;
    let mut cause = lines[first].trim_start_matches("error: ").to_owned();
    let mut hint = None;
    for line in &lines[first + 1..] {
        match (line.strip_prefix("  cause: "), line.strip_prefix("hint: ")) {
            (Some(next), _) => cause.push_str(&format!(": {next}")),
            (None, Some(text)) => hint = Some(text.to_owned()),
            (None, None) => {}
        }
    }
    Some((cause, hint))
}

/// Why nothing can be written to the log, such as a full disk. The daemon then cannot say why it ended.
fn unwritable(home: &LocalHome) -> Option<std::io::Error> {
    let path = home.log_file();
    let written = platform::private_file()
        .append(true)
        .create(true)
        .open(&path)
        .and_then(|mut log| log.write_all(b"\n"));
    written.err().map(|error| platform::at_path(error, &path))
}

/// The last lines of the daemon's output.
fn log_tail(home: &LocalHome, start: u64) -> String {
    let mut text = Vec::new();
    let read = platform::open_private(platform::private_file().read(true), &home.log_file());
    let read = read.and_then(|mut log| {
        log.seek(SeekFrom::Start(start))?;
        log.read_to_end(&mut text)
    });
    if read.is_err() {
        return String::new();
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LOG_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_of_the_daemon_is_the_cause() {
        let output = "WARN something\nerror: could not listen on port 7\n  cause: address in use\nhint: choose another port";
        assert_eq!(
            told(output),
            Some((
                "could not listen on port 7: address in use".to_owned(),
                Some("choose another port".to_owned())
            ))
        );
        assert_eq!(told("error: no hint"), Some(("no hint".to_owned(), None)));
        assert_eq!(told("thread panicked"), None);
    }

    #[test]
    fn options_are_passed_as_arguments() {
        let options = StartOptions {
            port: Some(0),
            options: Options {
                enforce_limits: true,
                ..Options::default()
            },
        };
        assert_eq!(
            arguments(&options).join(" "),
            "local run --detached --port=0 --enforce-limits --iterator-lifetime=300000ms --status-delay=20ms --event-filters=5"
        );
    }

    #[test]
    fn the_environment_is_an_allow_list() {
        let dir = tempfile::tempdir().unwrap();
        let names: Vec<&str> = environment(&LocalHome::new(dir.path()))
            .iter()
            .map(|(name, _)| *name)
            .collect();
        assert!(names.contains(&"STREAMCTL_HOME"));
        // The test runner has variables of its own, such as CARGO_MANIFEST_DIR.
        let own = ["STREAMCTL_HOME", ALLOCATOR[0].0, ALLOCATOR[1].0];
        assert!(
            names
                .iter()
                .all(|name| INHERITED.contains(name) || own.contains(name)),
            "{names:?}"
        );
    }

    #[test]
    fn the_tail_has_only_output_of_this_start() {
        let dir = tempfile::tempdir().unwrap();
        let home = LocalHome::new(dir.path());
        home.prepare().unwrap();
        std::fs::write(home.log_file(), "old\nerror: one\nhint: two\n").unwrap();
        assert_eq!(log_tail(&home, 4), "error: one\nhint: two");
        assert_eq!(log_tail(&home, 400), "");
    }
}
