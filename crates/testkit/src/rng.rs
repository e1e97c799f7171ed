//! Randomness that is the same on every run.

use std::sync::atomic::{AtomicU64, Ordering};

use mox_base::Rng;

/// SplitMix64 from a seed: good enough to spread test data, useless for secrets.
#[derive(Debug)]
pub struct TestRng {
    state: AtomicU64,
}

/// The odd increment of SplitMix64: 2^64 divided by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl TestRng {
    /// The same seed gives the same bytes.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { state: AtomicU64::new(seed) }
    }

    /// The next 64 bits.
    pub fn next_u64(&self) -> u64 {
        mix(self.state.fetch_add(GAMMA, Ordering::Relaxed).wrapping_add(GAMMA))
    }

    /// A number below `bound`, which must not be 0. Not quite uniform, which tests do not mind.
    pub fn below(&self, bound: usize) -> usize {
        let bound = u64::try_from(bound).unwrap_or(u64::MAX);
        usize::try_from(self.next_u64() % bound).unwrap_or(0)
    }
}

/// The output function of SplitMix64.
pub(crate) fn mix(state: u64) -> u64 {
    let mut z = state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng for TestRng {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bytes = self.next_u64().to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_bytes_and_another_seed_gives_others() {
        let mut first = [0; 13];
        let mut second = [0; 13];
        TestRng::new(7).fill(&mut first);
        TestRng::new(7).fill(&mut second);
        assert_eq!(first, second);
        TestRng::new(8).fill(&mut second);
        assert_ne!(first, second);
    }

    #[test]
    fn the_published_first_outputs_come_out() {
        // The reference values of SplitMix64 for seed 1234567.
        let rng = TestRng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
    }
}
