//! Renders a template.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use crate::ast::{Expression, Node, Operator, Reference, Step};
use crate::value::{Heap, Number, Value, Writer};
use crate::{
    Error, ErrorKind, MAX_ITERATIONS, MAX_OUTPUT, Pairs, Rendered, Result, Scope, error_at, json, methods,
    path,
};

/// Items of a range.
const MAX_RANGE: usize = 100_000;

pub(crate) struct Renderer<'a> {
    text: &'a str,
    pub(crate) scope: &'a Scope<'a>,
    pub(crate) heap: Heap,
    variables: HashMap<String, Value>,
    /// The body, once a template looks into it.
    pub(crate) body: OnceCell<Value>,
}

/// What follows a node.
#[derive(PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Stop,
}

/// Why a call of a method failed.
pub(crate) enum Failure {
    Template(String),
    Body(String),
}

impl From<&str> for Failure {
    fn from(message: &str) -> Self {
        Self::Template(message.to_owned())
    }
}

impl From<String> for Failure {
    fn from(message: String) -> Self {
        Self::Template(message)
    }
}

impl<'a> Renderer<'a> {
    pub fn run(text: &'a str, nodes: &[Node], scope: &'a Scope<'a>) -> Result<Rendered> {
        let mut renderer = Renderer {
            text,
            scope,
            heap: Heap::default(),
            variables: HashMap::new(),
            body: OnceCell::new(),
        };
        let context = renderer.begin().map_err(|why| renderer.error(0, why))?;
        let mut out = Writer::new(MAX_OUTPUT);
        renderer.nodes(nodes, &mut out)?;
        Ok(renderer.rendered(out.text, &context))
    }

