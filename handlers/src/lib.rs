//! The bundled Lambda handlers, and the modules that they share.
//!
//! A handler reads one batch of Kinesis records ([`event`], [`aggregate`], [`json`]), decides what to store (in its own
//! module), and stores it through the traits of [`store`]. [`deliver`] retries writes until the invocation runs out of
//! time. Records that could not be processed are returned as batch item failures ([`failures`]), and the event source
//! mapping retries them. [`runtime`] connects a handler to Lambda; [`aws`] implements the traits.
//!
//! Other functions answer requests of HTTP APIs ([`http`]) or notifications of S3 ([`notification`]): [`runtime::Function`].
//!
//! Every write is idempotent: Kinesis and Lambda deliver at least once, and a retried batch may be split differently.

pub mod aggregate;
pub mod attribute;
pub mod aws;
pub mod cart;
pub mod cart_features;
pub mod catalogue;
pub mod clock;
pub mod concert;
pub mod concert_data;
pub mod deliver;
pub mod environment;
pub mod event;
pub mod failures;
pub mod http;
pub mod images;
pub mod invalid;
pub mod json;
pub mod log;
pub mod metrics;
pub mod notification;
pub mod prices;
pub mod realtime;
pub mod recommend;
pub mod retail;
pub mod runtime;
pub mod store;

#[cfg(test)]
mod testing;

/// glibc's allocator took a fifth of a batch's CPU time, and Lambda bills by time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
