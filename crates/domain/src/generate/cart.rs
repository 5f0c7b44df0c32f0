//! Shopping-cart events as the page of the pipeline `cart` sends them.

use std::collections::BTreeMap;

use super::{Dice, Event, Model, rfc3339};

const USERS: u64 = 500;
const PRODUCTS: u64 = 3000;

/// What is in the cart of each user.
#[derive(Default)]
pub(super) struct Carts {
    carts: BTreeMap<u64, Vec<u64>>,
}

impl Model for Carts {
    fn next(&mut self, dice: &mut Dice, now_ms: i64) -> Event {
        let user = 1 + dice.popular(USERS);
        let cart = self.carts.entry(user).or_default();
        let choice = match cart.is_empty() {
            true => 0,
            false => dice.weighted([60, 12, 13, 15].into_iter()),
        };
        let (event, products) = match choice {
            0 => {
                let added: Vec<u64> = (0..=dice.popular(3))
                    .map(|_| 1 + dice.popular(PRODUCTS))
                    .collect();
                cart.extend(&added);
                ("add_to_cart", added)
            }
            1 => {
                let index = dice.below(cart.len() as u64) as usize;
                ("remove_from_cart", vec![cart.swap_remove(index)])
            }
            2 => ("update_cart", cart.clone()),
            _ => ("checkout", std::mem::take(cart)),
        };
        if cart.is_empty() {
            self.carts.remove(&user);
        }
        let products: Vec<String> = products.iter().map(|product| format!("\"{product}\"")).collect();
        let data = format!(
            r#"{{"user_id":{user},"product_ids":[{}],"event":"{event}","timestamp":"{}","source":"web-app"}}"#,
            products.join(","),
            rfc3339(now_ms)
        );
        Event {
            data,
            key: Some(user.to_string()),
        }
    }
}
