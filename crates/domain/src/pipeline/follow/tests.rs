use std::io::Write as _;
use std::sync::Mutex;

use super::*;
use ground::stop::Stop;

/// In-memory services that show the event after some calls.
#[derive(Default)]
pub(super) struct Memory {
    items: Mutex<Vec<Item>>,
    objects: Mutex<BTreeMap<String, (Vec<u8>, i64)>>,
    line: Option<String>,
    /// Number of calls before anything is shown.
    late: Mutex<u32>,
    calls: Mutex<Vec<String>>,
    refuses_put: bool,
    /// Answers to the requests of [`http`], by method and URL. The last one of a request is repeated.
    pub(super) answers: Mutex<BTreeMap<String, Vec<(u16, String)>>>,
}

impl Memory {
    fn call(&self, call: String) {
        self.calls.lock().unwrap().push(call);
    }

    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }

    fn is_late(&self) -> bool {
        let mut late = self.late.lock().unwrap();
        let is = *late > 0;
        *late = late.saturating_sub(1);
        is
    }
}

#[async_trait]
impl Services for Memory {
    async fn put(&self, stream: &str, partition_key: &str, _data: &str) -> Result<String> {
        if self.refuses_put {
            return Err(Error::failed("could not put an event"));
        }
        self.call(format!("put {stream} {partition_key}"));
        Ok("shardId-000000000000".into())
    }

    async fn items(&self, _table: &str, index: Option<&str>, key: &(String, Attribute)) -> Result<Vec<Item>> {
        if let Some(index) = index {
            self.call(format!("query {index} {key:?}"));
        }
        Ok(if self.is_late() {
            Vec::new()
        } else {
            self.items.lock().unwrap().clone()
        })
    }

    async fn put_item(&self, table: &str, _item: &Item) -> Result<()> {
        self.call(format!("put item {table}"));
        Ok(())
    }

    async fn delete_item(&self, table: &str, item: &Item) -> Result<()> {
        self.call(format!("delete item {table} {:?}", item.get("id")));
        Ok(())
    }

    async fn objects(&self, _bucket: &str, prefix: &str) -> Result<Vec<Listed>> {
        let objects = self.objects.lock().unwrap();
        let objects = objects.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(objects
            .map(|(key, (bytes, modified_ms))| Listed {
                key: key.clone(),
                size: bytes.len() as u64,
                modified_ms: *modified_ms,
            })
            .collect())
    }

    async fn read_object(&self, _bucket: &str, key: &str) -> Result<Option<Object>> {
        self.call(format!("read {key}"));
        let objects = self.objects.lock().unwrap();
        Ok(objects.get(key).map(|(bytes, _)| Object {
            bytes: bytes.clone(),
            version: Some("v1".into()),
        }))
    }

    async fn delete_object(&self, _bucket: &str, key: &str, version: Option<&str>) -> Result<()> {
        self.call(format!("delete {key} {version:?}"));
        Ok(())
    }

    async fn versions(&self, bucket: &str, prefix: &str) -> Result<Vec<(String, Option<String>)>> {
        self.call(format!("versions {bucket} {prefix}"));
        let objects = self.objects.lock().unwrap();
        let keys = objects.keys().filter(|key| key.starts_with(prefix));
        Ok(keys.map(|key| (key.clone(), Some("v1".to_owned()))).collect())
    }

    async fn send(&self, request: &WebRequest) -> Result<WebAnswer> {
        let line = format!("{} {}", request.method, request.url);
        let body = String::from_utf8_lossy(&request.body);
        let kind = request.content_type.as_deref().unwrap_or_default();
        self.call(format!("{line} {kind} {body}").trim_end().to_owned());
        let mut answers = self.answers.lock().unwrap();
        let left = answers
            .get_mut(&line)
            .ok_or_else(|| Error::unreachable(format!("could not send {line}")))?;
        let (status, body) = match left.len() {
            1 => left[0].clone(),
            _ => left.remove(0),
        };
        Ok(WebAnswer {
            status,
            body: body.into(),
        })
    }

    async fn log_line(&self, _group: &str, text: &str, _since_ms: i64) -> Result<Option<String>> {
        Ok(self.line.clone().filter(|line| line.contains(text)))
    }
}

const NOW: i64 = 1_800_000_000_000;

fn item(id: &str, price: &str) -> Item {
    Item::from([
        ("id".to_owned(), Attribute::Text(id.into())),
        ("price".to_owned(), Attribute::Number(price.into())),
    ])
}

