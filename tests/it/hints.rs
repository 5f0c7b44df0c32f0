//! Each hint with a command that the sources can print: it is provoked with the real binary, the command is taken out of what
//! is printed, and it works in the state that printed it.
//!
//! The tables are in the modules below, a group of rows for each state. A hint that is in no table fails
//! `every_hint_of_the_sources_is_in_a_table`.

mod data;
mod functions;
mod local;
mod operate;
mod pipelines;
mod prices;
mod streams;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::fake::Fake;
use crate::harvest::{unattended, words};
use crate::proxy::{self, Call, Fate};
use crate::support::{Cloud, Machine};

/// The region of the clouds of these tests, as typed: each hint must repeat it.
const REGION: [&str; 2] = ["--region", "us-east-1"];

/// The sources that print.
const SOURCES: &[&str] = &[
    "src",
    "crates/data-plane/src",
    "crates/domain/src",
    "crates/ground/src",
    "crates/daemon/src",
    "crates/ui/src",
];

/// How a hint comes to be printed.
#[derive(Clone, Copy)]
enum By {
    /// `streamctl WORDS`.
    Run(&'static [&'static str]),
    /// `streamctl WORDS` through a proxy of the local cloud, which decides on each call.
    Through(&'static [&'static str], fn(&Call) -> Fate),
    /// `streamctl WORDS` against an endpoint that answers everything with status 400 or 500 and this body.
    Answered(&'static [&'static str], u16, &'static str),
    /// What this returns is what was printed.
    Made(fn(&Cloud) -> String),
    /// It cannot be provoked here, for this reason. Its command runs all the same, in the state that would print it.
    Unprovoked(&'static str),
    /// It is no command to run, for this reason.
    Exempt(&'static str),
}

/// A hint of the sources.
#[derive(Clone, Copy)]
struct Row {
    /// The source that prints it.
    file: &'static str,
    /// The command as the source has it, without "streamctl".
    hint: &'static str,
    by: By,
    /// What the user puts in place of the words in capitals.
    fill: &'static [(&'static str, &'static str)],
    /// The exit code of the command.
    ends: i32,
}

const fn row(file: &'static str, hint: &'static str, by: By) -> Row {
    Row {
        file,
        hint,
        by,
        fill: &[],
        ends: 0,
    }
}

impl Row {
    const fn fill(self, fill: &'static [(&'static str, &'static str)]) -> Self {
        Self { fill, ..self }
    }

    /// For a command whose work is to tell of a fault.
    const fn ends(self, code: i32) -> Self {
        Self { ends: code, ..self }
    }

    fn of(&self) -> String {
        format!("{}: `streamctl {}`", self.file, self.hint)
    }

    /// What is printed when the hint is provoked, and the flags that chose the target; `None` if it cannot be.
    fn said(&self, cloud: &Cloud) -> Option<(String, Vec<String>)> {
        let run = |words: &[&str], flags: &[&str]| {
            let more = if words.contains(&"--region") {
                &[][..]
            } else {
                flags
            };
            let said = output(&cloud.machine, words, more);
            Some((said, more.iter().map(|&flag| flag.to_owned()).collect()))
        };
        match self.by {
            By::Run(words) => run(words, &REGION),
            By::Through(words, judge) => {
                let url = proxy::start(&cloud.endpoint, Arc::new(judge));
                run(words, &["--endpoint-url", &url])
            }
            By::Answered(words, status, body) => {
                let fake = Fake::start(move |_| (status, body.to_owned()));
                run(words, &["--endpoint-url", &fake.url])
            }
            By::Made(make) => Some((make(cloud), Vec::new())),
            By::Unprovoked(reason) | By::Exempt(reason) => {
                assert!(!reason.is_empty(), "{}", self.of());
                None
            }
        }
    }

    /// The command that the user types.
    ///
    /// # Errors
    /// If the hint is not printed, or has a word that the row does not fill in.
    fn command(&self, cloud: &Cloud) -> Result<String, String> {
        let mut command = match self.said(cloud) {
            None => format!("streamctl {}", self.hint),
            Some((said, flags)) => {
                let mut printed = suggested(&said).into_iter();
                let found = printed.find_map(|one| match plain(&one, &flags) {
                    Some(plain) => is_of(&plain, self.hint).then_some(Ok((one, plain))),
                    None => is_of(&one, self.hint).then_some(Err(one)),
                });
                match found {
                    // A proxy or a fake is not the cloud that the command is to work in.
                    Some(Ok((_, plain))) if flags.contains(&"--endpoint-url".to_owned()) => {
                        format!("streamctl {plain}")
                    }
                    Some(Ok((found, _))) => format!("streamctl {found}"),
                    Some(Err(found)) => {
                        return Err(format!("{}: `{found}` does not repeat {flags:?}", self.of()));
                    }
                    None => return Err(format!("{} is not printed: {said}", self.of())),
                }
            }
        };
        for (from, to) in self.fill {
            command = command.replacen(from, to, 1);
        }
        let is_open = |word: &str| word.len() > 1 && word.bytes().all(|b| b.is_ascii_uppercase());
        match command.contains('{') || command.split([' ', '/', ':', '=']).any(is_open) {
            true => Err(format!("{}: fill in `{command}`", self.of())),
            false => Ok(command),
        }
    }

    /// # Errors
    /// What happened in place of what the row says.
    fn outcome(&self, cloud: &Cloud) -> Result<(), String> {
        if matches!(self.by, By::Exempt(_)) {
            return Ok(());
        }
        let command = self.command(cloud)?;
        let words = words(&command);
        let output = cloud.streamctl(&words).args(unattended(&words)).output().unwrap();
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        match output.status.code() == Some(self.ends) {
            true => Ok(()),
            false => Err(format!(
                "{}, printed as `{command}`, ends with {}: {stdout}{stderr}",
                self.of(),
                output.status
            )),
        }
    }
}

/// Checks `rows` in their order on `cloud`.
fn check(cloud: &Cloud, rows: &[Row]) {
    let outcomes = rows.iter().map(|row| row.outcome(cloud));
    let wrong: Vec<String> = outcomes.filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// What `streamctl WORDS MORE` prints.
fn output(machine: &Machine, words: &[&str], more: &[&str]) -> String {
    let output = machine.streamctl(words).args(more).output().unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    format!("{}\n{stdout}", String::from_utf8_lossy(&output.stderr))
}

/// The commands in backticks in `text`, without "streamctl". A terminal breaks a long line.
fn suggested(text: &str) -> Vec<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let commands = text.split("`streamctl ").skip(1);
    commands
        .map(|part| part.split('`').next().unwrap_or(part).to_owned())
        .collect()
}

/// `command` without `flags`, which it must repeat if it acts somewhere.
fn plain(command: &str, flags: &[String]) -> Option<String> {
    let acts_nowhere = ["demo", "help", "init", "local"];
    let first = command.split(' ').next().unwrap_or_default();
    if acts_nowhere.contains(&first) || command.contains("--help") || command.starts_with('-') {
        return Some(command.to_owned());
    }
    // It chooses another target.
    if flags.first().is_some_and(|flag| flag == "--endpoint-url") && command.contains("--target") {
        return Some(command.to_owned());
    }
    let repeated = flags.iter().map(|word| format!(" {word}")).collect::<String>();
    Some(command.strip_suffix(&repeated)?.to_owned())
}

/// Whether `command` is `hint` with the values that are filled in when it is printed.
fn is_of(command: &str, hint: &str) -> bool {
    let mut pieces = hint.split('{').enumerate().map(|(index, piece)| match index {
        0 => piece,
        _ => piece.split_once('}').map_or("", |(_, after)| after),
    });
    let Some(mut rest) = command.strip_prefix(pieces.next().unwrap_or("")) else {
        return false;
    };
    let mut ends_with_value = false;
    for piece in pieces {
        let Some(at) = rest.find(piece) else {
            return false;
        };
        rest = &rest[at + piece.len()..];
        ends_with_value = piece.is_empty();
    }
    ends_with_value || rest.is_empty()
}

/// The hints of the sources: the file, and the command in backticks without "streamctl".
fn harvested() -> BTreeSet<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeSet::new();
    for path in SOURCES.iter().flat_map(|dir| sources(&root.join(dir))) {
        let inside = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        if inside.contains("test") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]").next().unwrap_or(&text);
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        let code = lines.collect::<Vec<_>>().join("\n");
        // A text goes on in the next line after a backslash.
        let joined: Vec<&str> = code.split("\\\n").map(str::trim_start).collect();
        let hints = suggested(&joined.concat());
        found.extend(hints.into_iter().map(|hint| (inside.clone(), hint)));
    }
    found
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    });
    all.filter(|path| path.extension().is_some_and(|kind| kind == "rs"))
        .collect()
}

