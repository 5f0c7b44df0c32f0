//! The stream or consumer that the ARN of a request identifies.

use std::sync::Arc;

use crate::kinesis::catalog::parse_arn;
use crate::kinesis::engine::{Context, Engine};
use crate::kinesis::error::{ApiError, Result};
use crate::kinesis::stream::Stream;

/// The resource within a stream that an ARN identifies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Resource {
    Stream,
    /// The consumer with this name.
    Consumer(String),
}

/// The stream and the resource that `arn` identifies.
///
/// # Errors
/// `ResourceNotFoundException`.
pub fn find_resource(engine: &Engine, context: &Context, arn: &str) -> Result<(Arc<Stream>, Resource)> {
    let parsed = parse_arn(&context.caller, arn)?;
    let stream = engine
        .catalog
        .by_name(&context.caller, parsed.stream, context.now_ms)?;
    match parsed.consumer {
        None => Ok((stream, Resource::Stream)),
        Some((name, created)) => {
            let view = stream.view(context.now_ms);
            let found = view
                .meta
                .consumer(name)
                .filter(|c| (c.created_ms / 1000).to_string() == created);
            found.ok_or_else(|| no_consumer(name, &context.caller.account))?;
            Ok((stream, Resource::Consumer(name.to_owned())))
        }
    }
}

/// `ResourceNotFoundException` for the consumer `name`.
pub fn no_consumer(name: &str, account: &str) -> ApiError {
    ApiError::not_found(format!("Consumer {name}, account {account} not found."))
}
