//! The services that awsim provides: IAM, STS, KMS, SNS and resource group tags.
//!
//! Each is opened on its first request. The modules add what awsim lacks or does differently from AWS. The state, which
//! is small, is saved as a whole after each change ([`stored`]).

mod gateway;
mod iam;
mod kms;
mod sns;
mod stored;
mod sts;
mod tagging;

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::Response;

use crate::service::Permission;
use crate::service::{Request, Service};
use crate::types::{Body, Caller, Tags};
use daemon::protocol::Damage;
use gateway::Gateway;
pub(crate) use iam::Iam;
pub(crate) use kms::Kms;
pub(crate) use sns::Sns;
use stored::Handler;
pub(crate) use stored::Stored;
pub(crate) use sts::Sts;
pub(crate) use tagging::Tagging;

/// A service with its state in a file, as a service of the local cloud.
pub(crate) struct Awsim<H> {
    stored: Stored<H>,
    gateway: Gateway,
}

impl<H: Handler> Awsim<H> {
    pub fn new(stored: Stored<H>) -> Self {
        let gateway = Gateway::new(Arc::new(stored.clone()));
        Self { stored, gateway }
    }
}

impl<H: Handler> Service for Awsim<H> {
    fn call(self: Arc<Self>, request: Request) -> BoxFuture<'static, Response<Body>> {
        async move { self.gateway.call(request).await }.boxed()
    }

    fn permissions(&self, request: &Request) -> Vec<Permission> {
        H::permissions(request)
    }

    fn access_denied(&self) -> (u16, &'static str) {
        H::ACCESS_DENIED
    }

    fn max_body(&self) -> usize {
        H::MAX_BODY
    }

    fn accepts_unsigned(&self, body: &Bytes) -> bool {
        H::accepts_unsigned(body)
    }

    fn tagged(&self, caller: &Caller) -> BTreeMap<String, Tags> {
        let handler = self.stored.existing();
        handler.map(|handler| handler.tagged(caller)).unwrap_or_default()
    }

    fn open(&self) {
        self.stored.existing();
    }

    fn damage(&self) -> Vec<Damage> {
        self.stored.damage()
    }

    fn tick(&self) {
        self.stored.save_if_changed();
    }

    fn shutdown(&self) {
        self.stored.save_if_changed();
    }
}
