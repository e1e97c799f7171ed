//! Messages for the measurements, and an account full of them.

use std::io::Cursor;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use anyhow::{Context, Result, anyhow};
use mox::localserve::{ACCOUNT, ADDRESS};
use mox::server::Options;
use mox_base::{Flags, MailboxName};
use mox_net::SystemClock;
use mox_store::{Account, Destination, Envelope, NewMessage, Policy, Store};
use mox_testkit::mail::Spec;

/// The sender of every tenth message of a full account, and of everything that is delivered.
pub(crate) const FREQUENT_SENDER: &str = "list@fixture.example";

/// A word in the subject and in the text of few messages of a full account.
pub(crate) const RARE_WORD: &str = "quartzite";

/// One message of so many has the rare word, if there are that many.
const RARE_EVERY: u64 = 2_000;

/// Messages of one commit while filling.
const BATCH: u64 = 250;

/// A message of 5,000 bytes, as all that are measured.
pub(crate) fn message(number: u64) -> Vec<u8> {
    spec(number, true).build()
}

/// One by another author.
pub(crate) fn message_from(number: u64, author: &str) -> Vec<u8> {
    Spec { from: author.to_owned(), ..spec(number, true) }.build()
}

fn spec(number: u64, is_frequent: bool) -> Spec {
    let mut spec = Spec::number(number);
    if is_frequent {
        spec.from = FREQUENT_SENDER.to_owned();
    }
    // Every third answers the one before, as in real mail.
    spec.in_reply_to = (number % 3 == 2).then(|| number - 1);
    spec
}

/// Opens the account of a directory whose server does not run.
pub(crate) fn open_account(dir: &Path) -> Result<(Store, Account)> {
    let options = Options::localserve(dir)?;
    let data_dir = options.config.snapshot().data_dir();
    let store = Store::new(&data_dir, Arc::new(SystemClock::new()), Arc::new(Policy::default()));
    let account = store.account(ACCOUNT)?;
    Ok((store, account))
}

/// Puts messages into the Inbox, past all protocols.
pub(crate) fn fill(dir: &Path, count: u64) -> Result<()> {
    let (store, account) = open_account(dir)?;
    let batches: Vec<u64> = (0..count).step_by(usize::try_from(BATCH)?).collect();
    // One thread prepares the next batch while the writer has this one.
    for pair in batches.chunks(2) {
        thread::scope(|scope| {
            let work = pair.iter().map(|first| {
                let numbers = *first..(first + BATCH).min(count);
                let account = &account;
                scope.spawn(move || add(account, numbers))
            });
            let work: Vec<_> = work.collect();
            work.into_iter().try_for_each(|thread| {
                thread.join().map_err(|_| anyhow!("filling panicked")).and_then(|done| done)
            })
        })?;
    }
    drop(account);
    drop(store);
    Ok(())
}

/// How many of the first `count` messages have the rare word.
pub(crate) fn rare_count(count: u64) -> u64 {
    (0..count).filter(|number| is_rare(*number)).count() as u64
}

fn is_rare(number: u64) -> bool {
    number % RARE_EVERY == RARE_EVERY / 2
}

fn add(account: &Account, numbers: std::ops::Range<u64>) -> Result<()> {
    let messages = numbers.map(|number| {
        let mut spec = spec(number, number % 10 == 0);
        spec.extra_word = is_rare(number).then_some(RARE_WORD);
        let content = account.stage(Vec::new(), &mut Cursor::new(spec.build()))?;
        Ok(NewMessage {
            content,
            flags: if number % 2 == 0 { Flags::SEEN } else { Flags::NONE },
            keywords: Vec::new(),
            received: Some(spec.date.into()),
            envelope: Some(Envelope {
                mail_from: spec.from,
                rcpt_to: ADDRESS.to_owned(),
                remote_ip: "192.0.2.25".to_owned(),
                ehlo: "relay.fixture.example".to_owned(),
                ..Envelope::default()
            }),
        })
    });
    let messages = messages.collect::<Result<Vec<_>>>()?;
    let destination = Destination { mailbox: MailboxName::inbox(), create: false };
    account.add(destination, messages).wait().context("fill the account")?;
    Ok(())
}
