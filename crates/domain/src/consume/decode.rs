//! Decodes the data of records for those who read them: aggregated records are split, compressed data is decompressed, and
//! what CloudWatch Logs sends becomes its log events.
//!
//! What cannot be decoded is passed on as it is, with the reason. The size of what is decoded is bounded.

use std::io::{self, Read};
use std::str::FromStr;

use bytes::Bytes;
use serde::Deserialize;

use super::{Item, LogEvent, TailRecord};
use crate::record::aggregate::{self, Content};
use ground::error::{Error, Result};

/// The most bytes that the data of a record may have when it is decoded. A record has 10 MiB at most.
const MOST_BYTES: usize = 32 << 20;
/// How often data is decompressed.
const MOST_LEVELS: usize = 4;

/// Source: RFC 1952, section 2.3.1.
const GZIP: &[u8] = &[0x1f, 0x8b];
/// Source: RFC 8878, section 3.1.1.
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];
/// How base64 of the two begins. The third byte of gzip is the method, deflate.
const COMPRESSED_BASE64: [&[u8]; 2] = [b"H4sI", b"KLUv/"];

/// One step of decoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Gzip,
    Zstd,
    Base64,
    CloudWatchLogs,
}

impl Step {
    const NAMES: [(&'static str, Self); 4] = [
        ("gzip", Self::Gzip),
        ("zstd", Self::Zstd),
        ("base64", Self::Base64),
        ("cloudwatch-logs", Self::CloudWatchLogs),
    ];

    fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, step)| *step == self);
        found.map_or("", |(name, _)| name)
    }
}

/// How data is decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Decode {
    /// Not at all.
    #[default]
    None,
    /// As it shows itself.
    Auto,
    /// By these steps, each on the result of the one before.
    Steps(Vec<Step>),
}

impl FromStr for Decode {
    type Err = Error;

    /// `auto`, `none`, or steps with commas between them, such as `base64,gzip`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "none" => return Ok(Self::None),
            "auto" => return Ok(Self::Auto),
            _ => {}
        }
        let refused = |at: usize, what: String| {
            Error::usage(format!(
                "{text:?} is not valid for --decode: at character {}, {what}",
                at + 1
            ))
            .hint("use auto, none, or some of base64, gzip, zstd and cloudwatch-logs, as in base64,gzip")
        };
        let mut steps = Vec::new();
        let mut at = 0;
        for name in text.split(',') {
            let Some((_, step)) = Step::NAMES.iter().find(|(known, _)| *known == name) else {
                return Err(refused(at, format!("{name:?} is not an encoding")));
            };
            if steps.last() == Some(&Step::CloudWatchLogs) {
                return Err(refused(at, "nothing can follow cloudwatch-logs".to_owned()));
            }
            steps.push(*step);
            at += name.chars().count() + 1;
        }
        Ok(Self::Steps(steps))
    }
}

/// Data and why it could not be decoded any further.
struct Decoded {
    data: Bytes,
    fault: Option<String>,
    /// Whether it is what CloudWatch Logs sends.
    has_log_events: bool,
}

