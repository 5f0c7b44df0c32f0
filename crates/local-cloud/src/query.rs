//! The AWS Query protocol: a request is a form (`Dimensions.member.1.Name=x`), a response is XML.
//!
//! This module knows no service. Source: "AWS query protocol", Smithy documentation.

use ground::xml;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value};

/// Levels that the name of a parameter may have. No operation needs more than 8.
const MAX_DEPTH: usize = 16;
/// The characters that RFC 3986 encodes: all but the unreserved ones.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Why a form is not a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Decodes a path or a header. A plus sign is a space in forms only, see [`pairs`]. Malformed sequences stay as they
/// are; bytes that are not UTF-8 become U+FFFD.
pub(crate) fn percent_decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

pub(crate) fn percent_encode(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The decoded names and values of a form, or of the query of a URL.
pub(crate) fn pairs(form: &[u8]) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(form).into_owned()
}

/// Reads parameters into the structures and lists that their names describe. Lists are either flattened (`Tag.1`) or
/// not (`Tags.member.1`). All values are text. Of several values for one name, the last counts.
///
/// # Errors
/// A name has too many levels, or stands for both a value and a structure.
pub(crate) fn read(
    pairs: impl IntoIterator<Item = (String, String)>,
) -> Result<Map<String, Value>, Malformed> {
    let mut root = Map::new();
    for (name, value) in pairs {
        insert(&mut root, &name, value, 0)?;
    }
    Ok(root
        .into_iter()
        .map(|(name, value)| (name, with_lists(value)))
        .collect())
}

fn insert(fields: &mut Map<String, Value>, name: &str, value: String, depth: usize) -> Result<(), Malformed> {
    if depth > MAX_DEPTH {
        return Err(Malformed("The name of a parameter has too many levels."));
    }
    let Some((head, rest)) = name.split_once('.') else {
        fields.insert(name.to_owned(), Value::String(value));
        return Ok(());
    };
    let inner = fields.entry(head).or_insert_with(|| Value::Object(Map::new()));
    match inner {
        Value::Object(inner) => insert(inner, rest, value, depth + 1),
        _ => Err(Malformed("A parameter is both a value and a structure.")),
    }
}

/// Turns structures whose names are numbers into lists in the order of the numbers.
fn with_lists(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let mut fields: Map<String, Value> = fields
        .into_iter()
        .map(|(name, value)| (name, with_lists(value)))
        .collect();
    if fields.len() == 1
        && let Some(list @ Value::Array(_)) = fields.get_mut("member")
    {
        return list.take();
    }
    if !fields
        .keys()
        .all(|name| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()))
    {
        return Value::Object(fields);
    }
    let mut items: Vec<(u64, Value)> = fields
        .into_iter()
        .map(|(number, value)| (number.parse().unwrap_or(u64::MAX), value))
        .collect();
    items.sort_by_key(|(number, _)| *number);
    items.into_iter().map(|(_, value)| value).collect()
}

/// An XML document under construction.
#[derive(Debug, Default)]
pub(crate) struct Xml(String);

impl Xml {
    /// An element around what `content` writes.
    pub(crate) fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.0.extend(["<", name, ">"]);
        content(self);
        self.0.extend(["</", name, ">"]);
    }

    /// An element with attributes around what `content` writes. Names and values must need no escaping.
    pub(crate) fn element_with(
        &mut self,
        name: &str,
        attributes: &[(&str, &str)],
        content: impl FnOnce(&mut Self),
    ) {
        self.0.extend(["<", name]);
        for (name, value) in attributes {
            self.0.extend([" ", name, "=\"", value, "\""]);
        }
        self.0.push('>');
        content(self);
        self.0.extend(["</", name, ">"]);
    }

    /// Elements that are written already.
    pub(crate) fn raw(&mut self, xml: &str) {
        self.0.push_str(xml);
    }

    /// An element around `text`.
    pub(crate) fn leaf(&mut self, name: &str, text: &str) {
        self.element(name, |xml| xml.text(text));
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.0.push_str(&xml::escape(text));
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.0.into_bytes()
    }

    /// The root element, in `namespace` if the service has one.
    pub(crate) fn root(name: &str, namespace: &str, content: impl FnOnce(&mut Self)) -> Vec<u8> {
        let mut xml = Self(match namespace {
            "" => format!("<{name}>"),
            namespace => format!("<{name} xmlns=\"{namespace}\">"),
        });
        content(&mut xml);
        xml.0.extend(["</", name, ">"]);
        xml.into_bytes()
    }
}

