//! Prices of the products that the template `prices` knows, which rise and fall.

use super::{Dice, Event, Model, hundredths};

/// The products of `templates/prices/products.json`.
const PRODUCTS: u64 = 12;

pub(super) struct Catalogue {
    /// In hundredths.
    prices: Vec<u64>,
}

impl Catalogue {
    pub(super) fn new(dice: &mut Dice) -> Self {
        Self {
            prices: (0..PRODUCTS).map(|_| 999 + dice.below(40_000)).collect(),
        }
    }
}

impl Model for Catalogue {
    fn next(&mut self, dice: &mut Dice, _now_ms: i64) -> Event {
        let index = dice.popular(PRODUCTS) as usize;
        let price = &mut self.prices[index];
        // At most 5 % up or down.
        let step = dice.below(*price / 20 + 1);
        *price = match dice.chance(50) {
            true => *price + step,
            false => (*price - step).max(99),
        };
        let id = format!("P{:04}", index + 1);
        let price = match dice.chance(20) {
            true => format!("\"{}\"", hundredths(*price)),
            false => hundredths(*price),
        };
        Event {
            data: format!(r#"{{"product_id":"{id}","price":{price}}}"#),
            key: Some(id),
        }
    }
}
