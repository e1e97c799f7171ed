//! Names of files in a Maildir, and the letters for keywords.
//!
//! `1136214245.x.host:2,FS`: the time of delivery, something unique, and flags after `:2,`: `D`raft,
//! `F`lagged, `P`assed on, `R`eplied, `S`een, `T`rashed. Small letters are keywords, which the file
//! `dovecot-keywords` beside `cur` names.

use mox_base::{Flags, Keyword, UnixSeconds};

use crate::flag_fields::{Word, word_of};

/// Letters for keywords in one folder: `a` to `z`.
pub(crate) const LETTERS_MAX: usize = 26;

/// The file with the names of the keywords.
pub(crate) const KEYWORDS_FILE: &str = "dovecot-keywords";

/// The most of such a file that is read.
pub(crate) const KEYWORDS_FILE_BYTES_MAX: u64 = 64 << 10;

const LETTERS: [(char, Flags); 5] = [
    ('D', Flags::DRAFT),
    ('F', Flags::FLAGGED),
    ('R', Flags::ANSWERED),
    ('S', Flags::SEEN),
    ('T', Flags::DELETED),
];

/// The keywords of a folder by their letter.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Letters([Option<Word>; LETTERS_MAX]);

impl Letters {
    /// Reads the file: a line with number and name for each. Also tells of lines that are no such.
    pub(crate) fn parse(text: &[u8]) -> (Self, Vec<String>) {
        let (mut letters, mut bad) = (Self::default(), Vec::new());
        for line in String::from_utf8_lossy(text).lines().filter(|line| !line.trim().is_empty()) {
            let word = line.split_once(' ').and_then(|(number, name)| {
                let slot = letters.0.get_mut(number.parse::<usize>().ok()?)?;
                let word = word_of(name.trim())?;
                if slot.is_some() { None } else { Some((slot, word)) }
            });
            match word {
                Some((slot, word)) => *slot = Some(word),
                None if bad.len() < LETTERS_MAX => bad.push(line.to_owned()),
                None => {}
            }
        }
        (letters, bad)
    }

    fn word(&self, letter: char) -> Option<&Word> {
        let index = u32::from(letter).checked_sub(u32::from('a'))?;
        self.0.get(usize::try_from(index).ok()?)?.as_ref()
    }
}

/// What the name of a file says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FileName {
    pub(crate) received: Option<UnixSeconds>,
    pub(crate) flags: Flags,
    pub(crate) keywords: Vec<Keyword>,
}

impl FileName {
    /// Reads the name of a message's file. Letters that mean nothing are passed over.
    pub(crate) fn parse(name: &str, letters: &Letters) -> Self {
        // Windows cannot have a colon in a name: programs there put another character.
        let info = [":2,", ";2,", "!2,", "\u{f022}2,"];
        let split = info.iter().find_map(|mark| name.rsplit_once(mark));
        let (base, info) = split.unwrap_or((name, ""));
        let received = match base.split('.').collect::<Vec<_>>().as_slice() {
            [time, _, _, ..] if time.bytes().all(|b| b.is_ascii_digit()) => time.parse().ok(),
            _ => None,
        };
        // Beyond the year 9999 it is no time.
        let received = received.filter(|time| (0..253_402_300_800).contains(time)).map(UnixSeconds);
        let (mut flags, mut keywords) = (Flags::NONE, Vec::new());
        // What follows another comma belongs to other programs.
        for letter in info.split(',').next().unwrap_or_default().chars() {
            if let Some((_, flag)) = LETTERS.iter().find(|(known, _)| *known == letter) {
                flags |= *flag;
            }
            match letters.word(letter) {
                Some(Word::Flag(flag)) => flags |= *flag,
                Some(Word::Keyword(keyword)) => keywords.push(keyword.clone()),
                None => {}
            }
        }
        keywords.sort();
        keywords.dedup();
        Self { received, flags, keywords }
    }
}

/// The letters that an export gives to keywords, in the order in which they are met.
#[derive(Debug, Default)]
pub(crate) struct GivenLetters(Vec<String>);