impl Decode {
    /// Calls `each` with what `record` consists of: itself, the user records of an aggregated record, or log events. Stops
    /// when it returns `false`; then this returns `false`, too.
    ///
    /// # Errors
    /// Those of `each`.
    pub fn items(
        &self,
        record: &TailRecord,
        each: &mut dyn FnMut(&Item<'_>) -> Result<bool>,
    ) -> Result<bool> {
        let item = Item::of(record);
        if *self == Self::None {
            return each(&item);
        }
        let users = match aggregate::decode(&record.data) {
            Content::Plain => return self.user_record(item, each),
            Content::Damaged(damage) => {
                let fault = Some(damage.to_string());
                return each(&Item { fault, ..item });
            }
            Content::Aggregate(users) if users.is_empty() => {
                let fault = Some("an aggregated record without user records".to_owned());
                return each(&Item { fault, ..item });
            }
            Content::Aggregate(users) => users,
        };
        for (index, user) in users.iter().enumerate() {
            let item = Item {
                partition_key: user.partition_key,
                explicit_hash_key: user.explicit_hash_key,
                sub_sequence_number: Some(index),
                data: user.data,
                ..item.clone()
            };
            let goes_on = match item.data.starts_with(&aggregate::MAGIC) {
                // The KPL does not make any.
                true => each(&Item {
                    fault: Some("an aggregated record in an aggregated record".to_owned()),
                    ..item
                })?,
                false => self.user_record(item, each)?,
            };
            if !goes_on {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A record that is not aggregated.
    fn user_record(&self, item: Item<'_>, each: &mut dyn FnMut(&Item<'_>) -> Result<bool>) -> Result<bool> {
        let decoded = match self {
            Self::None => return each(&item),
            Self::Auto => auto(item.data.clone()),
            Self::Steps(steps) => in_steps(item.data.clone(), steps),
        };
        let item = Item {
            data: decoded.data,
            fault: decoded.fault,
            ..item
        };
        if !decoded.has_log_events {
            return each(&item);
        }
        let data = item.data.clone();
        let logs: Logs<'_> = match serde_json::from_slice(&data) {
            Ok(logs) => logs,
            Err(error) => {
                let fault = Some(format!("cloudwatch-logs: {error}"));
                return each(&Item { fault, ..item });
            }
        };
        if logs.log_events.is_empty() {
            return each(&item);
        }
        for event in &logs.log_events {
            let item = Item {
                data: Bytes::copy_from_slice(event.message.as_bytes()),
                log_event: Some(LogEvent {
                    group: &logs.log_group,
                    stream: &logs.log_stream,
                    at_ms: event.timestamp,
                }),
                ..item.clone()
            };
            if !each(&item)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// What a subscription filter sends, after decompression. Source: "Subscription filters with Amazon Kinesis Data Streams",
/// CloudWatch Logs user guide.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Logs<'a> {
    #[serde(rename = "messageType")]
    _message_type: serde::de::IgnoredAny,
    #[serde(borrow)]
    log_group: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    log_stream: std::borrow::Cow<'a, str>,
    #[serde(borrow)]
    log_events: Vec<LoggedEvent<'a>>,
}

#[derive(Debug, Deserialize)]
struct LoggedEvent<'a> {
    /// In milliseconds since the Unix epoch.
    timestamp: i64,
    #[serde(borrow)]
    message: std::borrow::Cow<'a, str>,
}

fn in_steps(mut data: Bytes, steps: &[Step]) -> Decoded {
    let mut has_log_events = false;
    for step in steps {
        let decoded = match step {
            Step::Gzip => gunzipped(&data),
            Step::Zstd => unzstd(&data),
            Step::Base64 => from_base64(&data),
            // It is sent with gzip.
            Step::CloudWatchLogs => {
                has_log_events = true;
                match data.starts_with(GZIP) {
                    true => gunzipped(&data),
                    false => Ok(data.clone()),
                }
            }
        };
        match decoded {
            Ok(decoded) => data = decoded,
            Err(error) => {
                return Decoded {
                    data,
                    fault: Some(format!("{}: {error}", step.name())),
                    has_log_events: false,
                };
            }
        }
    }
    Decoded {
        data,
        fault: None,
        has_log_events,
    }
}

fn auto(mut data: Bytes) -> Decoded {
    let mut fault = None;
    let mut was_gzip = false;
    for _ in 0..MOST_LEVELS {
        let (step, decoded) = if data.starts_with(GZIP) {
            (Step::Gzip, gunzipped(&data))
        } else if data.starts_with(ZSTD) {
            (Step::Zstd, unzstd(&data))
        } else if COMPRESSED_BASE64.iter().any(|start| data.starts_with(start)) {
            (Step::Base64, from_base64(&data))
        } else {
            break;
        };
        match decoded {
            Ok(decoded) => {
                was_gzip = step == Step::Gzip;
                data = decoded;
            }
            // Text may begin so without being base64.
            Err(_) if step == Step::Base64 => break,
            Err(error) => {
                fault = Some(format!("{}: {error}", step.name()));
                break;
            }
        }
    }
    Decoded {
        has_log_events: was_gzip && serde_json::from_slice::<Logs<'_>>(&data).is_ok(),
        data,
        fault,
    }
}

fn gunzipped(data: &[u8]) -> io::Result<Bytes> {
    bounded(flate2::read::MultiGzDecoder::new(data))
}

fn unzstd(data: &[u8]) -> io::Result<Bytes> {
    bounded(zstd::stream::read::Decoder::with_buffer(data)?)
}

fn from_base64(data: &[u8]) -> io::Result<Bytes> {
    let decoded = base64_simd::STANDARD.decode_to_vec(data.trim_ascii());
    decoded
        .map(Bytes::from)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "the data is not base64"))
}

/// All of `input`, which must not be longer than [`MOST_BYTES`].
fn bounded(input: impl Read) -> io::Result<Bytes> {
    let mut data = Vec::new();
    input.take(MOST_BYTES as u64 + 1).read_to_end(&mut data)?;
    match data.len() > MOST_BYTES {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "the data is larger than {} MiB when decompressed",
                MOST_BYTES >> 20
            ),
        )),
        false => Ok(data.into()),
    }
}

#[cfg(test)]
mod tests;
