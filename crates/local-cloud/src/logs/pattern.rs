//! Filter patterns of CloudWatch Logs: terms, and conditions on JSON.
//!
//! Source: "Filter pattern syntax for metric filters, subscription filters, filter log events, and Live Tail",
//! CloudWatch Logs user guide. Patterns for space-delimited events (`[a, b]`) and regular expressions are not
//! supported.

use serde_json::Value;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Pattern {
    /// All events.
    All,
    Terms {
        all: Vec<String>,
        any: Vec<String>,
        none: Vec<String>,
    },
    Json(Condition),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Compare(Vec<String>, &'static str, Operand),
    Exists(Vec<String>, bool),
    Is(Vec<String>, Value),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Number(f64),
    /// `*` stands for any text.
    Text(String),
}

const MAX_DEPTH: usize = 50;
/// Source: FilterLogEvents, CloudWatch Logs API reference. Conditions are evaluated recursively: a long one would exhaust
/// the stack.
const MAX_LENGTH: usize = 1024;

impl Pattern {
    /// # Errors
    /// A message, when the pattern is not valid or not supported.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.chars().count() > MAX_LENGTH {
            return Err(format!(
                "1 validation error detected: Value at 'filterPattern' failed to satisfy constraint: Member must have \
                 length less than or equal to {MAX_LENGTH}"
            ));
        }
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::All);
        }
        if text.starts_with('[') || text.starts_with('%') {
            return Err("the local cloud supports patterns of terms and of JSON only".to_owned());
        }
        if let Some(inner) = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')) {
            let mut parser = Parser { rest: inner };
            let condition = parser.or(0)?;
            return match parser.rest.trim() {
                "" => Ok(Self::Json(condition)),
                rest => Err(format!("the pattern cannot be read from {rest:?} on")),
            };
        }
        let (mut all, mut any, mut none) = (Vec::new(), Vec::new(), Vec::new());
        let mut rest = text;
        while !rest.is_empty() {
            let (list, tail) = match rest.as_bytes()[0] {
                b'-' => (&mut none, &rest[1..]),
                b'?' => (&mut any, &rest[1..]),
                _ => (&mut all, rest),
            };
            let (term, tail) = match tail.strip_prefix('"') {
                Some(quoted) => {
                    let end = quoted.find('"').ok_or("a quote is not closed")?;
                    (&quoted[..end], &quoted[end + 1..])
                }
                None => tail.split_at(tail.find(char::is_whitespace).unwrap_or(tail.len())),
            };
            if !term.is_empty() {
                list.push(term.to_owned());
            }
            rest = tail.trim_start();
        }
        Ok(Self::Terms { all, any, none })
    }

    pub fn matches(&self, message: &str) -> bool {
        match self {
            Self::All => true,
            Self::Terms { all, any, none } => {
                let has = |term: &String| message.contains(term.as_str());
                all.iter().all(has)
                    && !none.iter().any(has)
                    // "?" has no effect beside required terms.
                    && (any.is_empty() || !all.is_empty() || any.iter().any(has))
            }
            Self::Json(condition) => serde_json::from_str(message)
                .is_ok_and(|value: Value| value.is_object() && meets(&value, condition)),
        }
    }
}

fn at<'a>(value: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        _ => value.get(step),
    })
}

fn meets(value: &Value, condition: &Condition) -> bool {
    match condition {
        Condition::And(a, b) => meets(value, a) && meets(value, b),
        Condition::Or(a, b) => meets(value, a) || meets(value, b),
        Condition::Exists(path, wanted) => at(value, path).is_some() == *wanted,
        Condition::Is(path, wanted) => at(value, path) == Some(wanted),
        Condition::Compare(path, operator, operand) => {
            let Some(found) = at(value, path) else {
                return false;
            };
            match operand {
                Operand::Number(wanted) => found.as_f64().is_some_and(|found| match *operator {
                    "=" => found == *wanted,
                    "!=" => found != *wanted,
                    "<" => found < *wanted,
                    "<=" => found <= *wanted,
                    ">" => found > *wanted,
                    _ => found >= *wanted,
                }),
                Operand::Text(wanted) => {
                    let found = match found {
                        Value::String(text) => text.clone(),
                        Value::Number(_) | Value::Bool(_) => found.to_string(),
                        _ => return false,
                    };
                    match *operator {
                        "=" => is_like(&found, wanted),
                        "!=" => !is_like(&found, wanted),
                        _ => false,
                    }
                }
            }
        }
    }
}