impl GivenLetters {
    fn letter(&mut self, name: &str) -> Option<char> {
        let index = match self.0.iter().position(|known| known == name) {
            Some(index) => index,
            None if self.0.len() < LETTERS_MAX => {
                self.0.push(name.to_owned());
                self.0.len() - 1
            }
            None => return None,
        };
        u8::try_from(index).ok().map(|index| char::from(b'a' + index))
    }

    /// The file that names them; `None` if there are none.
    pub(crate) fn file(&self) -> Option<String> {
        let lines = self.0.iter().enumerate().map(|(index, name)| format!("{index} {name}\n"));
        (!self.0.is_empty()).then(|| lines.collect())
    }

    /// The letters after `:2,` for a message, and whether there were letters for all of it.
    pub(crate) fn of(&mut self, flags: Flags, keywords: &[Keyword]) -> (String, bool) {
        let known = LETTERS.iter().filter(|(_, flag)| flags.contains(*flag));
        let mut text: String = known.map(|(letter, _)| *letter).collect();
        let mut small = Vec::new();
        let mut is_whole = true;
        let mut names: Vec<&str> = flags.names().filter(|name| name.starts_with('$')).collect();
        names.extend(keywords.iter().map(Keyword::as_str));
        for name in names {
            match self.letter(name) {
                Some(letter) => small.push(letter),
                None => is_whole = false,
            }
        }
        // Maildir wants them sorted.
        small.sort_unstable();
        text.extend(small);
        (text, is_whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, received: Option<i64>, flags: Flags, keywords: &[&str]) {
        let (letters, bad) =
            Letters::parse(b"0 $Forwarded\n1 Work\n25 last\n26 no\n1 again\nx y\n3 \"\n");
        assert_eq!(bad.len(), 4);
        let want = FileName {
            received: received.map(UnixSeconds),
            flags,
            keywords: keywords.iter().map(|word| Keyword::parse(word).unwrap()).collect(),
        };
        assert_eq!(FileName::parse(name, &letters), want, "{name}");
    }

    #[test]
    fn names_tell_time_flags_and_keywords() {
        let all = Flags::DRAFT | Flags::FLAGGED | Flags::ANSWERED | Flags::SEEN | Flags::DELETED;
        check("1136214245.a.b:2,DFPRST", Some(1_136_214_245), all, &[]);
        check(
            "1136214245.M1P2.host,S=5,W=6:2,Sab",
            Some(1_136_214_245),
            Flags::SEEN | Flags::FORWARDED,
            &["work"],
        );
        check("1.a.b:2,z", Some(1), Flags::NONE, &["last"]);
        check("1.a.b;2,S", Some(1), Flags::SEEN, &[]);
        // At the edge: no flags, no time, letters without meaning.
        check("1.a.b", Some(1), Flags::NONE, &[]);
        check("1.a:2,S", None, Flags::SEEN, &[]);
        check("a:2,SXq,S", None, Flags::SEEN, &[]);
        check("", None, Flags::NONE, &[]);
        // Never a time.
        check("+1.a.b", None, Flags::NONE, &[]);
        check("999999999999.a.b", None, Flags::NONE, &[]);
    }

    #[test]
    fn letters_given_are_letters_read() {
        let mut given = GivenLetters::default();
        let words: Vec<Keyword> =
            (0..27).map(|n| Keyword::parse(&format!("w{n:02}")).unwrap()).collect();
        assert_eq!(given.of(Flags::SEEN | Flags::JUNK, &words[..2]), ("Sabc".to_owned(), true));
        assert_eq!(given.of(Flags::NONE, &words[2..25]).0.len(), 23);
        assert_eq!(given.of(Flags::NONE, &words[25..]), (String::new(), false));
        let (letters, bad) = Letters::parse(given.file().unwrap().as_bytes());
        assert_eq!(bad, Vec::<String>::new());
        let read = FileName::parse("1.2.3:2,Sabc", &letters);
        assert_eq!((read.flags, &*read.keywords), (Flags::SEEN | Flags::JUNK, &words[..2]));
        assert_eq!(GivenLetters::default().file(), None);
    }
}
