//! Flags in the header of messages in an mbox: what it has of them, written and read.
//!
//! `Status` and `X-Status` are those of mutt and pine, `X-Keywords` that of Dovecot, `X-Mozilla-Status`
//! and `X-Mozilla-Keys` those of Thunderbird.

use mox_base::{Flags, Keyword};

/// The most bytes of one of these fields that are read.
const VALUE_BYTES_MAX: usize = 64 << 10;

/// Fields that belong to the file and not to the message: they are left out of it, coming and going.
const FIELDS: [&str; 10] = [
    "status",
    "x-status",
    "x-keywords",
    "x-mozilla-status",
    "x-mozilla-status2",
    "x-mozilla-keys",
    "x-uid",
    "x-imap",
    "x-imapbase",
    "content-length",
];

const MOZILLA: [(u32, Flags); 5] = [
    (0x0001, Flags::SEEN),
    (0x0002, Flags::ANSWERED),
    (0x0004, Flags::FLAGGED),
    // Deleted or moved, until the file is compacted.
    (0x0008, Flags::DELETED),
    (0x1000, Flags::FORWARDED),
];

const LETTERS: [(u8, Flags); 4] =
    [(b'A', Flags::ANSWERED), (b'F', Flags::FLAGGED), (b'T', Flags::DRAFT), (b'D', Flags::DELETED)];

/// The name of the field that a header line begins, in lower case, if it is one of ours.
pub(crate) fn field_of(line: &[u8]) -> Option<&'static str> {
    let colon = memchr::memchr(b':', line.get(..20).unwrap_or(line))?;
    let name = line.get(..colon)?.trim_ascii_end();
    FIELDS.iter().find(|known| known.as_bytes().eq_ignore_ascii_case(name)).copied()
}

/// What the fields of one message say.
#[derive(Debug, Default)]
pub(crate) struct FlagFields {
    values: Vec<(&'static str, Vec<u8>)>,
    /// There was a field of the message with which c-client keeps its own data.
    pub(crate) is_internal: bool,
}

impl FlagFields {
    /// Takes a line of such a field, the first or a continuation.
    pub(crate) fn add(&mut self, field: &'static str, line: &[u8], is_first: bool) {
        if is_first {
            let value = line.iter().position(|b| *b == b':').map_or(line.len(), |at| at + 1);
            self.is_internal |= field == "x-imap";
            if self.values.len() < 2 * FIELDS.len() {
                self.values.push((field, line.get(value..).unwrap_or_default().to_vec()));
            }
        } else if let Some((_, value)) = self.values.last_mut()
            && value.len() + line.len() <= VALUE_BYTES_MAX
        {
            value.extend_from_slice(line);
        }
    }

    /// The flags and keywords, and words that are neither.
    pub(crate) fn read(&self) -> (Flags, Vec<Keyword>, Vec<String>) {
        let (mut flags, mut keywords, mut unknown) = (Flags::NONE, Vec::new(), Vec::new());
        for (field, value) in &self.values {
            let value = value.get(..VALUE_BYTES_MAX).unwrap_or(value);
            match *field {
                "status" => flags = flags.with(Flags::SEEN, value.contains(&b'R')),
                "x-status" => {
                    for (letter, flag) in LETTERS {
                        flags |= if value.contains(&letter) { flag } else { Flags::NONE };
                    }
                }
                "x-mozilla-status" => {
                    let text = String::from_utf8_lossy(value);
                    let bits = u32::from_str_radix(text.trim(), 16).unwrap_or_default();
                    for (bit, flag) in MOZILLA {
                        flags |= if bits & bit == 0 { Flags::NONE } else { flag };
                    }
                }
                "x-keywords" | "x-mozilla-keys" => {
                    for word in words(&String::from_utf8_lossy(value)) {
                        match word_of(&word) {
                            Some(Word::Flag(flag)) => flags |= flag,
                            Some(Word::Keyword(keyword)) => keywords.push(keyword),
                            None => unknown.push(word),
                        }
                    }
                }
                _ => {}
            }
        }
        (flags, keywords, unknown)
    }
}

/// What a word for a flag means.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Word {
    Flag(Flags),
    Keyword(Keyword),
}

/// Reads a word for a flag: with or without `$`, in any case, as different programs write them.
pub(crate) fn word_of(word: &str) -> Option<Word> {
    let bare = word.strip_prefix('$').unwrap_or(word);
    let flag = match bare.to_ascii_lowercase().as_str() {
        "nonjunk" | "notjunk" => Some(Flags::NOT_JUNK),
        "junk" => Some(Flags::JUNK),
        "forwarded" => Some(Flags::FORWARDED),
        "phishing" => Some(Flags::PHISHING),
        "mdnsent" => Some(Flags::MDN_SENT),
        _ => Flags::from_name(word),
    };
    match flag {
        Some(flag) => Some(Word::Flag(flag)),
        None => Keyword::parse(word).ok().map(Word::Keyword),
    }
}

