//! What `tail` writes: exact bytes, formats, files. What cannot be written is refused before the first call.

use insta::assert_snapshot;
use rand::rngs::StdRng;
use rand::{Rng as _, RngCore as _, SeedableRng as _};
use serde_json::Value;

use super::{STREAM, put, refused};
use crate::support::{Cloud, Machine};

/// Records of all lengths and bytes.
fn arbitrary(seed: u64, count: usize) -> Vec<Vec<u8>> {
    let mut random = StdRng::seed_from_u64(seed);
    let length = |random: &mut StdRng| match random.random_range(0..4) {
        0 => random.random_range(1..4),
        1 => random.random_range(100..300),
        _ => random.random_range(1..2000),
    };
    (0..count)
        .map(|_| {
            let mut record = vec![0; length(&mut random)];
            random.fill_bytes(&mut record);
            record
        })
        .collect()
}

/// Puts a file whose records have their length in front, in order and with one key.
fn put_file(cloud: &Cloud, stream: &str, name: &str, format: &str) {
    let options = [
        "--file",
        name,
        "--format",
        format,
        "--key",
        "k",
        "--in-flight",
        "1",
    ];
    cloud.streamctl(["put", stream]).args(options).assert().success();
}

/// All bytes that `tail -o raw` writes.
fn raw(cloud: &Cloud, stream: &str, separator: &str) -> Vec<u8> {
    let options = ["--no-follow", "-o", "raw", "--separator", separator];
    let output = cloud
        .streamctl(["tail", stream, "--from", "trim"])
        .args(options)
        .assert();
    output.success().get_output().stdout.clone()
}

#[test]
fn bytes_that_are_put_come_back_exactly() {
    let seed = rand::random::<u64>();
    let records = arbitrary(seed, 600);
    let with_length = |record: &Vec<u8>| [(record.len() as u32).to_be_bytes().as_slice(), record].concat();
    let delimited: Vec<u8> = records.iter().flat_map(with_length).collect();
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    cloud.file("in.data", &delimited);
    put_file(&cloud, STREAM, "in.data", "length-delimited");
    assert!(
        raw(&cloud, STREAM, "length-delimited") == delimited,
        "seed {seed}"
    );
    assert!(raw(&cloud, STREAM, "none") == records.concat(), "seed {seed}");
    let separated: Vec<u8> = records
        .iter()
        .flat_map(|record| [record, &b"\0%"[..]].concat())
        .collect();
    assert!(raw(&cloud, STREAM, r"\0%") == separated, "seed {seed}");
    // Lengths as varints are read back by `put`.
    cloud.stream("copied", 1);
    cloud.file("varint.data", raw(&cloud, STREAM, "varint-delimited"));
    put_file(&cloud, "copied", "varint.data", "varint-delimited");
    assert!(
        raw(&cloud, "copied", "length-delimited") == delimited,
        "seed {seed}"
    );
    // And a file that is one record.
    cloud.stream("whole", 1);
    cloud.file("blob", records.concat());
    cloud.ok(["put", "whole", "--file", "blob", "--format", "whole"]);
    assert!(raw(&cloud, "whole", "none") == records.concat(), "seed {seed}");
}

#[test]
fn a_format_of_ones_own() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 1);
    put(&cloud, "user-1", br#"{"a":1}"#);
    put(&cloud, "user-2", b"two");
    let read = |format: &str| cloud.ok(["tail", "--from", "trim", "--no-follow", "--format", format]);
    assert_eq!(
        read(r"%i %S/%p %k(%K) %v(%V)%%\n"),
        "1 concert-data-stream/0 user-1(6) {\"a\":1}(7)%\n2 concert-data-stream/0 user-2(6) two(3)%\n"
    );
    let times = cloud.ok([
        "tail",
        "--from",
        "trim",
        "-n",
        "1",
        "--timezone",
        "+02:00",
        "--format",
        "%t",
    ]);
    assert!(times.ends_with("+02:00"), "{times}");
    let json = cloud.ok(["tail", "--from", "trim", "-n", "1", "-o", "json", "--json-data"]);
    let record: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(record["data"], serde_json::json!({"a": 1}));
    // It is a recording, too.
    cloud.file(
        "recorded.ndjson",
        cloud.ok([
            "tail",
            "--from",
            "trim",
            "--no-follow",
            "-o",
            "json",
            "--json-data",
        ]),
    );
    cloud.stream("again", 1);
    cloud.ok(["put", "again", "--replay", "recorded.ndjson", "--speed", "max"]);
    assert_eq!(cloud.records("again"), cloud.records(STREAM));
}

