//! What happens at the same time: Ctrl-C while an answer is awaited, and two runs of one command.

use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::support::{Cloud, Machine};

/// `streamctl ARGS` on `machine`, in the background.
fn spawn(machine: &Machine, args: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_streamctl"))
        .args(args)
        .env_clear()
        .env("HOME", machine.path())
        .env("STREAMCTL_HOME", machine.path().join("streamctl-home"))
        .env("STREAMCTL_TARGET", "local")
        .current_dir(machine.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// The first Ctrl-C ends any command while its first call is not answered.
#[test]
fn ctrl_c_ends_a_command_that_waits_for_its_first_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (tell, connected) = mpsc::channel();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((socket, _)) = listener.accept() {
            held.push(socket);
            if tell.send(()).is_err() {
                return;
            }
        }
    });
    let machine = Machine::new();
    machine.file("r.json", "{\"a\":1}\n");
    let commands: [&[&str]; 18] = [
        &["setup", "--yes"],
        &["setup", "retail", "--yes"],
        &["destroy", "--yes"],
        &["create", "orders"],
        &["delete", "orders", "--yes"],
        &["put", "orders", "--file", "r.json"],
        &["tail", "orders"],
        &["logs", "scorer"],
        &["deploy", "retail-event-processor"],
        &["undeploy", "scorer", "--yes"],
        &["attach", "scorer", "--stream", "orders"],
        &["invoke", "scorer"],
        &["dlq", "list", "failed"],
        &["consumer", "list", "orders"],
        &["tag", "list", "orders"],
        &["encrypt", "orders"],
        &["reshard", "orders", "--to", "4"],
        &["doctor"],
    ];
    for words in commands {
        while connected.try_recv().is_ok() {}
        let endpoint = ["--endpoint-url", &url, "--region", "us-east-1"];
        let mut child = Command::new(env!("CARGO_BIN_EXE_streamctl"))
            .args(words)
            .args(endpoint)
            .env_clear()
            .env("HOME", machine.path())
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .current_dir(machine.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        connected
            .recv_timeout(Duration::from_secs(30))
            .unwrap_or_else(|_| panic!("{words:?} calls nothing"));
        let asked = Instant::now();
        let interrupt = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status();
        assert!(interrupt.unwrap().success());
        // Far below the time limit of a call.
        while child.try_wait().unwrap().is_none() {
            if asked.elapsed() > Duration::from_secs(5) {
                child.kill().unwrap();
                let output = child.wait_with_output().unwrap();
                panic!("{words:?} goes on: {}", String::from_utf8_lossy(&output.stderr));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{words:?} {output:?}");
    }
}

/// Runs a command `times` at once; each must succeed.
fn together(cloud: &Cloud, times: usize, args: &[&str]) -> Vec<Output> {
    let children: Vec<Child> = (0..times).map(|_| spawn(cloud, args)).collect();
    let ended: Vec<Output> = children
        .into_iter()
        .map(|child| child.wait_with_output().unwrap())
        .collect();
    for output in &ended {
        assert_eq!(
            output.status.code(),
            Some(0),
            "{args:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    ended
}

#[test]
fn two_setups_at_once_make_one_pipeline() {
    let cloud = Cloud::start();
    together(&cloud, 2, &["setup", "retail"]);
    let plan = cloud.json(["plan", "retail"]);
    assert_eq!(plan["changes"], 0, "{plan}");
    together(&cloud, 2, &["setup", "retail"]);
    together(&cloud, 2, &["destroy", "retail", "--yes"]);
    assert_eq!(cloud.everything(), Vec::<String>::new());
}

#[test]
fn two_deployments_at_once_make_one_function() {
    let cloud = Cloud::start();
    together(&cloud, 2, &["deploy", "price-updater"]);
    together(&cloud, 2, &["undeploy", "price-updater", "--yes"]);
}

/// Times that each pair is started.
const RUNS: usize = 5;

#[test]
fn two_attachments_at_once_make_one_mapping() {
    let cloud = Cloud::start();
    cloud.ok(["setup", "prices"]);
    cloud.ok(["detach", "price-updater"]);
    for run in 0..RUNS {
        together(&cloud, 2, &["attach", "price-updater"]);
        let mappings = cloud.json(["mappings"]);
        assert_eq!(mappings.as_array().unwrap().len(), 1, "run {run}: {mappings}");
        together(&cloud, 2, &["detach", "price-updater"]);
        assert_eq!(cloud.json(["mappings"]), serde_json::json!([]));
    }
}

#[test]
fn two_puts_at_once_send_all_records() {
    let cloud = Cloud::start();
    cloud.ok(["create", "orders", "--shards", "2"]);
    let records: String = (0..300)
        .map(|number| format!("{{\"number\":{number}}}\n"))
        .collect();
    cloud.file("records.json", records);
    for _ in 0..RUNS {
        together(&cloud, 2, &["put", "orders", "--file", "records.json"]);
    }
    let read = cloud.ok(["tail", "orders", "--from", "trim", "--no-follow", "-o", "json"]);
    assert_eq!(read.lines().count(), RUNS * 2 * 300);
}

#[test]
fn two_demos_at_once_do_not_disturb_each_other() {
    let cloud = Cloud::start();
    for _ in 0..RUNS {
        for output in together(&cloud, 2, &["demo"]) {
            let said = String::from_utf8_lossy(&output.stderr);
            assert!(said.contains("Done in "), "{said}");
        }
    }
}