/// Reads a word for a flag of IMAP, as any program may write it. `None` for what is neither a flag nor a
/// keyword here.
#[must_use]
pub fn flag_word(word: &str) -> Option<Result<Flags, Keyword>> {
    word_of(word).map(|word| match word {
        Word::Flag(flag) => Ok(flag),
        Word::Keyword(keyword) => Err(keyword),
    })
}

/// Words separated by blanks if there are any, else by commas: a keyword may have a comma in it.
fn words(value: &str) -> Vec<String> {
    let value = value.trim();
    let pieces: Vec<&str> = if value.contains(|c: char| c.is_ascii_whitespace()) {
        value.split_ascii_whitespace().map(|word| word.strip_suffix(',').unwrap_or(word)).collect()
    } else {
        value.split(',').collect()
    };
    pieces.into_iter().filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// The fields for a message, each with its LF.
pub(crate) fn print(flags: Flags, keywords: &[Keyword]) -> String {
    let mut text = String::new();
    if flags.contains(Flags::SEEN) {
        text.push_str("Status: R\n");
    }
    let letters: String = LETTERS
        .iter()
        .filter(|(_, flag)| flags.contains(*flag))
        .map(|(letter, _)| char::from(*letter))
        .collect();
    if !letters.is_empty() {
        text.push_str(&format!("X-Status: {letters}\n"));
    }
    let mut words: Vec<&str> = flags.names().filter(|name| name.starts_with('$')).collect();
    words.extend(keywords.iter().map(Keyword::as_str));
    if words.is_empty() {
        return text;
    }
    let separator = if words.iter().any(|word| word.contains(',')) {
        if words.len() == 1 {
            // Twice, so that there is a blank by which to tell.
            words.extend(words.first().copied());
        }
        // A comma at the end of a word would be taken for a separator.
        " "
    } else {
        ","
    };
    text.push_str(&format!("X-Keywords: {}\n", words.join(separator)));
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(lines: &[&str], want: Flags, keywords: &[&str]) {
        let mut fields = FlagFields::default();
        let mut last = None;
        for line in lines {
            let is_first = !line.starts_with(' ');
            last = if is_first { field_of(line.as_bytes()) } else { last };
            if let Some(field) = last {
                fields.add(field, line.as_bytes(), is_first);
            }
        }
        let (flags, got, unknown) = fields.read();
        assert_eq!(flags, want, "{lines:?}");
        let got: Vec<&str> = got.iter().map(Keyword::as_str).collect();
        assert_eq!(got, keywords, "{lines:?}");
        assert_eq!(unknown.len(), usize::from(lines.concat().contains("b\"d")));
    }

    #[test]
    fn flags_of_many_programs_are_read() {
        let all = Flags::ANSWERED | Flags::FLAGGED | Flags::DRAFT | Flags::DELETED;
        check(&["Status: RO", "X-Status: AFTD"], Flags::SEEN | all, &[]);
        check(&["status: O"], Flags::NONE, &[]);
        check(
            &["X-Keywords: $Forwarded,nonjunk,Work"],
            Flags::FORWARDED | Flags::NOT_JUNK,
            &["work"],
        );
        check(&["X-Keywords: a b,c", "  JUNK"], Flags::JUNK, &["a", "b,c"]);
        check(
            &["X-Mozilla-Status: 1003", "X-Mozilla-Keys: $label1 "],
            Flags::SEEN | Flags::ANSWERED | Flags::FORWARDED,
            &["$label1"],
        );
        // Deleted or moved to another folder, until the file is compacted.
        check(&["X-Mozilla-Status: 0009"], Flags::SEEN | Flags::DELETED, &[]);
        check(&["X-Keywords:"], Flags::NONE, &[]);
        check(&["X-Keywords: b\"d, good"], Flags::NONE, &["good"]);
        check(&["X-Mozilla-Status: zz"], Flags::NONE, &[]);
        check(&["Subject: Status: R"], Flags::NONE, &[]);
    }

    fn keyword() -> impl Strategy<Value = Keyword> {
        "[a-z$,:;-]{1,8}[a-z]".prop_filter_map("a flag", |text| match word_of(&text) {
            Some(Word::Keyword(keyword)) => Some(keyword),
            _ => None,
        })
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(bits in 0_u16..1024, words in proptest::collection::vec(keyword(), 0..4)) {
            let mut words = words;
            words.sort();
            words.dedup();
            let flags = Flags::from_bits(bits);
            let mut fields = FlagFields::default();
            for line in print(flags, &words).lines() {
                fields.add(field_of(line.as_bytes()).unwrap(), line.as_bytes(), true);
            }
            let (got_flags, mut got, unknown) = fields.read();
            got.sort();
            got.dedup();
            prop_assert_eq!((got_flags, got, unknown), (flags, words, Vec::new()));
        }
    }
}
