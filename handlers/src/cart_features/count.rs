//! Counts orders into features, in one pass.
//!
//! Orders come sorted by user and, within a user, by their number. So only one user is in memory at a time, and a counter
//! for each product. Input in another order is an error: its features would be wrong.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::HashMap;

use serde::de::{Deserializer, Error as _, Visitor};
use serde::{Deserialize, Serialize};

use crate::recommend::features::MAX_CANDIDATES;

/// Maximum number of different products.
const MAX_PRODUCTS: usize = 1_000_000;
/// Maximum length of a product id, in bytes.
const MAX_ID_BYTES: usize = 128;

const MAX_DAYS: f64 = 1e6;

/// One order, a line of the input.
#[derive(Deserialize)]
struct Order<'a> {
    user_id: UserId,
    /// 1 for the first order of the user.
    order_number: u32,
    /// Days since the previous order, `null` in the first.
    days_since_prior: Option<f64>,
    #[serde(borrow)]
    products: Vec<Line<'a>>,
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    product_id: ProductId<'a>,
    /// 1 if the user ordered the product before.
    reordered: u8,
}

/// A whole number, also as text.
#[derive(Clone, Copy)]
struct UserId(u64);

/// Text, also as a whole number.
struct ProductId<'a>(Cow<'a, str>);

struct IdVisitor;

impl<'de> Visitor<'de> for IdVisitor {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an id: text or a whole number")
    }

    fn visit_u64<E>(self, id: u64) -> Result<Self::Value, E> {
        Ok(id.to_string().into())
    }

    fn visit_borrowed_str<E>(self, id: &'de str) -> Result<Self::Value, E> {
        Ok(id.into())
    }

    fn visit_str<E>(self, id: &str) -> Result<Self::Value, E> {
        Ok(id.to_owned().into())
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = deserializer.deserialize_any(IdVisitor)?;
        let id = id
            .parse()
            .map_err(|_| D::Error::custom("user_id is not a whole number"));
        id.map(Self)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ProductId<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdVisitor).map(Self)
    }
}

/// The features of a user whose orders are all counted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UserFeatures {
    pub user_id: u64,
    pub user_orders: u32,
    pub user_periods: f64,
    pub user_mean_days_since_prior: f64,
    pub user_products: u64,
    pub user_distinct_products: u64,
    /// `None` if the user has only a first order.
    pub user_reorder_ratio: Option<f64>,
    /// Products that the user ordered, the most often and the latest ordered first.
    pub products: Vec<String>,
}

/// The features of a product.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct ProductFeatures {
    pub prod_orders: u64,
    pub prod_reorders: u64,
    /// Number of users who ordered it at least once.
    pub prod_first_orders: u64,
    /// Number of users who ordered it at least twice.
    pub prod_second_orders: u64,
}

/// The orders of the current user.
struct User {
    id: u64,
    orders: u64,
    last_order: u32,
    days: f64,
    lines: u64,
    reordered: u64,
    lines_after_first: u64,
    /// Times and number of the last order, by product.
    bought: HashMap<u32, (u32, u32)>,
}

#[derive(Default)]
pub struct Counter {
    user: Option<User>,
    /// The number of each product.
    numbers: HashMap<Box<str>, u32>,
    names: Vec<Box<str>>,
    products: Vec<ProductFeatures>,
}

impl Counter {
    /// Counts an order. Returns the features of the previous user, if this order is the first of another.
    ///
    /// # Errors
    /// The line is no order, or it is out of order. A sentence without a full stop.
    pub fn add(&mut self, line: &[u8]) -> Result<Option<UserFeatures>, String> {
        let order: Order<'_> =
            serde_json::from_slice(line).map_err(|error| format!("it is not an order: {error}"))?;
        let days = order.days_since_prior.unwrap_or(0.0);
        if order.order_number == 0 {
            return Err("order_number begins at 1".to_owned());
        }
        if !(0.0..=MAX_DAYS).contains(&days) {
            return Err(format!("days_since_prior is from 0 to {MAX_DAYS}"));
        }
        let finished = self.begin(&order)?;
        for line in &order.products {
            self.count(&order, line)?;
        }
        let Some(user) = &mut self.user else {
            return Ok(finished);
        };
        user.orders += 1;
        user.last_order = order.order_number;
        user.days += days;
        Ok(finished)
    }

