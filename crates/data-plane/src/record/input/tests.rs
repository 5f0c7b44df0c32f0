use std::io::Write;

use insta::assert_snapshot;
use proptest::prelude::*;

use super::*;
use ground::exit::Exit;

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.0.path().join(name), bytes).unwrap();
    }

    fn choose(&self, names: &[&str]) -> Result<Inputs> {
        let names: Vec<String> = names
            .iter()
            .map(|name| self.0.path().join(name).display().to_string())
            .collect();
        Inputs::choose(&names, None, true)
    }

    fn without(&self, text: impl std::fmt::Display) -> String {
        text.to_string().replace(self.0.path().to_str().unwrap(), "DIR")
    }
}

fn read(mut reader: InputReader) -> std::result::Result<Vec<Record>, RecordError> {
    let mut records = Vec::new();
    while let Some(record) = reader.read()? {
        records.push(record);
    }
    Ok(records)
}

fn data(inputs: &Inputs, options: &ReadOptions) -> Vec<String> {
    let records = read(inputs.open(options)).unwrap();
    records
        .iter()
        .map(|record| String::from_utf8_lossy(&record.data).into_owned())
        .collect()
}

#[test]
fn files_that_cannot_be_sent_are_refused_by_name() {
    let dir = Dir::new();
    dir.write("empty.json", "");
    std::fs::create_dir(dir.0.path().join("sub")).unwrap();
    let refused = |names: &[&str]| {
        let error = dir.choose(names).unwrap_err();
        assert_eq!(error.exit(), Exit::Usage);
        dir.without(error)
    };
    assert_snapshot!(refused(&["missing.json"]), @"DIR/missing.json does not exist");
    assert_snapshot!(refused(&["empty.json"]), @"DIR/empty.json is empty");
    assert_snapshot!(refused(&["sub"]), @"DIR/sub is a directory");
    assert_snapshot!(refused(&["*.ndjson"]), @"no file matches DIR/*.ndjson");
    assert_snapshot!(refused(&["[.json"]), @"DIR/[.json is not a valid pattern of file names");
    let twice = Inputs::choose(&["-".to_owned(), "-".to_owned()], None, true).unwrap_err();
    assert_snapshot!(twice.to_string(), @"stdin is named twice");
    assert_snapshot!(Inputs::choose(&[], None, true).unwrap_err().to_string(), @"there is nothing to send");
}

#[test]
fn files_follow_one_another_each_in_its_own_format() {
    let dir = Dir::new();
    dir.write("a.ndjson", "1\n2\n");
    dir.write("b.json", "[3, 4]");
    dir.write("c.csv", "n\n5\n");
    dir.write("d.json", " ");
    let inputs = dir.choose(&["*.ndjson", "?.json", "c.csv"]).unwrap();
    assert_eq!(inputs.name(), "4 files");
    let options = ReadOptions::default();
    assert_eq!(data(&inputs, &options), ["1", "2", "3", "4", "{\"n\":\"5\"}"]);
    let numbers: Vec<_> = read(inputs.open(&options))
        .unwrap()
        .iter()
        .map(|r| r.number)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);

    dir.write("e.ndjson", "6\n}");
    let error = read(dir.choose(&["a.ndjson", "e.ndjson"]).unwrap().open(&options)).unwrap_err();
    let error = error.into_error("2 files");
    assert_snapshot!(dir.without(error), @"DIR/e.ndjson is not valid JSON at line 2, column 1: expected a JSON value");
}

#[test]
fn compressed_files_are_read_through() {
    let dir = Dir::new();
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    dir.write("a.json.gz", [gzip("1\n"), gzip("2\n")].concat());
    dir.write("b.csv.zst", zstd::encode_all(&b"n\n3\n"[..], 1).unwrap());
    dir.write("paren.txt", "(");
    let options = ReadOptions::default();
    assert_eq!(
        data(&dir.choose(&["a.json.gz", "b.csv.zst"]).unwrap(), &options),
        ["1", "2", "{\"n\":\"3\"}"]
    );
    let lines = ReadOptions {
        format: InputFormat::Lines,
        ..ReadOptions::default()
    };
    assert_eq!(data(&dir.choose(&["paren.txt"]).unwrap(), &lines), ["("]);
    // The bytes of a whole file are a record as they are.
    let whole = ReadOptions {
        format: InputFormat::Whole,
        ..ReadOptions::default()
    };
    let files = dir.choose(&["a.json.gz", "b.csv.zst"]).unwrap();
    let records = read(files.open(&whole)).unwrap();
    assert_eq!(records.len(), 2);
    assert!(records[0].data.starts_with(&[0x1f, 0x8b]));
    let mut cut = gzip(&"1\n".repeat(10_000));
    cut.truncate(cut.len() / 2);
    dir.write("cut.gz", cut);
    let error = read(dir.choose(&["cut.gz"]).unwrap().open(&options)).unwrap_err();
    assert!(matches!(error.kind, RecordErrorKind::Io(_)), "{error:?}");
}

