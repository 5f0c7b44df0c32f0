//! Recommends products to a user: features from a table, scaled, and a model that gives a probability for each candidate.
//!
//! It is a part of `cart-api`, which gives it a budget of time and goes on without recommendations if it fails. So nothing
//! here retries for long, and a model that could not be loaded is not loaded again for a while.

pub mod features;
pub mod model;
mod source;

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::future::Future;

use serde::Serialize;
use tokio::time::Instant;

use crate::store::{CallError, Item};
use features::{CANDIDATES, MAX_CANDIDATES, Row, Scaler, product_key, user_key};
pub use source::{Endpoint, EndpointModel, StoredModel};

/// Number of recommendations.
const BEST: usize = 10;

/// A recommended product.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Recommendation {
    pub product_id: String,
    /// How likely it is that the user orders the product, from 0 to 1.
    pub probability: f32,
    /// Absent if the table does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub department: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aisle: Option<String>,
}

/// The table of features.
pub trait FeatureTable {
    /// The item with the key `id`.
    fn get(&self, id: &str) -> impl Future<Output = Result<Option<Item>, CallError>>;

    /// The items with these keys, 1 to 100 and all different. Those that do not exist, or that the table did not process,
    /// are left out.
    fn get_all(&self, ids: Vec<String>) -> impl Future<Output = Result<Vec<Item>, CallError>>;
}

/// A model, with the scaler of its features.
pub trait Score {
    /// # Errors
    /// Why there is none. A sentence.
    fn scaler(&self) -> impl Future<Output = Result<Scaler, String>>;

    /// The probability for each row. Ends by `deadline`.
    ///
    /// # Errors
    /// Why there is none. A sentence.
    fn score(&self, rows: &[Row], deadline: Instant) -> impl Future<Output = Result<Vec<f32>, String>>;
}

/// What recommends.
pub trait Recommend {
    /// The best products for `user_id`, without those in `cart`. Empty if the table does not know the user.
    ///
    /// # Errors
    /// A sentence for the log.
    fn recommend(
        &self,
        user_id: &str,
        cart: &[String],
        deadline: Instant,
    ) -> impl Future<Output = Result<Vec<Recommendation>, String>>;
}

pub struct Recommender<T, M> {
    table: T,
    model: M,
}

impl<T, M> Recommender<T, M> {
    pub fn new(table: T, model: M) -> Self {
        Self { table, model }
    }
}

impl<T: FeatureTable, M: Score> Recommend for Recommender<T, M> {
    async fn recommend(
        &self,
        user_id: &str,
        cart: &[String],
        deadline: Instant,
    ) -> Result<Vec<Recommendation>, String> {
        let (scaler, user) =
            futures_util::future::join(self.model.scaler(), self.table.get(&user_key(user_id))).await;
        let (scaler, user) = (scaler?, user.map_err(read)?);
        let candidates = user
            .as_ref()
            .map(|user| candidates(user, cart))
            .unwrap_or_default();
        let (Some(user), false) = (user, candidates.is_empty()) else {
            return Ok(Vec::new());
        };
        let keys = candidates.iter().map(|id| product_key(id)).collect();
        let items = self.table.get_all(keys).await.map_err(read)?;
        let mut products: HashMap<String, Item> = items.into_iter().filter_map(keyed).collect();
        let known: Vec<(String, Item)> = candidates
            .into_iter()
            .filter_map(|id| products.remove(&product_key(&id)).map(|item| (id, item)))
            .collect();
        let rows: Vec<Row> = known.iter().map(|(_, item)| scaler.row(&user, item)).collect();
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let probabilities = self.model.score(&rows, deadline).await?;
        if probabilities.len() != rows.len() {
            return Err(format!(
                "the model gave {} probabilities for {} products",
                probabilities.len(),
                rows.len()
            ));
        }
        Ok(best(known, probabilities))
    }
}

fn read(error: CallError) -> String {
    format!("could not read the table of features: {error}")
}

fn keyed(item: Item) -> Option<(String, Item)> {
    let id = item.get("id")?.as_s().ok()?.clone();
    Some((id, item))
}

/// The candidates of the item `user`, without those in `cart`.
fn candidates(user: &Item, cart: &[String]) -> Vec<String> {
    let listed = user.get(CANDIDATES).and_then(|value| value.as_l().ok());
    let ids = listed.into_iter().flatten().filter_map(|id| id.as_s().ok());
    let mut seen: HashSet<&str> = cart.iter().map(String::as_str).collect();
    ids.filter(|id| seen.insert(id.as_str()))
        .take(MAX_CANDIDATES)
        .cloned()
        .collect()
}

/// The likeliest products, most likely first.
fn best(products: Vec<(String, Item)>, probabilities: Vec<f32>) -> Vec<Recommendation> {
    let mut scored: Vec<(String, Item, f32)> = products
        .into_iter()
        .zip(probabilities)
        .map(|((id, item), probability)| (id, item, probability))
        // JSON has no NaN.
        .filter(|(_, _, probability)| probability.is_finite())
        .collect();
    scored.sort_by_cached_key(|(id, _, probability)| (Reverse(ordered(*probability)), id.clone()));
    scored.truncate(BEST);
    let recommendation = |(product_id, item, probability): (String, Item, f32)| {
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok().cloned());
        Recommendation {
            probability,
            product_name: text("product_name"),
            department: text("department"),
            aisle: text("aisle"),
            product_id,
        }
    };
    scored.into_iter().map(recommendation).collect()
}

/// Sorts as the probability, which is not negative.
fn ordered(probability: f32) -> u32 {
    probability.max(0.0).to_bits()
}

#[cfg(test)]
mod tests;
