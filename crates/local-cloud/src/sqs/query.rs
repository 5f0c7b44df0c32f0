//! Requests and responses of the AWS Query protocol, which SDKs before 2024 use.

use http::Response;
use serde_json::{Map, Value, json};

use super::error::{ApiError, Result};
use crate::Body;
use crate::answer::{answer, identify, whole};
use crate::query::{Xml, error, response};

const NAMESPACE: &str = "http://queue.amazonaws.com/doc/2012-11-05/";

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

/// The operation and input of a form. A request without `QueueUrl` names its queue by its path.
pub(super) fn read(body: &[u8], path: &str) -> Result<(String, Value)> {
    let mut input = crate::query::read(crate::query::pairs(body))
        .map_err(|malformed| ApiError::new("MalformedQueryString", malformed.0))?;
    input.remove("Version");
    let operation = input.remove("Action");
    let operation = operation.as_ref().and_then(Value::as_str).unwrap_or_default();
    let mut input = to_json(Value::Object(input));
    if input.get("QueueUrl").is_none() && path.len() > 1 {
        input["QueueUrl"] = json!(path);
    }
    Ok((operation.to_owned(), input))
}

/// The members of a list; empty for anything else.
fn members(value: Value) -> Vec<Value> {
    match value {
        Value::Array(members) => members,
        _ => Vec::new(),
    }
}

/// Gives the fields of a form the names and types that they have in JSON.
fn to_json(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let mut out = Map::new();
    for (name, value) in fields {
        if let Some((_, plural)) = LISTS.iter().find(|(single, _)| *single == name) {
            let members = members(value).into_iter().map(to_json);
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

/// The response in XML.
pub(super) fn write(operation: &str, result: Result<Value>, id: &str) -> Response<Body> {
    let (status, body) = match result {
        Ok(output) => {
            let result = Some(|xml: &mut Xml| fields(operation, &output, xml));
            (200, response(operation, NAMESPACE, id, result))
        }
        Err(failed) => {
            let body = error(
                NAMESPACE,
                failed.status,
                &failed.query_code(),
                &failed.message,
                id,
            );
            (failed.status, body)
        }
    };
    let mut response = answer(status, "text/xml", whole(body));
    identify(&mut response, id);
    response
}

fn fields(operation: &str, value: &Value, xml: &mut Xml) {
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
                    element(operation, single, item, xml);
                }
            }
            Value::Object(entries) if single != name => {
                let key = if single == "Tag" { "Key" } else { "Name" };
                for (entry, value) in entries {
                    element(operation, single, &json!({ key: entry, "Value": value }), xml);
                }
            }
            _ => element(operation, single, value, xml),
        }
    }
}

fn element(operation: &str, name: &str, value: &Value, xml: &mut Xml) {
    xml.element(name, |xml| match value {
        Value::Object(_) => fields(operation, value, xml),
        Value::String(text) => xml.text(text),
        other => xml.text(&other.to_string()),
    });
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
        let (operation, input) = read(form, "/000000000000/q").unwrap();
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
        let mut xml = Xml::default();
        fields("ReceiveMessage", &output, &mut xml);
        assert_eq!(
            String::from_utf8(xml.into_bytes()).unwrap(),
            "<Message><Attribute><Name>SentTimestamp</Name><Value>1</Value></Attribute><Body>&lt;a&gt;</Body></Message>"
        );
    }
}
