//! Condition, filter, key-condition, projection and update expressions: from text to trees.
//!
//! Source: "Expressions in DynamoDB", DynamoDB developer guide.

mod token;

use std::cell::RefCell;
use std::collections::HashSet;

use serde_json::{Map, Value};

use super::error::{ApiError, Result};
use super::reserved::is_reserved;
use super::value;
use token::{Token, tokens};

/// Parentheses and NOTs within each other. Source: "Constraints", DynamoDB developer guide: 300 operators; this keeps
/// the parser's own depth bounded.
const MAX_DEPTH: usize = 100;
/// Source: the same: "The maximum length of any expression string is 4 KB".
const MAX_LENGTH: usize = 4096;

/// A step into an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Name(String),
    Index(usize),
}

/// The path of a value in an item. Begins with a name.
pub(super) type Path = Vec<Step>;

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Operand {
    Path(Path),
    Value(Value),
    Size(Path),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparator {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    Compare(Comparator, Operand, Operand),
    Between(Operand, Operand, Operand),
    In(Operand, Vec<Operand>),
    Exists(Path),
    NotExists(Path),
    Type(Path, String),
    BeginsWith(Operand, Operand),
    Contains(Operand, Operand),
}

impl Condition {
    /// The names of the attributes that it depends on: the first steps of its paths.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let mut names = Vec::new();
        self.add_names(&mut names);
        names.into_iter()
    }

    fn add_names<'a>(&'a self, names: &mut Vec<&'a str>) {
        let mut path = |path: &'a Path| {
            if let Some(Step::Name(name)) = path.first() {
                names.push(name);
            }
        };
        let mut operands = |operands: &[&'a Operand]| {
            for operand in operands {
                if let Operand::Path(inner) | Operand::Size(inner) = operand {
                    path(inner);
                }
            }
        };
        match self {
            Self::And(a, b) | Self::Or(a, b) => {
                a.add_names(names);
                b.add_names(names);
            }
            Self::Not(inner) => inner.add_names(names),
            Self::Exists(inner) | Self::NotExists(inner) | Self::Type(inner, _) => path(inner),
            Self::Compare(_, a, b) | Self::BeginsWith(a, b) | Self::Contains(a, b) => operands(&[a, b]),
            Self::Between(a, b, c) => operands(&[a, b, c]),
            Self::In(a, options) => {
                operands(&[a]);
                options.iter().for_each(|option| operands(&[option]));
            }
        }
    }
}

/// The operand of SET.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    Operand(Operand),
    IfNotExists(Path, Box<Term>),
    ListAppend(Box<Term>, Box<Term>),
    Plus(Box<Term>, Box<Term>),
    Minus(Box<Term>, Box<Term>),
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum Action {
    Set(Path, Term),
    Remove(Path),
    Add(Path, Value),
    Delete(Path, Value),
}

/// The placeholders of a request, and which of them were used.
pub(super) struct Placeholders {
    names: Map<String, Value>,
    values: Map<String, Value>,
    used: RefCell<HashSet<String>>,
}

impl Placeholders {
    /// Takes `ExpressionAttributeNames` and `ExpressionAttributeValues` out of a request.
    pub fn take(input: &mut Map<String, Value>) -> Result<Self> {
        let mut part = |field: &str| -> Result<Option<Map<String, Value>>> {
            match input.remove(field) {
                None | Some(Value::Null) => Ok(None),
                Some(Value::Object(fields)) if fields.is_empty() => {
                    Err(ApiError::validation(format!("{field} must not be empty")))
                }
                Some(Value::Object(fields)) => Ok(Some(fields)),
                Some(_) => Err(ApiError::new(
                    "SerializationException",
                    format!("{field} is not a map"),
                )),
            }
        };
        let names = part("ExpressionAttributeNames")?.unwrap_or_default();
        let mut values = part("ExpressionAttributeValues")?.unwrap_or_default();
        for (key, value) in &mut values {
            value::check(value, 0).map_err(|error| {
                ApiError::validation(format!(
                    "ExpressionAttributeValues contains invalid value: {} for key {key}",
                    error.message
                ))
            })?;
        }
        Ok(Self {
            names,
            values,
            used: RefCell::default(),
        })
    }

