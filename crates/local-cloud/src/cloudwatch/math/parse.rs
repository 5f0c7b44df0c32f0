//! The syntax of metric math.

/// Maximum nesting of an expression.
const MAX_DEPTH: usize = 32;

/// A parsed expression. Operators of one level form one chain, so that the depth is that of the parentheses.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::cloudwatch) enum Expression {
    Number(f64),
    /// The id of a query.
    Id(String),
    /// A word in capitals, such as `REPEAT`.
    Keyword(String),
    /// Text in quotation marks.
    Text(String),
    List(Vec<Expression>),
    Negative(Box<Expression>),
    /// Operands of one level, evaluated from left to right.
    Chain(Box<Expression>, Vec<(Operator, Expression)>),
    Call(Function, Vec<Expression>),
}

impl Expression {
    /// The ids of queries in the expression.
    pub(in crate::cloudwatch) fn ids(&self) -> Vec<&str> {
        match self {
            Self::Id(id) => vec![id],
            Self::Number(_) | Self::Keyword(_) | Self::Text(_) => Vec::new(),
            Self::List(all) | Self::Call(_, all) => all.iter().flat_map(Self::ids).collect(),
            Self::Negative(inner) => inner.ids(),
            Self::Chain(first, rest) => {
                let rest = rest.iter().flat_map(|(_, operand)| operand.ids());
                first.ids().into_iter().chain(rest).collect()
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cloudwatch) enum Operator {
    Or,
    And,
    Less,
    AtMost,
    Greater,
    AtLeast,
    Equal,
    Unequal,
    Add,
    Subtract,
    Multiply,
    Divide,
    Power,
}

/// The operators by precedence, lowest first.
const LEVELS: [&[(&str, Operator)]; 6] = [
    &[("||", Operator::Or), ("OR", Operator::Or)],
    &[("&&", Operator::And), ("AND", Operator::And)],
    &[
        ("<=", Operator::AtMost),
        (">=", Operator::AtLeast),
        ("==", Operator::Equal),
        ("!=", Operator::Unequal),
        ("<", Operator::Less),
        (">", Operator::Greater),
    ],
    &[("+", Operator::Add), ("-", Operator::Subtract)],
    &[("*", Operator::Multiply), ("/", Operator::Divide)],
    &[("^", Operator::Power)],
];
/// The level above which a sign may stand.
const POWER: usize = LEVELS.len() - 1;

/// Declares the functions by their names in expressions.
macro_rules! functions {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::cloudwatch) enum Function {
            $($variant),+
        }

        impl Function {
            fn parse(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }

            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name),+
                }
            }
        }
    };
}

functions! {
    Abs = "ABS",
    Avg = "AVG",
    Ceil = "CEIL",
    Diff = "DIFF",
    Fill = "FILL",
    Floor = "FLOOR",
    If = "IF",
    Max = "MAX",
    MetricCount = "METRIC_COUNT",
    Metrics = "METRICS",
    Min = "MIN",
    Period = "PERIOD",
    Rate = "RATE",
    RunningSum = "RUNNING_SUM",
    Sum = "SUM",
}

