//! Results that the server keeps up to date. RFC 5267 §4.3.

use anyhow::{Context as _, Result, bail, ensure};
use mox_imap::client::Value;

use super::walker::{Request, Walker};
use crate::imap::expand;

/// What is kept up to date, without UPDATE: as a fresh search would ask.
const COMMANDS: [(&str, &str); 4] = [
    ("UID SEARCH RETURN (", "ALL) UNSEEN"),
    ("UID SEARCH RETURN (", "ALL) OR DELETED KEYWORD $work"),
    ("UID SORT RETURN (", "ALL) (SIZE) UTF-8 UNFLAGGED"),
    ("UID SORT RETURN (", "ALL) (REVERSE SUBJECT SIZE) UTF-8 ALL"),
];

/// A result as the client has it from what it was told.
#[derive(Clone, Debug, Default)]
pub(super) struct Updates {
    tag: String,
    command: (&'static str, &'static str),
    uids: Vec<u32>,
}

impl Updates {
    /// Takes the data of an ESEARCH response, if it is for this result: all of it, or a change.
    /// Whether it was a change.
    pub(super) fn take(&mut self, rest: &[Value]) -> Result<bool> {
        let [Value::List(correlator), data @ ..] = rest else { return Ok(false) };
        let is_change = data.iter().any(is_change);
        let tag = correlator.get(1).and_then(text).unwrap_or_default();
        if tag != self.tag {
            // That of another command, which is under way; it has no updates.
            ensure!(!is_change, "updates for {tag}, not {}", self.tag);
            return Ok(false);
        }
        ensure!(data.first().and_then(text).as_deref() == Some("UID"), "no UIDs");
        if !is_change {
            self.uids.clear();
        }
        for pair in data.get(1..).unwrap_or_default().chunks(2) {
            let name = pair.first().and_then(text).unwrap_or_default();
            match (&*name, pair.get(1)) {
                ("ALL", Some(all)) => self.uids = set(all)?,
                ("ADDTO" | "REMOVEFROM", Some(Value::List(steps))) => {
                    steps.chunks(2).try_for_each(|step| self.step(&name, step))?;
                }
                _ => bail!("not understood: {name}"),
            }
        }
        Ok(is_change)
    }

    /// RFC 5267 §4.3.2: a place, and what comes or goes there; 0 where there is no order.
    fn step(&mut self, name: &str, step: &[Value]) -> Result<()> {
        let [place, uids] = step else { bail!("a place without messages") };
        let place: usize = text(place).context("a place")?.parse()?;
        let uids = set(uids)?;
        let is_sorted = self.command.0.contains("SORT");
        ensure!((place != 0) == is_sorted, "place {place} in {:?}", self.command);
        let has = |uid: &u32| self.uids.contains(uid);
        if name == "ADDTO" {
            ensure!(!uids.iter().any(has), "{uids:?} again");
            let at = place.saturating_sub(1);
            ensure!(at <= self.uids.len(), "place {place} of {}", self.uids.len());
            self.uids.splice(at..at, uids);
        } else if let Some(at) = place.checked_sub(1) {
            let here = self.uids.get(at..at + uids.len()).unwrap_or_default();
            ensure!(here == uids, "{uids:?} are not at {place}, {here:?} are");
            self.uids.drain(at..at + uids.len());
        } else {
            ensure!(uids.iter().all(has), "{uids:?} are not all there");
            self.uids.retain(|uid| !uids.contains(uid));
        }
        if !is_sorted {
            self.uids.sort_unstable();
        }
        Ok(())
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Atom(text) | Value::String(text) => Some(String::from_utf8_lossy(text).into_owned()),
        _ => None,
    }
}

fn set(value: &Value) -> Result<Vec<u32>> {
    expand(&text(value).context("a set")?).context("a set")
}

fn is_change(value: &Value) -> bool {
    matches!(text(value).as_deref(), Some("ADDTO" | "REMOVEFROM"))
}

impl Walker {
    /// Asks for a result that is kept up to date, or for one no more.
    pub(super) fn updates(&mut self) -> Result<()> {
        let Some(view) = &mut self.view else { return Ok(()) };
        if let Some(updates) = view.updates.take() {
            return self.ok("CANCELUPDATE", &format!("CANCELUPDATE \"{}\"", updates.tag)).map(drop);
        }
        let command = COMMANDS[self.rng.below(COMMANDS.len())];
        let request = format!("{}UPDATE {}", command.0, command.1);
        let request = Request { name: "UPDATE", bytes: request.as_bytes() };
        let (tag, judged) = self.begin(&request)?;
        if let Some(view) = &mut self.view {
            let updates = Updates { tag: tag.clone(), command, uids: Vec::new() };
            view.updates = Some(updates);
        }
        let reply = self.finish(&tag, &judged)?;
        if !reply.is_ok() {
            if let Some(view) = &mut self.view {
                view.updates = None;
            }
            return self.gone_or(&reply);
        }
        Ok(())
    }

    /// What was kept up to date must be what a fresh search finds, in its order.
    pub(super) fn quiet_updates(&mut self) -> Result<()> {
        let updates = self.view.as_ref().and_then(|view| view.updates.clone());
        let Some(Updates { command, uids, .. }) = updates else { return Ok(()) };
        let reply = self.ok("UID SEARCH", &format!("{}{}", command.0, command.1))?;
        let found = reply.found.context("no result")?;
        ensure!(found == uids, "{command:?} finds {found:?}, but was told {uids:?}");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use mox_imap::client::ResponseReader;

    use super::*;

    /// Tells a client, who has UIDs 5, 3 and 9 in this order.
    #[track_caller]
    fn check(is_sorted: bool, line: &str, want: Option<&[u32]>) {
        let command = COMMANDS[if is_sorted { 2 } else { 0 }];
        let mut updates = Updates { tag: "a".to_owned(), command, uids: vec![5, 3, 9] };
        let mut reader = ResponseReader::default();
        reader.feed(format!("* ESEARCH {line}\r\n").as_bytes());
        let values = reader.next_response().unwrap().values().unwrap();
        let taken = updates.take(&values[1..]);
        assert_eq!(taken.is_ok().then_some(&*updates.uids), want, "{line}: {taken:?}");
    }

    /// RFC 5267 §4.3.2.
    #[test]
    fn updates_must_fit() {
        check(true, "(TAG \"a\") UID ALL 7:8", Some(&[7, 8]));
        check(true, "(TAG \"a\") UID", Some(&[]));
        check(true, "(TAG \"b\") UID ALL 7", Some(&[5, 3, 9]));
        check(true, "(TAG \"a\") UID REMOVEFROM (2 3) ADDTO (1 7:8 5 2)", Some(&[7, 8, 5, 9, 2]));
        check(false, "(TAG \"a\") UID REMOVEFROM (0 3,5) ADDTO (0 1)", Some(&[1, 9]));
        check(true, "(TAG \"a\") UID REMOVEFROM (1 3)", None);
        check(true, "(TAG \"a\") UID ADDTO (5 7)", None);
        check(true, "(TAG \"a\") UID ADDTO (0 7)", None);
        check(true, "(TAG \"a\") UID ADDTO (1 9)", None);
        check(false, "(TAG \"a\") UID REMOVEFROM (0 4)", None);
        check(false, "(TAG \"a\") ADDTO (0 4)", None);
        check(false, "(TAG \"b\") UID ADDTO (0 4)", None);
    }
}
