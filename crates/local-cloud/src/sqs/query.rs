//! The query protocol, which SDKs before 2024 speak: forms in, XML out.

use http::Response;
use serde_json::{Map, Value, json};

use super::error::Result;
use crate::Body;
use crate::answer::{answer, identify, whole};

/// Lists in a form, and their names in JSON.
const LISTS: &[(&str, &str)] = &[
    ("AttributeName", "AttributeNames"),
    ("MessageAttributeName", "MessageAttributeNames"),
    ("MessageSystemAttributeName", "MessageSystemAttributeNames"),
    ("TagKey", "TagKeys"),
    ("SendMessageBatchRequestEntry", "Entries"),
    ("DeleteMessageBatchRequestEntry", "Entries"),
    ("ChangeMessageVisibilityBatchRequestEntry", "Entries"),
];
/// Maps in a form, how an entry spells its name and value, and their names in JSON.
const MAPS: &[(&str, &str, &str, &str)] = &[
    ("Attribute", "Name", "Value", "Attributes"),
    ("Tag", "Key", "Value", "Tags"),
    ("MessageAttribute", "Name", "Value", "MessageAttributes"),
    (
        "MessageSystemAttribute",
        "Name",
        "Value",
        "MessageSystemAttributes",
    ),
];
const NUMBERS: &[&str] = &[
    "DelaySeconds",
    "MaxNumberOfMessages",
    "MaxResults",
    "VisibilityTimeout",
    "WaitTimeSeconds",
];

/// What a form's text stands for.
pub(crate) fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = (first == b'%')
            .then(|| tail.get(..2))
            .flatten()
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        rest = match escaped {
            Some(byte) => {
                bytes.push(byte);
                &tail[2..]
            }
            None => {
                bytes.push(if first == b'+' { b' ' } else { first });
                tail
            }
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Operation and input of a form. The front door has checked the names of its parameters. A request without
/// `QueueUrl` names its queue by its path.
pub(super) fn read(body: &[u8], path: &str) -> (String, Value) {
    let form = String::from_utf8_lossy(body);
    let mut input = Map::new();
    let mut operation = String::new();
    for pair in form.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decode(name), decode(value));
        match name.as_str() {
            "Action" => operation = value,
            "Version" => {}
            _ => put(&mut input, &name.split('.').collect::<Vec<_>>(), value),
        }
    }
    let mut input = tidy(Value::Object(input));
    if input.get("QueueUrl").is_none() && path.len() > 1 {
        input["QueueUrl"] = json!(path);
    }
    (operation, input)
}

/// Puts `a.1.b = value` into a tree of maps; the numbers stay keys for now.
fn put(map: &mut Map<String, Value>, path: &[&str], value: String) {
    let Some((first, rest)) = path.split_first() else {
        return;
    };
    if rest.is_empty() {
        map.insert((*first).to_owned(), Value::String(value));
        return;
    }
    let inner = map.entry((*first).to_owned()).or_insert_with(|| json!({}));
    if let Some(inner) = inner.as_object_mut() {
        put(inner, rest, value);
    }
}

/// The members of `{"1": …, "2": …}`, in order.
fn members(value: Value) -> Vec<Value> {
    let Value::Object(fields) = value else {
        return Vec::new();
    };
    let mut members: Vec<(usize, Value)> = fields
        .into_iter()
        .filter_map(|(number, value)| Some((number.parse().ok()?, value)))
        .collect();
    members.sort_by_key(|(number, _)| *number);
    members.into_iter().map(|(_, value)| value).collect()
}

/// Turns what a form calls things into what JSON calls them.
fn tidy(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let mut out = Map::new();
    for (name, value) in fields {
        if let Some((_, plural)) = LISTS.iter().find(|(single, _)| *single == name) {
            let members = members(value).into_iter().map(tidy);
            out.insert((*plural).to_owned(), members.collect());
        } else if let Some((_, key, inner, plural)) = MAPS.iter().find(|(single, ..)| *single == name) {
            let entries = members(value)
                .into_iter()
                .filter_map(|mut entry| Some((entry[*key].as_str()?.to_owned(), entry[*inner].take())));
            out.insert((*plural).to_owned(), Value::Object(entries.collect()));
        } else if let Some(number) = value
            .as_str()
            .filter(|_| NUMBERS.contains(&name.as_str()))
            .and_then(|text| text.parse::<i64>().ok())
        {
            out.insert(name, json!(number));
        } else {
            out.insert(name, value);
        }
    }
    Value::Object(out)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\r', "&#xD;")
}

