//! What the responses to one command said, besides what they changed in the view.

use std::collections::HashMap;

use anyhow::{Context as _, Result, bail, ensure};
use mox_imap::client::{Response, Value};

use super::ledger::{Ledger, Mark};
use super::view::{Told, View, bits};
use crate::imap::expand;

/// What a session has to know of its command to judge the responses.
#[derive(Clone, Debug, Default)]
pub(super) struct Command {
    /// Counts the commands of the session.
    pub(super) number: u64,
    /// RFC 9051 §7.5.1: message numbers must stay as they are.
    pub(super) keeps_numbers: bool,
    /// A mailbox is selected: what comes after the old one is closed is about the new one.
    pub(super) selects: bool,
    /// The mailbox is left: what still waits to be told of it is not told any more.
    pub(super) leaves: bool,
    /// The session has said that it knows CONDSTORE or QRESYNC.
    pub(super) condstore: bool,
    pub(super) qresync: bool,
    /// A FETCH response may be what was asked for, which need not have everything.
    pub(super) fetches: bool,
    /// What mailboxes had reached before.
    pub(super) marks: HashMap<u32, Mark>,
}

/// The set of `[COPYUID …]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CopyUid {
    pub(super) uidvalidity: u32,
    pub(super) from: Vec<u32>,
    pub(super) to: Vec<u32>,
}

/// All of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Reply {
    /// The tagged response without its tag.
    pub(super) text: String,
    pub(super) told: Vec<Told>,
    /// VANISHED (EARLIER).
    pub(super) earlier: Vec<u32>,
    pub(super) exists: Option<u32>,
    pub(super) uidvalidity: Option<u32>,
    pub(super) uidnext: Option<u32>,
    pub(super) highest: Option<u64>,
    pub(super) copied: Option<CopyUid>,
    /// UID validity and UID of the one message of `[APPENDUID …]`.
    pub(super) appended: Option<(u32, u32)>,
    /// Of SEARCH and ESEARCH.
    pub(super) found: Option<Vec<u32>>,
    /// Of LIST.
    pub(super) names: Vec<String>,
    /// `[CLOSED]` came: what follows is about the mailbox being selected.
    pub(super) is_closed: bool,
}

impl Reply {
    pub(super) fn is_ok(&self) -> bool {
        self.text.starts_with("OK")
    }

    pub(super) fn has(&self, code: &str) -> bool {
        self.text.contains(&format!("[{code}"))
    }

    /// Reads the codes of a status response. RFC 9051 §7.1.
    pub(super) fn codes(&mut self, text: &str) -> Result<()> {
        let number = |code: &str| {
            let (_, rest) = text.split_once(&format!("[{code} "))?;
            rest.split([']', ' ']).next()?.parse::<u64>().ok()
        };
        self.is_closed |= text.starts_with("OK [CLOSED]");
        self.uidvalidity =
            number("UIDVALIDITY").map(u32::try_from).transpose()?.or(self.uidvalidity);
        self.uidnext = number("UIDNEXT").map(u32::try_from).transpose()?.or(self.uidnext);
        self.highest = number("HIGHESTMODSEQ").or(self.highest);
        if let Some((_, rest)) = text.split_once("[APPENDUID ") {
            let inside = rest.split(']').next().unwrap_or_default();
            let (uidvalidity, uid) = inside.split_once(' ').context("not understood")?;
            self.appended = uid.parse().ok().zip(uidvalidity.parse().ok()).map(|(u, v)| (v, u));
        }
        if let Some((_, rest)) = text.split_once("[COPYUID ") {
            let inside = rest.split(']').next().unwrap_or_default();
            let [uidvalidity, from, to] = inside.split(' ').collect::<Vec<_>>()[..] else {
                bail!("not understood: {text}");
            };
            let set = |text| expand(text).with_context(|| format!("not a set: {text}"));
            let (from, to) = (set(from)?, set(to)?);
            // RFC 4315 §3: as many on both sides.
            ensure!(from.len() == to.len(), "sets of different sizes: {text}");
            self.copied = Some(CopyUid { uidvalidity: uidvalidity.parse()?, from, to });
        }
        Ok(())
    }

