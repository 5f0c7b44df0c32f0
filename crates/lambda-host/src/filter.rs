//! Filter criteria: which records a function receives.
//!
//! Patterns are EventBridge patterns, limited to what Lambda supports. A pattern's `data` is matched against the
//! record's data as JSON. Other fields are matched against the record of the event or its `kinesis` object.
//! Source: "Control which events Lambda sends to your function" and "Using event filtering with a Kinesis event
//! source", AWS Lambda developer guide.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};

/// AWS's message for each pattern that is not valid.
const INVALID: &str = "Invalid filter pattern definition.";
/// Maximum characters of a pattern.
const LONGEST: usize = 4096;

/// The compiled filters of a mapping. A record passes if one of them matches, or if there are none.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filters(Vec<Node>);

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq)]
enum Node {
    /// An object: all fields must match.
    Fields(Vec<(String, Node)>),
    /// One of these must match (`$or`).
    Either(Vec<Node>),
    /// A value that one of these rules must match.
    Leaf(Vec<Rule>),
}

/// A condition on a leaf value.
#[derive(Debug, Clone, PartialEq)]
enum Rule {
    Equals(Value),
    Text(Text),
    Not(Vec<Rule>),
    Numeric(Vec<(Comparison, f64)>),
    Exists(bool),
}

/// A condition on a string.
#[derive(Debug, Clone, PartialEq)]
enum Text {
    Same(String),
    Prefix(String, bool),
    Suffix(String, bool),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Comparison {
    Equal,
    Less,
    AtMost,
    More,
    AtLeast,
}

impl Filters {
    /// Compiles the patterns of a mapping.
    ///
    /// # Errors
    /// AWS's message, if one of them is not valid.
    pub fn compile(patterns: &[String]) -> Result<Self, String> {
        let nodes = patterns.iter().map(|pattern| {
            let invalid = || INVALID.to_owned();
            if pattern.len() > LONGEST {
                return Err(invalid());
            }
            let value: Value = serde_json::from_str(pattern).map_err(|_| invalid())?;
            // "The filter pattern for data properties must be in a valid JSON format": it must be an object.
            if value.get("data").is_some_and(|data| !data.is_object()) {
                return Err(invalid());
            }
            match value {
                Value::Object(fields) if !fields.is_empty() => object(&fields).ok_or_else(invalid),
                _ => Err(invalid()),
            }
        });
        nodes.collect::<Result<_, _>>().map(Self)
    }

    /// Whether every record passes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a record passes. `metadata` gives the fields of its event except the data. It is called only if needed.
    pub fn matches(&self, data: &[u8], metadata: impl FnOnce() -> Map<String, Value>) -> bool {
        if self.0.is_empty() {
            return true;
        }
        let mut record = if self.0.iter().any(Node::asks_for_metadata) {
            metadata()
        } else {
            Map::new()
        };
        // If the data is not JSON, it is omitted: a pattern for it then does not match.
        match serde_json::from_slice::<Value>(data) {
            Ok(data @ (Value::Object(_) | Value::Array(_))) => {
                record.insert("data".to_owned(), data);
            }
            _ if self.0.iter().all(Node::asks_for_data) => return false,
            _ => {}
        }
        let has_data = record.contains_key("data");
        let record = Value::Object(record);
        let mut candidates = self.0.iter().filter(|node| has_data || !node.asks_for_data());
        candidates.any(|node| node.matches(Some(&record)))
    }
}

impl Node {
    fn asks_for_data(&self) -> bool {
        self.asks_for(&|name| name == "data")
    }

    fn asks_for_metadata(&self) -> bool {
        self.asks_for(&|name| name != "data")
    }

    fn asks_for(&self, wanted: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Fields(fields) => fields.iter().any(|(name, node)| {
                matches!(node, Self::Either(_)) && node.asks_for(wanted) || name != "$or" && wanted(name)
            }),
            Self::Either(nodes) => nodes.iter().any(|node| node.asks_for(wanted)),
            Self::Leaf(_) => false,
        }
    }

    fn matches(&self, value: Option<&Value>) -> bool {
        match (self, value) {
            (Self::Either(nodes), _) => nodes.iter().any(|node| node.matches(value)),
            (Self::Leaf(rules), _) => rules.iter().any(|rule| rule.matches(value)),
            (Self::Fields(_), Some(Value::Array(values))) => {
                values.iter().any(|value| self.matches(Some(value)))
            }
            (Self::Fields(fields), _) => fields.iter().all(|(name, node)| match node {
                Self::Either(_) if name == "$or" => node.matches(value),
                _ => node.matches(value.and_then(|value| value.get(name))),
            }),
        }
    }
}

