//! The kinds of resources that a template can declare, one file each.
//!
//! Adding a kind takes one file and one line:
//! 1. Write `resources/<kind>.rs`. It holds a `struct Declared`, which derives `Deserialize` with `deny_unknown_fields`:
//!    its fields are the properties that a manifest can set. Implement `kind::Kind` for `Managed<'_, Declared>`. `topic.rs`
//!    is a short example; `common.rs` and `kind.rs` have what kinds share, `test_support.rs` what their tests share.
//! 2. Add its name to the table `kinds!` below.
//!
//! `cargo fmt` does not follow modules that a macro declares: `.ci/run` formats these files by name.

mod cloudwatch_tags;
mod common;
mod function_permission;
mod glue;
mod iam_entity;
mod kind;
#[cfg(test)]
pub(crate) mod test_support;
mod web_cors;

use super::resource::{Catalog, Location, Resource, Spec};
use crate::context::Context;
use ground::error::{Error, Result};
use kind::Managed;

pub use role::policy_of;

/// Declares the module of each kind, and looks kinds up by name.
macro_rules! kinds {
    ($($kind:ident,)+) => {
        $(mod $kind;)+

        /// The names of the properties that `kind` takes; `None` for an unknown kind.
        pub fn properties(kind: &str) -> Option<&'static [&'static str]> {
            match kind {
                $(stringify!($kind) => Some(kind::property_names::<$kind::Declared>()),)+
                _ => None,
            }
        }

        fn make<'c>(context: &'c Context, location: &'c Location, spec: Spec) -> Result<Box<dyn Resource + 'c>> {
            match spec.kind.as_str() {
                $(stringify!($kind) => Ok(Box::new(Managed::<$kind::Declared>::new(context, location, spec)?)),)+
                other => Err(Error::usage(format!("there is no kind of resource {other:?}"))),
            }
        }
    };
}

kinds! {
    alarm,
    athena_workgroup,
    bucket,
    bucket_notification,
    channel,
    dashboard,
    event_source_mapping,
    firehose,
    function,
    function_url,
    glue_database,
    glue_table,
    http_api,
    log_group,
    managed_policy,
    queue,
    rest_api,
    role,
    site,
    stream,
    subscription,
    table,
    test_record,
    topic,
}

/// Makes resources of all kinds on one target.
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
        make(self.context, &self.location, spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_are_the_fields_of_the_declared_type() {
        assert_eq!(
            properties("subscription"),
            Some(["topic", "protocol", "endpoint"].as_slice())
        );
        assert_eq!(properties("galaxy"), None);
    }
}