fn follow(expect: Vec<Expectation>) -> Follow {
    Follow {
        marker: "streamctl-verify-1".into(),
        put: Some(Put {
            stream: "orders".into(),
            partition_key: "k".into(),
            data: "{}".into(),
        }),
        at_ms: NOW,
        timeout: Duration::from_secs(30),
        prepare: Vec::new(),
        expect: expect.into_iter().map(at_once).collect(),
        http: Vec::new(),
        clean: Vec::new(),
    }
}

fn at_once(place: Expectation) -> Awaited {
    Awaited {
        place,
        delay: Duration::ZERO,
    }
}

fn in_table(price: &str) -> Expectation {
    Expectation::Item {
        table: "products".into(),
        key: ("id".into(), Attribute::Text("m".into())),
        attributes: Item::from([("price".to_owned(), Attribute::Number(price.into()))]),
    }
}

fn in_bucket() -> Expectation {
    Expectation::Object {
        bucket: "archive".into(),
        prefixes: vec!["raw/17/".into(), "raw/18/".into()],
        contains: "streamctl-verify-1".into(),
        lines: 1,
    }
}

/// Each check as a line, and the calls.
fn run(follow: &Follow, services: &Memory) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let verified = runtime.block_on(follow.run(services, &|_| {}, &Stop::default()));
    let mut lines: Vec<String> = verified
        .checks
        .iter()
        .map(|check| format!("{:?} {}: {}", check.state, check.check, check.detail))
        .collect();
    lines.extend(
        services
            .calls
            .lock()
            .unwrap()
            .iter()
            .map(|call| format!("  {call}")),
    );
    lines.join("\n")
}

fn gzip(text: &str) -> Vec<u8> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    writer.write_all(text.as_bytes()).unwrap();
    writer.finish().unwrap()
}