    /// # Errors
    /// When a placeholder was given that no expression used.
    pub fn check_used(&self) -> Result<()> {
        let used = self.used.borrow();
        for (what, given) in [("Names", &self.names), ("Values", &self.values)] {
            let unused: Vec<&str> = given
                .keys()
                .map(String::as_str)
                .filter(|key| !used.contains(*key))
                .collect();
            if !unused.is_empty() {
                return Err(ApiError::validation(format!(
                    "Value provided in ExpressionAttribute{what} unused in expressions: keys: {{{}}}",
                    unused.join(", ")
                )));
            }
        }
        Ok(())
    }

    fn name(&self, placeholder: &str, kind: &str) -> Result<String> {
        self.used.borrow_mut().insert(placeholder.to_owned());
        let name = self.names.get(placeholder).and_then(Value::as_str);
        name.map(str::to_owned).ok_or_else(|| {
            ApiError::validation(format!(
                "Invalid {kind}: An expression attribute name used in the document path is not defined; attribute \
                 name: {placeholder}"
            ))
        })
    }

    fn value(&self, placeholder: &str, kind: &str) -> Result<Value> {
        self.used.borrow_mut().insert(placeholder.to_owned());
        self.values.get(placeholder).cloned().ok_or_else(|| {
            ApiError::validation(format!(
                "Invalid {kind}: An expression attribute value used in expression is not defined; attribute value: \
                 {placeholder}"
            ))
        })
    }
}

/// An expression and the field of its request.
pub(super) struct Source<'a> {
    pub kind: &'static str,
    pub text: &'a str,
    pub placeholders: &'a Placeholders,
}

/// Reads a condition, filter or key condition.
///
/// # Errors
/// `ValidationException`, when the text is not valid.
pub(super) fn condition(source: &Source<'_>) -> Result<Condition> {
    let mut parser = Parser::new(source)?;
    let condition = parser.or(0)?;
    parser.end()?;
    Ok(condition)
}

/// Reads a projection.
///
/// # Errors
/// `ValidationException`, when the text is not valid.
pub(super) fn projection(source: &Source<'_>) -> Result<Vec<Path>> {
    let mut parser = Parser::new(source)?;
    let mut paths = vec![parser.path()?];
    while parser.take(",") {
        paths.push(parser.path()?);
    }
    parser.end()?;
    Ok(paths)
}

/// Reads an update.
///
/// # Errors
/// `ValidationException`, when the text is not valid.
pub(super) fn update(source: &Source<'_>) -> Result<Vec<Action>> {
    let mut parser = Parser::new(source)?;
    let mut actions = Vec::new();
    let mut clauses = HashSet::new();
    while let Some(Token::Word(word)) = parser.peek() {
        let clause = word.to_ascii_uppercase();
        if !["SET", "REMOVE", "ADD", "DELETE"].contains(&clause.as_str()) {
            return Err(parser.unexpected());
        }
        if !clauses.insert(clause.clone()) {
            return Err(parser.error(&format!(
                "The \"{clause}\" section can only be used once in an update expression;"
            )));
        }
        parser.at += 1;
        loop {
            let path = parser.path()?;
            actions.push(match clause.as_str() {
                "SET" => {
                    parser.expect("=")?;
                    Action::Set(path, parser.term(0)?)
                }
                "REMOVE" => Action::Remove(path),
                "ADD" => Action::Add(path, parser.value()?),
                _ => Action::Delete(path, parser.value()?),
            });
            if !parser.take(",") {
                break;
            }
        }
    }
    parser.end()?;
    Ok(actions)
}

/// Refuses paths that are the same or overlap.
///
/// # Errors
/// `ValidationException`, in the name of the field `kind`.
pub(super) fn check_overlap<'a>(kind: &str, paths: impl Iterator<Item = &'a Path>) -> Result<()> {
    let paths: Vec<&Path> = paths.collect();
    for (i, a) in paths.iter().enumerate() {
        for b in &paths[i + 1..] {
            if a.starts_with(b) || b.starts_with(a) {
                return Err(ApiError::validation(format!(
                    "Invalid {kind}: Two document paths overlap with each other; must remove or rewrite one of these \
                     paths; path one: {}, path two: {}",
                    show(a),
                    show(b)
                )));
            }
        }
    }
    Ok(())
}

