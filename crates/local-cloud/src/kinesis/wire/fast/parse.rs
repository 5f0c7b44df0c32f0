//! Parses PutRecords and PutRecord. Text is borrowed from the body; data is decoded into one buffer.
//!
//! The messages are AWS's. Source: the conformance tests of kinesalite, which were run against AWS.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Malformed, PutEntry, PutRecord, PutRecords};

/// The longest value that a message repeats, in characters.
const ECHO: usize = 256;

const STRING: &str = "java.lang.String";
const BOOLEAN: &str = "java.lang.Boolean";
const NUMBER: &str = "java.math.BigDecimal";

/// # Errors
/// [`Malformed`] if the body is not JSON, a member has a wrong type, or data is not base64.
pub fn put_records(body: &[u8]) -> Result<PutRecords<'_>, Malformed> {
    let mut sink = Sink::for_body(body);
    let mut request: PutRecords<'_> = read(body, &mut sink)?;
    request.blob = Cow::Owned(sink.blob);
    Ok(request)
}

pub fn put_record(body: &[u8]) -> Result<PutRecord<'_>, Malformed> {
    let mut sink = Sink::for_body(body);
    let mut request: SingleRecord<'_> = read(body, &mut sink)?;
    request.record.data = request.data.map(|range| {
        sink.blob.truncate(range.end);
        sink.blob.drain(..range.start);
        sink.blob
    });
    Ok(request.record)
}

fn read<'de, T: Structure<'de>>(body: &'de [u8], sink: &mut Sink) -> Result<T, Malformed> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    let read = Take::<T>::new(sink).deserialize(&mut deserializer);
    match read.and_then(|value| deserializer.end().map(|()| value)) {
        Ok(value) => Ok(value),
        Err(_) => Err(Malformed {
            message: sink.error.take().unwrap_or_default(),
        }),
    }
}

/// State of a parse.
struct Sink {
    /// The decoded data of all records, one after another.
    blob: Vec<u8>,
    error: Option<String>,
}

impl Sink {
    fn for_body(body: &[u8]) -> Self {
        Self {
            blob: Vec::with_capacity(body.len() / 4 * 3),
            error: None,
        }
    }

    fn refuse<E: Error>(&mut self, message: impl Into<String>) -> E {
        self.error = Some(message.into());
        E::custom("refused")
    }
}

/// A type of the API. Methods that are not overridden reject the value's type.
trait Kind<'de> {
    /// Output type. A null gives its default.
    type Out: Default;

    /// AWS's message for a value of the Java type `class`.
    fn wrong(class: &str) -> String;

    fn text<E: Error>(sink: &mut Sink, _text: Cow<'de, str>) -> Result<Self::Out, E> {
        Err(sink.refuse(Self::wrong(STRING)))
    }

    fn boolean<E: Error>(sink: &mut Sink, _value: bool) -> Result<Self::Out, E> {
        Err(sink.refuse(Self::wrong(BOOLEAN)))
    }

    fn list<A: SeqAccess<'de>>(sink: &mut Sink, _list: A) -> Result<Self::Out, A::Error> {
        Err(sink.refuse("Start of list found where not expected"))
    }

    fn map<A: MapAccess<'de>>(sink: &mut Sink, _map: A) -> Result<Self::Out, A::Error> {
        Err(sink.refuse("Start of structure or map found where not expected."))
    }
}

struct Text;

impl<'de> Kind<'de> for Text {
    type Out = Option<Cow<'de, str>>;

    fn wrong(class: &str) -> String {
        format!("class {class} can not be converted to an String")
    }

    fn text<E: Error>(_: &mut Sink, text: Cow<'de, str>) -> Result<Self::Out, E> {
        Ok(Some(text))
    }
}

struct Flag;

impl<'de> Kind<'de> for Flag {
    type Out = Option<bool>;

    fn wrong(class: &str) -> String {
        format!("class {class} can not be converted to an Boolean")
    }

    fn boolean<E: Error>(_: &mut Sink, value: bool) -> Result<Self::Out, E> {
        Ok(Some(value))
    }

    fn text<E: Error>(sink: &mut Sink, text: Cow<'de, str>) -> Result<Self::Out, E> {
        let text = echo(&text).to_uppercase();
        Err(sink.refuse(format!("'{text}' can not be converted to an Boolean")))
    }
}

/// Base64, decoded into the sink.
struct Blob;

impl<'de> Kind<'de> for Blob {
    type Out = Option<Range<usize>>;

    fn wrong(class: &str) -> String {
        format!("class {class} can not be converted to a Blob")
    }

    fn text<E: Error>(sink: &mut Sink, text: Cow<'de, str>) -> Result<Self::Out, E> {
        let start = sink.blob.len();
        match base64_simd::STANDARD.decode_append(text.as_bytes(), &mut sink.blob) {
            Ok(()) => Ok(Some(start..sink.blob.len())),
            Err(_) => Err(sink.refuse(base64_fault(&text))),
        }
    }
}

fn base64_fault(text: &str) -> String {
    let why = if !text.len().is_multiple_of(4) {
        let length = text.chars().count();
        format!("Base64 encoded length is expected a multiple of 4 bytes but found: {length}")
    } else if let Some(character) = strange(text) {
        format!("Invalid Base64 character: '{character}'")
    } else {
        "Invalid last non-pad Base64 character dectected".to_owned()
    };
    format!("'{}' can not be converted to a Blob: {why}", echo(text))
}

