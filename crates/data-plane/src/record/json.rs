//! An incremental JSON syntax checker. It finds the end of a value and the exact position of an error without holding
//! the value in memory. Source of the grammar: RFC 8259.

#[cfg(target_arch = "x86_64")]
mod blocks;
mod fast;
#[cfg(target_arch = "x86_64")]
mod vectors;

#[cfg(test)]
pub(super) use fast::by_bytes;
pub(super) use fast::{WholeValue, whole_value};

/// State of the grammar before the next byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Value,
    /// A value after a comma.
    Element,
    ValueOrEnd,
    KeyOrEnd,
    Key,
    Colon,
    CommaOrEnd,
    Text,
    Escape,
    Hex(u8),
    Minus,
    Zero,
    Digits,
    Dot,
    Fraction,
    Exponent,
    ExponentSign,
    ExponentDigits,
    Literal(&'static [u8]),
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Container {
    Array,
    Object,
}

/// A syntax error.
pub(super) type Complaint = &'static str;

/// Checks one value.
#[derive(Debug)]
pub(super) struct Scanner {
    state: State,
    open: Vec<Container>,
    /// Whether the string being read is an object's key.
    key: bool,
}

impl Scanner {
    pub(super) fn new() -> Self {
        Self {
            state: State::Value,
            open: Vec::new(),
            key: false,
        }
    }

    /// Takes `bytes`. `Some(n)` when the value ended after `n` of them.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Result<Option<usize>, (usize, Complaint)> {
        let mut at = 0;
        while at < bytes.len() {
            if self.state == State::Text {
                let plain = |b: &u8| matches!(b, b'"' | b'\\' | 0..=0x1f);
                match bytes[at..].iter().position(plain) {
                    Some(skipped) => at += skipped,
                    None => return Ok(None),
                }
            }
            if self.step(bytes[at]).map_err(|complaint| (at, complaint))? {
                at += 1;
            }
            if self.state == State::Done {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    /// Whether the value is complete at the end of the input.
    pub(super) fn finish(&mut self) -> Result<(), Complaint> {
        let number_ends = matches!(
            self.state,
            State::Zero | State::Digits | State::Fraction | State::ExponentDigits
        );
        if self.state == State::Done || (number_ends && self.open.is_empty()) {
            return Ok(());
        }
        Err("the input ends too early")
    }

    /// Takes one byte; `false` when it belongs to what follows (only the next byte ends a number).
    fn step(&mut self, byte: u8) -> Result<bool, Complaint> {
        if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') && self.between_tokens() {
            return Ok(true);
        }
        match self.state {
            State::Value | State::Element => self.value(byte)?,
            State::ValueOrEnd if byte == b']' => self.close(),
            State::ValueOrEnd => self.value(byte)?,
            State::KeyOrEnd if byte == b'}' => self.close(),
            State::KeyOrEnd | State::Key => self.key(byte)?,
            State::Colon if byte == b':' => self.state = State::Value,
            State::Colon => return Err("expected `:` after the key"),
            State::CommaOrEnd => self.comma_or_end(byte)?,
            State::Text => self.text(byte)?,
            State::Escape => self.escape(byte)?,
            State::Hex(left) => self.hex(byte, left)?,
            State::Literal(rest) => self.literal(byte, rest)?,
            State::Done => return Ok(false),
            _ => return self.number(byte),
        }
        Ok(true)
    }

    fn between_tokens(&self) -> bool {
        matches!(
            self.state,
            State::Value
                | State::Element
                | State::ValueOrEnd
                | State::KeyOrEnd
                | State::Key
                | State::Colon
                | State::CommaOrEnd
        )
    }

    fn value(&mut self, byte: u8) -> Result<(), Complaint> {
        self.state = match byte {
            b'{' => {
                self.open.push(Container::Object);
                State::KeyOrEnd
            }
            b'[' => {
                self.open.push(Container::Array);
                State::ValueOrEnd
            }
            b'"' => {
                self.key = false;
                State::Text
            }
            b'-' => State::Minus,
            b'0' => State::Zero,
            b'1'..=b'9' => State::Digits,
            b't' => State::Literal(b"rue"),
            b'f' => State::Literal(b"alse"),
            b'n' => State::Literal(b"ull"),
            b']' if self.state == State::Element => {
                return Err("expected a value (is there a comma too many?)");
            }
            _ => return Err("expected a JSON value"),
        };
        Ok(())
    }

    fn key(&mut self, byte: u8) -> Result<(), Complaint> {
        match byte {
            b'"' => {
                self.key = true;
                self.state = State::Text;
                Ok(())
            }
            b'}' => Err("expected a key (is there a comma too many?)"),
            _ => Err("expected a key in double quotes"),
        }
    }

    fn comma_or_end(&mut self, byte: u8) -> Result<(), Complaint> {
        match (byte, self.open.last()) {
            (b',', Some(Container::Object)) => self.state = State::Key,
            (b',', _) => self.state = State::Element,
            (b'}', Some(Container::Object)) | (b']', Some(Container::Array)) => self.close(),
            (_, Some(Container::Object)) => return Err("expected `,` or `}`"),
            _ => return Err("expected `,` or `]`"),
        }
        Ok(())
    }

    fn text(&mut self, byte: u8) -> Result<(), Complaint> {
        match byte {
            b'"' if self.key => self.state = State::Colon,
            b'"' => self.ended(),
            b'\\' => self.state = State::Escape,
            b'\n' | b'\r' => return Err("the line ends inside a string"),
            0..=0x1f => return Err("a string contains a control character"),
            _ => {}
        }
        Ok(())
    }

    fn escape(&mut self, byte: u8) -> Result<(), Complaint> {
        self.state = match byte {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => State::Text,
            b'u' => State::Hex(4),
            _ => return Err("this escape does not exist in JSON"),
        };
        Ok(())
    }

    fn hex(&mut self, byte: u8, left: u8) -> Result<(), Complaint> {
        if !byte.is_ascii_hexdigit() {
            return Err("expected four hexadecimal digits after \\u");
        }
        self.state = if left > 1 {
            State::Hex(left - 1)
        } else {
            State::Text
        };
        Ok(())
    }

    fn literal(&mut self, byte: u8, rest: &'static [u8]) -> Result<(), Complaint> {
        match rest {
            [expected, left @ ..] if *expected == byte => {
                if left.is_empty() {
                    self.ended();
                } else {
                    self.state = State::Literal(left);
                }
                Ok(())
            }
            _ => Err("expected a JSON value"),
        }
    }

    fn number(&mut self, byte: u8) -> Result<bool, Complaint> {
        self.state = match (self.state, byte) {
            (State::Minus, b'0') => State::Zero,
            (State::Minus, b'1'..=b'9') | (State::Digits, b'0'..=b'9') => State::Digits,
            (State::Zero, b'0'..=b'9') => return Err("a number cannot have a leading zero"),
            (State::Zero | State::Digits, b'.') => State::Dot,
            (State::Dot | State::Fraction, b'0'..=b'9') => State::Fraction,
            (State::Zero | State::Digits | State::Fraction, b'e' | b'E') => State::Exponent,
            (State::Exponent, b'+' | b'-') => State::ExponentSign,
            (State::Exponent | State::ExponentSign | State::ExponentDigits, b'0'..=b'9') => {
                State::ExponentDigits
            }
            (State::Minus | State::Dot | State::Exponent | State::ExponentSign, _) => {
                return Err("expected a digit");
            }
            _ => {
                self.ended();
                return Ok(false);
            }
        };
        Ok(true)
    }

    fn close(&mut self) {
        self.open.pop();
        self.ended();
    }

    fn ended(&mut self) {
        self.state = if self.open.is_empty() {
            State::Done
        } else {
            State::CommaOrEnd
        };
    }
}

/// What a text starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ahead {
    /// A complete value of this many bytes.
    Whole(usize),
    /// The start of a value.
    Partial,
    /// No value.
    Broken,
}

/// The value at the start of `text`. A number at the very end counts as partial: more digits may follow.
pub(super) fn value_ahead(text: &[u8]) -> Ahead {
    match Scanner::new().feed(text) {
        Ok(Some(length)) => Ahead::Whole(length),
        Ok(None) => Ahead::Partial,
        Err(_) => Ahead::Broken,
    }
}
