//! Reads records on a separate thread and sends them to the engine in small bundles.

use tokio::sync::mpsc;

use super::Input;
use crate::record::{Record, RecordError, RecordSource};

/// A bundle is sent at this many records or bytes.
const BUNDLE_RECORDS: usize = 500;
const BUNDLE_BYTES: usize = 1024 * 1024;
/// Bundles waiting for the engine. With records of 10 MiB, the maximum of a stream, 22 MiB.
const BUNDLES: usize = 2;

/// The engine's input; it ends when the input does.
pub type Feed = mpsc::Receiver<Input>;

/// Starts reading `reader`. Ends once the feed is dropped, unless the input blocks forever.
///
/// Must be called within a tokio runtime.
pub fn feed(reader: impl RecordSource + Send + 'static) -> Feed {
    feed_from(Box::new(reader))
}

/// Not generic, so that it is compiled with this crate.
fn feed_from(mut reader: Box<dyn RecordSource + Send>) -> Feed {
    let (sender, feed) = mpsc::channel(BUNDLES);
    tokio::task::spawn_blocking(move || {
        let mut bundle = Vec::with_capacity(BUNDLE_RECORDS);
        let mut bytes = 0;
        loop {
            let full = bundle.len() >= BUNDLE_RECORDS || bytes >= BUNDLE_BYTES;
            // Complete records are sent before waiting for a writer that pauses.
            if (full || (!bundle.is_empty() && reader.may_wait())) && !hand_on(&sender, &mut bundle) {
                return;
            } else if bundle.is_empty() {
                bytes = 0;
            }
            match read_onto(&mut bundle, &mut *reader) {
                Ok(Some(size)) => bytes += size,
                Ok(None) => {
                    hand_on(&sender, &mut bundle);
                    return;
                }
                Err(error) => {
                    if hand_on(&sender, &mut bundle) {
                        // Fails only where the receiver was dropped.
                        let _ = sender.blocking_send(Input::Error(error));
                    }
                    return;
                }
            }
        }
    });
    feed
}

/// Reads the next record at the end of `bundle`. Returns its size in bytes; `None` at the end of the input.
fn read_onto(bundle: &mut Vec<Record>, reader: &mut dyn RecordSource) -> Result<Option<usize>, RecordError> {
    let record = bundle.push_mut(Record::default());
    let is_there = reader.read_into(record);
    if let Ok(true) = is_there {
        return Ok(Some(record.size()));
    }
    bundle.pop();
    is_there.map(|_| None)
}

/// Sends the gathered records; `false` when the receiver was dropped.
fn hand_on(sender: &mpsc::Sender<Input>, bundle: &mut Vec<Record>) -> bool {
    bundle.is_empty()
        || sender
            .blocking_send(Input::Records(std::mem::replace(
                bundle,
                Vec::with_capacity(BUNDLE_RECORDS),
            )))
            .is_ok()
}
