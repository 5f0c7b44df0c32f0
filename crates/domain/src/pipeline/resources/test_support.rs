//! For tests of kinds: specs, observations, and an endpoint that answers calls as a test scripts it.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex};

use serde::Serialize;
use serde_json::{Map, Value};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::context::Context;
use crate::pipeline::event::{Event, Step, What};
use crate::pipeline::parameter::Origin;
use crate::pipeline::resource::{
    Catalog, Change, Dependencies, Identity, Location, Observed, Present, Properties, Resource, Spec,
};
use crate::pipeline::tags::Tags;
use crate::pipeline::{Draft, Given, Manifest, Request};
use crate::settings::Settings;
use ground::error::{Error, Result};
use ground::stop::Stop;

pub(super) fn location() -> &'static Location {
    static LOCATION: LazyLock<Location> = LazyLock::new(|| Location {
        account: "000000000000".into(),
        region: "us-east-1".into(),
        partition: "aws".into(),
    });
    &LOCATION
}

/// A context that no call is made with.
pub(super) async fn context() -> Context {
    context_at("http://127.0.0.1:9").await
}

async fn context_at(endpoint: &str) -> Context {
    let settings = Settings::of_endpoint(endpoint);
    Context::connect(settings).await.unwrap()
}

/// What a manifest declares with `properties` (TOML); `by_default` names those that are only a parameter's default.
pub(crate) fn spec(kind: &str, properties: &str, by_default: &[&str]) -> Spec {
    spec_with(kind, toml::from_str(properties).unwrap(), by_default)
}

/// As `spec`, with the properties as JSON.
pub(super) fn spec_with(kind: &str, declared: Map<String, Value>, by_default: &[&str]) -> Spec {
    let identity = Identity::new("demo", "one");
    let mut properties = Properties::default();
    for (key, value) in declared {
        let origin = match by_default.contains(&key.as_str()) {
            true => Origin::Default,
            false => Origin::Template,
        };
        properties.set(&key, value, origin);
    }
    let mut tags = Tags::default();
    tags.set_owner(&identity);
    Spec {
        id: "it".into(),
        kind: kind.into(),
        line: 1,
        properties,
        tags,
        identity,
    }
}

/// A catalog of specs alone: differences need no more.
struct Specs;

impl Catalog for Specs {
    fn location(&self) -> &Location {
        location()
    }

    fn make<'c>(&'c self, _spec: Spec) -> Result<Box<dyn Resource + 'c>> {
        Err(Error::failed("only specs here"))
    }
}

/// The resource `id` of `manifest`, with values for parameters.
pub(super) fn spec_in(manifest: Manifest, id: &str, values: &[(&str, &str)]) -> Spec {
    let given = |(name, text): &(&str, &str)| ((*name).to_owned(), Given::flag(&format!("--{name}"), *text));
    let request = Request {
        given: values.iter().map(given).collect(),
        ..Request::default()
    };
    let pipeline = Draft::new(manifest, request).unwrap().bind(&Specs).unwrap();
    pipeline.spec(id).unwrap()
}

/// The resource `it` of the manifest `text`, with values for parameters.
pub(super) fn spec_of(text: &str, given: &[(&str, &str)]) -> Spec {
    let manifest = Manifest::parse("test", text, &super::properties).unwrap();
    spec_in(manifest, "it", given)
}

/// A resource of ours with these facts and, on top of the tags of ownership, `tags`.
pub(super) fn there(facts: impl Serialize, tags: &[(&str, &str)]) -> Observed {
    observed(&spec("any", "", &[]), facts, tags)
}

/// As `there`, with all tags of `spec`.
pub(super) fn observed(spec: &Spec, facts: impl Serialize, tags: &[(&str, &str)]) -> Observed {
    let mut all: BTreeMap<String, String> = spec.tags.all();
    all.extend(tags.iter().map(|(key, value)| ((*key).into(), (*value).into())));
    let facts = serde_json::to_value(facts).unwrap();
    Observed::Present(Present { tags: all, facts })
}

/// The differences, a line each; losses in brackets.
pub(super) fn changes(resource: &dyn Resource, observed: &Observed) -> String {
    let changes = resource.diff(observed, &Dependencies::default()).unwrap();
    let line = |change: &Change| match change {
        Change::Update {
            loses: Some(loses), ..
        } => format!("{change} ({loses})"),
        change => change.to_string(),
    };
    changes.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// The refusal of a declaration, with its hint.
pub(super) fn refusal<T>(made: Result<T>) -> String {
    let error = made.err().unwrap();
    let hint = error.hint_text().map(|hint| format!("\nhint: {hint}"));
    error.chain().join(": ") + &hint.unwrap_or_default()
}

/// Runs `work` with a step; returns what it reported with its result.
pub(super) async fn with_step<T>(work: impl AsyncFnOnce(&Step<'_>) -> T) -> (T, Vec<String>) {
    let said = Mutex::new(Vec::new());
    let tell = |event: Event| {
        let words = match event.what {
            What::Doing(words) | What::Waiting(words) => words,
            What::Finished(_, words) => words,
        };
        said.lock().unwrap().push(words);
    };
    let stop = Stop::default();
    let step = Step::new("it", "kind", "name".into(), &tell, &stop);
    let result = work(&step).await;
    let said = said.lock().unwrap().clone();
    (result, said)
}

/// An endpoint that answers as its script says.
pub(crate) struct Endpoint {
    pub(crate) context: Context,
    calls: Arc<Mutex<Vec<String>>>,
}

/// Answers a call (`METHOD path`, or the operation of a JSON protocol) with its body: status and body.
type Script = dyn FnMut(&str, &str) -> (u16, String) + Send;

impl Endpoint {
    pub(crate) async fn start(script: impl FnMut(&str, &str) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let calls: Arc<Mutex<Vec<String>>> = Arc::default();
        let script: Arc<Mutex<Box<Script>>> = Arc::new(Mutex::new(Box::new(script)));
        let seen = Arc::clone(&calls);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(serve(socket, Arc::clone(&script), Arc::clone(&seen)));
            }
        });
        Self {
            context: context_at(&format!("http://{address}")).await,
            calls,
        }
    }

    /// The calls so far, in order.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

async fn serve(mut socket: TcpStream, script: Arc<Mutex<Box<Script>>>, calls: Arc<Mutex<Vec<String>>>) {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let header = |name: &str| {
            let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(": "));
            lines
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.trim().to_owned())
        };
        let length: usize = header("content-length").map_or(0, |length| length.parse().unwrap());
        while read.len() < end + length {
            if socket.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        }
        let body = String::from_utf8_lossy(&read[end..end + length]).into_owned();
        read.drain(..end + length);
        let line = head.lines().next().unwrap_or_default();
        let call = match header("x-amz-target") {
            Some(target) => target.rsplit('.').next().unwrap_or_default().to_owned(),
            None => match body
                .strip_prefix("Action=")
                .and_then(|rest| rest.split('&').next())
            {
                Some(action) => action.to_owned(),
                None => line.trim_end_matches(" HTTP/1.1").to_owned(),
            },
        };
        let (status, answer) = (script.lock().unwrap())(&call, &body);
        calls.lock().unwrap().push(call);
        let answer = format!(
            "HTTP/1.1 {status} Status\r\ncontent-length: {}\r\n\r\n{answer}",
            answer.len()
        );
        if socket.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}
