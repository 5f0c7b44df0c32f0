//! The check of whole JSON values by blocks of 64 bytes, on machines that have the instructions for it.
//!
//! A word of 64 bits says of which bytes of a block something holds: bit `n` is about byte `n`. Nearly all of the grammar
//! of RFC 8259 is checked for all bytes of a block at once, with a few operations on such words: which token may follow
//! which, and what a number looks like. Only brackets, escapes and literals are looked at one by one. What a block tells
//! the next one is a carry, as in an addition: whether something holds of its first byte.
//!
//! A rule looks back and never ahead, so that what comes after the value does not matter.

use super::fast::{Open, WholeValue, after_escape, literal};
use super::vectors::{BLOCK, Block, parity};

/// The object or array at the start of `text`, if it is complete, valid and not too deep; `None` where this machine cannot
/// tell.
#[inline]
pub(super) fn whole_value(text: &[u8]) -> Option<Option<WholeValue>> {
    let is_able = is_x86_feature_detected!("avx2")
        && is_x86_feature_detected!("bmi1")
        && is_x86_feature_detected!("bmi2")
        && is_x86_feature_detected!("pclmulqdq");
    if !is_able {
        return None;
    }
    // SAFETY: this machine has all that the function is compiled for.
    Some(unsafe { scan(text) })
}

/// `text` starts with a bracket.
#[target_feature(enable = "avx2,bmi1,bmi2,pclmulqdq")]
fn scan(text: &[u8]) -> Option<WholeValue> {
    let mut check = Check::default();
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let mut last;
        let bytes = match rest.first_chunk() {
            Some(bytes) => bytes,
            None => {
                last = [b' '; BLOCK];
                last[..rest.len()].copy_from_slice(rest);
                &last
            }
        };
        let end = check.block(text, from, bytes)?;
        if end < BLOCK {
            let length = from + end + 1;
            return Some(WholeValue {
                length,
                is_ascii_line: check.non_ascii == 0
                    && (check.controls == 0 || memchr::memchr(b'\n', &text[..length]).is_none()),
            });
        }
        from += BLOCK;
    }
}

/// What is known after some blocks. All but the last two are carries.
#[derive(Default)]
struct Check {
    open: Open,
    /// All ones, or none.
    in_string: u64,
    /// All ones, or none.
    in_object: u64,
    escaped: u64,
    after_value: u64,
    before_colon: u64,
    after_atom: u64,
    /// After a zero that starts a number.
    after_zero: u64,
    numbers: Numbers,
    /// Not 0 if the value has such bytes.
    non_ascii: u64,
    controls: u64,
}

/// The bytes of numbers and literals.
struct Atoms {
    all: u64,
    starts: u64,
    digits: u64,
}

/// Carries of numbers and literals.
#[derive(Default)]
struct Numbers {
    /// After a dot or a sign.
    after_mark: u64,
    after_sign: u64,
    /// After a zero after a sign.
    after_zero: u64,
    in_fraction: u64,
    /// All the bytes of a literal.
    in_literal: u64,
    after_literal: u64,
    after_exponent: u64,
    after_exponent_sign: u64,
    in_exponent: u64,
    /// Not 0 if there is any of the last five.
    letters: u64,
    /// Not 0 if there is any.
    any: u64,
}

/// The bytes just after `bytes`.
#[inline]
fn after(bytes: u64, carry: &mut u64) -> u64 {
    let moved = bytes << 1 | *carry;
    *carry = bytes >> 63;
    moved
}

/// The first bytes not in `passed` that come after `bytes`: the carry of an addition goes through the bytes passed.
#[inline]
fn beyond(bytes: u64, passed: u64, carry: &mut u64) -> u64 {
    let sum = (bytes << 1 | *carry).wrapping_add(passed);
    *carry = (bytes | passed & !sum) >> 63;
    sum & !passed
}