#[test]
fn an_input_is_repeated_limited_and_skipped() {
    let dir = Dir::new();
    dir.write("a.ndjson", "1\n2\n3\n");
    let inputs = |repeat, limit| {
        let inputs = dir.choose(&["a.ndjson"]).unwrap();
        inputs.repeated(repeat, limit).unwrap()
    };
    let options = ReadOptions::default();
    let twice = inputs(Repeat::Times(2), None);
    assert_eq!(data(&twice, &options), ["1", "2", "3", "1", "2", "3"]);
    assert_eq!(
        data(&inputs(Repeat::Forever, Some(5)), &options),
        ["1", "2", "3", "1", "2"]
    );
    assert_eq!(data(&inputs(Repeat::Times(1), Some(2)), &options), ["1", "2"]);
    let skip = |skip| ReadOptions {
        skip,
        ..ReadOptions::default()
    };
    assert_eq!(data(&twice, &skip(4)), ["2", "3"]);
    assert_eq!(data(&inputs(Repeat::Times(1), Some(1)), &skip(1)), ["2"]);
    let once = inputs(Repeat::Times(1), None);
    assert!(data(&once, &skip(3)).is_empty());
    let error = read(once.open(&skip(4))).unwrap_err().into_error("a.ndjson");
    assert_snapshot!(error.to_string(), @"a.ndjson has 3 records, and --skip leaves out the first 4");
    let stdin = Inputs::choose(&["-".to_owned()], None, true).unwrap();
    assert_eq!(
        stdin.repeated(Repeat::Forever, None).unwrap_err().exit(),
        Exit::Usage
    );
}

#[test]
fn the_beginning_of_an_input_is_checked() {
    let dir = Dir::new();
    dir.write("in.ndjson", format!("1\n\"{}\"\n2\n", "x".repeat(2_000_000)));
    let inputs = dir.choose(&["in.ndjson"]).unwrap();
    let options = ReadOptions::default();
    let check = inputs.check(&options).unwrap().unwrap();
    assert!(check.fits(LARGEST_RECORD_BYTES).is_ok());
    let error = check.fits(1024 * 1024).unwrap_err().into_error(&inputs.name());
    assert_snapshot!(dir.without(error), @"DIR/in.ndjson, record 2 (line 2): larger than the stream takes (1048576 bytes, partition key included)");
    // Of an input of more than 16 MiB, only the first 1 MiB is read twice.
    let line = format!("\"{}\"\n", "x".repeat(1 << 19));
    let is_good = |name: &str, text: String| {
        dir.write(name, text);
        let inputs = dir.choose(&[name]).unwrap();
        let few = inputs.clone().repeated(Repeat::Times(1), Some(20)).unwrap();
        [inputs, few].map(|inputs| inputs.check(&options).is_ok())
    };
    let after = |lines: usize, more: usize| line.repeat(lines) + "}\n" + &line.repeat(more);
    assert_eq!(is_good("small.ndjson", after(30, 0)), [false, true]);
    assert_eq!(is_good("large.ndjson", after(30, 10)), [true, true]);
    assert_eq!(is_good("beginning.ndjson", after(1, 40)), [false, false]);
    assert_eq!(is_good("few.ndjson", after(10, 40)), [true, false]);
    let stdin = Inputs::choose(&["-".to_owned()], None, true).unwrap();
    assert_eq!(stdin.check(&options).unwrap(), None);
}

#[test]
fn progress_and_hot_keys_are_shared() {
    let dir = Dir::new();
    dir.write("in.ndjson", "{\"k\":\"a\"}\n".repeat(300));
    let inputs = dir.choose(&["in.ndjson"]).unwrap();
    let options = ReadOptions {
        key: Some(KeyRule::field("k")),
        ..ReadOptions::default()
    };
    let reader = inputs.open(&options);
    let progress = reader.progress();
    assert_eq!(progress.fraction(), Some(0.0));
    assert_eq!(progress.hottest(), None);
    read(reader).unwrap();
    assert_eq!(progress.fraction(), Some(1.0));
    assert_eq!(progress.hottest().unwrap().key, "a");
    // Nobody wonders about the only key that was asked for.
    let constant = ReadOptions {
        key: Some(KeyRule::Constant("k".into())),
        ..ReadOptions::default()
    };
    let reader = inputs.open(&constant);
    let progress = reader.progress();
    read(reader).unwrap();
    assert_eq!(progress.hottest(), None);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn damaged_compression_is_an_error_and_no_panic(
        text in "[a-z\n]{0,300}", is_zstd: bool, flip in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>(), by: u8,
    ) {
        let mut bytes = match is_zstd {
            true => zstd::encode_all(text.as_bytes(), 1).unwrap(),
            false => {
                let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                encoder.write_all(text.as_bytes()).unwrap();
                encoder.finish().unwrap()
            }
        };
        let at = flip.index(bytes.len());
        bytes[at] ^= by;
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(mut input) = decompressed(Box::new(Cursor::new(bytes))) {
            let mut read = Vec::new();
            let _ = input.by_ref().take(1 << 20).read_to_end(&mut read);
        }
    }

    #[test]
    fn what_is_not_compressed_is_read_as_it_is(bytes in prop::collection::vec(prop_oneof![Just(0x1fu8), Just(0x28), Just(0xb5), any::<u8>()], 0..20)) {
        prop_assume!(!bytes.starts_with(&[0x1f, 0x8b]) && !bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]));
        let mut read = Vec::new();
        decompressed(Box::new(Cursor::new(bytes.clone()))).unwrap().read_to_end(&mut read).unwrap();
        prop_assert_eq!(read, bytes);
    }
}
