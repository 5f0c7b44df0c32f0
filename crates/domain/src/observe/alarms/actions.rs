//! Deleting alarms, their price, and the topic that new alarms notify.

use super::list::AlarmEntry;
use super::subscribe::TOPIC;
use crate::context::Context;
use crate::cost::{HOURS_A_MONTH, Item, Money, price_book};
use ground::error::{self, Error, Result};

/// Source: DeleteAlarms, CloudWatch API reference.
const MOST_NAMES: usize = 100;

/// What `count` standard alarms cost in a month in `region`; `None` if the price there is not known.
pub fn monthly_cost(region: &str, count: usize) -> Option<Money> {
    let alarm_hours = u64::try_from(count).ok()?.saturating_mul(HOURS_A_MONTH);
    price_book(region)?.amount(Item::Alarms, alarm_hours)
}

/// Refuses to delete an alarm that streamctl did not make.
///
/// # Errors
/// Exit 1 naming it.
pub fn check_deletion(alarms: &[AlarmEntry]) -> Result<()> {
    match alarms.iter().find(|alarm| alarm.pipeline.is_none()) {
        None => Ok(()),
        Some(stranger) => Err(
            Error::failed(format!("streamctl did not make the alarm {}", stranger.name)).hint(format!(
                "nothing was deleted; delete it with `aws cloudwatch delete-alarms --alarm-names {}`",
                stranger.name
            )),
        ),
    }
}

/// Deletes `alarms`, which must be those of streamctl.
///
/// # Errors
/// As [`check_deletion`]: nothing is deleted then. Also when a call fails.
pub async fn delete(context: &Context, alarms: &[AlarmEntry]) -> Result<()> {
    check_deletion(alarms)?;
    for some in alarms.chunks(MOST_NAMES) {
        let names = some.iter().map(|alarm| alarm.name.clone()).collect();
        let call = context.cloudwatch().delete_alarms().set_alarm_names(Some(names));
        call.send()
            .await
            .map_err(|e| error::aws::failed("could not delete the alarms", e))?;
    }
    Ok(())
}

/// The ARN of the topic that `alarms subscribe` makes, if it exists.
///
/// # Errors
/// When SNS cannot be asked.
pub async fn own_topic(context: &Context) -> Result<Option<String>> {
    let arn = format!(
        "arn:{}:sns:{}:{}:{TOPIC}",
        context.partition(),
        context.region(),
        context.account().await?
    );
    let call = context.sns().get_topic_attributes().topic_arn(&arn);
    match call.send().await {
        Ok(_) => Ok(Some(arn)),
        Err(error) if error::aws::is_not_found(&error) => Ok(None),
        Err(error) => Err(error::aws::failed(format!("could not read topic {TOPIC}"), error)),
    }
}
