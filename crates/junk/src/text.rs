//! Words of a text that comes in pieces.

use crate::links::{add_domain, add_link, find_link};
use crate::words::{Kinds, Words};

/// The longest word that is learnt as it is, in bytes.
pub const WORD_BYTES_MAX: usize = 40;

/// A text without blanks is looked at in stretches of so many bytes.
const RUN_BYTES_MAX: usize = 1_024;

/// So many letters in a row that are hard to say make a word look drawn at random.
const RANDOM_RUN_MIN: usize = 6;

/// Makes words of a text that comes in pieces; see [`TextWords::end`].
#[derive(Debug)]
pub(crate) struct TextWords {
    kinds: Kinds,
    /// What kind of words these are; empty for those of the text, else with a colon.
    prefix: &'static str,
    bytes_min: usize,
    /// What came since the last blank.
    run: String,
    word: String,
    before: Before,
}

/// The two words before this one, the last one first.
#[derive(Debug, Default)]
struct Before([String; 2]);

impl TextWords {
    /// Words of a text.
    pub(crate) fn new(kinds: Kinds) -> Self {
        Self {
            kinds,
            prefix: "",
            bytes_min: 3,
            run: String::new(),
            word: String::new(),
            before: Before::default(),
        }
    }

    /// Words of a header field, in which very short ones say nothing.
    pub(crate) fn of_field(kinds: Kinds, prefix: &'static str) -> Self {
        Self { prefix, bytes_min: 4, ..Self::new(kinds) }
    }

    pub(crate) fn push(&mut self, text: &str, words: &mut Words) {
        for c in text.chars() {
            if c.is_whitespace() {
                self.end_run(words);
                continue;
            }
            if is_invisible(c) {
                // The attack: words cut by characters that nobody sees.
                words.add_header("text:invisible");
                continue;
            }
            if self.run.len() + c.len_utf8() > RUN_BYTES_MAX {
                self.end_run(words);
            }
            self.run.push(c);
        }
    }

    /// Ends the text: what follows does not continue it.
    pub(crate) fn end(&mut self, words: &mut Words) {
        self.end_run(words);
        self.before = Before::default();
    }

    /// Takes what stands between two blanks apart.
    fn end_run(&mut self, words: &mut Words) {
        let mut run = std::mem::take(&mut self.run);
        if run.bytes().all(|b| b.is_ascii_alphanumeric()) {
            // Most are words as they are.
            run.make_ascii_lowercase();
            std::mem::swap(&mut self.word, &mut run);
            self.end_word(words);
            self.run = run;
            self.run.clear();
            return;
        }
        let mut rest = run.as_str();
        // Links and addresses have their own kinds of words, and are none of the text.
        if let Some((before, link)) = find_link(&run) {
            add_link(link, words);
            rest = before;
        } else if let Some((_, domain)) = run.rsplit_once('@')
            && domain.contains('.')
        {
            add_domain("addr:", domain, words);
        }
        let mut chars = rest.chars().peekable();
        while let Some(c) = chars.next() {
            // An apostrophe between two letters is part of a word.
            let joins = matches!(c, '\'' | '’')
                && !self.word.is_empty()
                && chars.peek().is_some_and(|next| next.is_alphabetic());
            if c.is_ascii_alphanumeric() {
                self.word.push(c.to_ascii_lowercase());
            } else if c.is_alphanumeric() {
                self.word.extend(c.to_lowercase());
            } else if joins {
                self.word.push('\'');
            } else {
                self.end_word(words);
            }
        }
        self.end_word(words);
        self.run = run;
        self.run.clear();
    }

    fn end_word(&mut self, words: &mut Words) {
        if self.word.is_empty() {
            return;
        }
        let word = std::mem::take(&mut self.word);
        if !word.is_ascii() && word.chars().any(is_unspaced) {
            self.add_pairs(&word, words);
        } else if word.len() > WORD_BYTES_MAX {
            words.add_header("text:long-word");
        } else if word.len() >= self.bytes_min && !looks_numeric(&word) && !looks_random(&word) {
            self.add(&word, words);
        }
        self.word = word;
        self.word.clear();
    }

    /// Scripts that write words without blanks between them: every two characters count as one.
    fn add_pairs(&mut self, word: &str, words: &mut Words) {
        let mut last = None;
        for c in word.chars() {
            if let Some(last) = last.replace(c) {
                self.add(&format!("{last}{c}"), words);
            }
        }
    }

    fn add(&mut self, word: &str, words: &mut Words) {
        let Before([last, second]) = &mut self.before;
        let prefix = self.prefix;
        let mut put = |text: &str| {
            if prefix.is_empty() {
                words.add_text(text);
            } else {
                words.add_header(&format!("{prefix}{text}"));
            }
        };
        if self.kinds.onegrams {
            put(word);
        }
        if self.kinds.twograms && !last.is_empty() {
            put(&format!("{last} {word}"));
        }
        if self.kinds.threegrams && !second.is_empty() {
            put(&format!("{second} {last} {word}"));
        }
        std::mem::swap(last, second);
        last.clear();
        last.push_str(word);
    }
}

