//! Notifications of S3.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html>

use percent_encoding::percent_decode_str;
use serde::Deserialize;

use crate::runtime::Diagnostic;

#[derive(Debug, Deserialize)]
pub struct Notification {
    #[serde(rename = "Records")]
    records: Vec<Record>,
}

#[derive(Debug, Deserialize)]
struct Record {
    s3: Created,
}

#[derive(Debug, Deserialize)]
struct Created {
    bucket: Named,
    object: Keyed,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

#[derive(Debug, Deserialize)]
struct Keyed {
    /// Encoded as in a form: a space is a plus sign.
    key: String,
}

impl Notification {
    /// # Errors
    /// The payload is not a notification of S3.
    pub fn parse(payload: &[u8]) -> Result<Self, Diagnostic> {
        serde_json::from_slice(payload).map_err(|error| Diagnostic {
            error_type: "InvalidEvent".to_owned(),
            error_message: format!("the payload is not a notification of S3: {error}"),
        })
    }

    /// Bucket and key of each object, in order.
    pub fn objects(self) -> impl Iterator<Item = (String, String)> {
        let records = self.records.into_iter();
        records.map(|record| (record.s3.bucket.name, decoded(&record.s3.object.key)))
    }
}

fn decoded(key: &str) -> String {
    let spaced = key.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_decoded() {
        let payload = br#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},"object":{"key":"a+b%2Bc/%C3%A9.jpg"}}}]}"#;
        let objects: Vec<_> = Notification::parse(payload).unwrap().objects().collect();
        assert_eq!(objects, [("b".to_owned(), "a b+c/\u{e9}.jpg".to_owned())]);
        let error = Notification::parse(b"{}").unwrap_err();
        assert_eq!(error.error_type, "InvalidEvent");
        assert_eq!(
            error.error_message,
            "the payload is not a notification of S3: missing field `Records` at line 1 column 2"
        );
    }
}
