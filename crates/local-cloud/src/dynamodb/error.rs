//! Errors of DynamoDB.

use serde_json::{Map, Value, json};

#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    /// Further fields of the response: `Item`, `CancellationReasons`.
    pub extra: Map<String, Value>,
}

pub(super) type Result<T, E = ApiError> = std::result::Result<T, E>;

impl ApiError {
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status: 400,
            code,
            message: message.into(),
            extra: Map::new(),
        }
    }

    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", message)
    }

    /// "One or more parameter values were invalid: …", the usual beginning.
    pub fn invalid(message: impl std::fmt::Display) -> Self {
        Self::validation(format!("One or more parameter values were invalid: {message}"))
    }

    /// The operations on tables name the table that does not exist; those on items do not.
    pub fn no_table(name: &str) -> Self {
        Self::new(
            "ResourceNotFoundException",
            format!("Requested resource not found: Table: {name} not found"),
        )
    }

    pub fn no_resource() -> Self {
        Self::new("ResourceNotFoundException", "Requested resource not found")
    }

    /// One parameter that does not meet a constraint of the API model. `value` is `null`, or text in quotes.
    pub fn constraint(value: impl std::fmt::Display, member: &str, constraint: &str) -> Self {
        Self::validation(format!(
            "1 validation error detected: Value {value} at '{member}' failed to satisfy constraint: {constraint}"
        ))
    }

    /// A parameter that is none of the values of an enumeration.
    pub fn enumeration(given: &str, member: &str, values: &[&str]) -> Self {
        let constraint = format!("Member must satisfy enum value set: [{}]", values.join(", "));
        Self::constraint(format_args!("'{given}'"), member, &constraint)
    }

    pub fn condition_failed(item: Option<Map<String, Value>>) -> Self {
        let mut error = Self::new(
            "ConditionalCheckFailedException",
            "The conditional request failed",
        );
        if let Some(item) = item {
            error.extra.insert("Item".to_owned(), Value::Object(item));
        }
        error
    }

    pub fn internal(message: impl std::fmt::Display) -> Self {
        Self {
            status: 500,
            ..Self::new("InternalServerError", message.to_string())
        }
    }

    /// The body of the response.
    pub fn body(&self) -> Value {
        let space = match self.code {
            "ValidationException" => "com.amazon.coral.validate",
            "SerializationException" | "UnknownOperationException" => "com.amazon.coral.service",
            _ => "com.amazonaws.dynamodb.v20120810",
        };
        let mut body = self.extra.clone();
        body.insert("__type".to_owned(), json!(format!("{space}#{}", self.code)));
        // In TransactionCanceledException the name has a capital letter.
        let field = if body.contains_key("CancellationReasons") {
            "Message"
        } else {
            "message"
        };
        body.insert(field.to_owned(), json!(self.message));
        Value::Object(body)
    }
}

impl<E: std::error::Error> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::internal(error)
    }
}
