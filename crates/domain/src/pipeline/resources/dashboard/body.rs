//! The body of a dashboard: its comparison by meaning, and the note with its origin.

use serde_json::{Value, json};

use crate::pipeline::resource::Identity;
use crate::pipeline::source::selected_by;

/// Prefix of the note; the pipeline follows.
const NOTE: &str = "Made by streamctl, pipeline `";

/// The widgets of a body.
pub(super) fn widgets(body: &Value) -> &[Value] {
    body["widgets"].as_array().map_or(&[], Vec::as_slice)
}

/// `body` with the note below its last widget.
///
/// # Errors
/// What is wrong with the body.
pub(super) fn with_note(mut body: Value, identity: &Identity) -> Result<Value, String> {
    let bottom = widgets(&body)
        .iter()
        .map(|widget| {
            let number = |key: &str| widget[key].as_i64().unwrap_or(0);
            number("y").saturating_add(number("height"))
        })
        .max();
    let undo = match selected_by(&identity.to_string()) {
        Some(typed) => format!("`streamctl setup{typed}`"),
        None => "The command that made it".to_owned(),
    };
    let note = json!({
        "type": "text",
        "x": 0,
        "y": bottom.unwrap_or(0),
        "width": 24,
        "height": 1,
        "properties": {
            "markdown": format!("{NOTE}{identity}`. {undo} undoes changes made here.")
        },
    });
    match body.get_mut("widgets") {
        Some(Value::Array(widgets)) => widgets.push(note),
        _ => return Err("the body of a dashboard is an object with a list `widgets`".to_owned()),
    }
    Ok(body)
}

/// The pipeline that the note in `body` names.
pub(super) fn noted(body: &Value) -> Option<String> {
    widgets(body).iter().rev().find_map(|widget| {
        let text = widget["properties"]["markdown"].as_str()?;
        let (pipeline, _) = text.strip_prefix(NOTE)?.split_once('`')?;
        Some(pipeline.to_owned())
    })
}

/// Whether two bodies mean the same: order of keys and the form of numbers do not matter.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => one == other || one.as_f64() == other.as_f64(),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .all(|(key, value)| other.get(key).is_some_and(|there| same(value, there)))
        }
        (one, other) => one == other,
    }
}
