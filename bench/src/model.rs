//! What a client of the crash test knows to be in its mailboxes, and the comparison with what is.
//!
//! A change that was not acknowledged when the server died may have happened or not: the model
//! keeps it as a [`Doubt`], and believes the server on that alone.

use std::collections::{BTreeSet, HashMap, HashSet};

use anyhow::{Context as _, Result};
use mox_imap::client::Value;

use crate::imap::Imap;

/// The flags that clients change.
pub(crate) const FLAGS: [&str; 4] = ["\\Seen", "\\Flagged", "\\Answered", "$work"];

/// Where a message is and what is set on it. Flags are bits, by their place in [`FLAGS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The place of the mailbox among those of the client.
    pub(crate) mailbox: usize,
    pub(crate) uid: u32,
    pub(crate) flags: u8,
}

/// A change that was sent and not acknowledged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// This message may be there.
    Added { number: u64 },
    /// These may have these flags instead.
    Flagged { numbers: Vec<u64>, flags: u8 },
    /// These may be in this mailbox.
    Moved { numbers: Vec<u64>, mailbox: usize },
    /// These may be gone.
    Removed { numbers: Vec<u64> },
}

/// All that one client knows.
#[derive(Debug)]
pub(crate) struct Model {
    /// The names of its mailboxes.
    pub(crate) mailboxes: Vec<String>,
    /// Its messages by number.
    pub(crate) known: HashMap<u64, Place>,
    /// What it did last, if it does not know whether it was done.
    pub(crate) doubt: Option<Doubt>,
    /// Whether it may set flags and move; else it only knows that messages are there.
    pub(crate) is_strict: bool,
}

/// What was wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Acknowledged changes that are not there.
    pub(crate) lost: Vec<String>,
    /// Anything that cannot be, such as messages twice.
    pub(crate) damaged: Vec<String>,
}

impl Faults {
    /// Adds those of another client.
    pub(crate) fn extend(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.damaged.extend(other.damaged);
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.damaged.is_empty()
    }
}

impl Model {
    /// A client that knows nothing yet.
    pub(crate) fn new(mailboxes: Vec<String>, is_strict: bool) -> Self {
        Self { mailboxes, known: HashMap::new(), doubt: None, is_strict }
    }

    /// Reads all mailboxes, compares, and believes the server where there was a doubt.
    pub(crate) fn verify(&mut self, session: &mut Imap, strays: &HashSet<u64>) -> Result<Faults> {
        let mut found = HashMap::new();
        let mut faults = Faults::default();
        for (mailbox, name) in self.mailboxes.iter().enumerate() {
            for (number, uid, flags) in list(session, name)? {
                let place = Place { mailbox, uid, flags };
                if let Some(other) = found.insert(number, place) {
                    let fault = format!("message {number} is twice: {other:?} and {place:?}");
                    faults.damaged.push(fault);
                }
            }
        }
        faults.extend(self.compare(&found, strays));
        self.known = found;
        self.doubt = None;
        Ok(faults)
    }

    fn compare(&self, found: &HashMap<u64, Place>, strays: &HashSet<u64>) -> Faults {
        let mut faults = Faults::default();
        for (number, known) in &self.known {
            match found.get(number) {
                Some(place) if self.is_as_known(*number, *known, *place) => {}
                Some(place) => {
                    faults.lost.push(format!("message {number}: {known:?} known, is {place:?}"));
                }
                None if self.may_be_gone(*number) => {}
                None => faults.lost.push(format!("message {number}: {known:?} known, is gone")),
            }
        }
        let may_be_new = |number: &u64| {
            matches!(self.doubt, Some(Doubt::Added { number: doubted }) if doubted == *number)
                || strays.contains(number)
        };
        for (number, place) in found {
            if !self.known.contains_key(number) && !may_be_new(number) {
                faults.damaged.push(format!("message {number} at {place:?} should not be"));
            }
        }
        faults
    }

    fn is_as_known(&self, number: u64, known: Place, found: Place) -> bool {
        if !self.is_strict {
            return known.uid == found.uid || known.uid == 0;
        }
        if known == found {
            return true;
        }
        match &self.doubt {
            Some(Doubt::Flagged { numbers, flags }) => {
                numbers.contains(&number) && found == Place { flags: *flags, ..known }
            }
            Some(Doubt::Moved { numbers, mailbox }) => {
                let moved = Place { mailbox: *mailbox, uid: found.uid, ..known };
                numbers.contains(&number) && found == moved
            }
            _ => false,
        }
    }

    fn may_be_gone(&self, number: u64) -> bool {
        matches!(&self.doubt, Some(Doubt::Removed { numbers }) if numbers.contains(&number))
    }
}

/// Number, UID and flags of all messages of a mailbox.
fn list(session: &mut Imap, mailbox: &str) -> Result<Vec<(u64, u32, u8)>> {
    let mut messages = Vec::new();
    let mut unread = None;
    session.command(&format!("EXAMINE {mailbox}"), |_| ())?;
    let fetch = "UID FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])";
    session.command(fetch, |response| {
        if let Some((_, items)) = response.fetch() {
            match read_items(&items) {
                Some(message) => messages.push(message),
                None => unread = Some(response.text()),
            }
        }
    })?;
    match unread {
        Some(text) => Err(anyhow::anyhow!("not understood: {text}")),
        None => Ok(messages),
    }
}

