//! Says what a command waits for: on a terminal after a second, else once for each call after ten.

use std::sync::Weak;
use std::time::Duration;

use crate::ui::{Printer, full_screen};
use domain::context::{Call, Calls};
use ground::duration;

/// Calls that take less are not worth a word.
const SHOWN_AFTER: Duration = Duration::from_secs(1);
/// The same, where nothing can be taken back.
const PRINTED_AFTER: Duration = Duration::from_secs(10);
const EVERY: Duration = Duration::from_millis(250);

/// Shows on `printer` which of `calls` has run longest, until the printer has gone.
pub(super) fn show(calls: Calls, printer: Weak<Printer>) {
    tokio::spawn(async move {
        let mut printed = None;
        loop {
            tokio::time::sleep(EVERY).await;
            let Some(printer) = printer.upgrade() else { return };
            let call = calls.longest();
            let waits = call.filter(|call| call.started.elapsed() >= SHOWN_AFTER);
            let words = waits.as_ref().map(in_words);
            let words = words.as_ref();
            printer.waiting(words.map(|[what, more]| [what.as_str(), more.as_str()]));
            let told = waits.filter(|call| {
                let is_hidden = printer.progress().is_hidden() && !full_screen::is_shown();
                is_hidden && call.started.elapsed() >= PRINTED_AFTER && printed != Some(call.id)
            });
            if let Some(call) = told {
                printed = Some(call.id);
                printer.note(in_words(&call).join(" ").trim_end());
            }
        }
    });
}

/// Such as "Waiting for Kinesis ListStreams for 12s" and "at http://127.0.0.1:4566 (attempt 2, after no answer in time)".
fn in_words(call: &Call) -> [String; 2] {
    let Call {
        service, operation, ..
    } = call;
    let waited = duration::format(Duration::from_secs(call.started.elapsed().as_secs()));
    let retry = call
        .retried_for
        .as_ref()
        .map(|reason| format!("(attempt {}, after {reason})", call.attempt));
    // Short enough for 80 columns.
    let endpoint = call.endpoint.as_deref();
    let endpoint = endpoint.map(|url| format!("at {}", url.strip_prefix("https://").unwrap_or(url)));
    let what = match &endpoint {
        Some(_) => format!("Waiting for {service} {operation} for {waited}"),
        None => format!("Waiting for credentials for {service} {operation} for {waited}"),
    };
    let more: Vec<String> = [endpoint, retry].into_iter().flatten().collect();
    [what, more.join(" ")]
}