/// The first invalid character, or the first padding before the end.
fn strange(text: &str) -> Option<char> {
    let padding = text.len() - text.trim_end_matches('=').len();
    let content = text.len() - padding.min(2);
    let belongs = |character: char| character.is_ascii_alphanumeric() || matches!(character, '+' | '/');
    text[..content].chars().find(|character| !belongs(*character))
}

fn echo(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(ECHO) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

struct Entries;

impl<'de> Kind<'de> for Entries {
    type Out = Option<Vec<PutEntry<'de>>>;

    fn wrong(_: &str) -> String {
        "Expected list or null".to_owned()
    }

    fn list<A: SeqAccess<'de>>(sink: &mut Sink, mut list: A) -> Result<Self::Out, A::Error> {
        let mut entries = Vec::new();
        while let Some(entry) = list.next_element_seed(Take::<PutEntry<'de>>::new(sink))? {
            entries.push(entry);
        }
        Ok(Some(entries))
    }
}

/// A structure. If a member occurs twice, the last value counts.
trait Structure<'de>: Default {
    fn member<A: MapAccess<'de>>(&mut self, name: &str, sink: &mut Sink, map: &mut A)
    -> Result<(), A::Error>;
}

impl<'de, T: Structure<'de>> Kind<'de> for T {
    type Out = T;

    fn wrong(_: &str) -> String {
        "Expected null".to_owned()
    }

    fn map<A: MapAccess<'de>>(sink: &mut Sink, mut map: A) -> Result<T, A::Error> {
        let mut structure = T::default();
        while let Some(name) = map.next_key_seed(Name)? {
            structure.member(&name, sink, &mut map)?;
        }
        Ok(structure)
    }
}

fn value<'de, K: Kind<'de>, A: MapAccess<'de>>(sink: &mut Sink, map: &mut A) -> Result<K::Out, A::Error> {
    map.next_value_seed(Take::<K>::new(sink))
}

impl<'de> Structure<'de> for PutRecords<'de> {
    fn member<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        sink: &mut Sink,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "StreamName" => self.stream_name = value::<Text, _>(sink, map)?,
            "StreamARN" => self.stream_arn = value::<Text, _>(sink, map)?,
            "DryRun" => self.dry_run = value::<Flag, _>(sink, map)?,
            "Records" => self.records = value::<Entries, _>(sink, map)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

impl<'de> Structure<'de> for PutEntry<'de> {
    fn member<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        sink: &mut Sink,
        map: &mut A,
    ) -> Result<(), A::Error> {
        match name {
            "Data" => self.data = value::<Blob, _>(sink, map)?,
            "PartitionKey" => self.partition_key = value::<Text, _>(sink, map)?,
            "ExplicitHashKey" => self.explicit_hash_key = value::<Text, _>(sink, map)?,
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

#[derive(Default)]
struct SingleRecord<'de> {
    record: PutRecord<'de>,
    data: Option<Range<usize>>,
}

impl<'de> Structure<'de> for SingleRecord<'de> {
    fn member<A: MapAccess<'de>>(
        &mut self,
        name: &str,
        sink: &mut Sink,
        map: &mut A,
    ) -> Result<(), A::Error> {
        let record = &mut self.record;
        match name {
            "StreamName" => record.stream_name = value::<Text, _>(sink, map)?,
            "StreamARN" => record.stream_arn = value::<Text, _>(sink, map)?,
            "DryRun" => record.dry_run = value::<Flag, _>(sink, map)?,
            "Data" => self.data = value::<Blob, _>(sink, map)?,
            "PartitionKey" => record.partition_key = value::<Text, _>(sink, map)?,
            "ExplicitHashKey" => record.explicit_hash_key = value::<Text, _>(sink, map)?,
            "SequenceNumberForOrdering" => {
                record.sequence_number_for_ordering = value::<Text, _>(sink, map)?;
            }
            _ => drop(map.next_value::<IgnoredAny>()?),
        }
        Ok(())
    }
}

/// Reads a value of the type `K`.
struct Take<'s, K> {
    sink: &'s mut Sink,
    kind: PhantomData<K>,
}

impl<'s, K> Take<'s, K> {
    fn new(sink: &'s mut Sink) -> Self {
        Self {
            sink,
            kind: PhantomData,
        }
    }
}

impl<'de, K: Kind<'de>> DeserializeSeed<'de> for Take<'_, K> {
    type Value = K::Out;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<K::Out, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, K: Kind<'de>> Visitor<'de> for Take<'_, K> {
    type Value = K::Out;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member of a Kinesis request")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<K::Out, E> {
        K::text(self.sink, Cow::Borrowed(text))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<K::Out, E> {
        K::text(self.sink, Cow::Owned(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<K::Out, E> {
        K::boolean(self.sink, value)
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<K::Out, E> {
        Err(self.sink.refuse(K::wrong(NUMBER)))
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<K::Out, E> {
        Err(self.sink.refuse(K::wrong(NUMBER)))
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<K::Out, E> {
        Err(self.sink.refuse(K::wrong(NUMBER)))
    }

    fn visit_unit<E: Error>(self) -> Result<K::Out, E> {
        Ok(K::Out::default())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<K::Out, A::Error> {
        K::list(self.sink, list)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<K::Out, A::Error> {
        K::map(self.sink, map)
    }
}

/// Reads the name of a member.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the name of a member")
    }

    fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}