fn read_items(items: &[Value]) -> Option<(u64, u32, u8)> {
    let (mut number, mut uid, mut flags) = (None, None, None);
    for pair in items.chunks(2) {
        match pair {
            [Value::Atom(name), Value::Atom(value)] if name == b"UID" => {
                uid = std::str::from_utf8(value).ok()?.parse().ok();
            }
            [Value::Atom(name), Value::List(set)] if name == b"FLAGS" => {
                let names: BTreeSet<_> = set.iter().filter_map(atom).collect();
                flags = Some(bits(|flag| names.contains(flag.as_bytes())));
            }
            [_, Value::String(header)] => number = number_of(header),
            _ => {}
        }
    }
    Some((number?, uid?, flags?))
}

fn atom(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Atom(name) => Some(name),
        _ => None,
    }
}

/// The bits of the flags for which this holds.
pub(crate) fn bits(is_set: impl Fn(&str) -> bool) -> u8 {
    let set = FLAGS.iter().enumerate().filter(|(_, flag)| is_set(flag));
    set.fold(0, |bits, (place, _)| bits | 1 << place)
}

/// The number of a generated message, from its Message-ID.
/// The number in a Message-ID.
pub(crate) fn number_of(header: &[u8]) -> Option<u64> {
    let header = std::str::from_utf8(header).ok()?;
    let (_, rest) = header.split_once("<msg-")?;
    rest.split('@').next()?.parse().ok()
}

/// The place of a message that is known to the model.
pub(crate) fn known(model: &mut Model, number: u64) -> Result<&mut Place> {
    model.known.get_mut(&number).context("a message that the client does not know")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Place = Place { mailbox: 0, uid: 7, flags: 1 };

    #[track_caller]
    fn check(doubt: Option<Doubt>, found: &[(u64, Place)], want: (usize, usize)) {
        let mut model = Model::new(vec!["a".to_owned(), "b".to_owned()], true);
        model.known.insert(1, HERE);
        model.doubt = doubt;
        let found = found.iter().copied().collect();
        let faults = model.compare(&found, &HashSet::from([9]));
        assert_eq!((faults.lost.len(), faults.damaged.len()), want, "{faults:?}");
    }

    #[test]
    fn what_is_known_must_be_there() {
        check(None, &[(1, HERE)], (0, 0));
        check(None, &[(1, HERE), (9, HERE)], (0, 0));
        check(None, &[], (1, 0));
        check(None, &[(1, Place { flags: 0, ..HERE })], (1, 0));
        check(None, &[(1, Place { uid: 8, ..HERE })], (1, 0));
        check(None, &[(1, Place { mailbox: 1, ..HERE })], (1, 0));
        check(None, &[(1, HERE), (2, HERE)], (0, 1));
    }

    #[test]
    fn a_doubt_allows_both_and_nothing_else() {
        let added = || Some(Doubt::Added { number: 2 });
        check(added(), &[(1, HERE)], (0, 0));
        check(added(), &[(1, HERE), (2, HERE)], (0, 0));
        check(added(), &[(2, HERE)], (1, 0));
        let flagged = || Some(Doubt::Flagged { numbers: vec![1], flags: 3 });
        check(flagged(), &[(1, HERE)], (0, 0));
        check(flagged(), &[(1, Place { flags: 3, ..HERE })], (0, 0));
        check(flagged(), &[(1, Place { flags: 2, ..HERE })], (1, 0));
        let moved = || Some(Doubt::Moved { numbers: vec![1], mailbox: 1 });
        check(moved(), &[(1, HERE)], (0, 0));
        check(moved(), &[(1, Place { mailbox: 1, uid: 3, ..HERE })], (0, 0));
        check(moved(), &[(1, Place { mailbox: 1, uid: 3, flags: 0 })], (1, 0));
        check(moved(), &[], (1, 0));
        let removed = || Some(Doubt::Removed { numbers: vec![1] });
        check(removed(), &[], (0, 0));
        check(removed(), &[(1, HERE)], (0, 0));
        check(Some(Doubt::Removed { numbers: vec![2] }), &[], (1, 0));
    }

    #[test]
    fn a_fetch_response_is_understood() {
        let text = b"* 2 FETCH (UID 9 FLAGS (\\Recent \\Flagged $work) \
            BODY[HEADER.FIELDS (MESSAGE-ID)] {36}\r\nMessage-ID: <msg-77@fixture.example>)\r\n";
        let mut reader = mox_imap::client::ResponseReader::default();
        reader.feed(text);
        let (_, items) = reader.next_response().unwrap().fetch().unwrap();
        assert_eq!(read_items(&items), Some((77, 9, 0b1010)));
        assert_eq!(read_items(&items[..4]), None);
    }
}
