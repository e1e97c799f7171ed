//! Passes: codes by which a refused sender shows that somebody read the refusal.
//!
//! A refusal gives the code at the end of its text, so that the sender's server shows it in its report
//! of failure. Who sends the message again with the code in the subject is let through. Programs that
//! send junk do not read such reports.

use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mox_base::{Address, Rng, Secret, UnixSeconds};

/// Letters and digits of a key.
pub const PASS_KEY_CHARS: usize = 16;

/// Codes in one subject that are tried.
pub const PASSES_TRIED_MAX: usize = 5;

/// What a code begins with.
const PREFIX: &str = "(pass:";

/// Bytes of a code before encoding: version and time, then the proof.
const TOKEN_BYTES: usize = HEAD_BYTES + PROOF_BYTES;
const HEAD_BYTES: usize = 4;
const PROOF_BYTES: usize = 12;

/// Characters of a code between prefix and closing parenthesis.
const TOKEN_CHARS: usize = 22;

/// Bits of the time that are left out: it counts in units of 256 seconds.
const TIME_SHIFT: u32 = 8;

/// The part of the head that holds the time; the high four bits are the version, 0.
///
/// The time in these units needs 28 bits until the year 4147.
const TIME_MASK: u32 = 0x0fff_ffff;

/// The key for passes of one recipient address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassKey(Secret);

impl PassKey {
    /// Makes a new one.
    #[must_use]
    pub fn generate(rng: &dyn Rng) -> Self {
        const LETTERS: &[u8; 62] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let mut text = String::with_capacity(PASS_KEY_CHARS);
        while text.len() < PASS_KEY_CHARS {
            let mut random = [0; 2 * PASS_KEY_CHARS];
            rng.fill(&mut random);
            // The remainder of all bytes would prefer some letters: 248 is a multiple of 62.
            let even = random.iter().filter(|byte| **byte < 248);
            let letters = even.map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]));
            text.extend(letters.take(PASS_KEY_CHARS - text.len()));
        }
        Self(Secret::new(text))
    }

    /// Takes a key from a database.
    #[must_use]
    pub fn from_stored(text: &str) -> Option<Self> {
        let is_key =
            text.len() == PASS_KEY_CHARS && text.bytes().all(|b| b.is_ascii_alphanumeric());
        is_key.then(|| Self(Secret::new(text)))
    }

    /// The key, for a database.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The code for an author at a time, such as `(pass:AGu…)`.
    #[must_use]
    pub fn make(&self, author: &Address, now: UnixSeconds) -> String {
        let head = head(now);
        let mut token = [0; TOKEN_BYTES];
        token[..HEAD_BYTES].copy_from_slice(&head);
        token[HEAD_BYTES..].copy_from_slice(&self.proof(head, author));
        format!("{PREFIX}{})", URL_SAFE_NO_PAD.encode(token))
    }

    /// Whether the subject has a code made with this key for this author, at most `period` ago.
    ///
    /// Takes the same time whatever is wrong with the proof.
    #[must_use]
    pub fn verify(
        &self,
        subject: &str,
        author: &Address,
        now: UnixSeconds,
        period: Duration,
    ) -> bool {
        let codes = subject.match_indices(PREFIX).take(PASSES_TRIED_MAX);
        let mut tokens = codes.filter_map(|(at, _)| read(&subject[at + PREFIX.len()..]));
        tokens.any(|token| self.is_good(&token, author, now, period))
    }

    fn is_good(
        &self,
        token: &[u8; TOKEN_BYTES],
        author: &Address,
        now: UnixSeconds,
        period: Duration,
    ) -> bool {
        let head = [token[0], token[1], token[2], token[3]];
        let is_ours =
            verify_slices_are_equal(&token[HEAD_BYTES..], &self.proof(head, author)).is_ok();
        let head = u32::from_be_bytes(head);
        let made = UnixSeconds(i64::from(head & TIME_MASK) << TIME_SHIFT);
        let age_secs = now.secs_since(made);
        let period_secs = i64::try_from(period.as_secs()).unwrap_or(i64::MAX);
        is_ours && head & !TIME_MASK == 0 && (0..=period_secs).contains(&age_secs)
    }

    fn proof(&self, head: [u8; HEAD_BYTES], author: &Address) -> [u8; PROOF_BYTES] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.expose().as_bytes());
        let mut context = hmac::Context::with_key(&key);
        context.update(&head);
        context.update(author.to_string().as_bytes());
        let tag = context.sign();
        let mut proof = [0; PROOF_BYTES];
        proof.copy_from_slice(&tag.as_ref()[..PROOF_BYTES]);
        proof
    }
}

/// Whether the subject has something that looks like a code.
pub(crate) fn has_code(subject: &str) -> bool {
    let mut codes = subject.match_indices(PREFIX).take(PASSES_TRIED_MAX);
    codes.any(|(at, _)| read(&subject[at + PREFIX.len()..]).is_some())
}

