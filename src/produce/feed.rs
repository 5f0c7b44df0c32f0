//! Reads records on a thread of its own and hands them to the engine in small bundles.

use std::io::Read;

use tokio::sync::mpsc;

use super::Input;
use crate::record::{Record, RecordReader};

/// A bundle is handed on at this many records or bytes.
const BUNDLE_RECORDS: usize = 500;
const BUNDLE_BYTES: usize = 1024 * 1024;
/// Bundles waiting for the engine. With records of 10 MiB, the most a stream can be set to, 22 MiB.
const BUNDLES: usize = 2;

/// What the engine reads from; it ends when the input does.
pub type Feed = mpsc::Receiver<Input>;

/// Starts to read `reader`. Stops by itself once the feed is dropped, unless the input makes it wait for ever.
///
/// Must be called within a tokio runtime.
pub fn feed<R: Read + Send + 'static>(mut reader: RecordReader<R>) -> Feed {
    let (sender, feed) = mpsc::channel(BUNDLES);
    tokio::task::spawn_blocking(move || {
        let mut bundle = Vec::new();
        let mut bytes = 0;
        loop {
            let full = bundle.len() >= BUNDLE_RECORDS || bytes >= BUNDLE_BYTES;
            // Nothing that is complete waits for a writer that pauses.
            if (full || (!bundle.is_empty() && reader.may_wait())) && !hand_on(&sender, &mut bundle) {
                return;
            } else if bundle.is_empty() {
                bytes = 0;
            }
            match reader.read() {
                Ok(Some(record)) => {
                    bytes += record.size();
                    bundle.push(record);
                }
                Ok(None) => {
                    hand_on(&sender, &mut bundle);
                    return;
                }
                Err(fault) => {
                    if hand_on(&sender, &mut bundle) {
                        // Only fails where nobody listens any more.
                        let _ = sender.blocking_send(Input::Fault(fault));
                    }
                    return;
                }
            }
        }
    });
    feed
}

/// Hands on what was gathered; `false` when nobody takes it.
fn hand_on(sender: &mpsc::Sender<Input>, bundle: &mut Vec<Record>) -> bool {
    bundle.is_empty()
        || sender
            .blocking_send(Input::Records(std::mem::take(bundle)))
            .is_ok()
}