    /// Takes an untagged response: checks it, changes the view, and keeps what it says.
    pub(super) fn take(
        &mut self,
        response: &Response<'_>,
        command: &Command,
        view: &mut Option<View>,
        ledger: &mut Ledger,
    ) -> Result<()> {
        let word = response.rest().split(|byte| *byte == b' ').next().unwrap_or_default();
        if [&b"OK"[..], b"NO", b"BAD", b"BYE", b"PREAUTH"].contains(&word) {
            self.codes(&String::from_utf8_lossy(response.rest()))?;
            ensure!(word != b"BYE" && word != b"BAD", "the server gives up");
            if self.is_closed && command.selects {
                *view = None;
            }
            if let Some(view) = view.as_mut().filter(|_| response.text().contains("[NOUPDATE ")) {
                // The mailbox is gone, and with it what there was to find.
                view.updates = None;
            }
            return Ok(());
        }
        let values = response.values().context("not response data")?;
        match &values[..] {
            [Value::Atom(number), Value::Atom(word)] if is_number(number) => {
                self.numbered(parse(number)?, word, command, view.as_mut())
            }
            [Value::Atom(seq), Value::Atom(word), Value::List(items)] if word == b"FETCH" => {
                let told = told(parse(seq)?, items)?;
                self.fetch(told, command, view.as_mut(), ledger)
            }
            [Value::Atom(word), Value::Atom(set)] if word == b"VANISHED" => {
                ensure!(command.qresync, "VANISHED without QRESYNC");
                ensure!(!command.keeps_numbers, "VANISHED where numbers are in use");
                let uids = expand(&String::from_utf8_lossy(set)).context("a set of UIDs")?;
                view.as_mut().context("VANISHED without a mailbox")?.vanished(&uids)
            }
            [Value::Atom(word), Value::List(_), Value::Atom(set)] if word == b"VANISHED" => {
                ensure!(command.qresync, "VANISHED without QRESYNC");
                let uids = expand(&String::from_utf8_lossy(set)).context("a set of UIDs")?;
                self.earlier.extend(uids);
                Ok(())
            }
            [Value::Atom(word), rest @ ..] => {
                if let Some(updates) = view.as_mut().and_then(|view| view.updates.as_mut())
                    && word == b"ESEARCH"
                    && updates.take(rest)?
                {
                    return Ok(());
                }
                self.named(word, rest)
            }
            _ => bail!("not understood"),
        }
    }

    fn numbered(
        &mut self,
        number: u32,
        word: &[u8],
        command: &Command,
        view: Option<&mut View>,
    ) -> Result<()> {
        match (word, view) {
            (b"EXISTS", Some(view)) => view.exists(number),
            (b"EXISTS", None) => {
                ensure!(command.selects, "EXISTS without a mailbox");
                self.exists = Some(number);
                Ok(())
            }
            (b"EXPUNGE", Some(view)) => {
                // RFC 7162 §3.2.10: VANISHED takes its place.
                ensure!(!command.qresync, "EXPUNGE with QRESYNC");
                ensure!(!command.keeps_numbers, "EXPUNGE where numbers are in use");
                view.expunge(number)
            }
            (b"RECENT", _) => Ok(()),
            _ => bail!("no such response here"),
        }
    }

    fn fetch(
        &mut self,
        mut told: Told,
        command: &Command,
        view: Option<&mut View>,
        ledger: &mut Ledger,
    ) -> Result<()> {
        // RFC 7162 §3.1: with flags told by the server's own will comes the mod-sequence.
        let needs_modseq = command.condstore && told.flags.is_some() && !command.fetches;
        ensure!(told.modseq.is_some() || !needs_modseq, "flags without MODSEQ");
        // RFC 7162 §3.2.3: with QRESYNC the UID is in each.
        ensure!(told.uid != 0 || !command.qresync, "no UID, with QRESYNC");
        if let Some(view) = view {
            view.fetch(&mut told, command.number)?;
            if let (Some(modseq), Some(flags)) = (told.modseq, told.flags) {
                ledger.state(view.uidvalidity, told.uid, modseq, flags)?;
            }
        } else {
            ensure!(command.selects, "FETCH without a mailbox");
        }
        self.told.push(told);
        Ok(())
    }

