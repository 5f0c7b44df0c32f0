//! JSON values. A value is shared, not copied, and knows its size, so that the work on it can be charged.

use std::cmp::Ordering;
use std::fmt::{self, Display, Formatter};
use std::rc::Rc;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// Bytes of a value beside its text and its items.
const NODE: usize = 40;

#[derive(Debug, Clone)]
pub(crate) enum Val {
    Null,
    Bool(bool),
    Num(Num),
    Str(Rc<str>),
    Arr(Rc<Arr>),
    Obj(Rc<Obj>),
}

#[derive(Debug)]
pub(crate) struct Arr {
    size: usize,
    pub items: Vec<Val>,
}

/// An object, sorted by key.
#[derive(Debug)]
pub(crate) struct Obj {
    size: usize,
    pub entries: Vec<(Rc<str>, Val)>,
}

impl Obj {
    pub fn get(&self, key: &str) -> Option<&Val> {
        let found = self.entries.binary_search_by(|(one, _)| (**one).cmp(key));
        found.ok().map(|at| &self.entries[at].1)
    }
}

/// Whole numbers keep their digits.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Num {
    Int(i64),
    Float(f64),
}

impl Num {
    pub fn of(value: f64) -> Self {
        match value.fract() == 0.0 && value.abs() < 9e18 {
            true => Self::Int(value as i64),
            false => Self::Float(value),
        }
    }

    pub const fn float(self) -> f64 {
        match self {
            Self::Int(value) => value as f64,
            Self::Float(value) => value,
        }
    }
}

impl Val {
    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Str(text.into())
    }

    pub fn number(value: f64) -> Self {
        Self::Num(Num::of(value))
    }

    pub fn count(value: usize) -> Self {
        Self::Num(Num::Int(i64::try_from(value).unwrap_or(i64::MAX)))
    }

    pub fn array(items: Vec<Self>) -> Self {
        let sizes = items.iter().map(Self::size);
        let size = sizes.fold(NODE, usize::saturating_add);
        Self::Arr(Rc::new(Arr { size, items }))
    }

    /// The last of equal keys counts.
    pub fn object(mut entries: Vec<(Rc<str>, Self)>) -> Self {
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.reverse();
        entries.dedup_by(|(a, _), (b, _)| a == b);
        entries.reverse();
        let sizes = entries.iter().map(|(key, value)| key.len() + NODE + value.size());
        let size = sizes.fold(NODE, usize::saturating_add);
        Self::Obj(Rc::new(Obj { size, entries }))
    }

    /// Bytes, about, if nothing of it were shared.
    pub fn size(&self) -> usize {
        match self {
            Self::Null | Self::Bool(_) | Self::Num(_) => NODE,
            Self::Str(text) => NODE + text.len(),
            Self::Arr(array) => array.size,
            Self::Obj(object) => object.size,
        }
    }

    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "boolean",
            Self::Num(_) => "number",
            Self::Str(_) => "string",
            Self::Arr(_) => "array",
            Self::Obj(_) => "object",
        }
    }

    pub const fn is_true(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    /// As `tostring` writes it: a string as it is.
    pub fn shown(&self) -> String {
        match self {
            Self::Str(text) => text.to_string(),
            other => other.to_string(),
        }
    }

    const fn rank(&self) -> u8 {
        match self {
            Self::Null => 0,
            Self::Bool(false) => 1,
            Self::Bool(true) => 2,
            Self::Num(_) => 3,
            Self::Str(_) => 4,
            Self::Arr(_) => 5,
            Self::Obj(_) => 6,
        }
    }

    /// The order of jq: null, false, true, numbers, strings, arrays, objects.
    pub fn order(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Num(Num::Int(a)), Self::Num(Num::Int(b))) => a.cmp(b),
            (Self::Num(a), Self::Num(b)) => {
                // A number that is none is less than every number.
                a.float().partial_cmp(&b.float()).unwrap_or(Ordering::Less)
            }
            (Self::Str(a), Self::Str(b)) => a.cmp(b),
            (Self::Arr(a), Self::Arr(b)) => {
                let pairs = a.items.iter().zip(&b.items);
                let mut orders = pairs.map(|(a, b)| a.order(b));
                let found = orders.find(|order| order.is_ne());
                found.unwrap_or_else(|| a.items.len().cmp(&b.items.len()))
            }
            (Self::Obj(a), Self::Obj(b)) => {
                let keys = |object: &Obj| {
                    object
                        .entries
                        .iter()
                        .map(|(key, _)| Rc::clone(key))
                        .collect::<Vec<_>>()
                };
                let pairs = a.entries.iter().zip(&b.entries);
                let mut orders = pairs.map(|((_, a), (_, b))| a.order(b));
                let keys = keys(a).cmp(&keys(b));
                keys.then_with(|| orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal))
            }
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl Display for Val {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Num(Num::Int(value)) => write!(f, "{value}"),
            Self::Num(Num::Float(value)) if value.is_nan() => f.write_str("null"),
            // jq writes the largest double for what is infinite.
            Self::Num(Num::Float(value)) => {
                write!(f, "{}", serde_json::Value::from(value.clamp(f64::MIN, f64::MAX)))
            }
            Self::Str(text) => write!(f, "{}", serde_json::Value::from(&**text)),
            Self::Arr(array) => {
                f.write_str("[")?;
                for (at, item) in array.items.iter().enumerate() {
                    write!(f, "{}{item}", if at > 0 { "," } else { "" })?;
                }
                f.write_str("]")
            }
            Self::Obj(object) => {
                f.write_str("{")?;
                for (at, (key, value)) in object.entries.iter().enumerate() {
                    let key = serde_json::Value::from(&**key);
                    write!(f, "{}{key}:{value}", if at > 0 { "," } else { "" })?;
                }
                f.write_str("}")
            }
        }
    }
}

struct Reading;

impl<'de> Visitor<'de> for Reading {
    type Value = Val;

    fn expecting(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Val, E> {
        Ok(Val::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Val, E> {
        Ok(Val::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Val, E> {
        Ok(Val::Num(Num::Int(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Val, E> {
        let number = i64::try_from(value).map_or(Num::Float(value as f64), Num::Int);
        Ok(Val::Num(number))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Val, E> {
        Ok(Val::number(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Val, E> {
        Ok(Val::text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Val, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        items.shrink_to_fit();
        Ok(Val::array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Val, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = access.next_entry::<String, Val>()? {
            entries.push((Rc::from(key), value));
        }
        entries.shrink_to_fit();
        Ok(Val::object(entries))
    }
}

/// The parser bounds the depth.
impl<'de> Deserialize<'de> for Val {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reading)
    }
}