impl Check {
    /// Checks the block at `from`. The place in it where the value ends, or [`BLOCK`]; `None` if the value is not valid.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,pclmulqdq")]
    fn block(&mut self, text: &[u8], from: usize, bytes: &[u8; BLOCK]) -> Option<usize> {
        let block = Block::new(bytes);
        let mut quotes = block.are(b'"');
        let backslashes = block.are(b'\\');
        let controls = block.are_from(0, 0x1f);
        if self.in_string != 0 && quotes | backslashes | controls | self.escaped == 0 {
            self.non_ascii |= block.are_not_ascii();
            return Some(BLOCK);
        }
        let mut bad = 0;
        if backslashes | self.escaped != 0 {
            bad = self.escapes(text, from, backslashes, &mut quotes);
        }
        // From an opening quote up to a closing one, which is not included.
        let strings = parity(quotes) ^ self.in_string;
        self.in_string = (strings.cast_signed() >> 63).cast_unsigned();
        bad |= controls & strings;

        let outside = !(strings | quotes);
        let brackets = block.lowered();
        let (openers, closers) = (brackets.are(b'{') & outside, brackets.are(b'}') & outside);
        let (in_objects, end) = self.brackets(bytes, openers | closers)?;
        let in_value = if end < BLOCK {
            u64::MAX >> (BLOCK - 1 - end)
        } else {
            u64::MAX
        };
        let (commas, colons) = (block.are(b',') & outside, block.are(b':') & outside);
        let space = block.are_space() & outside;
        let marks = openers | closers | commas | colons;
        let all = outside & !(space | marks);

        // Commas, colons and closing brackets come after a value, and nothing else does.
        let after_atom = after(all, &mut self.after_atom);
        let after_value = beyond(all | closers | quotes & !strings, space, &mut self.after_value);
        let more = all & after_atom;
        let misplaced = (after_value ^ (closers | commas | colons)) & !more;
        let after_none = misplaced & closers & in_value;
        bad |= misplaced & !closers;
        if after_none != 0 {
            bad |= not_empty(text, from, after_none);
        }
        // In an object, the first thing after an opening bracket or a comma that is not a string is a colon.
        let before_keys = (openers | commas) & in_objects;
        bad |= (beyond(before_keys, !(all | marks), &mut self.before_colon) ^ colons) & !after_none;

        // A number of more digits does not start with 0: RFC 8259, section 6.
        let (starts, digits) = (all ^ more, block.are_from(b'0', 9));
        bad |= after(block.are(b'0') & starts, &mut self.after_zero) & digits;
        if all & !digits & in_value | self.numbers.any != 0 {
            bad |= self
                .numbers
                .pass(text, from, block, &Atoms { all, starts, digits });
        }
        self.non_ascii |= block.are_not_ascii() & in_value;
        self.controls |= controls & in_value;
        (bad & in_value == 0).then_some(end)
    }

    /// Passes over the brackets. The bytes in objects, and the place of the last bracket of the value, or [`BLOCK`].
    #[inline]
    fn brackets(&mut self, bytes: &[u8; BLOCK], mut brackets: u64) -> Option<(u64, usize)> {
        let mut in_objects = self.in_object;
        while brackets != 0 {
            let at = brackets.trailing_zeros();
            self.open.pass(bytes[at as usize])?;
            if self.open.is_outside() {
                return Some((in_objects, at as usize));
            }
            self.in_object = if self.open.is_object() { u64::MAX } else { 0 };
            let from_here = u64::MAX << at;
            in_objects = in_objects & !from_here | self.in_object & from_here;
            brackets &= brackets - 1;
        }
        Some((in_objects, BLOCK))
    }

    /// Takes the escaped bytes out of `quotes`. The backslashes that begin no escape.
    #[inline(never)]
    fn escapes(&mut self, text: &[u8], from: usize, backslashes: u64, quotes: &mut u64) -> u64 {
        let mut bad = 0;
        let mut escaped = self.escaped;
        self.escaped = 0;
        let mut left = backslashes & !escaped;
        while left != 0 {
            let bit = left & left.wrapping_neg();
            if after_escape(text, from + left.trailing_zeros() as usize).is_none() {
                bad |= bit;
            }
            escaped |= bit << 1;
            self.escaped = bit >> 63;
            left &= !(bit | bit << 1);
        }
        *quotes &= !escaped;
        bad
    }
}

