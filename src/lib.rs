//! Provision and operate Amazon Kinesis data streams, on AWS or on an embedded local cloud.
//!
//! Knows neither the local cloud nor the code of the bundled handlers: `main` hands both in (see [`cli::Parts`]).
//!
//! The layers, outermost first; each knows only those below it:
//!
//! | layer | modules | owns |
//! |---|---|---|
//! | shell | [`cli`], [`ui`] | arguments, settings, what is printed |
//! | domain | [`pipeline`], [`stream`], [`record`], [`produce`], [`consume`], [`functions`], [`observe`], [`cost`] | what streamctl does |
//! | context | [`context`], [`settings`], [`iam`] | target, clients |

pub mod cli;
pub mod consume;
pub mod context;
pub mod cost;
pub mod functions;
pub mod iam;
pub mod observe;
pub mod pipeline;
pub mod produce;
pub mod record;
pub mod settings;
pub mod stream;
pub mod ui;
