//! Tokens in the sender's address that name one recipient of one message: what comes back to such an
//! address is about that. RFC 5321 §4.5.5 has reports go to the reverse path; RFC 5233 §1 has details
//! behind a separator.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mox_base::Localpart;

/// How many random bytes a token is made of.
pub const FROM_ID_RANDOM_BYTES: usize = 16;

/// The token that a client has put into its address: all that follows the first separator.
#[must_use]
pub fn chosen_from_id<'a>(localpart: &'a Localpart, separator: &str) -> Option<&'a str> {
    let (_, token) = localpart.as_str().split_once(separator)?;
    Some(token).filter(|token| !token.is_empty() && !separator.is_empty())
}

/// A token that nobody else makes.
///
/// - `random`: fresh.
#[must_use]
pub fn new_from_id(random: [u8; FROM_ID_RANDOM_BYTES]) -> String {
    URL_SAFE_NO_PAD.encode(random)
}

/// The localpart with a token: `base SEPARATOR token`. `None` if that is too long to be one.
#[must_use]
pub fn with_from_id(localpart: &Localpart, separator: &str, token: &str) -> Option<Localpart> {
    let base = localpart.as_str();
    let base = base.split_once(separator).map_or(base, |(base, _)| base);
    Localpart::from_decoded(&format!("{base}{separator}{token}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(localpart: &str, separator: &str, chosen: Option<&str>, made: Option<&str>) {
        let localpart = Localpart::from_decoded(localpart).unwrap();
        assert_eq!(chosen_from_id(&localpart, separator), chosen, "{localpart}");
        let token = new_from_id([0xff; FROM_ID_RANDOM_BYTES]);
        let got = with_from_id(&localpart, separator, &token);
        assert_eq!(got.as_ref().map(Localpart::as_str), made, "{localpart}");
    }

    #[test]
    fn a_token_follows_the_first_separator() {
        check("mjl", "+", None, Some("mjl+_____________________w"));
        check("mjl+id", "+", Some("id"), Some("mjl+_____________________w"));
        check("mjl+", "+", None, Some("mjl+_____________________w"));
        check("mjl+a+b", "+", Some("a+b"), Some("mjl+_____________________w"));
        check("mjl--id", "--", Some("id"), Some("mjl--_____________________w"));
        check("+", "+", None, Some("+_____________________w"));
        let longest = "x".repeat(mox_base::LOCALPART_BYTES_MAX - 23);
        check(&longest, "+", None, Some(&format!("{longest}+_____________________w")));
        check(&format!("{longest}x"), "+", None, None);
    }
}
