//! `streamctl put`: the records of each input format, keys, dry runs and output.

pub mod fake;
mod faulty;
mod inputs;
mod lanes;
mod trouble;

use insta::assert_snapshot;
use serde_json::{Value, json};

use crate::support::{Cloud, Machine};

/// The default stream, so that commands do not have to name it.
pub const STREAM: &str = "concert-data-stream";

/// The data of all records, sorted.
fn sorted(records: Vec<(String, Vec<u8>)>) -> Vec<String> {
    let mut data: Vec<String> = records
        .into_iter()
        .map(|(_, data)| String::from_utf8(data).unwrap())
        .collect();
    data.sort();
    data
}

/// Puts `input` as a file and through a pipe, and reads both back.
fn put(cloud: &Cloud, name: &str, input: &str, args: &[&str]) -> Vec<String> {
    let (by_file, by_pipe) = (format!("{name}-file"), format!("{name}-pipe"));
    cloud.stream(&by_file, 2);
    cloud.stream(&by_pipe, 2);
    cloud.file(name, input);
    let file = ["put", "--stream", &by_file, "--file", name];
    cloud.streamctl(file).args(args).assert().success();
    let pipe = ["put", "--stream", &by_pipe];
    cloud
        .streamctl(pipe)
        .args(args)
        .write_stdin(input)
        .assert()
        .success();
    let data = sorted(cloud.records(&by_file));
    assert_eq!(data, sorted(cloud.records(&by_pipe)), "{name}");
    data
}

