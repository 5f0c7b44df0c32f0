//! Complete changes against a fake Lambda with one function, whose changes take several polls.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::settings::Settings;

/// The function as the service sees it.
#[derive(Default)]
struct Service {
    function: Option<Value>,
    reserved: Option<u64>,
    /// Number of reads that still return Pending or InProgress.
    busy: u32,
    /// Number of CreateFunction calls that fail because the role is new.
    role_unknown: u32,
    /// Number of changes that fail because another one is in progress.
    conflicts: u32,
    /// Why updates fail, if they do.
    failing: Option<&'static str>,
    mappings: Vec<&'static str>,
    /// Every call except reads.
    calls: Vec<String>,
}

impl Service {
    fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let refusal =
            |status, code: &str, message: &str| (status, json!({"__type": code, "Message": message}));
        let path: Vec<&str> = path.split('?').next().unwrap().split('/').skip(2).collect();
        let look = method == "GET" && path[0] == "functions";
        if look {
            let Some(function) = &mut self.function else {
                return refusal(404, "ResourceNotFoundException", "Function not found");
            };
            let through = self.busy == 0;
            self.busy = self.busy.saturating_sub(1);
            function["State"] = json!(if through { "Active" } else { "Pending" });
            let done = if self.failing.is_some() {
                "Failed"
            } else {
                "Successful"
            };
            function["LastUpdateStatus"] = json!(if through { done } else { "InProgress" });
            function["LastUpdateStatusReason"] = json!(self.failing);
            return match path.as_slice() {
                [_, _, "configuration"] => (200, function.clone()),
                _ => (
                    200,
                    json!({"Configuration": function, "Tags": {"Team": "blue"},
                    "Concurrency": {"ReservedConcurrentExecutions": self.reserved}}),
                ),
            };
        }
        if method == "GET" {
            let mappings: Vec<Value> = self
                .mappings
                .iter()
                .map(|id| json!({"UUID": id, "State": "Enabled"}))
                .collect();
            return (200, json!({"EventSourceMappings": mappings}));
        }
        self.calls.push(format!("{method} {}", path.join("/")));
        if self.role_unknown > 0 {
            self.role_unknown -= 1;
            let message = "The role defined for the function cannot be assumed by Lambda.";
            return refusal(400, "InvalidParameterValueException", message);
        }
        if self.conflicts > 0 {
            self.conflicts -= 1;
            return refusal(
                409,
                "ResourceConflictException",
                "An update is in progress for resource",
            );
        }
        match (method, path.as_slice()) {
            ("POST", ["functions"]) if self.function.is_some() => {
                return refusal(409, "ResourceConflictException", "Function already exist: scorer");
            }
            ("POST", ["functions"]) => self.function = Some(made(body)),
            ("PUT", ["functions", _, "concurrency"]) => {
                self.reserved = body["ReservedConcurrentExecutions"].as_u64()
            }
            ("DELETE", ["functions", _, "concurrency"]) => self.reserved = None,
            ("PUT", ["functions", _, "code"]) => {
                let function = self.function.as_mut().unwrap();
                function["CodeSha256"] = json!("new");
                function["Architectures"] = body["Architectures"].clone();
            }
            ("PUT", _) => {
                let function = self.function.as_mut().unwrap().as_object_mut().unwrap();
                function.extend(body.as_object().unwrap().clone());
            }
            ("DELETE", ["functions", _]) => self.function = None,
            ("DELETE", ["event-source-mappings", id]) => self.mappings.retain(|one| one != id),
            _ => {}
        }
        self.busy = 2;
        (200, self.function.clone().unwrap_or_else(|| json!({})))
    }
}

fn made(body: &Value) -> Value {
    let mut function = body.clone();
    let fields = function.as_object_mut().unwrap();
    fields.retain(|key, _| key != "Code" && key != "Tags");
    fields.insert("CodeSha256".into(), "old".into());
    fields.insert(
        "FunctionArn".into(),
        "arn:aws:lambda:us-east-1:000000000000:function:scorer".into(),
    );
    function
}

async fn serve(service: Arc<Mutex<Service>>, stream: TcpStream) -> Option<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let mut first = String::new();
        if stream.read_line(&mut first).await.ok()? == 0 {
            return None;
        }
        let mut words = first.split(' ');
        let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut length = 0;
        loop {
            let mut line = String::new();
            stream.read_line(&mut line).await.ok()?;
            if line == "\r\n" {
                break;
            }
            let (name, value) = line.trim_end().split_once(": ")?;
            if name.eq_ignore_ascii_case("content-length") {
                length = value.parse().ok()?;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.ok()?;
        let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let (status, answer) = service.lock().unwrap().answer(&method, &path, &body);
        let code = answer["__type"].as_str().unwrap_or("-").to_owned();
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 {status} X\r\nx-amzn-errortype: {code}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all((head + &answer).as_bytes()).await.ok()?;
    }
}

async fn service(change: impl FnOnce(&mut Service)) -> (Context, Arc<Mutex<Service>>) {
    let mut state = Service::default();
    change(&mut state);
    let service = Arc::new(Mutex::new(state));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::clone(&service);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Arc::clone(&served), stream));
        }
    });
    let settings = Settings::of_endpoint(&endpoint);
    (Context::connect(settings).await.unwrap(), service)
}

fn changer<'a>(context: &'a Context, pause: Pause<'a>) -> Changer<'a> {
    Changer {
        backoff: Backoff::new(Duration::from_millis(1), Duration::from_secs(4)),
        ..Changer::new(context, "scorer", pause)
    }
}

fn package() -> Package {
    let zip = crate::functions::package::pack(b"#!/bin/sh\n").unwrap();
    Package::from_zip_bytes("test", Bytes::from(zip.to_vec())).unwrap()
}

