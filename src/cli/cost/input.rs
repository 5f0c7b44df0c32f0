//! Value parsers of `cost`.

use crate::cli::shared::duration::retention_hours;
use crate::cli::shared::rate::{bytes, records};
use domain::cost::{CapacityMode, HOURS_A_MONTH, Item, Money, Part, WhatIf};
use ground::duration::{Parser, Unit};

/// An amount of US dollars.
pub(super) fn budget(text: &str) -> Result<Money, String> {
    Money::parse(text).ok_or_else(|| "not an amount in US dollars; write it like 50 or 49.90".to_owned())
}

/// A length of time in milliseconds.
pub(super) fn milliseconds(text: &str) -> Result<u64, String> {
    let length = Parser::whole(Unit::Millisecond).parse(text)?;
    u64::try_from(length.as_millis()).map_err(|_| "is too long".to_owned())
}

/// `ITEM=AMOUNT`: a month of something in the price book.
pub(super) fn amount(text: &str) -> Result<Part, String> {
    let (name, amount) = text
        .split_once('=')
        .ok_or("not of the form item=amount, such as alarms=5")?;
    let item: Item = name.trim().parse()?;
    let unit = item.unit();
    let quantity = match unit.counted {
        "bytes" => bytes(amount)?,
        "byte-hours" => bytes(amount)?.saturating_mul(HOURS_A_MONTH),
        // Things that exist for the whole month.
        "alarm-hours" | "dashboard-hours" | "metric-hours" | "key-hours" => {
            count(amount)?.saturating_mul(HOURS_A_MONTH)
        }
        "MB-milliseconds" => count(amount)?.saturating_mul(unit.size),
        _ => count(amount)?,
    };
    Ok(Part {
        resource: "added".to_owned(),
        item,
        quantity,
    })
}

/// A number of things in a month, such as 10M, or 1M/day.
fn count(text: &str) -> Result<u64, String> {
    let rate = records(text).map_err(|_| "not a number; write it like 5, 10M or 1M/day".to_owned())?;
    Ok(match text.contains('/') {
        true => rate.over_hours(HOURS_A_MONTH),
        false => rate.per_second(),
    })
}

/// Changes, separated by commas.
pub(super) fn what_if(text: &str) -> Result<WhatIf, String> {
    let mut changes = WhatIf::default();
    for change in text.split(',').map(str::trim).filter(|change| !change.is_empty()) {
        let (key, value) = change
            .split_once('=')
            .ok_or_else(|| format!("{change:?} is not of the form name=value"))?;
        set(&mut changes, key.trim(), value.trim()).map_err(|why| format!("{}: {why}", key.trim()))?;
    }
    Ok(changes)
}

fn set(changes: &mut WhatIf, key: &str, value: &str) -> Result<(), String> {
    let number = |most: u32| {
        let number = value.parse().ok().filter(|number| *number <= most);
        number.ok_or_else(|| format!("not a whole number of at most {most}"))
    };
    match key {
        "shards" => match number(10_000)? {
            0 => return Err("a stream has at least 1 shard".to_owned()),
            shards => changes.shards = Some(shards.into()),
        },
        "mode" => {
            let found = CapacityMode::ALL.into_iter().find(|mode| mode.name() == value);
            changes.mode = Some(found.ok_or("is provisioned, on-demand or advantage")?);
        }
        "retention" => changes.retention_hours = Some(retention_hours(value)?),
        "consumers" => changes.consumers = Some(number(1_000)?),
        "fan-out" => changes.fan_out_consumers = Some(number(50)?),
        "metrics" => changes.shard_level_metrics = Some(number(7)?),
        "records" => changes.records = Some(records(value)?),
        "size" => {
            let size = u32::try_from(bytes(value)?)
                .ok()
                .filter(|size| (1..=10 << 20).contains(size));
            changes.record_bytes = Some(size.ok_or("a record has 1 byte to 10 MiB")?);
        }
        "aggregate" => changes.aggregate = Some(bytes(value)?),
        _ => {
            return Err(
                "not one of shards, mode, retention, consumers, fan-out, metrics, records, size, aggregate"
                    .to_owned(),
            );
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::cost::Rate;

    #[test]
    fn changes_are_a_list() {
        let changes = what_if("shards=2, retention=7d,mode=on-demand,aggregate=25KB").unwrap();
        let expected = WhatIf {
            shards: Some(2),
            retention_hours: Some(168),
            mode: Some(CapacityMode::OnDemand),
            aggregate: Some(25 * 1_024),
            ..WhatIf::default()
        };
        assert_eq!(changes, expected);
        assert_eq!(what_if("").unwrap(), WhatIf::default());
        assert_eq!(
            what_if("records=2M/day").unwrap().records,
            Some(Rate::new(2_000_000, 86_400))
        );
        for bad in [
            "shards",
            "shards=0",
            "shards=x",
            "shards=10001",
            "mode=fast",
            "retention=1h",
            "size=0",
            "size=11MB",
            "colour=red",
            "metrics=8",
            "fan-out=51",
        ] {
            assert!(what_if(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn amounts_have_the_unit_of_their_item() {
        let quantity = |text| amount(text).map(|part| part.quantity);
        assert_eq!(quantity("http-api-requests=10M"), Ok(10_000_000));
        assert_eq!(quantity("queue-requests=1M/day"), Ok(30_416_667));
        assert_eq!(quantity("alarms=5"), Ok(5 * 730));
        assert_eq!(quantity("bucket-storage=1GB"), Ok(730 << 30));
        assert_eq!(quantity("firehose-data=2GB"), Ok(2 << 30));
        assert_eq!(quantity("lambda-duration-arm=3"), Ok(3 * 1_024_000));
        for bad in ["alarms", "alarm=5", "alarms=x", "firehose-data=x", "=5"] {
            assert!(quantity(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn budgets_and_durations() {
        assert_eq!(budget("49.90").unwrap().rounded(2), "49.90");
        assert!(budget("a lot").is_err());
        assert_eq!(milliseconds("2s"), Ok(2_000));
        assert_eq!(milliseconds("100ms"), Ok(100));
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "[a-z-]{0,12}=?[0-9.,/kMGBdhs=]{0,16}|\\PC{0,12}") {
            let _ = (what_if(&text), amount(&text), budget(&text), milliseconds(&text));
        }
    }
}
