//! CloudWatch Logs. (awsim's filters events by part of their text only, ignores case, and saves its state only as a
//! whole.)

mod events;
mod group;
mod pattern;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::answer::{answer, identify, request_id, whole};
use crate::clock::Clock;
use crate::database::Database;
use crate::deliver::LogSink;
use crate::json::{TooManyValues, admit};
use crate::operation::operations;
use crate::service::{Permission, arn};
use crate::service::{Request, Service};
use crate::types::{Body, Caller, Tags};
use daemon::protocol::Damage;
use group::Group;

operations! {
    enum Operation {
        AssociateKmsKey,
        CreateLogGroup,
        CreateLogStream,
        DeleteLogGroup,
        DeleteLogStream,
        DeleteRetentionPolicy,
        DescribeLogGroups,
        DescribeLogStreams,
        DisassociateKmsKey,
        FilterLogEvents,
        GetLogEvents,
        ListTagsForResource,
        ListTagsLogGroup,
        PutLogEvents,
        PutRetentionPolicy,
        TagLogGroup,
        TagResource,
        UntagLogGroup,
        UntagResource,
    }
}

#[derive(Debug)]
struct ApiError {
    code: &'static str,
    message: String,
}

type Result<T, E = ApiError> = std::result::Result<T, E>;

const INTERNAL: &str = "ServiceUnavailableException";

impl<E: std::error::Error> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self {
            code: INTERNAL,
            message: error.to_string(),
        }
    }
}

impl ApiError {
    fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    fn status(&self) -> u16 {
        if self.code == INTERNAL { 500 } else { 400 }
    }
}

fn invalid(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidParameterException", message)
}

fn conflict(message: &str) -> ApiError {
    ApiError::new("ResourceAlreadyExistsException", message)
}

fn missing_group() -> ApiError {
    ApiError::new(
        "ResourceNotFoundException",
        "The specified log group does not exist.",
    )
}

fn missing_stream() -> ApiError {
    ApiError::new(
        "ResourceNotFoundException",
        "The specified log stream does not exist.",
    )
}

fn text<'a>(input: &'a Value, field: &str) -> Result<&'a str> {
    input[field]
        .as_str()
        .ok_or_else(|| invalid(format!("{field} must not be null.")))
}

fn number(input: &Value, field: &str) -> Option<i64> {
    input[field].as_i64()
}

pub(crate) struct Logs {
    database: Database,
    clock: Arc<dyn Clock>,
}

impl Logs {
    /// With its database in `dir`, opened on first use.
    pub fn new(dir: &Path, clock: Arc<dyn Clock>) -> Self {
        Self {
            database: Database::new(&dir.join("logs.db"), group::SCHEMA),
            clock,
        }
    }

    fn answer(&self, caller: &Caller, operation: &str, body: &[u8]) -> Response<Body> {
        respond(self.run(caller, operation, body))
    }

    fn run(&self, caller: &Caller, operation: &str, body: &[u8]) -> Result<Value> {
        let input = if body.is_empty() {
            json!({})
        } else {
            serde_json::from_slice(body)
                .map_err(|error| ApiError::new("SerializationException", error.to_string()))?
        };
        let operation = Operation::parse(operation).ok_or_else(|| {
            ApiError::new(
                "UnknownOperationException",
                format!("The local cloud does not offer the operation {operation} of CloudWatch Logs."),
            )
        })?;
        use Operation as O;
        let now = self.clock.now_ms();
        let (database, input) = (&self.database, &input);
        let with_group = |change: &dyn Fn(&Connection, Group) -> Result<Value>| {
            database.write(|db| change(db, group::named(db, caller, input)?))
        };
        match operation {
            O::PutLogEvents => database.write(|db| events::put(db, caller, input, now)),
            O::GetLogEvents => database.read(|db| events::get(db, caller, input)),
            O::FilterLogEvents => database.read(|db| events::filter(db, caller, input)),
            O::DescribeLogGroups => database.read(|db| group::describe(db, caller, input)),
            O::DescribeLogStreams => {
                database.read(|db| group::describe_streams(db, &group::named(db, caller, input)?, input))
            }
            O::ListTagsForResource | O::ListTagsLogGroup => {
                let group = database.read(|db| group::named(db, caller, input))?;
                Ok(json!({ "tags": group.tags }))
            }
            O::CreateLogGroup => {
                database.write(|db| group::create(db, caller, input, now))?;
                Ok(json!({}))
            }
            O::DeleteLogGroup => with_group(&|db, group| group::delete(db, &group).map(|()| json!({}))),
            O::PutRetentionPolicy => with_group(&|db, group| {
                let days = number(input, "retentionInDays");
                let days = days.ok_or_else(|| invalid("retentionInDays must not be null."))?;
                group::set_retention(db, group, Some(days))
            }),
            O::DeleteRetentionPolicy => with_group(&|db, group| group::set_retention(db, group, None)),
            O::AssociateKmsKey => {
                with_group(&|db, group| group::set_key(db, group, input["kmsKeyId"].as_str()))
            }
            O::DisassociateKmsKey => with_group(&|db, group| group::set_key(db, group, None)),
            O::TagLogGroup | O::TagResource | O::UntagLogGroup | O::UntagResource => {
                with_group(&|db, group| group::change_tags(db, group, input))
            }
            O::CreateLogStream => with_group(&|db, group| {
                group::create_stream(db, group.id, text(input, "logStreamName")?, now)?;
                Ok(json!({}))
            }),
            O::DeleteLogStream => {
                with_group(&|db, group| group::delete_stream(db, &group, text(input, "logStreamName")?))
            }
        }
    }

