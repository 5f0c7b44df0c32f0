//! Trouble of the machine that the local cloud runs on: a full disk, a home that cannot be written, a taken port, too few open
//! files. Who runs a command learns the cause and what helps.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use crate::functions::compiled;
use crate::support::{Cloud, Machine};

/// A file system in memory as the home of the local cloud of a machine.
struct Disk(PathBuf);

impl Disk {
    /// `None` where file systems cannot be mounted: not Linux, or not root.
    fn mount(machine: &Machine, options: &str) -> Option<Self> {
        let path = machine.path().join("streamctl-home");
        std::fs::create_dir(&path).unwrap();
        let options = format!("mode=0700,{options}");
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &options, "tmpfs"])
            .arg(&path)
            .output();
        if mounted.is_ok_and(|output| output.status.success()) {
            return Some(Self(path));
        }
        skip();
        None
    }

    /// Leaves room for `kibibytes`.
    fn fill(&self, kibibytes: usize) {
        let block = vec![0; 1024];
        let mut blocks = 0;
        let filler = self.0.join("filler");
        let mut file = std::fs::File::create(&filler).unwrap();
        while std::io::Write::write_all(&mut file, &block).is_ok() {
            blocks += 1;
        }
        let kept = (blocks - kibibytes.min(blocks)) * block.len();
        file.set_len(u64::try_from(kept).unwrap()).unwrap();
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A local cloud may still have files open.
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

#[allow(clippy::print_stderr, reason = "the only way to say that a test did not run")]
fn skip() {
    eprintln!("skipped: no file system can be mounted (run it as root on Linux)");
}

/// What the system and SQLite say of a full disk.
const FULL: &[&str] = &["No space left on device", "disk is full"];

/// A program that takes more than 3 MiB in a zip: bytes that cannot be compressed follow it.
fn large_code() -> Vec<u8> {
    let mut code = std::fs::read(compiled::executable()).unwrap();
    let mut state = 1_u64;
    for _ in 0..400_000 {
        // Xorshift: Marsaglia, "Xorshift RNGs", 2003.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        code.extend(state.to_le_bytes());
    }
    code
}

/// The stderr of a command that must fail.
fn failed(cloud: &Cloud, args: &[&str]) -> String {
    let output = cloud.streamctl(args).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{args:?}: {said}");
    said
}

/// That `said` is an error with this cause and hint, and has no words that hide the cause.
fn check(said: &str, causes: &[&str], hint: &str) {
    // `setup` names the resource that failed.
    assert!(said.contains("error: ") || said.contains(": failed: "), "{said}");
    assert!(causes.iter().any(|cause| said.contains(cause)), "{said}");
    assert!(said.contains(&format!("\nhint: {hint}")), "{said}");
    for word in [
        "InternalFailure",
        "ServiceException",
        "Could not unzip",
        "no such table",
    ] {
        assert!(!said.contains(word), "{said}");
    }
}

#[test]
fn a_home_that_cannot_be_written_is_named() {
    let machine = Machine::new();
    let Some(_disk) = Disk::mount(&machine, "size=4m,ro") else {
        return;
    };
    for line in ["list", "setup", "local start"] {
        let mut command = machine.streamctl(line.split(' '));
        let output = command.assert().code(1).get_output().clone();
        let said = String::from_utf8(output.stderr).unwrap();
        check(
            &said,
            &["Read-only file system"],
            "set STREAMCTL_HOME to a directory that can be written\n",
        );
    }
}

#[test]
fn a_full_disk_is_named_by_each_command_and_does_no_harm() {
    let machine = Machine::new();
    let Some(disk) = Disk::mount(&machine, "size=64m") else {
        return;
    };
    machine.ok(["local", "start", "--port", "0"]);
    let mut cloud = Cloud::of(machine);
    cloud.stream("orders", 1);
    cloud.file("bootstrap", large_code());

    disk.fill(0);
    // More than the room that is left in the last block of a file.
    let put = format!("put orders --data {}", "x".repeat(9_000));
    for line in [
        "create clicks",
        &put,
        "dlq list failed",
        "deploy retail-event-processor",
        "setup --stream clicks",
    ] {
        let said = failed(&cloud, &line.split(' ').collect::<Vec<_>>());
        check(&said, FULL, "free space on the disk of the local cloud");
    }

    // Room for the tables, and none for the code.
    disk.fill(1500);
    let said = failed(&cloud, &["deploy", "scorer", "--bootstrap", "bootstrap"]);
    check(&said, FULL, "free space on the disk of the local cloud");

    disk.free();
    cloud.ok(["put", "orders", "--data", "hello"]);
    cloud.ok(["deploy", "scorer", "--bootstrap", "bootstrap"]);
    assert_eq!(cloud.json(["local", "status"])["damage"], serde_json::json!([]));
    cloud.kill();
    cloud.restart();
    assert_eq!(cloud.json(["local", "status"])["damage"], serde_json::json!([]));
    assert_eq!(cloud.records("orders").len(), 1);
}

#[test]
fn a_port_that_is_taken_is_named() {
    let machine = Machine::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let said = machine.fails(4, ["local", "start", "--port", &port]);
    assert_eq!(
        said,
        format!(
            "error: could not start the local cloud\n  cause: could not listen on port {port}: address in use\n\
             hint: choose another port, or leave --port out to take one that is free\n"
        )
    );
}

#[cfg(unix)]
#[test]
fn a_limit_of_open_files_that_is_too_low_is_named() {
    let machine = Machine::new();
    // A command itself needs some ten.
    for limit in [5, 14, 32, 63] {
        let start = machine.streamctl(["local", "start", "--port", "0"]);
        let mut shell = assert_cmd::Command::new("sh");
        shell
            .arg("-c")
            .arg(format!("ulimit -n {limit}; exec \"$@\""))
            .arg("sh")
            .arg(start.get_program())
            .args(start.get_args())
            .env_clear()
            .envs(start.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .current_dir(machine.path());
        let output = shell.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{limit}: {said}");
        assert!(said.contains("open files"), "{limit}: {said}");
        assert!(said.contains("`ulimit -n 1024`"), "{limit}: {said}");
    }
    machine.ok(["local", "start", "--port", "0"]);
    machine.ok(["local", "stop"]);
}

/// The stack that Rust's standard library asks for can be set, and no machine has 64 TiB for it.
#[cfg(target_os = "linux")]
#[test]
fn no_memory_for_a_thread_is_named() {
    let machine = Machine::new();
    for command in [&["list"][..], &["put", "--data", "{}"], &["local", "start"]] {
        let mut command = machine.streamctl(command);
        let output = command.env("RUST_MIN_STACK", (1_u64 << 46).to_string()).output();
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(1));
        insta::allow_duplicates! {
            insta::assert_snapshot!(String::from_utf8(output.stderr).unwrap(), @r"
            error: could not start the threads of this command
              cause: Resource temporarily unavailable (os error 11)
            hint: free some memory, or raise the limit of processes with `ulimit -u 1024`
            ");
        }
    }
    machine.ok(["list"]);
}