/// The answer in XML.
pub(super) fn show(operation: &str, outcome: Result<Value>, id: &str) -> Response<Body> {
    let (status, body) = match outcome {
        Ok(output) => {
            let mut result = String::new();
            fields(operation, &output, &mut result);
            let body = format!(
                "<?xml version=\"1.0\"?><{operation}Response xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\">\
                 <{operation}Result>{result}</{operation}Result><ResponseMetadata><RequestId>{id}</RequestId>\
                 </ResponseMetadata></{operation}Response>"
            );
            (200, body)
        }
        Err(error) => {
            let side = if error.status < 500 { "Sender" } else { "Receiver" };
            let body = format!(
                "<?xml version=\"1.0\"?><ErrorResponse xmlns=\"http://queue.amazonaws.com/doc/2012-11-05/\"><Error>\
                 <Type>{side}</Type><Code>{}</Code><Message>{}</Message><Detail/></Error><RequestId>{id}</RequestId>\
                 </ErrorResponse>",
                error.query_code(),
                escape(&error.message)
            );
            (error.status, body)
        }
    };
    let mut response = answer(status, "text/xml", whole(body.into_bytes()));
    identify(&mut response, id);
    response
}

fn fields(operation: &str, value: &Value, out: &mut String) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let single = match name.as_str() {
            "QueueUrls" | "queueUrls" => "QueueUrl",
            "Messages" => "Message",
            "Attributes" => "Attribute",
            "Tags" => "Tag",
            "MessageAttributes" => "MessageAttribute",
            "Failed" => "BatchResultErrorEntry",
            "Successful" => match operation {
                "SendMessageBatch" => "SendMessageBatchResultEntry",
                "DeleteMessageBatch" => "DeleteMessageBatchResultEntry",
                _ => "ChangeMessageVisibilityBatchResultEntry",
            },
            name => name,
        };
        match value {
            Value::Array(items) => {
                for item in items {
                    element(operation, single, item, out);
                }
            }
            Value::Object(entries) if single != name => {
                let key = if single == "Tag" { "Key" } else { "Name" };
                for (entry, value) in entries {
                    element(operation, single, &json!({ key: entry, "Value": value }), out);
                }
            }
            _ => element(operation, single, value, out),
        }
    }
}

fn element(operation: &str, name: &str, value: &Value, out: &mut String) {
    out.push_str(&format!("<{name}>"));
    match value {
        Value::Object(_) => fields(operation, value, out),
        Value::String(text) => out.push_str(&escape(text)),
        other => out.push_str(&other.to_string()),
    }
    out.push_str(&format!("</{name}>"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_become_what_json_would_be() {
        let form = b"Action=SendMessageBatch&Version=2012-11-05&SendMessageBatchRequestEntry.1.Id=a\
            &SendMessageBatchRequestEntry.1.MessageBody=x+y%26&SendMessageBatchRequestEntry.1.DelaySeconds=5\
            &SendMessageBatchRequestEntry.1.MessageAttribute.1.Name=n\
            &SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.DataType=String\
            &SendMessageBatchRequestEntry.1.MessageAttribute.1.Value.StringValue=v";
        let (operation, input) = read(form, "/000000000000/q");
        assert_eq!(operation, "SendMessageBatch");
        assert_eq!(
            input,
            json!({
                "QueueUrl": "/000000000000/q",
                "Entries": [{"Id": "a", "MessageBody": "x y&", "DelaySeconds": 5,
                    "MessageAttributes": {"n": {"DataType": "String", "StringValue": "v"}}}],
            })
        );
    }

    #[test]
    fn answers_are_xml() {
        let output = json!({"Messages": [{"Attributes": {"SentTimestamp": "1"}, "Body": "<a>"}]});
        let mut out = String::new();
        fields("ReceiveMessage", &output, &mut out);
        assert_eq!(
            out,
            "<Message><Attribute><Name>SentTimestamp</Name><Value>1</Value></Attribute><Body>&lt;a&gt;</Body></Message>"
        );
    }
}
