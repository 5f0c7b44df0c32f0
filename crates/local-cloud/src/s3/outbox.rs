//! Notifications on their way: kept in the database until they are delivered, so that no request waits for a
//! destination and a restart loses none.
//!
//! Source: "Amazon S3 Event Notifications", S3 user guide: at least once, not necessarily in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rusqlite::{Connection, params};
use tokio::sync::Notify;

use super::S3;
use super::error::{Error, Result};
use super::notification::{Kind, Rule};
use crate::deliver::{Deliver, Undelivered};
use crate::invoke::Functions;

/// Notifications that are read at once.
const BATCH: u32 = 100;
/// Tries of a notification. AWS gives up too, after a longer time.
const MAX_TRIES: u32 = 6;
const FIRST_PAUSE_MS: i64 = 1000;
/// How long the task waits before it looks whether the service still exists.
const IDLE: Duration = Duration::from_secs(60);

/// Where notifications go. The services that implement these own S3, not the other way round.
pub(crate) struct Targets {
    pub deliver: Weak<dyn Deliver>,
    pub functions: Functions,
}

impl Targets {
    async fn send(&self, kind: Kind, arn: &str, message: &str) -> Result<(), Undelivered> {
        let stopping = || Undelivered {
            code: "ServiceUnavailable".to_owned(),
            message: "The local cloud is stopping.".to_owned(),
        };
        if kind == Kind::Function {
            let functions = self.functions.get().ok_or_else(stopping)?;
            return functions.invoke_async(arn, message.to_owned().into());
        }
        let deliver = self.deliver.upgrade().ok_or_else(stopping)?;
        match kind {
            Kind::Topic => {
                let subject = Some("Amazon S3 Notification");
                deliver.to_topic(arn, subject, message).await
            }
            _ => deliver.to_queue(arn, message, &BTreeMap::new()).await,
        }
    }

    fn function_exists(&self, arn: &str) -> bool {
        self.functions
            .get()
            .is_some_and(|functions| functions.exists(arn))
    }
}

struct Posted {
    id: i64,
    kind: String,
    arn: String,
    message: String,
    tries: u32,
}

pub(super) fn post(db: &Connection, kind: Kind, arn: &str, message: &str, now_ms: i64) -> Result<()> {
    db.prepare_cached(
        "INSERT INTO s3_outbox (kind, arn, message, tries, due_ms) VALUES (?1, ?2, ?3, 0, ?4)",
    )?
    .execute(params![kind.as_str(), arn, message, now_ms])?;
    Ok(())
}

fn due(db: &Connection, now_ms: i64) -> Result<Vec<Posted>> {
    let mut statement = db.prepare_cached(
        "SELECT id, kind, arn, message, tries FROM s3_outbox WHERE due_ms <= ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map(params![now_ms, BATCH], |row| {
        Ok(Posted {
            id: row.get(0)?,
            kind: row.get(1)?,
            arn: row.get(2)?,
            message: row.get(3)?,
            tries: row.get(4)?,
        })
    })?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// Delivers what is posted, until the service is gone.
pub(super) async fn run(s3: Weak<S3>, posted: Arc<Notify>) {
    loop {
        let Some(service) = s3.upgrade() else {
            return;
        };
        let advanced = service.clock.advanced();
        let pause = service.deliver_due().await.unwrap_or_else(|error| {
            tracing::warn!(message = error.message, "could not read the notifications of S3");
            IDLE
        });
        drop(service);
        tokio::select! {
            // A permit of `notify_one` that came meanwhile ends the wait at once.
            () = posted.notified() => {}
            () = advanced => {}
            () = tokio::time::sleep(pause.min(IDLE)) => {}
        }
    }
}

impl S3 {
    /// Sends what is due. Returns how long nothing else is.
    async fn deliver_due(&self) -> Result<Duration> {
        let Some(targets) = self.targets.get().filter(|_| self.database.exists()) else {
            return Ok(IDLE);
        };
        loop {
            let now = self.clock.now_ms();
            let posted = self.database()?.read(|db| due(db, now))?;
            if posted.is_empty() {
                break;
            }
            let mut results = Vec::with_capacity(posted.len());
            for one in &posted {
                let sent = match Kind::parse(&one.kind) {
                    Some(kind) => targets.send(kind, &one.arn, &one.message).await,
                    None => Ok(()),
                };
                results.push(sent);
            }
            self.database()?.write(|db| {
                posted
                    .iter()
                    .zip(&results)
                    .try_for_each(|(one, sent)| settle(db, one, sent.as_ref().err(), now))
            })?;
        }
        let next: Option<i64> = self.database()?.read(|db| {
            let mut next = db.prepare_cached("SELECT min(due_ms) FROM s3_outbox")?;
            Ok::<_, Error>(next.query_row([], |row| row.get(0))?)
        })?;
        let wait = next.map(|due| u64::try_from(due - self.clock.now_ms()).unwrap_or(0).max(1));
        Ok(wait.map_or(IDLE, Duration::from_millis))
    }

    /// Sends a test message to the destination of a rule. Functions get none, but must exist.
    pub(super) fn test(&self, rule: &Rule, message: &str) -> Result<(), Undelivered> {
        let missing = |message: &str| Undelivered {
            code: "InvalidArgument".to_owned(),
            message: message.to_owned(),
        };
        let targets = self
            .targets
            .get()
            .ok_or_else(|| missing("The local cloud is starting."))?;
        if rule.kind == Kind::Function {
            return match targets.function_exists(&rule.arn) {
                true => Ok(()),
                false => Err(missing("The function does not exist.")),
            };
        }
        // This is a thread for blocking work.
        tokio::runtime::Handle::current().block_on(targets.send(rule.kind, &rule.arn, message))
    }
}

/// Deletes a notification that was sent or failed too often, and postpones one that failed.
fn settle(db: &Connection, one: &Posted, error: Option<&Undelivered>, now_ms: i64) -> Result<()> {
    let tries = one.tries + 1;
    if let Some(error) = error {
        if tries < MAX_TRIES {
            let due = now_ms + (FIRST_PAUSE_MS << one.tries);
            db.prepare_cached("UPDATE s3_outbox SET tries = ?2, due_ms = ?3 WHERE id = ?1")?
                .execute(params![one.id, tries, due])?;
            return Ok(());
        }
        tracing::warn!(arn = one.arn, %error, tries, "discarded a notification of S3 that could not be delivered");
    }
    db.prepare_cached("DELETE FROM s3_outbox WHERE id = ?1")?
        .execute([one.id])?;
    Ok(())
}
