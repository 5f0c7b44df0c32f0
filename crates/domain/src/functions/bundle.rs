//! The Lambda handlers that are bundled with streamctl, one zip each. `main` passes them in with [`carry`], so that the
//! library compiles without building them.

use std::sync::OnceLock;

use bytes::Bytes;
use serde::Serialize;

use super::package::Package;
use crate::similar::did_you_mean;
use ground::error::{Error, Result};

/// Name and zip of each handler.
pub type Zips = &'static [(&'static str, &'static [u8])];

static ZIPS: OnceLock<Zips> = OnceLock::new();

/// Sets the zips of this process. Later calls have no effect.
pub fn carry(zips: Zips) {
    ZIPS.get_or_init(|| zips);
}

/// A bundled handler. Its code is a zip with the file `bootstrap`; Lambda's setting `Handler` is its name.
#[derive(Debug, Serialize)]
pub struct Handler {
    pub name: &'static str,
    /// Other names accepted on the command line.
    pub aliases: &'static [&'static str],
    /// The bundled template that uses it.
    pub template: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The environment variables that it reads. The template sets the required ones.
    pub needs: &'static [Need],
    #[serde(skip)]
    package: &'static OnceLock<Package>,
}

/// An environment variable that a handler reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(
    feature = "schemas",
    derive(schemars::JsonSchema),
    schemars(rename = "HandlerNeed")
)]
pub struct Need {
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// The default; `None` if the variable is required.
    pub default: Option<&'static str>,
}

const fn required(name: &'static str, about: &'static str) -> Need {
    Need {
        name,
        about,
        default: None,
    }
}

const fn optional(name: &'static str, about: &'static str, default: &'static str) -> Need {
    Need {
        name,
        about,
        default: Some(default),
    }
}

const TABLE: Need = required("TABLE_NAME", "table that it writes to");
const BUCKET: Need = required("BUCKET_NAME", "bucket that it writes to");
const TTL: Need = optional("TTL_DAYS", "days after which an item expires", "30");
const LOG_LEVEL: Need = optional("LOG_LEVEL", "error, warn, info or debug", "info");

static PACKAGES: [OnceLock<Package>; 9] = [const { OnceLock::new() }; 9];

static HANDLERS: [Handler; 9] = [
    Handler {
        name: "price-updater",
        aliases: &["prices"],
        template: "prices",
        about: "Sets the price of existing products",
        needs: &[
            TABLE,
            optional(
                "PRICE_CACHE_ENTRIES",
                "products whose price is remembered; 0 is off",
                "0",
            ),
            LOG_LEVEL,
        ],
        package: &PACKAGES[0],
    },
    Handler {
        name: "products-api",
        aliases: &["products"],
        template: "prices",
        about: "Serves products and URLs for their images over HTTP",
        needs: &[
            TABLE,
            optional("BUCKET_NAME", "bucket of the images", "none: no images"),
            LOG_LEVEL,
        ],
        package: &PACKAGES[5],
    },
    Handler {
        name: "image-processor",
        aliases: &["images"],
        template: "prices",
        about: "Makes three sizes of an uploaded image",
        needs: &[BUCKET, TABLE, LOG_LEVEL],
        package: &PACKAGES[6],
    },
    Handler {
        name: "realtime-data-processor",
        aliases: &["realtime", "realtime-processor"],
        template: "realtime",
        about: "Archives readings and keeps metrics of each partition key",
        needs: &[
            BUCKET,
            TABLE,
            TTL,
            optional("WINDOW_SECONDS", "seconds that one item of metrics covers", "60"),
            optional(
                "READINGS",
                "further fields that count as readings, separated by commas",
                "none",
            ),
            LOG_LEVEL,
        ],
        package: &PACKAGES[1],
    },
    Handler {
        name: "retail-event-processor",
        aliases: &["retail", "retail-processor"],
        template: "retail",
        about: "Scores customer events and stores them",
        needs: &[
            TABLE,
            required(
                "QUEUE_URL",
                "queue that takes the records that cannot be processed",
            ),
            required("ENVIRONMENT", "dimension of its metrics"),
            TTL,
            LOG_LEVEL,
        ],
        package: &PACKAGES[2],
    },
    Handler {
        name: "concert-stream-processor",
        aliases: &["concert", "concert-processor"],
        template: "concert",
        about: "Stores artists, venues, concerts and sales, raw and normalised",
        needs: &[BUCKET, LOG_LEVEL],
        package: &PACKAGES[3],
    },
    Handler {
        name: "concert-data-processor",
        aliases: &["concert-data"],
        template: "concert",
        about: "Logs the kind of each record",
        needs: &[LOG_LEVEL],
        package: &PACKAGES[4],
    },
    Handler {
        name: "cart-api",
        aliases: &["cart"],
        template: "cart",
        about: "Takes events of a shopping cart over HTTP, and recommends products",
        needs: &[
            required("STREAM_NAME", "stream that it writes to"),
            optional(
                "FEATURES_TABLE",
                "table of the features of users and products",
                "none: no recommendations",
            ),
            optional("MODEL_BUCKET", "bucket of the model and the scaler", "none"),
            optional("MODEL_KEY", "key of the model", "model.json"),
            optional("SCALER_KEY", "key of the scaler", "scaler.json"),
            optional(
                "SAGEMAKER_ENDPOINT",
                "endpoint that is used in place of the model",
                "none",
            ),
            optional(
                "RECOMMENDATION_BUDGET_MS",
                "milliseconds that a submission waits for recommendations",
                "300",
            ),
            LOG_LEVEL,
        ],
        package: &PACKAGES[7],
    },
    Handler {
        name: "cart-features",
        aliases: &["features"],
        template: "cart",
        about: "Makes features of users and products of uploaded orders",
        needs: &[
            required("BUCKET_NAME", "bucket that it reads from"),
            TABLE,
            optional(
                "PRODUCTS_KEY",
                "key of the products, with their names",
                "none: no names",
            ),
            LOG_LEVEL,
        ],
        package: &PACKAGES[8],
    },
];