/// The response to `operation`; `result` writes the output, if the operation has one.
pub(crate) fn response(
    operation: &str,
    namespace: &str,
    request_id: &str,
    result: Option<impl FnOnce(&mut Xml)>,
) -> Vec<u8> {
    Xml::root(&format!("{operation}Response"), namespace, |xml| {
        if let Some(result) = result {
            xml.element(&format!("{operation}Result"), result);
        }
        xml.element("ResponseMetadata", |xml| xml.leaf("RequestId", request_id));
    })
}

/// The response to a request that failed with `status`.
pub(crate) fn error(namespace: &str, status: u16, code: &str, message: &str, request_id: &str) -> Vec<u8> {
    Xml::root("ErrorResponse", namespace, |xml| {
        xml.element("Error", |xml| {
            xml.leaf("Type", if status < 500 { "Sender" } else { "Receiver" });
            xml.leaf("Code", code);
            xml.leaf("Message", message);
        });
        xml.leaf("RequestId", request_id);
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn tree(form: &str) -> Result<Value, Malformed> {
        read(pairs(form.as_bytes())).map(Value::Object)
    }

    #[test]
    fn forms_become_trees() {
        let form = "Namespace=My+App%2F1&MetricData.member.10.Value=10&MetricData.member.2.Value=2\
            &MetricData.member.2.Dimensions.member.1.Name=A&Empty=&Tag.2.Key=b&Tag.1.Key=a&None&1=w&&1=x";
        let expected = json!({
            "Namespace": "My App/1",
            "Empty": "",
            "None": "",
            "1": "x",
            "Tag": [{"Key": "a"}, {"Key": "b"}],
            "MetricData": [{"Value": "2", "Dimensions": [{"Name": "A"}]}, {"Value": "10"}],
        });
        assert_eq!(tree(form), Ok(expected));
    }

    #[test]
    fn contradictory_and_deep_names_are_refused() {
        assert!(tree("A=1&A.b=2").is_err());
        assert!(tree(&"a.".repeat(100_000)).is_err());
    }

    #[test]
    fn percent_encoding_is_that_of_rfc_3986() {
        assert_eq!(percent_encode("{\"a-._~\": 1}+"), "%7B%22a-._~%22%3A%201%7D%2B");
        assert_eq!(percent_decode("a%2fb%2F+c"), "a/b/+c");
        for malformed in ["100%", "%zz%4", "%+5", "%\u{e9}a"] {
            assert_eq!(percent_decode(malformed), malformed);
        }
        assert_eq!(percent_decode("%ff"), "\u{fffd}");
    }

    #[test]
    fn xml_is_escaped() {
        let mut xml = Xml::default();
        xml.leaf("Label", "a<b> & \"c\"\u{1}\r\n\u{85}");
        assert_eq!(
            String::from_utf8(xml.into_bytes()).unwrap(),
            "<Label>a&lt;b&gt; &amp; &quot;c&quot;\u{fffd}&#xD;\n\u{85}</Label>"
        );
    }

    proptest! {
        #[test]
        fn encoded_text_decodes_to_itself(text in any::<String>()) {
            prop_assert_eq!(percent_decode(&percent_encode(&text)), text.clone());
            let form = format!("a={}", percent_encode(&text));
            prop_assert_eq!(tree(&form), Ok(json!({"a": text})));
        }

        #[test]
        fn any_form_is_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            names in "([a-c.&=+%0-9]|member){0,60}",
        ) {
            let _ = read(pairs(&bytes));
            let _ = tree(&names);
        }
    }
}
