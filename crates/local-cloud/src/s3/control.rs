//! Buckets: creation, deletion, versioning and policy.

use rusqlite::Connection;
use serde_json::Value;

use super::S3;
use super::acl;
use super::bucket::{self, Bucket, Versioning};
use super::call::{Call, Reply};
use super::error::{Error, Result};
use super::head;
use super::multipart;
use super::object;
use super::settings;
use super::tagging;
use super::xml::{self, NAMESPACE, Node};
use crate::answer::whole;
use crate::query::Xml;
use crate::types::Tags;

pub(super) const POLICY: &str = "policy";
/// Source: "Bucket policies for Amazon S3", S3 user guide.
const MAX_POLICY: usize = 20 * 1024;
const DEFAULT_REGION: &str = "us-east-1";

impl S3 {
    pub(super) fn create_bucket(&self, call: &Call) -> Result<Reply> {
        bucket::check_name(call.bucket())?;
        head::refuse_unknown(call)?;
        let (region, tags) = configuration(call)?;
        let ownership = call
            .header("x-amz-object-ownership")
            .unwrap_or("BucketOwnerEnforced");
        let settings = settings::of_new_bucket(ownership)?;
        let settings = settings.map(|(setting, document)| (setting.name().to_owned(), document));
        let mut new = Bucket {
            id: 0,
            account: call.caller.account.clone(),
            name: call.bucket().to_owned(),
            region,
            created_ms: call.now_ms,
            versioning: Versioning::Off,
            tags,
            settings: settings.into(),
        };
        if let Some(acl) = acl_of_new_bucket(call, &new)? {
            new.settings.insert("acl".to_owned(), acl);
        }
        self.database()?
            .write(|db| match bucket::find(db, &new.account, &new.name)? {
                None => bucket::insert(db, &new).map(drop),
                // Source: CreateBucket, S3 API reference: in us-east-1, creating it again succeeds.
                Some(known) if known.region == DEFAULT_REGION && new.region == DEFAULT_REGION => Ok(()),
                Some(_) => Err(Error::new(
                    409,
                    "BucketAlreadyOwnedByYou",
                    "Your previous request to create the named bucket succeeded and you already own it.",
                )
                .with("BucketName", new.name.as_str())),
            })?;
        Ok(Reply::empty(200)
            .with("location", format!("/{}", new.name))
            .with("x-amz-bucket-arn", new.arn()))
    }

    pub(super) fn head_bucket(&self, call: &Call) -> Result<Reply> {
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        Ok(Reply::empty(200)
            .with("x-amz-bucket-arn", bucket.arn())
            .with("x-amz-bucket-region", bucket.region)
            .with("x-amz-access-point-alias", "false"))
    }

    pub(super) fn delete_bucket(&self, call: &Call) -> Result<Reply> {
        self.write(call, |db, bucket| {
            if !object::is_empty(db, bucket.id)? {
                let message = "The bucket you tried to delete is not empty";
                return Err(
                    Error::new(409, "BucketNotEmpty", message).with("BucketName", bucket.name.as_str())
                );
            }
            // Uploads in progress do not keep a bucket.
            multipart::abort_all(db, bucket.id, call.now_ms)?;
            bucket::delete(db, bucket)
        })?;
        Ok(Reply::empty(204))
    }

    pub(super) fn get_bucket_location(&self, call: &Call) -> Result<Reply> {
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        // The default region has no name.
        let region = match bucket.region.as_str() {
            DEFAULT_REGION => "",
            region => region,
        };
        Ok(Reply::document(&Xml::root(
            "LocationConstraint",
            NAMESPACE,
            |xml| {
                xml.text(region);
            },
        )))
    }

    pub(super) fn get_bucket_versioning(&self, call: &Call) -> Result<Reply> {
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        Ok(Reply::xml("VersioningConfiguration", |xml| {
            if bucket.versioning != Versioning::Off {
                xml.leaf("Status", bucket.versioning.as_str());
            }
        }))
    }

    pub(super) fn put_bucket_versioning(&self, call: &Call) -> Result<Reply> {
        let document = call.document("VersioningConfiguration")?;
        if document.text_of("MfaDelete") == Some("Enabled") {
            return Err(Error::not_offered("MFA delete"));
        }
        let versioning = match document.text_of("Status") {
            Some("Enabled") => Versioning::Enabled,
            Some("Suspended") => Versioning::Suspended,
            _ => {
                return Err(Error::new(
                    400,
                    "IllegalVersioningConfigurationException",
                    "The Versioning element must be specified",
                ));
            }
        };
        self.write(call, |db: &Connection, bucket| {
            bucket.versioning = versioning;
            bucket.save(db)
        })?;
        Ok(Reply::empty(200))
    }

    pub(super) fn get_bucket_policy(&self, call: &Call) -> Result<Reply> {
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        match bucket.settings.get(POLICY) {
            Some(policy) => Ok(Reply::of(200, "application/json", whole(policy.clone()))),
            None => Err(
                Error::new(404, "NoSuchBucketPolicy", "The bucket policy does not exist")
                    .with("BucketName", bucket.name),
            ),
        }
    }

