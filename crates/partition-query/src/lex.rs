//! The words of a query.

/// A word, and the character where it begins, counted from 1.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub at: usize,
    pub word: Word,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Word {
    /// A name or a keyword.
    Name(String),
    /// `.name`
    Field(String),
    /// `$name`
    Variable(String),
    /// `@name`
    Format(String),
    Number(f64),
    Text(Vec<Part>),
    Symbol(&'static str),
}

/// A part of a string: text, or the words of what stands in `\(…)`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Part {
    Text(String),
    Value(Vec<Token>),
}

/// Symbols, the longer ones first.
const SYMBOLS: [&str; 31] = [
    "?//", "//=", "|=", "+=", "-=", "*=", "/=", "%=", "==", "!=", "<=", ">=", "//", "..", ".", "|", ",", "(",
    ")", "[", "]", "{", "}", ":", ";", "<", ">", "+", "-", "*", "/",
];
const LAST_SYMBOLS: [&str; 3] = ["%", "?", "="];

/// Strings in one another.
const MAX_NESTED: usize = 8;

pub(crate) fn words(text: &str) -> Result<Vec<Token>, String> {
    let characters: Vec<char> = text.chars().collect();
    let mut lexer = Lexer {
        characters: &characters,
        at: 0,
        nested: 0,
    };
    let words = lexer.until(None)?;
    Ok(words)
}

struct Lexer<'a> {
    characters: &'a [char],
    at: usize,
    nested: usize,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.characters.get(self.at).copied()
    }

    fn error<T>(&self, what: &str) -> Result<T, String> {
        Err(format!("at character {}, {what}", self.at + 1))
    }

    /// The words up to the closing parenthesis, or to the end.
    fn until(&mut self, close: Option<char>) -> Result<Vec<Token>, String> {
        let (mut words, mut open) = (Vec::new(), 0_usize);
        loop {
            while self.peek().is_some_and(char::is_whitespace) {
                self.at += 1;
            }
            let at = self.at + 1;
            let Some(character) = self.peek() else {
                return match close {
                    None => Ok(words),
                    Some(_) => self.error("a string has no end"),
                };
            };
            match character {
                '(' => open += 1,
                ')' if open == 0 && close.is_some() => {
                    self.at += 1;
                    return Ok(words);
                }
                ')' => open = open.saturating_sub(1),
                '#' => {
                    while self.peek().is_some_and(|character| character != '\n') {
                        self.at += 1;
                    }
                    continue;
                }
                _ => {}
            }
            let word = self.word(character)?;
            words.push(Token { at, word });
        }
    }

    fn word(&mut self, character: char) -> Result<Word, String> {
        let next = self.characters.get(self.at + 1).copied().unwrap_or(' ');
        match character {
            '"' => self.string(),
            '.' if next.is_ascii_alphabetic() || next == '_' => {
                self.at += 1;
                Ok(Word::Field(self.name()))
            }
            '$' if next.is_ascii_alphabetic() || next == '_' => {
                self.at += 1;
                Ok(Word::Variable(self.name()))
            }
            '@' if next.is_ascii_alphabetic() => {
                self.at += 1;
                Ok(Word::Format(self.name()))
            }
            '0'..='9' => self.number(),
            '.' if next.is_ascii_digit() => self.number(),
            'a'..='z' | 'A'..='Z' | '_' => Ok(Word::Name(self.name())),
            _ => {
                let rest = &self.characters[self.at..];
                let is_next =
                    |symbol: &&&str| symbol.chars().enumerate().all(|(at, c)| rest.get(at) == Some(&c));
                let Some(symbol) = SYMBOLS.iter().chain(&LAST_SYMBOLS).find(is_next) else {
                    return self.error(&format!("found {character:?}, which jq does not know"));
                };
                self.at += symbol.len();
                Ok(Word::Symbol(symbol))
            }
        }
    }

    fn name(&mut self) -> String {
        let start = self.at;
        while self.peek().is_some_and(|c| c.is_ascii_alphanumeric() || c == '_') {
            self.at += 1;
        }
        self.characters[start..self.at].iter().collect()
    }

    fn number(&mut self) -> Result<Word, String> {
        let start = self.at;
        while let Some(character) = self.peek() {
            let before = self.characters[self.at.saturating_sub(1)];
            let is_sign = "+-".contains(character) && self.at > start && "eE".contains(before);
            if !(character.is_ascii_digit() || ".eE".contains(character) || is_sign) {
                break;
            }
            self.at += 1;
        }
        let text: String = self.characters[start..self.at].iter().collect();
        match text.parse() {
            Ok(number) => Ok(Word::Number(number)),
            Err(_) => self.error(&format!("{text} is not a number")),
        }
    }

    fn string(&mut self) -> Result<Word, String> {
        self.nested += 1;
        if self.nested > MAX_NESTED {
            return self.error("too many strings stand in one another");
        }
        self.at += 1;
        let (mut parts, mut text) = (Vec::new(), String::new());
        loop {
            let Some(character) = self.peek() else {
                return self.error("a string has no end");
            };
            self.at += 1;
            match character {
                '"' => break,
                '\\' if self.peek() == Some('(') => {
                    self.at += 1;
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Value(self.until(Some(')'))?));
                }
                '\\' => text.push(self.escape()?),
                other => text.push(other),
            }
        }
        self.nested -= 1;
        parts.push(Part::Text(text));
        parts.retain(|part| *part != Part::Text(String::new()));
        Ok(Word::Text(parts))
    }

    fn escape(&mut self) -> Result<char, String> {
        let Some(character) = self.peek() else {
            return self.error("a string has no end");
        };
        self.at += 1;
        Ok(match character {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            '"' | '\\' | '/' => character,
            'u' => return self.unicode(),
            other => return self.error(&format!("\\{other} is not an escape")),
        })
    }

    fn unicode(&mut self) -> Result<char, String> {
        let first = self.hex()?;
        let is_pair = (0xd800..0xdc00).contains(&first)
            && self.characters.get(self.at..self.at + 2) == Some(&['\\', 'u']);
        let code = if is_pair {
            self.at += 2;
            let second = self.hex()?;
            0x1_0000 + ((first - 0xd800) << 10) + (second.saturating_sub(0xdc00) & 0x3ff)
        } else {
            first
        };
        Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn hex(&mut self) -> Result<u32, String> {
        let digits: String = self.characters.iter().skip(self.at).take(4).collect();
        let is_hex = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u32::from_str_radix(&digits, 16) {
            Ok(code) if is_hex => {
                self.at += 4;
                Ok(code)
            }
            _ => self.error("\\u needs four hexadecimal digits"),
        }
    }
}
