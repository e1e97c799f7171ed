//! `BDAT`: a piece of a message, of announced size. RFC 3030 §2.

use super::CommandError;
use crate::lex::Cursor;

/// The most digits of a chunk's size, as for SIZE: what is more is no number but an attack.
pub const CHUNK_DIGITS_MAX: usize = 20;

/// `bdat-cmd = "BDAT" SP chunk-size [ SP end-marker ] CR LF`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BdatCommand {
    /// Bytes that follow the line; more than a `u64` holds is its largest value.
    pub chunk_bytes: u64,
    /// Whether the message ends with it.
    pub is_last: bool,
}

/// `chunk-size = 1*DIGIT`, `end-marker = "LAST"`.
pub(super) fn bdat(argument: &str) -> Result<BdatCommand, CommandError> {
    let mut cursor = Cursor::new(argument);
    if !cursor.eat(" ") {
        return Err(cursor.error());
    }
    let before = cursor;
    let digits = cursor.take_while(|c| c.is_ascii_digit());
    if !(1..=CHUNK_DIGITS_MAX).contains(&digits.len()) {
        return Err(before.error());
    }
    let is_last = cursor.eat_ignore_case(" LAST");
    cursor.end()?;
    Ok(BdatCommand { chunk_bytes: digits.parse().unwrap_or(u64::MAX), is_last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(argument: &str, want: Option<(u64, bool)>) {
        let got = bdat(argument).ok().map(|bdat| (bdat.chunk_bytes, bdat.is_last));
        assert_eq!(got, want, "BDAT{argument}");
    }

    /// RFC 3030 §2.
    #[test]
    fn chunks_have_a_size() {
        // Valid.
        check(" 86400", Some((86_400, false)));
        check(" 10 LAST", Some((10, true)));
        // At the edge of valid.
        check(" 0 last", Some((0, true)));
        check(" 007", Some((7, false)));
        check(" 99999999999999999999", Some((u64::MAX, false)));
        // Just past the edge.
        check(" 100000000000000000000", None);
        check(" 10 LASTX", None);
        check("  10", None);
        check(" 10  LAST", None);
        // Never valid.
        check("", None);
        check(" ", None);
        check(" -1", None);
        check(" +1", None);
        check(" 0x10", None);
        check(" LAST", None);
        check(" 10,20", None);
    }
}
