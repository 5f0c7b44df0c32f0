//! ListObjects, ListObjectsV2, ListObjectVersions and ListBuckets.

use super::S3;
use super::bucket::{self, Bucket};
use super::call::{Call, Names, Reply};
use super::checksum::Kind;
use super::error::{Error, Result};
use super::object::{self, Version};
use super::owner_id;
use super::page::{self, Filter, IN_ORDER, Page, Place};
use super::time::iso;
use crate::query::Xml;

/// The most buckets in a page.
const MAX_BUCKETS: usize = 10_000;

impl S3 {
    /// ListObjects and ListObjectsV2.
    pub(super) fn list_objects(&self, call: &Call, is_v2: bool) -> Result<Reply> {
        let names = call.names()?;
        let filter = filter(call, "max-keys")?;
        let marker = match is_v2 {
            true => "start-after",
            false => "marker",
        };
        let marker = call.parameter(marker).unwrap_or_default();
        let token = call.parameter("continuation-token").filter(|_| is_v2);
        let from = match token {
            Some(token) => read_token(token)?,
            None => filter.after(marker),
        };
        let (bucket, page) = self.read(call, |db, bucket| {
            let columns = object::COLUMNS;
            let sql = format!(
                "SELECT {columns} FROM s3_versions WHERE is_latest = 1 AND is_marker = 0 AND {IN_ORDER}"
            );
            page::read(db, &sql, bucket.id, &filter, from, |row| Version::of_row(row, 0))
        })?;
        let with_owner = !is_v2 || call.parameter("fetch-owner") == Some("true");
        Ok(Reply::xml("ListBucketResult", |xml| {
            xml.leaf("Name", &bucket.name);
            names.leaf(xml, "Prefix", filter.prefix);
            if is_v2 {
                head_of_v2(xml, call, names, &page);
            } else {
                names.leaf(xml, "Marker", marker);
                if page.next.is_some() && !filter.delimiter.is_empty() {
                    names.leaf(xml, "NextMarker", last_name(&page, |version| &version.key));
                }
            }
            tail(xml, names, &filter, "MaxKeys", page.next.is_some());
            for version in page.items() {
                xml.element("Contents", |xml| {
                    contents(xml, names, version, with_owner.then_some(&bucket));
                });
            }
            common_prefixes(xml, names, &page);
        }))
    }

    pub(super) fn list_object_versions(&self, call: &Call) -> Result<Reply> {
        let names = call.names()?;
        let filter = filter(call, "max-keys")?;
        let key_marker = call.parameter("key-marker").unwrap_or_default();
        let id_marker = call.parameter("version-id-marker").unwrap_or_default();
        if key_marker.is_empty() && !id_marker.is_empty() {
            let message = "A version-id marker cannot be specified without a key marker.";
            return Err(Error::argument("version-id-marker", id_marker, message));
        }
        let (bucket, page) = self.read(call, |db, bucket| {
            let from = match id_marker {
                "" => filter.after(key_marker),
                id => match object::by_id(db, bucket.id, key_marker, id)? {
                    Some((version, _)) => Place {
                        key: version.key.into_bytes(),
                        rank: version.rank + 1,
                    },
                    // Deleted since the last page: what is left of the key is listed, so that nothing is passed over.
                    None => Place::at(key_marker.as_bytes()),
                },
            };
            let sql = format!("SELECT {} FROM s3_versions WHERE {IN_ORDER}", object::COLUMNS);
            page::read(db, &sql, bucket.id, &filter, from, |row| Version::of_row(row, 0))
        })?;
        Ok(Reply::xml("ListVersionsResult", |xml| {
            xml.leaf("Name", &bucket.name);
            names.leaf(xml, "Prefix", filter.prefix);
            names.leaf(xml, "KeyMarker", key_marker);
            xml.leaf("VersionIdMarker", id_marker);
            if page.next.is_some() {
                names.leaf(xml, "NextKeyMarker", last_name(&page, |version| &version.key));
                if let Some(page::Entry::Item(version)) = page.entries.last() {
                    xml.leaf("NextVersionIdMarker", &version.id);
                }
            }
            tail(xml, names, &filter, "MaxKeys", page.next.is_some());
            for version in page.items() {
                let element = if version.is_marker {
                    "DeleteMarker"
                } else {
                    "Version"
                };
                xml.element(element, |xml| {
                    xml.leaf("VersionId", &version.id);
                    xml.leaf("IsLatest", if version.is_latest { "true" } else { "false" });
                    contents(xml, names, version, Some(&bucket));
                });
            }
            common_prefixes(xml, names, &page);
        }))
    }

