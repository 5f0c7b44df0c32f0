use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::*;
use crate::iam::Statement;
use crate::pipeline::event::Step;
use crate::pipeline::follow::Sequence;
use crate::pipeline::parameter::Setting;
use crate::pipeline::resource::{Catalog, Change, Dependencies, Location, Observed, Outputs, Resource, Spec};
use crate::pipeline::{Draft, Given, Pipeline, Request};
use crate::record::KeyRule;

/// The properties of a kind: its own, or those assumed here.
fn schema(kind: &str) -> Option<&'static [&'static str]> {
    resources::properties(kind).or(match kind {
        "role" => Some(&["name", "service", "description", "tracing", "statements"]),
        "log_group" => Some(&["name", "retention_days"]),
        "function" => Some(&[
            "name",
            "handler",
            "role",
            "memory_mb",
            "timeout_seconds",
            "environment",
            "architecture",
            "tracing",
            "reserved_concurrency",
            "description",
            "log_group",
        ]),
        "event_source_mapping" => Some(&[
            "function",
            "stream",
            "batch_size",
            "window_seconds",
            "parallelization",
            "starting_position",
            "retries",
            "max_record_age_seconds",
            "bisect",
            "partial_failures",
            "tumbling_window_seconds",
            "on_failure",
            "filters",
            "enabled",
        ]),
        "table" => Some(&[
            "name",
            "key",
            "sort_key",
            "indexes",
            "ttl",
            "point_in_time_recovery",
            "encryption",
            "billing_mode",
            "read_capacity",
            "write_capacity",
            "deletion_protection",
        ]),
        "bucket" => Some(&["name", "versioning", "encryption", "kms_key", "lifecycle"]),
        "queue" => Some(&[
            "name",
            "retention_seconds",
            "visibility_seconds",
            "encryption",
            "kms_key",
            "topics",
        ]),
        "topic" => Some(&["name", "kms_key", "display_name"]),
        "subscription" => Some(&["topic", "protocol", "endpoint"]),
        _ => None,
    })
}

fn read(name: &str) -> Manifest {
    let bundled = find(name).unwrap();
    Manifest::parse_with(name, bundled.manifest, &schema, &Files::Bundled(bundled))
        .unwrap_or_else(|error| panic!("{}", error.chain().join("\n")))
}

/// An empty cloud.
struct Nothing(Location);

struct Absent(Spec);

impl Catalog for Nothing {
    fn location(&self) -> &Location {
        &self.0
    }

    fn make<'c>(&'c self, spec: Spec) -> ground::error::Result<Box<dyn Resource + 'c>> {
        Ok(Box::new(Absent(spec)))
    }
}

impl Absent {
    fn properties(&self) -> serde_json::Map<String, Value> {
        self.0.read().unwrap()
    }
}

#[async_trait]
impl Resource for Absent {
    fn name(&self) -> String {
        let properties = self.properties();
        let name = ["name", "endpoint", "function", "stream"]
            .iter()
            .find_map(|key| properties.get(*key)?.as_str());
        name.unwrap_or_default().to_owned()
    }

    async fn observe(&self) -> ground::error::Result<Observed> {
        Ok(Observed::Absent)
    }

    fn diff(&self, _: &Observed, _: &Dependencies) -> ground::error::Result<Vec<Change>> {
        Ok(vec![Change::Create])
    }

    async fn apply(&self, _: &Change, _: &Observed, _: &Step<'_>) -> ground::error::Result<()> {
        unreachable!("nothing is applied here")
    }

    async fn delete(&self, _: &Observed, _: &Step<'_>) -> ground::error::Result<()> {
        unreachable!("nothing is deleted here")
    }

    fn outputs(&self, _: &Observed) -> Outputs {
        let name = self.name();
        let pair = |key: &str, text: String| (key.to_owned(), text);
        Outputs::from([
            pair("arn", format!("arn:{}:{name}", self.0.kind)),
            pair("url", format!("https://{}/{name}", self.0.kind)),
            pair("name", name),
        ])
    }

    fn iam(&self) -> Vec<Statement> {
        Vec::new()
    }
}

fn nothing() -> Nothing {
    Nothing(Location {
        account: "123456789012".into(),
        region: "us-east-1".into(),
        partition: "aws".into(),
    })
}

fn draft(manifest: Manifest, values: &[(&str, &str)], everything: bool) -> ground::error::Result<Draft> {
    let given = values
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Given::flag(&format!("--param {name}"), *text)))
        .collect();
    let request = Request {
        given,
        everything,
        ..Request::default()
    };
    Draft::new(manifest, request)
}

