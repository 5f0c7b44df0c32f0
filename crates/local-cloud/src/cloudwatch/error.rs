//! CloudWatch's errors.

use super::dashboards::Problem;
use super::out::Out;

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
    /// Query protocol code for a missing resource. It differs between operations.
    NotFound(&'static str),
    Dashboard,
    /// The local cloud failed.
    Internal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    code: Code,
    message: String,
    /// For the body of a dashboard.
    problems: Vec<Problem>,
}

impl ApiError {
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

    /// `code` is the query protocol code, such as `ResourceNotFound`.
    pub(super) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(Code::NotFound(code), message)
    }

    /// The body of a dashboard is invalid.
    pub(super) fn dashboard(problems: Vec<Problem>) -> Self {
        let first = problems
            .first()
            .map(|problem| format!("{} {}", problem.path, problem.message));
        let message = format!(
            "The dashboard body is invalid: {}",
            first.unwrap_or_default().trim_start()
        );
        Self {
            problems,
            ..Self::new(Code::Dashboard, message)
        }
    }

    pub(super) fn internal(message: impl Into<String>) -> Self {
        Self::new(Code::Internal, message)
    }

    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            problems: Vec::new(),
        }
    }

    /// The query protocol code, which all clients show.
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
            Code::Internal => "InternalServiceFault",
        }
    }

    /// The error's shape name.
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

    /// `x-amzn-query-error`: the query protocol code for clients of the newer protocols.
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
            Code::Internal => "InternalServiceError;Receiver",
        }
    }

    pub(super) fn message(&self) -> &str {
        &self.message
    }

    pub(super) fn status(&self) -> u16 {
        match self.code {
            Code::TooLarge => 413,
            Code::NotFound(_) => 404,
            Code::Internal => 500,
            _ => 400,
        }
    }

    /// The body in the newer protocols.
    pub(super) fn out(&self) -> Out {
        let mut out = vec![
            ("__type", Out::Text(self.shape().to_owned())),
            ("message", Out::Text(self.message.clone())),
        ];
        if !self.problems.is_empty() {
            let problems = self.problems.iter().map(|problem| {
                Out::Struct(vec![
                    ("DataPath", Out::Text(problem.path.clone())),
                    ("Message", Out::Text(problem.message.clone())),
                ])
            });
            out.push(("dashboardValidationMessages", Out::List(problems.collect())));
        }
        Out::Struct(out)
    }
}
