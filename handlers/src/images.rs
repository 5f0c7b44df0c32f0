//! `image-processor`: makes the sizes of an uploaded image and records them on its product.
//!
//! An upload has the key `incoming_product_images/{product}/{type}.jpg`, and its sizes
//! `product_images/{product}/{type}/{size}.jpg`. The newest upload of a key counts, whatever notification arrives last; so a
//! notification that arrives twice changes nothing.

mod decode;
mod resize;

use std::future::Future;
use std::process::ExitCode;

use bytes::Bytes;
use serde::Serialize;

use crate::aws::{Clients, DynamoTable, S3Bucket};
use crate::deliver::retried;
use crate::environment::{Environment, InvalidVariable};
use crate::log::Level;
use crate::notification::Notification;
use crate::runtime::{self, Diagnostic, Function, Invocation};
use crate::store::{Bucket, CallError, CallErrorKind, Object, Objects};

/// Runs the function until Lambda ends it.
pub fn main() -> ExitCode {
    runtime::run_function(ImageProcessor::from_environment)
}

/// Maximum size of an upload, in bytes.
const MAX_UPLOAD_BYTES: usize = 32 << 20;

/// A size that is made of each image.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Size {
    pub name: &'static str,
    /// In pixels.
    pub width: u32,
    pub height: u32,
}

/// Largest first: a smaller size is made of a larger one.
pub const SIZES: [Size; 3] = [
    Size {
        name: "large",
        width: 1920,
        height: 1080,
    },
    Size {
        name: "medium",
        width: 1280,
        height: 720,
    },
    Size {
        name: "small",
        width: 192,
        height: 108,
    },
];

const INCOMING: &str = "incoming_product_images/";

/// The key of an uploaded image.
pub fn incoming_key(product: &str, kind: &str) -> String {
    format!("{INCOMING}{product}/{kind}.jpg")
}

/// The key of a size of an image.
pub fn sized_key(product: &str, kind: &str, size: &str) -> String {
    format!("product_images/{product}/{kind}/{size}.jpg")
}

/// Whether `name` can be a part of a key: 1 to 64 letters, digits, hyphens and underscores.
pub fn is_name(name: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=64).contains(&name.len()) && name.bytes().all(is_allowed)
}

/// The product and the type of an upload with this key.
fn parts_of(key: &str) -> Option<(&str, &str)> {
    let (product, file) = key.strip_prefix(INCOMING)?.split_once('/')?;
    let kind = file.strip_suffix(".jpg")?;
    (is_name(product) && is_name(kind)).then_some((product, kind))
}

/// The products that images belong to.
pub trait ImageRecords {
    fn exists(&self, product: &str) -> impl Future<Output = Result<bool, CallError>>;

    /// Sets `images.{kind}` of an existing product to the names of its sizes. Returns whether the product exists.
    fn record(
        &self,
        product: &str,
        kind: &str,
        sizes: &[&str],
    ) -> impl Future<Output = Result<bool, CallError>>;
}

/// The answer to a notification.
#[derive(Debug, Default, PartialEq, Serialize)]
pub struct Processed {
    /// Keys of the uploads whose sizes are made.
    pub processed: Vec<String>,
    /// Uploads that cannot be processed, however often it is tried.
    pub refused: Vec<Refused>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Refused {
    pub key: String,
    /// A sentence without a full stop.
    pub error: String,
}

/// Why an upload has no sizes.
enum Failure {
    /// Nothing changes this.
    Lasting(String),
    Call(CallError),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

pub struct ImageProcessor<B, P> {
    bucket: B,
    bucket_name: String,
    products: P,
}

impl ImageProcessor<S3Bucket, DynamoTable> {
    /// Reads `BUCKET_NAME` and `TABLE_NAME`.
    ///
    /// # Errors
    /// A variable is missing.
    fn from_environment(environment: &Environment, clients: &Clients) -> Result<Self, InvalidVariable> {
        let bucket = environment.required("BUCKET_NAME", "the bucket of images")?;
        let table = environment.required("TABLE_NAME", "the table of products")?;
        Ok(Self::new(clients.bucket(bucket), bucket, clients.table(table)))
    }
}

impl<B: Bucket + Objects, P: ImageRecords> ImageProcessor<B, P> {
    pub fn new(bucket: B, bucket_name: &str, products: P) -> Self {
        Self {
            bucket,
            bucket_name: bucket_name.to_owned(),
            products,
        }
    }

    async fn process(&self, bucket: &str, key: &str, invocation: &Invocation) -> Result<(), Failure> {
        let deadline = invocation.deadline;
        let lasting = |reason: &str| Failure::Lasting(reason.to_owned());
        if bucket != self.bucket_name {
            return Err(lasting("it is in another bucket"));
        }
        let (product, kind) = parts_of(key)
            .ok_or_else(|| lasting("its key is not incoming_product_images/{product}/{type}.jpg"))?;
        if !retried(deadline, || self.products.exists(product)).await? {
            return Err(lasting("there is no such product"));
        }
        let data = match retried(deadline, || self.bucket.read(key, MAX_UPLOAD_BYTES)).await {
            Ok(Some(data)) => data,
            Ok(None) => return Err(lasting("it was deleted")),
            Err(error) if error.kind == CallErrorKind::Rejected => {
                return Err(Failure::Lasting(error.message));
            }
            Err(error) => return Err(error.into()),
        };
        for (size, jpeg) in sizes(&data).map_err(Failure::Lasting)? {
            let object = Object {
                key: sized_key(product, kind, size.name),
                body: jpeg,
                content_type: "image/jpeg",
            };
            retried(deadline, || self.bucket.put(&object)).await?;
        }
        let names: Vec<&str> = SIZES.iter().rev().map(|size| size.name).collect();
        match retried(deadline, || self.products.record(product, kind, &names)).await? {
            true => Ok(()),
            false => Err(lasting("there is no such product")),
        }
    }
}

impl<B: Bucket + Objects, P: ImageRecords> Function for ImageProcessor<B, P> {
    type Answer = Processed;

    async fn answer(&self, payload: &[u8], invocation: &Invocation) -> Result<Processed, Diagnostic> {
        let mut answer = Processed::default();
        for (bucket, key) in Notification::parse(payload)?.objects() {
            match self.process(&bucket, &key, invocation).await {
                Ok(()) => {
                    let fields = || serde_json::json!({"key": key});
                    invocation.log.write(Level::Info, "image processed", fields);
                    answer.processed.push(key);
                }
                Err(Failure::Lasting(error)) => {
                    let fields = || serde_json::json!({"key": key, "error": error});
                    invocation.log.write(Level::Warn, "image refused", fields);
                    answer.refused.push(Refused { key, error });
                }
                // Lambda delivers the notification again.
                Err(Failure::Call(error)) => {
                    return Err(Diagnostic {
                        error_type: "CallFailed".to_owned(),
                        error_message: format!("could not process {key}: {error}"),
                    });
                }
            }
        }
        Ok(answer)
    }
}

/// The sizes of an image as JPEGs, largest first.
///
/// # Errors
/// Why there are none. A sentence without a full stop.
pub fn sizes(data: &[u8]) -> Result<Vec<(Size, Bytes)>, String> {
    let picture = decode::decode(data)?;
    resize::sizes(picture)
}

#[cfg(test)]
mod tests;
