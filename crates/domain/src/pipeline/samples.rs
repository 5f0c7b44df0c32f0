//! Sample data of a template: events to put to its stream, and what its tables and buckets need before the events make sense:
//! items, files, and orders that are generated.

mod objects;
mod orders;

use std::time::Duration;

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep};

use super::{Manifest, Pipeline, UNKNOWN, substitute};
use crate::context::Context;
use ground::backoff::Backoff;
use ground::error::{self, Error, Result};

pub use objects::{DeclaredObject, SampleObject};
pub use orders::{DeclaredOrders, Features, MOST_ORDERS, SampleOrders};

/// Most items of one call. Source: BatchWriteItem, DynamoDB API reference.
const BATCH: usize = 25;
/// How long a table may take no item before loading ends.
const PATIENCE: Duration = Duration::from_secs(60);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(5)).jitter(0.5, 1.0);

/// A file of items that comes with a template, and the table that they belong to.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredItems {
    /// Name of the table, such as `${table.name}`.
    pub(super) table: String,
    /// A JSON file, relative to the manifest: an array of objects, one for each item.
    pub(super) file: String,
    /// The items in it.
    #[serde(skip)]
    pub(super) items: Vec<Map<String, Value>>,
}

/// Items for one table.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleItems {
    pub table: String,
    pub items: Vec<Map<String, Value>>,
}

impl Manifest {
    /// The text of its file of sample events.
    ///
    /// # Errors
    /// Exit 2 when the template has none, or it cannot be read.
    pub fn sample_events(&self) -> Result<String> {
        let Some(events) = &self.events else {
            return Err(
                Error::usage(format!("template {} has no sample events", self.name))
                    .hint("`streamctl init` lists the templates"),
            );
        };
        let unreadable = |problem: String| Error::usage("could not read the sample events").cause(problem);
        self.files.text(&events.file).map_err(unreadable)
    }
}

/// What `sample load` puts into the tables and buckets of a pipeline.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples {
    pub items: Vec<SampleItems>,
    pub objects: Vec<SampleObject>,
    pub orders: Option<SampleOrders>,
}

impl Samples {
    fn is_empty(&self) -> bool {
        self.items.is_empty() && self.objects.is_empty() && self.orders.is_none()
    }
}

impl Pipeline<'_> {
    /// Whether the template has sample data, with the parameters that are given.
    pub fn has_samples(&self) -> bool {
        self.samples().is_ok()
    }

    /// The sample data of the template. The resources must have been observed.
    ///
    /// # Errors
    /// Exit 2 when the template has none; exit 1 when a table or bucket does not exist.
    pub fn samples(&self) -> Result<Samples> {
        let manifest = self.manifest();
        let mut samples = Samples::default();
        for one in &manifest.items {
            samples
                .items
                .extend(self.sample_name(&one.table)?.map(|table| SampleItems {
                    table,
                    items: one.items.clone(),
                }));
        }
        for one in &manifest.objects {
            samples.objects.extend(one.filled(self)?);
        }
        if let Some(one) = &manifest.orders {
            samples.orders = one.filled(self)?;
        }
        if samples.is_empty() {
            let name = &manifest.name;
            let declares = !manifest.objects.is_empty() || manifest.orders.is_some();
            let with = if declares { " with these parameters" } else { "" };
            return Err(Error::usage(format!("template {name} has no sample data{with}"))
                .hint("`streamctl sample events` prints sample events"));
        }
        Ok(samples)
    }

    /// The name that `text` refers to; `None` if its resource is left out.
    fn sample_name(&self, text: &str) -> Result<Option<String>> {
        let name = substitute::text(text, &|name| self.lookup(name))?;
        match name.contains(UNKNOWN) {
            true => Err(Error::failed(format!("{} is not set up", self.identity()))),
            false => Ok(Some(name).filter(|name| !name.is_empty())),
        }
    }
}

