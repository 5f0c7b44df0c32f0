//! The tree of a query.

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Term {
    /// `.`
    Input,
    /// `..`
    Recurse,
    Null,
    Bool(bool),
    Number(f64),
    Text(Option<Format>, Vec<Piece>),
    /// `@base64` and the like without a string.
    Format(Format),
    Array(Option<Box<Term>>),
    Object(Vec<(Term, Term)>),
    Negative(Box<Term>),
    Pipe(Box<Term>, Box<Term>),
    Binary(Operator, Box<Term>, Box<Term>),
    /// `SOURCE as $NAME | BODY`
    Bind(Box<Term>, String, Box<Term>),
    Reduce {
        source: Box<Term>,
        name: String,
        start: Box<Term>,
        update: Box<Term>,
    },
    If(Box<Term>, Box<Term>, Box<Term>),
    Try(Box<Term>, Option<Box<Term>>),
    Variable(String),
    /// A function of the table of builtins.
    Call(&'static str, Vec<Term>),
    /// `TARGET[KEY]`: the key is evaluated with the input of the whole.
    Index(Box<Term>, Box<Term>),
    Slice(Box<Term>, Option<Box<Term>>, Option<Box<Term>>),
    /// `TARGET[]`
    Each(Box<Term>),
}

/// A piece of a string.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Piece {
    Text(String),
    /// `\(…)`
    Value(Term),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Text,
    Json,
    Base64,
    Base64d,
    Uri,
    Html,
    Csv,
    Tsv,
    Sh,
}

impl Format {
    pub fn of(name: &str) -> Option<Self> {
        Some(match name {
            "text" => Self::Text,
            "json" => Self::Json,
            "base64" => Self::Base64,
            "base64d" => Self::Base64d,
            "uri" => Self::Uri,
            "html" => Self::Html,
            "csv" => Self::Csv,
            "tsv" => Self::Tsv,
            "sh" => Self::Sh,
            _ => return None,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Comma,
    /// `//`
    Or2,
    Or,
    And,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

impl Operator {
    /// How tightly it binds. Source: `parser.y` of jq 1.6.
    pub const fn precedence(self) -> u8 {
        match self {
            Self::Comma => 1,
            Self::Or2 => 2,
            Self::Or => 3,
            Self::And => 4,
            Self::Equal
            | Self::NotEqual
            | Self::Less
            | Self::LessOrEqual
            | Self::Greater
            | Self::GreaterOrEqual => 5,
            Self::Add | Self::Subtract => 6,
            Self::Multiply | Self::Divide | Self::Remainder => 7,
        }
    }

    /// Whether two in a row are an error.
    pub const fn is_alone(self) -> bool {
        self.precedence() == 5
    }

    pub fn of(symbol: &str) -> Option<Self> {
        Some(match symbol {
            "," => Self::Comma,
            "//" => Self::Or2,
            "or" => Self::Or,
            "and" => Self::And,
            "==" => Self::Equal,
            "!=" => Self::NotEqual,
            "<" => Self::Less,
            "<=" => Self::LessOrEqual,
            ">" => Self::Greater,
            ">=" => Self::GreaterOrEqual,
            "+" => Self::Add,
            "-" => Self::Subtract,
            "*" => Self::Multiply,
            "/" => Self::Divide,
            "%" => Self::Remainder,
            _ => return None,
        })
    }
}
