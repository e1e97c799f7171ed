//! How long to wait before the next attempt.

use mox_base::Rng;

/// The wait after the first attempt: 7.5 minutes.
///
/// Deviation: RFC 5321 §4.5.4.1 would have 30 minutes at least, and 4 to 5 days in all; we make 8
/// attempts in 16 hours, because a sender wants to know within a day that nothing arrived, and
/// because grey lists let the second attempt through after a few minutes.
pub const FIRST_WAIT_SECS: i64 = 450;

/// The wait no longer doubles after this many attempts, at 16 hours.
const DOUBLINGS_MAX: u32 = 7;

/// The waits are spread from 5 seconds less than the first one to 4 more, so that messages that
/// failed together are not all tried again together.
const SPREAD_BELOW_SECS: i64 = 5;
const SPREAD_SECS: u64 = 10;

/// The wait after an attempt, when `attempts` were made before it: 7.5, 15, 30 minutes, 1, 2, 4, 8
/// hours. `chance` is any number.
#[must_use]
pub fn wait_secs(attempts: u32, chance: u64) -> i64 {
    let spread = (chance % SPREAD_SECS).cast_signed() - SPREAD_BELOW_SECS;
    (FIRST_WAIT_SECS + spread) << attempts.min(DOUBLINGS_MAX)
}

pub(crate) fn chance(rng: &dyn Rng) -> u64 {
    let mut bytes = [0; 8];
    rng.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(attempts: u32, chance: u64, want_secs: i64) {
        assert_eq!(wait_secs(attempts, chance), want_secs, "{attempts} {chance}");
    }

    #[test]
    fn waits_double() {
        check(0, 5, 450);
        check(1, 5, 900);
        check(2, 5, 1_800);
        check(3, 5, 3_600);
        check(6, 5, 8 * 3_600);
        // The ends of the spread.
        check(0, 0, 445);
        check(0, 9, 454);
        check(3, 9, 454 * 8);
        // No overflow, and no wait of years.
        check(7, 5, 16 * 3_600);
        check(8, 5, 16 * 3_600);
        check(u32::MAX, u64::MAX, 450 * 128);
    }
}
