use serde_json::json;

use super::super::test_support::{context, location, refusal, spec};
use super::*;
use crate::pipeline::resource::Identity;

fn noted_body(pipeline: &Identity) -> Value {
    let body = json!({"widgets": [{"type": "metric", "x": 0, "y": 2, "width": 6, "height": 6}]});
    body::with_note(body, pipeline).unwrap()
}

#[test]
fn the_note_says_whose_it_is() {
    let body = noted_body(&Identity::new("retail", "dev"));
    assert_eq!(body::noted(&body), Some("retail/dev".to_owned()));
    assert_eq!(body::widgets(&body)[1]["y"], 8);
    assert_eq!(
        body::noted(&json!({"widgets": [{"properties": {"markdown": "hand-made"}}]})),
        None
    );
    assert_eq!(body::noted(&Value::Null), None);
}

#[test]
fn bodies_are_compared_by_meaning() {
    let one = json!({"widgets": [{"x": 1, "properties": {"a": 1.0, "b": [1, 2]}}]});
    let other: Value =
        serde_json::from_str(r#"{"widgets":[{"properties":{"b":[1.0,2],"a":1},"x":1}]}"#).unwrap();
    assert!(body::same(&one, &other));
    let mut moved = one.clone();
    moved["widgets"][0]["properties"]["b"] = json!([2, 1]);
    assert!(!body::same(&one, &moved));
    let mut more = one.clone();
    more["widgets"][0]["y"] = json!(0);
    assert!(!body::same(&one, &more));
}

#[test]
fn a_body_without_widgets_is_refused() {
    for bad in [json!([]), json!({"widgets": 3}), json!("x")] {
        assert!(body::with_note(bad, &Identity::new("a", "b")).is_err());
    }
}

#[test]
fn messages_name_their_place() {
    let message = |path: Option<&str>, text: &str| {
        DashboardValidationMessage::builder()
            .set_data_path(path.map(str::to_owned))
            .message(text)
            .build()
    };
    let messages = [
        message(Some("/widgets/0"), "should have region"),
        message(None, "too large"),
    ];
    insta::assert_snapshot!(in_words(&messages), @r#"
    /widgets/0: should have region
    too large
    "#);
}

#[tokio::test]
async fn names_are_checked() {
    let context = context().await;
    let made = |name: &str| {
        let declared = format!("name = \"{name}\"\nbody = {{ widgets = [] }}");
        Dashboard::new(&context, location(), spec("dashboard", &declared, &[])).map(drop)
    };
    assert!(made("retail-analytics-dev_1").is_ok());
    assert!(made("").is_err());
    insta::assert_snapshot!(refusal(made("two words")), @r#"
    "two words" is not a dashboard name
    hint: use 1 to 255 letters, digits or any of - _
    "#);
}