    pub(super) fn list_buckets(&self, call: &Call) -> Result<Reply> {
        let account = &call.caller.account;
        let prefix = call.parameter("prefix").unwrap_or_default();
        let region = call.parameter("bucket-region");
        let max = match call.parameter("max-buckets") {
            None => MAX_BUCKETS,
            Some(given) => given
                .parse()
                .ok()
                .filter(|max| (1..=MAX_BUCKETS).contains(max))
                .ok_or_else(|| {
                    let message = "Argument max-buckets must be an integer between 1 and 10000";
                    Error::argument("max-buckets", given, message)
                })?,
        };
        let from = match call.parameter("continuation-token") {
            Some(token) => String::from_utf8(read_token(token)?.key).unwrap_or_default(),
            None => String::new(),
        };
        let buckets = self
            .database()?
            .read(|db| bucket::of_account(db, account, from.as_str().max(prefix)))?;
        let mut buckets = buckets
            .iter()
            .filter(|bucket| region.is_none_or(|region| bucket.region == region))
            .take_while(|bucket| bucket.name.starts_with(prefix));
        let listed: Vec<&Bucket> = buckets.by_ref().take(max).collect();
        let next = buckets.next();
        Ok(Reply::xml("ListAllMyBucketsResult", |xml| {
            owner(xml, "Owner", account);
            xml.element("Buckets", |xml| {
                for bucket in listed {
                    xml.element("Bucket", |xml| {
                        xml.leaf("Name", &bucket.name);
                        xml.leaf("CreationDate", &iso(bucket.created_ms));
                        xml.leaf("BucketRegion", &bucket.region);
                        xml.leaf("BucketArn", &bucket.arn());
                    });
                }
            });
            if let Some(next) = next {
                xml.leaf("ContinuationToken", &token(&Place::at(next.name.as_bytes())));
            }
            if !prefix.is_empty() {
                xml.leaf("Prefix", prefix);
            }
        }))
    }
}

/// The filter of a listing, whose page size is in the parameter `size`.
pub(super) fn filter<'a>(call: &'a Call, size: &'static str) -> Result<Filter<'a>> {
    Ok(Filter {
        prefix: call.parameter("prefix").unwrap_or_default(),
        delimiter: call.parameter("delimiter").unwrap_or_default(),
        max: call.page_size(size)?,
    })
}

fn head_of_v2<T>(xml: &mut Xml, call: &Call, names: Names, page: &Page<T>) {
    if let Some(token) = call.parameter("continuation-token") {
        xml.leaf("ContinuationToken", token);
    }
    if let Some(next) = &page.next {
        xml.leaf("NextContinuationToken", &token(next));
    }
    if let Some(start) = call.parameter("start-after") {
        names.leaf(xml, "StartAfter", start);
    }
    xml.leaf("KeyCount", &page.entries.len().to_string());
}

/// The last key or common prefix of a page.
pub(super) fn last_name<'a, T>(page: &'a Page<T>, key: impl Fn(&'a T) -> &'a str) -> &'a str {
    match page.entries.last() {
        Some(page::Entry::Item(item)) => key(item),
        Some(page::Entry::Prefix(prefix)) => prefix,
        None => "",
    }
}

/// The elements that all listings have.
pub(super) fn tail(xml: &mut Xml, names: Names, filter: &Filter<'_>, size: &str, is_truncated: bool) {
    xml.leaf(size, &filter.max.to_string());
    if !filter.delimiter.is_empty() {
        names.leaf(xml, "Delimiter", filter.delimiter);
    }
    names.announce(xml);
    xml.leaf("IsTruncated", if is_truncated { "true" } else { "false" });
}

pub(super) fn common_prefixes<T>(xml: &mut Xml, names: Names, page: &Page<T>) {
    for prefix in page.prefixes() {
        xml.element("CommonPrefixes", |xml| names.leaf(xml, "Prefix", prefix));
    }
}

fn contents(xml: &mut Xml, names: Names, version: &Version, owned_by: Option<&Bucket>) {
    names.leaf(xml, "Key", &version.key);
    xml.leaf("LastModified", &iso(version.modified_ms));
    if !version.is_marker {
        xml.leaf("ETag", &version.etag);
        if let Some(checksum) = &version.head.checksum {
            xml.leaf("ChecksumAlgorithm", checksum.algorithm.as_str());
            xml.leaf("ChecksumType", Kind::as_str(checksum.kind));
        }
        xml.leaf("Size", &version.size.to_string());
        xml.leaf("StorageClass", storage_class(version));
    }
    if let Some(bucket) = owned_by {
        owner(xml, "Owner", &bucket.account);
    }
}

pub(super) fn storage_class(version: &Version) -> &str {
    version.head.storage_class.as_deref().unwrap_or("STANDARD")
}

pub(super) fn owner(xml: &mut Xml, element: &str, account: &str) {
    xml.element(element, |xml| xml.leaf("ID", &owner_id(account)));
}

/// A continuation token. A key has one row in these listings, so that its rank does not count.
fn token(place: &Place) -> String {
    let mut key = place.key.clone();
    if place.rank != i64::MIN {
        key.push(0);
    }
    base64_simd::URL_SAFE_NO_PAD.encode_to_string(key)
}

fn read_token(token: &str) -> Result<Place> {
    match base64_simd::URL_SAFE_NO_PAD.decode_to_vec(token) {
        Ok(key) if !key.is_empty() => Ok(Place::at(&key)),
        _ => Err(Error::argument(
            "continuation-token",
            token,
            "The continuation token provided is incorrect",
        )),
    }
}