fn show(path: &Path) -> String {
    let steps: Vec<String> = path
        .iter()
        .map(|step| match step {
            Step::Name(name) => name.clone(),
            Step::Index(index) => format!("[{index}]"),
        })
        .collect();
    format!("[{}]", steps.join(", "))
}

struct Parser<'a> {
    source: &'a Source<'a>,
    tokens: Vec<Token>,
    /// Where each token is in the text.
    spans: Vec<std::ops::Range<usize>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn new(source: &'a Source<'a>) -> Result<Self> {
        let mut parser = Self {
            source,
            tokens: Vec::new(),
            spans: Vec::new(),
            at: 0,
        };
        if source.text.trim().is_empty() {
            return Err(parser.error("The expression can not be empty;"));
        }
        if source.text.len() > MAX_LENGTH {
            return Err(parser.error("Expression size has exceeded the maximum allowed size;"));
        }
        (parser.tokens, parser.spans) = tokens(source.text);
        Ok(parser)
    }

    fn error(&self, message: &str) -> ApiError {
        ApiError::validation(format!("Invalid {}: {message}", self.source.kind))
    }

    fn unexpected(&self) -> ApiError {
        let text = self.source.text;
        let token = self
            .spans
            .get(self.at)
            .map_or("<EOF>", |span| &text[span.clone()]);
        // With the tokens before and after.
        let from = self
            .spans
            .get(self.at.saturating_sub(1))
            .map_or(0, |span| span.start);
        let to = self.spans.get(self.at + 1).map_or(text.len(), |span| span.end);
        self.error(&format!(
            "Syntax error; token: \"{token}\", near: \"{}\"",
            text[from..to].trim_end()
        ))
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, sign: &str) -> Result<()> {
        if self.take(sign) {
            Ok(())
        } else {
            Err(self.unexpected())
        }
    }

    fn keyword(&mut self, keyword: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(keyword));
        self.at += usize::from(found);
        found
    }

    fn end(&self) -> Result<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected()),
        }
    }

    fn or(&mut self, depth: usize) -> Result<Condition> {
        let mut left = self.and(depth)?;
        while self.keyword("OR") {
            left = Condition::Or(Box::new(left), Box::new(self.and(depth)?));
        }
        Ok(left)
    }

    fn and(&mut self, depth: usize) -> Result<Condition> {
        let mut left = self.not(depth)?;
        while self.keyword("AND") {
            left = Condition::And(Box::new(left), Box::new(self.not(depth)?));
        }
        Ok(left)
    }

    fn not(&mut self, depth: usize) -> Result<Condition> {
        if depth > MAX_DEPTH {
            return Err(self.error("The expression is nested too deeply;"));
        }
        if self.keyword("NOT") {
            return Ok(Condition::Not(Box::new(self.not(depth + 1)?)));
        }
        if self.take("(") {
            let inner = self.or(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        match self.function_name() {
            Some(name) if name != "size" => self.function(&name),
            _ => self.comparison(),
        }
    }

    /// The name before an opening parenthesis.
    fn function_name(&self) -> Option<String> {
        match (self.peek(), self.tokens.get(self.at + 1)) {
            (Some(Token::Word(name)), Some(Token::Sign("("))) => Some(name.clone()),
            _ => None,
        }
    }

    fn function(&mut self, name: &str) -> Result<Condition> {
        self.at += 2;
        let condition = match name {
            "attribute_exists" => Condition::Exists(self.path()?),
            "attribute_not_exists" => Condition::NotExists(self.path()?),
            "attribute_type" => {
                let path = self.path()?;
                self.expect(",")?;
                let kind = self.value()?;
                let kind = kind["S"].as_str().ok_or_else(|| {
                    self.error("Incorrect operand type for operator or function; operator or function: attribute_type, operand type: not S")
                })?;
                Condition::Type(path, kind.to_owned())
            }
            "begins_with" | "contains" => {
                let subject = self.operand()?;
                self.expect(",")?;
                let object = self.operand()?;
                if name == "contains" {
                    Condition::Contains(subject, object)
                } else {
                    Condition::BeginsWith(subject, object)
                }
            }
            _ => return Err(self.error(&format!("Invalid function name; function: {name}"))),
        };
        self.expect(")")?;
        Ok(condition)
    }

    fn comparison(&mut self) -> Result<Condition> {
        let left = self.operand()?;
        if self.keyword("BETWEEN") {
            let low = self.operand()?;
            if !self.keyword("AND") {
                return Err(self.unexpected());
            }
            return Ok(Condition::Between(left, low, self.operand()?));
        }
        if self.keyword("IN") {
            self.expect("(")?;
            let mut options = vec![self.operand()?];
            while self.take(",") {
                options.push(self.operand()?);
            }
            self.expect(")")?;
            return Ok(Condition::In(left, options));
        }
        let comparator = match self.peek() {
            Some(Token::Sign("=")) => Comparator::Equal,
            Some(Token::Sign("<>")) => Comparator::Unequal,
            Some(Token::Sign("<")) => Comparator::Less,
            Some(Token::Sign("<=")) => Comparator::LessOrEqual,
            Some(Token::Sign(">")) => Comparator::Greater,
            Some(Token::Sign(">=")) => Comparator::GreaterOrEqual,
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(Condition::Compare(comparator, left, self.operand()?))
    }

    fn operand(&mut self) -> Result<Operand> {
        if self.function_name().as_deref() == Some("size") {
            self.at += 2;
            let path = self.path()?;
            self.expect(")")?;
            return Ok(Operand::Size(path));
        }
        match self.peek() {
            Some(Token::Value(_)) => Ok(Operand::Value(self.value()?)),
            _ => Ok(Operand::Path(self.path()?)),
        }
    }

    fn value(&mut self) -> Result<Value> {
        match self.tokens.get(self.at) {
            Some(Token::Value(placeholder)) => {
                let value = self.source.placeholders.value(placeholder, self.source.kind)?;
                self.at += 1;
                Ok(value)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn path(&mut self) -> Result<Path> {
        let mut path = vec![Step::Name(self.path_name()?)];
        loop {
            if self.take(".") {
                path.push(Step::Name(self.path_name()?));
            } else if self.take("[") {
                let Some(Token::Number(index)) = self.peek() else {
                    return Err(self.unexpected());
                };
                path.push(Step::Index(*index));
                self.at += 1;
                self.expect("]")?;
            } else {
                return Ok(path);
            }
        }
    }

    fn path_name(&mut self) -> Result<String> {
        let name = match self.tokens.get(self.at) {
            Some(Token::Name(placeholder)) => self.source.placeholders.name(placeholder, self.source.kind)?,
            Some(Token::Word(word)) if is_reserved(word) => {
                return Err(self.error(&format!(
                    "Attribute name is a reserved keyword; reserved keyword: {word}"
                )));
            }
            Some(Token::Word(word)) => word.clone(),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(name)
    }

    fn term(&mut self, depth: usize) -> Result<Term> {
        let left = self.simple_term(depth)?;
        if self.take("+") {
            return Ok(Term::Plus(Box::new(left), Box::new(self.simple_term(depth)?)));
        }
        if self.take("-") {
            return Ok(Term::Minus(Box::new(left), Box::new(self.simple_term(depth)?)));
        }
        Ok(left)
    }

    fn simple_term(&mut self, depth: usize) -> Result<Term> {
        if depth > MAX_DEPTH {
            return Err(self.error("The expression is nested too deeply;"));
        }
        if self.take("(") {
            let inner = self.term(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        match self.function_name().as_deref() {
            Some("if_not_exists") => {
                self.at += 2;
                let path = self.path()?;
                self.expect(",")?;
                let default = self.term(depth + 1)?;
                self.expect(")")?;
                Ok(Term::IfNotExists(path, Box::new(default)))
            }
            Some("list_append") => {
                self.at += 2;
                let first = self.term(depth + 1)?;
                self.expect(",")?;
                let second = self.term(depth + 1)?;
                self.expect(")")?;
                Ok(Term::ListAppend(Box::new(first), Box::new(second)))
            }
            Some(other) => Err(self.error(&format!("Invalid function name; function: {other}"))),
            None => match self.peek() {
                Some(Token::Value(_)) => Ok(Term::Operand(Operand::Value(self.value()?))),
                _ => Ok(Term::Operand(Operand::Path(self.path()?))),
            },
        }
    }
}
