//! The values of a rendering, and how they are written.
//!
//! Lists and maps are shared, as in Java: `$list.add(…)` is seen by all who hold the list. A [`Heap`] keeps all of them
//! until the rendering ends and then empties each one, so that neither a list that contains itself leaks memory, nor a long
//! chain of lists exhausts the stack when it is dropped.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;

use regex_lite::Regex;

use crate::{MAX_DEPTH, MAX_MEMORY, MAX_STEPS, java};

/// The cost of a value, without its text.
pub(crate) const VALUE_BYTES: usize = 48;
/// The cost of a list or a map, without what is in it.
const CONTAINER_BYTES: usize = 256;

#[derive(Clone)]
pub(crate) enum Value {
    /// Also what does not exist.
    Null,
    Bool(bool),
    Number(Number),
    Text(Rc<str>),
    List(Rc<List>),
    Map(Rc<Map>),
    Input,
    Util,
}

/// A number with its digits, as they were sent or computed.
#[derive(Clone)]
pub(crate) struct Number(pub Rc<str>);

pub(crate) struct List {
    pub items: RefCell<Vec<Value>>,
    /// Whether it came from JSON: it is then written as JSON.
    pub is_json: bool,
}

#[derive(Default)]
pub(crate) struct Map {
    pub entries: RefCell<Entries>,
}

/// Keys and values in the order of their insertion.
#[derive(Default)]
pub(crate) struct Entries {
    pairs: Vec<(Rc<str>, Value)>,
    index: HashMap<Rc<str>, usize>,
}

impl Entries {
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.index.get(key).map(|at| &self.pairs[*at].1)
    }

    /// Returns the value that was there.
    pub fn put(&mut self, key: Rc<str>, value: Value) -> Option<Value> {
        if let Some(at) = self.index.get(&key) {
            return Some(std::mem::replace(&mut self.pairs[*at].1, value));
        }
        self.index.insert(Rc::clone(&key), self.pairs.len());
        self.pairs.push((key, value));
        None
    }

    /// Takes time in proportion to the map.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.index.remove(key)?;
        for other in self.index.values_mut() {
            if *other > at {
                *other -= 1;
            }
        }
        Some(self.pairs.remove(at).1)
    }

    pub fn pairs(&self) -> &[(Rc<str>, Value)] {
        &self.pairs
    }

    fn clear(&mut self) {
        self.index.clear();
        self.pairs.clear();
    }
}

impl Number {
    pub fn of_i128(number: i128) -> Self {
        Self(number.to_string().into())
    }

    pub fn of_f64(number: f64) -> Self {
        Self(java::double(number).into())
    }

    /// The integer, if it is written as one.
    pub fn integer(&self) -> Option<i128> {
        self.0.parse().ok()
    }

    pub fn double(&self) -> f64 {
        self.0.parse().unwrap_or(f64::NAN)
    }
}

impl Value {
    pub fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub fn integer(number: usize) -> Self {
        Self::Number(Number::of_i128(i128::try_from(number).unwrap_or(i128::MAX)))
    }

    /// As a condition. Source: "Conditionals", Velocity user guide: false and null are false.
    pub fn is_true(&self) -> bool {
        !matches!(self, Self::Null | Self::Bool(false))
    }

    /// What a template writes for it. Source: `toString` of the classes of Java that stand behind values; null is empty in
    /// API Gateway.
    pub fn write(&self, out: &mut Writer) -> Result<(), &'static str> {
        match self {
            Self::Null => Ok(()),
            Self::Bool(value) => out.push(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push(&number.0),
            Self::Text(text) => out.push(text),
            Self::List(list) if list.is_json => self.write_json(out),
            Self::List(list) => out.nested(|out| {
                out.push("[")?;
                for (at, item) in list.items.borrow().iter().enumerate() {
                    out.push(if at > 0 { ", " } else { "" })?;
                    item.write_in_container(out)?;
                }
                out.push("]")
            }),
            Self::Map(map) => out.nested(|out| {
                out.push("{")?;
                for (at, (key, value)) in map.entries.borrow().pairs().iter().enumerate() {
                    out.push(if at > 0 { ", " } else { "" })?;
                    out.push(key)?;
                    out.push("=")?;
                    value.write_in_container(out)?;
                }
                out.push("}")
            }),
            Self::Input => out.push("$input"),
            Self::Util => out.push("$util"),
        }
    }