    fn named(&mut self, word: &[u8], rest: &[Value]) -> Result<()> {
        match word {
            b"SEARCH" => {
                // `(MODSEQ n)` may follow the numbers. RFC 7162 §3.1.5.
                let numbers = rest.iter().filter_map(|value| match value {
                    Value::Atom(number) => Some(parse(number)),
                    _ => None,
                });
                self.found = Some(numbers.collect::<Result<_>>()?);
            }
            b"ESEARCH" => {
                let all = rest.iter().skip_while(|v| **v != Value::Atom(b"ALL".to_vec())).nth(1);
                self.found = Some(match all {
                    Some(Value::Atom(set)) => {
                        expand(&String::from_utf8_lossy(set)).context("a set")?
                    }
                    _ => Vec::new(),
                });
            }
            b"LIST" | b"LSUB" => {
                if let Some(Value::Atom(name) | Value::String(name)) = rest.get(2) {
                    self.names.push(String::from_utf8_lossy(name).into_owned());
                }
            }
            b"STATUS" => self.status(rest)?,
            // It may name flags that no message has.
            b"FLAGS" => ensure!(matches!(rest, [Value::List(_)]), "not a list of flags"),
            b"CAPABILITY" | b"ENABLED" | b"ID" | b"NAMESPACE" => {}
            _ => bail!("not understood"),
        }
        Ok(())
    }

    fn status(&mut self, rest: &[Value]) -> Result<()> {
        let Some(Value::List(items)) = rest.get(1) else { bail!("no items") };
        for pair in items.chunks(2) {
            let [Value::Atom(name), Value::Atom(value)] = pair else { bail!("not understood") };
            match &name[..] {
                b"UIDVALIDITY" => self.uidvalidity = Some(parse(value)?),
                b"UIDNEXT" => self.uidnext = Some(parse(value)?),
                b"MESSAGES" => self.exists = Some(parse(value)?),
                b"HIGHESTMODSEQ" => self.highest = Some(number(value)?),
                _ => {}
            }
        }
        Ok(())
    }

    /// RFC 9051 §2.3.1.1, RFC 7162 §3.1.2: what was told of a mailbox before does not go back.
    pub(super) fn check_marks(&self, command: &Command) -> Result<()> {
        let mark = self.uidvalidity.and_then(|uidvalidity| command.marks.get(&uidvalidity));
        let Some(mark) = mark else { return Ok(()) };
        let uidnext = self.uidnext.unwrap_or(u32::MAX);
        ensure!(uidnext >= mark.uidnext, "UIDNEXT {uidnext} after {mark:?}");
        let highest = self.highest.unwrap_or(u64::MAX);
        ensure!(highest >= mark.modseq, "HIGHESTMODSEQ {highest} after {mark:?}");
        Ok(())
    }
}

fn is_number(atom: &[u8]) -> bool {
    !atom.is_empty() && atom.iter().all(u8::is_ascii_digit)
}

fn number(atom: &[u8]) -> Result<u64> {
    Ok(std::str::from_utf8(atom)?.parse()?)
}

fn parse(atom: &[u8]) -> Result<u32> {
    Ok(u32::try_from(number(atom)?)?)
}

fn atom(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Atom(name) => Some(name),
        _ => None,
    }
}

fn told(seq: u32, items: &[Value]) -> Result<Told> {
    let mut told = Told { seq, ..Told::default() };
    for pair in items.chunks(2) {
        match pair {
            [Value::Atom(name), Value::Atom(value)] if name == b"UID" => told.uid = parse(value)?,
            [Value::Atom(name), Value::List(flags)] if name == b"FLAGS" => {
                told.flags = Some(bits(flags.iter().filter_map(atom))?);
            }
            [Value::Atom(name), Value::List(values)] if name == b"MODSEQ" => {
                let value = values.first().and_then(atom).context("a mod-sequence")?;
                told.modseq = Some(number(value)?);
            }
            [Value::Atom(name), Value::String(text)] if name.starts_with(b"BODY[") => {
                told.text = Some(text.clone());
            }
            [Value::Atom(_), _] => {}
            _ => bail!("items without values"),
        }
    }
    Ok(told)
}

