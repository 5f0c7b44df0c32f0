//! `$input` and `$util`, and which object answers a property or a method.
//!
//! Source: "Variables for data transformations for API Gateway", API Gateway developer guide.

use std::rc::Rc;

use base64_simd::{STANDARD, forgiving_decode_to_vec};

use crate::methods::{self, text_of};
use crate::render::{Failure, Renderer};
use crate::value::{Value, Writer};
use crate::{MAX_OUTPUT, java, json};

type Result<T> = std::result::Result<T, Failure>;

impl Renderer<'_> {
    pub(crate) fn property(&self, value: &Value, name: &str) -> Result<Value> {
        match (value, name) {
            (Value::Input, "body") => self.body_text(),
            (Value::Input | Value::Util, _) => Ok(Value::Null),
            _ => Ok(methods::property(value, name)),
        }
    }

    pub(crate) fn method(&self, value: &Value, name: &str, arguments: &[Value]) -> Result<Value> {
        match value {
            Value::Input => self.input(name, arguments),
            Value::Util => self.util(name, arguments),
            _ => methods::call(&self.heap, value, name, arguments),
        }
    }

    /// The payload as it was sent. An empty one is an empty object.
    fn body_text(&self) -> Result<Value> {
        let body = match self.scope.body {
            "" => "{}",
            body => body,
        };
        Ok(self.heap.text(body)?)
    }

    fn input(&self, name: &str, arguments: &[Value]) -> Result<Value> {
        match (name, arguments) {
            ("json", _) => {
                let mut out = Writer::new(MAX_OUTPUT);
                match self.at_path(arguments)? {
                    // What is missing or null is an empty text.
                    Value::Null => out.push("\"\"")?,
                    value => value.write_json(&mut out)?,
                }
                Ok(self.heap.text(&out.text)?)
            }
            ("path", _) => self.at_path(arguments),
            ("params", []) => {
                let scope = self.scope;
                let maps = [
                    ("path", &scope.path),
                    ("querystring", &scope.querystring),
                    ("header", &scope.headers),
                ];
                let maps: std::result::Result<Vec<_>, _> = maps
                    .iter()
                    .map(|(name, pairs)| Ok::<_, &str>((Rc::from(*name), self.pairs(pairs)?)))
                    .collect();
                Ok(self.heap.map(maps?)?)
            }
            ("params", [name]) => {
                let name = text_of(&self.heap, name)?;
                let scope = self.scope;
                let exact =
                    |pairs: &[(String, String)]| pairs.iter().find(|(key, _)| **key == *name).cloned();
                let header = || {
                    let mut headers = scope.headers.iter();
                    headers.find(|(key, _)| key.eq_ignore_ascii_case(&name)).cloned()
                };
                let found = exact(&scope.path)
                    .or_else(|| exact(&scope.querystring))
                    .or_else(header);
                Ok(self
                    .heap
                    .text(&found.map(|(_, value)| value).unwrap_or_default())?)
            }
            _ => Err(format!("$input has no method {name} with {} arguments", arguments.len()).into()),
        }
    }

    fn util(&self, name: &str, arguments: &[Value]) -> Result<Value> {
        let [argument] = arguments else {
            return Err(format!("$util has no method {name} with {} arguments", arguments.len()).into());
        };
        let text = text_of(&self.heap, argument)?;
        self.heap.step(1 + text.len() as u64 / 1024)?;
        // The result may be larger than the text.
        let growth = match name {
            "escapeJavaScript" => 6,
            "urlEncode" => 3,
            _ => 2,
        };
        self.heap.charge(text.len().saturating_mul(growth))?;
        let result = match name {
            "escapeJavaScript" => java::escape_java_script(&text),
            "urlEncode" => java::url_encode(&text),
            "urlDecode" => java::url_decode(&text).ok_or("the text of urlDecode has an incomplete escape")?,
            "base64Encode" => STANDARD.encode_to_string(text.as_bytes()),
            "base64Decode" => match forgiving_decode_to_vec(text.as_bytes()) {
                Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                Err(_) => return Err("the text of base64Decode is not base64".into()),
            },
            "parseJson" => {
                let parsed = json::parse(&text, &self.heap);
                return parsed.map_err(|why| format!("the text of parseJson is not JSON: {why}").into());
            }
            _ => return Err(format!("$util has no method {name}").into()),
        };
        Ok(self.heap.text(&result)?)
    }
}
