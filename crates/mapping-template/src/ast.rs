//! What a template consists of. Positions are offsets in its text.

#[derive(Debug)]
pub(crate) enum Node {
    Text(String),
    Reference(Reference),
    Set {
        target: Reference,
        value: Expression,
    },
    If {
        /// Conditions, each with what follows it.
        branches: Vec<(Expression, Vec<Node>)>,
        otherwise: Vec<Node>,
    },
    Foreach {
        at: usize,
        variable: String,
        items: Expression,
        body: Vec<Node>,
    },
    /// Ends the loop, or the template outside a loop.
    Break,
    /// Ends the template.
    Stop,
}

/// A variable, and what is asked of it: `$name.property.method(…)[index]`.
#[derive(Debug)]
pub(crate) struct Reference {
    pub at: usize,
    pub name: String,
    pub steps: Vec<Step>,
}

#[derive(Debug)]
pub(crate) enum Step {
    Property(usize, String),
    Method(usize, String, Vec<Expression>),
    Index(usize, Box<Expression>),
}

#[derive(Debug)]
pub(crate) enum Expression {
    Null,
    Bool(bool),
    /// The digits.
    Number(String),
    Text(String),
    /// Text with references and directives in it.
    Interpolated(Vec<Node>),
    Reference(Reference),
    List(Vec<Expression>),
    Range(usize, Box<Expression>, Box<Expression>),
    Map(Vec<(Expression, Expression)>),
    Not(Box<Expression>),
    Negative(usize, Box<Expression>),
    Binary(usize, Operator, Box<Expression>, Box<Expression>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
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
