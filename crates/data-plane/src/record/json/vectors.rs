//! Blocks of 64 bytes in vectors of AVX2, which answer a question about all bytes at once: bit `n` is about byte `n`.

use std::arch::x86_64::{
    __m256i, _mm_clmulepi64_si128, _mm_cvtsi128_si64, _mm_set_epi64x, _mm_set1_epi8, _mm_setr_epi8,
    _mm256_broadcastsi128_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_min_epu8,
    _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_shuffle_epi8, _mm256_sub_epi8,
};

/// How many bytes there are in a block: one for each bit of an answer.
pub(super) const BLOCK: usize = 64;

/// The bytes of a block.
#[derive(Clone, Copy)]
pub(super) struct Block(__m256i, __m256i);

impl Block {
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn new(bytes: &[u8; BLOCK]) -> Self {
        let (halves, _) = bytes.as_chunks::<32>();
        // SAFETY: each half is 32 bytes that may be read, at any alignment.
        let half = |n: usize| unsafe { _mm256_loadu_si256(halves[n].as_ptr().cast()) };
        Self(half(0), half(1))
    }

    /// The bytes that are white space in JSON.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn are_space(self) -> u64 {
        // At each place, the byte of white space whose lower four bits are the place: RFC 8259, section 2.
        let spaces =
            _mm256_broadcastsi128_si256(_mm_setr_epi8(0x20, 0, 0, 0, 0, 0, 0, 0, 0, 9, 10, 0, 0, 13, 0, 0));
        highest(
            _mm256_cmpeq_epi8(_mm256_shuffle_epi8(spaces, self.0), self.0),
            _mm256_cmpeq_epi8(_mm256_shuffle_epi8(spaces, self.1), self.1),
        )
    }

    /// The bytes that are `byte`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn are(self, byte: u8) -> u64 {
        let byte = _mm256_set1_epi8(byte.cast_signed());
        highest(_mm256_cmpeq_epi8(self.0, byte), _mm256_cmpeq_epi8(self.1, byte))
    }

    /// The bytes that are `first`, or one of the `more` after it.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn are_from(self, first: u8, more: u8) -> u64 {
        let first = _mm256_set1_epi8(first.cast_signed());
        let more = _mm256_set1_epi8(more.cast_signed());
        let (low, high) = (_mm256_sub_epi8(self.0, first), _mm256_sub_epi8(self.1, first));
        highest(
            _mm256_cmpeq_epi8(_mm256_min_epu8(low, more), low),
            _mm256_cmpeq_epi8(_mm256_min_epu8(high, more), high),
        )
    }

    /// The bytes that are not ASCII.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn are_not_ascii(self) -> u64 {
        highest(self.0, self.1)
    }

    /// The block with small letters for capital ones. It makes `{` of `[`, and `}` of `]`.
    #[inline]
    #[target_feature(enable = "avx2")]
    pub(super) fn lowered(self) -> Self {
        let bit = _mm256_set1_epi8(0x20);
        Self(_mm256_or_si256(self.0, bit), _mm256_or_si256(self.1, bit))
    }
}

/// The highest bit of each byte.
#[inline]
#[target_feature(enable = "avx2")]
fn highest(low: __m256i, high: __m256i) -> u64 {
    let bits = |half| u64::from(_mm256_movemask_epi8(half).cast_unsigned());
    bits(low) | bits(high) << 32
}

/// Bit `n` is whether an odd number of the bits 0 to `n` is set.
#[inline]
#[target_feature(enable = "pclmulqdq")]
pub(super) fn parity(bits: u64) -> u64 {
    let bits = _mm_set_epi64x(0, bits.cast_signed());
    _mm_cvtsi128_si64(_mm_clmulepi64_si128(bits, _mm_set1_epi8(-1), 0)).cast_unsigned()
}
