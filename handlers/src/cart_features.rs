//! `cart-features`: makes the features of users and products from a file of orders, for the recommendations of `cart-api`.
//!
//! A notification of S3 names the file: NDJSON, an order a line, also compressed with gzip. It is read once, part by part, and
//! items are written as soon as their user is done. All items follow from the file, so a second delivery writes the same.

mod count;
mod lines;

use std::collections::HashMap;
use std::future::Future;
use std::process::ExitCode;

use aws_sdk_dynamodb::types::AttributeValue;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::attribute::{number, text};
use crate::aws::{Clients, DynamoTable, S3Bucket};
use crate::deliver::{Puts, put_items};
use crate::environment::{Environment, InvalidVariable};
use crate::log::Level;
use crate::notification::Notification;
use crate::recommend::features::{CANDIDATES, product_key, user_key};
use crate::runtime::{self, Diagnostic, Function, Invocation};
use crate::store::{CallError, Item, Objects, Table};
use count::{Counter, ProductFeatures, UserFeatures};
use lines::Lines;

/// Runs the function until Lambda ends it.
pub fn main() -> ExitCode {
    runtime::run_function(CartFeatures::from_environment)
}

/// Number of items that are written together: 8 calls of 25.
const ITEMS_A_WRITE: usize = 200;
/// Maximum size of the file of products, in bytes.
const MAX_PRODUCTS_BYTES: usize = 64 << 20;

/// Reads large objects part by part.
pub trait Parts {
    type Reader: PartReader;

    /// The object `key`. `None` if there is none.
    fn open(&self, key: &str) -> impl Future<Output = Result<Option<Self::Reader>, CallError>>;
}

pub trait PartReader {
    /// The next part. `None` at the end.
    fn next(&mut self) -> impl Future<Output = Result<Option<Bytes>, CallError>>;
}

pub struct CartFeatures<B, T> {
    bucket: B,
    bucket_name: String,
    table: T,
    products_key: Option<String>,
}

/// What a product is called, a line of the file of products.
#[derive(Default, Deserialize)]
struct Names {
    product_id: String,
    product_name: Option<String>,
    department: Option<String>,
    aisle: Option<String>,
}

/// The answer: how much was read and written.
#[derive(Debug, Default, Eq, PartialEq, Serialize)]
pub struct Counts {
    pub orders: u64,
    pub users: u64,
    pub products: u64,
}

impl CartFeatures<S3Bucket, DynamoTable> {
    /// Reads `BUCKET_NAME`, `TABLE_NAME` and `PRODUCTS_KEY`.
    ///
    /// # Errors
    /// A variable is missing.
    fn from_environment(environment: &Environment, clients: &Clients) -> Result<Self, InvalidVariable> {
        let bucket = environment.required("BUCKET_NAME", "the bucket with the files of orders")?;
        let table = environment.required("TABLE_NAME", "the table of features")?;
        let products = environment.optional("PRODUCTS_KEY");
        Ok(Self::new(
            clients.bucket(bucket),
            bucket,
            clients.table(table),
            products,
        ))
    }
}

fn failed(reason: String) -> Diagnostic {
    Diagnostic {
        error_type: "FeaturesFailed".to_owned(),
        error_message: reason,
    }
}

impl<B: Objects + Parts, T: Table> CartFeatures<B, T> {
    /// `products_key` is the file with the names of products.
    pub fn new(bucket: B, bucket_name: &str, table: T, products_key: Option<&str>) -> Self {
        Self {
            bucket,
            bucket_name: bucket_name.to_owned(),
            table,
            products_key: products_key.map(str::to_owned),
        }
    }

    async fn count(&self, key: &str, invocation: &Invocation) -> Result<Counts, String> {
        let opened = self.bucket.open(key).await;
        let opened = opened.map_err(|error| format!("could not read {key}: {error}"))?;
        let mut reader = opened.ok_or_else(|| format!("there is no file {key}"))?;
        let mut names = self.names().await?;
        let (mut counter, mut lines, mut counts) = (Counter::default(), Lines::default(), Counts::default());
        let mut items = Vec::with_capacity(ITEMS_A_WRITE);
        loop {
            let part = reader.next().await;
            let part = part.map_err(|error| format!("could not read {key}: {error}"))?;
            let is_last = part.is_none();
            let parts: Vec<&[u8]> = match &part {
                Some(part) => part.chunks(lines::STEP).collect(),
                None => vec![&[][..]],
            };
            for part in parts {
                lines.push(part, is_last, &mut |line| {
                    counts.orders += 1;
                    if let Some(user) = counter.add(line)? {
                        counts.users += 1;
                        items.push(user_item(&user));
                    }
                    Ok(())
                })?;
                if items.len() >= ITEMS_A_WRITE {
                    self.write(&mut items, invocation).await?;
                }
            }
            if is_last {
                break;
            }
        }
        let (last, products) = counter.finish();
        counts.users += u64::from(last.is_some());
        items.extend(last.iter().map(user_item));
        for (id, features) in products {
            counts.products += 1;
            items.push(product_item(&id, features, names.remove(&*id)));
            if items.len() >= ITEMS_A_WRITE {
                self.write(&mut items, invocation).await?;
            }
        }
        self.write(&mut items, invocation).await?;
        Ok(counts)
    }

