//! Orders of a grocery shop and its products: what the features of the pipeline `cart` are made of.
//!
//! A user has favourites and orders them again, more often the more loyal the user is and the more the product is one that
//! people come back for. So the features say something about the next order, and a model can be trained with them.

use std::collections::HashSet;

use serde_json::json;

use super::Dice;

/// The first part of a product's name.
const SORTS: [&str; 20] = [
    "Organic", "Fresh", "Large", "Small", "Sweet", "Mild", "Roasted", "Classic", "Whole", "Light", "Dark",
    "Smoked", "Salted", "Sliced", "Frozen", "Family", "Spicy", "Golden", "Red", "Green",
];

/// The second part, with its department and aisle.
const THINGS: [(&str, &str, &str); 50] = [
    ("Bananas", "produce", "fresh fruits"),
    ("Apples", "produce", "fresh fruits"),
    ("Pears", "produce", "fresh fruits"),
    ("Grapes", "produce", "fresh fruits"),
    ("Tomatoes", "produce", "fresh vegetables"),
    ("Onions", "produce", "fresh vegetables"),
    ("Carrots", "produce", "fresh vegetables"),
    ("Spinach", "produce", "fresh vegetables"),
    ("Mushrooms", "produce", "fresh vegetables"),
    ("Herbs", "produce", "fresh herbs"),
    ("Milk", "dairy and eggs", "milk"),
    ("Oat Drink", "dairy and eggs", "milk"),
    ("Yogurt", "dairy and eggs", "yogurt"),
    ("Eggs", "dairy and eggs", "eggs"),
    ("Butter", "dairy and eggs", "butter"),
    ("Cheese", "dairy and eggs", "cheese"),
    ("Cream", "dairy and eggs", "cream"),
    ("Bread", "bakery", "bread"),
    ("Rolls", "bakery", "bread"),
    ("Cake", "bakery", "desserts"),
    ("Tortillas", "bakery", "flat bread"),
    ("Chicken", "meat and fish", "poultry"),
    ("Ham", "meat and fish", "meat"),
    ("Salmon", "meat and fish", "fish"),
    ("Tuna", "meat and fish", "fish"),
    ("Tofu", "meat and fish", "alternatives"),
    ("Water", "beverages", "water"),
    ("Juice", "beverages", "juice"),
    ("Lemonade", "beverages", "soft drinks"),
    ("Coffee", "beverages", "coffee"),
    ("Tea", "beverages", "tea"),
    ("Pasta", "pantry", "pasta"),
    ("Rice", "pantry", "grains"),
    ("Beans", "pantry", "canned food"),
    ("Soup", "pantry", "canned food"),
    ("Olive Oil", "pantry", "oils"),
    ("Vinegar", "pantry", "oils"),
    ("Flour", "pantry", "baking"),
    ("Sugar", "pantry", "baking"),
    ("Honey", "breakfast", "spreads"),
    ("Jam", "breakfast", "spreads"),
    ("Cereal", "breakfast", "cereal"),
    ("Oatmeal", "breakfast", "cereal"),
    ("Crackers", "snacks", "crackers"),
    ("Chips", "snacks", "chips"),
    ("Nuts", "snacks", "nuts"),
    ("Chocolate", "snacks", "sweets"),
    ("Ice Cream", "frozen", "ice cream"),
    ("Pizza", "frozen", "meals"),
    ("Soap", "household", "cleaning"),
];

/// Number of products. Their ids are the numbers from 1.
pub const PRODUCTS: u64 = (SORTS.len() * THINGS.len()) as u64;
/// Products of an order at most.
const MOST_PRODUCTS: u64 = 15;
/// Tries to find a product that is not in the order yet.
const TRIES: usize = 8;

/// The products, a line of JSON each.
pub fn products() -> String {
    let line = |number: usize| {
        let (thing, department, aisle) = THINGS[number % THINGS.len()];
        let sort = SORTS[number / THINGS.len()];
        let product = json!({
            "product_id": (number + 1).to_string(),
            "product_name": format!("{sort} {thing}"),
            "department": department,
            "aisle": aisle,
        });
        format!("{product}\n")
    };
    (0..SORTS.len() * THINGS.len()).map(line).collect()
}

/// How likely it is that someone who ordered the product orders it again, in percent.
fn comes_back(product: u64) -> u64 {
    15 + Dice::new(product).below(80)
}

/// One who orders.
struct User {
    id: u64,
    /// Orders so far, and in the end.
    orders: u64,
    end: u64,
    /// How often a place of an order is filled with an earlier product, in percent.
    loyalty: u64,
    /// Products of an order, and days between two of them, on average.
    size: u64,
    days: u64,
    /// The products of earlier orders, each once.
    known: Vec<u64>,
}

/// Orders, a line of JSON each, sorted by user and by the number of the order. One user is in memory.
pub struct Orders {
    dice: Dice,
    left: u64,
    user: User,
}