fn configuration() -> Configuration {
    Configuration {
        role: Some("arn:aws:iam::000000000000:role/scorer".into()),
        handler: Some("bootstrap".into()),
        memory_mb: Some(512),
        timeout_seconds: Some(30),
        environment: Some(BTreeMap::from([("TABLE_NAME".into(), "items".into())])),
        tracing: Some(true),
        description: Some("Scores".into()),
        log_group: Some(default_log_group("scorer")),
    }
}

async fn made_by(changer: &Changer<'_>) -> Result<bool> {
    let tags = BTreeMap::from([("Team".to_owned(), "blue".to_owned())]);
    changer
        .create(&configuration(), &package(), Architecture::Arm64, &tags)
        .await
}

#[tokio::test]
async fn a_new_function_is_waited_for_and_read_back() {
    let waited = Mutex::new(Vec::new());
    let pause = |what: &str| {
        waited.lock().unwrap().push(what.to_owned());
        Ok(())
    };
    let (context, service) = service(|it| it.role_unknown = 2).await;
    assert!(made_by(&changer(&context, &pause)).await.unwrap());
    assert_eq!(service.lock().unwrap().calls, ["POST functions"; 3]);
    assert_eq!(
        *waited.lock().unwrap(),
        [
            "until its role is known everywhere",
            "until its role is known everywhere",
            "until it is active",
            "until it is active",
        ]
    );
    let (state, tags) = observe(&context, "scorer").await.unwrap().unwrap();
    assert_eq!(tags, BTreeMap::from([("Team".to_owned(), "blue".to_owned())]));
    assert_eq!(
        (state.memory_mb, state.timeout_seconds, state.tracing),
        (512, 30, true)
    );
    assert_eq!(state.architecture, Some(Architecture::Arm64));
    assert_eq!(state.environment["TABLE_NAME"], "items");
    assert_eq!(state.runtime, "provided.al2023");
    // The function's default group was not named, and is the one it writes to.
    assert_eq!(state.log_group, "/aws/lambda/scorer");
    assert!(!made_by(&changer(&context, &pause)).await.unwrap());
}

#[tokio::test]
async fn one_change_waits_for_another() {
    let pause = |_: &str| Ok(());
    let (context, service) = service(|it| {
        it.function = Some(json!({"FunctionName": "scorer"}));
        it.busy = 2;
        it.conflicts = 1;
    })
    .await;
    let changer = changer(&context, &pause);
    let wanted = Configuration {
        memory_mb: Some(1024),
        ..Configuration::default()
    };
    changer.configure(&wanted).await.unwrap();
    changer.set_code(&package(), Architecture::X86_64).await.unwrap();
    changer.set_concurrency(Some(5)).await.unwrap();
    let (state, _) = observe(&context, "scorer").await.unwrap().unwrap();
    assert_eq!((state.memory_mb, state.reserved_concurrency), (1024, Some(5)));
    assert_eq!(state.code_sha256, "new");
    changer.set_concurrency(None).await.unwrap();
    let calls = service.lock().unwrap().calls.clone();
    assert_eq!(
        calls,
        [
            "PUT functions/scorer/configuration",
            "PUT functions/scorer/configuration",
            "PUT functions/scorer/code",
            "PUT functions/scorer/concurrency",
            "DELETE functions/scorer/concurrency",
        ]
    );
}

#[tokio::test]
async fn a_failed_update_says_why_and_the_next_one_may_mend_it() {
    let pause = |_: &str| Ok(());
    let (context, service) = service(|it| {
        it.function = Some(json!({"FunctionName": "scorer"}));
        it.failing = Some("The image is too large");
    })
    .await;
    let changer = changer(&context, &pause);
    let error = changer.configure(&Configuration::default()).await.unwrap_err();
    insta::assert_snapshot!(error, @"function scorer: its last update failed: The image is too large");
    assert_eq!(service.lock().unwrap().calls.len(), 1);
}

#[tokio::test]
async fn a_wish_to_stop_ends_the_waiting() {
    let pause = |_: &str| Err(Error::new(ground::exit::Exit::Interrupted, "stopped"));
    let (context, _) = service(|it| it.busy = 9).await;
    let error = made_by(&changer(&context, &pause)).await.unwrap_err();
    assert_eq!(error.exit(), ground::exit::Exit::Interrupted);
}

#[tokio::test]
async fn a_function_goes_with_its_mappings() {
    let pause = |_: &str| Ok(());
    let (context, service) = service(|it| {
        it.function = Some(json!({"FunctionName": "scorer"}));
        it.mappings = vec!["one", "two"];
        it.conflicts = 1;
    })
    .await;
    let changer = changer(&context, &pause);
    // The first answer is that another change is under way.
    changer.delete().await.unwrap();
    changer.delete().await.unwrap();
    let service = service.lock().unwrap();
    assert!(service.function.is_none() && service.mappings.is_empty());
}

#[test]
fn a_state_is_judged_in_words() {
    let judge = |state: &str, last_update: &str| {
        let state = FunctionState {
            state: state.into(),
            last_update: last_update.into(),
            trouble: "why".into(),
            ..FunctionState::default()
        };
        state.readiness()
    };
    assert_eq!(judge("Active", "Successful"), Ok(Readiness::Ready));
    assert_eq!(judge("Inactive", "Successful"), Ok(Readiness::Ready));
    assert!(matches!(judge("Pending", "Successful"), Ok(Readiness::Wait(_))));
    assert!(matches!(judge("Active", "InProgress"), Ok(Readiness::Wait(_))));
    assert_eq!(
        judge("Failed", "Successful"),
        Err("Lambda could not set it up: why".into())
    );
    assert_eq!(
        judge("Deactivated", "Successful"),
        Err("it is in state Deactivated: why".into())
    );
}
