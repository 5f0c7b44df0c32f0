//! Checks of who calls and what is allowed: credentials, clock, endpoint, region, permissions, and keys of encryption.
//!
//! Makes calls that read, and calls with `DryRun`. Knows nothing of posture and metrics.

mod connection;
mod functions;
mod keys;
mod probes;
mod simulate;

use tokio::sync::OnceCell;

use super::Check;
use connection::Answer;
pub(super) use connection::obstacle;
use keys::Keys;

pub(super) const CHECKS: &[Check] = &[
    Check::new("credentials", "credentials are valid", |subject| {
        Box::pin(connection::credentials(subject))
    })
    .of_connection(),
    Check::new("clock", "the clock is right", |subject| {
        Box::pin(connection::clock(subject))
    })
    .of_connection(),
    Check::new("endpoint", "Kinesis answers", |subject| {
        Box::pin(connection::endpoint(subject))
    })
    .of_connection(),
    Check::new("region", "the region exists", |subject| {
        Box::pin(connection::region(subject))
    })
    .of_connection(),
    Check::new("permissions", "you may read and write", |subject| {
        Box::pin(probes::permissions(subject))
    }),
    Check::new(
        "function-permissions",
        "roles of functions allow what mappings need",
        |subject| Box::pin(functions::permissions(subject)),
    ),
    Check::new("stream-key", "keys of encrypted streams work", |subject| {
        Box::pin(keys::usable(subject))
    }),
    Check::new("key-permissions", "functions may decrypt", |subject| {
        Box::pin(keys::permissions(subject))
    }),
];

/// What several of these checks ask for, read once.
#[derive(Default)]
pub(super) struct Facts {
    answer: OnceCell<Answer>,
    keys: OnceCell<Keys>,
}
