//! The Lambda handlers of `handlers/`, each a zip with the one file `bootstrap`. `build.rs` builds and packs them.
//!
//! Knows nothing of what the handlers do. Only the binary depends on this crate, so that neither `cargo check --lib` nor
//! unit tests wait for the build of the handlers.

/// Name and zip of each handler. Empty where the handlers cannot be built: on platforms other than Unix.
pub const HANDLERS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/bundle.rs"));
