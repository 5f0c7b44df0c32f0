//! `products-api`: lists, reads, creates, changes and deletes products, and gives URLs for their images.
//!
//! Prices also arrive through the stream (`price-updater`), and sizes of images are recorded by `image-processor`. What those
//! two keep on a product cannot be set here.

mod product;

use std::future::Future;
use std::process::ExitCode;
use std::time::Duration;

use crate::attribute;
use crate::aws::{Clients, DynamoTable, S3Bucket};
use crate::environment::{Environment, InvalidVariable};
use crate::http::{Answer, Api, Request, Served};
use crate::images::{self, SIZES};
use crate::json::write_text;
use crate::log::Level;
use crate::runtime::{self, Invocation};
use crate::store::{CallError, CallErrorKind, Item};
use product::Changes;

/// Runs the function until Lambda ends it.
pub fn main() -> ExitCode {
    runtime::run_function(from_environment)
}

const METHODS: &str = "GET, POST, PUT, DELETE, OPTIONS";
/// How long a presigned URL is valid.
const URL_LIFETIME: Duration = Duration::from_secs(3600);
/// Maximum size of a list. A function's answer has at most 6 MB, and the body's quotes are escaped in it.
const MAX_LIST_BYTES: usize = 4 << 20;

/// The table of products.
pub trait Catalogue {
    /// A page of all products, or of those of `category`, from the key `after` on. Returns the key of the next page.
    fn page(
        &self,
        category: Option<&str>,
        after: Option<Item>,
    ) -> impl Future<Output = Result<(Vec<Item>, Option<Item>), CallError>>;

    fn get(&self, id: &str) -> impl Future<Output = Result<Option<Item>, CallError>>;

    /// Puts an item whose `id` is new.
    fn insert(&self, item: Item) -> impl Future<Output = Result<(), CallError>>;

    /// Sets and removes attributes of an existing product. Returns it as it is then, or `None` if it does not exist.
    fn change(
        &self,
        id: &str,
        set: Item,
        remove: Vec<String>,
    ) -> impl Future<Output = Result<Option<Item>, CallError>>;

    /// Deletes a product and returns it, or `None` if it does not exist.
    fn delete(&self, id: &str) -> impl Future<Output = Result<Option<Item>, CallError>>;
}

/// Makes URLs that allow one request to a bucket.
pub trait Presign {
    /// A URL for a PUT of a JPEG.
    fn upload(&self, key: &str, lifetime: Duration) -> Result<String, CallError>;

    /// A URL for a GET.
    fn download(&self, key: &str, lifetime: Duration) -> Result<String, CallError>;
}

pub struct ProductsApi<C, B> {
    products: C,
    /// Without one there are no images.
    images: Option<B>,
    new_id: fn() -> String,
}

/// `products-api`, as its binary runs it.
pub type ProductsFunction = Served<ProductsApi<DynamoTable, S3Bucket>>;

/// Reads `TABLE_NAME` and `BUCKET_NAME`.
///
/// # Errors
/// A variable is missing.
fn from_environment(
    environment: &Environment,
    clients: &Clients,
) -> Result<ProductsFunction, InvalidVariable> {
    let table = environment.required("TABLE_NAME", "the table of products")?;
    let bucket = environment.optional("BUCKET_NAME");
    let products = clients.table(table);
    let images = bucket.map(|bucket| clients.bucket(bucket));
    Ok(Served(ProductsApi::new(products, images, || {
        uuid::Uuid::new_v4().to_string()
    })))
}

/// Either answer ends the request.
type Outcome = Result<Answer, Answer>;

impl<C: Catalogue, B: Presign> ProductsApi<C, B> {
    pub fn new(products: C, images: Option<B>, new_id: fn() -> String) -> Self {
        Self {
            products,
            images,
            new_id,
        }
    }