impl Orders {
    /// `count` orders. The same seed makes the same ones.
    pub fn new(seed: u64, count: u64) -> Self {
        let mut dice = Dice::new(seed);
        let user = User::new(1, &mut dice);
        Self {
            dice,
            left: count,
            user,
        }
    }
}

impl Iterator for Orders {
    type Item = String;

    fn next(&mut self) -> Option<String> {
        self.left = self.left.checked_sub(1)?;
        if self.user.orders == self.user.end {
            self.user = User::new(self.user.id + 1, &mut self.dice);
        }
        Some(self.user.order(&mut self.dice))
    }
}

impl User {
    fn new(id: u64, dice: &mut Dice) -> Self {
        Self {
            id,
            orders: 0,
            // Most users have few orders.
            end: 3 + dice.below(8) + dice.popular(50),
            loyalty: 25 + dice.below(65),
            size: 2 + dice.below(8),
            days: 3 + dice.below(25),
            known: Vec::new(),
        }
    }

    fn order(&mut self, dice: &mut Dice) -> String {
        let days = match self.orders {
            0 => None,
            _ => Some((dice.below(2 * self.days) + dice.below(3)).min(30)),
        };
        self.orders += 1;
        let size = (1 + dice.below(2 * self.size)).min(MOST_PRODUCTS);
        let mut chosen = Vec::new();
        let mut seen = HashSet::new();
        for _ in 0..size {
            chosen.extend(
                (0..TRIES)
                    .map(|_| self.choice(dice))
                    .find(|one| seen.insert(one.0)),
            );
        }
        let lines: Vec<String> = chosen
            .iter()
            .map(|(product, again)| {
                format!(r#"{{"product_id":"{product}","reordered":{}}}"#, u8::from(*again))
            })
            .collect();
        self.known.extend(
            chosen
                .iter()
                .filter(|(_, again)| !again)
                .map(|(product, _)| product),
        );
        let days = days.map_or_else(|| "null".to_owned(), |days| days.to_string());
        format!(
            "{{\"user_id\":{},\"order_number\":{},\"days_since_prior\":{days},\"products\":[{}]}}\n",
            self.id,
            self.orders,
            lines.join(",")
        )
    }

    /// A product, and whether the user ordered it before.
    fn choice(&self, dice: &mut Dice) -> (u64, bool) {
        if !self.known.is_empty() && dice.chance(self.loyalty) {
            let product = *dice.pick(&self.known);
            if dice.chance(comes_back(product)) {
                return (product, true);
            }
        }
        let product = 1 + dice.popular(PRODUCTS);
        (product, self.known.contains(&product))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::*;

    #[test]
    fn orders_are_sorted_and_say_what_was_ordered_before() {
        let mut last: HashMap<u64, (u64, HashSet<String>)> = HashMap::new();
        let (mut at, mut reordered, mut lines) = (0, 0, 0);
        for line in Orders::new(1, 5_000) {
            let order: Value = serde_json::from_str(line.strip_suffix('\n').unwrap()).unwrap();
            let user = order["user_id"].as_u64().unwrap();
            assert!(user == at || user == at + 1, "{line}");
            at = user;
            let (number, known) = last.entry(user).or_default();
            *number += 1;
            assert_eq!(order["order_number"], *number);
            assert_eq!(order["days_since_prior"].is_null(), *number == 1);
            let products = order["products"].as_array().unwrap();
            assert!(!products.is_empty());
            let mut now = HashSet::new();
            for product in products {
                let id = product["product_id"].as_str().unwrap().to_owned();
                assert!((1..=PRODUCTS).contains(&id.parse().unwrap()));
                assert_eq!(product["reordered"], u8::from(known.contains(&id)), "{line}");
                assert!(now.insert(id), "each product once: {line}");
                reordered += product["reordered"].as_u64().unwrap();
                lines += 1;
            }
            known.extend(now);
        }
        assert!(last.values().all(|(number, _)| *number >= 1));
        // Neither always the same nor always something else.
        assert!(
            (lines / 4..lines * 3 / 4).contains(&reordered),
            "{reordered} of {lines}"
        );
    }

    #[test]
    fn a_seed_makes_the_same_orders_and_a_number_as_many() {
        let made = |seed, count| Orders::new(seed, count).collect::<String>();
        assert_eq!(made(7, 100), made(7, 100));
        assert_ne!(made(7, 100), made(8, 100));
        assert!(made(7, 100).starts_with(&made(7, 99)));
        assert_eq!(made(7, 0), "");
        insta::assert_snapshot!(made(7, 2));
    }

    #[test]
    fn products_have_names_and_ids_of_their_own() {
        let all = products();
        let lines: Vec<Value> = all
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let of = |key: &str| {
            lines
                .iter()
                .map(|one| one[key].as_str().unwrap())
                .collect::<HashSet<_>>()
        };
        assert_eq!(lines.len() as u64, PRODUCTS);
        assert_eq!(
            (of("product_id").len() as u64, of("product_name").len() as u64),
            (PRODUCTS, PRODUCTS)
        );
        assert_eq!(of("department").len(), 10);
    }
}
