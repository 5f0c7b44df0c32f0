//! `concert-data-processor`: a minimal consumer. It logs records and stores nothing.

use std::process::ExitCode;

use crate::aws::Clients;
use crate::environment::{Environment, InvalidVariable};
use crate::event::{Entry, Event};
use crate::failures::Failures;
use crate::invalid::Invalid;
use crate::json::Json;
use crate::log::Level;
use crate::runtime::{self, Done, Handler, Invocation};

/// Runs the function until Lambda ends it.
pub fn main() -> ExitCode {
    runtime::run(ConcertData::from_environment)
}

#[derive(Debug)]
pub struct ConcertData;

impl ConcertData {
    /// Reads no variables.
    ///
    /// # Errors
    /// Never fails.
    fn from_environment(_environment: &Environment, _clients: &Clients) -> Result<Self, InvalidVariable> {
        Ok(Self)
    }
}

impl Handler for ConcertData {
    async fn handle(&self, event: &Event<'_>, invocation: &Invocation) -> Done {
        let mut failures = Failures::none_of(event);
        let entries = event.entries();
        let mut rejected = Vec::new();
        for entry in &entries {
            match line(entry) {
                Ok(line) => invocation
                    .log
                    .write(Level::Info, &line, || serde_json::Value::Null),
                Err(invalid) => rejected.push((entry, invalid)),
            }
        }
        invocation.log.rejected(&rejected);
        rejected.iter().for_each(|(entry, _)| failures.add(entry.index));
        Done {
            failures,
            total: entries.len(),
            failed: rejected.len(),
        }
    }
}

fn line(entry: &Entry<'_>) -> Result<String, Invalid> {
    let object = entry.object()?;
    let data_type = match object.get("data_type") {
        None => return Err(Invalid::missing("data_type")),
        Some(Json::Text(data_type)) => data_type,
        Some(_) => return Err(Invalid::field("data_type", "is not a string")),
    };
    let name = match object.get("payload") {
        Some(Json::Object(payload)) => payload.text("name"),
        _ => None,
    };
    Ok(format!("Processing {data_type}: {}", name.unwrap_or("N/A")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{self, Lines};

    #[tokio::test]
    async fn each_record_is_a_line() {
        let lines = Lines::shared();
        let payload = testing::event(&[
            testing::record(1, "a", r#"{"data_type":"artists","payload":{"name":"Muse"}}"#),
            testing::record(2, "a", r#"{"data_type":"venues","payload":{}}"#),
            testing::record(3, "a", "not JSON"),
        ]);
        let failed = testing::run_logged(&ConcertData, &payload, lines.clone()).await;
        assert_eq!(failed, ["3"]);
        let messages: Vec<_> = lines.json().iter().map(|line| line["message"].clone()).collect();
        assert_eq!(
            messages,
            [
                "Processing artists: Muse",
                "Processing venues: N/A",
                "record refused",
                "batch done"
            ]
        );
    }
}
