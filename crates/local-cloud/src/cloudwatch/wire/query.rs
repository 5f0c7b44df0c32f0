//! AWS query: forms in (`MetricData.member.1.Value=3`), XML out.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::Out;
use crate::cloudwatch::error::ApiError as Fault;

const NAMESPACE: &str = "http://monitoring.amazonaws.com/doc/2010-08-01/";
/// How deep a field's name may nest.
const MAX_DEPTH: usize = 16;

/// A field's name taken apart.
enum Node {
    Leaf(String),
    Branch(BTreeMap<String, Node>),
}

/// Names and values of a form, from the address and the body.
pub(super) fn fields(query: &str, body: &[u8]) -> Vec<(String, String)> {
    let pairs = query
        .as_bytes()
        .split(|b| *b == b'&')
        .chain(body.split(|b| *b == b'&'));
    pairs
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let at = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            (
                decode(&pair[..at]),
                decode(pair.get(at + 1..).unwrap_or_default()),
            )
        })
        .collect()
}

fn decode(text: &[u8]) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let hex = |b: u8| {
            char::from(b)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or(0) * 16 + hex(*low).unwrap_or(0));
                rest = after;
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The fields as the tree their names describe.
pub(super) fn read(fields: &[(String, String)]) -> Result<Map<String, Value>, Fault> {
    let mut root = BTreeMap::new();
    for (name, value) in fields {
        insert(&mut root, name, value, 0)?;
    }
    match tree(Node::Branch(root)) {
        Value::Object(map) => Ok(map),
        _ => Err(Fault::malformed("The request has no parameters.")),
    }
}

fn insert(branch: &mut BTreeMap<String, Node>, name: &str, value: &str, depth: usize) -> Result<(), Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::malformed("A parameter's name nests too deep."));
    }
    let Some((head, rest)) = name.split_once('.') else {
        branch
            .entry(name.to_owned())
            .or_insert_with(|| Node::Leaf(value.to_owned()));
        return Ok(());
    };
    let node = branch
        .entry(head.to_owned())
        .or_insert_with(|| Node::Branch(BTreeMap::new()));
    match node {
        Node::Branch(inner) => insert(inner, rest, value, depth + 1),
        Node::Leaf(_) => Err(Fault::malformed("A parameter is both a value and a structure.")),
    }
}

fn tree(node: Node) -> Value {
    match node {
        Node::Leaf(text) => Value::String(text),
        Node::Branch(mut branch) => match (branch.len(), branch.remove("member")) {
            (1, Some(Node::Branch(members))) => {
                let mut items: Vec<(u64, Value)> = members
                    .into_iter()
                    .map(|(index, node)| (index.parse().unwrap_or(u64::MAX), tree(node)))
                    .collect();
                items.sort_by_key(|(index, _)| *index);
                Value::Array(items.into_iter().map(|(_, value)| value).collect())
            }
            (_, member) => Value::Object(
                branch
                    .into_iter()
                    .chain(member.map(|node| ("member".to_owned(), node)))
                    .map(|(name, node)| (name, tree(node)))
                    .collect(),
            ),
        },
    }
}

pub(super) fn write(operation: &str, out: Option<&Out>, request_id: &str) -> Vec<u8> {
    let mut xml = format!("<{operation}Response xmlns=\"{NAMESPACE}\">");
    if let Some(out) = out {
        let _ = write!(xml, "<{operation}Result>");
        element(&mut xml, out);
        let _ = write!(xml, "</{operation}Result>");
    }
    let _ = write!(
        xml,
        "<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{operation}Response>"
    );
    xml.into_bytes()
}

pub(super) fn write_fault(fault: &Fault, request_id: &str) -> Vec<u8> {
    let mut xml = format!("<ErrorResponse xmlns=\"{NAMESPACE}\"><Error><Type>Sender</Type><Code>");
    escape(&mut xml, fault.code());
    xml.push_str("</Code><Message>");
    escape(&mut xml, fault.message());
    let _ = write!(
        xml,
        "</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    );
    xml.into_bytes()
}

fn element(xml: &mut String, out: &Out) {
    match out {
        Out::Text(text) => escape(xml, text),
        Out::Number(number) => {
            let _ = write!(xml, "{number}");
        }
        Out::Whole(number) => {
            let _ = write!(xml, "{number}");
        }
        Out::Flag(flag) => {
            let _ = write!(xml, "{flag}");
        }
        Out::Time(ms) => match jiff::Timestamp::from_millisecond(*ms) {
            Ok(time) => {
                let _ = write!(xml, "{time}");
            }
            Err(_) => escape(xml, "1970-01-01T00:00:00Z"),
        },
        Out::List(items) => {
            for item in items {
                xml.push_str("<member>");
                element(xml, item);
                xml.push_str("</member>");
            }
        }
        Out::Struct(fields) => {
            for (name, out) in fields {
                let _ = write!(xml, "<{name}>");
                element(xml, out);
                let _ = write!(xml, "</{name}>");
            }
        }
        Out::Map(entries) => {
            for (key, out) in entries {
                xml.push_str("<entry><key>");
                escape(xml, key);
                xml.push_str("</key><value>");
                element(xml, out);
                xml.push_str("</value></entry>");
            }
        }
    }
}

fn escape(xml: &mut String, text: &str) {
    for c in text.chars() {
        match c {
            '&' => xml.push_str("&amp;"),
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '"' => xml.push_str("&quot;"),
            // Not allowed in XML at all.
            c if c.is_control() && !matches!(c, '\n' | '\t') => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_become_trees() {
        let form = b"Namespace=My+App%2F1&MetricData.member.10.Value=10&MetricData.member.2.Value=2\
            &MetricData.member.2.Dimensions.member.1.Name=A&Empty=";
        let tree = Value::Object(read(&fields("Action=PutMetricData", form)).unwrap());
        assert_eq!(
            tree,
            serde_json::json!({
                "Action": "PutMetricData",
                "Namespace": "My App/1",
                "Empty": "",
                "MetricData": [{"Value": "2", "Dimensions": [{"Name": "A"}]}, {"Value": "10"}],
            })
        );
    }

    #[test]
    fn xml_is_escaped() {
        let out = Out::Struct(vec![("Label", Out::Text("a<b & \"c\"\u{1}".into()))]);
        let xml = String::from_utf8(write("GetMetricStatistics", Some(&out), "1")).unwrap();
        assert!(
            xml.contains("<Label>a&lt;b &amp; &quot;c&quot;\u{fffd}</Label>"),
            "{xml}"
        );
    }

    proptest::proptest! {
        #[test]
        fn any_form_is_read_or_refused(query in ".{0,40}", body in proptest::collection::vec(0u8.., 0..200)) {
            let _ = read(&fields(&query, &body));
        }
    }
}
