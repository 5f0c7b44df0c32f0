//! The grammar of a query. Source: `parser.y` of jq 1.6.

use crate::Fault;
use crate::lex::{Part, Token, Word, words};
use crate::names;
use crate::term::{Format, Operator, Piece, Term};

/// Terms in one another.
const MAX_DEPTH: usize = 40;
/// Stages of a pipe, and operands of a chain: each is a call in the call before it when the query runs.
const MAX_CHAIN: usize = 60;

/// Keywords, which are no functions.
const KEYWORDS: [&str; 18] = [
    "def", "foreach", "label", "import", "include", "__loc__", "if", "then", "elif", "else", "end", "as",
    "reduce", "try", "catch", "and", "or", "module",
];

type Result<T> = std::result::Result<T, Fault>;

pub(crate) fn parse(text: &str) -> Result<Term> {
    let words = words(text).map_err(Fault::Invalid)?;
    let mut parser = Parser::new(&words, 0, Vec::new());
    let term = parser.pipe()?;
    parser.end()?;
    Ok(term)
}

/// The keys of the object that a query makes: Firehose compares them with the prefix before there is a record.
pub(crate) fn keys(body: &Term) -> Result<Vec<String>> {
    match body {
        Term::Pipe(_, last) | Term::Bind(_, _, last) => keys(last),
        Term::Object(entries) => {
            let mut keys: Vec<String> = Vec::new();
            for (key, _) in entries {
                let key = match key {
                    Term::Text(None, pieces) => match pieces.as_slice() {
                        [Piece::Text(text)] => Some(text.clone()),
                        _ => None,
                    },
                    _ => None,
                };
                let key = key.ok_or_else(|| invalid("its keys must be names, not expressions"))?;
                if keys.contains(&key) {
                    return Err(invalid(&format!("it has the key {key} twice")));
                }
                keys.push(key);
            }
            match keys.is_empty() {
                true => Err(invalid("it makes no keys")),
                false => Ok(keys),
            }
        }
        _ => Err(invalid(
            "it must make an object of keys, such as {customer: .customer_id}",
        )),
    }
}

fn invalid(text: &str) -> Fault {
    Fault::Invalid(text.to_owned())
}

struct Parser<'a> {
    words: &'a [Token],
    at: usize,
    depth: usize,
    variables: Vec<String>,
}

impl<'a> Parser<'a> {
    const fn new(words: &'a [Token], depth: usize, variables: Vec<String>) -> Self {
        Self {
            words,
            at: 0,
            depth,
            variables,
        }
    }