#[test]
fn every_input_format() {
    let cloud = Cloud::start();
    let two = [r#"{"a": 1}"#, r#"{"a":"é"}"#];
    let [one, other] = two;
    // The text of a value is kept byte for byte, including spaces.
    for (name, input) in [
        ("array.json", format!("[{one}, {other}]")),
        ("lines.ndjson", format!("{one}\n{other}\n")),
        ("no-end.ndjson", format!("{one}\n{other}")),
        ("blank.ndjson", format!("\n\n{one}\n   \n\n{other}\n\n")),
        ("crlf.ndjson", format!("{one}\r\n{other}\r\n")),
        ("bom.ndjson", format!("\u{feff}{one}\n{other}\n")),
        ("bom.json", format!("\u{feff}[\r\n  {one},\r\n  {other}\r\n]\r\n")),
        ("joined.json", format!("{one}{other}")),
    ] {
        assert_eq!(put(&cloud, name, &input, &[]), two, "{name}");
    }
    let pretty = "{\n  \"a\": 1\n}\n{\n  \"a\": [\n    2\n  ]\n}\n";
    let expected = ["{\n  \"a\": 1\n}", "{\n  \"a\": [\n    2\n  ]\n}"];
    assert_eq!(put(&cloud, "pretty.json", pretty, &[]), expected);
    assert_eq!(
        put(&cloud, "values.ndjson", "1\n\"x\"\nnull\n", &[]),
        ["\"x\"", "1", "null"]
    );
    let lines = put(&cloud, "log.txt", "b\n\n a \r\n[", &["--format", "lines"]);
    assert_eq!(lines, [" a \r", "[", "b"]);
    // With `--format values`, an array is a record.
    let values = put(&cloud, "arrays", "[1]\n[2]\n", &["--format", "values"]);
    assert_eq!(values, ["[1]", "[2]"]);
}

#[test]
fn the_put_records_format_keeps_keys_and_decodes_data() {
    let cloud = Cloud::start();
    let entries = [
        r#"{"Data": "AP8=", "PartitionKey": "one"}"#,
        r#"{"PartitionKey":"zwei","Data":"aGk=","ExplicitHashKey":"0"}"#,
    ];
    let [one, other] = entries;
    for (n, input) in [
        format!("[{one},{other}]"),
        format!(r#"{{"Records": [{one},{other}]}}"#),
        format!(r#"{{"StreamName":"s2","Records":[{one},{other}]}}"#),
        format!("{one}\n{other}\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let stream = format!("s{n}");
        cloud.stream(&stream, 2);
        cloud.file("in.json", &input);
        cloud.ok(["put", "--stream", &stream, "--file", "in.json"]);
        let mut records = cloud.records(&stream);
        records.sort();
        let expected = [
            ("one".to_owned(), vec![0, 255]),
            ("zwei".to_owned(), b"hi".to_vec()),
        ];
        assert_eq!(records, expected, "{input}");
    }
}

#[test]
fn a_file_that_names_another_stream_is_refused_before_anything_is_sent() {
    let cloud = Cloud::start();
    cloud.stream("orders", 1);
    let entries = r#"[{"Data":"aGk=","PartitionKey":"k"}]"#;
    for input in [
        format!(r#"{{"StreamName":"clicks","Records":{entries}}}"#),
        format!(r#"{{"Records":{entries},"StreamName":"clicks"}}"#),
        format!(
            r#"{{"StreamARN":"arn:aws:kinesis:us-east-1:000000000000:stream/clicks","Records":{entries}}}"#
        ),
    ] {
        cloud.file("in.json", &input);
        let said = cloud.fails(2, ["put", "--stream", "orders", "--file", "in.json"]);
        assert_eq!(
            said,
            "error: in.json names the stream clicks, and its records would go to orders\n\
             hint: use `--stream clicks` to send them there, or remove StreamName from the input to send them to orders\n",
            "{input}"
        );
    }
    assert_eq!(cloud.records("orders"), []);
    // What the hint says works.
    cloud.stream("clicks", 1);
    cloud.ok(["put", "--stream", "clicks", "--file", "in.json"]);
    assert_eq!(cloud.records("clicks").len(), 1);
}

#[test]
fn stdin_and_data_are_inputs() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    let dash = cloud
        .streamctl(["put", "--file", "-"])
        .write_stdin("{\"n\":1}")
        .assert();
    dash.success();
    cloud.ok(["put", "--data", "any text [ at all", "--partition-key", "k"]);
    cloud.ok(["put", "--data", "[1,2]"]);
    assert_eq!(
        sorted(cloud.records(STREAM)),
        ["[1,2]", "any text [ at all", "{\"n\":1}"]
    );
}

#[test]
fn empty_input_is_an_error() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    cloud.file("none.json", "[]");
    cloud.file("blank.ndjson", " \n\r\n\n");
    for name in ["none.json", "blank.ndjson"] {
        let said = cloud.fails(2, ["put", "--file", name]);
        assert_snapshot!(format!("nothing-{name}"), said);
    }
    let output = cloud.streamctl(["put"]).write_stdin("").assert().code(2);
    let said = String::from_utf8(output.get_output().stderr.clone()).unwrap();
    assert!(said.contains("error: stdin holds no records"), "{said}");
    assert_eq!(cloud.records(STREAM).len(), 0);
}

#[test]
fn partition_keys_are_random_constant_or_from_a_field() {
    let cloud = Cloud::start();
    let input = "{\"user\":{\"id\":7}}\n{\"user\":{\"id\":\"é\"}}\n";
    cloud.file("in.ndjson", input);
    let keys = |stream: &str, args: &[&str]| {
        cloud.stream(stream, 1);
        let put = ["put", "--stream", stream, "--file", "in.ndjson"];
        cloud.streamctl(put).args(args).assert().success();
        let mut keys: Vec<String> = cloud.records(stream).into_iter().map(|(key, _)| key).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys("field", &["--partition-key-field", "user.id"]), ["7", "é"]);
    assert_eq!(keys("constant", &["--partition-key", "k k"]), ["k k", "k k"]);
    let random = keys("random", &[]);
    assert_ne!(random[0], random[1]);
    // A missing field is reported before anything is sent.
    cloud.stream("absent", 1);
    let said = cloud.fails(
        2,
        [
            "put",
            "--stream",
            "absent",
            "--file",
            "in.ndjson",
            "--partition-key-field",
            "user.name",
        ],
    );
    assert_snapshot!(said);
    assert!(cloud.records("absent").is_empty());
}

#[test]
fn a_template_names_the_keys_and_the_stream() {
    let cloud = Cloud::start();
    for stream in [STREAM, "realtime-data-stream", "elsewhere"] {
        cloud.stream(stream, 1);
    }
    let envelopes = [
        r#"{"data_type":"artists","payload":{"artist_id":"a-1"}}"#,
        r#"{"data_type":"events","payload":{"event_id":7}}"#,
        r#"{"data_type":"venues","payload":{}}"#,
    ];
    cloud.file("concert.ndjson", envelopes.join("\n"));
    cloud.ok(["put", "--pipeline", "concert", "--file", "concert.ndjson"]);
    let mut keys: Vec<String> = cloud.records(STREAM).into_iter().map(|(key, _)| key).collect();
    keys.sort();
    assert_eq!(keys, ["artist_a-1", "concert_7", "venues_unknown"]);

    let reading = r#"{"sensorId":"s-1","value":1}"#;
    cloud.ok(["put", "--pipeline", "realtime", "--data", reading]);
    let to = [
        "put",
        "--pipeline",
        "realtime",
        "--data",
        reading,
        "--stream",
        "elsewhere",
    ];
    cloud.ok(to);
    for stream in ["realtime-data-stream", "elsewhere"] {
        assert_eq!(cloud.records(stream)[0].0, "s-1", "{stream}");
    }

    let error = cloud.fails(2, ["put", "--pipeline", "concert", "--data", "{}"]);
    assert!(error.contains("none of the fields that the template"), "{error}");
    let error = cloud.fails(2, ["put", "--pipeline", "stream", "--data", "{}"]);
    assert!(error.contains("has no rule for partition keys"), "{error}");
    let error = cloud.fails(2, ["put", "--pipeline", "orders", "--data", "{}"]);
    assert!(error.contains("there is no template"), "{error}");
}

#[test]
fn a_dry_run_makes_no_call() {
    let machine = Machine::new();
    machine.file("in.ndjson", "{\"k\":\"a\"}\n{\"k\":\"b\"}\n{\"k\":\"a\"}\n");
    assert_snapshot!("dry-run", machine.ok(["put", "--file", "in.ndjson", "--dry-run"]));
    let keyed = [
        "put",
        "--file",
        "in.ndjson",
        "--dry-run",
        "--partition-key-field",
        "k",
    ];
    assert_snapshot!("dry-run-keys", machine.ok(keyed));
    assert_snapshot!(
        "dry-run-json",
        serde_json::to_string_pretty(&machine.json(keyed)).unwrap()
    );
    machine.file("bad.json", "[1,]");
    machine.fails(2, ["put", "--file", "bad.json", "--dry-run"]);
    // No local cloud was started.
    assert!(!machine.path().join("streamctl-home").exists());
}

#[test]
fn output_as_table_and_json() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    cloud.file("in.ndjson", "1\n2\n3\n");
    let mut answer = cloud.json(["put", "--file", "in.ndjson", "--partition-key", "k"]);
    let shard = &mut answer["shards"][0];
    assert!(shard["first_sequence_number"].as_str() < shard["last_sequence_number"].as_str());
    shard["first_sequence_number"] = json!("FIRST");
    shard["last_sequence_number"] = json!("LAST");
    assert!(answer["elapsed_seconds"].as_f64().unwrap() < 60.0);
    answer["elapsed_seconds"] = Value::Null;
    assert!(answer["latency_ms"]["p99"].as_f64().unwrap() < 60_000.0);
    answer["latency_ms"] = Value::Null;
    assert_snapshot!("put-json", serde_json::to_string_pretty(&answer).unwrap());

    let output = cloud.streamctl(["put", "--file", "in.ndjson"]).assert().success();
    let output = output.get_output();
    insta::with_settings!({filters => vec![(r"[\d.]+ m?s \(", "TIME (")]}, {
        assert_snapshot!("put-table", String::from_utf8_lossy(&output.stdout));
    });
    insta::with_settings!({filters => vec![(r"127\.0\.0\.1:\d+", "127.0.0.1:PORT"), (r"in [\d.]+ m?s\b", "in TIME")]}, {
        assert_snapshot!("put-stderr", String::from_utf8_lossy(&output.stderr));
    });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!said.contains("in 0.0 s"), "{said}");

    let text = cloud.ok(["put", "--file", "in.ndjson", "-o", "text"]);
    let fields: Vec<&str> = text.trim_end().split('\t').collect();
    assert_eq!(fields.len(), 5, "{text}");
    assert_eq!(fields[..2], ["shardId-000000000000", "3"]);
}

#[test]
fn a_missing_stream_hints_at_setup() {
    let cloud = Cloud::start();
    let said = cloud.fails(1, ["put", "--data", "x"]);
    assert!(said.contains("`streamctl setup`"), "{said}");
    assert!(!said.contains("Sent"), "{said}");
    assert_eq!(cloud.json(["list"]), json!([]), "nothing was made");
}

#[test]
fn a_hundred_thousand_records() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 4);
    let all: Vec<String> = (0..100_000).map(|n| format!("{{\"n\":\"{n:06}\"}}")).collect();
    cloud.file("many.json", format!("[{}]", all.join(",")));
    let answer = cloud.json(["put", "--file", "many.json"]);
    assert_eq!(answer["acknowledged"], 100_000);
    let shards = answer["shards"].as_array().unwrap();
    assert_eq!(shards.len(), 4);
    let by_shard: u64 = shards.iter().map(|s| s["records"].as_u64().unwrap()).sum();
    assert_eq!(by_shard, 100_000);
    assert_eq!(sorted(cloud.records(STREAM)), all);
}

#[test]
fn no_record_is_lost_above_the_shard_limit() {
    let cloud = Cloud::start_with(["--enforce-limits"]);
    cloud.stream(STREAM, 1);
    let all: Vec<String> = (0..5_000).map(|n| format!("{{\"n\":\"{n:06}\"}}")).collect();
    cloud.file("many.ndjson", all.join("\n"));
    let output = cloud
        .streamctl(["put", "--file", "many.ndjson", "-o", "json"])
        .assert()
        .success();
    let output = output.get_output();
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["acknowledged"], 5_000);
    assert_eq!(answer["failed"], 0);
    assert!(answer["retries"].as_u64().unwrap() > 0, "{answer}");
    // 1,000 records a second.
    assert!(answer["elapsed_seconds"].as_f64().unwrap() > 2.0, "{answer}");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("The stream reached its limit at times"), "{said}");
    assert_eq!(sorted(cloud.records(STREAM)), all);
    assert!(!cloud.path().join("many.ndjson.failed.ndjson").exists());
}
