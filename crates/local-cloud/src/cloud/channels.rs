//! Where channels and Firehose deliver: S3, with the role's permissions in IAM, and CloudWatch Logs.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::decide;
use crate::authorise::Decision;
use crate::awsim::{Iam, Stored};
use crate::deliver::Undelivered;
use crate::kinesis::channels::{Destination, Object};
use crate::logs::Logs;
use crate::s3::S3;
use crate::service::Permission;
use crate::types::Caller;

pub(super) struct ChannelDestination {
    pub s3: Arc<S3>,
    pub iam: Stored<Iam>,
    pub logs: Arc<Logs>,
}

impl Destination for ChannelDestination {
    fn bucket_region(&self, account: &str, bucket: &str) -> Option<String> {
        self.s3.bucket_region(account, bucket)
    }

    fn trusts(&self, role: &str, principal: &str) -> bool {
        self.iam.get().is_ok_and(|iam| iam.trusts(role, principal))
    }

    fn allows(&self, role: &str, action: &str, resource: &str) -> bool {
        let permission = Permission {
            action: action.to_owned(),
            resource: resource.to_owned(),
        };
        decide(&self.iam, role, &permission) == Decision::Allow
    }

    fn put(&self, owner: &Caller, bucket: &str, object: Object) -> Result<(), Undelivered> {
        let mut headers = HeaderMap::new();
        let mut add = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        add("x-amz-storage-class", &object.storage_class);
        if let Some(key_id) = &object.key_id {
            add("x-amz-server-side-encryption", "aws:kms");
            add("x-amz-server-side-encryption-aws-kms-key-id", key_id);
        }
        if let Some(content_type) = object.content_type {
            add("content-type", content_type);
        }
        if let Some(encoding) = object.content_encoding {
            add("content-encoding", encoding);
        }
        self.s3.put_with(owner, bucket, &object.key, headers, object.body)
    }

    fn log(&self, caller: &Caller, group: &str, stream: &str, at_ms: i64, text: String) {
        self.logs.put(caller, group, stream, &[(at_ms, text)]);
    }
}
