use std::sync::{Arc, Mutex};

use serde_json::json;

use super::super::test_support::{Endpoint, changes, context, location, refusal, spec, with_step};
use super::*;
use crate::pipeline::resource::{Observed, Resource};

const DECLARED: &str = r#"
bucket = "images"
function = "arn:aws:lambda:us-east-1:000000000000:function:resize"
prefix = "incoming/"
suffix = ".jpg"
"#;
/// A rule that somebody else made.
const OTHER: &str = "<CloudFunctionConfiguration><Id>other</Id><CloudFunction>arn:x</CloudFunction>\
     <Event>s3:ObjectRemoved:*</Event></CloudFunctionConfiguration>";

#[derive(Default)]
struct State {
    configuration: String,
    statements: Vec<Value>,
    /// How many configurations are refused, as long as Lambda's permission is not visible.
    refusals: usize,
}

async fn endpoint() -> (Endpoint, Arc<Mutex<State>>) {
    let state: Arc<Mutex<State>> = Arc::default();
    state.lock().unwrap().configuration = OTHER.to_owned();
    let kept = Arc::clone(&state);
    let endpoint = Endpoint::start(move |call, body| {
        let mut state = kept.lock().unwrap();
        match call.split_once(' ').unwrap() {
            ("GET", path) if path.contains("?notification") => {
                let all = &state.configuration;
                (200, format!("<NotificationConfiguration>{all}</NotificationConfiguration>"))
            }
            ("PUT", _) if state.refusals > 0 => {
                state.refusals -= 1;
                (400, "<Error><Code>InvalidArgument</Code><Message>Unable to validate</Message></Error>".to_owned())
            }
            ("PUT", _) => {
                let start = body.find("<CloudFunction").unwrap();
                let end = body.rfind("</NotificationConfiguration>").unwrap();
                state.configuration = body[start..end].to_owned();
                (200, String::new())
            }
            ("GET", path) if path.contains("?tagging") => (
                404,
                "<Error><Code>NoSuchTagSet</Code><Message>none</Message></Error>".to_owned(),
            ),
            ("GET", _) if state.statements.is_empty() => {
                (404, r#"{"__type":"ResourceNotFoundException"}"#.to_owned())
            }
            ("GET", _) => {
                let policy = json!({"Statement": state.statements}).to_string();
                (200, json!({"Policy": policy}).to_string())
            }
            ("POST", _) => {
                let input: Value = serde_json::from_str(body).unwrap();
                state.statements.push(json!({
                    "Sid": input["StatementId"], "Action": input["Action"], "Principal": {"Service": input["Principal"]},
                    "Condition": {"ArnLike": {"AWS:SourceArn": input["SourceArn"]},
                        "StringEquals": {"AWS:SourceAccount": input["SourceAccount"]}},
                }));
                (201, json!({"Statement": "{}"}).to_string())
            }
            ("DELETE", _) => {
                state.statements.clear();
                (204, String::new())
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
    (endpoint, state)
}

#[tokio::test]
async fn the_permission_comes_first_and_rules_of_others_stay() {
    let (endpoint, state) = endpoint().await;
    state.lock().unwrap().refusals = 2;
    let spec = spec("bucket_notification", DECLARED, &[]);
    let notification = Notification::new(&endpoint.context, location(), spec).unwrap();
    assert_eq!(Resource::observe(&notification).await.unwrap(), Observed::Absent);
    let (made, said) = with_step(async |step| Kind::create(&notification, step).await).await;
    made.unwrap();
    assert!(
        said.iter()
            .any(|words| words.contains("does not see the permission yet")),
        "{said:?}"
    );
    let calls = endpoint.calls();
    let first = |start: &str| calls.iter().position(|call| call.starts_with(start)).unwrap();
    assert!(first("POST /2015-03-31/") < first("PUT /images"), "{calls:?}");
    assert!(state.lock().unwrap().configuration.contains("<Id>other</Id>"));
    let observed = Resource::observe(&notification).await.unwrap();
    assert_eq!(changes(&notification, &observed), "");
    let checks = Resource::verify(&notification, &observed, false).await;
    assert_eq!(checks[0].detail, "s3:ObjectCreated:* of incoming/*.jpg to resize");

    with_step(async |step| Resource::delete(&notification, &observed, step).await)
        .await
        .0
        .unwrap();
    let state = state.lock().unwrap();
    assert!(state.statements.is_empty());
    assert!(
        state.configuration.contains("<Id>other</Id>") && !state.configuration.contains("streamctl-it"),
        "{}",
        state.configuration
    );
}

#[tokio::test]
async fn a_lost_permission_and_another_rule_are_changed() {
    let (endpoint, state) = endpoint().await;
    let made = |declared: &str| {
        let spec = spec("bucket_notification", declared, &[]);
        Notification::new(&endpoint.context, location(), spec).unwrap()
    };
    let notification = made(DECLARED);
    with_step(async |step| Kind::create(&notification, step).await)
        .await
        .0
        .unwrap();
    state.lock().unwrap().statements.clear();
    let other = made(&DECLARED.replace(".jpg", ".png"));
    let observed = Resource::observe(&other).await.unwrap();
    insta::assert_snapshot!(changes(&other, &observed), @r"
    permission: none → may invoke the function
    rule: s3:ObjectCreated:* of incoming/*.jpg to resize → s3:ObjectCreated:* of incoming/*.png to resize
    ");
    let checks = Resource::verify(&other, &observed, false).await;
    assert_eq!(checks[0].state, CheckState::Fault);
    let change = Change::update("rule", "", "");
    with_step(async |step| other.apply(&change, &observed, step).await)
        .await
        .0
        .unwrap();
    let observed = Resource::observe(&other).await.unwrap();
    assert_eq!(changes(&other, &observed), "");
}

#[tokio::test]
async fn bad_events_are_refused() {
    let context = context().await;
    let declared = format!("{DECLARED}events = [\"created\"]");
    let made = Notification::new(&context, location(), spec("bucket_notification", &declared, &[]));
    insta::assert_snapshot!(refusal(made.map(drop)), @r#"line 1: resource it: "created" is not an event of S3, such as "s3:ObjectCreated:*""#);
}
