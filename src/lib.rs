//! Provision and operate Amazon Kinesis data streams, on AWS or on an embedded local cloud.
//!
//! The layers, outermost first; each knows only those below it:
//!
//! | layer | modules | owns |
//! |---|---|---|
//! | shell | [`cli`], [`ui`] | arguments, settings, what is printed |
//! | domain | [`pipeline`], [`stream`], [`record`], [`produce`], [`consume`], [`functions`], [`observe`], [`cost`] | what streamctl does |
//! | ground | [`context`], [`settings`], [`error`], [`exit`], [`iam`], [`platform`], [`runtime_api`], [`stop`] | target, clients, failures |
//! | local | [`local`] | the embedded cloud, reached by everything above only over HTTP |

pub mod cli;
pub mod consume;
pub mod context;
pub mod cost;
pub mod error;
pub mod exit;
pub mod functions;
pub mod iam;
#[cfg(feature = "local")]
pub mod local;
pub mod observe;
pub mod pipeline;
pub mod platform;
pub mod produce;
pub mod record;
pub mod runtime_api;
pub mod settings;
pub mod stop;
pub mod stream;
pub mod ui;
