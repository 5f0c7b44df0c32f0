//! The watchman: has the alarms evaluated, and hands what they have to say to their topics.

use std::sync::Arc;
use std::time::Duration;

use super::CloudWatch;
use crate::deliver::Deliver;

/// How often alarms are evaluated. They look at whole minutes; this is how soon after a minute's end they do.
const EVERY: Duration = Duration::from_secs(5);

/// Watches for as long as it is let.
pub async fn run(cloudwatch: Arc<CloudWatch>, deliver: Arc<dyn Deliver>) {
    let mut beat = tokio::time::interval(EVERY);
    beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = beat.tick() => cloudwatch.evaluate_alarms(),
            () = cloudwatch.notified() => {}
        }
        for told in cloudwatch.take_notifications() {
            let sent = deliver
                .to_topic(&told.topic, Some(&told.subject), &told.message)
                .await;
            if let Err(error) = sent {
                tracing::warn!(topic = told.topic, %error, "an alarm could not reach its topic");
            }
        }
    }
}