    pub(super) fn put_bucket_policy(&self, call: &Call) -> Result<Reply> {
        let policy = call.payload()?.document()?;
        let malformed = |message: &str| Error::new(400, "MalformedPolicy", message);
        if policy.len() > MAX_POLICY {
            return Err(malformed("Policies must not be larger than 20 KB"));
        }
        let text = std::str::from_utf8(&policy).map_err(|_| malformed("Policies must be valid JSON"))?;
        let parsed: Value = serde_json::from_str(text)
            .map_err(|_| malformed("Policies must be valid JSON and the first byte must be '{'"))?;
        if !parsed.is_object() {
            return Err(malformed(
                "Policies must be valid JSON and the first byte must be '{'",
            ));
        }
        if parsed["Statement"].is_null() {
            return Err(malformed("Missing required field Statement"));
        }
        self.write(call, |db, bucket| {
            bucket.settings.insert(POLICY.to_owned(), text.to_owned());
            bucket.save(db)
        })?;
        Ok(Reply::empty(204))
    }

    pub(super) fn delete_bucket_policy(&self, call: &Call) -> Result<Reply> {
        self.write(call, |db, bucket| {
            bucket.settings.remove(POLICY);
            bucket.save(db)
        })?;
        Ok(Reply::empty(204))
    }

    /// A configuration that no bucket of the local cloud has.
    pub(super) fn get_default(
        &self,
        call: &Call,
        root: &str,
        content: impl FnOnce(&mut Xml),
    ) -> Result<Reply> {
        self.read(call, |_, _| Ok(()))?;
        Ok(Reply::xml(root, content))
    }

    pub(super) fn get_missing(&self, call: &Call, code: &'static str, message: &str) -> Result<Reply> {
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        Err(Error::new(404, code, message).with("BucketName", bucket.name))
    }
}

/// The access control list of a new bucket. Unlike an object, it may be said to be private also where lists are off.
fn acl_of_new_bucket(call: &Call, bucket: &Bucket) -> Result<Option<String>> {
    if call.header("x-amz-acl") == Some("private") {
        return Ok(None);
    }
    acl::of_headers(call, bucket).map_err(|error| match error.code {
        "AccessControlListNotSupported" => Error::new(
            400,
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ),
        _ => error,
    })
}

/// Region and tags of a new bucket.
fn configuration(call: &Call) -> Result<(String, Tags)> {
    let document = match call.payload()?.document()? {
        empty if empty.is_empty() => Node::default(),
        body => xml::parse(&body, "CreateBucketConfiguration")?,
    };
    if document.child("Bucket").is_some() || document.child("Location").is_some() {
        return Err(Error::not_offered("directory buckets"));
    }
    let tags = tagging::of_new_bucket(&document)?;
    let constraint = document
        .text_of("LocationConstraint")
        .filter(|constraint| !constraint.is_empty());
    Ok((region(&call.caller.region, constraint)?, tags))
}

/// The region of a new bucket. Source: CreateBucket, S3 API reference: only the default region needs no constraint, and
/// accepts those of others.
fn region(endpoint: &str, constraint: Option<&str>) -> Result<String> {
    let illegal = |constraint: &str| {
        Err(Error::new(
            400,
            "IllegalLocationConstraintException",
            format!(
                "The {constraint} location constraint is incompatible for the region specific endpoint this request \
                 was sent to."
            ),
        ))
    };
    let constraint = match constraint {
        Some("EU") => Some("eu-west-1"),
        constraint => constraint,
    };
    match constraint {
        None if endpoint == DEFAULT_REGION => Ok(endpoint.to_owned()),
        None => illegal("unspecified"),
        Some(constraint) if constraint == DEFAULT_REGION || !is_region(constraint) => Err(Error::new(
            400,
            "InvalidLocationConstraint",
            "The specified location-constraint is not valid",
        )
        .with("LocationConstraint", constraint)),
        Some(constraint) if endpoint == DEFAULT_REGION || endpoint == constraint => Ok(constraint.to_owned()),
        Some(constraint) => illegal(constraint),
    }
}

/// Whether this looks like the name of a region, such as `us-gov-east-1`.
fn is_region(name: &str) -> bool {
    let mut parts = name.rsplit('-');
    let ends_in_number = parts
        .next()
        .is_some_and(|last| last.len() == 1 && last.bytes().all(|b| b.is_ascii_digit()));
    let words: Vec<&str> = parts.collect();
    let is_word = |word: &&str| word.len() >= 2 && word.bytes().all(|b| b.is_ascii_lowercase());
    name.len() <= 32 && ends_in_number && words.len() >= 2 && words.iter().all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_and_constraints() {
        for (endpoint, constraint, expected) in [
            ("us-east-1", None, Ok("us-east-1")),
            ("us-east-1", Some("eu-west-1"), Ok("eu-west-1")),
            ("us-east-1", Some("EU"), Ok("eu-west-1")),
            ("eu-west-1", Some("eu-west-1"), Ok("eu-west-1")),
            ("us-gov-east-1", Some("us-gov-east-1"), Ok("us-gov-east-1")),
            ("eu-west-1", None, Err("IllegalLocationConstraintException")),
            (
                "eu-west-1",
                Some("eu-west-2"),
                Err("IllegalLocationConstraintException"),
            ),
            ("us-east-1", Some("us-east-1"), Err("InvalidLocationConstraint")),
            ("us-east-1", Some("mars"), Err("InvalidLocationConstraint")),
        ] {
            let got = region(endpoint, constraint).map_err(|error| error.code);
            assert_eq!(got, expected.map(str::to_owned), "{endpoint} {constraint:?}");
        }
    }
}
