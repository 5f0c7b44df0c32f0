//! Characters that need care.

/// Control characters, line separators, and the characters of Unicode's `Bidi_Control`: those who show text act on them. All
/// are in the basic multilingual plane.
pub fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{206f}')
}
