//! CloudWatch dashboards of a stream, a function or a pipeline: their [body](body), and their [values](show) for a
//! terminal.
//!
//! A dashboard is created and deleted as the resource of a pipeline, so that its owner is known and the dashboards of others
//! are never changed.

mod body;
mod rows;
mod show;

pub use body::{body, manifest, name};
pub use show::{Read, ShownSeries, ShownWidget, Window, console_url, read};
