//! The control plane. One change is made at a time. It is saved before it is answered.

mod access_controls;
mod distributions;
mod invalidations;
mod tags;

use std::sync::Arc;

use http::Response;
use http::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, LOCATION};

use super::CloudFront;
use super::error::{Error, Result};
use super::model::{Distribution, new_id};
use super::operation::{Operation, Route};
use super::write::Page;
use crate::answer::{answer as respond, identify, request_id, whole};
use crate::service::Request;
use crate::types::{Body, Caller};
pub(super) use tags::{change_tags, tagged};

/// The largest page, and the default. Source: ListDistributions, CloudFront API reference.
const PAGE: usize = 100;

/// What an operation answers.
struct Reply {
    status: u16,
    etag: Option<String>,
    location: Option<String>,
    /// Empty for 204.
    document: Vec<u8>,
}

type Answer = Result<Reply>;

fn ok(document: Vec<u8>) -> Answer {
    Ok(Reply {
        status: 200,
        etag: None,
        location: None,
        document,
    })
}

fn no_content() -> Answer {
    Ok(Reply {
        status: 204,
        etag: None,
        location: None,
        document: Vec::new(),
    })
}

impl Reply {
    fn etag(self, etag: &str) -> Self {
        Self {
            etag: Some(etag.to_owned()),
            ..self
        }
    }

    /// As the response to a creation of what is at `path`.
    fn created(self, path: &str) -> Self {
        Self {
            status: 201,
            location: Some(format!("https://cloudfront.amazonaws.com/2020-05-31/{path}")),
            ..self
        }
    }

    fn respond(self) -> Response<Body> {
        let mut response = respond(self.status, "text/xml", whole(self.document));
        let headers = response.headers_mut();
        let mut set = |name: HeaderName, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(name, value);
            }
        };
        set(ETAG, self.etag);
        set(LOCATION, self.location);
        identify(&mut response, &request_id());
        response
    }
}

/// A request to the control plane.
struct Call<'a> {
    cloudfront: &'a CloudFront,
    caller: &'a Caller,
    route: &'a Route,
    request: &'a Request,
}

/// Answers a request. Blocks.
pub(super) fn answer(cloudfront: &CloudFront, request: &Request) -> Response<Body> {
    let Some(route) = Route::of(&request.parts) else {
        let (method, path) = (&request.parts.method, request.parts.uri.path());
        return Error::not_offered(format_args!("{method} {path}")).respond();
    };
    let call = Call {
        cloudfront,
        caller: &request.caller,
        route: &route,
        request,
    };
    match call.run() {
        Ok(reply) => reply.respond(),
        Err(error) => error.respond(),
    }
}

impl Call<'_> {
    fn run(&self) -> Answer {
        use Operation as O;
        match self.route.operation {
            O::CreateDistribution => self.create_distribution(),
            O::CreateDistributionWithTags => self.create_distribution_with_tags(),
            O::GetDistribution => self.get_distribution(),
            O::GetDistributionConfig => self.get_distribution_config(),
            O::UpdateDistribution => self.update_distribution(),
            O::DeleteDistribution => self.delete_distribution(),
            O::ListDistributions => self.list_distributions(),
            O::CreateOriginAccessControl => self.create_access_control(),
            O::GetOriginAccessControl => self.get_access_control(false),
            O::GetOriginAccessControlConfig => self.get_access_control(true),
            O::UpdateOriginAccessControl => self.update_access_control(),
            O::DeleteOriginAccessControl => self.delete_access_control(),
            O::ListOriginAccessControls => self.list_access_controls(),
            O::CreateInvalidation => self.create_invalidation(),
            O::GetInvalidation => self.get_invalidation(),
            O::ListInvalidations => self.list_invalidations(),
            O::ListTagsForResource => self.list_tags(),
            O::TagResource => self.tag_resource(),
            O::UntagResource => self.untag_resource(),
        }
    }

    fn now(&self) -> i64 {
        self.cloudfront.clock.now_ms()
    }

    /// Checks that the request is for the current version.
    fn check_version(&self, etag: &str) -> Result<()> {
        match self.request.header(IF_MATCH.as_str()) {
            "" => Err(Error::new(
                400,
                "InvalidIfMatchVersion",
                "The If-Match version is missing or not valid for the resource.",
            )),
            given if given.trim_matches('"') == etag => Ok(()),
            _ => Err(Error::new(
                412,
                "PreconditionFailed",
                "The request failed because it didn't meet the preconditions in one or more request-header fields.",
            )),
        }
    }

    /// The distribution of the caller that the path names.
    fn distribution(&self) -> Result<Arc<Distribution>> {
        find(self.cloudfront, self.caller, &self.route.id)
    }

    /// The page of `all` that the request asks for. `all` is in the order of ids.
    fn page<T>(&self, all: Vec<T>, id: impl Fn(&T) -> &str) -> Result<Page<T>> {
        let marker = self.route.parameter("Marker").unwrap_or_default().to_owned();
        let max_items = match self.route.parameter("MaxItems") {
            None | Some("") => PAGE,
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| (1..=PAGE).contains(number))
                .ok_or_else(|| Error::argument("MaxItems must be a number from 1 to 100."))?,
        };
        let mut items: Vec<T> = all.into_iter().filter(|one| id(one) > marker.as_str()).collect();
        let is_truncated = items.len() > max_items;
        items.truncate(max_items);
        let next = items
            .last()
            .filter(|_| is_truncated)
            .map(|one| id(one).to_owned());
        Ok(Page {
            marker,
            max_items,
            next,
            items,
        })
    }
}

fn find(cloudfront: &CloudFront, caller: &Caller, id: &str) -> Result<Arc<Distribution>> {
    let found = cloudfront.store.distributions.get(id)?;
    found
        .filter(|one| one.is_of(caller))
        .ok_or_else(Error::no_distribution)
}

/// A new version of a distribution or an origin access control.
fn new_etag() -> String {
    new_id('E', 14)
}