    /// The names of products, by id.
    async fn names(&self) -> Result<HashMap<String, Names>, String> {
        let Some(key) = &self.products_key else {
            return Ok(HashMap::new());
        };
        let file = self.bucket.read(key, MAX_PRODUCTS_BYTES).await;
        let file = file.map_err(|error| format!("could not read {key}: {error}"))?;
        let file = file.ok_or_else(|| format!("there is no file {key}"))?;
        let mut names = HashMap::new();
        let lines = file.split(|byte| *byte == b'\n').enumerate();
        for (number, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
            let product: Names = serde_json::from_slice(line)
                .map_err(|error| format!("line {} of {key} is not a product: {error}", number + 1))?;
            names.insert(product.product_id.clone(), product);
        }
        Ok(names)
    }

    /// Writes `items` and empties it.
    async fn write(&self, items: &mut Vec<Item>, invocation: &Invocation) -> Result<(), String> {
        let puts = Puts {
            count: items.len(),
            key: &["id"],
            item: &|index| items[index].clone(),
            bytes: &|_| 4096,
        };
        let results = put_items(&self.table, &puts, invocation.deadline).await;
        for result in results {
            result.map_err(|error| format!("could not write the features: {error}"))?;
        }
        items.clear();
        Ok(())
    }
}

impl<B: Objects + Parts, T: Table> Function for CartFeatures<B, T> {
    type Answer = Vec<Counts>;

    async fn answer(&self, payload: &[u8], invocation: &Invocation) -> Result<Vec<Counts>, Diagnostic> {
        let mut answer = Vec::new();
        for (bucket, key) in Notification::parse(payload)?.objects() {
            if bucket != self.bucket_name {
                return Err(failed(format!("{key} is in another bucket, {bucket}")));
            }
            let counts = self.count(&key, invocation).await.map_err(failed)?;
            invocation.log.write(
                Level::Info,
                "features written",
                || serde_json::json!({"key": key, "orders": counts.orders, "users": counts.users, "products": counts.products}),
            );
            answer.push(counts);
        }
        Ok(answer)
    }
}

fn user_item(user: &UserFeatures) -> Item {
    let mut item = Item::from(
        [
            ("id", text(user_key(&user.user_id.to_string()))),
            ("user_orders", number(user.user_orders)),
            ("user_periods", number(user.user_periods)),
            (
                "user_mean_days_since_prior",
                number(user.user_mean_days_since_prior),
            ),
            ("user_products", number(user.user_products)),
            ("user_distinct_products", number(user.user_distinct_products)),
            (
                CANDIDATES,
                AttributeValue::L(user.products.iter().map(text).collect()),
            ),
        ]
        .map(|(name, value)| (name.to_owned(), value)),
    );
    if let Some(ratio) = user.user_reorder_ratio {
        item.insert("user_reorder_ratio".to_owned(), number(ratio));
    }
    item
}

fn product_item(id: &str, features: ProductFeatures, names: Option<Names>) -> Item {
    let names = names.unwrap_or_default();
    let numbers = [
        ("prod_orders", features.prod_orders),
        ("prod_reorders", features.prod_reorders),
        ("prod_first_orders", features.prod_first_orders),
        ("prod_second_orders", features.prod_second_orders),
    ];
    let texts = [
        ("id", Some(product_key(id))),
        ("product_name", names.product_name),
        ("department", names.department),
        ("aisle", names.aisle),
    ];
    let numbers = numbers.into_iter().map(|(name, value)| (name, number(value)));
    let texts = texts
        .into_iter()
        .filter_map(|(name, value)| Some((name, text(value?))));
    numbers
        .chain(texts)
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests;
