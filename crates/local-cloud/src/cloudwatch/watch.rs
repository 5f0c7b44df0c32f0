//! Evaluates the alarms periodically, and executes their actions: messages to topics and invocations of functions.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::{CloudWatch, Notification};
use crate::deliver::{Deliver, Undelivered};
use crate::invoke::Invoke;

/// How often alarms are evaluated. They use complete minutes; this is the maximum delay after the end of a minute.
const INTERVAL: Duration = Duration::from_secs(5);

/// Runs until it is dropped.
pub async fn run(cloudwatch: Arc<CloudWatch>, deliver: Arc<dyn Deliver>, functions: Arc<dyn Invoke>) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => cloudwatch.evaluate_alarms(),
            () = cloudwatch.notified() => {}
        }
        for notification in cloudwatch.notifications() {
            let result = execute(&notification, &*deliver, &*functions).await;
            if let Err(error) = &result {
                let action = &notification.action;
                tracing::warn!(action, %error, "the action of an alarm could not be executed");
            }
            cloudwatch.executed(&notification, result);
        }
    }
}

async fn execute(
    notification: &Notification,
    deliver: &dyn Deliver,
    functions: &dyn Invoke,
) -> Result<(), Undelivered> {
    let action = notification.action.as_str();
    match action.split(':').nth(2) {
        Some("sns") => {
            deliver
                .to_topic(action, Some(&notification.subject), &notification.message)
                .await
        }
        Some("lambda") => functions.invoke_async(action, Bytes::from(notification.event.clone())),
        _ => Err(Undelivered {
            code: "ValidationError".to_owned(),
            message: "The local cloud executes actions of alarms on topics and functions only.".to_owned(),
        }),
    }
}
