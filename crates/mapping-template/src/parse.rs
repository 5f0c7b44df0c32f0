//! The syntax of templates.
//!
//! Source: "Velocity User Guide" and "Velocity Template Language Reference", Apache Velocity Engine 1.7. White space as
//! there: what follows a directive on its line is dropped if it is blank, with the line feed; blanks before `#set` too.

mod expression;

use crate::ast::{Expression, Node, Reference, Step};
use crate::{Error, ErrorKind, MAX_DEPTH, Result, error_at};

pub(crate) fn template(text: &str) -> Result<Vec<Node>> {
    let mut parser = Parser {
        whole: text,
        text,
        base: 0,
        at: 0,
        depth: 0,
    };
    let (nodes, ended) = parser.nodes()?;
    match ended {
        End::Text => Ok(nodes),
        End::Directive(at, name) => {
            Err(parser.error(at, format!("#{name} without a directive that it belongs to")))
        }
    }
}

/// What ends a list of nodes.
enum End {
    Text,
    /// `end`, `else` or `elseif`, which has been read.
    Directive(usize, &'static str),
}

struct Parser<'a> {
    /// The template.
    whole: &'a str,
    /// What is parsed: the template, or the content of a string literal in it.
    text: &'a str,
    /// Where `text` begins in the template.
    base: usize,
    /// In `text`.
    at: usize,
    depth: usize,
}

const ENDS: [&str; 3] = ["end", "elseif", "else"];
const REFUSED: [&str; 5] = ["macro", "parse", "include", "define", "evaluate"];
const DIRECTIVES: [&str; 5] = ["set", "if", "foreach", "break", "stop"];