/// Characters that show nothing: soft hyphen, joiners, marks of direction.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// Letters of scripts that do not put blanks between words.
fn is_unspaced(c: char) -> bool {
    matches!(c,
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}'
        | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}'
        | '\u{20000}'..='\u{323af}')
}

/// Serial numbers and the like: nothing but digits; four digits in a row; or hexadecimal with three.
fn looks_numeric(word: &str) -> bool {
    if !word.bytes().any(|b| b.is_ascii_digit()) {
        return false;
    }
    let word = word.strip_prefix("0x").unwrap_or(word);
    let runs = word.split(|c: char| !c.is_ascii_digit()).map(str::len);
    let longest = runs.max().unwrap_or_default();
    let is_hex = word.bytes().all(|b| b.is_ascii_hexdigit());
    word.bytes().all(|b| b.is_ascii_digit()) || longest >= 4 || is_hex && longest >= 3
}

/// Drawn at random, as far as one can tell: a long row of consonants and digits. Zero and one stand
/// in for letters too often to count.
fn looks_random(word: &str) -> bool {
    let is_hard =
        |b: u8| matches!(b, b'2'..=b'9') || b.is_ascii_lowercase() && !b"aeiou".contains(&b);
    let mut runs = word.as_bytes().chunk_by(|a, b| is_hard(*a) == is_hard(*b));
    word.is_ascii()
        && runs.any(|run| run.len() >= RANDOM_RUN_MIN && run.first().is_some_and(|b| is_hard(*b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Kinds = Kinds { onegrams: true, twograms: true, threegrams: true };

    fn words_of(pieces: &[&str], kinds: Kinds) -> Vec<String> {
        let mut words = Words::default();
        let mut text = TextWords::new(kinds);
        pieces.iter().for_each(|piece| text.push(piece, &mut words));
        text.end(&mut words);
        let mut all: Vec<_> = words.sorted().iter().map(|word| word.text.to_owned()).collect();
        all.sort_unstable();
        all
    }

    #[track_caller]
    fn check(text: &str, want: &[&str]) {
        assert_eq!(words_of(&[text], Kinds::default()), want, "{text:?}");
    }

    #[test]
    fn a_text_is_cut_into_words() {
        // Valid.
        check("Cheap watches, CHEAP!", &["cheap", "watches"]);
        check("naïve Ärger", &["naïve", "ärger"]);
        check("don't 'quote' rock'n'roll", &["don't", "quote", "rock'n'roll"]);
        check("it’s", &["it's"]);
        check("日本語", &["日本", "本語"]);
        check("visit https://a.example/x now", &["now", "url:.example", "url:a.example", "visit"]);
        check(
            "x@mail.example.com",
            &["addr:example.com", "addr:mail.example.com", "com", "example", "mail"],
        );
        // At the edge: three bytes, forty bytes, five consonants, three digits.
        check("abc", &["abc"]);
        check(&"e".repeat(40), &[&"e".repeat(40)]);
        check("angst rhythm", &["angst"]);
        check("a123z", &["a123z"]);
        // Just past it.
        check("ab", &[]);
        check(&"e".repeat(41), &["text:long-word"]);
        check("bcdfgh", &[]);
        check("a1234z 0xa234", &[]);
        check("12345 é", &[]);
        // Never words.
        check("", &[]);
        check("-- ... !!! ''' \u{0}", &[]);
    }

    /// The attack: words cut by what nobody sees.
    #[test]
    fn invisible_characters_do_not_cut_words() {
        check("vi\u{ad}ag\u{200b}ra", &["text:invisible", "viagra"]);
    }

    #[test]
    fn words_stand_with_those_before_them() {
        let want = ["buy", "buy it's", "buy it's now", "it's", "it's now", "now"];
        assert_eq!(words_of(&["Buy 12 it's now"], ALL), want);
        let pairs = Kinds { onegrams: false, twograms: true, threegrams: false };
        assert_eq!(words_of(&["one two six"], pairs), ["one two", "two six"]);
        assert_eq!(words_of(&["one two six"], Kinds { twograms: false, ..pairs }), [""; 0]);
    }

    #[test]
    fn it_does_not_matter_where_pieces_are_cut() {
        let text = "Hello dear http://shop.example/?q=1 friend, don't miss it";
        let whole = words_of(&[text], ALL);
        for at in 0..=text.len() {
            assert_eq!(words_of(&[&text[..at], &text[at..]], ALL), whole, "{at}");
        }
    }

    #[test]
    fn a_text_without_blanks_costs_bounded_memory() {
        let mut words = Words::default();
        let mut text = TextWords::new(ALL);
        for _ in 0..10_000 {
            text.push("http://x.example/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", &mut words);
            assert!(text.run.len() <= RUN_BYTES_MAX && text.word.len() <= RUN_BYTES_MAX);
        }
        text.end(&mut words);
        assert!(words.len() < 100);
    }
}
