//! `streamctl top`: on a terminal (tmux), where it is skipped without tmux, and as text.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::MetricsName;

use crate::support::{Cloud, Machine, block_on, is_active};

const STREAM: &str = "orders";
const LATEST: Duration = Duration::from_secs(30);

/// A stream of two shards with shard-level metrics and 20 records, and one without records.
fn cloud() -> Cloud {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    cloud.stream("clicks", 1);
    block_on(async {
        let client = cloud.kinesis();
        let enable = client.enable_enhanced_monitoring().stream_name(STREAM);
        enable.shard_level_metrics(MetricsName::All).send().await.unwrap();
        while !is_active(&client, STREAM).await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        for number in 0..20 {
            let put = client.put_record().stream_name(STREAM);
            let data = format!("{{\"item\":{number},\"note\":\"\u{1b}[2J\"}}");
            put.partition_key(format!("k{number}"))
                .data(Blob::new(data))
                .send()
                .await
                .unwrap();
        }
    });
    cloud
}

/// A shell in a terminal of 80 columns and 24 lines.
struct Terminal {
    socket: PathBuf,
    dir: PathBuf,
}

impl Terminal {
    /// `None`, with a message, if there is no tmux.
    #[allow(clippy::print_stderr, reason = "the only way to say that a test did not run")]
    fn start(machine: &Machine, columns: u16, variables: &[(&str, &str)]) -> Option<Self> {
        if Command::new("tmux").arg("-V").output().is_err() {
            eprintln!("skipped: this test needs tmux");
            return None;
        }
        let terminal = Self {
            socket: machine.path().join("tmux"),
            dir: machine.path().to_owned(),
        };
        let mut command = terminal.command();
        let size = columns.to_string();
        command.args(["-f", "/dev/null", "new-session", "-d", "-x", &size, "-y", "24"]);
        let home = machine.path().join("streamctl-home");
        let bin = PathBuf::from(env!("CARGO_BIN_EXE_streamctl"));
        let path = std::env::var("PATH").unwrap_or_default();
        let path = format!("{}:{path}", bin.parent().unwrap().display());
        let own = [
            ("HOME", machine.path().display().to_string()),
            ("STREAMCTL_HOME", home.display().to_string()),
            ("STREAMCTL_TARGET", "local".to_owned()),
            ("LC_ALL", "C.UTF-8".to_owned()),
            ("PATH", path),
        ];
        command.env_clear();
        command.envs(own.iter().map(|(name, value)| (*name, value.as_str())));
        command.envs(variables.iter().copied()).arg("sh");
        assert!(command.current_dir(machine.path()).status().unwrap().success());
        // No status line: the window is as large as it is asked to be.
        terminal.run(&["set", "-g", "status", "off"]);
        terminal.run(&["resize-window", "-x", &size, "-y", "24"]);
        terminal.wait("a prompt", |screen| !screen.trim().is_empty());
        terminal.enter("PS1='rea''dy> '");
        terminal.wait_for("ready>");
        Some(terminal)
    }

    fn command(&self) -> Command {
        let mut command = Command::new("tmux");
        command.arg("-S").arg(&self.socket);
        command
    }

    fn run(&self, args: &[&str]) -> Output {
        self.command().args(args).output().unwrap()
    }

    /// Presses keys, by tmux's names.
    fn press(&self, keys: &[&str]) {
        self.run(&[&["send-keys"], keys].concat());
    }

    /// Types a command and Enter.
    fn enter(&self, line: &str) {
        self.run(&["send-keys", "-l", line]);
        self.press(&["Enter"]);
    }

    fn screen(&self) -> String {
        String::from_utf8(self.run(&["capture-pane", "-p"]).stdout).unwrap()
    }

