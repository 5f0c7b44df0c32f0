//! Credentials that expire in the middle of a `tail`, and are renewed where they come from.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::STREAM;
use crate::proxy::{self, Call, Fate, Judge};
use crate::support::Cloud;

/// Reads of a page by the old key before it is refused.
const PAGES: usize = 1;

/// Refuses the key OLD after some pages. `renew` runs then.
struct Expiring {
    pages: AtomicUsize,
    renew: Box<dyn Fn() + Send + Sync>,
}

impl Judge for Expiring {
    fn judge(&self, call: &Call) -> Fate {
        let is_old = call.operation == "GetRecords" && call.key == "OLD";
        match is_old && self.pages.fetch_add(1, Ordering::SeqCst) >= PAGES {
            true => {
                (self.renew)();
                Fate::Refuse(400, "ExpiredTokenException")
            }
            false => Fate::Pass,
        }
    }
}

fn profile(key: &str) -> String {
    format!("[profile dev]\naws_access_key_id = {key}\naws_secret_access_key = s\n")
}

/// What a credential process writes, which calls the key valid for years.
fn process(key: &str) -> String {
    format!(
        r#"{{"Version":1,"AccessKeyId":"{key}","SecretAccessKey":"s","SessionToken":"t","Expiration":"2099-01-01T00:00:00Z"}}"#
    )
}

#[test]
fn a_tail_goes_on_with_the_new_credentials_of_a_file_and_of_a_process() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    // Several pages: the first one has 250 records at most.
    let lines: String = (0..3000).map(|n| format!("{n}\n")).collect();
    cloud.file("in", &lines);
    cloud.ok(["put", "--file", "in", "--format", "lines", "--partition-key", "k"]);
    let write = |path: PathBuf, text: String| move || std::fs::write(&path, &text).unwrap();
    let path = |name: &str| cloud.path().join(name);
    let by_process = format!(
        "[profile dev]\ncredential_process = cat {}\n",
        path("made").display()
    );
    for (config, is_cbor) in [(profile("OLD"), "true"), (by_process, "false")] {
        cloud.file("made", process("OLD"));
        cloud.file("config", &config);
        let is_file = config == profile("OLD");
        let judge = Expiring {
            pages: AtomicUsize::new(0),
            renew: match is_file {
                true => Box::new(write(path("config"), profile("NEW"))),
                false => Box::new(write(path("made"), process("NEW"))),
            },
        };
        let url = proxy::start(&cloud.endpoint, Arc::new(judge));
        let output = cloud
            .streamctl(["tail", "--from", "trim", "--no-follow", "-o", "text"])
            .args(["--profile", "dev", "--endpoint-url", &url])
            .env_remove("STREAMCTL_TARGET")
            .env("AWS_CONFIG_FILE", path("config"))
            .env("CBOR_ENABLED", is_cbor)
            .assert()
            .success();
        let output = output.get_output();
        assert_eq!(String::from_utf8_lossy(&output.stdout), lines, "{config}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("ExpiredTokenException"), "{said}");
        assert!(said.contains("Reading again from the last position"), "{said}");
    }
}

#[test]
fn an_error_in_the_middle_says_how_to_go_on() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let lines: String = (0..1500).map(|n| format!("{n}\n")).collect();
    cloud.file("in", &lines);
    cloud.ok(["put", "--file", "in", "--format", "lines", "--partition-key", "k"]);
    let interrupted = |more: &[&str]| {
        let reads = AtomicUsize::new(0);
        let judge = move |call: &Call| match call.operation.as_str() {
            "GetRecords" if reads.fetch_add(1, Ordering::SeqCst) > 0 => {
                Fate::Refuse(400, "AccessDeniedException")
            }
            _ => Fate::Pass,
        };
        let url = proxy::start(&cloud.endpoint, Arc::new(judge) as Arc<dyn Judge>);
        let output = cloud
            .streamctl(["tail", "--from", "trim", "--no-follow", "-o", "text"])
            .args(["--endpoint-url", &url])
            .args(more)
            .env_remove("STREAMCTL_TARGET")
            .assert()
            .code(4);
        let output = output.get_output().clone();
        (
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (read, said) = interrupted(&[]);
    let (_, place) = said.split_once("Stopped after 250 records: `--from ").unwrap();
    let from = place.split('`').next().unwrap();
    let rest = cloud.ok(["tail", "--from", from, "--no-follow", "-o", "text"]);
    assert!(lines.starts_with(&read) && lines.ends_with(&rest), "{said}");
    assert!(read.len() + rest.len() >= lines.len());
    let kept = ["--checkpoint", "kept"];
    let (read, said) = interrupted(&kept);
    assert!(
        said.contains("Stopped after 250 records: the same command continues after the last of them"),
        "{said}"
    );
    let rest = cloud.ok(["tail", "--no-follow", "-o", "text", "--checkpoint", "kept"]);
    assert_eq!(format!("{read}{rest}"), lines);
}
