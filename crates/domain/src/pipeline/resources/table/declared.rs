//! What a manifest declares of a table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};

use super::super::common;
use crate::stream::change::same_key;

/// Capacity units of a provisioned table that declares none: the default of DynamoDB's console.
const DEFAULT_UNITS: i64 = 5;
/// Global secondary indexes of a table. Source: "Quotas in Amazon DynamoDB", developer guide.
const MOST_INDEXES: usize = 20;
/// The key that AWS manages for DynamoDB in an account.
const AWS_MANAGED_KEY: &str = "alias/aws/dynamodb";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(in super::super) struct Declared {
    pub(super) name: String,
    key: Attribute,
    sort_key: Option<Attribute>,
    #[serde(default)]
    pub(super) indexes: Vec<DeclaredIndex>,
    pub(super) ttl: Option<Ttl>,
    pub(super) point_in_time_recovery: Option<bool>,
    encryption: Option<Encryption>,
    pub(super) billing_mode: Option<Billing>,
    read_capacity: Option<i64>,
    write_capacity: Option<i64>,
    pub(super) deletion_protection: Option<bool>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeclaredIndex {
    name: String,
    key: Attribute,
    sort_key: Option<Attribute>,
    #[serde(default)]
    projection: Projection,
}

/// A key attribute, written `name:type`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(super) struct Attribute {
    pub(super) name: String,
    /// `S`, `N` or `B`.
    pub(super) kind: String,
}

impl TryFrom<String> for Attribute {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        // Keys are at most 255 bytes long. Source: "Quotas in Amazon DynamoDB", developer guide.
        match text.rsplit_once(':') {
            Some((name, kind @ ("S" | "N" | "B"))) if (1..=255).contains(&name.len()) => Ok(Self {
                name: name.to_owned(),
                kind: kind.to_owned(),
            }),
            _ => Err(format!(
                "{text:?} is not a key attribute; write its name and type, as in \"id:S\" (S string, N number, B binary)"
            )),
        }
    }
}

impl From<Attribute> for String {
    fn from(attribute: Attribute) -> Self {
        attribute.to_string()
    }
}

impl fmt::Display for Attribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.kind)
    }
}

/// Partition key and sort key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Keys {
    pub(super) partition: Attribute,
    pub(super) sort: Option<Attribute>,
}

impl Keys {
    pub(super) fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        std::iter::once(&self.partition).chain(&self.sort)
    }
}

impl fmt::Display for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.partition)?;
        match &self.sort {
            Some(sort) => write!(f, " + {sort}"),
            None => Ok(()),
        }
    }
}

/// A global secondary index.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) name: String,
    pub(super) keys: Keys,
    pub(super) projection: Projection,
}

impl fmt::Display for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {}", self.keys, self.projection)
    }
}

/// Which attributes an index holds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenProjection", into = "WrittenProjection")]
pub(super) enum Projection {
    #[default]
    All,
    KeysOnly,
    Include(BTreeSet<String>),
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenProjection {
    Word(String),
    Names(BTreeSet<String>),
}

impl TryFrom<WrittenProjection> for Projection {
    type Error = String;

    fn try_from(written: WrittenProjection) -> Result<Self, String> {
        match written {
            WrittenProjection::Word(word) if word.eq_ignore_ascii_case("all") => Ok(Self::All),
            WrittenProjection::Word(word) if word.eq_ignore_ascii_case("keys_only") => Ok(Self::KeysOnly),
            WrittenProjection::Word(word) => Err(format!(
                "{word:?} is not a projection; use ALL, KEYS_ONLY or a list of attribute names"
            )),
            WrittenProjection::Names(names) if names.is_empty() => Ok(Self::KeysOnly),
            WrittenProjection::Names(names) => Ok(Self::Include(names)),
        }
    }
}

impl From<Projection> for WrittenProjection {
    fn from(projection: Projection) -> Self {
        match projection {
            Projection::All => Self::Word("ALL".to_owned()),
            Projection::KeysOnly => Self::Word("KEYS_ONLY".to_owned()),
            Projection::Include(names) => Self::Names(names),
        }
    }
}

impl fmt::Display for Projection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("all attributes"),
            Self::KeysOnly => f.write_str("the keys only"),
            Self::Include(names) => f.write_str(&names.iter().cloned().collect::<Vec<_>>().join(", ")),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Ttl {
    Switch(bool),
    Attribute(String),
}

impl Ttl {
    pub(super) fn attribute(&self) -> Option<&str> {
        match self {
            Self::Switch(_) => None,
            Self::Attribute(name) => Some(name),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
enum Encryption {
    Switch(bool),
    Key(String),
}

/// Whose key encrypts the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Sse {
    /// DynamoDB's own.
    Owned,
    /// A key of KMS: the one that AWS manages where none is named.
    Kms(Option<String>),
}

impl Sse {
    /// Whether a table encrypted with `key` is as declared. DynamoDB tells a key's ARN only: an alias is taken to name the
    /// table's key, whichever that is.
    pub(super) fn is_met_by(&self, key: Option<&str>) -> bool {
        match (self, key) {
            (Self::Owned, key) => key.is_none(),
            (Self::Kms(_), None) => false,
            (Self::Kms(None), Some(_)) => true,
            (Self::Kms(Some(wanted)), Some(there)) => {
                let alias = wanted.starts_with("alias/") || wanted.contains(":alias/");
                alias || !common::is_known(wanted) || same_key(wanted, there)
            }
        }
    }
}

impl fmt::Display for Sse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Owned => f.write_str("DynamoDB's own key"),
            Self::Kms(key) => write!(f, "KMS key {}", key.as_deref().unwrap_or(AWS_MANAGED_KEY)),
        }
    }
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Billing {
    /// Per request.
    #[default]
    #[serde(alias = "PAY_PER_REQUEST")]
    OnDemand,
    /// Per unit of capacity.
    #[serde(alias = "PROVISIONED")]
    Provisioned,
}

impl fmt::Display for Billing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OnDemand => "on-demand",
            Self::Provisioned => "provisioned",
        })
    }
}

