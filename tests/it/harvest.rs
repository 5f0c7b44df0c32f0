//! Every command that a hint or a "Next:" of the snapshots names works as it is printed, in the state that printed it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::support::Cloud;
use crate::templates::OWN;

/// What there is when a command is suggested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Nothing was made yet.
    Empty,
    /// The stream orders in provisioned mode, and a folder of files.
    Orders,
    /// The stream orders in on-demand mode.
    OnDemand,
    /// The default stream, after `setup`.
    Default,
    /// The manifest `mine/pipeline.toml` of a stream of its own, after `setup`.
    Own,
    /// A streamctl.toml that names another machine.
    Untrusted,
}

/// Each command with the state in which it is suggested. Those of one state run in this order.
const SUGGESTED: &[(&str, State)] = &[
    ("streamctl --help", State::Empty),
    ("streamctl --version", State::Empty),
    ("streamctl describe --help", State::Empty),
    ("streamctl handlers", State::Empty),
    ("streamctl help output", State::Empty),
    ("streamctl init", State::Empty),
    ("streamctl list", State::Empty),
    ("streamctl metrics --help", State::Empty),
    ("streamctl put --help", State::Empty),
    ("streamctl reshard --help", State::Empty),
    ("streamctl retention --help", State::Empty),
    ("streamctl setup --help", State::Empty),
    ("streamctl tag --help", State::Empty),
    ("streamctl setup", State::Empty),
    ("streamctl consumer list orders", State::Orders),
    ("streamctl mode orders provisioned", State::OnDemand),
    ("streamctl describe orders --shards", State::Orders),
    ("streamctl describe concert-data-stream --shards", State::Default),
    ("streamctl init stream", State::Default),
    ("streamctl put --file stream/events.json", State::Default),
    ("streamctl tail --from trim", State::Default),
    ("streamctl metrics", State::Default),
    ("streamctl destroy", State::Default),
    (
        "streamctl put --stream own-stream --file records.json",
        State::Own,
    ),
    ("streamctl tail --stream own-stream --from trim", State::Own),
    ("streamctl metrics --stream own-stream", State::Own),
    ("streamctl destroy -f mine/pipeline.toml", State::Own),
    ("streamctl config trust", State::Untrusted),
];

impl State {
    fn prepare(self, cloud: &Cloud) {
        match self {
            Self::Empty => {}
            Self::Orders => {
                cloud.ok(["create", "orders"]);
                std::fs::create_dir(cloud.path().join("folder")).unwrap();
                cloud.file("folder/a.ndjson", "{\"a\":1}\n");
                // `put` without a name sends to the default stream.
                cloud.ok(["setup"]);
            }
            Self::OnDemand => drop(cloud.ok(["create", "orders", "--on-demand"])),
            Self::Default => drop(cloud.ok(["setup"])),
            Self::Own => {
                std::fs::create_dir(cloud.path().join("mine")).unwrap();
                cloud.file("mine/pipeline.toml", OWN);
                cloud.ok(["setup", "-f", "mine/pipeline.toml"]);
                cloud.file("records.json", "[{\"a\":1}]");
            }
            Self::Untrusted => {
                cloud.file("streamctl.toml", "endpoint_url = \"https://example.com\"\n");
            }
        }
    }
}

/// The files below `dir` that may hold snapshots.
fn files(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let all = entries.flat_map(|path| match path.is_dir() {
        true => files(&path),
        false => vec![path],
    });
    let is_source = |path: &PathBuf| {
        path.extension()
            .is_some_and(|kind| kind == "snap" || kind == "rs")
    };
    all.filter(is_source).collect()
}

/// The inline snapshots of a source: the texts after `@`.
fn inline(source: &str) -> String {
    let mut texts = String::new();
    for piece in source.split('@').skip(1) {
        let piece = piece.strip_prefix('r').unwrap_or(piece);
        let hashes = piece.len() - piece.trim_start_matches('#').len();
        let Some(text) = piece[hashes..].strip_prefix('"') else {
            continue;
        };
        let end = format!("\"{}", "#".repeat(hashes));
        texts.push_str(text.split(end.as_str()).next().unwrap_or(""));
        texts.push('\n');
    }
    texts
}

/// The commands in backticks of the lines that are hints, and those below "Next:".
fn suggestions(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines().filter(|line| line.contains("hint:")) {
        let quoted = line.split('`').skip(1).step_by(2);
        found.extend(
            quoted
                .filter(|part| part.starts_with("streamctl "))
                .map(str::to_owned),
        );
    }
    // A long command goes on in the next line.
    let joined: Vec<&str> = text
        .split(" \\\n")
        .map(|part| part.trim_start_matches(' '))
        .collect();
    let joined = joined.join(" ");
    for after in joined.split("Next:\n").skip(1) {
        let lines = after.lines().map(str::trim_start);
        let commands = lines.take_while(|line| line.starts_with("streamctl "));
        found.extend(commands.map(|line| line.split("  ").next().unwrap_or(line).to_owned()));
    }
    found
}

fn harvested() -> BTreeMap<String, PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = BTreeMap::new();
    for dir in ["tests/it", "src", "crates/domain/src"] {
        for path in files(&root.join(dir)) {
            let text = std::fs::read_to_string(&path).unwrap();
            let text = match path.extension().is_some_and(|kind| kind == "rs") {
                true => inline(&text),
                false => text,
            };
            // `ui` shows how commands are broken into lines; those are examples.
            found.extend(
                suggestions(&text)
                    .into_iter()
                    .map(|command| (command, path.clone())),
            );
        }
    }
    found
}

/// The words of a command line after "streamctl", as a shell splits it; single quotes hold words together.
pub fn words(command: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut is_quoted = false;
    for letter in command.chars() {
        match letter {
            '\'' => is_quoted = !is_quoted,
            ' ' if !is_quoted => words.push(String::new()),
            letter => words.last_mut().unwrap().push(letter),
        }
    }
    words.retain(|word| !word.is_empty());
    words.remove(0);
    words
}

/// What a command needs that nobody watches: the answer to its question, an end.
pub fn unattended(words: &[String]) -> &'static [&'static str] {
    let word = |index: usize| words.get(index).map_or("", String::as_str);
    match (word(0), word(1)) {
        ("tail", _) => &["--no-follow"],
        ("open", _) => &["--print"],
        (_, "--help") => &[],
        ("delete" | "destroy" | "encrypt" | "mode" | "undeploy", _)
        | ("alarms" | "channel", "delete")
        | ("consumer", "deregister")
        | ("group" | "local", "reset") => &["--yes"],
        _ => &[],
    }
}

#[test]
fn every_suggested_command_works() {
    let known: BTreeSet<&str> = SUGGESTED.iter().map(|(command, _)| *command).collect();
    let harvested = harvested();
    for (command, path) in &harvested {
        assert!(
            known.contains(command.as_str()),
            "{}: `{command}` is not in the table of this test",
            path.display()
        );
    }
    for command in known {
        assert!(
            harvested.contains_key(command),
            "no snapshot has `{command}` any more"
        );
    }
    let states: BTreeSet<State> = SUGGESTED.iter().map(|(_, state)| *state).collect();
    for state in states {
        let cloud = Cloud::start();
        state.prepare(&cloud);
        for (command, _) in SUGGESTED.iter().filter(|(_, of)| *of == state) {
            let words = words(command);
            let output = cloud.streamctl(&words).args(unattended(&words)).output().unwrap();
            assert_eq!(
                output.status.code(),
                Some(0),
                "{state:?}: `{command}`: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
    }
}