    fn peek(&self) -> Option<&'a Word> {
        self.words.get(self.at).map(|token| &token.word)
    }

    fn is_symbol(&self, symbol: &str) -> bool {
        matches!(self.peek(), Some(Word::Symbol(found)) if *found == symbol)
    }

    fn is_name(&self, name: &str) -> bool {
        matches!(self.peek(), Some(Word::Name(found)) if found == name)
    }

    fn takes(&mut self, symbol: &str) -> bool {
        let is_next = self.is_symbol(symbol);
        self.at += usize::from(is_next);
        is_next
    }

    fn takes_name(&mut self, name: &str) -> bool {
        let is_next = self.is_name(name);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, symbol: &str) -> Result<()> {
        match self.takes(symbol) || self.takes_name(symbol) {
            true => Ok(()),
            false => self.error(&format!("jq expects {symbol}")),
        }
    }

    fn at(&self, what: &str) -> String {
        match self.words.get(self.at) {
            Some(token) => format!("at character {}, {what}", token.at),
            None => format!("at its end, {what}"),
        }
    }

    fn error<T>(&self, what: &str) -> Result<T> {
        Err(Fault::Invalid(self.at(what)))
    }

    fn not_offered<T>(&self, what: &str) -> Result<T> {
        Err(Fault::NotOffered(self.at(&format!("{what} is not offered"))))
    }

    fn end(&self) -> Result<()> {
        match self.at == self.words.len() {
            true => Ok(()),
            false => self.error("jq expects an operator or the end"),
        }
    }

    /// One level deeper.
    fn nested<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.error("too many terms stand in one another");
        }
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn pipe(&mut self) -> Result<Term> {
        self.nested(|parser| {
            let mut stages = vec![parser.stage()?];
            while parser.takes("|") {
                stages.push(parser.stage()?);
                if stages.len() > MAX_CHAIN {
                    return parser.error("a pipe has too many stages");
                }
            }
            Ok(joined(stages))
        })
    }

    /// A stage of a pipe. A binding reaches to the end of the pipe.
    fn stage(&mut self) -> Result<Term> {
        if let Some(Word::Name(name)) = self.peek()
            && ["def", "foreach", "label", "import", "include", "module"].contains(&name.as_str())
        {
            return self.not_offered(name);
        }
        let start = self.at;
        let term = self.binary(1)?;
        if !self.is_name("as") {
            return Ok(term);
        }
        if !is_postfix(&term) {
            self.at = start;
            return self.error("only a simple term can be bound with as");
        }
        self.at += 1;
        let name = self.variable()?;
        self.expect("|")?;
        self.variables.push(name.clone());
        let body = self.pipe()?;
        self.variables.pop();
        Ok(Term::Bind(Box::new(term), name, Box::new(body)))
    }

    fn variable(&mut self) -> Result<String> {
        match self.peek() {
            Some(Word::Variable(name)) => {
                self.at += 1;
                Ok(name.clone())
            }
            _ => self.error("jq expects a variable, such as $x"),
        }
    }

    /// Operands of operators that bind at least as tightly as `least`.
    fn binary(&mut self, least: u8) -> Result<Term> {
        self.nested(|parser| parser.operands(least))
    }

    fn operands(&mut self, least: u8) -> Result<Term> {
        let mut left = self.unary()?;
        let mut count = 0;
        while let Some(operator) = self.operator().filter(|operator| operator.precedence() >= least) {
            self.at += 1;
            count += 1;
            if count > MAX_CHAIN {
                return self.error("a chain of operators is too long");
            }
            // `//` binds to the right, the others to the left.
            let next = operator.precedence() + u8::from(operator != Operator::Or2);
            let right = self.binary(next)?;
            let again = self.operator();
            if operator.is_alone() && again.is_some_and(|again| again.is_alone() && least <= 5) {
                return self.error("a comparison cannot be compared");
            }
            left = Term::Binary(operator, Box::new(left), Box::new(right));
        }
        if let Some(Word::Symbol(symbol @ ("=" | "|=" | "+=" | "-=" | "*=" | "/=" | "%=" | "//="))) =
            self.peek()
        {
            return self.not_offered(&format!("the assignment {symbol}"));
        }
        Ok(left)
    }

    fn operator(&self) -> Option<Operator> {
        match self.peek()? {
            Word::Symbol(symbol) => Operator::of(symbol),
            Word::Name(name) => Operator::of(name),
            _ => None,
        }
    }

    fn unary(&mut self) -> Result<Term> {
        match self.takes("-") {
            true => {
                let term = self.nested(Self::unary)?;
                Ok(Term::Negative(Box::new(term)))
            }
            false => self.postfix(),
        }
    }

    /// A term and what follows it: fields, brackets, question marks.
    fn postfix(&mut self) -> Result<Term> {
        let mut term = self.primary()?;
        let mut count = 0;
        loop {
            term = match self.peek() {
                Some(Word::Field(name)) => {
                    self.at += 1;
                    field(term, name)
                }
                Some(Word::Symbol(".")) => {
                    let next = self.words.get(self.at + 1).map(|token| &token.word);
                    match next {
                        Some(Word::Text(_)) => {
                            self.at += 1;
                            let key = self.text(None)?;
                            Term::Index(Box::new(term), Box::new(key))
                        }
                        Some(Word::Symbol("[")) => {
                            self.at += 1;
                            self.brackets(term)?
                        }
                        _ => return self.error("jq expects a field"),
                    }
                }
                Some(Word::Symbol("[")) => self.brackets(term)?,
                Some(Word::Symbol("?")) => {
                    self.at += 1;
                    Term::Try(Box::new(term), None)
                }
                _ => return Ok(term),
            };
            count += 1;
            if count > MAX_CHAIN {
                return self.error("a path is too long");
            }
        }
    }

    /// `[]`, `[KEY]` or `[FROM:TO]` after a term.
    fn brackets(&mut self, target: Term) -> Result<Term> {
        let target = Box::new(target);
        self.expect("[")?;
        if self.takes("]") {
            return Ok(Term::Each(target));
        }
        if self.takes(":") {
            let to = self.pipe()?;
            self.expect("]")?;
            return Ok(Term::Slice(target, None, Some(Box::new(to))));
        }
        let key = Box::new(self.pipe()?);
        if self.takes("]") {
            return Ok(Term::Index(target, key));
        }
        self.expect(":")?;
        if self.takes("]") {
            return Ok(Term::Slice(target, Some(key), None));
        }
        let to = self.pipe()?;
        self.expect("]")?;
        Ok(Term::Slice(target, Some(key), Some(Box::new(to))))
    }

    fn primary(&mut self) -> Result<Term> {
        let Some(word) = self.peek() else {
            return self.error("jq expects a term");
        };
        match word {
            Word::Number(number) => {
                self.at += 1;
                Ok(Term::Number(*number))
            }
            Word::Text(_) => self.text(None),
            Word::Field(name) => {
                self.at += 1;
                Ok(field(Term::Input, name))
            }
            Word::Variable(name) => {
                if !self.variables.contains(name) {
                    return self.error(&format!("there is no variable ${name}"));
                }
                self.at += 1;
                Ok(Term::Variable(name.clone()))
            }
            Word::Format(name) => {
                let Some(format) = Format::of(name) else {
                    return self.error(&format!("there is no format @{name}"));
                };
                self.at += 1;
                match self.peek() {
                    Some(Word::Text(_)) => self.text(Some(format)),
                    _ => Ok(Term::Format(format)),
                }
            }
            Word::Symbol(".") => {
                self.at += 1;
                match self.peek() {
                    Some(Word::Text(_)) => {
                        let key = self.text(None)?;
                        Ok(Term::Index(Box::new(Term::Input), Box::new(key)))
                    }
                    _ => Ok(Term::Input),
                }
            }
            Word::Symbol("..") => {
                self.at += 1;
                Ok(Term::Recurse)
            }
            Word::Symbol("(") => {
                self.at += 1;
                let term = self.pipe()?;
                self.expect(")")?;
                Ok(term)
            }
            Word::Symbol("[") => {
                self.at += 1;
                if self.takes("]") {
                    return Ok(Term::Array(None));
                }
                let items = self.pipe()?;
                self.expect("]")?;
                Ok(Term::Array(Some(Box::new(items))))
            }
            Word::Symbol("{") => self.object(),
            Word::Name(name) => self.named(name),
            Word::Symbol(symbol) => self.error(&format!("found {symbol} where jq expects a term")),
        }
    }

    fn named(&mut self, name: &str) -> Result<Term> {
        match name {
            "null" => self.word(Term::Null),
            "true" => self.word(Term::Bool(true)),
            "false" => self.word(Term::Bool(false)),
            "if" => {
                self.at += 1;
                self.nested(Self::condition)
            }
            "reduce" => {
                self.at += 1;
                self.reduce()
            }
            "try" => {
                self.at += 1;
                let body = self.nested(Self::postfix)?;
                let handler = match self.takes_name("catch") {
                    true => Some(Box::new(self.nested(Self::postfix)?)),
                    false => None,
                };
                Ok(Term::Try(Box::new(body), handler))
            }
            _ if KEYWORDS.contains(&name) => self.error(&format!("found {name} where jq expects a term")),
            _ => self.call(name),
        }
    }

    fn word(&mut self, term: Term) -> Result<Term> {
        self.at += 1;
        Ok(term)
    }

    /// What follows `if` or `elif`.
    fn condition(&mut self) -> Result<Term> {
        let condition = self.pipe()?;
        self.expect("then")?;
        let then = self.pipe()?;
        let other = if self.takes_name("elif") {
            self.nested(Self::condition)?
        } else {
            // Source: jq 1.6 Manual: an else is required.
            self.expect("else")?;
            let other = self.pipe()?;
            self.expect("end")?;
            other
        };
        Ok(Term::If(Box::new(condition), Box::new(then), Box::new(other)))
    }

    fn reduce(&mut self) -> Result<Term> {
        let source = self.postfix()?;
        self.expect("as")?;
        let name = self.variable()?;
        self.expect("(")?;
        let start = self.pipe()?;
        self.expect(";")?;
        self.variables.push(name.clone());
        let update = self.pipe()?;
        self.variables.pop();
        self.expect(")")?;
        Ok(Term::Reduce {
            source: Box::new(source),
            name,
            start: Box::new(start),
            update: Box::new(update),
        })
    }

    fn call(&mut self, name: &str) -> Result<Term> {
        let start = self.at;
        self.at += 1;
        let mut arguments = Vec::new();
        if self.takes("(") {
            arguments.push(self.pipe()?);
            while self.takes(";") {
                arguments.push(self.pipe()?);
            }
            self.expect(")")?;
        }
        if let Some(known) = names::find(name, arguments.len()) {
            return Ok(Term::Call(known, arguments));
        }
        self.at = start;
        let function = format!("the function {name}/{}", arguments.len());
        match names::is_known(name) {
            true => self.not_offered(&function),
            false => self.error(&format!("jq does not have {function}")),
        }
    }

    fn text(&mut self, format: Option<Format>) -> Result<Term> {
        let Some(Word::Text(parts)) = self.peek() else {
            return self.error("jq expects a string");
        };
        self.at += 1;
        let mut pieces = Vec::new();
        for part in parts {
            pieces.push(match part {
                Part::Text(text) => Piece::Text(text.clone()),
                Part::Value(words) => {
                    let mut inner = Parser::new(words, self.depth, self.variables.clone());
                    let term = inner.pipe()?;
                    inner.end()?;
                    Piece::Value(term)
                }
            });
        }
        Ok(Term::Text(format, pieces))
    }

    fn object(&mut self) -> Result<Term> {
        self.expect("{")?;
        let mut entries = Vec::new();
        while !self.takes("}") {
            if !entries.is_empty() {
                self.expect(",")?;
            }
            entries.push(self.nested(Self::entry)?);
        }
        Ok(Term::Object(entries))
    }

    fn entry(&mut self) -> Result<(Term, Term)> {
        let Some(word) = self.peek() else {
            return self.error("jq expects a key");
        };
        let name = |name: &str| Term::Text(None, vec![Piece::Text(name.to_owned())]);
        let (key, short) = match word {
            Word::Name(found) => {
                self.at += 1;
                (name(found), Some(field(Term::Input, found)))
            }
            Word::Variable(found) => {
                let value = self.primary()?;
                return Ok((name(found), value));
            }
            Word::Text(_) => {
                let key = self.text(None)?;
                let value = Term::Index(Box::new(Term::Input), Box::new(key.clone()));
                (key, Some(value))
            }
            Word::Symbol("(") => {
                self.at += 1;
                let key = self.pipe()?;
                self.expect(")")?;
                (key, None)
            }
            _ => return self.error("jq expects a key"),
        };
        match (self.takes(":"), short) {
            (true, _) => Ok((key, self.value()?)),
            (false, Some(value)) => Ok((key, value)),
            (false, None) => self.error("jq expects :"),
        }
    }

    /// The value of a key: a pipe of terms. Other operators need parentheses.
    fn value(&mut self) -> Result<Term> {
        let mut stages = vec![self.unary()?];
        while self.takes("|") {
            stages.push(self.unary()?);
            if stages.len() > MAX_CHAIN {
                return self.error("a pipe has too many stages");
            }
        }
        if self
            .operator()
            .is_some_and(|operator| operator != Operator::Comma)
        {
            return self.error("jq expects a comma: a value with operators needs parentheses");
        }
        Ok(joined(stages))
    }
}

fn joined(stages: Vec<Term>) -> Term {
    let mut stages = stages.into_iter().rev();
    let last = stages.next().unwrap_or(Term::Input);
    stages.fold(last, |rest, stage| Term::Pipe(Box::new(stage), Box::new(rest)))
}

fn field(target: Term, name: &str) -> Term {
    let key = Term::Text(None, vec![Piece::Text(name.to_owned())]);
    Term::Index(Box::new(target), Box::new(key))
}

const fn is_postfix(term: &Term) -> bool {
    !matches!(
        term,
        Term::Pipe(..) | Term::Binary(..) | Term::Bind(..) | Term::Negative(_)
    )
}
