//! Expressions: what is right of `=`, in conditions, and arguments of methods.

use super::{End, Parser};
use crate::ast::{Expression, Node, Operator};
use crate::{Result, java};

/// Operators by precedence, the weakest first. Source: "Getting literal" and "Conditionals", Velocity user guide. A longer
/// token precedes a shorter one that it begins with.
const LEVELS: [&[(&str, Operator)]; 6] = [
    &[("||", Operator::Or), ("or", Operator::Or)],
    &[("&&", Operator::And), ("and", Operator::And)],
    &[
        ("==", Operator::Equal),
        ("!=", Operator::NotEqual),
        ("eq", Operator::Equal),
        ("ne", Operator::NotEqual),
    ],
    &[
        ("<=", Operator::LessOrEqual),
        (">=", Operator::GreaterOrEqual),
        ("<", Operator::Less),
        (">", Operator::Greater),
        ("le", Operator::LessOrEqual),
        ("ge", Operator::GreaterOrEqual),
        ("lt", Operator::Less),
        ("gt", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[
        ("*", Operator::Multiply),
        ("/", Operator::Divide),
        ("%", Operator::Remainder),
    ],
];

impl Parser<'_> {
    pub(super) fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    pub(super) fn expression(&mut self) -> Result<Expression> {
        self.deeper(|parser| parser.level(0))
    }

    fn level(&mut self, level: usize) -> Result<Expression> {
        let Some(operators) = LEVELS.get(level) else {
            return self.unary();
        };
        let mut left = self.level(level + 1)?;
        let mut chained = 0;
        loop {
            self.skip_space();
            let at = self.at;
            let Some((_, operator)) = operators.iter().find(|(token, _)| self.take_operator(token)) else {
                return Ok(left);
            };
            // A chain is as deep as it is long.
            chained += 1;
            if chained > 10 * crate::MAX_DEPTH {
                return Err(self.error(at, "the expression is too long"));
            }
            let right = self.level(level + 1)?;
            left = Expression::Binary(self.base + at, *operator, Box::new(left), Box::new(right));
        }
    }

    /// A word is an operator only if no letter follows.
    fn take_operator(&mut self, token: &str) -> bool {
        let Some(after) = self.rest().strip_prefix(token) else {
            return false;
        };
        let is_word = token.starts_with(|c: char| c.is_ascii_alphabetic());
        if is_word && after.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
            return false;
        }
        self.at += token.len();
        true
    }

    fn unary(&mut self) -> Result<Expression> {
        self.skip_space();
        let at = self.at;
        if self.take_operator("!") || self.take_operator("not") {
            return self.deeper(|parser| Ok(Expression::Not(Box::new(parser.unary()?))));
        }
        if self.take("-") {
            return self
                .deeper(|parser| Ok(Expression::Negative(parser.base + at, Box::new(parser.unary()?))));
        }
        self.primary()
    }

    fn primary(&mut self) -> Result<Expression> {
        let at = self.at;
        match self.peek() {
            Some(b'$') => match self.reference()? {
                Some(reference) => Ok(Expression::Reference(reference)),
                None => Err(self.error(at, "$ without a name")),
            },
            Some(b'(') => {
                self.at += 1;
                let inner = self.expression()?;
                self.skip_space();
                self.expect(")")?;
                Ok(inner)
            }
            Some(b'[') => self.list(),
            Some(b'{') => self.map(),
            Some(quote @ (b'"' | b'\'')) => self.literal(quote),
            Some(byte) if byte.is_ascii_digit() => Ok(self.number()),
            _ => {
                for (word, value) in [
                    ("true", Expression::Bool(true)),
                    ("false", Expression::Bool(false)),
                    ("null", Expression::Null),
                ] {
                    if self.take_operator(word) {
                        return Ok(value);
                    }
                }
                Err(self.error(at, "expected a value"))
            }
        }
    }

    fn number(&mut self) -> Expression {
        let rest = self.rest();
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut length = digits(rest);
        // In a range, two dots follow.
        if let Some(fraction) = rest[length..].strip_prefix('.')
            && digits(fraction) > 0
        {
            length += 1 + digits(fraction);
        }
        if let Some(exponent) = rest[length..].strip_prefix(['e', 'E']) {
            let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
            if digits(unsigned) > 0 {
                length += 1 + exponent.len() - unsigned.len() + digits(unsigned);
            }
        }
        self.at += length;
        Expression::Number(rest[..length].to_owned())
    }

    /// A list, or a range.
    fn list(&mut self) -> Result<Expression> {
        let at = self.at;
        self.at += 1;
        self.skip_space();
        if self.take("]") {
            return Ok(Expression::List(Vec::new()));
        }
        let first = self.expression()?;
        self.skip_space();
        if self.take("..") {
            let last = self.expression()?;
            self.skip_space();
            self.expect("]")?;
            return Ok(Expression::Range(self.base + at, Box::new(first), Box::new(last)));
        }
        let mut items = vec![first];
        while self.take(",") {
            items.push(self.expression()?);
            self.skip_space();
        }
        self.expect("]")?;
        Ok(Expression::List(items))
    }

    fn map(&mut self) -> Result<Expression> {
        self.at += 1;
        let mut pairs = Vec::new();
        self.skip_space();
        while !self.take("}") {
            if !pairs.is_empty() {
                self.expect(",")?;
            }
            let key = self.expression()?;
            self.skip_space();
            self.expect(":")?;
            pairs.push((key, self.expression()?));
            self.skip_space();
        }
        Ok(Expression::Map(pairs))
    }

    /// Expressions, separated by commas, up to `close`.
    pub(super) fn list_until(&mut self, close: &str) -> Result<Vec<Expression>> {
        let mut items = Vec::new();
        self.skip_space();
        while !self.take(close) {
            if !items.is_empty() {
                self.expect(",")?;
            }
            items.push(self.expression()?);
            self.skip_space();
        }
        Ok(items)
    }

    /// A string literal. A doubled quote is one quote, and `\u000A` a character; a backslash is nothing special else.
    /// References in double quotes are replaced.
    /// Source: "String literals", Velocity user guide.
    fn literal(&mut self, quote: u8) -> Result<Expression> {
        let at = self.at;
        let quote = char::from(quote);
        let mut end = at + 1;
        let mut doubled = false;
        loop {
            let Some(found) = self.text[end..].find(quote) else {
                return Err(self.error(at, "a string literal without an end"));
            };
            end += found + 1;
            if !self.text[end..].starts_with(quote) {
                break;
            }
            doubled = true;
            end += 1;
        }
        let content = &self.text[at + 1..end - 1];
        self.at = end;
        let unquoted = unquoted(content, quote, doubled);
        if quote == '\'' || !unquoted.contains(['$', '#']) {
            return Ok(Expression::Text(unquoted));
        }
        let nodes = self.deeper(|parser| parser.interpolated(at + 1, &unquoted))?;
        Ok(Expression::Interpolated(nodes))
    }

    /// The content of a literal in double quotes, as a template of its own. Its positions are those in the template, but for
    /// characters that the literal writes as several.
    fn interpolated(&self, from: usize, content: &str) -> Result<Vec<Node>> {
        let mut inner = Parser {
            whole: self.whole,
            text: content,
            base: self.base + from,
            at: 0,
            depth: self.depth,
        };
        let (nodes, end) = inner.nodes()?;
        match end {
            End::Text => Ok(nodes),
            End::Directive(at, name) => {
                Err(inner.error(at, format!("#{name} without a directive that it belongs to")))
            }
        }
    }
}

fn unquoted(text: &str, quote: char, doubled: bool) -> String {
    let text = match doubled {
        true => text.replace(&quote.to_string().repeat(2), &quote.to_string()),
        false => text.to_owned(),
    };
    java::unescape_unicode(&text)
}