/// Parses `text`.
///
/// # Errors
/// A sentence that names what is invalid or unsupported.
pub(in crate::cloudwatch) fn parse(text: &str) -> Result<Expression, String> {
    if text.trim_start().starts_with("SELECT ") {
        return Err("queries of Metrics Insights (SELECT) are not supported by the local cloud".to_owned());
    }
    let mut parser = Parser {
        tokens: tokens(text)?,
        at: 0,
    };
    let expression = parser.level(0, 0)?;
    match parser.peek() {
        None => Ok(expression),
        Some(token) => Err(format!("unexpected {token:?} in the expression")),
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Number(f64),
    Word(String),
    Text(String),
    Sign(&'static str),
}

/// Longer signs first.
const SIGNS: [&str; 18] = [
    "&&", "||", "<=", ">=", "==", "!=", "<", ">", "+", "-", "*", "/", "^", "(", ")", "[", "]", ",",
];

fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = |accept: &dyn Fn(char) -> bool| rest.find(|c| !accept(c)).unwrap_or(rest.len());
        let used = if first.is_ascii_digit() || first == '.' {
            let used = length(&|c| c.is_ascii_digit() || c == '.');
            let number = rest[..used]
                .parse()
                .map_err(|_| format!("{:?} is not a number", &rest[..used]))?;
            found.push(Token::Number(number));
            used
        } else if first.is_ascii_alphabetic() {
            let used = length(&|c| c.is_ascii_alphanumeric() || c == '_');
            found.push(Token::Word(rest[..used].to_owned()));
            used
        } else if first == '"' || first == '\'' {
            let end = rest[1..]
                .find(first)
                .ok_or("a string in the expression is not closed")?;
            found.push(Token::Text(rest[1..=end].to_owned()));
            end + 2
        } else {
            let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign));
            let sign =
                sign.ok_or_else(|| format!("the character {first:?} is not supported in expressions"))?;
            found.push(Token::Sign(sign));
            sign.len()
        };
        rest = rest[used..].trim_start();
    }
    Ok(found)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Sign(there)) if *there == sign);
        self.at += usize::from(found);
        found
    }

    fn need(&mut self, sign: &str) -> Result<(), String> {
        match self.take(sign) {
            true => Ok(()),
            false => Err(format!("`{sign}` is missing in the expression")),
        }
    }

    /// The next operator, if it is one of `level`.
    fn operator(&mut self, level: usize) -> Option<Operator> {
        let text = match self.peek()? {
            Token::Sign(sign) => sign,
            Token::Word(word) => word.as_str(),
            Token::Number(_) | Token::Text(_) => return None,
        };
        let (_, operator) = LEVELS[level].iter().find(|(name, _)| *name == text)?;
        self.at += 1;
        Some(*operator)
    }

    /// Operands joined by operators of `level` and of higher ones.
    fn level(&mut self, level: usize, depth: usize) -> Result<Expression, String> {
        if depth > MAX_DEPTH {
            return Err("the expression is nested too deeply".to_owned());
        }
        let first = self.operand(level, depth)?;
        let mut rest = Vec::new();
        while let Some(operator) = self.operator(level) {
            rest.push((operator, self.operand(level, depth)?));
        }
        Ok(match rest.is_empty() {
            true => first,
            false => Expression::Chain(Box::new(first), rest),
        })
    }

    fn operand(&mut self, level: usize, depth: usize) -> Result<Expression, String> {
        if level == POWER {
            return self.atom(depth);
        }
        if level + 1 < POWER {
            return self.level(level + 1, depth);
        }
        let mut negative = false;
        while self.take("-") {
            negative = !negative;
        }
        let operand = self.level(POWER, depth)?;
        Ok(match negative {
            true => Expression::Negative(Box::new(operand)),
            false => operand,
        })
    }

    fn atom(&mut self, depth: usize) -> Result<Expression, String> {
        let token = self.peek().cloned().ok_or("the expression ends too early")?;
        self.at += 1;
        match token {
            Token::Number(number) => Ok(Expression::Number(number)),
            Token::Text(text) => Ok(Expression::Text(text)),
            Token::Sign("(") => {
                let inner = self.level(0, depth + 1)?;
                self.need(")")?;
                Ok(inner)
            }
            Token::Sign("[") => Ok(Expression::List(self.arguments("]", depth)?)),
            Token::Word(name) if self.take("(") => {
                let function = Function::parse(&name)
                    .ok_or_else(|| format!("the function {name} is not supported by the local cloud"))?;
                Ok(Expression::Call(function, self.arguments(")", depth)?))
            }
            Token::Word(word) if word.starts_with(|c: char| c.is_ascii_uppercase()) => {
                Ok(Expression::Keyword(word))
            }
            Token::Word(id) => Ok(Expression::Id(id)),
            other @ Token::Sign(_) => Err(format!("unexpected {other:?} in the expression")),
        }
    }

    /// Expressions separated by commas, and the sign `end` after them.
    fn arguments(&mut self, end: &str, depth: usize) -> Result<Vec<Expression>, String> {
        let mut all = Vec::new();
        if self.take(end) {
            return Ok(all);
        }
        loop {
            all.push(self.level(0, depth + 1)?);
            if !self.take(",") {
                break;
            }
        }
        self.need(end)?;
        Ok(all)
    }
}
