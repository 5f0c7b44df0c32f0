//! `setup` and `destroy` are killed before and after each of their changing calls, and run again: setup ends complete, and
//! destroy leaves nothing.
//!
//! The points of a template are divided among several local clouds, since commands and clouds wait for one another most of
//! the time.

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

/// `streamctl ARGS` runs to its end. Returns what it says.
pub fn complete(cloud: &Cloud, args: &[&str], context: &str) -> String {
    let output = cloud.streamctl(args).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        output.status.success(),
        "{context}: {args:?}: {}\n{}\n{stderr}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
    );
    stderr
}

/// The commands on one template.
struct Commands<'a> {
    setup: Vec<&'a str>,
    destroy: Vec<&'a str>,
    plan: Vec<&'a str>,
    verify: Vec<&'a str>,
}

impl<'a> Commands<'a> {
    /// `template` is a template with its parameters.
    fn of(template: &[&'a str]) -> Self {
        let args = |command: &'static str, more: &[&'static str]| [&[command], template, more].concat();
        Self {
            setup: args("setup", &["--yes"]),
            destroy: args("destroy", &["--yes"]),
            plan: args("plan", &["--check"]),
            verify: args("verify", &[]),
        }
    }

    /// `destroy` runs to its end. It looks itself whether all is gone.
    fn destroy_all(&self, cloud: &Cloud, context: &str) {
        let said = complete(cloud, &self.destroy, context);
        let is_gone = said.contains(" has no resources") || said.contains("All resources of ");
        assert!(is_gone, "{context}: {said}");
    }

    /// Nothing of the template is there: `destroy` finds nothing to delete and keeps nothing.
    fn nothing_is_left(&self, cloud: &Cloud, context: &str) {
        let said = complete(cloud, &self.destroy, context);
        assert!(said.contains(" has no resources"), "{context}: {said}");
    }

    /// Kills at the changing call `at` of setup, which makes `of_setup` of them, and of destroy, if it makes as many.
    fn point(&self, cloud: &Cloud, at: usize, of_setup: usize, of_destroy: usize) {
        for fate in [Fate::CutBefore, Fate::CutAfter] {
            let context = format!("{fate:?} call {at} of {of_setup} and {of_destroy}");
            if at <= of_setup {
                run(cloud, &self.setup, at, fate);
            }
            if fate == Fate::CutAfter {
                complete(cloud, &self.setup, &context);
                complete(cloud, &self.plan, &context);
            }
            if at <= of_destroy {
                run(cloud, &self.destroy, at, fate);
            }
            self.destroy_all(cloud, &context);
        }
        self.nothing_is_left(cloud, &format!("after call {at}"));
    }
}

/// Local clouds among which the points are divided.
const CLOUDS: usize = 3;

/// Kills at each point of setup and destroy of `template`, which is a template with its parameters.
fn every_point(template: &[&str]) {
    let commands = &Commands::of(template);
    let first = Cloud::start();
    let of_setup = run(&first, &commands.setup, 0, Fate::Pass);
    complete(&first, &commands.verify, "after a whole setup");
    let of_destroy = run(&first, &commands.destroy, 0, Fate::Pass);
    commands.nothing_is_left(&first, "after a whole destroy");
    assert!(
        of_setup > 1 && of_destroy > 1,
        "{of_setup} and {of_destroy} calls"
    );
    let points = &AtomicUsize::new(1);
    let work_on = move |cloud: &Cloud| {
        loop {
            let at = points.fetch_add(1, Ordering::SeqCst);
            if at > of_setup.max(of_destroy) {
                break;
            }
            commands.point(cloud, at, of_setup, of_destroy);
        }
        assert_eq!(cloud.json(["list"]), serde_json::json!([]));
    };
    std::thread::scope(|scope| {
        for _ in 1..CLOUDS {
            scope.spawn(move || work_on(&Cloud::start()));
        }
        work_on(&first);
    });
    complete(&first, &commands.setup, "in the end");
    complete(&first, &commands.verify, "in the end");
}

#[test]
fn of_stream() {
    every_point(&["stream"]);
}

#[test]
fn of_prices() {
    // Those of alarms and of the dashboard are in `retail`, those of the page in `cart`.
    every_point(&[
        "prices",
        "--param",
        "enable_alarms=false",
        "--param",
        "dashboard=false",
        "--param",
        "page=false",
    ]);
}

#[test]
fn of_cart() {
    // The kinds of resources of the recommendations are in `prices`.
    every_point(&[
        "cart",
        "--param",
        "enable_alarms=false",
        "--param",
        "dashboard=false",
        "--param",
        "buffer_seconds=0",
        "--param",
        "recommendations=false",
    ]);
}

#[test]
fn of_retail() {
    every_point(&["retail", "--param", "batching_window=0"]);
}

#[test]
fn of_realtime() {
    every_point(&["realtime", "--param", "batching_window=0"]);
}

#[test]
fn of_concert() {
    every_point(&["concert", "--param", "batching_window=0"]);
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
