//! The body of a request or a response in the log: without secrets, and not longer than a screen.

use std::borrow::Cow;

use serde_json::Value;

/// The longest body that is shown, in characters.
const MOST_CHARACTERS: usize = 4_000;
/// The longest value of [`SHORTENED`], in characters.
const MOST_DATA: usize = 32;
/// What a secret is replaced by.
const HIDDEN: &str = "(hidden)";

/// Members whose text is never shown: keys, tokens, and the environment of functions.
const SECRET: &[&str] = &[
    "authorization",
    "authparameters",
    "connectionstring",
    "externalid",
    "password",
    "secret",
    "secretaccesskey",
    "secretstring",
    "sessiontoken",
    "token",
    "variables",
    "webidentitytoken",
];
/// Members that hold what users have written, or that are long and say nothing.
const SHORTENED: &[&str] = &["data", "payload", "sharditerator", "nextsharditerator", "zipfile"];

/// `bytes` for the log; `None` is a body that is sent in parts.
pub(super) fn shown(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else {
        return "a body in parts".to_owned();
    };
    if bytes.is_empty() {
        return "no body".to_owned();
    }
    let text = match (serde_json::from_slice::<Value>(bytes), std::str::from_utf8(bytes)) {
        (Ok(mut value), _) => {
            clean(&mut value);
            value.to_string()
        }
        (Err(_), Ok(text)) if text.trim_start().starts_with('<') => clean_xml(text),
        (Err(_), Ok(text)) if is_form(text) => clean_form(text),
        _ => return format!("{} bytes", bytes.len()),
    };
    cut(&text, MOST_CHARACTERS).into_owned()
}

fn clean(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(members) => {
            for (name, value) in members {
                let name = name.to_ascii_lowercase();
                match value {
                    _ if is_secret(&name) && !value.is_null() => hide(value),
                    Value::String(text) if SHORTENED.contains(&name.as_str()) => {
                        *text = cut(text, MOST_DATA).into_owned();
                    }
                    value => clean(value),
                }
            }
        }
        _ => {}
    }
}

/// Names of variables stay: they say what is set.
fn hide(value: &mut Value) {
    match value {
        Value::Object(members) => members.values_mut().for_each(hide),
        value => *value = Value::from(HIDDEN),
    }
}

fn is_secret(name: &str) -> bool {
    SECRET.contains(&name)
}

fn cut(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}… ({} bytes)", &text[..end], text.len())),
        None => Cow::Borrowed(text),
    }
}

/// Replaces the text of elements that hold secrets, such as `<SecretAccessKey>`.
fn clean_xml(text: &str) -> String {
    let mut cleaned = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('<') {
        cleaned.push_str(before);
        cleaned.push('<');
        let Some((tag, content)) = after.split_once('>') else {
            rest = after;
            break;
        };
        cleaned.push_str(tag);
        cleaned.push('>');
        let is_secret = is_secret(&tag.to_ascii_lowercase());
        rest = match content.find('<') {
            Some(end) if is_secret => {
                cleaned.push_str(HIDDEN);
                &content[end..]
            }
            _ => content,
        };
    }
    cleaned.push_str(rest);
    cleaned
}

/// Whether it is a form of AWS's query protocol.
fn is_form(text: &str) -> bool {
    text.starts_with("Action=") || text.contains("&Action=")
}

fn clean_form(text: &str) -> String {
    let field = |field: &str| match field.split_once('=') {
        Some((name, _)) if is_secret(&name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase()) => {
            format!("{name}={HIDDEN}")
        }
        _ => field.to_owned(),
    };
    let fields: Vec<String> = text.split('&').map(field).collect();
    fields.join("&")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_in_every_format() {
        let json = br#"{"FunctionName":"f","Environment":{"Variables":{"KEY":"s3cret"}},"Credentials":{"SessionToken":"s3cret"}}"#;
        assert_eq!(
            shown(Some(json)),
            r#"{"FunctionName":"f","Environment":{"Variables":{"KEY":"(hidden)"}},"Credentials":{"SessionToken":"(hidden)"}}"#
        );
        let xml = b"<A><AccessKeyId>AKIA</AccessKeyId><SecretAccessKey>s3cret</SecretAccessKey></A>";
        assert_eq!(
            shown(Some(xml)),
            "<A><AccessKeyId>AKIA</AccessKeyId><SecretAccessKey>(hidden)</SecretAccessKey></A>"
        );
        let form = b"Action=AssumeRoleWithWebIdentity&WebIdentityToken=s3cret&Version=1";
        assert_eq!(
            shown(Some(form)),
            "Action=AssumeRoleWithWebIdentity&WebIdentityToken=(hidden)&Version=1"
        );
    }

    #[test]
    fn data_of_records_is_shortened_and_bytes_are_counted() {
        let data = "x".repeat(100);
        let json = format!(r#"{{"Records":[{{"Data":"{data}","PartitionKey":"k"}}]}}"#);
        let text = shown(Some(json.as_bytes()));
        assert!(
            text.contains(&format!("{}… (100 bytes)", "x".repeat(32))),
            "{text}"
        );
        assert!(text.contains(r#""PartitionKey":"k""#), "{text}");
        assert_eq!(shown(Some(&[0xff, 0, 1])), "3 bytes");
        assert_eq!(shown(Some(b"")), "no body");
        assert_eq!(shown(None), "a body in parts");
        let long = format!(r#"{{"Names":"{}"}}"#, "é".repeat(9_000));
        assert!(shown(Some(long.as_bytes())).chars().count() < 4_100);
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_shown(text in r#"(<|>|SecretAccessKey|Action=|&|\{|"|:|\PC){0,30}"#) {
            shown(Some(text.as_bytes()));
        }
    }
}