pub fn all() -> &'static [Handler] {
    &HANDLERS
}

/// Finds a bundled handler by name or alias.
///
/// # Errors
/// Exit 2, with the available names.
pub fn find(name: &str) -> Result<&'static Handler> {
    let called = |handler: &&Handler| handler.name == name || handler.aliases.contains(&name);
    all().iter().find(called).ok_or_else(|| {
        let names: Vec<&str> = all().iter().map(|handler| handler.name).collect();
        Error::usage(format!("there is no bundled handler {name:?}")).hint(format!(
            "{}the handlers are {}; `deploy NAME --zip FILE` or `--bootstrap FILE` takes one of your own",
            meant(name),
            names.join(", ")
        ))
    })
}

/// "did you mean retail-processor? ", or nothing where no bundled handler is called so.
pub fn meant(name: &str) -> String {
    let aliases = all().iter().flat_map(|handler| handler.aliases.iter().copied());
    did_you_mean(name, all().iter().map(|handler| handler.name).chain(aliases))
}

impl Handler {
    /// # Errors
    /// Exit 1 if this build of streamctl has no handlers.
    pub fn package(&self) -> Result<Package> {
        if let Some(package) = self.package.get() {
            return Ok(package.clone());
        }
        let zips = ZIPS.get().copied().unwrap_or_default();
        let zip = zips.iter().find(|(name, _)| *name == self.name);
        let (_, zip) = zip.ok_or_else(|| {
            Error::failed(format!(
                "this streamctl was built without the handler {}",
                self.name
            ))
            .hint(format!(
                "build streamctl with the feature `bundle`, or the handler with \
                 `cargo lambda build --release -p streamctl-handlers --bin {0}` \
                 and give it with `--bootstrap target/lambda/{0}/bootstrap`",
                self.name
            ))
        })?;
        let package = Package::from_zip_bytes(self.name, Bytes::from_static(zip))?;
        Ok(self.package.get_or_init(|| package).clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handlers_are_found_by_name_and_alias() {
        for name in ["retail-event-processor", "retail-processor", "retail"] {
            assert_eq!(find(name).unwrap().template, "retail");
        }
        let error = find("retial").unwrap_err();
        insta::assert_snapshot!(error, @r#"there is no bundled handler "retial""#);
        insta::assert_snapshot!(error.hint_text().unwrap(), @"did you mean retail? the handlers are price-updater, products-api, image-processor, realtime-data-processor, retail-event-processor, concert-stream-processor, concert-data-processor, cart-api, cart-features; `deploy NAME --zip FILE` or `--bootstrap FILE` takes one of your own");
    }

    #[test]
    fn no_name_means_two_handlers() {
        let mut names: Vec<&str> = all()
            .iter()
            .flat_map(|handler| handler.aliases.iter().copied().chain([handler.name]))
            .collect();
        names.sort_unstable();
        let count = names.len();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