#[cfg(test)]
mod tests {
    use mox_imap::client::ResponseReader;

    use super::*;

    /// What is said to a session that has two messages, 5 and one it was not told, selected.
    #[track_caller]
    fn check(text: &str, command: &Command, is_right: bool) -> Reply {
        let mut reader = ResponseReader::default();
        reader.feed(format!("{text}\r\n").as_bytes());
        let (mut reply, mut ledger) = (Reply::default(), Ledger::default());
        let mut view = View { uidvalidity: 1, uidnext: 5, ..View::default() };
        view.exists(2).unwrap();
        view.fetch(&mut Told { seq: 1, uid: 5, ..Told::default() }, 1).unwrap();
        let response = reader.next_response().unwrap();
        let taken = reply.take(&response, command, &mut Some(view), &mut ledger);
        assert_eq!(taken.is_ok(), is_right, "{text}: {taken:?}");
        reply
    }

    /// RFC 9051 §7.5.1, RFC 7162 §3.2.10.
    #[test]
    fn messages_do_not_go_at_the_wrong_time() {
        let plain = Command::default();
        let frozen = Command { keeps_numbers: true, ..Command::default() };
        let qresync = Command { qresync: true, condstore: true, ..Command::default() };
        check("* 2 EXPUNGE", &plain, true);
        check("* 3 EXPUNGE", &plain, false);
        check("* 2 EXPUNGE", &frozen, false);
        check("* 2 EXPUNGE", &qresync, false);
        check("* VANISHED 5", &qresync, true);
        check("* VANISHED 4", &qresync, false);
        check("* VANISHED 5", &plain, false);
        check("* VANISHED 5", &Command { keeps_numbers: true, ..qresync.clone() }, false);
        assert_eq!(check("* VANISHED (EARLIER) 1:3", &qresync, true).earlier, [1, 2, 3]);
        check("* 1 EXISTS", &plain, false);
        check("* 2 EXISTS", &frozen, true);
        check("* BYE", &plain, false);
        check("* WHAT", &plain, false);
    }

    /// RFC 7162 §3.1, RFC 7162 §3.2.3.
    #[test]
    fn a_fetch_says_enough() {
        let condstore = Command { condstore: true, ..Command::default() };
        let fetches = Command { fetches: true, ..condstore.clone() };
        check("* 1 FETCH (FLAGS (\\Seen))", &Command::default(), true);
        check("* 1 FETCH (FLAGS (\\Seen))", &condstore, false);
        check("* 1 FETCH (FLAGS (\\Seen))", &fetches, true);
        check("* 1 FETCH (FLAGS (\\Seen))", &Command { qresync: true, ..fetches }, false);
        check("* 1 FETCH (UID 5 FLAGS ($never))", &Command::default(), false);
        let reply = check("* 1 FETCH (UID 5 FLAGS ($work) MODSEQ (9))", &condstore, true);
        assert_eq!((reply.told[0].flags, reply.told[0].modseq), (Some(32), Some(9)));
    }

    /// RFC 9051 §7.1.
    #[test]
    fn codes_are_read() {
        let mut reply = Reply::default();
        reply.codes("OK [UIDVALIDITY 7] x").unwrap();
        reply.codes("OK [HIGHESTMODSEQ 9] x").unwrap();
        reply.codes("OK [COPYUID 3 1:2 8,9] x").unwrap();
        assert_eq!((reply.uidvalidity, reply.highest), (Some(7), Some(9)));
        assert_eq!(reply.copied.as_ref().unwrap().to, [8, 9]);
        reply.codes("OK [APPENDUID 3 8] x").unwrap();
        assert_eq!(reply.appended, Some((3, 8)));
        assert!(reply.codes("OK [COPYUID 3 1:2 8] x").is_err());
        let mark = Mark { modseq: 10, uidnext: 1 };
        let command = Command { marks: HashMap::from([(7, mark)]), ..Command::default() };
        assert!(reply.check_marks(&command).is_err());
        reply.highest = Some(10);
        assert!(reply.check_marks(&command).is_ok());
    }
}