impl SampleItems {
    /// Puts the items. An item of the same key is replaced. `progress` gets the number of items that are stored.
    ///
    /// # Errors
    /// Exit 1 when a call is refused or the table takes nothing for a minute.
    pub async fn load(&self, context: &Context, progress: &(dyn Fn(usize) + Sync)) -> Result<()> {
        let mut stored = 0;
        for batch in self.items.chunks(BATCH) {
            let mut left = batch.iter().map(write).collect::<Result<Vec<_>>>()?;
            let (mut pauses, mut deadline) = (BACKOFF.pauses(), Instant::now() + PATIENCE);
            loop {
                let sent = left.len();
                let call = context.dynamodb().batch_write_item();
                let answer = call.request_items(&self.table, left).send().await;
                let answer = answer.map_err(|error| {
                    error::aws::failed(format!("could not put items into table {}", self.table), error)
                })?;
                let unprocessed = answer.unprocessed_items.unwrap_or_default();
                left = unprocessed.into_values().flatten().collect();
                stored += sent - left.len();
                progress(stored);
                if left.is_empty() {
                    break;
                }
                if left.len() < sent {
                    (pauses, deadline) = (BACKOFF.pauses(), Instant::now() + PATIENCE);
                }
                let Some(pause) = pauses.advance_until(deadline) else {
                    return Err(Error::failed(format!(
                        "table {} takes no more items; {stored} of {} are stored",
                        self.table,
                        self.items.len()
                    ))
                    .hint("run the same command again later"));
                };
                sleep(pause).await;
            }
        }
        Ok(())
    }
}

fn write(item: &Map<String, Value>) -> Result<WriteRequest> {
    let members = item.iter().map(|(name, value)| (name.clone(), attribute(value)));
    let request = PutRequest::builder().set_item(Some(members.collect())).build();
    let request = request.map_err(|error| Error::failed("an item could not be written").cause(error))?;
    Ok(WriteRequest::builder().put_request(request).build())
}

/// A JSON value as the attribute of an item. Numbers keep their digits.
fn attribute(value: &Value) -> AttributeValue {
    match value {
        Value::Null => AttributeValue::Null(true),
        Value::Bool(value) => AttributeValue::Bool(*value),
        Value::Number(number) => AttributeValue::N(number.to_string()),
        Value::String(text) => AttributeValue::S(text.clone()),
        Value::Array(values) => AttributeValue::L(values.iter().map(attribute).collect()),
        Value::Object(members) => {
            let members = members.iter();
            AttributeValue::M(
                members
                    .map(|(name, value)| (name.clone(), attribute(value)))
                    .collect(),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::pipeline;

    #[test]
    fn every_bundled_template_with_events_shows_them() {
        for bundled in pipeline::bundled() {
            let manifest = bundled.read().unwrap();
            if manifest.events.is_some() {
                let events: Vec<Value> = serde_json::from_str(&manifest.sample_events().unwrap()).unwrap();
                assert!(!events.is_empty(), "{}", bundled.name);
            }
        }
        let error = pipeline::template("function")
            .unwrap()
            .sample_events()
            .unwrap_err();
        assert_eq!(error.to_string(), "template function has no sample events");
    }

    #[test]
    fn the_products_of_the_sample_events_are_among_the_sample_items() {
        let manifest = pipeline::template("prices").unwrap();
        let events: Vec<Value> = serde_json::from_str(&manifest.sample_events().unwrap()).unwrap();
        let items = &manifest.items[0].items;
        for event in events {
            assert!(
                items.iter().any(|item| item["id"] == event["product_id"]),
                "{event}"
            );
        }
    }

    #[test]
    fn the_model_of_cart_is_of_the_features_that_cart_features_makes() {
        let manifest = pipeline::template("cart").unwrap();
        let text = |file: &str| {
            let found = manifest.objects.iter().find(|one| one.file == file).unwrap();
            serde_json::from_str::<Value>(&found.text).unwrap()
        };
        let (model, scaler) = (text("model.json"), text("scaler.json"));
        let names = model["learner"]["feature_names"].as_array().unwrap();
        for list in [&scaler["mean"], &scaler["scale"]] {
            assert_eq!(list.as_array().unwrap().len(), names.len());
        }
        assert_eq!(names[0], "user_orders");
        assert_eq!(names[9], "prod_second_orders");
    }

    #[test]
    fn json_becomes_attributes() {
        let item = json!({"s": "a", "n": 29.99, "b": true, "nothing": null, "l": [1], "m": {"x": "y"}});
        let request = write(item.as_object().unwrap()).unwrap().put_request.unwrap();
        let n = |digits: &str| AttributeValue::N(digits.to_owned());
        let s = |text: &str| AttributeValue::S(text.to_owned());
        assert_eq!(request.item["s"], s("a"));
        assert_eq!(request.item["n"], n("29.99"));
        assert_eq!(request.item["b"], AttributeValue::Bool(true));
        assert_eq!(request.item["nothing"], AttributeValue::Null(true));
        assert_eq!(request.item["l"], AttributeValue::L(vec![n("1")]));
        assert_eq!(
            request.item["m"],
            AttributeValue::M([("x".to_owned(), s("y"))].into())
        );
    }
}