/// No commands: help texts and documentation.
const NO_HINTS: &[Row] = &[
    row(
        "src/cli/put.rs",
        "tail -o json",
        By::Exempt("the help of --format"),
    ),
    row(
        "src/cli/reference.rs",
        "COMMAND --help",
        By::Exempt("the first line of docs/commands.md"),
    ),
    row(
        "src/cli/shared/template.rs",
        "init",
        By::Exempt("the help of TEMPLATE"),
    ),
];

#[test]
fn every_hint_of_the_sources_is_in_a_table() {
    let tables = [
        NO_HINTS,
        data::ROWS,
        functions::ROWS,
        local::ROWS,
        operate::ROWS,
        pipelines::ROWS,
        pipelines::PRICES,
        prices::ROWS,
        streams::EMPTY,
        streams::ROWS,
        streams::CHANNELS,
    ];
    let rows = tables.into_iter().flatten();
    let known: BTreeSet<(String, String)> = rows
        .map(|row| (row.file.to_owned(), row.hint.to_owned()))
        .collect();
    let harvested = harvested();
    assert!(harvested.len() > 100, "only {} were found", harvested.len());
    let missing: Vec<_> = harvested.difference(&known).collect();
    assert!(missing.is_empty(), "in no table of tests/it/hints: {missing:#?}");
    let stale: Vec<_> = known.difference(&harvested).collect();
    assert!(stale.is_empty(), "no source has these any more: {stale:#?}");
}

