//! End-to-end tests of the binary. Each test has its own local cloud, with a free port and a temporary home directory.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[cfg(unix)]
mod access;
mod alarms;
mod at_once;
mod bad_input;
mod bundle;
mod channels;
mod cloudwatch;
mod config;
mod contents;
mod copy;
mod cost;
mod credentials;
mod demo;
mod destroy;
mod doctor;
mod doctor_access;
mod dropped;
mod durability;
mod failures;
mod fake;
mod faults;
mod first_session;
mod functions;
mod generate;
mod harvest;
mod help;
mod kill_points;
mod kinesis;
mod least_privilege;
mod levers;
mod list_describe;
mod local;
mod metrics;
mod next_steps;
mod nothing_lost;
mod output;
mod pipelines;
mod plan;
mod policies;
mod provision;
mod proxy;
mod put;
mod reshard;
mod running;
mod setup;
mod shell;
mod streams;
mod support;
mod tail;
mod templates;
mod top;
mod verify;
mod web;