/// Capacity units; 0 for an on-demand table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Capacity {
    pub(super) read: i64,
    pub(super) write: i64,
}

impl fmt::Display for Capacity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} read and {} write units", self.read, self.write)
    }
}

impl Declared {
    /// Refuses what DynamoDB would refuse.
    pub(super) fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        if self.ttl == Some(Ttl::Switch(true)) {
            return Err("ttl is the name of an attribute, or false".to_owned());
        }
        if self.indexes.len() > MOST_INDEXES {
            return Err(format!("a table has at most {MOST_INDEXES} indexes"));
        }
        let units = [self.read_capacity, self.write_capacity].into_iter().flatten();
        if units.into_iter().any(|units| units < 1) {
            return Err("capacity is at least 1 unit".to_owned());
        }
        let mut names = BTreeSet::new();
        for index in &self.indexes {
            check_name(&index.name)?;
            if !names.insert(&index.name) {
                return Err(format!("index {} is declared twice", index.name));
            }
        }
        let mut kinds: BTreeMap<&str, &str> = BTreeMap::new();
        let all = self.indexes.iter().flat_map(|index| {
            let keys = std::iter::once(&index.key);
            keys.chain(&index.sort_key)
        });
        for Attribute { name, kind } in std::iter::once(&self.key).chain(&self.sort_key).chain(all) {
            if kinds.insert(name, kind).is_some_and(|other| other != kind) {
                return Err(format!("attribute {name} has two types"));
            }
        }
        Ok(())
    }

    pub(super) fn keys(&self) -> Keys {
        Keys {
            partition: self.key.clone(),
            sort: self.sort_key.clone(),
        }
    }

    pub(super) fn indexes(&self) -> Vec<Index> {
        let index = |index: DeclaredIndex| Index {
            name: index.name,
            keys: Keys {
                partition: index.key,
                sort: index.sort_key,
            },
            projection: index.projection,
        };
        self.indexes.iter().cloned().map(index).collect()
    }

    /// How a new table is billed.
    pub(super) fn billing(&self) -> Billing {
        self.billing_mode.unwrap_or_else(|| {
            let sized = self.read_capacity.is_some() || self.write_capacity.is_some();
            if sized {
                Billing::Provisioned
            } else {
                Billing::OnDemand
            }
        })
    }

    pub(super) fn capacity(&self) -> Capacity {
        Capacity {
            read: self.read_capacity.unwrap_or(DEFAULT_UNITS),
            write: self.write_capacity.unwrap_or(DEFAULT_UNITS),
        }
    }

    pub(super) fn sse(&self) -> Option<Sse> {
        Some(match self.encryption.as_ref()? {
            Encryption::Switch(false) => Sse::Owned,
            Encryption::Switch(true) => Sse::Kms(None),
            Encryption::Key(key) if key == AWS_MANAGED_KEY => Sse::Kms(None),
            Encryption::Key(key) => Sse::Kms(Some(key.clone())),
        })
    }
}

/// 3 to 255 characters. Source: "Naming rules", DynamoDB developer guide.
fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    if (3..=255).contains(&name.len()) && name.chars().all(allowed) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is not a name of a table or index; use 3 to 255 letters, digits or any of _ . -"
    ))
}
