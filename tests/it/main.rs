//! The real binary, end to end. Each test has a local cloud of its own: a free port, a temporary home.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod bad_input;
mod bundle;
mod cloudwatch;
mod contents;
mod demo;
mod destroy;
mod durability;
mod failures;
mod first_session;
mod functions;
mod help;
mod kinesis;
mod least_privilege;
mod list_describe;
mod local;
mod metrics;
mod nothing_lost;
mod pipelines;
mod plan;
mod provision;
mod put;
mod running;
mod setup;
mod support;
mod tail;
mod templates;
mod verify;
