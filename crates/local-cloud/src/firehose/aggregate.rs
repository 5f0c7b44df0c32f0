//! Several records in one: the processor `RecordDeAggregation`.
//!
//! Source: "Apply dynamic partitioning to aggregated data", Amazon Data Firehose developer guide.

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::input::Processing;

/// Records that are taken out of one. Source: as above; one with more is passed on whole.
const MOST: usize = 500;

/// How records are separated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Deaggregation {
    /// JSON objects, one after another.
    Json,
    Delimited(Vec<u8>),
}

impl Deaggregation {
    /// Of settings that have been checked.
    pub fn of(processing: Option<&Processing>) -> Option<Self> {
        let processing = processing.filter(|processing| processing.enabled == Some(true))?;
        let mut processors = processing.processors.iter().flatten();
        let processor = processors.find(|one| one.kind == "RecordDeAggregation")?;
        let delimiter = processor.parameter("Delimiter");
        let delimiter = delimiter.and_then(|text| base64_simd::STANDARD.decode_to_vec(text).ok());
        Some(match delimiter {
            Some(delimiter) if !delimiter.is_empty() => Self::Delimited(delimiter),
            _ => Self::Json,
        })
    }

    /// The records in a record. What cannot be separated stays whole.
    pub fn split(&self, data: &Bytes) -> Vec<Bytes> {
        let ranges = match self {
            Self::Json => objects(data),
            Self::Delimited(delimiter) => pieces(data, delimiter),
        };
        match ranges {
            Some(ranges) if !ranges.is_empty() => ranges
                .into_iter()
                .map(|(from, to)| data.slice(from..to))
                .collect(),
            _ => vec![data.clone()],
        }
    }
}

/// Where each object begins and ends. `None` if there is anything else, or too many.
fn objects(data: &[u8]) -> Option<Vec<(usize, usize)>> {
    let mut ranges = Vec::new();
    let mut at = 0;
    loop {
        let rest = data.get(at..)?;
        let Some(start) = rest.iter().position(|byte| !b" \t\r\n".contains(byte)) else {
            return Some(ranges);
        };
        if rest[start] != b'{' || ranges.len() == MOST {
            return None;
        }
        let mut stream = serde_json::Deserializer::from_slice(&rest[start..]).into_iter::<IgnoredAny>();
        stream.next()?.ok()?;
        let end = at + start + stream.byte_offset();
        ranges.push((at + start, end));
        at = end;
    }
}

/// Where each piece that is not empty begins and ends.
fn pieces(data: &[u8], delimiter: &[u8]) -> Option<Vec<(usize, usize)>> {
    let mut ranges = Vec::new();
    let (mut from, mut at) = (0, 0);
    while at <= data.len() {
        let is_end = at == data.len();
        if !is_end && !data[at..].starts_with(delimiter) {
            at += 1;
            continue;
        }
        if at > from {
            if ranges.len() == MOST {
                return None;
            }
            ranges.push((from, at));
        }
        at += if is_end { 1 } else { delimiter.len() };
        from = at;
    }
    Some(ranges)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn split(of: &Deaggregation, data: &str) -> Vec<String> {
        let split = of.split(&Bytes::copy_from_slice(data.as_bytes()));
        split
            .iter()
            .map(|piece| String::from_utf8(piece.to_vec()).unwrap())
            .collect()
    }

    #[test]
    fn objects_are_separated_as_in_the_guide() {
        let json = Deaggregation::Json;
        assert_eq!(split(&json, "{\"a\":1}{\"a\":2}"), ["{\"a\":1}", "{\"a\":2}"]);
        assert_eq!(
            split(&json, " {\"a\":\"}{\"}\n\r\n{\"b\":{}}\n"),
            ["{\"a\":\"}{\"}", "{\"b\":{}}"]
        );
        // Anything else stays whole.
        for whole in [
            "[{\"a\":1}, {\"a\":2}]",
            "{\"a\":1} 2",
            "{\"a\":1}{",
            "{\"a\":1},{\"a\":2}",
            "text",
            "",
            "\n",
        ] {
            assert_eq!(split(&json, whole), [whole]);
        }
        assert_eq!(split(&json, &"{}".repeat(500)).len(), 500);
        assert_eq!(split(&json, &"{}".repeat(501)).len(), 1);
    }

    #[test]
    fn pieces_are_separated_by_the_delimiter() {
        let hashes = Deaggregation::Delimited(b"####".to_vec());
        assert_eq!(split(&hashes, "a####b#c########"), ["a", "b#c"]);
        assert_eq!(split(&hashes, "####"), ["####"]);
        let commas = Deaggregation::Delimited(b",".to_vec());
        assert_eq!(split(&commas, &"x,".repeat(500)).len(), 500);
        assert_eq!(split(&commas, &"x,".repeat(501)).len(), 1);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_but_what_separates(text in r#"[{}":a, \n#]{0,40}"#) {
            let without = |text: &str, characters: &str| text.replace(|c| characters.contains(c), "");
            let json = split(&Deaggregation::Json, &text);
            prop_assert_eq!(without(&json.concat(), " \n"), without(&text, " \n"));
            let pieces = split(&Deaggregation::Delimited(b"#".to_vec()), &text);
            prop_assert_eq!(without(&pieces.concat(), "#"), without(&text, "#"));
        }
    }
}
