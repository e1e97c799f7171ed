//! The commands that mend what the store derives from messages.

use mox_base::{Flags, Keyword, MailboxName, UnixSeconds, ZonedTime};
use mox_net::blocking;
use mox_store::{Destination, NewMessage, Repair, StoreError};
use serde::{Deserialize, Serialize};
use tempfile::spooled_tempfile_in;
use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{CommandError, Handler};
use super::deliver::SPOOL_BYTES;
use super::parameters::{json, number, unless_empty};
use super::wire::{DATA_BYTES_MAX, Wire};
use crate::data_dir::TEMPORARY;

/// The commands that go step by step, with what they mend.
const STEPS: [(&str, Repair); 4] = [
    ("reparse", Repair::Parse),
    ("ensureparsed", Repair::ParseBroken),
    ("fixmsgsize", Repair::Sizes),
    ("reassignthreads", Repair::Threads),
];

/// All commands here.
pub(super) const COMMANDS: &[&str] = &[
    "reparse",
    "ensureparsed",
    "fixmsgsize",
    "reassignthreads",
    "recalculatemailboxcounts",
    "bumpuidvalidity",
    "fixuidmeta",
    "reassignuids",
    "append",
];

/// What a client knows of a message that it adds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Appended {
    /// The bits of the flags.
    pub flags: u16,
    /// The keywords.
    pub keywords: Vec<String>,
    /// When it was received, in Unix seconds.
    pub received: i64,
    /// In which zone it was told, in minutes east of UTC; a client of before may leave it out.
    #[serde(default)]
    pub zone_minutes: i16,
}

impl Handler {
    pub(super) async fn repair<S>(
        &self,
        wire: &mut Wire<S>,
        command: &str,
    ) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if let Some((_, what)) = STEPS.iter().find(|(word, _)| *word == command) {
            return self.repair_step(wire, *what).await;
        }
        match command {
            "recalculatemailboxcounts" => self.recount(wire).await,
            "bumpuidvalidity" => self.bump_uidvalidity(wire).await,
            "fixuidmeta" => self.fix_numbers(wire).await,
            "append" => self.append(wire).await,
            _ => self.reassign_uids(wire).await,
        }
    }

    /// Parameters: account, or nothing for all; the account and the number of the last answer, at first
    /// nothing and 0. Mends some messages. Answers with a line: messages looked at, changed, that
    /// cannot be read, the number, and the account to go on with, which is empty if all is done.
    async fn repair_step<S>(&self, wire: &mut Wire<S>, what: Repair) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let mut names = self.accounts(wire.parameter().await?);
        names.sort();
        let current = wire.parameter().await?;
        let after = number(&wire.parameter().await?)?;
        let place = names.iter().position(|name| *name >= current);
        let (name, after) = match place.and_then(|place| names.get(place)) {
            // One that was removed meanwhile: the next from its beginning.
            Some(name) => (name.clone(), if *name == current { after } else { 0 }),
            None => return self.text(wire, "0\t0\t0\t0\t\n".to_owned()).await,
        };
        let next_name = names.iter().find(|other| **other > name).cloned().unwrap_or_default();
        let store = self.services.store.clone();
        let step = blocking(move || {
            let step = store.account(&name)?.repair_some(what, after)?;
            Ok::<_, StoreError>((step, name))
        });
        let (step, name) = step.await?;
        let (next, name) = match step.next {
            Some(next) => (next, name),
            None => (0, next_name),
        };
        let (looked, changed, unreadable) = (step.looked, step.changed, step.unreadable);
        self.text(wire, format!("{looked}\t{changed}\t{unreadable}\t{next}\t{name}\n")).await
    }

    /// Parameter: account, or nothing for all. Answers with a line for each mailbox whose counts were
    /// wrong.
    async fn recount<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let names = self.accounts(wire.parameter().await?);
        let store = self.services.store.clone();
        let work = move || {
            let mut text = String::new();
            for name in names {
                for (mailbox, was) in store.account(&name)?.recount().wait()? {
                    let (messages, size) = (was.messages(), was.size);
                    text.push_str(&format!(
                        "{name}: {mailbox}: was {messages} messages, {size} bytes\n"
                    ));
                }
            }
            Ok::<_, StoreError>(text)
        };
        let text = blocking(work).await?;
        self.text(wire, text).await
    }

    /// Parameters: account; mailbox, or nothing for all. Answers with a line for each mailbox.
    async fn bump_uidvalidity<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = wire.parameter().await?;
        let mailbox = mailbox(&wire.parameter().await?)?;
        let store = self.services.store.clone();
        let work = move || store.account(&name)?.bump_uidvalidity(mailbox, None).wait();
        let bumped = blocking(work).await?;
        let lines = bumped.iter().map(|(name, number)| format!("{name}: {number}\n"));
        self.text(wire, lines.collect()).await
    }

    /// Parameter: account, or nothing for all. Answers with a line for each that was mended.
    async fn fix_numbers<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let names = self.accounts(wire.parameter().await?);
        let store = self.services.store.clone();
        let work = move || {
            let mut text = String::new();
            for name in names {
                let fixed = store.account(&name)?.fix_numbers().wait()?;
                if fixed > 0 {
                    text.push_str(&format!("{name}: {fixed} numbers were too low\n"));
                }
            }
            Ok::<_, StoreError>(text)
        };
        let text = blocking(work).await?;
        self.text(wire, text).await
    }

    /// Parameters: account; mailbox, or nothing for all. Answers with a line.
    async fn reassign_uids<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = wire.parameter().await?;
        let mailbox = mailbox(&wire.parameter().await?)?;
        let store = self.services.store.clone();
        let changed = blocking(move || store.account(&name)?.reassign_uids(mailbox).wait());
        let changed = changed.await?;
        self.text(wire, format!("{changed} messages have another UID\n")).await
    }

    /// Parameters: account, mailbox, an [`Appended`] as JSON; after `ok` the message as data. It is added as
    /// it is, unless the mailbox has it already, by its checksum. Answers `ok` and a text: `added` or `there`.
    async fn append<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = wire.parameter().await?;
        let refused = |text: &str| CommandError::Refused(text.to_owned());
        let mailbox = mailbox(&wire.parameter().await?)?.ok_or_else(|| refused("no mailbox"))?;
        let known: Appended = json(&wire.parameter().await?)?;
        let received = ZonedTime::new(UnixSeconds(known.received), known.zone_minutes)
            .ok_or_else(|| refused("no such zone"))?;
        let store = self.services.store.clone();
        let account = blocking(move || store.account(&name)).await?;
        wire.write_ok().await?;
        let dir = self.services.config.snapshot().data_dir().join(TEMPORARY);
        let mut spool = spooled_tempfile_in(SPOOL_BYTES, dir);
        wire.receive_data(DATA_BYTES_MAX, &mut spool).await?;
        let work = move || {
            let content = account.stage(Vec::new(), &mut spool)?;
            let reader = account.read()?;
            let there = match reader.mailbox(&mailbox) {
                Ok(found) => reader.find_hash(found.id, &content.hash())?.is_some(),
                Err(StoreError::NoMailbox) => false,
                Err(error) => return Err(error),
            };
            drop(reader);
            if there {
                return Ok("there\n");
            }
            let keywords = known.keywords.iter().filter_map(|text| Keyword::parse(text).ok());
            let message = NewMessage {
                content,
                flags: Flags::from_bits(known.flags),
                keywords: keywords.collect(),
                received: Some(received),
                envelope: None,
            };
            account.add(Destination { mailbox, create: true }, vec![message]).wait()?;
            Ok("added\n")
        };
        let text = blocking(work).await?;
        self.text(wire, text.to_owned()).await
    }

    /// Answers `ok` and a text.
    async fn text<S>(&self, wire: &mut Wire<S>, text: String) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_bytes()).await?)
    }
}

