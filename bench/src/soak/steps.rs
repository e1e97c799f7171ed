//! The commands of a session: which comes next, and what its reply must say.

use std::thread;

use anyhow::{Context as _, Result, bail, ensure};

use super::responses::Reply;
use super::view::{DELETED, FLAGS, Known, View, names};
use super::walker::{Kept, Kind, Request, Walker, message};
use crate::imap::uids_of;

/// The mailboxes that always are.
pub(super) const STEADY: [&str; 3] = ["INBOX", "soak-a", "soak-b"];

/// Those that come and go.
const CHANGING: [&str; 4] = ["soak-x", "soak-y", "soak-x/sub", "soak-z"];

/// Nothing is added to a mailbox with this many messages.
const MESSAGES_ENOUGH: u32 = 90;

/// The most messages that a command names one by one.
const NAMED_MAX: usize = 6;

/// Messages a command is about: the set, and the UIDs that are certainly in it.
struct Chosen {
    set: String,
    uids: Vec<u32>,
    by_uid: bool,
}

impl Chosen {
    /// The name of a command on them.
    fn command(&self, name: &'static str, uid_name: &'static str) -> &'static str {
        if self.by_uid { uid_name } else { name }
    }
}

impl Walker {
    /// One command, or a few that belong together.
    pub(super) fn step(&mut self) -> Result<()> {
        if self.idle.is_some() {
            return self.end_idle();
        }
        if self.rng.below(400) == 0 {
            return self.connect();
        }
        if self.view.is_none() {
            return match self.rng.below(10) {
                0..7 => self.select(),
                7 => self.append(),
                8 => self.status(),
                _ => self.mailboxes(),
            };
        }
        match self.rng.below(100) {
            0..20 => self.store(),
            20..36 => self.fetch(),
            36..42 => self.search(),
            42..44 => self.updates(),
            44..53 => self.append(),
            53..56 => self.replace(),
            56..62 => self.copy(),
            62..66 => self.move_some(),
            66..74 => self.expunge(),
            74..80 => self.ok("NOOP", "NOOP").map(drop),
            80..85 => self.begin_idle(),
            85..88 => self.status(),
            88..90 => self.mailboxes(),
            90..92 => self.text_of_some(),
            92..97 => self.select(),
            _ => self.leave(),
        }
    }

    fn pick<T: Copy>(&self, from: &[T]) -> Option<T> {
        (!from.is_empty()).then(|| from[self.rng.below(from.len())])
    }

