//! The buckets behind distributions: those of the local S3.

use std::sync::Arc;

use bytes::Bytes;
use http::Response;
use http::request::Parts;

use crate::cloudfront::Buckets;
use crate::s3::S3;
use crate::service::Request;
use crate::types::{Body, Caller};

pub(super) struct SiteBuckets(pub Arc<S3>);

impl Buckets for SiteBuckets {
    fn policy(&self, account: &str, bucket: &str) -> Option<String> {
        self.0.bucket_policy(account, bucket)
    }

    fn answer(&self, caller: Caller, parts: Parts) -> Response<Body> {
        let body = Bytes::new();
        self.0.answer(Request { caller, parts, body })
    }
}