    fn write_in_container(&self, out: &mut Writer) -> Result<(), &'static str> {
        match self {
            Self::Null => out.push("null"),
            other => other.write(out),
        }
    }

    /// Source: RFC 8259. Numbers as they are.
    pub fn write_json(&self, out: &mut Writer) -> Result<(), &'static str> {
        match self {
            Self::Null => out.push("null"),
            Self::Bool(value) => out.push(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push(&number.0),
            Self::Text(text) => write_json_text(text, out),
            Self::List(list) => out.nested(|out| {
                out.push("[")?;
                for (at, item) in list.items.borrow().iter().enumerate() {
                    out.push(if at > 0 { "," } else { "" })?;
                    item.write_json(out)?;
                }
                out.push("]")
            }),
            Self::Map(map) => out.nested(|out| {
                out.push("{")?;
                for (at, (key, value)) in map.entries.borrow().pairs().iter().enumerate() {
                    out.push(if at > 0 { "," } else { "" })?;
                    write_json_text(key, out)?;
                    out.push(":")?;
                    value.write_json(out)?;
                }
                out.push("}")
            }),
            Self::Input | Self::Util => Err("this object has no JSON form"),
        }
    }
}

fn write_json_text(text: &str, out: &mut Writer) -> Result<(), &'static str> {
    out.push("\"")?;
    let mut rest = 0;
    for (at, byte) in text.bytes().enumerate() {
        let escaped = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0x08 => "\\b",
            0x0c => "\\f",
            0..0x20 => {
                out.push(&text[rest..at])?;
                let mut code = String::new();
                let _ = write!(code, "\\u{byte:04x}");
                out.push(&code)?;
                rest = at + 1;
                continue;
            }
            _ => continue,
        };
        out.push(&text[rest..at])?;
        out.push(escaped)?;
        rest = at + 1;
    }
    out.push(&text[rest..])?;
    out.push("\"")
}

/// Text that grows up to a bound.
pub(crate) struct Writer {
    pub text: String,
    bound: usize,
    depth: usize,
}

impl Writer {
    pub fn new(bound: usize) -> Self {
        Self {
            text: String::new(),
            bound,
            depth: 0,
        }
    }

    pub fn push(&mut self, text: &str) -> Result<(), &'static str> {
        if text.len() > self.bound - self.text.len() {
            return Err("the output is too large");
        }
        self.text.push_str(text);
        Ok(())
    }

    fn nested(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        if self.depth >= 2 * MAX_DEPTH {
            return Err("a list or map is nested too deeply, or contains itself");
        }
        self.depth += 1;
        work(self)?;
        self.depth -= 1;
        Ok(())
    }
}

/// All lists and maps of a rendering, and what is left of its budget.
pub(crate) struct Heap {
    lists: RefCell<Vec<Rc<List>>>,
    maps: RefCell<Vec<Rc<Map>>>,
    /// Regular expressions, by their text.
    pub regexes: RefCell<HashMap<String, Rc<Regex>>>,
    memory: Cell<usize>,
    steps: Cell<u64>,
}

impl Default for Heap {
    fn default() -> Self {
        Self {
            lists: RefCell::default(),
            maps: RefCell::default(),
            regexes: RefCell::default(),
            memory: Cell::new(MAX_MEMORY),
            steps: Cell::new(MAX_STEPS),
        }
    }
}

impl Heap {
    /// Counts `bytes` of new values.
    pub fn charge(&self, bytes: usize) -> Result<(), &'static str> {
        match self.memory.get().checked_sub(bytes) {
            Some(left) => {
                self.memory.set(left);
                Ok(())
            }
            None => Err("the template needs too much memory"),
        }
    }

    /// Counts steps.
    pub fn step(&self, count: u64) -> Result<(), &'static str> {
        match self.steps.get().checked_sub(count) {
            Some(left) => {
                self.steps.set(left);
                Ok(())
            }
            None => Err("the template takes too many steps"),
        }
    }

    pub fn text(&self, text: &str) -> Result<Value, &'static str> {
        self.charge(text.len() + VALUE_BYTES)?;
        Ok(Value::text(text))
    }

    pub fn list(&self, items: Vec<Value>, is_json: bool) -> Result<Value, &'static str> {
        self.charge(CONTAINER_BYTES + items.len() * VALUE_BYTES)?;
        let list = Rc::new(List {
            items: RefCell::new(items),
            is_json,
        });
        self.lists.borrow_mut().push(Rc::clone(&list));
        Ok(Value::List(list))
    }

    pub fn map(&self, pairs: impl IntoIterator<Item = (Rc<str>, Value)>) -> Result<Value, &'static str> {
        self.charge(CONTAINER_BYTES)?;
        let map = Rc::new(Map::default());
        for (key, value) in pairs {
            self.charge(2 * VALUE_BYTES + key.len())?;
            map.entries.borrow_mut().put(key, value);
        }
        self.maps.borrow_mut().push(Rc::clone(&map));
        Ok(Value::Map(map))
    }
}

impl Drop for Heap {
    fn drop(&mut self) {
        for list in self.lists.get_mut() {
            list.items.borrow_mut().clear();
        }
        for map in self.maps.get_mut() {
            map.entries.borrow_mut().clear();
        }
    }
}
