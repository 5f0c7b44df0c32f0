//! The catalogue of errors in docs/errors.md: each row is produced, and each case has a row.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;

use crate::fake::Fake;
use crate::support::{Cloud, Machine};

const PAGE: &str = include_str!("../../docs/errors.md");

/// The rows of the tables below the heading `heading`, cell by cell.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let (_, section) = PAGE.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let is_row = |line: &&str| line.starts_with("| `") || digit(line);
    section
        .lines()
        .filter(is_row)
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn digit(line: &str) -> bool {
    line.trim_start_matches("| ")
        .starts_with(|c: char| c.is_ascii_digit())
}

/// Whether `text` has the parts of `pattern` between `…`, in their order and on one line.
fn matches(text: &str, pattern: &str) -> bool {
    text.lines().any(|line| {
        let mut rest = line;
        pattern.split('…').all(|part| match rest.split_once(part) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    })
}

/// Where a command runs.
struct World {
    cloud: Cloud,
    machine: Machine,
    /// Answers with the error code that the access key names.
    refusing: Fake,
    web: Fake,
    silent: TcpListener,
    closed: String,
}

impl World {
    fn new() -> Self {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self {
            cloud: Cloud::start(),
            machine: Machine::new(),
            refusing: Fake::start(|request| match request.key.as_str() {
                "garbage" => (200, "[]".to_owned()),
                code => (400, format!(r#"{{"__type":"{code}","message":"it is refused"}}"#)),
            }),
            web: Fake::start(|_| (200, "<html></html>".to_owned())),
            silent: TcpListener::bind("127.0.0.1:0").unwrap(),
            closed: format!("http://{closed}"),
        }
    }

    /// Exit code and stderr of `streamctl list` with these arguments and variables, on a machine that names no target.
    fn list(&self, arguments: &[&str], variables: &[(&str, &str)]) -> (i32, String) {
        let mut command = self.machine.streamctl(["list"]);
        command
            .args(arguments)
            .env_remove("STREAMCTL_TARGET")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(variables.iter().copied());
        outcome(&mut command)
    }

    /// The answer of the endpoint that refuses with `code`.
    fn refused(&self, code: &str) -> (i32, String) {
        let variables = [("AWS_ACCESS_KEY_ID", code), ("AWS_SECRET_ACCESS_KEY", "s")];
        self.list(&["--endpoint-url", &self.refusing.url], &variables)
    }

    /// The outcome of a command line on the local cloud.
    fn local(&self, line: &str) -> (i32, String) {
        outcome(&mut self.cloud.streamctl(line.split(' ')))
    }

    /// The outcome of `put` for the file with this text.
    fn put(&self, text: &str) -> (i32, String) {
        self.cloud.file("in.json", text);
        self.local("put orders --file in.json")
    }

    /// What the message of a row is produced by.
    fn produce(&self, message: &str) -> (i32, String) {
        let half = [("AWS_ACCESS_KEY_ID", "a")];
        match message {
            "the endpoint … cannot be reached" => self.list(&["--endpoint-url", &self.closed], &[]),
            "the endpoint … did not answer within …" => {
                let url = format!("http://{}", self.silent.local_addr().unwrap());
                self.list(&["--endpoint-url", &url, "--timeout", "200ms"], &[])
            }
            "the endpoint … answered with a web page (HTTP …), not as AWS does" => {
                self.list(&["--endpoint-url", &self.web.url], &[])
            }
            "the answer of the endpoint … (HTTP …) could not be read" => self.refused("garbage"),
            "could not start the local cloud" => {
                let machine = Machine::new();
                let port = self.silent.local_addr().unwrap().port().to_string();
                outcome(&mut machine.streamctl(["local", "start", "--port", &port]))
            }
            "there is no AWS profile …" => self.list(&["--profile", "nosuch"], &[]),
            "AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not" => self.list(&[], &half),
            "no AWS credentials were found" => self.list(&["--target", "aws"], &[]),
            "ExpiredTokenException: …" => self.refused("ExpiredTokenException"),
            "UnrecognizedClientException: …" => self.refused("UnrecognizedClientException"),
            "AccessDeniedException: …" => self.refused("AccessDeniedException"),
            "ThrottlingException: …" => self.refused("ThrottlingException"),
            "… is not an AWS region" => self.local("list --region nowhere"),
            "… is not an endpoint URL" => self.list(&["--endpoint-url", "localhost"], &[]),
            "… names the endpoint …, and you have not trusted this file" => {
                let machine = Machine::new();
                machine.file("streamctl.toml", "endpoint_url = \"http://192.0.2.1:9\"\n");
                list_on(&machine)
            }
            "STREAMCTL_LOG is …, not a log filter" => self.list(&[], &[("STREAMCTL_LOG", "domain=loud")]),
            "STREAMCTL_TIMEOUT is …, not a time limit of calls" => {
                self.list(&[], &[("STREAMCTL_TIMEOUT", "soon")])
            }
            "… is not a valid configuration" => {
                let machine = Machine::new();
                machine.file("streamctl.toml", "regoin = 1\n");
                list_on(&machine)
            }
            "there is no stream …" => self.local("describe nosuch"),
            "there is no function …, and no code was given to create it" => self.local("deploy nosuch"),
            "there is no queue … in …" => {
                self.local("attach scorer --stream orders --on-failure queue:nosuch")
            }
            "refusing to … without a confirmation" => self.local("delete orders"),
            "… names the stream …, and its records would go to …" => {
                self.put(r#"{"StreamName":"clicks","Records":[{"Data":"aGk=","PartitionKey":"k"}]}"#)
            }
            "… its Data is not base64" => self.put(r#"[{"Data":"no base64!","PartitionKey":"k"}]"#),
            "… is not valid JSON at line …, column …" => self.put("[1,\n2"),
            "… is not JSON: it starts with …" => self.put("hello"),
            "… holds no records" => self.put("[]"),
            other => panic!("docs/errors.md has a row that no case produces: {other}"),
        }
    }
}

/// The outcome of `streamctl list` on a machine that names no target.
fn list_on(machine: &Machine) -> (i32, String) {
    outcome(machine.streamctl(["list"]).env_remove("STREAMCTL_TARGET"))
}

fn outcome(command: &mut assert_cmd::Command) -> (i32, String) {
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    (output.status.code().unwrap(), said)
}

#[test]
fn each_row_of_the_catalogue_is_produced() {
    let world = World::new();
    world.cloud.stream("orders", 1);
    let rows = rows("Messages");
    assert!(rows.len() > 20, "{rows:?}");
    let mut seen = BTreeSet::new();
    for row in rows {
        let message = row[0].trim_matches('`');
        assert!(seen.insert(message), "{message} has two rows");
        let (code, said) = world.produce(message);
        assert!(matches(&said, message), "{message}: {said}");
        assert_eq!(code.to_string(), row[1], "{message}: {said}");
        assert!(
            said.contains("\nhint: ") || said.contains("\n  cause: ") || code == 2,
            "{message}: {said}"
        );
    }
}

#[test]
fn each_exit_code_is_produced() {
    let cloud = Cloud::start();
    // A stream that the pipeline did not create is kept.
    cloud.stream("theirs", 1);
    let mut codes: BTreeMap<i32, &str> = BTreeMap::new();
    for row in rows("Exit codes") {
        let code: i32 = row[0].parse().unwrap();
        let example = row[2].trim_matches('`');
        assert!(codes.insert(code, example).is_none());
        // tests/it/tail interrupts a command.
        if code != 130 {
            let (found, said) = outcome(&mut cloud.streamctl(example.split(' ')));
            assert_eq!(found, code, "{example}: {said}");
        }
    }
    assert_eq!(codes.into_keys().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5, 130]);
}
