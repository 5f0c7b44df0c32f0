//! Errors of records that can never be processed.

use std::fmt;

/// Why a record is invalid, for people and for consumers of the queue.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid {
    pub kind: Kind,
    /// One sentence without a full stop. It contains field names, never the record's data.
    pub message: String,
}

/// Type of the error.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The data is not JSON, or not a JSON object.
    Json,
    /// A required field is missing.
    MissingField,
    /// A field has an invalid value.
    InvalidField,
    /// The record is valid, but the service that should store it rejects it.
    Processing,
}

impl Kind {
    /// The value of `errorType` in messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Json => "JSON_DECODE_ERROR",
            Self::MissingField => "MISSING_FIELD",
            Self::InvalidField => "INVALID_FIELD",
            Self::Processing => "PROCESSING_ERROR",
        }
    }
}

impl Invalid {
    pub fn json(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Json,
            message: message.into(),
        }
    }

    pub fn missing(name: &str) -> Self {
        Self {
            kind: Kind::MissingField,
            message: format!("the field {name} is missing"),
        }
    }

    /// The field `name` has an invalid value. `problem` completes the sentence "the field {name} …".
    pub fn field(name: &str, problem: impl fmt::Display) -> Self {
        Self {
            kind: Kind::InvalidField,
            message: format!("the field {name} {problem}"),
        }
    }

    /// The record is valid, but it cannot be stored.
    pub fn processing(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Processing,
            message: message.into(),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