/// Each resource with its kind, name and properties, after those that it needs.
fn listing(manifest: Manifest, values: &[(&str, &str)], everything: bool) -> String {
    let cloud = nothing();
    let pipeline = draft(manifest, values, everything).unwrap().bind(&cloud).unwrap();
    let plan = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(pipeline.plan())
        .unwrap();
    let mut text = format!("{}\n", pipeline.identity());
    for planned in &plan.resources {
        text.push_str(&format!(
            "\n{} {} {}\n",
            planned.spec.kind,
            planned.spec.id,
            planned.resource.name()
        ));
        let properties: BTreeMap<String, Value> = planned.spec.read().unwrap();
        for (key, value) in properties
            .iter()
            .filter(|(key, _)| *key != "name" && *key != "body")
        {
            match value {
                Value::Array(items) if items.iter().any(Value::is_object) => {
                    text.push_str(&format!("  {key}\n"));
                    items
                        .iter()
                        .for_each(|item| text.push_str(&format!("    {item}\n")));
                }
                value => text.push_str(&format!("  {key} = {value}\n")),
            }
        }
    }
    text.push_str("\noutputs\n");
    for (name, value) in pipeline.outputs().unwrap() {
        text.push_str(&format!("  {name} = {value}\n"));
    }
    text
}

#[test]
fn what_each_template_makes() {
    for (name, values) in [
        ("cart", &[("sagemaker_endpoint", "scores")][..]),
        ("concert", &[("data_processor", "true")]),
        ("prices", &[]),
        (
            "realtime",
            &[
                ("alert_emails", "a@example.com, b@example.com"),
                ("readings", "ph,lux"),
            ],
        ),
        (
            "retail",
            &[("alarm_email", "me@example.com"), ("kms_key", "alias/mine")],
        ),
    ] {
        insta::assert_snapshot!(name, listing(read(name), values, false));
    }
}

#[test]
fn optional_resources_are_left_out() {
    let kinds = |values: &[(&str, &str)], everything| {
        let listing = listing(read("retail"), values, everything);
        let count = |kind: &str| listing.lines().filter(|line| line.starts_with(kind)).count();
        (count("alarm "), count("topic "), count("subscription "))
    };
    assert_eq!(kinds(&[], false), (4, 0, 0));
    assert_eq!(kinds(&[("enable_alarms", "false")], false), (0, 0, 0));
    assert_eq!(kinds(&[("alarm_email", "a@example.com")], false), (4, 1, 1));
    // `destroy` looks for everything that may exist and has a name.
    assert_eq!(kinds(&[("enable_alarms", "false")], true), (4, 1, 0));
}

#[test]
fn names_of_two_pipelines_of_a_template_differ() {
    for template in ["cart", "concert", "prices", "realtime"] {
        let names = |values: &[(&str, &str)]| -> BTreeSet<String> {
            let text = listing(read(template), values, true);
            // A table of Glue is in a database with a name of its own.
            let is_inside = |line: &str| line.contains('/') || line.starts_with("glue_table ");
            let names = text
                .lines()
                .filter(|line| !line.starts_with(' ') && !is_inside(line));
            names
                .filter_map(|line| line.split(' ').nth(2))
                .filter(|name| !name.is_empty() && *name != "products")
                .map(str::to_owned)
                .collect()
        };
        let (default, other) = (
            names(&[]),
            names(&[("stream", "a-stream-with-quite-a-long-name")]),
        );
        assert_eq!(
            default.intersection(&other).count(),
            0,
            "{template}: {default:?} {other:?}"
        );
        // Limits of names: 64 characters for functions and roles, 63 for buckets, 128 for policies.
        assert!(
            other
                .iter()
                .all(|name| name.len() <= 64 || name.contains("Policy")),
            "{other:?}"
        );
    }
}

#[test]
fn bad_values_are_refused_all_at_once() {
    let bad = [
        ("shard_count", "11"),
        ("retention_hours", "12"),
        ("lambda_memory", "64"),
        ("lambda_timeout", "901"),
        ("batch_size", "0"),
        ("batching_window", "301"),
        ("billing_mode", "free"),
        ("environment", "production"),
        ("alarm_email", "nobody"),
        ("error_threshold", "-1"),
        ("log_retention_days", "8"),
    ];
    let error = draft(read("retail"), &bad, false).unwrap_err();
    assert_eq!(error.exit(), ground::exit::Exit::Usage);
    insta::assert_snapshot!(error.chain().join("\n"));
}

#[test]
fn only_the_ingestion_templates_take_the_default_stream() {
    for bundled in bundled() {
        let manifest = read(bundled.name);
        assert_eq!(bundled.head().unwrap().name, manifest.name);
        let takes = manifest
            .parameters
            .values()
            .any(|one| one.setting == Some(Setting::Stream));
        assert_eq!(
            takes,
            ["stream", "concert"].contains(&bundled.name),
            "{}",
            bundled.name
        );
    }
}

