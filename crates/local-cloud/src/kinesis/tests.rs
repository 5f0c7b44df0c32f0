//! The engine driven as a caller drives it, on a clock that stands still until told.

mod capacity;
mod concurrency;
mod consumers;
mod encryption;
mod listing;
mod metrics;
mod policies;
mod reading;
mod resharding;
mod restart;
mod rubbish;
mod sdk;
mod streams;
mod subscribing;
mod throttling;
mod validation;
mod wire_formats;
mod world;
mod writing;
