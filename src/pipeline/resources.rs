//! The kinds of resources, one file each. A new kind: a file with its [`Resource`], a line in [`properties`], a line in
//! [`Kinds::make`].

mod alarm;
mod bucket;
mod cloudwatch_tags;
pub(crate) mod common;
mod dashboard;
mod event_source_mapping;
mod function;
mod log_group;
mod managed_policy;
mod queue;
mod role;
#[cfg(test)]
mod scripted;
mod stream;
mod subscription;
mod table;
mod test_record;
#[cfg(test)]
mod test_support;
mod topic;

use super::resource::{Catalog, Location, Resource, Spec};
use crate::context::Context;
use ground::error::{Error, Result};

pub use role::policy_of;

/// The names of the properties that `kind` takes; `None` for an unknown kind.
pub fn properties(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "alarm" => alarm::PROPERTIES,
        "bucket" => bucket::PROPERTIES,
        "dashboard" => dashboard::PROPERTIES,
        "event_source_mapping" => event_source_mapping::PROPERTIES,
        "function" => function::PROPERTIES,
        "log_group" => log_group::PROPERTIES,
        "managed_policy" => managed_policy::PROPERTIES,
        "queue" => queue::PROPERTIES,
        "role" => role::PROPERTIES,
        "stream" => stream::PROPERTIES,
        "subscription" => subscription::PROPERTIES,
        "table" => table::PROPERTIES,
        "test_record" => test_record::PROPERTIES,
        "topic" => topic::PROPERTIES,
        _ => return None,
    })
}

/// All kinds, on one target.
pub struct Kinds<'a> {
    context: &'a Context,
    location: Location,
}

impl<'a> Kinds<'a> {
    /// The kinds on `context`'s target. Asks for the account.
    ///
    /// # Errors
    /// Exit 4 when the target is out of reach or refuses the credentials.
    pub async fn new(context: &'a Context) -> Result<Self> {
        let location = Location {
            account: context.account().await?.to_owned(),
            region: context.region().to_owned(),
            partition: context.partition().to_owned(),
        };
        Ok(Self { context, location })
    }
}

impl Catalog for Kinds<'_> {
    fn location(&self) -> &Location {
        &self.location
    }

    fn make<'c>(&'c self, spec: Spec) -> Result<Box<dyn Resource + 'c>> {
        Ok(match spec.kind.as_str() {
            "alarm" => Box::new(alarm::Alarm::new(self.context, &self.location, spec)?),
            "bucket" => Box::new(bucket::Bucket::new(self.context, &self.location, spec)?),
            "dashboard" => Box::new(dashboard::Dashboard::new(self.context, &self.location, spec)?),
            "event_source_mapping" => Box::new(event_source_mapping::EventSourceMapping::new(
                self.context,
                &self.location,
                spec,
            )?),
            "function" => Box::new(function::Function::new(self.context, &self.location, spec)?),
            "log_group" => Box::new(log_group::LogGroup::new(self.context, &self.location, spec)?),
            "managed_policy" => Box::new(managed_policy::ManagedPolicy::new(
                self.context,
                &self.location,
                spec,
            )?),
            "queue" => Box::new(queue::Queue::new(self.context, &self.location, spec)?),
            "role" => Box::new(role::Role::new(self.context, &self.location, spec)?),
            "stream" => Box::new(stream::Stream::new(self.context, &self.location, spec)?),
            "subscription" => Box::new(subscription::Subscription::new(
                self.context,
                &self.location,
                spec,
            )?),
            "table" => Box::new(table::Table::new(self.context, &self.location, spec)?),
            "test_record" => Box::new(test_record::TestRecord::new(self.context, &self.location, spec)?),
            "topic" => Box::new(topic::Topic::new(self.context, &self.location, spec)?),
            other => return Err(Error::usage(format!("there is no kind of resource {other:?}"))),
        })
    }
}

/// The ARN of the stream `name` at `place`.
fn stream_arn(location: &Location, name: &str) -> String {
    let Location {
        account,
        region,
        partition,
    } = location;
    format!("arn:{partition}:kinesis:{region}:{account}:stream/{name}")
}
