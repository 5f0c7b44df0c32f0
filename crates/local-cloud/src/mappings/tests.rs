//! The mappings with scripted functions, and with time that advances when nothing else happens.

mod batching;
mod control;
mod failures;
mod property;
mod resharding;
mod restart;
mod throughput;
mod windows;
mod world;
