//! The engine, driven as by a caller, with a clock that the test controls.

mod arbitrary_input;
mod budgets;
mod capacity;
mod channels;
mod concurrency;
mod consumers;
mod encryption;
mod faults;
mod listing;
mod metrics;
mod model;
mod policies;
mod reading;
mod resharding;
mod restart;
mod scaling;
mod sdk;
mod streams;
mod subscribing;
mod throttling;
mod validation;
mod waiting;
mod wire_formats;
pub(crate) mod world;
mod writing;