/// Whether `text` is `wanted`, where `*` stands for any text.
fn is_like(text: &str, wanted: &str) -> bool {
    let mut parts = wanted.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else {
        return rest.is_empty();
    };
    for part in middle {
        match rest.find(part) {
            Some(found) => rest = &rest[found + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn take(&mut self, text: &str) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn word(&mut self, word: &str) -> bool {
        self.rest = self.rest.trim_start();
        let found = self
            .rest
            .get(..word.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(word));
        if found {
            self.rest = &self.rest[word.len()..];
        }
        found
    }

    fn or(&mut self, depth: usize) -> Result<Condition, String> {
        let mut left = self.and(depth)?;
        while self.take("||") {
            left = Condition::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Condition, String> {
        let mut left = self.simple(depth)?;
        while self.take("&&") {
            left = Condition::And(Box::new(left), Box::new(self.simple(depth)?));
        }
        Ok(left)
    }

    fn simple(&mut self, depth: usize) -> Result<Condition, String> {
        if depth > MAX_DEPTH {
            return Err("the pattern is nested too deeply".to_owned());
        }
        if self.take("(") {
            let inner = self.or(depth + 1)?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err("a parenthesis is not closed".to_owned())
            };
        }
        let path = self.path()?;
        if self.word("NOT EXISTS") {
            return Ok(Condition::Exists(path, false));
        }
        if self.word("EXISTS") {
            return Ok(Condition::Exists(path, true));
        }
        if self.word("IS ") {
            let wanted = match () {
                () if self.word("TRUE") => Value::Bool(true),
                () if self.word("FALSE") => Value::Bool(false),
                () if self.word("NULL") => Value::Null,
                () => return Err("IS takes TRUE, FALSE or NULL".to_owned()),
            };
            return Ok(Condition::Is(path, wanted));
        }
        for operator in ["!=", "<=", ">=", "=", "<", ">"] {
            if self.take(operator) {
                let operand = self.operand()?;
                return Ok(Condition::Compare(path, operator, operand));
            }
        }
        Err(format!("an operator is missing before {:?}", self.rest))
    }

    /// `$.a.b[0]`, also `$.['a b']`.
    fn path(&mut self) -> Result<Vec<String>, String> {
        if !self.take("$") {
            return Err(format!(
                "a selector that begins with $ is missing before {:?}",
                self.rest
            ));
        }
        let mut path = Vec::new();
        loop {
            let rest = self.rest.strip_prefix('.').unwrap_or(self.rest);
            if let Some(inner) = rest.strip_prefix('[') {
                let end = inner.find(']').ok_or("a bracket is not closed")?;
                path.push(inner[..end].trim_matches(['\'', '"']).to_owned());
                self.rest = &inner[end + 1..];
            } else if rest.len() < self.rest.len() {
                let is_name = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '@' | '$');
                let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
                if end == 0 {
                    return Err("a selector has no name".to_owned());
                }
                path.push(rest[..end].to_owned());
                self.rest = &rest[end..];
            } else {
                return Ok(path);
            }
        }
    }

    fn operand(&mut self) -> Result<Operand, String> {
        if self.take("\"") {
            let end = self.rest.find('"').ok_or("a quote is not closed")?;
            let text = self.rest[..end].to_owned();
            self.rest = &self.rest[end + 1..];
            return Ok(Operand::Text(text));
        }
        self.rest = self.rest.trim_start();
        let end = self
            .rest
            .find(|c: char| c.is_whitespace() || "()&|".contains(c))
            .unwrap_or(self.rest.len());
        let word = &self.rest[..end];
        if word.is_empty() {
            return Err("a value is missing".to_owned());
        }
        self.rest = &self.rest[end..];
        Ok(match word.parse() {
            Ok(number) => Operand::Number(number),
            Err(_) => Operand::Text(word.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, message: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(message)
    }

    #[test]
    fn terms() {
        assert!(matches("", "anything"));
        assert!(matches("ERROR", "[ERROR] x"));
        assert!(!matches("ERROR", "error"));
        assert!(matches("ERROR timeout", "timeout ERROR"));
        assert!(!matches("ERROR -timeout", "timeout ERROR"));
        assert!(matches("?WARN ?ERROR", "a WARN"));
        assert!(!matches("?WARN ?ERROR", "INFO"));
        assert!(matches("\"not found\"", "was not found"));
        assert!(!matches("\"not found\"", "found not"));
        assert!(!matches("100%", "100"));
    }

    #[test]
    fn json() {
        let event = r#"{"level":"error","n":5,"who":{"name":"Ann"},"list":[1],"ok":true,"no":null}"#;
        for pattern in [
            r#"{ $.level = "error" }"#,
            "{ $.level = error }",
            r#"{ $.level = "err*" && $.n > 4 }"#,
            "{ ($.n = 5) || ($.n = 6) }",
            "{ $.who.name = A* }",
            "{ $.list[0] = 1 }",
            "{ $.ok IS TRUE && $.no IS NULL }",
            "{ $.other NOT EXISTS }",
            r#"{ $.level != "info" }"#,
        ] {
            assert!(matches(pattern, event), "{pattern}");
        }
        for pattern in [r#"{ $.level = "info" }"#, "{ $.n < 5 }", "{ $.other = 1 }"] {
            assert!(!matches(pattern, event), "{pattern}");
        }
        assert!(!matches("{ $.level = error }", "no JSON"));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for pattern in [
            "[a, b]",
            "%regex%",
            "{ $.a }",
            "{ a = 1 }",
            "{ $.a = }",
            "{ ($.a = 1 }",
            "\"open",
            "{ $. = 1 }",
        ] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }
}
