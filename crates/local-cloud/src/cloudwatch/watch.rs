//! Evaluates the alarms periodically, and sends their notifications to their topics.

use std::sync::Arc;
use std::time::Duration;

use super::CloudWatch;
use crate::deliver::Deliver;

/// How often alarms are evaluated. They use complete minutes; this is the maximum delay after the end of a minute.
const INTERVAL: Duration = Duration::from_secs(5);

/// Runs until it is dropped.
pub async fn run(cloudwatch: Arc<CloudWatch>, deliver: Arc<dyn Deliver>) {
    let mut interval = tokio::time::interval(INTERVAL);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = interval.tick() => cloudwatch.evaluate_alarms(),
            () = cloudwatch.notified() => {}
        }
        for notification in cloudwatch.take_notifications() {
            let sent = deliver
                .to_topic(
                    &notification.topic,
                    Some(&notification.subject),
                    &notification.message,
                )
                .await;
            if let Err(error) = sent {
                tracing::warn!(topic = notification.topic, %error, "could not send the notification of an alarm");
            }
        }
    }
}
