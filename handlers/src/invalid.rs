//! Why a record can never be processed.

use std::fmt;

/// What is wrong with a record, for people and for a queue's consumer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Invalid {
    /// The class of the fault.
    pub kind: Kind,
    /// One sentence without a full stop. It names fields, never the record's data.
    pub message: String,
}

/// The class of a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The data is not JSON, or not a JSON object.
    Json,
    /// A required field is absent.
    MissingField,
    /// A field holds what it may not hold.
    InvalidField,
    /// The record is well formed, but the service that should store it refuses it.
    Processing,
}

impl Kind {
    /// The name that consumers of the queue of failed events read.
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
    /// The data is not JSON, or not of the expected shape.
    pub fn json(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Json,
            message: message.into(),
        }
    }

    /// The required field `name` is absent.
    pub fn missing(name: &str) -> Self {
        Self {
            kind: Kind::MissingField,
            message: format!("the field {name} is missing"),
        }
    }

    /// The field `name` holds what it may not hold: `fault` continues "the field {name} …".
    pub fn field(name: &str, fault: impl fmt::Display) -> Self {
        Self {
            kind: Kind::InvalidField,
            message: format!("the field {name} {fault}"),
        }
    }

    /// The record is well formed, and yet it cannot be stored.
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
