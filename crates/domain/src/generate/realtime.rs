//! Readings of sensors that change slowly, and clicks on pages.

use super::{Dice, Event, Model, rfc3339};

const SENSORS: u64 = 20;
const PAGES: [&str; 5] = ["/", "/search", "/product", "/cart", "/checkout"];

pub(super) struct Site {
    /// Temperature and humidity in tenths, of each sensor.
    sensors: Vec<(i64, i64)>,
}

impl Site {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let sensors = (0..SENSORS).map(|_| (dice.between(170, 230), dice.between(380, 520)));
        Self {
            sensors: sensors.collect(),
        }
    }
}

impl Model for Site {
    fn next(&mut self, dice: &mut Dice, now_ms: i64) -> Event {
        let time = rfc3339(now_ms);
        if dice.chance(20) {
            let source = format!("clicks-{:02}", 1 + dice.below(4));
            let (value, page) = (1 + dice.popular(30), dice.pick(&PAGES));
            let data =
                format!(r#"{{"sensorId":"{source}","value":{value},"page":"{page}","timestamp":"{time}"}}"#);
            return Event {
                data,
                key: Some(source),
            };
        }
        let index = dice.below(SENSORS) as usize;
        let (temperature, humidity) = &mut self.sensors[index];
        *temperature = (*temperature + dice.between(-6, 6)).clamp(-200, 450);
        *humidity = (*humidity + dice.between(-9, 9)).clamp(50, 1000);
        let sensor = format!("sensor-{:02}", index + 1);
        let data = format!(
            r#"{{"sensorId":"{sensor}","temperature":{},"humidity":{},"timestamp":"{time}"}}"#,
            tenths(*temperature),
            tenths(*humidity)
        );
        Event {
            data,
            key: Some(sensor),
        }
    }
}

fn tenths(amount: i64) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{}",
        amount.unsigned_abs() / 10,
        amount.unsigned_abs() % 10
    )
}
