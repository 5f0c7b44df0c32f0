//! The Lambda handlers of `handlers/`, each a zip with the one file `bootstrap`. `build.rs` builds and packs them.
//!
//! Only the binary depends on this crate, so that `cargo check --lib` and unit tests do not build the handlers.

/// Name and zip of each handler. Empty where the handlers cannot be built: on platforms other than Unix.
pub const HANDLERS: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/bundle.rs"));