#[test]
fn a_printed_command_is_told_from_another() {
    assert!(is_of("list", "list"));
    assert!(!is_of("list orders", "list"));
    assert!(is_of("describe orders --shards", "describe {stream} --shards"));
    assert!(!is_of("describe orders", "describe {stream} --shards"));
    assert!(is_of("setup", "setup{typed}"));
    assert!(is_of("setup prices --param a=b", "setup{typed}"));
    assert!(!is_of("verify prices", "setup{typed}"));
    assert_eq!(
        words("streamctl put --file 'a b.json'"),
        ["put", "--file", "a b.json"]
    );
}

#[test]
fn a_suggested_command_acts_where_the_command_acted() {
    let cloud = Cloud::start();
    cloud.ok(["create", "orders"]);
    cloud.ok(["create", "there", "--region", "eu-west-1"]);
    let in_ireland = "arn:aws:kinesis:eu-west-1:000000000000:stream/there";
    let endpoint = cloud.endpoint.as_str();
    for (typed, suggested_first) in [
        (
            vec!["describe", "nosuch", "--region", "eu-west-1"],
            "list --region eu-west-1".to_owned(),
        ),
        (
            vec!["describe", "nosuch", "--endpoint-url", endpoint],
            format!("list --endpoint-url {endpoint}"),
        ),
        (
            vec!["tail", in_ireland, "--shard", "9"],
            "describe there --shards --region eu-west-1".to_owned(),
        ),
        (
            vec!["copy", "orders", "nosuch", "--to-region", "eu-west-1"],
            "list --region eu-west-1".to_owned(),
        ),
        (
            vec!["copy", in_ireland, "nosuch", "--to-region", "us-east-1"],
            "list --region us-east-1".to_owned(),
        ),
    ] {
        let said = output(&cloud.machine, &typed, &[]);
        let found = suggested(&said);
        assert_eq!(found.first(), Some(&suggested_first), "{typed:?}: {said}");
        let command = words(&format!("streamctl {suggested_first}"));
        cloud.streamctl(&command).assert().success();
    }
}
