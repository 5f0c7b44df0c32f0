//! Checks of a stream: whether it exists.

use super::Check;
use super::finding::{Finding, Looked};
use super::subject::Subject;

pub(super) const CHECKS: &[Check] = &[Check::new("stream-missing", "the stream exists", |subject| {
    Box::pin(missing(subject))
})];

async fn missing(subject: &Subject<'_>) -> Looked {
    let described = subject.described().await?;
    let absent = described.iter().filter(|(_, state)| state.is_none());
    Ok(absent.map(|(name, _)| not_found(name)).collect())
}

fn not_found(name: &str) -> Finding {
    Finding::fault(
        format!("stream {name}"),
        "does not exist in this account and region",
    )
    .fix(&["list"])
    .fix(&["create", name])
}
