//! A quiet point: nobody changes anything, so that all views of a mailbox must be the same.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::{Context as _, Result, ensure};

use super::view::FLAGS;
use super::walker::{Kind, Walker};

/// Flags and mod-sequence of each message by UID. The mod-sequence is 0 where it was not asked for.
type Messages = BTreeMap<u32, (u8, u64)>;

/// What sessions saw, by UIDVALIDITY, with who was first.
#[derive(Debug, Default)]
pub(super) struct Seen {
    mailboxes: HashMap<u32, (usize, Messages)>,
}

impl Seen {
    /// Compares with what others saw.
    fn compare(&mut self, who: usize, uidvalidity: u32, messages: Messages) -> Result<()> {
        let Some((other, seen)) = self.mailboxes.get_mut(&uidvalidity) else {
            self.mailboxes.insert(uidvalidity, (who, messages));
            return Ok(());
        };
        let (own, others): (Vec<_>, Vec<_>) = (messages.keys().collect(), seen.keys().collect());
        ensure!(own == others, "session {who} has {own:?}, session {other} {others:?}");
        for (uid, (flags, modseq)) in messages {
            let state = seen.entry(uid).or_default();
            let same = flags == state.0 && (modseq == state.1 || modseq == 0 || state.1 == 0);
            ensure!(same, "UID {uid}: {flags} at {modseq}, session {other} has {state:?}");
            state.1 = state.1.max(modseq);
        }
        Ok(())
    }
}

impl Walker {
    /// Is told the rest, looks at the mailbox, and compares: with what it should know by now, and
    /// with others.
    pub(super) fn quiet(&mut self, seen: impl FnOnce(u32, Messages) -> Result<()>) -> Result<()> {
        self.ok("NOOP", "NOOP")?;
        let Some(before) = self.view.clone() else { return Ok(()) };
        let modseq = if self.kind == Kind::Plain { "" } else { " MODSEQ" };
        let reply = self.text("UID FETCH", &format!("UID FETCH 1:* (UID FLAGS{modseq})"))?;
        if reply.has("NONEXISTENT]") {
            (self.view, self.kept) = (None, None);
            self.ok("UNSELECT", "UNSELECT")?;
            return Ok(());
        }
        let view = self.view.as_ref().context("a mailbox")?;
        let (told, there) = (reply.told.len(), before.messages.len());
        ensure!(told == there && view.messages.len() == there, "{told} of {there} messages told");
        let mut messages = Messages::new();
        for (known, told) in before.messages.iter().zip(&reply.told) {
            let flags = told.flags.context("no FLAGS")?;
            let stale = known.flags.is_some_and(|known| known != flags);
            ensure!(!stale, "nothing waits to be told, but {known:?} is {told:?}");
            messages.insert(told.uid, (flags, told.modseq.unwrap_or_default()));
        }
        let uidvalidity = view.uidvalidity;
        self.quiet_search(&messages)?;
        self.quiet_updates()?;
        seen(uidvalidity, messages)
    }

    /// What SEARCH finds must have the flag, and nothing else may.
    fn quiet_search(&mut self, messages: &Messages) -> Result<()> {
        let bit = self.rng.below(FLAGS.len());
        let flag = FLAGS[bit];
        let key = match flag.strip_prefix('\\') {
            Some(name) => name.to_uppercase(),
            None => format!("KEYWORD {flag}"),
        };
        let reply = self.ok("UID SEARCH", &format!("UID SEARCH {key}"))?;
        let found: HashSet<u32> = reply.found.context("no result")?.into_iter().collect();
        let has = messages.iter().filter(|(_, (flags, _))| flags & (1 << bit) != 0);
        let want: HashSet<u32> = has.map(|(uid, _)| *uid).collect();
        ensure!(found == want, "{key} finds {found:?}, not {want:?}");
        Ok(())
    }

    /// Looks at all mailboxes as a client that knows nothing. Returns the UIDVALIDITY of each.
    pub(super) fn survey(&mut self, seen: &mut Seen) -> Result<HashSet<u32>> {
        let names = self.ok("LIST", "LIST \"\" *")?.names;
        let mut there = HashSet::new();
        for name in names {
            self.name.clone_from(&name);
            self.kept = None;
            self.examine(&name)?;
            let who = self.index;
            self.quiet(|uidvalidity, messages| {
                there.insert(uidvalidity);
                seen.compare(who, uidvalidity, messages)
            })
            .with_context(|| format!("mailbox {name}"))?;
        }
        Ok(there)
    }

    /// The same, for a session in the middle of its work.
    pub(super) fn quiet_among(&mut self, seen: &std::sync::Mutex<Seen>) -> Result<()> {
        let who = self.index;
        self.quiet(|uidvalidity, messages| {
            let mut seen = seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            seen.compare(who, uidvalidity, messages)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_compared() {
        let mut seen = Seen::default();
        let messages = |modseq| Messages::from([(3, (1, modseq)), (5, (0, modseq))]);
        seen.compare(1, 7, messages(0)).unwrap();
        seen.compare(2, 7, messages(9)).unwrap();
        seen.compare(3, 7, messages(9)).unwrap();
        assert!(seen.compare(4, 7, messages(8)).is_err());
        assert!(seen.compare(5, 7, Messages::from([(3, (1, 0))])).is_err());
        assert!(seen.compare(6, 7, Messages::from([(3, (2, 0)), (5, (0, 0))])).is_err());
        seen.compare(7, 8, Messages::new()).unwrap();
    }
}
