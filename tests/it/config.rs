//! Files of the working directory: what they can set, and what they cannot do. `config show`, `trust` and `untrust`.

use insta::assert_snapshot;

use crate::fake::Fake;
use crate::support::Machine;

const FOREIGN: &str = "endpoint_url = \"http://192.0.2.1:9\"\nregion = \"eu-west-1\"\n";

/// A machine whose environment does not name the target.
fn run(machine: &Machine, args: &[&str], variables: &[(&str, &str)]) -> (i32, String, String) {
    let output = machine
        .streamctl(args)
        .env_remove("STREAMCTL_TARGET")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    let text = |bytes: &[u8]| {
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        text.replace(&machine.path().display().to_string(), "DIR")
    };
    (
        output.status.code().unwrap(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_foreign_endpoint_needs_trust_and_a_changed_file_needs_it_again() {
    let machine = Machine::new();
    machine.file("streamctl.toml", FOREIGN);
    let keys = [("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b")];
    let refused = || {
        let (code, _, said) = run(&machine, &["list"], &keys);
        code == 2 && said.contains("you have not trusted this file")
    };
    let (code, out, said) = run(&machine, &["list"], &keys);
    assert_eq!((code, out.as_str()), (2, ""));
    assert_snapshot!(said, @r"
    error: streamctl.toml names the endpoint http://192.0.2.1:9, and you have not trusted this file: your credentials would be sent there
    hint: read the file, then run `streamctl config trust`; or name the endpoint with --endpoint-url
    ");
    // Every command that calls is refused, and one that does not call works.
    let (code, ..) = run(&machine, &["put", "--data", "x"], &keys);
    assert_eq!(code, 2);
    let (code, ..) = run(&machine, &["local", "status"], &keys);
    assert_eq!(code, 0);

    let (code, out, _) = run(&machine, &["config", "trust"], &[]);
    assert_eq!(
        (code, out.as_str()),
        (
            0,
            "./streamctl.toml is trusted: credentials may be sent to http://192.0.2.1:9\n"
        )
    );
    let (_, out, _) = run(&machine, &["config", "show", "-o", "json"], &keys);
    let shown: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(shown["file"]["trusted"], true);

    machine.file("streamctl.toml", format!("{FOREIGN}# edited\n"));
    assert!(refused());
    machine.file("streamctl.toml", FOREIGN);
    assert!(
        !run(&machine, &["list", "--endpoint-url", "http://127.0.0.1:9"], &keys)
            .2
            .contains("trusted")
    );
    let trust = machine.json(["config", "trust"]);
    let untrust = machine.json(["config", "untrust", "."]);
    assert_eq!(
        (&trust["trusted"], &untrust["trusted"]),
        (&true.into(), &false.into())
    );
    assert!(refused());
}

#[test]
fn trust_is_refused_where_there_is_nothing_to_trust() {
    let machine = Machine::new();
    let (code, _, said) = run(&machine, &["config", "trust", "nowhere"], &[]);
    assert_eq!(code, 2);
    assert_snapshot!(said, @r"
    error: there is no nowhere/streamctl.toml
    hint: name the directory of a streamctl.toml, or run the command there
    ");
    machine.file("streamctl.toml", "sream = 1");
    let (code, ..) = run(&machine, &["config", "trust"], &[]);
    assert_eq!(code, 2);
    std::fs::remove_file(machine.path().join("streamctl.toml")).unwrap();
    let (code, _, said) = run(&machine, &["config", "untrust"], &[]);
    assert_eq!((code, said.as_str()), (0, "./streamctl.toml was not trusted\n"));
}

#[test]
fn an_env_file_runs_nothing_and_moves_nothing() {
    let machine = Machine::new();
    let fake = Fake::start(|_| (500, "{}".to_owned()));
    let marker = machine.path().join("ran");
    machine.file(
        "cfg",
        format!("[default]\ncredential_process = touch {}\n", marker.display()),
    );
    machine.file(
        ".env",
        format!(
            "AWS_CONFIG_FILE=./cfg\nLD_PRELOAD=./evil.so\nSTREAMCTL_HOME=./planted\nAWS_ENDPOINT_URL={0}\n\
             https_proxy={0}\nSTREAMCTL_STREAM=orders\nAWS_REGION=eu-west-1\nDATABASE_URL=postgres://x\n",
            fake.url
        ),
    );
    let local = [("STREAMCTL_TARGET", "local")];
    let _stops = Stops(&machine);
    let started = run(
        &machine,
        &["local", "start", "--port", "0"],
        &[("LEAKED", "x"), ("LANG", "C")],
    );
    assert_eq!(started.0, 0, "{started:?}");
    let (code, out, said) = run(&machine, &["list"], &local);
    assert_eq!((code, out.as_str()), (0, ""), "{said}");
    let endpoint = machine.json(["local", "status"])["endpoint"]
        .as_str()
        .unwrap()
        .to_owned();
    let said = said.replace(endpoint.trim_start_matches("http://"), "ADDRESS");
    assert_snapshot!(said, @r"
    .env: AWS_CONFIG_FILE, LD_PRELOAD, STREAMCTL_HOME, AWS_ENDPOINT_URL and https_proxy are ignored; it sets only names, numbers and keys (see `streamctl config show --help`)
    There are no streams here (local cloud ADDRESS, region eu-west-1); `streamctl setup` creates one
    ");
    assert!(!marker.exists() && !machine.path().join("planted").exists());
    assert_eq!(fake.seen(), [] as [&str; 0]);

    let (_, out, _) = run(&machine, &["config", "show", "-o", "text"], &local);
    assert_snapshot!(out, @r"
    target	local	STREAMCTL_TARGET
    region	eu-west-1	AWS_REGION in .env
    profile	-	default
    credentials	-	AWS configuration of this machine
    stream	orders	STREAMCTL_STREAM in .env
    shard_count	-	default
    environment	-	default
    timeout	-	default
    home	DIR/streamctl-home	STREAMCTL_HOME
    ignored	AWS_CONFIG_FILE	.env
    ignored	LD_PRELOAD	.env
    ignored	STREAMCTL_HOME	.env
    ignored	AWS_ENDPOINT_URL	.env
    ignored	https_proxy	.env
    ");

    // The daemon was started from a cleared environment.
    #[cfg(target_os = "linux")]
    {
        let status = machine.json(["local", "status"]);
        let environment = std::fs::read(format!("/proc/{}/environ", status["pid"])).unwrap();
        let environment = String::from_utf8_lossy(&environment);
        let names = environment
            .split('\0')
            .filter_map(|pair| Some(pair.split_once('=')?.0));
        let names: std::collections::BTreeSet<&str> = names.collect();
        let expected = [
            "HOME",
            "LANG",
            "MALLOC_MMAP_THRESHOLD_",
            "MALLOC_TRIM_THRESHOLD_",
            "PATH",
            "STREAMCTL_HOME",
        ];
        assert_eq!(names.into_iter().collect::<Vec<_>>(), expected);
    }
}

/// Stops the local cloud of a machine at the end of a test.
struct Stops<'a>(&'a Machine);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        // A failed test has more to say than this.
        let _ = self.0.streamctl(["local", "stop"]).output();
    }
}

/// A Kinesis endpoint with one stream and nothing else, as a VPC endpoint of Kinesis or a small emulator.
fn only_kinesis(refusal: &'static str) -> Fake {
    Fake::start(move |request| {
        let ok = |body: &str| (200, body.to_owned());
        match request.operation.strip_prefix("Kinesis_20131202.") {
            Some("ListStreams") => ok(r#"{"StreamNames":["orders"],"HasMoreStreams":false}"#),
            Some("DescribeStreamSummary") => ok(
                r#"{"StreamDescriptionSummary":{"StreamName":"orders","StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/orders","StreamStatus":"ACTIVE","RetentionPeriodHours":24,"StreamCreationTimestamp":1.0,"EnhancedMonitoring":[],"OpenShardCount":1}}"#,
            ),
            Some("ListShards") => ok(
                r#"{"Shards":[{"ShardId":"shardId-000000000000","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"340282366920938463463374607431768211455"},"SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}"#,
            ),
            Some("PutRecords") => ok(
                r#"{"FailedRecordCount":0,"Records":[{"SequenceNumber":"2","ShardId":"shardId-000000000000"}]}"#,
            ),
            Some("GetShardIterator") => ok(r#"{"ShardIterator":"i"}"#),
            Some("GetRecords") => ok(
                r#"{"Records":[{"SequenceNumber":"2","Data":"eA==","PartitionKey":"k","ApproximateArrivalTimestamp":1.0}],"NextShardIterator":"i","MillisBehindLatest":0}"#,
            ),
            Some(_) => ok("{}"),
            None if refusal.starts_with('<') => (404, refusal.to_owned()),
            None => (400, refusal.to_owned()),
        }
    })
}

#[test]
fn data_commands_work_on_an_endpoint_without_sts() {
    for refusal in [
        r#"{"__type":"UnknownOperationException"}"#,
        r#"{"__type":"InvalidSignatureException","message":"Credential should be scoped to correct service: 'kinesis'."}"#,
        r#"{"__type":"MissingAuthenticationTokenException","message":"Missing Authentication Token"}"#,
        "<html>not found</html>",
        "<ErrorResponse><Error><Code>InvalidAction</Code><Message>no</Message></Error></ErrorResponse>",
        "",
    ] {
        let fake = only_kinesis(refusal);
        let machine = Machine::new();
        for args in [
            &["list"][..],
            &["describe", "--stream", "orders"],
            &["put", "--stream", "orders", "--data", "x"],
            &["tail", "--stream", "orders", "--from", "trim", "-n", "1"],
        ] {
            let (code, _, said) = run(&machine, &[args, &["--endpoint-url", &fake.url]].concat(), &[]);
            assert_eq!(code, 0, "{refusal} {args:?}: {said}");
            if args[0] == "put" {
                let line = format!(
                    "Target: endpoint {}, account unknown, region us-east-1\n",
                    fake.url
                );
                assert!(said.starts_with(&line), "{said}");
            }
        }
    }
}

#[test]
fn a_refusal_of_sts_itself_is_still_a_refusal() {
    for (exit, code, refusal) in [
        (
            4,
            "InvalidClientTokenId",
            "<ErrorResponse><Error><Code>InvalidClientTokenId</Code><Message>The security token is invalid</Message>\
             </Error></ErrorResponse>",
        ),
        // Some gateways throttle with the name that other services have for it.
        (
            1,
            "ThrottlingException",
            "<ErrorResponse><Error><Code>ThrottlingException</Code><Message>Rate exceeded</Message></Error></ErrorResponse>",
        ),
    ] {
        let fake = only_kinesis(refusal);
        let machine = Machine::new();
        let args = [
            "put",
            "--stream",
            "orders",
            "--data",
            "x",
            "--endpoint-url",
            &fake.url,
        ];
        let (ended, _, said) = run(&machine, &args, &[]);
        assert_eq!(ended, exit, "{said}");
        assert!(said.contains(code), "{said}");
    }
}

/// `--file` names a pipe that nobody writes to: SIGTERM must end the command.
#[test]
#[cfg(unix)]
fn a_pipe_without_a_writer_does_not_hold_a_signal_off() {
    let machine = Machine::new();
    let fake = only_kinesis("{}");
    let made = std::process::Command::new("mkfifo")
        .arg(machine.path().join("pipe"))
        .status();
    assert!(made.unwrap().success());
    for args in [
        &["plan", "-f", "pipe"][..],
        &["setup", "-f", "pipe"],
        &["destroy", "-f", "pipe"],
        &["verify", "-f", "pipe"],
        &["outputs", "-f", "pipe"],
        &["invoke", "f", "--payload", "pipe"],
        &["put", "--stream", "orders", "--file", "pipe"],
    ] {
        let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_streamctl"))
            .args(args)
            .args(["--endpoint-url", &fake.url])
            .env_clear()
            .env("HOME", machine.path())
            .current_dir(machine.path())
            .stdin(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        // The signal is repeated: the first may come before the command listens, and ends it then too.
        let status = loop {
            let _ = std::process::Command::new("kill")
                .arg(child.id().to_string())
                .output();
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if std::time::Instant::now() > deadline {
                child.kill().unwrap();
                panic!("{args:?} ignores SIGTERM");
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        };
        assert!(!status.success(), "{args:?}");
    }
}
