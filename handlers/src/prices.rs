//! `price-updater`: sets the prices of existing products.
//!
//! Each price is stored with the position of its record in the stream, and only a later record can replace it. A batch
//! that is delivered again, or late, changes nothing.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::process::ExitCode;

use decimal::Decimal;
use futures_util::StreamExt;
use futures_util::stream::iter;

use crate::aws::{Clients, DynamoTable};
use crate::deliver::{IN_FLIGHT, retried};
use crate::environment::{Environment, InvalidVariable};
use crate::event::{Entry, Event};
use crate::failures::Failures;
use crate::invalid::Invalid;
use crate::json::Json;
use crate::log::Level;
use crate::runtime::{self, Done, Handler, Invocation};
use crate::store::{self, PriceUpdate, Products};

/// Runs the function until Lambda ends it.
pub fn main() -> ExitCode {
    runtime::run(PriceUpdater::from_environment)
}

/// DynamoDB's limit for a partition key, in bytes.
const MAX_KEY_BYTES: usize = 2048;

pub struct PriceUpdater<P> {
    products: P,
    cache: Option<RefCell<Cache>>,
}

/// The newest price of a product in a batch.
struct Update {
    price: String,
    position: String,
    /// All records of the batch with a price of this product.
    records: Vec<usize>,
}

impl PriceUpdater<DynamoTable> {
    /// Reads `TABLE_NAME` and `PRICE_CACHE_ENTRIES`.
    ///
    /// # Errors
    /// A variable is missing or out of range.
    fn from_environment(environment: &Environment, clients: &Clients) -> Result<Self, InvalidVariable> {
        let table = environment.required("TABLE_NAME", "the table of products")?;
        let entries = environment.number("PRICE_CACHE_ENTRIES", 0, 0..=1_000_000)?;
        Ok(Self::new(clients.table(table), entries))
    }
}

impl<P: Products> PriceUpdater<P> {
    /// Updates `products`. Caches up to `cache_entries` prices that it wrote, and does not write them again.
    ///
    /// The cache saves writes if prices repeat. It is correct only if no other writer changes prices, such as a second
    /// instance of the function for the same shard. So it is off (0) by default.
    pub fn new(products: P, cache_entries: usize) -> Self {
        Self {
            products,
            cache: (cache_entries > 0).then(|| RefCell::new(Cache::new(cache_entries))),
        }
    }

    async fn update(&self, id: &str, update: &Update, invocation: &Invocation) -> Result<(), String> {
        let is_known = |cache: &RefCell<Cache>| cache.borrow().has(id, &update.price);
        if self.cache.as_ref().is_some_and(is_known) {
            return Ok(());
        }
        let set = || self.products.set_price(id, &update.price, &update.position);
        match retried(invocation.deadline, set).await {
            Ok(PriceUpdate::Stored) => {
                if let Some(cache) = &self.cache {
                    cache.borrow_mut().put(id, &update.price);
                }
                Ok(())
            }
            Ok(PriceUpdate::Older) => Ok(()),
            Ok(PriceUpdate::UnknownProduct) => Err("there is no such product".to_owned()),
            Err(store::CallError { message, .. }) => Err(message),
        }
    }
}

impl<P: Products> Handler for PriceUpdater<P> {
    async fn handle(&self, event: &Event<'_>, invocation: &Invocation) -> Done {
        let mut failures = Failures::none_of(event);
        let entries = event.entries();
        let (mut updates, mut rejected) = (HashMap::<String, Update>::new(), Vec::new());
        for entry in &entries {
            match price_of(entry) {
                Ok((id, price)) => newest(&mut updates, id, price, entry),
                Err(invalid) => rejected.push((entry, invalid)),
            }
        }
        invocation.log.rejected(&rejected);
        rejected.iter().for_each(|(entry, _)| failures.add(entry.index));
        let mut failed = rejected.len();
        let writes = updates
            .iter()
            .map(async |(id, update)| (id, update, self.update(id, update, invocation).await));
        let mut writes = iter(writes).buffer_unordered(IN_FLIGHT);
        while let Some((id, update, written)) = writes.next().await {
            if let Err(reason) = written {
                failed += update.records.len();
                update.records.iter().for_each(|index| failures.add(*index));
                invocation.log.write(
                    Level::Warn,
                    "price not set",
                    || serde_json::json!({"error": reason, "productId": id}),
                );
            }
        }
        Done {
            failures,
            total: entries.len(),
            failed,
        }
    }
}

/// Keeps the newest price of a product.
fn newest(updates: &mut HashMap<String, Update>, id: String, price: String, entry: &Entry<'_>) {
    let position = entry.position();
    let update = updates.entry(id).or_insert_with(|| Update {
        price: String::new(),
        position: String::new(),
        records: Vec::new(),
    });
    update.records.push(entry.index);
    if position > update.position {
        (update.price, update.position) = (price, position);
    }
}

/// The product and its price as a DynamoDB number.
fn price_of(entry: &Entry<'_>) -> Result<(String, String), Invalid> {
    let object = entry.object()?;
    let id = match object.get("product_id") {
        None => return Err(Invalid::missing("product_id")),
        Some(Json::Text(id)) if id.is_empty() => return Err(Invalid::field("product_id", "is empty")),
        Some(Json::Text(id)) if id.len() > MAX_KEY_BYTES => {
            return Err(Invalid::field("product_id", "is longer than 2048 bytes"));
        }
        Some(Json::Text(id)) => id.clone().into_owned(),
        Some(_) => return Err(Invalid::field("product_id", "is not a string")),
    };
    let price = match object.get("price") {
        None => return Err(Invalid::missing("price")),
        Some(Json::Number(text)) => Decimal::parse_json(text),
        Some(Json::Text(text)) => Decimal::parse_json(text.trim()),
        Some(_) => return Err(Invalid::field("price", "is not a number")),
    };
    let price = price.map_err(|error| Invalid::field("price", error))?;
    if price.is_negative() {
        return Err(Invalid::field("price", "is below zero"));
    }
    Ok((id, price.to_string()))
}

/// The prices that were written last.
struct Cache {
    entries: usize,
    prices: HashMap<String, String>,
    order: VecDeque<String>,
}

impl Cache {
    fn new(entries: usize) -> Self {
        Self {
            entries,
            prices: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    fn has(&self, id: &str, price: &str) -> bool {
        self.prices.get(id).is_some_and(|known| known == price)
    }

    fn put(&mut self, id: &str, price: &str) {
        if self.prices.insert(id.to_owned(), price.to_owned()).is_some() {
            return;
        }
        self.order.push_back(id.to_owned());
        if self.order.len() > self.entries
            && let Some(oldest) = self.order.pop_front()
        {
            self.prices.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests;
