//! Passwords that are made, not chosen.

use mox_base::Rng;

/// What a password is made of: 79 characters that all keyboards and protocols have.
const CHARACTERS: &[u8] =
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!@#$%^&*-_;:,<.>/";

/// How many characters a password has: 75 bits.
const LENGTH: usize = 12;

/// Makes a password.
pub(super) fn generate(rng: &dyn Rng) -> String {
    // Bytes from the last multiple on would make some characters likelier than others.
    let limit = 256 - 256 % CHARACTERS.len();
    let mut password = String::with_capacity(LENGTH);
    while password.len() < LENGTH {
        let mut byte = [0];
        rng.fill(&mut byte);
        let index = usize::from(byte[0]);
        if let Some(character) = CHARACTERS.get(index % CHARACTERS.len()).filter(|_| index < limit)
        {
            password.push(char::from(*character));
        }
    }
    password
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::atomic::{AtomicU8, Ordering};

    use mox_testkit::TestRng;

    use super::*;

    /// Gives 255, 254, 253 and so on.
    struct Down(AtomicU8);

    impl Rng for Down {
        fn fill(&self, buffer: &mut [u8]) {
            buffer.fill_with(|| self.0.fetch_sub(1, Ordering::Relaxed));
        }
    }

    #[test]
    fn bytes_beyond_the_last_multiple_are_passed_over() {
        let password = generate(&Down(AtomicU8::new(255)));
        assert_eq!(password, "/>.<,:;_-*&^");
    }

    #[test]
    fn all_characters_are_as_likely() {
        let (rng, count) = (TestRng::new(7), 8_000);
        let mut seen: BTreeMap<char, usize> = BTreeMap::new();
        for _ in 0..count {
            for character in generate(&rng).chars() {
                *seen.entry(character).or_default() += 1;
            }
        }
        assert_eq!(seen.len(), CHARACTERS.len());
        let mean = count * LENGTH / CHARACTERS.len();
        for (character, times) in seen {
            assert!(times.abs_diff(mean) < mean / 5, "{character}: {times} of {mean}");
        }
    }

    #[test]
    fn a_password_may_be_stored() {
        for seed in 0..100 {
            let password = generate(&TestRng::new(seed));
            mox_sasl::Password::for_storing(&password).unwrap();
        }
    }
}