    fn any_mailbox(&self) -> &'static str {
        let all = if self.rng.below(6) == 0 { &CHANGING[..] } else { &STEADY[..] };
        all[self.rng.below(all.len())]
    }

    /// Keeps a copy for a later QRESYNC, if it is one that a client could trust.
    fn keep(&mut self) {
        let is_whole =
            |view: &View| view.messages.iter().all(|known| known.uid != 0 && known.flags.is_some());
        let view = self.view.take().filter(|view| is_whole(view) && view.trusted > 0);
        if let Some(view) = view.filter(|_| self.kind == Kind::Qresync) {
            self.kept = Some(Kept { name: self.name.clone(), view });
        }
    }

    pub(super) fn select(&mut self) -> Result<()> {
        let had_view = self.view.clone();
        let kept = self.kept.clone().filter(|_| self.rng.below(4) != 0);
        let name = match &kept {
            Some(kept) => kept.name.clone(),
            None => self.any_mailbox().to_owned(),
        };
        let read_only = self.rng.below(6) == 0;
        let command = if read_only { "EXAMINE" } else { "SELECT" };
        let (parameters, has_set) = match &kept {
            Some(kept) => self.qresync(&kept.view),
            None if self.kind == Kind::Condstore => (" (CONDSTORE)".to_owned(), false),
            None => (String::new(), false),
        };
        let reply = self.text(command, &format!("{command} {name}{parameters}"))?;
        // Its changes since the last reply were not told any more.
        self.view = had_view;
        self.keep();
        if !reply.is_ok() {
            self.kept = None;
            return Ok(());
        }
        reply.check_marks_of_select()?;
        let kept = kept.filter(|kept| Some(kept.view.uidvalidity) == reply.uidvalidity);
        let view = selected(&reply, kept.map(|kept| kept.view), has_set, read_only)?;
        for told in &reply.told {
            let (Some(modseq), Some(flags)) = (told.modseq, told.flags) else { continue };
            self.shared.ledger().state(view.uidvalidity, told.uid, modseq, flags)?;
        }
        (self.view, self.name) = (Some(view), name);
        Ok(())
    }

    /// The parameters of a SELECT with QRESYNC, and whether they limit it to the known UIDs.
    fn qresync(&self, view: &View) -> (String, bool) {
        let start = format!("QRESYNC ({} {}", view.uidvalidity, view.trusted);
        let uids = view.uids();
        let (Some(first), Some(last)) = (uids.first(), uids.last()) else {
            return (format!(" ({start}))"), false);
        };
        match self.rng.below(3) {
            0 => (format!(" ({start} {first}:{last}))"), true),
            // RFC 7162 §3.2.5.2: a sample of numbers and UIDs.
            1 => {
                let places = [0, uids.len() / 2, uids.len() - 1];
                let mut places = places.to_vec();
                places.dedup();
                let seqs: Vec<_> = places.iter().map(|place| (place + 1).to_string()).collect();
                let sample: Vec<_> = places.iter().map(|place| uids[*place].to_string()).collect();
                let sample = format!("({} {})", seqs.join(","), sample.join(","));
                (format!(" ({start} {first}:{last} {sample}))"), true)
            }
            _ => (format!(" ({start}))"), false),
        }
    }

    fn leave(&mut self) -> Result<()> {
        let command = if self.rng.below(2) == 0 { "CLOSE" } else { "UNSELECT" };
        self.ok(command, command)?;
        self.keep();
        Ok(())
    }

    fn choose(&self) -> Option<Chosen> {
        let view = self.view.as_ref()?;
        let known: Vec<u32> = view.uids();
        if self.rng.below(2) == 0 || known.is_empty() {
            return self.choose_by_number(view);
        }
        let one = self.pick(&known)?;
        let (set, uids) = match self.rng.below(4) {
            0 => {
                let other = self.pick(&known)?;
                let (low, high) = (one.min(other), one.max(other));
                let within = known.into_iter().filter(|uid| (low..=high).contains(uid));
                (format!("{other}:{one}"), within.collect())
            }
            1 => (format!("{one}:*"), known.into_iter().filter(|uid| *uid >= one).collect()),
            _ => {
                let some = (0..=self.rng.below(NAMED_MAX)).filter_map(|_| self.pick(&known));
                let some: Vec<u32> = some.collect();
                (some.iter().map(u32::to_string).collect::<Vec<_>>().join(","), some)
            }
        };
        Some(Chosen { set, uids, by_uid: true })
    }

    fn choose_by_number(&self, view: &View) -> Option<Chosen> {
        let count = view.messages.len();
        let first = if count == 0 { return None } else { self.rng.below(count) };
        let (set, places) = match self.rng.below(4) {
            0 => ("*".to_owned(), count - 1..count),
            1 => (format!("{}:*", first + 1), first..count),
            _ => {
                let last = (first + self.rng.below(NAMED_MAX)).min(count - 1);
                (format!("{}:{}", last + 1, first + 1), first..last + 1)
            }
        };
        let uids = view.messages.get(places)?.iter().map(|known| known.uid);
        Some(Chosen { set, uids: uids.filter(|uid| *uid != 0).collect(), by_uid: false })
    }

    fn flags(&self) -> u8 {
        let bits = u8::try_from(self.rng.below(1 << FLAGS.len())).unwrap_or_default();
        if self.rng.below(3) == 0 { bits } else { bits & !DELETED }
    }

    fn store(&mut self) -> Result<()> {
        let Some(chosen) = self.choose() else { return Ok(()) };
        let Some(before) = self.view.clone() else { return Ok(()) };
        let (flags, silent) = (self.flags(), self.rng.below(3) == 0);
        let sign = ["", "+", "-"][self.rng.below(3)];
        let since = (self.kind != Kind::Plain && self.rng.below(3) == 0).then(|| {
            let back = u64::try_from(self.rng.below(40)).unwrap_or_default();
            before.highest.saturating_sub(back)
        });
        let after = |old: u8| match sign {
            "+" => old | flags,
            "-" => old & !flags,
            _ => flags,
        };
        let text = format!(
            "{} {}{} {sign}FLAGS{} ({})",
            chosen.command("STORE", "UID STORE"),
            chosen.set,
            since.map_or(String::new(), |since| format!(" (UNCHANGEDSINCE {since})")),
            if silent { ".SILENT" } else { "" },
            names(flags)
        );
        if silent {
            // RFC 9051 §6.4.6: the client works out the new flags itself; what is told counts more.
            self.infer(&chosen.uids, &after, since.is_some());
        }
        let reply = self.text(chosen.command("STORE", "UID STORE"), &text)?;
        if !reply.is_ok() {
            self.infer(&chosen.uids, &after, true);
            return self.gone_or(&reply);
        }
        let modified = self.modified(&reply, &before, chosen.by_uid)?;
        for uid in &chosen.uids {
            let is_there = self.view.as_ref().is_some_and(|view| view.known(*uid).is_some());
            let Some(old) = before.known(*uid).filter(|_| is_there) else { continue };
            let told = reply.told.iter().find(|told| told.uid == *uid && told.flags.is_some());
            if let Some(since) = since.filter(|_| told.is_some()) {
                // RFC 7162 §3.1.3.
                let is_right = old.modseq <= since || modified.contains(uid);
                ensure!(is_right, "{old:?} changed in spite of UNCHANGEDSINCE {since}");
            }
            if modified.contains(uid) {
                // RFC 7162 §3.1.3: whoever loses the race is told what it lost against.
                let at = told.and_then(|told| told.modseq).unwrap_or(u64::MAX);
                ensure!(Some(at) > since, "{uid} in MODIFIED with MODSEQ {at}");
            } else if let Some(told) = told.and_then(|told| told.flags).filter(|_| !silent) {
                ensure!(after(told) == told, "flags {} of {uid} after {text}", names(told));
            }
        }
        Ok(())
    }

    fn infer(&mut self, uids: &[u32], after: &impl Fn(u8) -> u8, is_unsure: bool) {
        for known in self.view.iter_mut().flat_map(|view| &mut view.messages) {
            if uids.contains(&known.uid) || known.uid == 0 {
                known.flags = known.flags.map(after).filter(|_| !is_unsure && known.uid != 0);
                known.is_exact = false;
            }
        }
    }

    /// The UIDs of `[MODIFIED set]`, of a client that knows them.
    fn modified(&self, reply: &Reply, before: &View, by_uid: bool) -> Result<Vec<u32>> {
        if !reply.has("MODIFIED ") {
            return Ok(Vec::new());
        }
        let set = uids_of(&reply.text, "MODIFIED").context("a set in MODIFIED")?;
        if by_uid {
            ensure!(set.iter().all(|uid| before.may_have(*uid)), "MODIFIED: {}", reply.text);
            return Ok(set);
        }
        let uid_of = |seq: &u32| before.messages.get(usize::try_from(*seq).ok()? - 1);
        let uids: Option<Vec<u32>> = set.iter().map(|seq| Some(uid_of(seq)?.uid)).collect();
        uids.context("MODIFIED with a number that is none")
    }

    /// A refusal that is only right if someone deleted the mailbox.
    pub(super) fn gone_or(&mut self, reply: &Reply) -> Result<()> {
        let is_gone = reply.has("NONEXISTENT]") || reply.has("EXPUNGEISSUED]");
        let read_only = self.view.as_ref().is_some_and(|view| view.read_only);
        ensure!(is_gone || read_only, "refused: {}", reply.text);
        if reply.has("NONEXISTENT]") {
            self.ok("UNSELECT", "UNSELECT")?;
            (self.view, self.kept) = (None, None);
        }
        Ok(())
    }

    fn fetch(&mut self) -> Result<()> {
        let Some(chosen) = self.choose() else {
            let reply = self.text("UID FETCH", "UID FETCH 1:* (FLAGS)")?;
            return if reply.is_ok() { Ok(()) } else { self.gone_or(&reply) };
        };
        let header = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]";
        let items = match self.rng.below(6) {
            0 => "(UID)".to_owned(),
            1 => "(FLAGS)".to_owned(),
            2 => format!("(UID FLAGS {header})"),
            3 if self.kind != Kind::Plain => "(UID FLAGS MODSEQ)".to_owned(),
            4 => "FAST".to_owned(),
            _ => "(UID FLAGS ENVELOPE)".to_owned(),
        };
        let since = self.view.as_ref().map(|view| view.trusted).filter(|since| *since > 0);
        let (set, modifier) = match since.filter(|_| self.kind != Kind::Plain) {
            Some(since) if self.rng.below(5) == 0 => {
                let vanished = chosen.by_uid && self.kind == Kind::Qresync;
                let vanished = if vanished { " VANISHED" } else { "" };
                (&chosen.set, format!(" (CHANGEDSINCE {since}{vanished})"))
            }
            _ => (&chosen.set, String::new()),
        };
        let name = chosen.command("FETCH", "UID FETCH");
        let reply = self.text(name, &format!("{name} {set} {items}{modifier}"))?;
        if !reply.is_ok() {
            return self.gone_or(&reply);
        }
        let Some(view) = &self.view else { return Ok(()) };
        // RFC 7162 §3.2.10.1: EARLIER says nothing of what is still there.
        let there = reply.earlier.iter().find(|uid| view.known(**uid).is_some());
        ensure!(there.is_none(), "VANISHED (EARLIER) {there:?} is there");
        let must_tell = modifier.is_empty() && !reply.has("EXPUNGEISSUED]");
        for uid in chosen.uids.iter().filter(|_| must_tell) {
            let told = reply.told.iter().any(|told| told.uid == *uid);
            ensure!(told || view.known(*uid).is_none(), "no answer for UID {uid}");
        }
        Ok(())
    }

    /// Fetches a whole message, or marks some as seen by reading.
    fn text_of_some(&mut self) -> Result<()> {
        let Some(chosen) = self.choose().filter(|chosen| chosen.uids.len() <= NAMED_MAX) else {
            return Ok(());
        };
        let name = chosen.command("FETCH", "UID FETCH");
        let items = if self.rng.below(2) == 0 { "BODY[]" } else { "BODY.PEEK[]" };
        let reply = self.text(name, &format!("{name} {} (UID {items})", chosen.set))?;
        if reply.is_ok() { Ok(()) } else { self.gone_or(&reply) }
    }

    fn search(&mut self) -> Result<()> {
        let (name, uid) =
            if self.rng.below(2) == 0 { ("SEARCH", "") } else { ("UID SEARCH", "UID ") };
        let options = if self.rng.below(3) == 0 { " RETURN (ALL COUNT)" } else { "" };
        let key = ["ALL", "DELETED", "UNSEEN FLAGGED", "KEYWORD $work", "SUBJECT \"#1\"", "1:*"];
        let key = key[self.rng.below(key.len())];
        let Some(view) = self.view.clone() else { return Ok(()) };
        if key == "1:*" && view.messages.is_empty() {
            return Ok(());
        }
        let reply = self.text(name, &format!("{uid}SEARCH{options} {key}"))?;
        if !reply.is_ok() {
            return self.gone_or(&reply);
        }
        let found = reply.found.as_ref().context("no result")?;
        for number in found {
            let is_right = match uid {
                "" => (1..=view.count()).contains(number),
                _ => view.may_have(*number),
            };
            ensure!(is_right, "found {number} of {}", view.count());
        }
        let all = key == "ALL" && !reply.text.contains("EXPUNGEISSUED");
        ensure!(!all || found.len() == view.messages.len(), "{} of ALL", found.len());
        Ok(())
    }

    fn append(&mut self) -> Result<()> {
        if self.view.as_ref().is_some_and(|view| view.count() >= MESSAGES_ENOUGH) {
            return self.expunge();
        }
        let name = match &self.view {
            Some(_) if self.rng.below(2) == 0 => self.name.clone(),
            _ => self.any_mailbox().to_owned(),
        };
        let numbers: Vec<u64> =
            (0..=self.rng.below(8) / 7).map(|_| self.shared.next_number()).collect();
        let mut command = format!("APPEND {name}").into_bytes();
        for number in &numbers {
            let (text, flags) = (message(*number), names(self.flags() & !DELETED));
            command.extend(format!(" ({flags}) {{{}+}}\r\n", text.len()).bytes());
            command.extend(text);
        }
        let reply = self.run(&Request { name: "APPEND", bytes: &command })?;
        if !reply.is_ok() {
            ensure!(reply.has("TRYCREATE]"), "refused: {}", reply.text);
            return Ok(());
        }
        let uids = uids_of(&reply.text, "APPENDUID").context("no APPENDUID")?;
        let (_, rest) = reply.text.split_once("[APPENDUID ").context("no APPENDUID")?;
        let uidvalidity = rest.split(' ').next().context("no UIDVALIDITY")?.parse()?;
        ensure!(uids.len() == numbers.len(), "{} UIDs", uids.len());
        for (uid, number) in uids.iter().zip(&numbers) {
            self.shared.ledger().number(uidvalidity, *uid, *number)?;
        }
        Ok(())
    }

    /// RFC 8508 §3.4: the new message comes and the old one goes, or neither.
    fn replace(&mut self) -> Result<()> {
        let Some(uid) = self.view.as_ref().and_then(|view| self.pick(&view.uids())) else {
            return Ok(());
        };
        let (to, number) = (self.any_mailbox(), self.shared.next_number());
        let (text, flags) = (message(number), names(self.flags() & !DELETED));
        let start = format!("UID REPLACE {uid} {to} ({flags}) {{{}+}}\r\n", text.len());
        let bytes = [start.into_bytes(), text].concat();
        let reply = self.run(&Request { name: "UID REPLACE", bytes: &bytes })?;
        if !reply.is_ok() {
            let known = ["has been expunged", "read-only", "no such message", "[TRYCREATE]"];
            let is_known = known.iter().any(|why| reply.text.contains(why));
            return if is_known { Ok(()) } else { self.gone_or(&reply) };
        }
        let (uidvalidity, new) = reply.appended.context("no APPENDUID")?;
        self.shared.ledger().number(uidvalidity, new, number)?;
        let view = self.view.as_ref().context("a mailbox")?;
        ensure!(view.known(uid).is_none(), "{uid} was replaced and is there");
        Ok(())
    }

    fn copy(&mut self) -> Result<()> {
        let Some(chosen) = self.choose().filter(|chosen| chosen.uids.len() <= NAMED_MAX) else {
            return Ok(());
        };
        let name = chosen.command("COPY", "UID COPY");
        let to = self.any_mailbox();
        let before = self.view.clone();
        let reply = self.text(name, &format!("{name} {} {to}", chosen.set))?;
        if !reply.is_ok() {
            return self.not_copied(&reply);
        }
        self.check_copied(&reply, before.as_ref()).map(drop)
    }

    fn move_some(&mut self) -> Result<()> {
        let Some(chosen) = self.choose().filter(|chosen| chosen.uids.len() <= NAMED_MAX) else {
            return Ok(());
        };
        let name = chosen.command("MOVE", "UID MOVE");
        let to = self.any_mailbox();
        let before = self.view.clone();
        let reply = self.text(name, &format!("{name} {} {to}", chosen.set))?;
        if !reply.is_ok() {
            return self.not_copied(&reply);
        }
        let moved = self.check_copied(&reply, before.as_ref())?;
        let view = self.view.as_ref().context("a mailbox")?;
        let here = moved.iter().find(|uid| view.known(**uid).is_some());
        ensure!(here.is_none(), "{here:?} was moved and is there");
        Ok(())
    }

    /// A missing target, no target at all, or the mailbox itself.
    fn not_copied(&mut self, reply: &Reply) -> Result<()> {
        let none = reply.text.contains("no matching messages") || reply.text.contains("selected");
        if none || reply.has("TRYCREATE]") { Ok(()) } else { self.gone_or(reply) }
    }

    /// RFC 4315 §3. Returns the UIDs that were copied.
    fn check_copied(&self, reply: &Reply, before: Option<&View>) -> Result<Vec<u32>> {
        // All of them were gone already.
        if reply.copied.is_none() && reply.text.contains("no matching messages") {
            return Ok(Vec::new());
        }
        let copied = reply.copied.as_ref().context("no COPYUID")?;
        let before = before.context("a mailbox")?;
        let mut ledger = self.shared.ledger();
        for (from, to) in copied.from.iter().zip(&copied.to) {
            ensure!(before.may_have(*from), "COPYUID from {from}, which is not known");
            if let Some(number) = ledger.number_of(before.uidvalidity, *from) {
                ledger.number(copied.uidvalidity, *to, number)?;
            }
        }
        ensure!(copied.to.is_sorted_by(|a, b| a < b), "UIDs of COPYUID do not ascend");
        Ok(copied.from.clone())
    }

    fn expunge(&mut self) -> Result<()> {
        let Some(view) = &self.view else { return Ok(()) };
        if view.read_only {
            return Ok(());
        }
        let Some(chosen) = self.choose().filter(|chosen| chosen.by_uid) else {
            let reply = self.text("EXPUNGE", "EXPUNGE")?;
            return if reply.is_ok() { Ok(()) } else { self.gone_or(&reply) };
        };
        let command = format!("UID STORE {} +FLAGS (\\Deleted)", chosen.set);
        let reply = self.text("UID STORE", &command)?;
        if !reply.is_ok() {
            return self.gone_or(&reply);
        }
        let reply = self.text("UID EXPUNGE", &format!("UID EXPUNGE {}", chosen.set))?;
        if reply.is_ok() { Ok(()) } else { self.gone_or(&reply) }
    }

    fn begin_idle(&mut self) -> Result<()> {
        let (tag, command) = self.begin(&Request { name: "IDLE", bytes: b"IDLE" })?;
        self.continued(&command)?;
        self.idle = Some((tag, command));
        Ok(())
    }

    /// DONE, and what came in the meantime.
    pub(super) fn end_idle(&mut self) -> Result<()> {
        let Some((tag, command)) = self.idle.take() else { return Ok(()) };
        thread::sleep(self.idle_time);
        self.send_raw(b"DONE\r\n")?;
        let reply = self.finish(&tag, &command)?;
        ensure!(reply.is_ok(), "IDLE: {}", reply.text);
        Ok(())
    }

    fn status(&mut self) -> Result<()> {
        let name = self.any_mailbox();
        let items = "MESSAGES UIDNEXT UIDVALIDITY UNSEEN";
        let modseq = if self.kind == Kind::Plain { "" } else { " HIGHESTMODSEQ" };
        let reply = self.text("STATUS", &format!("STATUS {name} ({items}{modseq})"))?;
        ensure!(reply.is_ok() || reply.has("NONEXISTENT]"), "refused: {}", reply.text);
        Ok(())
    }

    /// Looks at the mailboxes or changes them. Nearly everything may be refused there.
    fn mailboxes(&mut self) -> Result<()> {
        let one = CHANGING[self.rng.below(CHANGING.len())];
        let other = CHANGING[self.rng.below(CHANGING.len())];
        let (name, text) = match self.rng.below(8) {
            0..3 => ("LIST", "LIST \"\" *".to_owned()),
            3 => ("LSUB", "LSUB \"\" *".to_owned()),
            4 => ("CREATE", format!("CREATE {one}")),
            5 => ("DELETE", format!("DELETE {one}")),
            6 => ("RENAME", format!("RENAME {one} {other}")),
            _ => ("CREATE", format!("CREATE {other}")),
        };
        let reply = self.text(name, &text)?;
        ensure!(reply.is_ok() || !matches!(name, "LIST" | "LSUB"), "refused: {}", reply.text);
        if name == "LIST" {
            let missing = STEADY
                .iter()
                .find(|name| !reply.names.iter().any(|n| n.eq_ignore_ascii_case(name)));
            ensure!(missing.is_none(), "{missing:?} is not listed");
        }
        Ok(())
    }
}

