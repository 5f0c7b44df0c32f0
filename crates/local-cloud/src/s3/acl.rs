//! Access control lists. They are stored and returned, and not enforced.
//!
//! Source: "Access control list (ACL) overview" and "Controlling ownership of objects", S3 user guide. In a bucket with
//! the ownership BucketOwnerEnforced, the default, lists are off.

use super::S3;
use super::bucket::Bucket;
use super::call::{Call, Reply};
use super::error::{Error, Result};
use super::get;
use super::head;
use super::list::owner;
use super::notification::{self, Event};
use super::object;
use super::settings::{self, Setting};
use crate::query::Xml;

const CANNED: &[&str] = &[
    "private",
    "public-read",
    "public-read-write",
    "authenticated-read",
    "aws-exec-read",
    "bucket-owner-read",
    "bucket-owner-full-control",
    "log-delivery-write",
];
const EVERYBODY: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
const AUTHENTICATED: &str = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
const SETTING: &str = "acl";

impl S3 {
    pub(super) fn get_bucket_acl(&self, call: &Call) -> Result<Reply> {
        let (bucket, ()) = self.read(call, |_, _| Ok(()))?;
        Ok(document(
            &bucket,
            bucket.settings.get(SETTING).map(String::as_str),
        ))
    }

    pub(super) fn put_bucket_acl(&self, call: &Call) -> Result<Reply> {
        self.write(call, |db, bucket| {
            match wanted(call, bucket)? {
                Some(acl) => bucket.settings.insert(SETTING.to_owned(), acl),
                None => bucket.settings.remove(SETTING),
            };
            bucket.save(db)
        })?;
        Ok(Reply::empty(200))
    }

    pub(super) fn get_object_acl(&self, call: &Call) -> Result<Reply> {
        let (bucket, (version, _)) = self.read(call, |db, bucket| get::find(db, call, bucket))?;
        let mut reply = document(&bucket, version.head.acl.as_deref());
        head::show_version(&mut reply, &bucket, &version.id);
        Ok(reply)
    }

    pub(super) fn put_object_acl(&self, call: &Call) -> Result<Reply> {
        self.write(call, |db, bucket| {
            let (mut version, _) = get::find(db, call, bucket)?;
            version.head.acl = wanted(call, bucket)?;
            object::save_head(db, bucket.id, &version)?;
            let object = notification::Object {
                key: &version.key,
                version: &version.id,
                content: Some((version.size, &version.etag)),
            };
            notification::post(db, call, bucket, Event::AclPut, &object)
        })?;
        Ok(Reply::empty(200))
    }
}

fn not_supported() -> Error {
    Error::new(
        400,
        "AccessControlListNotSupported",
        "The bucket does not allow ACLs",
    )
}

/// The list in the headers of a request that creates something; `None` for `private`.
pub(super) fn of_headers(call: &Call, bucket: &Bucket) -> Result<Option<String>> {
    let canned = call.header("x-amz-acl");
    let is_enforced = settings::owner_is_enforced(bucket);
    let grants = call
        .headers
        .keys()
        .any(|name| name.as_str().starts_with("x-amz-grant-"));
    match canned {
        _ if grants && is_enforced => Err(not_supported()),
        _ if grants => Err(Error::not_offered("grants in headers (x-amz-grant-*)")),
        None => Ok(None),
        Some(other) if !CANNED.contains(&other) => Err(Error::argument("x-amz-acl", other, "")),
        // The bucket's owner has full control anyway.
        Some("bucket-owner-full-control") => Ok(None),
        Some(_) if is_enforced => Err(not_supported()),
        Some("private") => Ok(None),
        Some(canned) => refuse_public(
            bucket,
            canned.starts_with("public") || canned == "authenticated-read",
        )
        .map(|()| Some(canned.to_owned())),
    }
}

/// The list that a request sets, in its headers or its body.
fn wanted(call: &Call, bucket: &Bucket) -> Result<Option<String>> {
    if settings::owner_is_enforced(bucket) {
        return Err(not_supported());
    }
    if call.header("x-amz-acl").is_some() || call.body.is_empty() {
        return of_headers(call, bucket);
    }
    let policy = call.document("AccessControlPolicy")?;
    let grants = policy.child("AccessControlList").ok_or_else(malformed)?;
    let to_all = grants.all("Grant").any(|grant| {
        let uri = grant.child("Grantee").and_then(|grantee| grantee.text_of("URI"));
        [Some(EVERYBODY), Some(AUTHENTICATED)].contains(&uri)
    });
    refuse_public(bucket, to_all)?;
    // Grantees carry their type in an attribute, which a parsed document does not have.
    let mut xml = Xml::default();
    for grant in grants.all("Grant") {
        let grantee = grant.child("Grantee").ok_or_else(malformed)?;
        let permission = grant.text_of("Permission").ok_or_else(malformed)?;
        match (grantee.text_of("ID"), grantee.text_of("URI")) {
            (Some(id), _) => write_grant(&mut xml, "CanonicalUser", "ID", id, permission),
            (None, Some(uri)) => write_grant(&mut xml, "Group", "URI", uri, permission),
            (None, None) => return Err(Error::not_offered("grants by e-mail address")),
        }
    }
    Ok(Some(String::from_utf8(xml.into_bytes()).unwrap_or_default()))
}

fn malformed() -> Error {
    Error::new(
        400,
        "MalformedACLError",
        "The XML you provided was not well-formed or did not validate against our published schema",
    )
}

/// Source: "Blocking public access to your Amazon S3 storage", S3 user guide.
fn refuse_public(bucket: &Bucket, is_public: bool) -> Result<()> {
    let blocked = settings::get(bucket, Setting::PublicAccessBlock)
        .is_some_and(|block| block.text_of("BlockPublicAcls") == Some("true"));
    match is_public && blocked {
        true => Err(Error::access_denied("Access Denied")),
        false => Ok(()),
    }
}

fn write_grant(xml: &mut Xml, kind: &str, element: &str, grantee: &str, permission: &str) {
    xml.element("Grant", |xml| {
        let attributes = [
            ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance"),
            ("xsi:type", kind),
        ];
        xml.element_with("Grantee", &attributes, |xml| xml.leaf(element, grantee));
        xml.leaf("Permission", permission);
    });
}

/// The list of a bucket or of an object in it. `acl` is the name of a canned list, or written grants.
fn document(bucket: &Bucket, acl: Option<&str>) -> Reply {
    Reply::xml("AccessControlPolicy", |xml| {
        owner(xml, "Owner", &bucket.account);
        xml.element("AccessControlList", |xml| match acl {
            Some(grants) if grants.is_empty() || grants.starts_with('<') => xml.raw(grants),
            canned => canned_grants(xml, bucket, canned.unwrap_or("private")),
        });
    })
}

fn canned_grants(xml: &mut Xml, bucket: &Bucket, canned: &str) {
    let owner = super::owner_id(&bucket.account);
    write_grant(xml, "CanonicalUser", "ID", &owner, "FULL_CONTROL");
    let (group, permissions): (&str, &[&str]) = match canned {
        "public-read" => (EVERYBODY, &["READ"]),
        "public-read-write" => (EVERYBODY, &["READ", "WRITE"]),
        "authenticated-read" => (AUTHENTICATED, &["READ"]),
        "log-delivery-write" => (
            "http://acs.amazonaws.com/groups/s3/LogDelivery",
            &["WRITE", "READ_ACP"],
        ),
        _ => return,
    };
    for permission in permissions {
        write_grant(xml, "Group", "URI", group, permission);
    }
}
