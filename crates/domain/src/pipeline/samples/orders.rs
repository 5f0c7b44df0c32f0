//! Orders for a pipeline that makes features of them: generated, uploaded, and waited for.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::super::Pipeline;
use super::super::follow::{AwsServices, Marked, Services as _};
use super::objects::{SampleObject, Upload};
use crate::context::Context;
use crate::generate::orders::{self, Orders};
use ground::backoff::Backoff;
use ground::error::{Error, Result};
use ground::exit::Exit;
use ground::stop::Stop;

/// The largest number of orders.
pub const MOST_ORDERS: u64 = 10_000_000;
/// The same orders each time.
const SEED: u64 = 1;
/// Orders that are made between two looks at the stop.
const STEP: usize = 1_000;
/// The longest time that Lambda runs a function, and a minute for the notification and the log.
/// Source: "Lambda quotas", Lambda developer guide.
const PATIENCE: Duration = Duration::from_secs(16 * 60);
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(3));

/// The section `[orders]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredOrders {
    /// Name of the bucket, such as `${data.name}`.
    bucket: String,
    /// Keys that begin so invoke the function.
    prefix: String,
    /// The object with the names of the products.
    products_key: String,
    /// Name of the table that the function writes to.
    table: String,
    /// The log group of the function. It says when it is done.
    log_group: String,
    /// Name of the function.
    function: String,
}

impl DeclaredOrders {
    /// What may contain references.
    pub(in super::super) fn texts(&self) -> [&String; 6] {
        let Self {
            bucket,
            prefix,
            products_key,
            table,
            log_group,
            function,
        } = self;
        [bucket, prefix, products_key, table, log_group, function]
    }

    /// `None` if one of its resources is left out.
    pub(super) fn filled(&self, pipeline: &Pipeline<'_>) -> Result<Option<SampleOrders>> {
        let mut names = Vec::new();
        for text in self.texts() {
            match pipeline.sample_name(text)? {
                Some(name) => names.push(name),
                None => return Ok(None),
            }
        }
        let mut names = names.into_iter();
        let mut next = || names.next().unwrap_or_default();
        Ok(Some(SampleOrders {
            bucket: next(),
            prefix: next(),
            products_key: next(),
            table: next(),
            log_group: next(),
            function: next(),
        }))
    }
}

/// Where orders go.
#[derive(Debug, Clone, PartialEq)]
pub struct SampleOrders {
    pub bucket: String,
    prefix: String,
    pub products_key: String,
    pub table: String,
    log_group: String,
    function: String,
}

/// What the function made of the orders.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Features {
    /// The key of the orders.
    pub key: String,
    pub users: u64,
    pub products: u64,
}

impl SampleOrders {
    /// Uploads the products and `count` orders, and waits until the function has made the features. Earlier sample orders are
    /// deleted. `tell` gets what is being done.
    ///
    /// # Errors
    /// Exit 1 when a call is refused, the function fails or takes too long; exit 130 after a stop.
    pub async fn load(
        &self,
        context: &Context,
        count: u64,
        stop: &Stop,
        tell: &(dyn Fn(String) + Sync),
    ) -> Result<Features> {
        let services = AwsServices(context);
        let products = SampleObject {
            bucket: self.bucket.clone(),
            key: self.products_key.clone(),
            text: orders::products(),
        };
        products.load(context).await?;
        let earlier = Marked::Objects {
            bucket: self.bucket.clone(),
            prefix: format!("{}sample-", self.prefix),
        };
        while earlier.delete(&services).await? > 0 {}
        // The log tells the features of this run from those of an earlier one by the key.
        let key = format!("{}sample-{:016x}.ndjson.gz", self.prefix, rand::random::<u64>());
        let mut upload = Upload::new(context, &self.bucket, &key);
        if let Err(error) = send(&mut upload, count, stop, tell).await {
            upload.abandon().await;
            return Err(error);
        }
        tell(format!("{} makes the features", self.function));
        let made = self.wait(&services, &key, stop).await?;
        let number = |name: &str| made[name].as_u64().unwrap_or_default();
        Ok(Features {
            users: number("users"),
            products: number("products"),
            key,
        })
    }

    /// Waits for the line of the function about `key`.
    async fn wait(&self, services: &AwsServices<'_>, key: &str, stop: &Stop) -> Result<Value> {
        let failed = |why: String| {
            Error::failed(format!("{} made no features of {key}", self.function))
                .cause(why)
                .hint(format!("`streamctl logs {}` may show the cause", self.function))
        };
        let (mut pauses, deadline) = (BACKOFF.pauses(), Instant::now() + PATIENCE);
        loop {
            // The key is new, so an older line is of no other run.
            if let Some(line) = services.log_line(&self.log_group, key, 0).await? {
                let line = serde_json::from_str(&line).unwrap_or(Value::Null);
                return match line["users"].is_u64() {
                    true => Ok(line),
                    false => Err(failed(
                        line["error"]
                            .as_str()
                            .unwrap_or("its log says that it failed")
                            .to_owned(),
                    )),
                };
            }
            let Some(pause) = pauses.advance_until(deadline) else {
                return Err(failed(format!(
                    "its log says nothing after {} minutes",
                    PATIENCE.as_secs() / 60
                )));
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = stop.wait() => return Err(stopped("before the features were made")),
            }
        }
    }
}

fn stopped(when: &str) -> Error {
    Error::new(Exit::Interrupted, format!("stopped {when}"))
        .hint("run the same command again: it replaces what is there")
}

/// Compresses and uploads `count` orders.
async fn send(
    upload: &mut Upload<'_>,
    count: u64,
    stop: &Stop,
    tell: &(dyn Fn(String) + Sync),
) -> Result<()> {
    let unwritten = |error: std::io::Error| Error::failed("the orders could not be compressed").cause(error);
    let mut packed = GzEncoder::new(Vec::with_capacity(Upload::PART), Compression::default());
    for (number, order) in Orders::new(SEED, count).enumerate() {
        packed.write_all(order.as_bytes()).map_err(unwritten)?;
        if packed.get_ref().len() >= Upload::PART {
            let part = std::mem::take(packed.get_mut());
            upload.part(part.into()).await?;
        }
        if (number + 1) % STEP == 0 {
            tell(format!("{} of {count} orders", number + 1));
            if stop.is_set() {
                return Err(stopped("before all orders were uploaded"));
            }
            tokio::task::yield_now().await;
        }
    }
    upload.finish(packed.finish().map_err(unwritten)?.into()).await
}
