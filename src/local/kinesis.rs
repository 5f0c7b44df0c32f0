//! The Kinesis engine of the local cloud.
