//! The embedded local cloud: AWS's services in one process, on this machine.
//!
//! Knows nothing of commands, and is reached over HTTP only. [`run()`] opens the [`cloud`], serves it behind its
//! [`front`] door and closes it, with its files in the home that the crate `daemon` owns.
//!
//! | layer | modules |
//! |---|---|
//! | process | [`mod@run`], [`front`], [`authorise`], [`web`] (endpoints that need no signature: function URLs, HTTP APIs, distributions) |
//! | composition | [`cloud`], [`services`] (the table) |
//! | services | [`kinesis`], [`lambda`], [`mappings`], [`dynamodb`], [`sqs`], [`logs`], [`s3`], [`cloudwatch`], [`apigateway`], [`cloudfront`], [`firehose`], [`glue`], [`athena`], [`awsim`] |
//! | contracts | [`mod@service`], [`operation`], [`deliver`], [`invoke`], [`metrics`], [`clock`] |
//! | helpers | [`types`], [`answer`], [`error`], [`database`], [`entries`], [`state_file`] |

mod actions;
mod answer;
mod apigateway;
mod athena;
mod authorise;
mod awsim;
mod clock;
mod cloud;
mod cloudfront;
mod cloudwatch;
mod database;
mod deliver;
mod dynamodb;
mod entries;
mod error;
mod firehose;
mod front;
mod glue;
mod invoke;
mod json;
mod json_api;
mod kinesis;
mod lambda;
mod logs;
mod mappings;
mod metrics;
mod operation;
mod query;
mod run;
mod s3;
mod service;
mod services;
mod sqs;
mod state_file;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;
mod types;
mod web;

use types::{Body, Caller, KeyState, partition};

pub use run::run;

/// What the benchmarks measure and tests from outside attack.
#[doc(hidden)]
pub mod bench;