    fn value(&self, format: &str) -> String {
        let output = self.run(&["display-message", "-p", format]);
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Waits until the screen is as wanted, and returns it.
    fn wait(&self, what: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let started = Instant::now();
        loop {
            let screen = self.screen();
            if is_wanted(&screen) {
                return screen;
            }
            assert!(
                started.elapsed() < LATEST,
                "{what} is not on the screen:\n{screen}"
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, text: &str) -> String {
        self.wait(text, |screen| screen.contains(text))
    }

    /// Waits until a command has ended with `code`, and checks that the terminal is as the shell knows it.
    fn wait_for_end(&self, code: i32) {
        self.wait_for(&format!("ended={code}"));
        assert_eq!(self.value("#{alternate_on} #{cursor_flag}"), "0 1");
    }

    fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.run(&["kill-server"]);
    }
}

#[test]
fn a_session_on_a_terminal() {
    let cloud = cloud();
    let Some(terminal) = Terminal::start(&cloud, 80, &[]) else {
        return;
    };
    terminal.enter("stty -a > before; streamctl top; echo ended=$?; stty -a > after");
    let screen = terminal.wait("the streams", |screen| {
        screen.contains("clicks") && screen.contains("orders") && screen.contains("IN/S")
    });
    assert!(screen.contains("streams (2)"), "{screen}");
    assert_eq!(terminal.value("#{alternate_on} #{cursor_flag}"), "1 0");

    // A filter, then into the stream and into a shard.
    terminal.press(&["/", "o", "r", "d", "Enter"]);
    terminal.wait_for("streams (1 of 2)");
    terminal.press(&["Enter"]);
    let screen = terminal.wait_for("shardId-000000000001");
    assert!(
        screen.contains("USED") && screen.contains("THROTTLED"),
        "{screen}"
    );
    terminal.press(&["Enter"]);
    let screen = terminal.wait_for("\"item\"");
    assert!(
        screen.contains(r"\u001b[2J") || screen.contains(r"\u{1b}[2J"),
        "{screen}"
    );
    terminal.press(&["d"]);
    terminal.wait_for("\"sequence_number\"");
    terminal.press(&["d"]);
    terminal.wait_for("sequence_number:");
    terminal.press(&["q"]);
    terminal.wait_for("ARRIVED");
    terminal.press(&["Escape"]);
    terminal.wait_for("shardId-000000000001");
    terminal.press(&["Escape"]);
    terminal.wait_for("streams (1 of 2)");
    terminal.press(&["Escape"]);
    terminal.wait_for("streams (2)");

    terminal.press(&["s"]);
    terminal.wait_for("STREAM▲");
    terminal.press(&["S"]);
    let screen = terminal.wait_for("STREAM▼");
    assert!(screen.find("orders") < screen.find("clicks"), "{screen}");
    terminal.press(&["?"]);
    terminal.wait_for("next and previous row");
    terminal.press(&["q"]);
    terminal.wait_for("STREAM▼");
    terminal.press(&[":"]);
    terminal.wait_for("stream    clicks");
    terminal.press(&["q", "u", "e", "Enter"]);
    terminal.wait_for("There are no queues here");

    // Ctrl-Z gives the terminal to the shell, and fg takes it back.
    terminal.press(&["C-z"]);
    terminal.wait("the shell", |screen| {
        screen.contains("ended=") || screen.contains("Stopped")
    });
    assert_eq!(terminal.value("#{alternate_on} #{cursor_flag}"), "0 1");
    terminal.enter("clear; fg; echo ended=$?; stty -a > after");
    terminal.wait_for("There are no queues here");
    terminal.run(&["resize-window", "-x", "40", "-y", "12"]);
    terminal.wait_for("There are no queues here");
    terminal.run(&["resize-window", "-x", "80", "-y", "24"]);
    terminal.press(&["q"]);
    terminal.wait_for_end(0);
    terminal.enter("echo do''ne");
    terminal.wait_for("done");
    // All but the size: tmux changes that when it likes.
    let modes = |name| {
        terminal
            .file(name)
            .lines()
            .skip(1)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    assert_eq!(modes("before"), modes("after"));
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let cloud = cloud();
    let Some(terminal) = Terminal::start(&cloud, 80, &[("NO_COLOR", "1")]) else {
        return;
    };
    for (signal, name) in [("TERM", "one"), ("HUP", "two"), ("INT", "three")] {
        terminal.enter(&format!(
            "clear; stty -a > before; sh -c 'echo $$ > {name}; exec streamctl top'; echo ended=$?; stty -a > after; echo {name} do''ne"
        ));
        terminal.wait_for("streams (2)");
        let pid = terminal.file(name);
        let killed = Command::new("kill")
            .args([&format!("-{signal}"), pid.trim()])
            .status();
        assert!(killed.unwrap().success());
        terminal.wait_for_end(130);
        terminal.wait_for(&format!("{name} done"));
        assert_eq!(terminal.file("before"), terminal.file("after"));
    }
}

#[test]
fn a_lost_endpoint_is_a_state_and_comes_back() {
    let mut cloud = cloud();
    let Some(terminal) = Terminal::start(&cloud, 80, &[]) else {
        return;
    };
    terminal.enter("streamctl top");
    terminal.wait_for("streams (2)");
    cloud.kill();
    let screen = terminal.wait_for("Trying again");
    assert!(screen.contains("orders") && screen.contains("clicks"), "{screen}");
    cloud.restart_in_place();
    terminal.wait("the streams without a problem", |screen| {
        screen.contains("orders") && !screen.contains("Trying again")
    });
}

#[test]
fn once_needs_no_terminal() {
    let cloud = cloud();
    let error = cloud.fails(2, ["top"]);
    assert!(
        error.contains("top needs a terminal") && error.contains("--once"),
        "{error}"
    );

    let streams = cloud.json(["top", "--once"]);
    assert_eq!(
        (&streams["view"], &streams["rows"][1]["name"]),
        (&"streams".into(), &STREAM.into())
    );
    assert_eq!(streams["rows"][1]["open_shards"], 2);
    assert!(streams["rows"][1]["records_in_per_second"].as_f64().unwrap() > 0.0);
    // A stream that nothing was put into has no figures, which are not zero.
    assert!(streams["rows"][0]["records_in_per_second"].is_null());

    let shards = cloud.json(["top", STREAM, "--once"]);
    let rates = shards["rows"].as_array().unwrap().iter();
    let rates: Vec<f64> = rates
        .filter_map(|row| row["records_in_per_second"].as_f64())
        .collect();
    assert!(
        rates.len() == 2 && rates.iter().all(|rate| *rate > 0.0),
        "{shards}"
    );

    let text = cloud.ok(["top", "--once", "-o", "text"]);
    assert!(text.starts_with("clicks\tACTIVE\t1\t-\t"), "{text}");
    let table = cloud.ok(["top", "--once"]);
    assert!(
        table.lines().all(|line| line.chars().count() <= 80) && table.contains(STREAM),
        "{table}"
    );
    for view in ["functions", "mappings", "queues"] {
        assert_eq!(
            cloud.json(["top", "--once", "--view", view])["rows"],
            serde_json::json!([])
        );
    }
    let error = cloud.fails(1, ["top", "nothing-here", "--once"]);
    assert!(error.contains("nothing-here"), "{error}");
    cloud.fails(2, ["top", "--refresh", "0s"]);
    cloud.fails(2, ["top", STREAM, "--view", "queues"]);
}