#[test]
fn files_for_each_shard_can_be_replayed() {
    let cloud = Cloud::start();
    cloud.stream(STREAM, 2);
    for n in 0..60 {
        put(&cloud, &format!("k{}", n % 7), format!("{n:0>100}").as_bytes());
    }
    let tail = |from: &str| {
        let args = [
            "tail",
            "--from",
            from,
            "--no-follow",
            "--out-dir",
            "recorded",
            "--rotate",
            "2KiB",
        ];
        let output = cloud
            .streamctl(args)
            .args(["--checkpoint", "c"])
            .assert()
            .success();
        assert!(output.get_output().stdout.is_empty());
        String::from_utf8(output.get_output().stderr.clone()).unwrap()
    };
    tail("trim");
    let names = || {
        let entries = std::fs::read_dir(cloud.path().join("recorded")).unwrap();
        let mut names: Vec<String> = entries
            .map(|e| e.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let first = names();
    assert!(first.len() > 4, "{first:?}");
    assert_eq!(first[0], "concert-data-stream-shardId-000000000000-000001.ndjson");
    for name in &first {
        let size = cloud.path().join("recorded").join(name).metadata().unwrap().len();
        assert!(size <= 2048, "{name} has {size} bytes");
    }
    // A later run goes on in new files.
    put(&cloud, "k0", b"one more");
    let said = tail("trim");
    assert!(
        said.contains("Wrote 1 file\n") && said.contains("Read to the end: 1 record"),
        "{said}"
    );
    assert_eq!(names().len(), first.len() + 1);
    cloud.stream("again", 2);
    cloud.ok(["put", "again", "--replay", "recorded", "--speed", "max"]);
    let by_key = |stream: &str| {
        let mut records = cloud.records(stream);
        records.sort_by(|(a, _), (b, _)| a.cmp(b));
        records
    };
    assert_eq!(by_key("again"), by_key(STREAM));
}

#[test]
fn what_cannot_be_written_is_refused_before_the_first_call() {
    assert_snapshot!(refused(&["--format", "%k %z"]), @r#"
    error: "%k %z" is not valid for --format: at character 4, there is no token %z
    hint: the tokens are %t %T %S %s %p %o %u %k %K %v %V %R %b %x %i %{FIELD} and %%
    "#);
    assert_snapshot!(refused(&["-o", "raw", "--separator", r"\q"]), @r#"
    error: "\\q" is not valid for --separator: at character 1, there is no escape \q
    hint: the escapes are \n \r \t \0 \\ and \xNN
    "#);
    assert_snapshot!(refused(&["--separator", ","]), @"error: --separator needs -o raw or -o text");
    assert_snapshot!(refused(&["-o", "text", "--json-data"]), @"error: --json-data needs -o json");
    assert_snapshot!(refused(&["-o", "json", "--indent"]), @"error: --indent needs the default format, without -o");
    assert_snapshot!(refused(&["-o", "json", "--format", "%k"]), @"error: --format and -o exclude each other");
    assert!(refused(&["--timezone", "Mars"]).contains("not a time zone"));
    assert!(refused(&["--out-dir", "d", "--rotate", "5"]).contains("at least 1KiB"));
    assert_snapshot!(Machine::new().fails(2, ["list", "-o", "raw"]), @r"
    error: only tail writes raw records
    hint: use -o json, -o text, or no -o at all
    ");
}
