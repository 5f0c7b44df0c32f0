//! What a request is refused with, in CloudWatch's codes.

use super::wire::Out;

/// Error codes of the operations, and those common to all services.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Code {
    InvalidParameterValue,
    MissingParameter,
    InvalidParameterCombination,
    InvalidNextToken,
    Validation,
    Malformed,
    TooLarge,
    /// The query code of something that does not exist: each operation has its own.
    NotFound(&'static str),
    Dashboard,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    code: Code,
    message: String,
}

impl Fault {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterValue, message)
    }

    pub(super) fn missing(parameter: &str) -> Self {
        Self::new(
            Code::MissingParameter,
            format!("The parameter {parameter} is required."),
        )
    }

    pub(super) fn combination(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidParameterCombination, message)
    }

    pub(super) fn next_token() -> Self {
        Self::new(
            Code::InvalidNextToken,
            "The NextToken is invalid or belongs to another request.",
        )
    }

    pub(super) fn validation(message: impl Into<String>) -> Self {
        Self::new(Code::Validation, message)
    }

    pub(super) fn malformed(message: impl Into<String>) -> Self {
        Self::new(Code::Malformed, message)
    }

    pub(super) fn too_large() -> Self {
        Self::new(Code::TooLarge, "The request is larger than what is allowed.")
    }

    /// `code` is that of the query protocol: `ResourceNotFound` or the like.
    pub(super) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::NotFound(code), message)
    }

    /// A dashboard's body is not one.
    pub(super) fn dashboard(message: impl Into<String>) -> Self {
        Self::new(Code::Dashboard, message)
    }

    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The code of the query protocol, which all clients show.
    pub(super) fn code(&self) -> &'static str {
        match self.code {
            Code::InvalidParameterValue => "InvalidParameterValue",
            Code::MissingParameter => "MissingParameter",
            Code::InvalidParameterCombination => "InvalidParameterCombination",
            Code::InvalidNextToken => "InvalidNextToken",
            Code::Validation => "ValidationError",
            Code::Malformed => "SerializationException",
            Code::TooLarge => "RequestEntityTooLarge",
            Code::NotFound("DashboardNotFoundError") => "ResourceNotFound",
            Code::NotFound(code) => code,
            Code::Dashboard => "InvalidParameterInput",
        }
    }

    /// The name of the error's shape.
    fn shape(&self) -> &'static str {
        match self.code {
            Code::InvalidParameterValue => "InvalidParameterValueException",
            Code::MissingParameter => "MissingRequiredParameterException",
            Code::InvalidParameterCombination => "InvalidParameterCombinationException",
            Code::NotFound(shape) => shape,
            Code::Dashboard => "DashboardInvalidInputError",
            _ => self.code(),
        }
    }

    /// `x-amzn-query-error`: the query code for clients of the newer protocols.
    pub(super) fn query_error(&self) -> &'static str {
        match self.code {
            Code::InvalidParameterValue => "InvalidParameterValue;Sender",
            Code::MissingParameter => "MissingParameter;Sender",
            Code::InvalidParameterCombination => "InvalidParameterCombination;Sender",
            Code::InvalidNextToken => "InvalidNextToken;Sender",
            Code::Validation => "ValidationError;Sender",
            Code::Malformed => "SerializationException;Sender",
            Code::TooLarge => "RequestEntityTooLarge;Sender",
            Code::NotFound("ResourceNotFoundException") => "ResourceNotFoundException;Sender",
            Code::NotFound(_) => "ResourceNotFound;Sender",
            Code::Dashboard => "InvalidParameterInput;Sender",
        }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn status(&self) -> u16 {
        match self.code {
            Code::TooLarge => 413,
            Code::NotFound(_) => 404,
            _ => 400,
        }
    }

    /// The body of the newer protocols.
    pub(super) fn out(&self) -> Out {
        Out::Struct(vec![
            ("__type", Out::Text(self.shape().to_owned())),
            ("message", Out::Text(self.message.clone())),
        ])
    }
}
