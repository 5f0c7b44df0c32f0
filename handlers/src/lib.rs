//! What the bundled Lambda handlers share, and the handlers themselves.
//!
//! A handler reads one batch of Kinesis records ([`event`], [`aggregate`], [`json`]), decides what is to be stored
//! (its own module), and stores it through the small traits of [`store`], retried by [`deliver`] until the invocation
//! runs out of time. What could not be done is answered as batch item failures ([`failures`]): the event source mapping
//! then retries just that. [`runtime`] joins a handler to Lambda, [`aws`] the traits to AWS.
//!
//! Every write is idempotent: Kinesis and Lambda deliver at least once, and a batch that is retried may be split elsewhere.

pub mod aggregate;
pub mod attribute;
pub mod aws;
pub mod clock;
pub mod concert;
pub mod concert_data;
pub mod deliver;
pub mod environment;
pub mod event;
pub mod failures;
pub mod invalid;
pub mod json;
pub mod log;
pub mod metrics;
pub mod prices;
pub mod realtime;
pub mod retail;
pub mod runtime;
pub mod store;

#[cfg(test)]
mod testing;

/// A fifth of a batch's processor time went to the C library's allocator, and Lambda bills time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
