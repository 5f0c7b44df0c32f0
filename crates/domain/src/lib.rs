//! What streamctl does: streams, records, functions, pipelines, metrics and cost, on AWS or on any endpoint that speaks
//! its API.
//!
//! Knows neither arguments nor the terminal: it takes values and emits events, which `streamctl-lib` reads from arguments
//! and renders. Knows neither the local cloud, which it reaches over HTTP only, nor the code of the bundled handlers.
//!
//! | layer | modules | owns |
//! |---|---|---|
//! | domain | [`pipeline`], [`stream`], [`record`], [`generate`], [`schedule`], [`produce`], [`dry_run`], [`consume`], [`copy`], [`functions`], [`observe`], [`policy`], [`cost`] | what streamctl does |
//! | calls | `wire` | PutRecords and GetRecords with bodies of our own |
//! | context | [`context`], [`settings`], [`iam`] | target, clients |
//! | names | [`similar`] | what a user may have meant |

pub mod consume;
pub mod context;
pub mod copy;
pub mod cost;
pub mod dry_run;
pub mod functions;
pub mod generate;
pub mod iam;
pub mod observe;
pub mod pipeline;
pub mod policy;
pub mod produce;
pub mod schedule;
pub mod settings;
pub mod similar;
pub mod stream;
mod wire;

pub use data_plane::record;