/// `None` for all of them.
fn mailbox(text: &str) -> Result<Option<MailboxName>, CommandError> {
    unless_empty(text, |text| {
        MailboxName::parse(text).map_err(|error| CommandError::refused(&error))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{check_refused, client, server};
    use super::*;

    #[tokio::test]
    async fn an_account_is_mended_over_the_socket() {
        let (server, _dir) = server().await;
        let mut control = client(&server).await;
        let (flags, keywords) = (Flags::SEEN.bits(), vec!["a".to_owned()]);
        let known = Appended { flags, keywords, received: 7, zone_minutes: 90 };
        let known = serde_json::to_string(&known).unwrap();
        for answer in ["added\n", "there\n"] {
            control.run("append", &["mox", "Restored", &known]).await.unwrap();
            control.send_data(&b"Subject: x\r\n\r\nbody\n"[..]).await.unwrap();
            assert_eq!(control.data().await.unwrap(), answer.as_bytes());
        }
        let account = server.services().store.account("mox").unwrap();
        let reader = account.read().unwrap();
        let mailbox = reader.mailbox(&MailboxName::parse("Restored").unwrap()).unwrap();
        assert_eq!((mailbox.counts.total, mailbox.counts.unseen), (1, 0));
        let since = mox_base::ModSeq::default();
        let found = reader.changed_since(mailbox.id, since, &mox_base::NumSet::all()).unwrap();
        assert_eq!(Some(found.rows[0].received), ZonedTime::new(UnixSeconds(7), 90));
        for (command, _) in STEPS {
            let mut messages = 0;
            let (mut name, mut after) = (String::new(), "0".to_owned());
            loop {
                let text = control.text(command, &["", &name, &after]).await.unwrap();
                let cells: Vec<&str> = text.trim_end_matches('\n').split('\t').collect();
                messages += cells[0].parse::<u64>().unwrap();
                assert_eq!((cells[1], cells[2]), ("0", "0"), "{command}");
                (after, name) = (cells[3].to_owned(), cells[4].to_owned());
                if name.is_empty() {
                    break;
                }
            }
            let all: u64 = reader.mailboxes().unwrap().iter().map(|m| m.counts.total).sum();
            assert_eq!(messages, all);
        }
        assert_eq!(control.text("recalculatemailboxcounts", &[""]).await.unwrap(), "");
        assert_eq!(control.text("fixuidmeta", &["mox"]).await.unwrap(), "");
        let told = control.text("bumpuidvalidity", &["mox", "Restored"]).await.unwrap();
        assert!(told.starts_with("Restored: "), "{told}");
        let told = control.text("reassignuids", &["mox", ""]).await.unwrap();
        assert_eq!(told, "0 messages have another UID\n");
        check_refused(control.run("bumpuidvalidity", &["mox", "None"]).await, "no such mailbox");
        let refused = client(&server).await.run("reparse", &["mox", "mox", "x"]).await;
        check_refused(refused, "is no number");
        drop((reader, account));
        server.shutdown().await;
    }
}