/// The view after SELECT: everything new, or the kept copy brought up to date.
fn selected(reply: &Reply, kept: Option<View>, has_set: bool, read_only: bool) -> Result<View> {
    let count = reply.exists.context("no EXISTS")?;
    let highest = reply.highest.unwrap_or_default();
    let mut view = View {
        uidvalidity: reply.uidvalidity.context("no UIDVALIDITY")?,
        uidnext: reply.uidnext.context("no UIDNEXT")?,
        read_only,
        highest,
        trusted: highest,
        ..View::default()
    };
    let Some(kept) = kept else {
        ensure!(reply.earlier.is_empty(), "VANISHED (EARLIER) without QRESYNC");
        view.exists(count)?;
        view.messages.iter_mut().for_each(|known| known.is_new = false);
        return Ok(view);
    };
    let mut messages = kept.messages;
    messages.iter_mut().for_each(|known| known.is_new = false);
    let new_from = kept.uidnext.max(messages.last().map_or(0, |known| known.uid + 1));
    messages.retain(|known| !reply.earlier.contains(&known.uid));
    for told in &reply.told {
        ensure!(told.uid != 0 && told.flags.is_some(), "too little with QRESYNC: {told:?}");
        ensure!(!reply.earlier.contains(&told.uid), "UID {} is there and vanished", told.uid);
        let modseq = told.modseq.context("no MODSEQ")?;
        // RFC 7162 §3.1.2.1.
        ensure!(modseq <= highest, "MODSEQ {modseq} above HIGHESTMODSEQ {highest}");
        let known =
            Known { uid: told.uid, flags: told.flags, modseq, is_exact: true, ..Known::default() };
        match messages.binary_search_by_key(&told.uid, |known| known.uid) {
            Ok(place) => messages[place] = known,
            Err(place) => {
                ensure!(told.uid >= new_from, "UID {} is new, below {new_from}", told.uid);
                messages.insert(place, known);
            }
        }
    }
    let is_complete = usize::try_from(count)? == messages.len();
    let may_lack = has_set && usize::try_from(count)? >= messages.len();
    ensure!(is_complete || may_lack, "{count} messages, {} after QRESYNC", messages.len());
    messages.resize(usize::try_from(count)?, Known::default());
    for told in &reply.told {
        let here = messages.get(usize::try_from(told.seq)? - 1).map(|known| known.uid);
        ensure!(here == Some(told.uid), "message {} is {here:?} and {}", told.seq, told.uid);
    }
    view.messages = messages;
    Ok(view)
}

impl Reply {
    fn check_marks_of_select(&self) -> Result<()> {
        match (self.uidvalidity, self.uidnext, self.highest, self.exists) {
            (Some(_), Some(_), Some(_), Some(_)) => Ok(()),
            _ => bail!("SELECT says too little: {}", self.text),
        }
    }
}

impl Walker {
    /// Opens a mailbox to look only.
    pub(super) fn examine(&mut self, name: &str) -> Result<()> {
        self.view = None;
        let reply = self.ok("EXAMINE", &format!("EXAMINE \"{name}\""))?;
        reply.check_marks_of_select()?;
        self.view = Some(selected(&reply, None, false, true)?);
        Ok(())
    }
}