#[test]
fn an_event_is_found_everywhere_and_deleted() {
    let services = Memory {
        items: Mutex::new(vec![item("m", "1"), item("m", "29.990")]),
        late: Mutex::new(3),
        line: Some("REPORT RequestId: 1".into()),
        ..Memory::default()
    };
    let object = gzip("{\"data\":\"streamctl-verify-1\"}\n");
    services
        .objects
        .lock()
        .unwrap()
        .insert("raw/18/x.gz".into(), (object, NOW));
    services
        .objects
        .lock()
        .unwrap()
        .insert("raw/17/other".into(), (b"[]".to_vec(), NOW));
    // Too old to contain the event, so it is not read.
    services
        .objects
        .lock()
        .unwrap()
        .insert("raw/17/old".into(), (b"[]".to_vec(), 0));
    let mut follow = follow(vec![
        in_table("29.99"),
        in_bucket(),
        Expectation::Log {
            group: "/aws/lambda/x".into(),
            contains: "REPORT".into(),
        },
    ]);
    follow.prepare = vec![("products".into(), item("m", "0"))];
    insta::assert_snapshot!(run(&follow, &services), @r#"
    Good put: put to shardId-000000000000, partition key k
    Good table products: item id = m with price = 29.99, after 258 ms
    Good bucket archive: object raw/18/x.gz, after 0 ms
    Good log /aws/lambda/x: a line contains REPORT, after 0 ms
    Good clean-up: the data of the event is deleted
      put item products
      put orders k
      read raw/17/other
      read raw/18/x.gz
      delete item products Some(Text("m"))
      delete item products Some(Text("m"))
      delete raw/18/x.gz Some("v1")
    "#);
}

#[test]
fn an_event_that_does_not_arrive_is_a_fault_after_the_timeout() {
    let services = Memory {
        items: Mutex::new(vec![item("m", "5")]),
        ..Memory::default()
    };
    insta::assert_snapshot!(run(&follow(vec![in_table("29.99"), in_bucket()]), &services), @r#"
    Good put: put to shardId-000000000000, partition key k
    Fault table products: the event was not found within 30s; a new mapping may not be reading yet: verify again later; `streamctl logs FUNCTION` and `streamctl dlq list FUNCTION` may show the cause
    Fault bucket archive: the event was not found within 30s; a new mapping may not be reading yet: verify again later; `streamctl logs FUNCTION` and `streamctl dlq list FUNCTION` may show the cause
      put orders k
    "#);
}

#[test]
fn an_object_with_other_events_is_kept() {
    let services = Memory::default();
    let lines = b"{\"id\":\"streamctl-verify-1\"}\n{\"id\":\"theirs\"}\n".to_vec();
    services
        .objects
        .lock()
        .unwrap()
        .insert("raw/17/x".into(), (lines, NOW));
    insta::assert_snapshot!(run(&follow(vec![in_bucket()]), &services), @r#"
    Good put: put to shardId-000000000000, partition key k
    Good bucket archive: object raw/17/x, after 0 ms
    Caution clean-up: not deleted: object raw/17/x, which also contains other events
      put orders k
      read raw/17/x
    "#);
}

#[test]
fn an_event_that_was_not_put_is_not_awaited() {
    let services = Memory {
        refuses_put: true,
        ..Memory::default()
    };
    let mut follow = follow(vec![in_table("1")]);
    follow.prepare = vec![("products".into(), item("m", "0"))];
    insta::assert_snapshot!(run(&follow, &services), @r#"
    Fault put: could not put an event
    Good clean-up: the data of the event is deleted
      put item products
      delete item products Some(Text("m"))
    "#);
}

/// An event that a request to an API brings.
fn through_api(answers: &[(u16, &str)], expect: Expectation) -> (Follow, Memory) {
    let services = Memory::default();
    let answers = answers.iter().map(|(status, body)| (*status, (*body).to_owned()));
    services
        .answers
        .lock()
        .unwrap()
        .insert("POST http://api/submit".to_owned(), answers.collect());
    let mut follow = follow(vec![expect]);
    follow.put = None;
    follow.http = vec![Sequence {
        name: "API".to_owned(),
        requests: vec![Request {
            method: "POST".to_owned(),
            url: "http://api/submit".to_owned(),
            content_type: None,
            body: Body::Json(json!({"marker": "streamctl-verify-1"})),
            status: 200,
            answer: None,
            keep: BTreeMap::new(),
            wait: false,
        }],
        caution: None,
    }];
    (follow, services)
}

#[test]
fn an_event_that_a_request_brings_is_found_in_all_objects() {
    let mut place = in_bucket();
    if let Expectation::Object { lines, .. } = &mut place {
        *lines = 3;
    }
    let (follow, services) = through_api(&[(200, "{}")], place);
    for (key, content) in [
        (
            "raw/17/a",
            "{\"m\":\"streamctl-verify-1\"}\n{\"m\":\"streamctl-verify-1\"}\n",
        ),
        ("raw/17/b", "{\"m\":\"theirs\"}\n"),
        ("raw/18/c", "{\"m\":\"streamctl-verify-1\"}\n"),
    ] {
        let mut objects = services.objects.lock().unwrap();
        objects.insert(key.into(), (content.into(), NOW));
    }
    insta::assert_snapshot!(run(&follow, &services), @r#"
    Good API: 1 requests answered, after 0 ms
    Good bucket archive: objects raw/17/a, raw/18/c, after 0 ms
    Good clean-up: the data of the event is deleted
      POST http://api/submit  {"marker":"streamctl-verify-1"}
      read raw/17/a
      read raw/17/b
      read raw/18/c
      delete raw/17/a Some("v1")
      delete raw/18/c Some("v1")
    "#);
}

#[test]
fn an_event_that_a_request_did_not_bring_is_not_awaited() {
    let (follow, services) = through_api(&[(503, "busy")], in_bucket());
    insta::assert_snapshot!(run(&follow, &services), @r#"
    Fault API: POST http://api/submit answered 503 busy, expected 200; `streamctl logs FUNCTION` may show the cause
      POST http://api/submit  {"marker":"streamctl-verify-1"}
    "#);
}

#[test]
fn an_event_that_is_held_back_has_more_time() {
    let (mut follow, services) = through_api(&[(200, "{}")], in_bucket());
    follow.expect[0].delay = Duration::from_secs(60);
    insta::assert_snapshot!(run(&follow, &services), @r#"
    Good API: 1 requests answered, after 0 ms
    Fault bucket archive: the event was not found within 1m30s; a new mapping may not be reading yet: verify again later; `streamctl logs FUNCTION` and `streamctl dlq list FUNCTION` may show the cause
      POST http://api/submit  {"marker":"streamctl-verify-1"}
    "#);
    insta::assert_snapshot!(follow.awaited(), @"waiting for the event in 1 place, where it is held back for up to 1m, trying API");
}

fn marked() -> Vec<Marked> {
    vec![
        Marked::Items {
            table: "products".into(),
            index: Some("category-index".into()),
            key: ("category".into(), Attribute::Text("streamctl-verify-1".into())),
        },
        Marked::Objects {
            bucket: "images".into(),
            prefix: "in/streamctl-verify-1/".into(),
        },
    ]
}

#[test]
fn what_has_the_mark_is_deleted_whatever_happens() {
    let services = Memory {
        refuses_put: true,
        items: Mutex::new(vec![item("a", "1"), item("b", "1")]),
        ..Memory::default()
    };
    for key in ["in/streamctl-verify-1/main.jpg", "in/theirs/main.jpg"] {
        let mut objects = services.objects.lock().unwrap();
        objects.insert(key.into(), (Vec::new(), NOW));
    }
    let mut follow = follow(vec![in_table("1")]);
    follow.clean = marked();
    insta::assert_snapshot!(run(&follow, &services), @r#"
    Fault put: could not put an event
    Good clean-up: the data of the event is deleted
      query category-index ("category", Text("streamctl-verify-1"))
      delete item products Some(Text("a"))
      delete item products Some(Text("b"))
      versions images in/streamctl-verify-1/
      delete in/streamctl-verify-1/main.jpg Some("v1")
    "#);
}

#[test]
fn a_stop_ends_the_wait_and_deletes_what_is_there() {
    let services = Memory::default();
    let mut follow = follow(vec![in_bucket()]);
    follow.prepare = vec![("products".into(), item("m", "0"))];
    follow.clean = marked();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let stop = Stop::default();
    stop.set();
    let verified = runtime.block_on(follow.run(&services, &|_| {}, &stop));
    let checks: Vec<&str> = verified.checks.iter().map(|check| check.check.as_str()).collect();
    assert_eq!(checks, ["put", CLEAN_UP]);
    let calls = services.calls();
    assert!(
        calls.contains(&"delete item products Some(Text(\"m\"))".to_owned()),
        "{calls:?}"
    );
    assert!(
        calls.contains(&"versions images in/streamctl-verify-1/".to_owned()),
        "{calls:?}"
    );
}

#[test]
fn numbers_are_equal_by_value() {
    let number = |text: &str| Attribute::Number(text.into());
    assert!(number("1").matches(&number("1.0")));
    assert!(!number("1").matches(&number("2")));
    assert!(!number("1").matches(&Attribute::Text("1".into())));
    assert!(!Attribute::Other.matches(&Attribute::Other));
}

#[test]
fn permissions_cover_each_resource() {
    let location = super::super::Location {
        account: "1".into(),
        region: "us-east-1".into(),
        partition: "aws".into(),
    };
    let mut follow = follow(vec![in_table("1"), in_bucket()]);
    follow.clean = marked();
    let needs = crate::iam::document(follow.iam(&location)).to_string();
    for arn in [
        "table/products/index/category-index",
        "s3:::images/*",
        "s3:ListBucketVersions",
        "stream/orders",
        "table/products",
        "s3:::archive/*",
        "s3:DeleteObjectVersion",
    ] {
        assert!(needs.contains(arn), "{needs}");
    }
}

#[test]
fn an_invalid_section_is_refused() {
    let section = |text: &str| toml::from_str::<Declared>(text).unwrap().problems();
    let head = "stream = \"s\"\npartition_key = \"k\"\nevent = {}\n";
    assert!(section(&format!("{head}expect = [{{ bucket = \"b\" }}]")).is_empty());
    for bad in [
        "expect = [{}]",
        "expect = [{ bucket = \"b\", table = \"t\" }]",
        "expect = [{ table = \"t\" }]",
        "timeout_seconds = 0\nexpect = []",
        "expect = []\nclean = [{ table = \"t\", key = { id = \"mine\" } }]",
        "expect = []\nclean = [{ bucket = \"b\", prefix = \"all/\" }]",
        "expect = []\nclean = [{ bucket = \"b\", table = \"t\" }]",
        "expect = []\nclean = [{}]",
    ] {
        assert!(!section(&format!("{head}{bad}")).is_empty(), "{bad}");
    }
    // Without an event, a request must bring it.
    assert!(!section("expect = [{ bucket = \"b\" }]").is_empty());
    assert!(!section("stream = \"s\"\nexpect = [{ bucket = \"b\" }]").is_empty());
    let http = "http = [{ name = \"API\", requests = [{ method = \"GET\", url = \"http://a\" }] }]";
    assert!(section(&format!("expect = [{{ bucket = \"b\" }}]\n{http}")).is_empty());
}