impl<'a> Parser<'a> {
    fn error(&self, at: usize, message: impl Into<String>) -> Error {
        error_at(self.whole, self.base + at, ErrorKind::Template, message)
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<u8> {
        self.rest().bytes().next()
    }

    /// Reads `token` if it follows.
    fn take(&mut self, token: &str) -> bool {
        let follows = self.rest().starts_with(token);
        if follows {
            self.at += token.len();
        }
        follows
    }

    fn expect(&mut self, token: &str) -> Result<()> {
        if self.take(token) {
            return Ok(());
        }
        Err(self.error(self.at, format!("expected {token}")))
    }

    fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(self.at, format!("more than {MAX_DEPTH} levels are nested")));
        }
        self.depth += 1;
        let result = work(self);
        self.depth -= 1;
        result
    }

    /// Nodes up to the end of the text, or a directive that ends a block.
    fn nodes(&mut self) -> Result<(Vec<Node>, End)> {
        let mut nodes = Vec::new();
        let mut text = String::new();
        loop {
            let rest = self.rest();
            let plain = rest.find(['$', '#', '\\']).unwrap_or(rest.len());
            text.push_str(&rest[..plain]);
            self.at += plain;
            let Some(byte) = self.peek() else {
                flush(&mut nodes, &mut text);
                return Ok((nodes, End::Text));
            };
            let start = self.at;
            match byte {
                b'\\' => self.escapes(&mut text),
                b'$' => match self.reference()? {
                    Some(reference) => {
                        flush(&mut nodes, &mut text);
                        nodes.push(Node::Reference(reference));
                    }
                    None => {
                        text.push('$');
                        self.at = start + 1;
                    }
                },
                _ => match self.directive(&mut text)? {
                    Found::Nothing => {}
                    Found::Node(node) => {
                        flush(&mut nodes, &mut text);
                        nodes.push(node);
                    }
                    Found::End(name) => {
                        flush(&mut nodes, &mut text);
                        return Ok((nodes, End::Directive(start, name)));
                    }
                },
            }
        }
    }

    /// Backslashes before a reference or a directive: two are one, and one makes it text. Elsewhere they are text.
    fn escapes(&mut self, text: &mut String) {
        let rest = self.rest();
        let count = rest.len() - rest.trim_start_matches('\\').len();
        self.at += count;
        let follows = self.rest();
        let is_special = match follows.as_bytes() {
            [b'$', ..] => reference_begins(follows),
            [b'#', ..] => {
                let word = word(&follows[1..]);
                [&ENDS[..], &REFUSED[..], &DIRECTIVES[..]]
                    .concat()
                    .contains(&word)
            }
            _ => false,
        };
        if !is_special {
            text.extend(std::iter::repeat_n('\\', count));
            return;
        }
        text.extend(std::iter::repeat_n('\\', count / 2));
        if count % 2 == 1 {
            text.push_str(&follows[..1]);
            self.at += 1;
        }
    }

    /// After a number sign.
    fn directive(&mut self, text: &mut String) -> Result<Found> {
        let start = self.at;
        let rest = self.rest();
        if rest.starts_with("##") {
            let line = rest.find('\n').map_or(rest.len(), |newline| newline + 1);
            self.at += line;
            return Ok(Found::Nothing);
        }
        for (open, close, is_text) in [("#*", "*#", false), ("#[[", "]]#", true)] {
            let Some(inner) = rest.strip_prefix(open) else {
                continue;
            };
            let Some(length) = inner.find(close) else {
                return Err(self.error(start, format!("{open} without {close}")));
            };
            if is_text {
                text.push_str(&inner[..length]);
            }
            self.at += open.len() + length + close.len();
            return Ok(Found::Nothing);
        }
        self.at += 1;
        let braced = self.take("{");
        let name = word(self.rest());
        self.at += name.len();
        if braced && !self.take("}") {
            self.at = start + 1;
            text.push('#');
            return Ok(Found::Nothing);
        }
        self.named(start, name, text)
    }

    fn named(&mut self, start: usize, name: &str, text: &mut String) -> Result<Found> {
        if let Some(name) = ENDS.into_iter().find(|end| *end == name) {
            if name != "elseif" {
                self.line_end();
            }
            return Ok(Found::End(name));
        }
        if REFUSED.contains(&name) {
            return Err(self.error(start, format!("#{name} is not offered in mapping templates")));
        }
        let node = match name {
            "set" => {
                let blank = text.trim_end_matches([' ', '\t']).len();
                text.truncate(blank);
                self.set()?
            }
            "if" => return self.deeper(|parser| parser.condition(start)),
            "foreach" => return self.deeper(|parser| parser.foreach(start)),
            "break" => Node::Break,
            "stop" => Node::Stop,
            _ => {
                text.push_str(&self.text[start..self.at]);
                return Ok(Found::Nothing);
            }
        };
        self.line_end();
        Ok(Found::Node(node))
    }

    /// Drops blanks up to a line end, and the line end.
    fn line_end(&mut self) {
        let rest = self.rest();
        let after = rest.trim_start_matches([' ', '\t']);
        let dropped = ["\r\n", "\n", "\r"].iter().find(|end| after.starts_with(**end));
        if let Some(end) = dropped {
            self.at += rest.len() - after.len() + end.len();
        }
    }

    fn set(&mut self) -> Result<Node> {
        self.skip_space();
        self.expect("(")?;
        self.skip_space();
        let at = self.at;
        let target = match self.reference()? {
            Some(target) => target,
            None => return Err(self.error(at, "#set needs a variable, such as $name")),
        };
        if matches!(target.steps.last(), Some(Step::Method(..))) {
            return Err(self.error(at, "the result of a method cannot be set"));
        }
        self.skip_space();
        self.expect("=")?;
        let value = self.expression()?;
        self.skip_space();
        self.expect(")")?;
        Ok(Node::Set { target, value })
    }

    fn condition(&mut self, start: usize) -> Result<Found> {
        let mut branches = Vec::new();
        let mut otherwise = Vec::new();
        let mut condition = Some(self.in_parentheses()?);
        loop {
            let (nodes, end) = self.nodes()?;
            let End::Directive(at, end) = end else {
                return Err(self.error(start, "#if without #end"));
            };
            let was_else = condition.is_none();
            match condition.take() {
                Some(condition) => branches.push((condition, nodes)),
                None => otherwise = nodes,
            }
            match end {
                "end" => break,
                _ if was_else => return Err(self.error(at, format!("#{end} after #else"))),
                "elseif" => condition = Some(self.in_parentheses()?),
                _ => {}
            }
        }
        Ok(Found::Node(Node::If { branches, otherwise }))
    }

    fn in_parentheses(&mut self) -> Result<Expression> {
        self.skip_space();
        self.expect("(")?;
        let expression = self.expression()?;
        self.skip_space();
        self.expect(")")?;
        self.line_end();
        Ok(expression)
    }

    fn foreach(&mut self, start: usize) -> Result<Found> {
        self.skip_space();
        self.expect("(")?;
        self.skip_space();
        let at = self.at;
        let variable = match self.reference()? {
            Some(Reference { name, steps, .. }) if steps.is_empty() => name,
            _ => return Err(self.error(at, "#foreach needs a variable, such as $item")),
        };
        self.skip_space();
        self.expect("in")?;
        let items = self.expression()?;
        self.skip_space();
        self.expect(")")?;
        self.line_end();
        let (body, end) = self.nodes()?;
        match end {
            End::Directive(_, "end") => Ok(Found::Node(Node::Foreach {
                at: self.base + start,
                variable,
                items,
                body,
            })),
            End::Directive(at, end) => Err(self.error(at, format!("#{end} in a #foreach"))),
            End::Text => Err(self.error(start, "#foreach without #end")),
        }
    }

    /// At a dollar sign. `None` if no name follows; the position is then of no use.
    fn reference(&mut self) -> Result<Option<Reference>> {
        let at = self.at;
        if !self.take("$") {
            return Ok(None);
        }
        // Null is written as nothing with and without it.
        self.take("!");
        let braced = self.take("{");
        let name = identifier(self.rest());
        if name.is_empty() {
            return Ok(None);
        }
        self.at += name.len();
        let name = name.to_owned();
        let steps = self.deeper(|parser| parser.steps())?;
        if braced {
            self.expect("}")?;
        }
        let at = self.base + at;
        Ok(Some(Reference { at, name, steps }))
    }

    fn steps(&mut self) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        loop {
            let at = self.base + self.at;
            let rest = self.rest();
            if let Some(after) = rest.strip_prefix('.') {
                let name = identifier(after);
                if name.is_empty() {
                    return Ok(steps);
                }
                self.at += 1 + name.len();
                let name = name.to_owned();
                steps.push(match self.take("(") {
                    true => Step::Method(at + 1, name, self.list_until(")")?),
                    false => Step::Property(at + 1, name),
                });
            } else if self.take("[") {
                let index = self.expression()?;
                self.skip_space();
                self.expect("]")?;
                steps.push(Step::Index(at, Box::new(index)));
            } else {
                return Ok(steps);
            }
        }
    }
}

enum Found {
    /// It was text, a comment, or nothing.
    Nothing,
    Node(Node),
    End(&'static str),
}

fn flush(nodes: &mut Vec<Node>, text: &mut String) {
    if !text.is_empty() {
        nodes.push(Node::Text(std::mem::take(text)));
    }
}

/// The letters at the beginning.
fn word(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphabetic());
    &text[..end.unwrap_or(text.len())]
}

/// The name at the beginning. Source: "VTL identifiers", Velocity user guide.
fn identifier(text: &str) -> &str {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return "";
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'));
    &text[..end.unwrap_or(text.len())]
}

fn reference_begins(text: &str) -> bool {
    let rest = text.strip_prefix('$').unwrap_or(text);
    let rest = rest.strip_prefix('!').unwrap_or(rest);
    let rest = rest.strip_prefix('{').unwrap_or(rest);
    !identifier(rest).is_empty()
}
