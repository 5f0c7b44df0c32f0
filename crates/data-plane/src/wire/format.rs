//! The formats of a body.

/// Format of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Json,
    Cbor,
}

impl Format {
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    /// The format for a `Content-Type`: JSON unless it names CBOR.
    pub fn of(content_type: Option<&str>) -> Self {
        match content_type.is_some_and(|kind| kind.contains("cbor")) {
            true => Self::Cbor,
            false => Self::Json,
        }
    }
}