#[test]
fn thresholds_are_in_the_metrics_own_unit() {
    let text = listing(read("retail"), &[("lambda_timeout", "30")], false);
    assert!(text.contains("threshold = 24000"), "{text}");
}

#[test]
fn every_function_has_a_queue_and_a_log() {
    for bundled in bundled().filter(|bundled| bundled.name != "stream") {
        let manifest = read(bundled.name);
        let has = |kind: &str, key: &str| {
            let mut of_kind = manifest.resources.iter().filter(|one| one.kind.get_ref() == kind);
            of_kind.all(|one| one.properties.contains_key(key))
        };
        assert!(has("event_source_mapping", "on_failure"));
        assert!(has("event_source_mapping", "retries"));
        assert!(has("function", "log_group"));
        assert!(has("log_group", "retention_days"));
        // Lambda rejects reserved environment variables.
        assert!(!bundled.manifest.contains("AWS_REGION"));
    }
}

/// The templates that are whole pipelines. `function` is for the user's own function, which needs a name.
fn pipelines() -> impl Iterator<Item = &'static Bundled> {
    bundled().filter(|bundled| bundled.name != "function")
}

#[test]
fn sample_events_are_records_with_their_keys() {
    for bundled in pipelines() {
        let (_, text) = bundled
            .files
            .iter()
            .find(|(name, _)| *name == "events.json")
            .unwrap();
        let events: Vec<Value> = serde_json::from_str(text).unwrap();
        assert!(events.len() >= 30, "{}", bundled.name);
        let declared = read(bundled.name).events.unwrap();
        assert_eq!(declared.file, "events.json");
        // The events of `stream` are of no pipeline, and have no key.
        let is_random = declared.key_rule() == KeyRule::Random;
        assert_eq!(is_random, bundled.name == "stream", "{}", bundled.name);
        if let Some(field) = declared.partition_key_field {
            assert!(
                events.iter().all(|event| event[&field].is_string()),
                "{}",
                bundled.name
            );
        }
    }
    let (_, text) = find("retail").unwrap().files[0];
    let events: Vec<Value> = serde_json::from_str(text).unwrap();
    let of =
        |kind: &str| events.iter().filter(|event| event["eventType"] == kind).count() * 100 / events.len();
    let shares = ["view", "add_to_cart", "purchase", "wishlist"].map(of);
    assert_eq!(shares, [60, 20, 10, 5]);
    assert!(
        events
            .iter()
            .all(|event| event["userId"].is_string() && event["timestamp"].is_i64())
    );
}

#[test]
fn what_is_written_for_editing_makes_the_same() {
    for bundled in pipelines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(MANIFEST_FILE);
        std::fs::write(&path, bundled.manifest).unwrap();
        for (name, text) in bundled.files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let files = Files::Beside(dir.path().to_owned());
        let written = Manifest::parse_with("x", bundled.manifest, &schema, &files).unwrap();
        // Where the files of a site are is all that differs.
        let beside = format!("\"beside\": String({:?})", dir.path());
        let bundled_with = format!("\"template\": String({:?})", bundled.name);
        let spec = |manifest: Manifest| {
            let cloud = nothing();
            let pipeline: Pipeline<'_> = draft(manifest, &[], true).unwrap().bind(&cloud).unwrap();
            let ids: Vec<String> = pipeline.graph().order().map(str::to_owned).collect();
            ids.iter()
                .map(|id| format!("{:?}", pipeline.spec(id).unwrap()).replace(&beside, &bundled_with))
                .collect::<Vec<_>>()
        };
        assert_eq!(spec(written), spec(read(bundled.name)), "{}", bundled.name);
    }
}

#[test]
fn paths_are_relative_to_the_manifest() {
    let head = "name = \"mine\"\ndescription = \"x\"\ninstance = \"one\"\n";
    let schema = |_: &str| Some(&["handler", "body"][..]);
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(
        dir.path().join("board.json"),
        r#"{"widgets": ["${pipeline.region}"]}"#,
    )
    .unwrap();
    let text = format!(
        "{head}[[resources]]\nkind = \"function\"\nid = \"a\"\nproperties.handler = \"./target/mine.zip\"\n\
         [[resources]]\nkind = \"function\"\nid = \"b\"\nproperties.handler = \"price-updater\"\n\
         [[resources]]\nkind = \"dashboard\"\nid = \"c\"\nproperties.body = \"file:board.json\"\n"
    );
    let manifest = Manifest::parse_with("x", &text, &schema, &Files::Beside(dir.path().to_owned())).unwrap();
    let property = |index: usize, key: &str| manifest.resources[index].properties[key].get_ref().clone();
    let handler = property(0, "handler");
    assert_eq!(
        Path::new(handler.as_str().unwrap()),
        dir.path().join("./target/mine.zip")
    );
    assert_eq!(property(1, "handler"), "price-updater");
    assert_eq!(
        property(2, "body"),
        serde_json::json!({"widgets": ["${pipeline.region}"]})
    );

    let missing = text.replace("board.json", "none.json");
    let error =
        Manifest::parse_with("x", &missing, &schema, &Files::Beside(dir.path().to_owned())).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("line 13: resource c: property body: could not read"),
        "{error}"
    );
}

