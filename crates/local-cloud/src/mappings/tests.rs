//! The mappings, with functions that do as each test tells them and time that passes when nothing else happens.

mod batching;
mod control;
mod failures;
mod property;
mod resharding;
mod restart;
mod throughput;
mod windows;
mod world;
