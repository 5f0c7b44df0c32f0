//! The commands of streamctl: arguments, settings, and what is printed. What they do is in `crates/domain`.
//!
//! Knows neither the local cloud nor the code of the bundled handlers: `main` hands both in (see [`cli::Parts`]).

pub mod cli;
// `crate::ui` stands for what is printed everywhere in this crate.
pub use ui;
