//! Sends log events to the log service in batches. Holds a bounded amount of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;

use crate::Caller;
use crate::deliver::LogSink;
use crate::lambda::RoleLookup;

/// How long events are collected for a batch.
const COLLECT_TIME: Duration = Duration::from_millis(20);
/// KiB of events that are not sent yet.
const ROOM_KIB: u32 = 16 * 1024;
/// Bytes that an event counts beyond its text.
const EVENT_OVERHEAD: usize = 64;

/// Events of one log stream, oldest first.
pub(super) struct Batch {
    pub caller: Caller,
    pub group: String,
    pub stream: String,
    pub events: Vec<(i64, String)>,
}

enum Message {
    Batch(Batch, OwnedSemaphorePermit),
    Flush(SyncSender<()>),
}

pub(super) struct Shipper {
    messages: mpsc::UnboundedSender<Message>,
    room: Arc<Semaphore>,
    roles: Option<Arc<dyn RoleLookup>>,
}

impl Shipper {
    /// Must be called inside a tokio runtime.
    pub fn start(sink: Arc<dyn LogSink>, roles: Option<Arc<dyn RoleLookup>>) -> Arc<Self> {
        let (messages, receiver) = mpsc::unbounded_channel();
        tokio::spawn(ship(sink, receiver));
        Arc::new(Self {
            messages,
            room: Arc::new(Semaphore::new(ROOM_KIB as usize)),
            roles,
        })
    }

    /// Whether `role` allows `action` on a log stream.
    pub fn may(&self, role: &str, action: &str, resource: &str) -> bool {
        let roles = self.roles.as_ref();
        roles.is_none_or(|roles| roles.allows(role, action, resource))
    }

    /// Queues a batch, once there is room for it.
    pub async fn send(&self, batch: Batch) {
        let bytes: usize = batch
            .events
            .iter()
            .map(|(_, text)| text.len() + EVENT_OVERHEAD)
            .sum();
        let kib = u32::try_from(bytes.div_ceil(1024))
            .unwrap_or(ROOM_KIB)
            .min(ROOM_KIB);
        if let Ok(room) = Arc::clone(&self.room).acquire_many_owned(kib).await {
            // The receiver ends only with the tokio runtime.
            let _ = self.messages.send(Message::Batch(batch, room));
        }
    }

    /// Blocks until everything queued is sent, for `timeout` at most.
    pub fn flush(&self, timeout: Duration) {
        let (sender, receiver) = sync_channel(1);
        if self.messages.send(Message::Flush(sender)).is_ok() {
            let _ = receiver.recv_timeout(timeout);
        }
    }
}

/// Events by account, region, log group and log stream.
type Collected = BTreeMap<(String, String, String, String), Vec<(i64, String)>>;

async fn ship(sink: Arc<dyn LogSink>, mut receiver: mpsc::UnboundedReceiver<Message>) {
    while let Some(first) = receiver.recv().await {
        let mut collected: Collected = BTreeMap::new();
        let mut rooms = Vec::new();
        let mut flushed = Vec::new();
        let until = Instant::now() + COLLECT_TIME;
        let mut next = Some(first);
        while let Some(message) = next {
            match message {
                Message::Batch(batch, room) => {
                    let key = (
                        batch.caller.account,
                        batch.caller.region,
                        batch.group,
                        batch.stream,
                    );
                    collected.entry(key).or_default().extend(batch.events);
                    rooms.push(room);
                }
                Message::Flush(done) => {
                    flushed.push(done);
                    break;
                }
            }
            next = tokio::time::timeout_at(until, receiver.recv())
                .await
                .ok()
                .flatten();
        }
        for ((account, region, group, stream), events) in collected {
            let caller = Caller { account, region };
            sink.append(&caller, &group, &stream, events).await;
        }
        drop(rooms);
        for done in flushed {
            let _ = done.try_send(());
        }
    }
}
