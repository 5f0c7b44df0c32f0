//! For tests of kinds: a spec out of a manifest's text, and a context that no call is made with.

use crate::context::Context;
use crate::pipeline::resource::{Catalog, Location, Resource, Spec};
use crate::pipeline::{Draft, Given, Manifest, Request};
use crate::settings::{Settings, Target, TargetReason};
use ground::error::{Error, Result};

struct Specs(Location);

impl Catalog for Specs {
    fn location(&self) -> &Location {
        &self.0
    }

    fn make<'c>(&'c self, _spec: Spec) -> Result<Box<dyn Resource + 'c>> {
        Err(Error::failed("only specs here"))
    }
}

/// The resource `it` of the manifest `text`, with values for parameters.
pub(super) fn spec(text: &str, given: &[(&str, &str)]) -> (Location, Spec) {
    let location = Location {
        account: "000000000000".into(),
        region: "us-east-1".into(),
        partition: "aws".into(),
    };
    let given = given
        .iter()
        .map(|(name, text)| ((*name).to_owned(), Given::flag(&format!("--{name}"), *text)))
        .collect();
    let request = Request {
        given,
        ..Request::default()
    };
    let manifest = Manifest::parse("test", text, &super::properties).unwrap();
    let specs = Specs(location.clone());
    let pipeline = Draft::new(manifest, request).unwrap().bind(&specs).unwrap();
    (location, pipeline.spec("it").unwrap())
}

/// A context that no call is made with.
pub(super) async fn context() -> Context {
    let settings = Settings {
        target: Target::Endpoint("http://127.0.0.1:9".into()),
        target_reason: TargetReason::Asked,
        region: Some("us-east-1".into()),
        profile: None,
        stream: "concert-data-stream".into(),
        shard_count: None,
        environment: None,
        home: "/nowhere".into(),
    };
    Context::connect(settings).await.unwrap()
}
