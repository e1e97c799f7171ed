//! What the junk filter had learnt. Ours counts words in another way, and learns anew from the messages
//! that are marked; so all there is to say is from how many it had learnt that are gone.

use std::path::Path;

use mox_bstore::{Fault, Record, Table};

use crate::file::{DatabaseFile, TakeoverError};
use crate::summary::Summary;

/// The word of which the counts are those of messages.
const MESSAGES: &str = "-";

/// How many messages were learnt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Learnt {
    pub(crate) ham: u64,
    pub(crate) spam: u64,
}

impl Learnt {
    /// Counts a message by its marks; one marked both ways is learnt as neither.
    pub(crate) fn add(&mut self, record: &Record) {
        let (junk, not_junk) = (record.bool("Junk"), record.bool("Notjunk"));
        self.spam += u64::from(junk && !not_junk);
        self.ham += u64::from(not_junk && !junk);
    }
}

/// Tells if the filter of an account had learnt from more messages than are there. Nothing of it
/// is needed, so that damage is no reason not to take the account.
///
/// # Errors
///
/// If the database is in use.
pub(crate) fn compare(
    dir: &Path,
    marked: Learnt,
    summary: &mut Summary,
) -> Result<(), TakeoverError> {
    let path = dir.join("junkfilter.db");
    let unread = |summary: &mut Summary, why: String| {
        summary.differs("junk filters that cannot be read, and are not needed", why);
    };
    let file = match DatabaseFile::open_if_there(&path) {
        Ok(Some(file)) => file,
        Ok(None) => return Ok(()),
        Err(error @ TakeoverError::InUse(_)) => return Err(error),
        Err(error) => {
            unread(summary, error.in_full());
            return Ok(());
        }
    };
    summary.leave("junk filters, learnt anew from the messages that are marked", 1);
    match learnt(&file) {
        // There is more to learn from than the original did, if it had no filter at first.
        Ok(learnt) if learnt.ham <= marked.ham && learnt.spam <= marked.spam => {}
        Ok(Learnt { ham, spam }) => {
            let Learnt { ham: now_ham, spam: now_spam } = marked;
            let told = format!(
                "{}: from {ham} without and {spam} with junk; now {now_ham} and {now_spam}",
                path.display()
            );
            summary.differs("junk filters that had learnt from more messages", told);
        }
        Err(fault) => unread(summary, format!("{}: {fault}", path.display())),
    }
    Ok(())
}

/// Keys are sorted, so the record of messages comes before those of words.
fn learnt(file: &DatabaseFile) -> Result<Learnt, Fault> {
    let Some(table) = Table::open(&file.database, "wordscore")? else {
        return Ok(Learnt::default());
    };
    for record in table.records() {
        let record = record?;
        if record.text("Word") == MESSAGES {
            return Ok(Learnt { ham: record.u64("Ham"), spam: record.u64("Spam") });
        }
        if record.text("Word") > MESSAGES {
            break;
        }
    }
    Ok(Learnt::default())
}
