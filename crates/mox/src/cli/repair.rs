//! The commands that mend what is derived from messages: `mox reparse` and its like.

use anyhow::{Context, Result};
use clap::Args;

use super::{Global, print, say};
use crate::ctl::Client;

/// Read all messages again, and mend what was made of them: parts, previews, subjects, dates.
///
/// For after a change of the program that reads messages better. The account can be used meanwhile; the
/// server does some messages at a time, and if this is interrupted, the rest stays as it was.
#[derive(Debug, Args)]
pub(super) struct Reparse {
    /// Name of the account. Without it, all accounts.
    account: Option<String>,
}

/// Read again the messages whose parts cannot be read from the database.
#[derive(Debug, Args)]
pub(super) struct EnsureParsed {
    /// Name of the account. Without it, all accounts.
    account: Option<String>,
    /// All messages, as reparse does.
    #[arg(long)]
    all: bool,
}

/// Mend the sizes of messages, and what mailboxes count of them.
///
/// Mail programs that remember a wrong size need "mox bumpuidvalidity" afterwards.
#[derive(Debug, Args)]
pub(super) struct FixMsgSize {
    /// Name of the account. Without it, all accounts.
    account: Option<String>,
}

/// Find out anew which thread each message belongs to.
///
/// Threads are of one piece again when all is done. Mail programs that remember them need
/// "mox bumpuidvalidity" afterwards.
#[derive(Debug, Args)]
pub(super) struct ReassignThreads {
    /// Name of the account. Without it, all accounts.
    account: Option<String>,
}

/// Count the messages of all mailboxes anew. Prints the mailboxes whose counts were wrong.
#[derive(Debug, Args)]
pub(super) struct RecalculateMailboxCounts {
    /// Name of the account. Without it, all accounts.
    account: Option<String>,
}

/// Make mail programs read a mailbox anew, by a new UIDVALIDITY.
///
/// For after a restore of an older state, or when a mail program shows something else than there is.
#[derive(Debug, Args)]
pub(super) struct BumpUidvalidity {
    /// Name of the account.
    account: String,
    /// Name of the mailbox. Without it, all mailboxes.
    mailbox: Option<String>,
}

/// Raise the numbers to be given out next (UIDs, UIDVALIDITY) above all that were given out.
#[derive(Debug, Args)]
pub(super) struct FixUidMeta {
    /// Name of the account. Without it, all accounts.
    account: Option<String>,
}

/// Give the messages of a mailbox UIDs from 1 on, in the order they have, and the mailbox a new
/// UIDVALIDITY.
#[derive(Debug, Args)]
pub(super) struct ReassignUids {
    /// Name of the account.
    account: String,
    /// Name of the mailbox. Without it, all mailboxes.
    mailbox: Option<String>,
}

impl Reparse {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        steps(global, "reparse", self.account)
    }
}

impl EnsureParsed {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        steps(global, if self.all { "reparse" } else { "ensureparsed" }, self.account)
    }
}

impl FixMsgSize {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        steps(global, "fixmsgsize", self.account)
    }
}

impl ReassignThreads {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        steps(global, "reassignthreads", self.account)
    }
}

impl RecalculateMailboxCounts {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        once(global, "recalculatemailboxcounts", &[&self.account.unwrap_or_default()])
    }
}

impl BumpUidvalidity {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        once(global, "bumpuidvalidity", &[&self.account, &self.mailbox.unwrap_or_default()])
    }
}

impl FixUidMeta {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        once(global, "fixuidmeta", &[&self.account.unwrap_or_default()])
    }
}

impl ReassignUids {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        once(global, "reassignuids", &[&self.account, &self.mailbox.unwrap_or_default()])
    }
}

/// Runs a command that is done at once, and prints what it says.
fn once(global: &Global, command: &str, parameters: &[&str]) -> Result<()> {
    let text = global.control(async |mut client| Ok(client.text(command, parameters).await?))?;
    print(&text)
}

/// Has the server do some messages after the other until all are done.
fn steps(global: &Global, command: &str, account: Option<String>) -> Result<()> {
    let account = account.unwrap_or_default();
    let sum = global.control(async |client| all_steps(client, command, &account).await)?;
    let Sum { looked, changed, unreadable } = sum;
    print(&format!("{looked} messages, {changed} changed, {unreadable} cannot be read\n"))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    looked: u64,
    changed: u64,
    unreadable: u64,
}

/// Where the next step goes on.
type Place = (String, String);

async fn all_steps(mut client: Client, command: &str, account: &str) -> Result<Sum> {
    let is_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let (mut sum, mut place): (Sum, Place) = (Sum::default(), (String::new(), "0".to_owned()));
    loop {
        let answer = client.text(command, &[account, &place.0, &place.1]).await?;
        let next = sum.add(&answer).with_context(|| format!("answer of the server: {answer:?}"))?;
        if is_terminal {
            say(&format!("\r{} messages, {} changed ", sum.looked, sum.changed));
        }
        match next {
            Some(next) => place = next,
            None => break,
        }
    }
    if is_terminal {
        say("\n");
    }
    Ok(sum)
}

impl Sum {
    /// Adds a step. Returns where to go on; `None` when all is done.
    fn add(&mut self, answer: &str) -> Option<Option<Place>> {
        let cells: Vec<&str> = answer.strip_suffix('\n')?.splitn(5, '\t').collect();
        let [looked, changed, unreadable, after, name] = cells.as_slice() else { return None };
        self.looked += looked.parse::<u64>().ok()?;
        self.changed += changed.parse::<u64>().ok()?;
        self.unreadable += unreadable.parse::<u64>().ok()?;
        let goes_on = !name.is_empty();
        Some(goes_on.then(|| ((*name).to_owned(), (*after).to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(answer: &str, want: Option<Option<(&str, &str)>>) {
        let place = |(name, after): (&str, &str)| (name.to_owned(), after.to_owned());
        let want = want.map(|next| next.map(place));
        assert_eq!(Sum::default().add(answer), want, "{answer:?}");
    }

    #[test]
    fn steps_are_added_up() {
        check("1\t2\t3\t40\ta b\n", Some(Some(("a b", "40"))));
        check("1\t2\t3\t0\t\n", Some(None));
        check("1\t2\t3\t0\n", None);
        check("x\t2\t3\t0\ta\n", None);
        check("", None);
        let mut sum = Sum::default();
        for _ in 0..2 {
            sum.add("1\t2\t3\t0\t\n").unwrap();
        }
        assert_eq!(sum, Sum { looked: 2, changed: 4, unreadable: 6 });
    }
}
