//! Accounts in a temporary folder, and what is in them.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use mox_base::{MailboxName, Uid, UnixSeconds};
use mox_store::{Account, Columns, Policy, Store};
use mox_testkit::ManualClock;
use mox_transfer::{
    Event, ImportOptions, Meter, Notice, Outcome, ReadOptions, Sink, SourceError, import, read_path,
};
use tempfile::TempDir;

pub(crate) const START: UnixSeconds = UnixSeconds(1_795_164_932);

pub(crate) struct Fixture {
    pub(crate) account: Account,
    pub(crate) dir: TempDir,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(Policy::default())
    }

    pub(crate) fn with(policy: Policy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::at(START));
        let store = Store::new(dir.path(), clock, Arc::new(policy));
        let account = store.account("mjl").unwrap();
        Self { account, dir }
    }

    /// Reads into the Inbox.
    pub(crate) fn options(&self) -> ReadOptions {
        ReadOptions {
            target: MailboxName::inbox(),
            temporary: self.dir.path().to_owned(),
            message_bytes_max: 1_000_000,
            strip: None,
        }
    }

    /// Takes over what a source gives. Also the problems.
    pub(crate) fn import(
        &self,
        source: impl FnOnce(&mut Sink<'_>) -> Result<(), SourceError>,
    ) -> (Outcome, Vec<String>) {
        let mut problems = Vec::new();
        let outcome = import(&self.account, ImportOptions::default(), source, &mut |notice| {
            if let Notice::Problem(text) = notice {
                problems.push(text.to_owned());
            }
            ControlFlow::Continue(())
        });
        (outcome, problems)
    }

    /// Takes over what lies at a path, of which everything must be good. Messages added and left out.
    #[track_caller]
    pub(crate) fn import_path(&self, path: &Path) -> (u64, u64) {
        let options = self.options();
        let (outcome, problems) =
            self.import(|sink| read_path(path, &options, &Meter::default(), sink));
        outcome.end.unwrap();
        assert_eq!(problems, Vec::<String>::new());
        (outcome.summary.added, outcome.summary.duplicates)
    }

    /// Takes over events as they are.
    pub(crate) fn import_events(&self, events: Vec<Event>) -> (Outcome, Vec<String>) {
        self.import(|sink| {
            for event in events {
                if sink(event).is_break() {
                    return Err(SourceError::Stopped);
                }
            }
            Ok(())
        })
    }

    /// Every message with what belongs to it, by mailbox, in the order of their UIDs.
    pub(crate) fn messages(&self) -> BTreeMap<String, Vec<Message>> {
        let reader = self.account.read().unwrap();
        let mut all = BTreeMap::new();
        for mailbox in reader.mailboxes().unwrap() {
            let mut messages = Vec::new();
            let uids = reader.uids(mailbox.id).unwrap();
            let flow = reader.fetch(mailbox.id, &uids, Columns::default(), &mut |row| {
                let content = reader.content(mailbox.id, Uid::new(row.uid.get()).unwrap());
                let names = row.flags.names().map(str::to_owned);
                messages.push(Message {
                    received: row.received.time().0,
                    flags: names
                        .chain(row.keyword_list().iter().map(ToString::to_string))
                        .collect(),
                    content: String::from_utf8(content.unwrap().to_vec().unwrap()).unwrap(),
                });
                ControlFlow::Continue(())
            });
            assert!(flow.unwrap().is_continue());
            all.insert(mailbox.name.to_string(), messages);
        }
        all
    }

    /// The names of the mailboxes with their roles.
    pub(crate) fn mailboxes(&self) -> Vec<String> {
        let mailboxes = self.account.read().unwrap().mailboxes().unwrap();
        let shown = |mailbox: &mox_store::Mailbox| {
            let roles: Vec<&str> = mailbox.special_use.names().collect();
            format!("{} {}", mailbox.name, roles.join(" ")).trim_end().to_owned()
        };
        mailboxes.iter().map(shown).collect()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert_eq!(self.account.check().unwrap(), Vec::<String>::new());
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Message {
    pub(crate) received: i64,
    pub(crate) flags: Vec<String>,
    pub(crate) content: String,
}