/// Those of `closers` that close no empty container.
#[inline(never)]
fn not_empty(text: &[u8], from: usize, mut closers: u64) -> u64 {
    let mut bad = 0;
    while closers != 0 {
        let before = &text[..from + closers.trailing_zeros() as usize];
        if !matches!(before.trim_ascii_end().last(), Some(b'{' | b'[')) {
            bad |= closers & closers.wrapping_neg();
        }
        closers &= closers - 1;
    }
    bad
}

impl Numbers {
    /// The bytes that are wrong in numbers and literals. Numbers of digits alone need not come here.
    #[inline(never)]
    #[target_feature(enable = "avx2,bmi1,bmi2,pclmulqdq")]
    fn pass(&mut self, text: &[u8], from: usize, block: Block, atoms: &Atoms) -> u64 {
        let &Atoms { all, starts, digits } = atoms;
        let dots = block.are(b'.') & all;
        let signs = block.are(b'-') & starts;
        let mut bad = dots & starts;
        bad |= after(dots | signs, &mut self.after_mark) & !digits;
        bad |= beyond(dots, digits, &mut self.in_fraction) & dots;
        let zeros = block.are(b'0') & after(signs, &mut self.after_sign);
        bad |= after(zeros, &mut self.after_zero) & digits;
        let letters = all & !(digits | dots | signs);
        if letters | self.letters != 0 {
            bad |= self.letters(text, from, block, atoms, letters, dots);
        }
        self.any = self.after_mark | self.after_sign | self.after_zero | self.in_fraction | self.letters;
        bad
    }

    /// The bytes that are wrong in literals and exponents.
    #[inline]
    #[target_feature(enable = "avx2,bmi1,bmi2,pclmulqdq")]
    fn letters(
        &mut self,
        text: &[u8],
        from: usize,
        block: Block,
        atoms: &Atoms,
        letters: u64,
        dots: u64,
    ) -> u64 {
        let &Atoms { all, starts, digits } = atoms;
        let literals = self.literals(text, from, letters & starts);
        let letters = letters & !literals;
        let mut bad = all & !literals & after(literals, &mut self.after_literal);

        let exponents = block.lowered().are(b'e') & letters;
        let after_exponent = after(exponents, &mut self.after_exponent);
        let signs = (block.are(b'-') | block.are(b'+')) & after_exponent;
        bad |= letters & !(exponents | signs);
        bad |= exponents & starts;
        bad |= after_exponent & !(digits | signs);
        bad |= after(signs, &mut self.after_exponent_sign) & !digits;
        bad |= beyond(exponents, digits | signs, &mut self.in_exponent) & (dots | exponents);

        self.letters = self.in_literal | self.after_literal | self.in_exponent;
        self.letters |= self.after_exponent | self.after_exponent_sign;
        bad
    }

    /// The bytes of literals that start at `starts`, and of one of the block before.
    #[inline]
    fn literals(&mut self, text: &[u8], from: usize, mut starts: u64) -> u64 {
        let mut literals = u128::from(self.in_literal);
        while starts != 0 {
            let at = starts.trailing_zeros();
            let length = literal_length(&text[from + at as usize..]);
            literals |= ((1 << length) - 1) << at;
            starts &= starts - 1;
        }
        self.in_literal = (literals >> 64) as u64;
        literals as u64
    }
}

/// The length of the literal at the start of `text`, or 0. It has no branch for each of them: which one comes is hard to
/// guess.
#[inline]
fn literal_length(text: &[u8]) -> u32 {
    let Some(bytes) = text.first_chunk::<5>() else {
        return literal(text).map_or(0, |word| word.len() as u32);
    };
    let [first @ .., last] = bytes;
    let is_four = u32::from(first == b"true") | u32::from(first == b"null");
    let is_five = u32::from(first == b"fals") & u32::from(*last == b'e');
    is_four * 4 + is_five * 5
}
