//! Shard iterators: opaque tokens that contain everything a read needs. They stay valid across restarts.

use md5::{Digest, Md5};

use super::store::Position;

/// AWS's tokens start with these bytes too.
const PREFIX: [u8; 8] = [0, 0, 0, 0, 0, 0, 0, 1];
/// A multiple of 3: base64 then has no padding and no spare bits, so each token has exactly one text.
const LENGTH: usize = 57;
const VERSION: u8 = 1;
const CONTENT: usize = LENGTH - 16;

/// A decoded shard iterator. The engine checks its age and whether the stream still exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardIterator {
    /// The incarnation: a later stream of the same name has another id.
    pub stream_id: u64,
    pub shard_index: u32,
    /// Where the next read starts.
    pub position: Position,
    /// Milliseconds since the Unix epoch.
    pub issued_ms: i64,
}

impl ShardIterator {
    /// The token: 76 characters of base64.
    pub fn encode(&self) -> String {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend_from_slice(&PREFIX);
        bytes.push(VERSION);
        bytes.extend_from_slice(&self.stream_id.to_be_bytes());
        bytes.extend_from_slice(&self.shard_index.to_be_bytes());
        bytes.extend_from_slice(&self.position.index.to_be_bytes());
        bytes.extend_from_slice(&self.position.hint.to_be_bytes());
        bytes.extend_from_slice(&self.issued_ms.to_be_bytes());
        bytes.extend_from_slice(&seal(&bytes));
        base64_simd::STANDARD.encode_to_string(&bytes)
    }

    /// Decodes a token. `None` for anything that [`Self::encode`] did not write.
    pub fn decode(token: &str) -> Option<Self> {
        let bytes = base64_simd::STANDARD.decode_to_vec(token).ok()?;
        let bytes: &[u8; LENGTH] = bytes.as_slice().try_into().ok()?;
        let (content, sealed) = bytes.split_at(CONTENT);
        if seal(content) != sealed {
            return None;
        }
        let rest = content.strip_prefix(&PREFIX)?.strip_prefix(&[VERSION])?;
        let (stream_id, rest) = rest.split_first_chunk()?;
        let (shard_index, rest) = rest.split_first_chunk()?;
        let (index, rest) = rest.split_first_chunk()?;
        let (hint, rest) = rest.split_first_chunk()?;
        let (issued_ms, _) = rest.split_first_chunk()?;
        Some(Self {
            stream_id: u64::from_be_bytes(*stream_id),
            shard_index: u32::from_be_bytes(*shard_index),
            position: Position {
                index: u64::from_be_bytes(*index),
                hint: u32::from_be_bytes(*hint),
            },
            issued_ms: i64::from_be_bytes(*issued_ms),
        })
    }
}

/// Detects damaged or invented tokens. It protects against mistakes, not attackers: any caller of the local cloud can
/// read all of its data.
fn seal(content: &[u8]) -> [u8; 16] {
    Md5::new()
        .chain_update(b"streamctl shard iterator")
        .chain_update(content)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Position, ShardIterator};

    fn iterator() -> impl Strategy<Value = ShardIterator> {
        any::<(u64, u32, u64, u32, i64)>().prop_map(|(stream_id, shard_index, index, hint, issued_ms)| {
            ShardIterator {
                stream_id,
                shard_index,
                position: Position { index, hint },
                issued_ms,
            }
        })
    }

    proptest! {
        #[test]
        fn an_iterator_round_trips_through_its_token(iterator in iterator()) {
            let token = iterator.encode();
            prop_assert_eq!(token.len(), 76);
            let decoded = ShardIterator::decode(&token).unwrap();
            prop_assert_eq!(decoded, iterator);
            prop_assert_eq!(decoded.position.hint, iterator.position.hint);
        }

        #[test]
        fn a_changed_token_is_refused(iterator in iterator(), at in 0..76_usize, with in any::<u8>()) {
            let token = iterator.encode();
            let mut bytes = token.clone().into_bytes();
            bytes[at] = with & 0x7f;
            let changed = String::from_utf8(bytes).unwrap();
            prop_assume!(changed != token);
            prop_assert_eq!(ShardIterator::decode(&changed), None);
        }

        #[test]
        fn a_cut_token_is_refused(iterator in iterator(), length in 0..76_usize) {
            prop_assert_eq!(ShardIterator::decode(&iterator.encode()[..length]), None);
        }

        #[test]
        fn parsing_arbitrary_text_does_not_panic(text in ".*|[A-Za-z0-9+/]{76}") {
            prop_assert_eq!(ShardIterator::decode(&text), None);
        }
    }
}
