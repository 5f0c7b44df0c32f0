//! Formats of strings, such as `@base64`. Source: "Format strings and escaping", jq 1.6 Manual.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::eval::{Machine, Stop, error};
use crate::term::Format;
use crate::value::Val;

/// What `@uri` keeps.
const URI: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

impl Machine {
    /// A value as a format writes it.
    pub fn format(&self, format: Format, value: &Val) -> Result<Val, Stop> {
        self.reserve(value.size().saturating_mul(3))?;
        let shown = value.shown();
        let row = |quote: &dyn Fn(&Val) -> Result<String, Stop>, separator: &str| match value {
            Val::Arr(array) => {
                let cells: Result<Vec<String>, Stop> = array.items.iter().map(quote).collect();
                Ok(cells?.join(separator))
            }
            other => error(format!(
                "{} cannot be formatted, only an array can be",
                other.kind()
            )),
        };
        let text = match format {
            Format::Text => shown,
            Format::Json => value.to_string(),
            Format::Base64 => base64_simd::STANDARD.encode_to_string(shown),
            Format::Base64d => {
                let decoded = base64_simd::STANDARD_NO_PAD.decode_to_vec(shown.trim_end_matches('='));
                match decoded {
                    Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                    Err(_) => return error(format!("{shown:?} is not valid base64 data")),
                }
            }
            Format::Uri => utf8_percent_encode(&shown, URI).to_string(),
            Format::Html => escaped_html(&shown),
            Format::Csv => row(
                &|cell| match cell {
                    Val::Str(text) => Ok(format!("\"{}\"", text.replace('"', "\"\""))),
                    other => scalar(other, "csv"),
                },
                ",",
            )?,
            Format::Tsv => row(
                &|cell| match cell {
                    Val::Str(text) => Ok(text
                        .replace('\\', "\\\\")
                        .replace('\t', "\\t")
                        .replace('\n', "\\n")
                        .replace('\r', "\\r")),
                    other => scalar(other, "tsv"),
                },
                "\t",
            )?,
            Format::Sh => {
                let quote = |cell: &Val| match cell {
                    Val::Str(text) => Ok(format!("'{}'", text.replace('\'', "'\\''"))),
                    other => scalar(other, "sh"),
                };
                match value {
                    Val::Arr(_) => row(&quote, " ")?,
                    other => quote(other)?,
                }
            }
        };
        Ok(Val::text(text))
    }
}

fn scalar(value: &Val, format: &str) -> Result<String, Stop> {
    match value {
        Val::Null if format != "sh" => Ok(String::new()),
        Val::Arr(_) | Val::Obj(_) => error(format!("{} is not valid in a {format} row", value.kind())),
        other => Ok(other.shown()),
    }
}

fn escaped_html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\'' => escaped.push_str("&#39;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