    /// Appends events (milliseconds since the Unix epoch, text). Creates a group and a stream that do not exist.
    pub fn put(&self, caller: &Caller, group: &str, stream: &str, events: &[(i64, String)]) {
        let now = self.clock.now_ms();
        let appended = self.database.write(|db| {
            let group = match group::find(db, caller, group)? {
                Some(group) => group.id,
                None => group::create(db, caller, &json!({ "logGroupName": group }), now)?,
            };
            let stream = match group::stream_id(db, group, stream)? {
                Some(stream) => stream,
                None => group::create_stream(db, group, stream, now)?,
            };
            events::append(db, group, stream, events, now)
        });
        if let Err(error) = appended {
            tracing::warn!(
                group,
                stream,
                message = error.message,
                "could not store log events"
            );
        }
    }

    /// Deletes events that are older than the retention of their group.
    fn sweep(&self) {
        if !self.database.exists() {
            return;
        }
        let now = self.clock.now_ms();
        let swept = self.database.write(|db| {
            for group in group::all(db)? {
                if let Some(days) = group.retention_days {
                    let oldest = now - i64::from(days) * 86_400_000;
                    db.execute(
                        "DELETE FROM events WHERE group_id = ?1 AND at_ms < ?2",
                        [group.id, oldest],
                    )?;
                }
            }
            Ok::<_, ApiError>(())
        });
        if let Err(error) = swept {
            tracing::warn!(message = error.message, "could not delete old log events");
        }
    }
}

impl Service for Logs {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        async move {
            let operation = request.target().map_or("", |(_, operation)| operation);
            let Ok(_permit) = admit(&request.body).await else {
                return respond(Err(invalid(TooManyValues::MESSAGE)));
            };
            self.answer(&request.caller, operation, &request.body)
        }
        .boxed()
    }

    /// PutLogEvents takes 1 MiB of events (CloudWatch Logs API reference). JSON can escape a character as six bytes.
    fn max_body(&self) -> usize {
        8 << 20
    }

    fn permissions(&self, request: &Request) -> Vec<Permission> {
        Permission::of_operation("logs", request, |_, input| {
            let group = input["logGroupName"].as_str()?;
            let stream = input["logStreamName"].as_str();
            let stream = stream.map(|stream| format!("log-stream:{stream}"));
            let resource = format!("log-group:{group}:{}", stream.unwrap_or_default());
            Some(arn(&request.caller, "logs", &resource))
        })
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        if !self.database.exists() {
            return BTreeMap::new();
        }
        let groups = self
            .database
            .read(|db| group::of_caller(db, caller))
            .unwrap_or_default();
        let tagged = groups.into_iter().filter(|group| !group.tags.is_empty());
        tagged.map(|group| (group.arn(), group.tags)).collect()
    }

    fn tick(&self) {
        self.sweep();
    }

    fn open(&self) {
        self.database.open_existing();
    }

    fn damage(&self) -> Vec<Damage> {
        self.database.damage()
    }

    fn shutdown(&self) {
        self.database.close();
    }
}

fn respond(result: Result<Value>) -> Response<Body> {
    let (status, value) = match result {
        Ok(value) => (200, value),
        Err(error) => (
            error.status(),
            json!({"__type": error.code, "message": error.message}),
        ),
    };
    let mut response = answer(status, "application/x-amz-json-1.1", whole(value.to_string()));
    identify(&mut response, &request_id());
    response
}

impl LogSink for Logs {
    fn append<'a>(
        &'a self,
        caller: &'a Caller,
        group: &'a str,
        stream: &'a str,
        events: Vec<(i64, String)>,
    ) -> BoxFuture<'a, ()> {
        async move { self.put(caller, group, stream, &events) }.boxed()
    }
}
