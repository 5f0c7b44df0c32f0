//! The order of sequence numbers.

/// Whether `one` is greater. Sequence numbers are decimals without leading zeros, too long for integer types.
pub fn is_after(one: &str, other: &str) -> bool {
    (one.len(), one) > (other.len(), other)
}
