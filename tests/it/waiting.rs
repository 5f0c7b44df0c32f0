//! Calls that take long, and what is told about calls: `--timeout`, waiting, `--verbose`, `STREAMCTL_LOG`.

use std::net::TcpListener;

use crate::fake::Fake;
use crate::support::{Cloud, Machine};

/// An endpoint that accepts connections and never answers. It lives as long as the listener.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    (listener, url)
}

#[test]
fn a_call_ends_when_its_time_is_up_and_names_the_endpoint_and_who_chose_it() {
    let (_listener, url) = silent();
    let machine = Machine::new();
    let error = |command: &mut assert_cmd::Command| {
        let output = command.assert().code(4).get_output().clone();
        String::from_utf8(output.stderr).unwrap()
    };
    let list = |args: &[&str]| {
        let mut command = machine.streamctl(["list"]);
        command.env_remove("STREAMCTL_TARGET").args(args);
        command
    };
    let silence = format!("error: could not list the streams: the endpoint {url} did not answer within ");

    let said = error(&mut list(&["--endpoint-url", &url, "--timeout", "200ms"]));
    assert!(said.contains(&silence), "{said}");
    assert!(
        said.contains("hint: --endpoint-url names this endpoint"),
        "{said}"
    );

    let mut command = list(&[]);
    let said = error(
        command
            .env("AWS_ENDPOINT_URL", &url)
            .env("STREAMCTL_TIMEOUT", "200ms"),
    );
    assert!(said.contains(&silence), "{said}");
    assert!(
        said.contains("hint: AWS_ENDPOINT_URL names this endpoint"),
        "{said}"
    );

    machine.file(
        "streamctl.toml",
        format!("# ours\ntimeout = \"200ms\"\nendpoint_url = \"{url}\"\n"),
    );
    let said = error(&mut list(&[]));
    assert!(said.contains(&silence), "{said}");
    assert!(
        said.contains("hint: streamctl.toml line 3 names this endpoint"),
        "{said}"
    );
}

#[test]
fn a_time_limit_that_is_none_is_refused() {
    let machine = Machine::new();
    for bad in ["5", "0s", "2h", "soon"] {
        let said = machine.fails(2, ["list", "--timeout", bad]);
        assert!(said.contains("--timeout"), "{said}");
    }
    let mut command = machine.streamctl(["list"]);
    command.env("STREAMCTL_TIMEOUT", "soon");
    let output = command.assert().code(2).get_output().clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: STREAMCTL_TIMEOUT is \"soon\", not a time limit of calls\n"),
        "{said}"
    );
}

/// Where `--timeout` is that of a function, the limit of calls has a name of its own.
#[test]
fn the_timeout_of_a_function_is_not_that_of_calls() {
    let (_listener, url) = silent();
    let machine = Machine::new();
    let said = machine.fails(
        4,
        [
            "deploy",
            "scorer",
            "--timeout",
            "1m",
            "--call-timeout",
            "200ms",
            "--endpoint-url",
            &url,
        ],
    );
    assert!(said.contains("did not answer within "), "{said}");
}

#[test]
fn without_a_terminal_a_long_wait_is_told_once() {
    let (_listener, url) = silent();
    let machine = Machine::new();
    let args = ["list", "--endpoint-url", &url, "--timeout", "11s"];
    let said = machine.fails(4, args);
    let waiting: Vec<&str> = said
        .lines()
        .filter(|line| line.starts_with("Waiting for "))
        .collect();
    assert_eq!(
        waiting,
        [format!("Waiting for Kinesis ListStreams for 10s at {url}")]
    );
}

#[test]
fn each_call_is_logged_with_verbose_and_its_bodies_with_more() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let logged = |args: &[&str]| {
        let mut command = cloud.streamctl(args);
        let output = command.assert().success().get_output().clone();
        String::from_utf8(output.stderr).unwrap()
    };
    let said = logged(&["list", "-v"]);
    let line = said
        .lines()
        .find(|line| line.contains("Kinesis ListStreams: done, "));
    let line = line.unwrap_or_else(|| panic!("{said}"));
    let (_, id) = line.split_once(" ms, attempt 1, request id ").unwrap();
    assert_eq!(id.len(), 36, "{line}");
    assert!(!said.contains("response: HTTP"), "{said}");

    let data = "x".repeat(300);
    let said = logged(&["put", "orders", "--data", &data, "-vv"]);
    assert!(said.contains("Kinesis PutRecords request: "), "{said}");
    assert!(said.contains("Kinesis PutRecords response: HTTP 200, "), "{said}");
    assert!(!said.contains(&data), "{said}");
    let lower = said.to_ascii_lowercase();
    assert!(
        !lower.contains("authorization") && !lower.contains("signature="),
        "{said}"
    );
}

#[test]
fn a_bad_log_filter_is_an_error_that_names_the_fault() {
    let machine = Machine::new();
    let mut command = machine.streamctl(["list"]);
    let output = command
        .env("STREAMCTL_LOG", "domain=loud")
        .assert()
        .code(2)
        .get_output()
        .clone();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.starts_with("error: STREAMCTL_LOG is \"domain=loud\", not a log filter\n"),
        "{said}"
    );
    assert!(said.contains("hint: "), "{said}");
}

#[test]
fn every_command_recognises_an_endpoint_that_is_a_web_page() {
    let fake = Fake::start(|_| (200, "<!DOCTYPE html><html>It works!</html>".to_owned()));
    let machine = Machine::new();
    machine.file("records.json", "[1]");
    for line in [
        "list",
        "describe orders",
        "put orders --file records.json",
        "tail orders --no-follow",
        "create orders",
        "tag list orders",
        "metrics orders",
        "logs scorer",
        "mappings",
        "invoke scorer",
        "dlq list failed",
        "consumer list orders",
        "reshard orders --to 2 --dry-run",
        "setup --stream orders",
        "destroy --stream orders --yes",
    ] {
        let mut command = machine.streamctl(line.split(' '));
        let output = command.args(["--endpoint-url", &fake.url]).output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_ne!(output.status.code(), Some(0), "{line}: {said}");
        let expected = format!("the endpoint {} answered with a web page (HTTP 200)", fake.url);
        assert!(said.contains(&expected), "{line}: {said}");
    }
}