impl Rule {
    fn matches(&self, value: Option<&Value>) -> bool {
        let value = match (self, value) {
            (Self::Exists(wanted), _) => {
                // Only leaves count, as in EventBridge.
                let there = value.is_some_and(|value| !value.is_object());
                return there == *wanted;
            }
            (_, None) => return false,
            // One matching value is enough. For "anything but", no value may be excluded.
            (Self::Not(rules), Some(Value::Array(values))) => {
                return values
                    .iter()
                    .any(|value| !rules.iter().any(|rule| rule.matches(Some(value))));
            }
            (_, Some(Value::Array(values))) => return values.iter().any(|value| self.matches(Some(value))),
            (_, Some(value)) => value,
        };
        match self {
            Self::Equals(wanted) => value == wanted,
            Self::Text(text) => value.as_str().is_some_and(|value| text.matches(value)),
            Self::Not(rules) => !value.is_object() && !rules.iter().any(|rule| rule.matches(Some(value))),
            Self::Numeric(tests) => value.as_f64().is_some_and(|value| {
                tests
                    .iter()
                    .all(|(comparison, bound)| comparison.holds(value, *bound))
            }),
            Self::Exists(_) => false,
        }
    }
}

impl Text {
    fn matches(&self, value: &str) -> bool {
        let fold = |text: &str| text.to_lowercase();
        match self {
            Self::Same(wanted) => fold(value) == fold(wanted),
            Self::Prefix(wanted, false) => value.starts_with(wanted.as_str()),
            Self::Prefix(wanted, true) => fold(value).starts_with(&fold(wanted)),
            Self::Suffix(wanted, false) => value.ends_with(wanted.as_str()),
            Self::Suffix(wanted, true) => fold(value).ends_with(&fold(wanted)),
        }
    }
}

impl Comparison {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "=" => Self::Equal,
            "<" => Self::Less,
            "<=" => Self::AtMost,
            ">" => Self::More,
            ">=" => Self::AtLeast,
            _ => return None,
        })
    }

    fn holds(self, value: f64, bound: f64) -> bool {
        match self {
            Self::Equal => value == bound,
            Self::Less => value < bound,
            Self::AtMost => value <= bound,
            Self::More => value > bound,
            Self::AtLeast => value >= bound,
        }
    }
}

fn object(fields: &Map<String, Value>) -> Option<Node> {
    if fields.is_empty() {
        return None;
    }
    let fields = fields.iter().map(|(name, value)| {
        let node = match value {
            Value::Object(fields) => object(fields)?,
            Value::Array(nodes) if name == "$or" && nodes.len() > 1 && nodes.iter().all(Value::is_object) => {
                let nodes = nodes.iter().map(|node| object(node.as_object()?));
                Node::Either(nodes.collect::<Option<_>>()?)
            }
            Value::Array(rules) if !rules.is_empty() => {
                Node::Leaf(rules.iter().map(rule).collect::<Option<_>>()?)
            }
            _ => return None,
        };
        Some((name.clone(), node))
    });
    fields.collect::<Option<_>>().map(Node::Fields)
}

fn rule(value: &Value) -> Option<Rule> {
    let Value::Object(fields) = value else {
        return (!value.is_array()).then(|| Rule::Equals(value.clone()));
    };
    let (name, operand) = fields.iter().next().filter(|_| fields.len() == 1)?;
    match name.as_str() {
        "exists" => operand.as_bool().map(Rule::Exists),
        "numeric" => numeric(operand.as_array()?),
        "anything-but" => not(operand).map(Rule::Not),
        _ => text(name, operand).map(Rule::Text),
    }
}

/// Rules for strings, which can also be nested in `anything-but`.
fn text(name: &str, operand: &Value) -> Option<Text> {
    let (folded, operand) = match operand {
        Value::Object(inner) if inner.len() == 1 && name != "equals-ignore-case" => {
            (true, inner.get("equals-ignore-case")?)
        }
        other => (false, other),
    };
    let operand = operand.as_str()?.to_owned();
    match name {
        "prefix" => Some(Text::Prefix(operand, folded)),
        "suffix" => Some(Text::Suffix(operand, folded)),
        "equals-ignore-case" => Some(Text::Same(operand)),
        _ => None,
    }
}

fn not(operand: &Value) -> Option<Vec<Rule>> {
    match operand {
        Value::Array(values) if !values.is_empty() => {
            let scalars = values.iter().all(|value| value.is_string() || value.is_number());
            scalars.then(|| values.iter().cloned().map(Rule::Equals).collect())
        }
        Value::Object(fields) => {
            let (name, operand) = fields.iter().next().filter(|_| fields.len() == 1)?;
            let operands = match operand {
                Value::Array(operands) if !operands.is_empty() => operands.clone(),
                other => vec![other.clone()],
            };
            let rules = operands.iter().map(|operand| text(name, operand).map(Rule::Text));
            rules.collect()
        }
        Value::String(_) | Value::Number(_) => Some(vec![Rule::Equals(operand.clone())]),
        _ => None,
    }
}

fn numeric(operands: &[Value]) -> Option<Rule> {
    if !(operands.len() == 2 || operands.len() == 4) {
        return None;
    }
    let tests = operands.chunks_exact(2).map(|pair| {
        let comparison = Comparison::parse(pair[0].as_str()?)?;
        Some((comparison, pair[1].as_f64()?))
    });
    tests.collect::<Option<_>>().map(Rule::Numeric)
}