    async fn list(&self, category: Option<&str>, invocation: &Invocation) -> Outcome {
        let mut body = String::from("[");
        let mut after = None;
        loop {
            let page = self.products.page(category, after.take()).await;
            let (items, next) = page.map_err(|error| failed(&error, invocation))?;
            for item in items {
                if body.len() > 1 {
                    body.push(',');
                }
                write(&item, &mut body);
            }
            if body.len() > MAX_LIST_BYTES {
                return Err(Answer::message(
                    413,
                    "The list of products is larger than an answer may be; ask for one category",
                ));
            }
            match next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        body.push(']');
        Ok(Answer::json(200, body))
    }

    async fn create(&self, body: &[u8], invocation: &Invocation) -> Outcome {
        let id = (self.new_id)();
        let item = Changes::parse(body, None)
            .map_err(|message| Answer::message(400, &message))?
            .into_item(&id);
        let inserted = self.products.insert(item.clone()).await;
        inserted.map_err(|error| failed(&error, invocation))?;
        Ok(product_answer(201, &item))
    }

    async fn get(&self, id: &str, invocation: &Invocation) -> Outcome {
        let item = self.products.get(id).await;
        found(item.map_err(|error| failed(&error, invocation))?)
    }

    async fn change(&self, id: &str, body: &[u8], invocation: &Invocation) -> Outcome {
        let changes = Changes::parse(body, Some(id)).map_err(|message| Answer::message(400, &message))?;
        let item = if changes.is_empty() {
            self.products.get(id).await
        } else {
            self.products.change(id, changes.set, changes.remove).await
        };
        found(item.map_err(|error| failed(&error, invocation))?)
    }

    async fn delete(&self, id: &str, invocation: &Invocation) -> Outcome {
        let item = self.products.delete(id).await;
        found(item.map_err(|error| failed(&error, invocation))?)
    }

    async fn upload_url(&self, id: &str, request: &Request, invocation: &Invocation) -> Outcome {
        let (bucket, kind) = self.image(id, request, invocation).await?;
        let key = images::incoming_key(id, kind);
        let url = bucket.upload(&key, URL_LIFETIME);
        url_answer("url", url, invocation)
    }

    async fn download_url(&self, id: &str, request: &Request, invocation: &Invocation) -> Outcome {
        let size = request.parameter("size").unwrap_or("large");
        if SIZES.iter().all(|known| known.name != size) {
            return Err(Answer::message(
                400,
                "The parameter size is not one of small, medium, large",
            ));
        }
        let (bucket, kind) = self.image(id, request, invocation).await?;
        let key = images::sized_key(id, kind, size);
        let url = bucket.download(&key, URL_LIFETIME);
        url_answer("download_url", url, invocation)
    }

    /// The bucket and the type of an image of an existing product.
    async fn image<'a>(
        &'a self,
        id: &str,
        request: &'a Request,
        invocation: &Invocation,
    ) -> Result<(&'a B, &'a str), Answer> {
        let kind = request.parameter("type").unwrap_or("main");
        if !images::is_name(kind) {
            return Err(Answer::message(
                400,
                "The parameter type takes up to 64 letters, digits, hyphens and underscores",
            ));
        }
        let Some(bucket) = &self.images else {
            return Err(Answer::message(501, "This API has no bucket for images"));
        };
        self.get(id, invocation).await?;
        if images::is_name(id) {
            return Ok((bucket, kind));
        }
        // The id is a part of the object's key.
        Err(Answer::message(
            400,
            "A product whose id has characters other than letters, digits, hyphens and underscores has no images",
        ))
    }

    async fn route(&self, request: &Request, invocation: &Invocation) -> Outcome {
        match (request.segments().as_slice(), request.method.as_str()) {
            (["products"], "GET") => self.list(request.parameter("category"), invocation).await,
            (["products"], "POST") => self.create(&request.body, invocation).await,
            (["products"], _) => Err(Answer::not_allowed("GET, POST, OPTIONS")),
            (["products", id, ..], _) if id.len() > product::MAX_KEY_BYTES => Err(missing()),
            (["products", id], "GET") => self.get(id, invocation).await,
            (["products", id], "PUT") => self.change(id, &request.body, invocation).await,
            (["products", id], "DELETE") => self.delete(id, invocation).await,
            (["products", _], _) => Err(Answer::not_allowed("GET, PUT, DELETE, OPTIONS")),
            (["products", id, "images"], "POST") => self.upload_url(id, request, invocation).await,
            (["products", id, "images"], "GET") => self.download_url(id, request, invocation).await,
            (["products", _, "images"], _) => Err(Answer::not_allowed("GET, POST, OPTIONS")),
            _ => Err(Answer::not_found()),
        }
    }
}

impl<C: Catalogue, B: Presign> Api for ProductsApi<C, B> {
    const METHODS: &'static str = METHODS;

    async fn respond(&self, request: &Request, invocation: &Invocation) -> Answer {
        let answered = tokio::time::timeout_at(invocation.deadline, self.route(request, invocation)).await;
        match answered {
            Ok(Ok(answer) | Err(answer)) => answer,
            Err(_) => failed(&CallError::timeout(), invocation),
        }
    }
}

/// Appends the product as JSON, without what only `price-updater` needs.
fn write(item: &Item, into: &mut String) {
    attribute::write_json(item, &|name| name != product::PRICE_SEQUENCE, into);
}

fn product_answer(status: u16, item: &Item) -> Answer {
    let mut body = String::new();
    write(item, &mut body);
    Answer::json(status, body)
}

fn missing() -> Answer {
    Answer::message(404, "Product not found")
}

fn found(item: Option<Item>) -> Outcome {
    let item = item.ok_or_else(missing)?;
    Ok(product_answer(200, &item))
}

fn url_answer(name: &str, url: Result<String, CallError>, invocation: &Invocation) -> Outcome {
    let url = url.map_err(|error| failed(&error, invocation))?;
    let mut body = format!("{{\"{name}\":");
    write_text(&url, &mut body);
    body.push_str(&format!(",\"expires_in\":{}}}", URL_LIFETIME.as_secs()));
    Ok(Answer::json(200, body))
}

/// The answer to an error of a service. The log has the reason.
fn failed(error: &CallError, invocation: &Invocation) -> Answer {
    invocation.log.write(
        Level::Error,
        "call failed",
        || serde_json::json!({"error": error.message}),
    );
    match error.kind {
        CallErrorKind::Rejected => Answer::message(
            400,
            "The table does not accept the request: the product is too large, or a key is not valid",
        ),
        CallErrorKind::Transient | CallErrorKind::Timeout => {
            let mut answer = Answer::message(503, "The table is busy; try again");
            answer.headers.push(("Retry-After", "1".to_owned()));
            answer
        }
        CallErrorKind::Refused => Answer::message(500, "The request could not be processed"),
    }
}

#[cfg(test)]
mod tests;