#[test]
#[cfg(unix)]
fn a_manifest_refers_only_to_files_in_its_directory() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("pipeline");
    std::fs::create_dir_all(root.join("sub")).unwrap();
    std::fs::write(dir.path().join("secret.txt"), "secret").unwrap();
    std::fs::write(root.join("sub/body.txt"), "mine").unwrap();
    std::fs::write(root.join("large.txt"), vec![b'x'; (MOST_BYTES + 1) as usize]).unwrap();
    symlink("../secret.txt", root.join("link.txt")).unwrap();
    symlink("..", root.join("up")).unwrap();
    symlink("sub/body.txt", root.join("inner.txt")).unwrap();
    let files = Files::Beside(root.clone());
    for name in ["sub/body.txt", "./sub/body.txt", "inner.txt"] {
        assert_eq!(files.read(name).unwrap(), "mine", "{name}");
    }
    let absolute = dir.path().join("secret.txt");
    for name in [
        "../secret.txt",
        "sub/../../secret.txt",
        "link.txt",
        "up/secret.txt",
        absolute.to_str().unwrap(),
        "/dev/stdin",
        "sub",
        "",
    ] {
        let error = files.read(name).unwrap_err();
        assert_eq!(error, format!("{name} is not in the directory of the manifest"));
    }
    assert!(
        files
            .read("large.txt")
            .unwrap_err()
            .ends_with("it is larger than 4 MiB")
    );
}

#[test]
#[cfg(target_os = "linux")]
fn a_manifest_without_end_is_refused() {
    let error = read_file(Path::new("/dev/zero")).unwrap_err();
    assert_eq!(error.chain()[1], "it is larger than 4 MiB");
}

#[test]
fn the_event_of_each_template_is_marked_and_harmless() {
    let at: Timestamp = "2026-11-21T17:59:50Z".parse().unwrap();
    let mut text = String::new();
    // `stream` has nothing that an event could be followed to.
    for bundled in pipelines().filter(|bundled| bundled.name != "stream") {
        let cloud = nothing();
        let pipeline = draft(read(bundled.name), &[], false)
            .unwrap()
            .bind(&cloud)
            .unwrap();
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(pipeline.plan())
            .unwrap();
        let follow = pipeline.follow_marked("streamctl-verify-1", at).unwrap().unwrap();
        text.push_str(&format!("{}\n", bundled.name));
        if let Some(put) = &follow.put {
            assert!(put.data.contains("streamctl-verify"), "{}", put.data);
            text.push_str(&format!(
                "  {} {}\n  {}\n",
                put.stream, put.partition_key, put.data
            ));
        }
        // Without an event, a request brings the mark.
        let brings = |one: &Sequence| format!("{one:?}").contains("streamctl-verify-1");
        assert!(follow.put.is_some() || follow.http.iter().any(brings));
        follow
            .expect
            .iter()
            .for_each(|one| text.push_str(&format!("  {:?}\n", one.place)));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn an_unknown_template_is_refused_with_those_there_are() {
    let error = template("retial").unwrap_err();
    insta::assert_snapshot!(error.hint_text().unwrap(), @"did you mean retail? use stream, cart, cart-direct, concert, function, prices, realtime, retail, or the path of a manifest file; `streamctl init` describes each");
}

#[test]
fn an_identity_selects_its_pipeline() {
    for (pipeline, typed) in [
        ("stream/concert-data-stream", Some("")),
        ("stream/orders", Some(" --stream orders")),
        ("prices/ProductPricesStream", Some(" prices")),
        ("concert/a b", Some(" concert --stream 'a b'")),
        ("retail/dev", Some(" retail")),
        ("retail/prod", Some(" retail --param environment=prod")),
        ("function/scorer", Some(" function --param name=scorer")),
        ("own/own-stream", None),
        ("", None),
    ] {
        assert_eq!(selected_by(pipeline).as_deref(), typed, "{pipeline}");
    }
}