/// Version 0 and the time.
fn head(now: UnixSeconds) -> [u8; HEAD_BYTES] {
    let units = u32::try_from((now.0 >> TIME_SHIFT).max(0)).unwrap_or(TIME_MASK);
    (units & TIME_MASK).to_be_bytes()
}

/// The code that the text begins with, without its prefix.
fn read(text: &str) -> Option<[u8; TOKEN_BYTES]> {
    let (code, rest) = text.split_at_checked(TOKEN_CHARS)?;
    if !rest.starts_with(')') {
        return None;
    }
    URL_SAFE_NO_PAD.decode(code).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives the bytes 0, 1, 2, … again and again.
    struct Counting;

    impl Rng for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            for (at, byte) in buffer.iter_mut().enumerate() {
                *byte = u8::try_from(at % 256).unwrap();
            }
        }
    }

    const NOW: UnixSeconds = UnixSeconds(1_795_000_000);
    const PERIOD: Duration = Duration::from_secs(12 * 3600);

    fn key() -> PassKey {
        PassKey::from_stored("0123456789abcdef").unwrap()
    }

    fn author() -> Address {
        Address::parse("carol@b\u{fc}cher.example").unwrap()
    }

    #[test]
    fn keys_are_letters_and_digits() {
        assert_eq!(PassKey::generate(&Counting).expose(), "ABCDEFGHIJKLMNOP");
        assert!(PassKey::from_stored("0123456789abcdeZ").is_some());
        assert!(PassKey::from_stored("0123456789abcde").is_none());
        assert!(PassKey::from_stored("0123456789abcde-").is_none());
        assert_eq!(format!("{:?}", key()), "PassKey(***)");
    }

    #[test]
    fn a_code_has_version_time_and_proof() {
        let code = key().make(&author(), NOW);
        assert_eq!(code.len(), PREFIX.len() + TOKEN_CHARS + 1);
        let token = read(&code[PREFIX.len()..]).unwrap();
        let units = u32::from_be_bytes([token[0], token[1], token[2], token[3]]);
        assert_eq!(i64::from(units), NOW.0 >> 8);
        // The domain counts in its Unicode form.
        let text = hmac::Key::new(hmac::HMAC_SHA256, b"0123456789abcdef");
        let signed = [&token[..4], "carol@b\u{fc}cher.example".as_bytes()].concat();
        assert_eq!(token[4..], hmac::sign(&text, &signed).as_ref()[..12]);
    }

    #[track_caller]
    fn check(subject: &str, want: bool) {
        assert_eq!(key().verify(subject, &author(), NOW, PERIOD), want, "{subject}");
    }

    #[test]
    fn codes_are_found_in_subjects() {
        let code = key().make(&author(), NOW);
        // Valid.
        check(&code, true);
        check(&format!("Re: hello {code} and more"), true);
        check(&format!("{}{code}", PREFIX.repeat(PASSES_TRIED_MAX - 1)), true);
        check(&key().make(&author(), UnixSeconds(NOW.0 - 12 * 3600 + 256)), true);
        // Just past.
        check(&format!("{}{code}", PREFIX.repeat(PASSES_TRIED_MAX)), false);
        check(&key().make(&author(), UnixSeconds(NOW.0 - 12 * 3600 - 256)), false);
        check(&key().make(&author(), UnixSeconds(NOW.0 + 256)), false);
        check(code.trim_end_matches(')'), false);
        check(&code.replace("(pass:", "(pass:A"), false);
        // Never.
        check(&key().make(&Address::parse("dave@example.org").unwrap(), NOW), false);
        let other = PassKey::from_stored("0123456789abcdeg").unwrap();
        check(&other.make(&author(), NOW), false);
        check("", false);
        check("(pass:)", false);
        check("(pass:\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9})", false);
        check(&format!("(pass:{})", "=".repeat(TOKEN_CHARS)), false);
    }

    /// The version is part of what is signed: a code of another version is none of ours, whatever
    /// its proof.
    #[test]
    fn other_versions_are_refused() {
        let head = (0x1000_0000 | u32::try_from(NOW.0 >> 8).unwrap()).to_be_bytes();
        let token = [&head[..], &key().proof(head, &author())].concat();
        let code = format!("{PREFIX}{})", URL_SAFE_NO_PAD.encode(token));
        check(&code, false);
    }

    #[test]
    fn times_out_of_range_do_not_wrap() {
        for now in [i64::MIN, -1, 0, i64::MAX] {
            let code = key().make(&author(), UnixSeconds(now));
            assert!(!key().verify(&code, &author(), NOW, PERIOD), "{now}");
        }
        let code = key().make(&author(), NOW);
        assert!(key().verify(&code, &author(), NOW, Duration::MAX));
        assert!(!key().verify(&code, &author(), UnixSeconds(i64::MIN), Duration::MAX));
    }
}