    /// Makes the user of `order` the current one.
    fn begin(&mut self, order: &Order<'_>) -> Result<Option<UserFeatures>, String> {
        let id = order.user_id.0;
        match &self.user {
            Some(user) if user.id == id && user.last_order >= order.order_number => {
                return Err(format!(
                    "order {} of user {id} follows order {}: sort the orders by user_id and order_number",
                    order.order_number, user.last_order
                ));
            }
            Some(user) if user.id == id => return Ok(None),
            Some(user) if user.id > id => {
                return Err(format!(
                    "user {id} follows user {}: sort the orders by user_id and order_number",
                    user.id
                ));
            }
            _ => {}
        }
        let finished = self.user.take().map(|user| self.features(user));
        self.user = Some(User {
            id,
            orders: 0,
            last_order: 0,
            days: 0.0,
            lines: 0,
            reordered: 0,
            lines_after_first: 0,
            bought: HashMap::new(),
        });
        Ok(finished)
    }

    fn count(&mut self, order: &Order<'_>, line: &Line<'_>) -> Result<(), String> {
        if line.reordered > 1 {
            return Err("reordered is neither 0 nor 1".to_owned());
        }
        let number = self.number(&line.product_id.0)?;
        let (Some(user), Some(product)) = (&mut self.user, self.products.get_mut(number as usize)) else {
            return Ok(());
        };
        let (times, last) = user.bought.entry(number).or_default();
        if *last == order.order_number {
            return Err(format!("it has the product {} twice", line.product_id.0));
        }
        *times += 1;
        *last = order.order_number;
        let reordered = u64::from(line.reordered);
        product.prod_orders += 1;
        product.prod_reorders += reordered;
        product.prod_first_orders += u64::from(*times == 1);
        product.prod_second_orders += u64::from(*times == 2);
        user.lines += 1;
        user.reordered += reordered;
        user.lines_after_first += u64::from(order.order_number > 1);
        Ok(())
    }

    fn number(&mut self, id: &str) -> Result<u32, String> {
        if let Some(number) = self.numbers.get(id) {
            return Ok(*number);
        }
        if id.is_empty() || id.len() > MAX_ID_BYTES {
            return Err(format!("a product_id has 1 to {MAX_ID_BYTES} bytes"));
        }
        let number = u32::try_from(self.names.len())
            .ok()
            .filter(|_| self.names.len() < MAX_PRODUCTS)
            .ok_or_else(|| format!("there are more than {MAX_PRODUCTS} products"))?;
        self.numbers.insert(id.into(), number);
        self.names.push(id.into());
        self.products.push(ProductFeatures::default());
        Ok(number)
    }

    fn features(&self, user: User) -> UserFeatures {
        let mut products: Vec<(u32, (u32, u32))> = user
            .bought
            .iter()
            .map(|(number, bought)| (*number, *bought))
            .collect();
        let name = |number: u32| &self.names[number as usize];
        products.sort_unstable_by(|(a, bought_a), (b, bought_b)| {
            (Reverse(bought_a), name(*a)).cmp(&(Reverse(bought_b), name(*b)))
        });
        products.truncate(MAX_CANDIDATES);
        UserFeatures {
            user_id: user.id,
            user_orders: user.last_order,
            user_periods: user.days,
            user_mean_days_since_prior: user.days / user.orders as f64,
            user_products: user.lines,
            user_distinct_products: user.bought.len() as u64,
            user_reorder_ratio: (user.lines_after_first > 0)
                .then(|| user.reordered as f64 / user.lines_after_first as f64),
            products: products
                .iter()
                .map(|(number, _)| name(*number).to_string())
                .collect(),
        }
    }

    /// The last user, and all products in the order of their first appearance.
    pub fn finish(mut self) -> (Option<UserFeatures>, Vec<(Box<str>, ProductFeatures)>) {
        let last = self.user.take().map(|user| self.features(user));
        (last, self.names.into_iter().zip(self.products).collect())
    }
}

#[cfg(test)]
mod tests;