    /// Sets the variables that every template has. Returns `$context`.
    fn begin(&mut self) -> std::result::Result<Value, String> {
        let context = match self.scope.context {
            "" => self.heap.map([])?,
            text => json::parse(text, &self.heap)?,
        };
        if let Value::Map(map) = &context {
            let empty = |names: &[&str]| {
                let maps = names.iter().map(|name| Ok((Rc::from(*name), self.heap.map([])?)));
                self.heap
                    .map(maps.collect::<std::result::Result<Vec<_>, &'static str>>()?)
            };
            let request = empty(&["header", "path", "querystring"])?;
            let response = empty(&["header"])?;
            let mut entries = map.entries.borrow_mut();
            entries.put("requestOverride".into(), request);
            entries.put("responseOverride".into(), response);
        }
        let stage = self.pairs(&self.scope.stage_variables)?;
        for (name, value) in [
            ("context", context.clone()),
            ("stageVariables", stage),
            ("input", Value::Input),
            ("util", Value::Util),
        ] {
            self.variables.insert(name.to_owned(), value);
        }
        Ok(context)
    }

    /// A map of texts.
    pub(crate) fn pairs(&self, pairs: &Pairs) -> std::result::Result<Value, &'static str> {
        let values = pairs
            .iter()
            .map(|(name, value)| Ok((Rc::from(name.as_str()), self.heap.text(value)?)));
        self.heap
            .map(values.collect::<std::result::Result<Vec<_>, &'static str>>()?)
    }

    fn error(&self, at: usize, message: impl Into<String>) -> Error {
        error_at(self.text, at, ErrorKind::Template, message)
    }

    fn failed(&self, at: usize, failure: Failure) -> Error {
        match failure {
            Failure::Template(message) => self.error(at, message),
            Failure::Body(message) => error_at(self.text, at, ErrorKind::Body, message),
        }
    }

    fn nodes(&mut self, nodes: &[Node], out: &mut Writer) -> Result<Flow> {
        for node in nodes {
            match self.node(node, out)? {
                Flow::Next => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    fn node(&mut self, node: &Node, out: &mut Writer) -> Result<Flow> {
        self.heap.step(1).map_err(|why| self.error(0, why))?;
        match node {
            Node::Text(text) => out.push(text).map_err(|why| self.error(0, why))?,
            Node::Reference(reference) => {
                let value = self.reference(reference)?;
                value.write(out).map_err(|why| self.error(reference.at, why))?;
            }
            Node::Set { target, value } => {
                let value = self.expression(value)?;
                self.set(target, value)?;
            }
            Node::If { branches, otherwise } => {
                for (condition, nodes) in branches {
                    if self.expression(condition)?.is_true() {
                        return self.nodes(nodes, out);
                    }
                }
                return self.nodes(otherwise, out);
            }
            Node::Foreach {
                at,
                variable,
                items,
                body,
            } => return self.foreach(*at, variable, items, body, out),
            Node::Break => return Ok(Flow::Break),
            Node::Stop => return Ok(Flow::Stop),
        }
        Ok(Flow::Next)
    }

    fn foreach(
        &mut self,
        at: usize,
        variable: &str,
        items: &Expression,
        body: &[Node],
        out: &mut Writer,
    ) -> Result<Flow> {
        let items = match self.expression(items)? {
            Value::List(list) => {
                let items = list.items.borrow();
                self.check_iterations(at, items.len())?;
                items.clone()
            }
            Value::Map(map) => {
                let entries = map.entries.borrow();
                self.check_iterations(at, entries.pairs().len())?;
                entries.pairs().iter().map(|(_, value)| value.clone()).collect()
            }
            _ => return Ok(Flow::Next),
        };
        let names = [variable, "foreach", "velocityCount", "velocityHasNext"];
        let before = names.map(|name| self.variables.get(name).cloned());
        let parent = before[1].clone().unwrap_or(Value::Null);
        let mut flow = Flow::Next;
        let count = items.len();
        for (index, item) in items.into_iter().enumerate() {
            let state = self.loop_state(index, count, parent.clone());
            let state = state.map_err(|why| self.error(at, why))?;
            let values = [
                item,
                state,
                Value::integer(index + 1),
                Value::Bool(index + 1 < count),
            ];
            for (name, value) in names.iter().zip(values) {
                self.variables.insert((*name).to_owned(), value);
            }
            match self.nodes(body, out)? {
                Flow::Next => {}
                Flow::Break => break,
                Flow::Stop => {
                    flow = Flow::Stop;
                    break;
                }
            }
        }
        for (name, value) in names.iter().zip(before) {
            match value {
                Some(value) => self.variables.insert((*name).to_owned(), value),
                None => self.variables.remove(*name),
            };
        }
        Ok(flow)
    }

    fn check_iterations(&self, at: usize, count: usize) -> Result<()> {
        if count <= MAX_ITERATIONS {
            return Ok(());
        }
        let message = format!("a loop has at most {MAX_ITERATIONS} iterations, not {count}");
        Err(self.error(at, message))
    }

    /// `$foreach`. Source: "Loops", Velocity user guide.
    fn loop_state(
        &self,
        index: usize,
        count: usize,
        parent: Value,
    ) -> std::result::Result<Value, &'static str> {
        let pairs = [
            ("index", Value::integer(index)),
            ("count", Value::integer(index + 1)),
            ("hasNext", Value::Bool(index + 1 < count)),
            ("first", Value::Bool(index == 0)),
            ("last", Value::Bool(index + 1 == count)),
            ("parent", parent),
        ];
        self.heap.map(pairs.map(|(name, value)| (Rc::from(name), value)))
    }

    fn set(&mut self, target: &Reference, value: Value) -> Result<()> {
        let Some((last, steps)) = target.steps.split_last() else {
            if ["input", "util", "context", "stageVariables"].contains(&target.name.as_str()) {
                return Err(self.error(target.at, format!("${} cannot be set", target.name)));
            }
            let charged = self.heap.charge(target.name.len());
            charged.map_err(|why| self.error(target.at, why))?;
            self.variables.insert(target.name.clone(), value);
            return Ok(());
        };
        let mut holder = self.variable(target)?;
        for step in steps {
            holder = self.step(&holder, step)?;
        }
        let (at, key) = match last {
            Step::Property(at, name) => (*at, Value::text(name)),
            Step::Index(at, index) => (*at, self.expression(index)?),
            Step::Method(at, ..) => return Err(self.error(*at, "the result of a method cannot be set")),
        };
        let put = methods::put(&self.heap, &holder, &key, value);
        put.map(drop).map_err(|failure| self.failed(at, failure))
    }

    fn variable(&self, reference: &Reference) -> Result<Value> {
        self.heap.step(1).map_err(|why| self.error(reference.at, why))?;
        Ok(self
            .variables
            .get(&reference.name)
            .cloned()
            .unwrap_or(Value::Null))
    }

    /// The value of a reference: null if a part of it does not exist.
    fn reference(&mut self, reference: &Reference) -> Result<Value> {
        let mut value = self.variable(reference)?;
        for step in &reference.steps {
            value = self.step(&value, step)?;
        }
        Ok(value)
    }

    fn step(&mut self, value: &Value, step: &Step) -> Result<Value> {
        let at = match step {
            Step::Property(at, _) | Step::Method(at, ..) | Step::Index(at, _) => *at,
        };
        self.heap.step(1).map_err(|why| self.error(at, why))?;
        let result = match step {
            Step::Property(_, name) => self.property(value, name),
            Step::Index(_, index) => {
                let index = self.expression(index)?;
                methods::index(&self.heap, value, &index)
            }
            Step::Method(_, name, arguments) => {
                let arguments: Vec<Value> = arguments
                    .iter()
                    .map(|argument| self.expression(argument))
                    .collect::<Result<_>>()?;
                self.method(value, name, &arguments)
            }
        };
        result.map_err(|failure| self.failed(at, failure))
    }

    fn expression(&mut self, expression: &Expression) -> Result<Value> {
        let error = |at: usize, why: &str| error_at(self.text, at, ErrorKind::Template, why);
        match expression {
            Expression::Null => Ok(Value::Null),
            Expression::Bool(value) => Ok(Value::Bool(*value)),
            Expression::Number(digits) => Ok(Value::Number(Number(digits.as_str().into()))),
            Expression::Text(text) => self.heap.text(text).map_err(|why| error(0, why)),
            Expression::Interpolated(nodes) => {
                let mut out = Writer::new(MAX_OUTPUT);
                self.nodes(nodes, &mut out)?;
                self.heap.text(&out.text).map_err(|why| self.error(0, why))
            }
            Expression::Reference(reference) => self.reference(reference),
            Expression::List(items) => {
                let items = items.iter().map(|item| self.expression(item));
                let items = items.collect::<Result<Vec<_>>>()?;
                self.heap.list(items, false).map_err(|why| self.error(0, why))
            }
            Expression::Range(at, first, last) => {
                let (first, last) = (self.expression(first)?, self.expression(last)?);
                self.range(&first, &last).map_err(|why| self.error(*at, why))
            }
            Expression::Map(pairs) => {
                let mut values = Vec::new();
                for (key, value) in pairs {
                    let key = self.expression(key)?;
                    let key =
                        methods::text_of(&self.heap, &key).map_err(|failure| self.failed(0, failure))?;
                    values.push((key, self.expression(value)?));
                }
                self.heap.map(values).map_err(|why| self.error(0, why))
            }
            Expression::Not(inner) => Ok(Value::Bool(!self.expression(inner)?.is_true())),
            Expression::Negative(at, inner) => {
                let zero = Value::Number(Number::of_i128(0));
                let inner = self.expression(inner)?;
                let result = arithmetic(&self.heap, Operator::Subtract, &zero, &inner);
                result.map_err(|failure| self.failed(*at, failure))
            }
            Expression::Binary(at, operator, left, right) => self.binary(*at, *operator, left, right),
        }
    }

    /// Source: "The range operator", Velocity user guide: it also counts down.
    fn range(&self, first: &Value, last: &Value) -> std::result::Result<Value, &'static str> {
        let number = |value: &Value| match value {
            Value::Number(number) => number.integer(),
            _ => None,
        };
        let (Some(first), Some(last)) = (number(first), number(last)) else {
            return Ok(Value::Null);
        };
        if first.abs_diff(last) >= MAX_RANGE as u128 {
            return Err("a range has too many numbers");
        }
        let item = |number: i128| Value::Number(Number::of_i128(number));
        let items: Vec<Value> = if first <= last {
            (first..=last).map(item).collect()
        } else {
            (last..=first).rev().map(item).collect()
        };
        self.heap.charge(32 * items.len())?;
        self.heap.list(items, false)
    }

    fn binary(
        &mut self,
        at: usize,
        operator: Operator,
        left: &Expression,
        right: &Expression,
    ) -> Result<Value> {
        let left = self.expression(left)?;
        match operator {
            Operator::Or if left.is_true() => return Ok(Value::Bool(true)),
            Operator::And if !left.is_true() => return Ok(Value::Bool(false)),
            _ => {}
        }
        let right = self.expression(right)?;
        let result = match operator {
            Operator::Or | Operator::And => Ok(Value::Bool(right.is_true())),
            Operator::Equal => methods::is_equal(&self.heap, &left, &right).map(Value::Bool),
            Operator::NotEqual => {
                methods::is_equal(&self.heap, &left, &right).map(|equal| Value::Bool(!equal))
            }
            Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual => {
                Ok(Value::Bool(is_ordered(operator, &left, &right)))
            }
            _ => arithmetic(&self.heap, operator, &left, &right),
        };
        result.map_err(|failure| self.failed(at, failure))
    }

    /// The body as JSON. An empty body is an empty object.
    pub(crate) fn parsed_body(&self) -> std::result::Result<&Value, Failure> {
        if let Some(value) = self.body.get() {
            return Ok(value);
        }
        let body = match self.scope.body.trim() {
            "" => "{}",
            body => body,
        };
        let value = json::parse(body, &self.heap).map_err(Failure::Body)?;
        Ok(self.body.get_or_init(|| value))
    }

    pub(crate) fn at_path(&self, arguments: &[Value]) -> std::result::Result<Value, Failure> {
        let [path] = arguments else {
            return Err("it takes one JSONPath".into());
        };
        let path = methods::text_of(&self.heap, path)?;
        Ok(path::find(self.parsed_body()?, &path, &self.heap)?)
    }
}

/// Numbers only. Source: "Conditionals", Velocity user guide.
fn is_ordered(operator: Operator, left: &Value, right: &Value) -> bool {
    let (Value::Number(left), Value::Number(right)) = (left, right) else {
        return false;
    };
    let order = methods::compare(left, right);
    order.is_some_and(|order| match operator {
        Operator::Less => order.is_lt(),
        Operator::LessOrEqual => order.is_le(),
        Operator::Greater => order.is_gt(),
        _ => order.is_ge(),
    })
}

/// Integers give an integer. A text is joined to what is added to it; anything else, and a division by zero, is null.
/// Source: "Math", Velocity user guide.
fn arithmetic(
    heap: &Heap,
    operator: Operator,
    left: &Value,
    right: &Value,
) -> std::result::Result<Value, Failure> {
    let (Value::Number(a), Value::Number(b)) = (left, right) else {
        let has_text = matches!(left, Value::Text(_)) || matches!(right, Value::Text(_));
        if operator == Operator::Add && has_text {
            let text = format!(
                "{}{}",
                methods::text_of(heap, left)?,
                methods::text_of(heap, right)?
            );
            return Ok(heap.text(&text)?);
        }
        return Ok(Value::Null);
    };
    heap.charge(64)?;
    let number = match (a.integer(), b.integer()) {
        (Some(a), Some(b)) => {
            let result = match operator {
                Operator::Add => a.checked_add(b),
                Operator::Subtract => a.checked_sub(b),
                Operator::Multiply => a.checked_mul(b),
                _ if b == 0 => return Ok(Value::Null),
                Operator::Divide => a.checked_div(b),
                _ => a.checked_rem(b),
            };
            Number::of_i128(result.ok_or("a number is too large")?)
        }
        _ => {
            let (a, b) = (a.double(), b.double());
            Number::of_f64(match operator {
                Operator::Add => a + b,
                Operator::Subtract => a - b,
                Operator::Multiply => a * b,
                _ if b == 0.0 => return Ok(Value::Null),
                Operator::Divide => a / b,
                _ => a % b,
            })
        }
    };
    Ok(Value::Number(number))
}

impl Renderer<'_> {
    /// The text, with what the template set in `$context`.
    fn rendered(&self, text: String, context: &Value) -> Rendered {
        let member = |value: &Value, name: &str| match value {
            Value::Map(map) => map.entries.borrow().get(name).cloned(),
            _ => None,
        };
        let nested = |names: [&str; 2]| member(&member(context, names[0])?, names[1]);
        // Source: "Override your API's request and response parameters and status codes", API Gateway developer guide.
        let status = match nested(["responseOverride", "status"]) {
            Some(Value::Number(number)) => number.integer(),
            _ => None,
        };
        let mut headers = Pairs::new();
        if let Some(Value::Map(map)) = nested(["responseOverride", "header"]) {
            for (name, value) in map.entries.borrow().pairs() {
                if let Ok(value) = methods::text_of(&self.heap, value) {
                    headers.push((name.to_string(), value.to_string()));
                }
            }
        }
        let overrides_request = ["header", "path", "querystring"].iter().any(|name| {
        matches!(nested(["requestOverride", name]), Some(Value::Map(map)) if !map.entries.borrow().pairs().is_empty())
    });
        Rendered {
            text,
            status: status
                .and_then(|status| u16::try_from(status).ok())
                .filter(|status| (100..600).contains(status)),
            headers,
            overrides_request,
        }
    }
}
