//! `setup` and `destroy` are killed before and after each of their changing calls, and run again: setup ends complete, and
//! destroy leaves nothing.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::proxy::{self, Call, Fate, Judge};
use crate::support::Cloud;

/// A `streamctl` behind a proxy, which kills it at one of its changing calls.
struct Killer {
    /// The number of the call, from 1; 0 for none.
    at: usize,
    fate: Fate,
    changes: AtomicUsize,
    child: Mutex<Option<Child>>,
}

impl Judge for Killer {
    fn judge(&self, call: &Call) -> Fate {
        if !call.is_change() {
            return Fate::Pass;
        }
        match self.changes.fetch_add(1, Ordering::SeqCst) + 1 == self.at {
            true => self.fate,
            false => Fate::Pass,
        }
    }

    fn cut(&self) {
        if let Some(child) = self.child.lock().unwrap().as_mut() {
            let _ = child.kill();
        }
    }
}

/// Runs `streamctl ARGS`, killed with the fate `fate` at its changing call `at`. Returns how many changing calls it made.
pub fn run(cloud: &Cloud, args: &[&str], at: usize, fate: Fate) -> usize {
    let killer = Arc::new(Killer {
        at,
        fate,
        changes: AtomicUsize::new(0),
        child: Mutex::default(),
    });
    let url = proxy::start(&cloud.endpoint, Arc::clone(&killer) as Arc<dyn Judge>);
    let mut child = killer.child.lock().unwrap();
    *child = Some(
        Command::new(env!("CARGO_BIN_EXE_streamctl"))
            .args(args)
            .args(["--endpoint-url", &url])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", cloud.path())
            .env("STREAMCTL_HOME", cloud.path().join("streamctl-home"))
            .current_dir(cloud.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    drop(child);
    let status = loop {
        // Not held while it waits: the killer needs it.
        if let Some(status) = killer.child.lock().unwrap().as_mut().unwrap().try_wait().unwrap() {
            break status;
        }
        std::thread::sleep(std::time::Duration::from_millis(2));
    };
    let changes = killer.changes.load(Ordering::SeqCst);
    // A run behind a killed one can have fewer calls to make.
    if changes < at || at == 0 {
        assert!(status.success(), "{args:?} at {at}: {status}");
    }
    changes
}

/// `streamctl ARGS` runs to its end.
pub fn complete(cloud: &Cloud, args: &[&str], context: &str) {
    let output = cloud.streamctl(args).output().unwrap();
    assert!(
        output.status.success(),
        "{context}: {args:?}: {}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Nothing of the template is there: `destroy` finds nothing to delete and keeps nothing.
fn nothing_is_left(cloud: &Cloud, destroy: &[&str], context: &str) {
    let output = cloud.streamctl(destroy).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{context}: {stderr}");
    assert!(
        stderr.contains("Nothing to delete: nothing of"),
        "{context}: {stderr}"
    );
}

/// Kills at each point of setup and destroy of `template`, which is a template with its parameters.
fn every_point(template: &[&str]) {
    let cloud = Cloud::start();
    let args = |command: &'static str, more: &[&'static str]| [&[command], template, more].concat();
    let (setup, destroy) = (args("setup", &["--yes"]), args("destroy", &["--yes"]));
    let (plan, verify) = (args("plan", &["--check"]), args("verify", &[]));
    let of_setup = run(&cloud, &setup, 0, Fate::Pass);
    complete(&cloud, &verify, "after a whole setup");
    let of_destroy = run(&cloud, &destroy, 0, Fate::Pass);
    nothing_is_left(&cloud, &destroy, "after a whole destroy");
    assert!(
        of_setup > 1 && of_destroy > 1,
        "{of_setup} and {of_destroy} calls"
    );
    for at in 1..=of_setup.max(of_destroy) {
        let context = format!("before call {at} of {of_setup} and {of_destroy}");
        run(&cloud, &setup, at.min(of_setup), Fate::CutBefore);
        run(&cloud, &destroy, at.min(of_destroy), Fate::CutBefore);
        complete(&cloud, &destroy, &context);
        nothing_is_left(&cloud, &destroy, &context);
        let context = format!("after call {at} of {of_setup} and {of_destroy}");
        run(&cloud, &setup, at.min(of_setup), Fate::CutAfter);
        complete(&cloud, &setup, &context);
        complete(&cloud, &plan, &context);
        run(&cloud, &destroy, at.min(of_destroy), Fate::CutAfter);
        complete(&cloud, &destroy, &context);
        nothing_is_left(&cloud, &destroy, &context);
    }
    assert_eq!(cloud.json(["list"]), serde_json::json!([]));
    complete(&cloud, &setup, "in the end");
    complete(&cloud, &verify, "in the end");
}

#[test]
fn of_stream() {
    every_point(&["stream"]);
}

#[test]
fn of_prices() {
    every_point(&["prices"]);
}

#[test]
fn of_retail() {
    every_point(&["retail"]);
}

#[test]
fn of_realtime() {
    every_point(&["realtime"]);
}

#[test]
fn of_concert() {
    every_point(&["concert"]);
}

#[test]
fn of_function() {
    every_point(&[
        "function",
        "--param",
        "name=scorer",
        "--param",
        "handler=price-updater",
    ]);
}
