//! The consistency check: what must hold in every account at every moment.
//!
//! Each rule stands as an invariant in `docs/store-format.md`. Tests run it after everything they
//! do; people run it when in doubt.

mod bodies;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use rusqlite::Connection;

use crate::account::{Account, Shared};
use crate::mailbox::{Counts, Mailbox};
use crate::read::Reader;
use crate::row::MessageRow;
use crate::stage::blob_files;
use crate::thread::parse_parents;
use crate::{Result, history, index, junk};
use bodies::Sample;

/// The most faults that are reported.
const FAULTS_MAX: usize = 1_000;

struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, fault: impl FnOnce() -> String, is_wrong: bool) {
        if is_wrong && self.0.len() < FAULTS_MAX {
            self.0.push(fault());
        }
    }

    /// Tells that something could not be looked at.
    fn unread(&mut self, what: &str, told: Result<()>) {
        if let Err(error) = told {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            self.add(
                || format!("{what}: cannot be read: {error}{}", cause.unwrap_or_default()),
                true,
            );
        }
    }
}

/// Checks everything. Reads every body.
pub(crate) fn check(shared: &Arc<Shared>) -> Result<Vec<String>> {
    let reader = Reader::begin(Arc::clone(shared))?;
    let db = reader.db()?;
    let mut faults = Faults(Vec::new());
    // What cannot be read keeps nothing else from being looked at.
    let told = integrity(db, &mut faults);
    faults.unread("database", told);
    let mailboxes = rows(&reader, &mut faults)?;
    let told = bodies(shared, &reader, &mailboxes, &mut faults);
    faults.unread("messages", told);
    let told = index::check(&reader, &mut |fault| faults.add(|| fault, true));
    faults.unread("gram: search index", told);
    let told = junk::check(&reader, &mut |fault| faults.add(|| fault, true));
    faults.unread("junk_word: what was learnt", told);
    let told = history::check(&reader, &mut |fault| faults.add(|| fault, true));
    faults.unread("origin: the history", told);
    Ok(faults.0)
}

/// What stands in rows, without reading messages. Returns the mailboxes.
fn rows(reader: &Reader, faults: &mut Faults) -> Result<Vec<Mailbox>> {
    let db = reader.db()?;
    let mailboxes = reader.mailboxes()?;
    let mut used_bytes = 0;
    for mailbox in &mailboxes {
        match check_mailbox(reader, mailbox, faults) {
            Ok(bytes) => used_bytes += bytes,
            Err(error) => faults.unread(mailbox.name.as_str(), Err(error)),
        }
    }
    let told = counters(db, reader, &mailboxes, faults);
    faults.unread("counters", told);
    let recorded = reader.used_bytes();
    faults.add(
        || format!("space in use recorded as {recorded}, is {used_bytes}"),
        recorded != used_bytes,
    );
    let told = references(db, faults);
    faults.unread("references", told);
    let told = threads(db, faults);
    faults.unread("threads", told);
    Ok(mailboxes)
}

/// What came of looking at some messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartChecked {
    /// What is wrong, with the mailbox and the UID.
    pub faults: Vec<String>,
    /// Where to go on; `None` when the part is done.
    pub next: Option<i64>,
}

/// Bytes of messages that are read in one go.
const PART_BYTES: u64 = 8 << 20;

impl Account {
    /// Compares some of the messages of a part with their checksums: 8 MB, behind `after`, which is 0 at
    /// first and then what the last call said. Of `parts` parts all together are the account.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn check_part(&self, part: u32, parts: u32, after: i64) -> Result<PartChecked> {
        let sample = Sample { parts: parts.max(1), part };
        let mut faults = Faults(Vec::new());
        let tell = &mut |fault| faults.add(|| fault, true);
        let next = bodies::check_some(&self.read()?, after, PART_BYTES, sample, tell)?;
        Ok(PartChecked { faults: faults.0, next })
    }

    /// Looks for contradictions in counts, numbers and references, without reading messages. If it is to
    /// be thorough, every page of the database is read too.
    ///
    /// # Errors
    ///
    /// If the database cannot be opened.
    pub fn check_structure(&self, is_thorough: bool) -> Result<Vec<String>> {
        structure(&self.read()?, is_thorough)
    }
}

pub(crate) fn structure(reader: &Reader, is_thorough: bool) -> Result<Vec<String>> {
    let mut faults = Faults(Vec::new());
    if is_thorough {
        let told = integrity(reader.db()?, &mut faults);
        faults.unread("database", told);
    }
    rows(reader, &mut faults)?;
    Ok(faults.0)
}

fn integrity(db: &Connection, faults: &mut Faults) -> Result<()> {
    // What cannot be read of the index is told when it is looked at.
    let _unread = index::refresh(db);
    let mut statement = db.prepare("PRAGMA integrity_check(20)")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let told: String = row.get(0)?;
        faults.add(|| format!("database: {told}"), told != "ok");
    }
    Ok(())
}

/// Returns the bytes of its messages.
fn check_mailbox(reader: &Reader, mailbox: &Mailbox, faults: &mut Faults) -> Result<u64> {
    let name = &mailbox.name;
    let mut counts = Counts::default();
    let sql = format!(
        "SELECT {}, createseq FROM msg WHERE mailbox = ?1 ORDER BY uid",
        MessageRow::COLUMNS
    );
    let mut statement = reader.db()?.prepare(&sql)?;
    let mut rows = statement.query([mailbox.id.0])?;
    while let Some(row) = rows.next()? {
        let createseq: u64 = row.get("createseq")?;
        let row = MessageRow::from_row(row)?;
        counts.add(row.flags, row.size);
        let (uid, modseq) = (row.uid, row.modseq.get());
        let wrong = u64::from(uid.get()) >= mailbox.uidnext;
        faults.add(|| format!("{name}: uid {uid} not below uidnext {}", mailbox.uidnext), wrong);
        let wrong = createseq == 0 || createseq > modseq || row.modseq > mailbox.modseq;
        faults
            .add(|| format!("{name}: uid {uid}: modseq {createseq}, {modseq} out of order"), wrong);
        let unknown = row.keywords.iter().find(|k| mailbox.keywords.binary_search(k).is_err());
        faults.add(|| format!("{name}: uid {uid}: keyword not known there"), unknown.is_some());
        faults.add(
            || format!("{name}: uid {uid}: keywords not sorted"),
            !row.keywords.is_sorted_by(|a, b| a < b),
        );
    }
    faults.add(
        || format!("{name}: counts recorded as {:?}, are {counts:?}", mailbox.counts),
        counts != mailbox.counts,
    );
    Ok(counts.size)
}

fn counters(
    db: &Connection,
    reader: &Reader,
    mailboxes: &[Mailbox],
    faults: &mut Faults,
) -> Result<()> {
    let (next_message, next_mailbox, next_uidvalidity): (i64, i64, u64) = db.query_row(
        "SELECT next_message, next_mailbox, next_uidvalidity FROM state",
        [],
        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
    )?;
    let last: Option<i64> = db.query_row(
        "SELECT max(id) FROM (SELECT id FROM msg UNION ALL SELECT id FROM tomb)",
        [],
        |row| row.get(0),
    )?;
    faults
        .add(|| "next message id is in use".to_owned(), last.is_some_and(|id| id >= next_message));
    let names: BTreeSet<_> = mailboxes.iter().map(|mailbox| &mailbox.name).collect();
    for mailbox in mailboxes {
        let Mailbox { id, name, uidvalidity, modseq, createseq, .. } = mailbox;
        faults.add(|| format!("{name}: id is not below the next one"), id.0 >= next_mailbox);
        let too_high = u64::from(uidvalidity.get()) >= next_uidvalidity;
        faults.add(|| format!("{name}: uidvalidity {uidvalidity} is to come yet"), too_high);
        let wrong = createseq.get() == 0 || createseq > modseq || *modseq > reader.modseq();
        faults.add(|| format!("{name}: modseq {modseq} out of order"), wrong);
        let orphan = name.parent().is_some_and(|parent| !names.contains(&parent));
        faults.add(|| format!("{name}: mailbox above it is missing"), orphan);
    }
    Ok(())
}

/// Every row has the rows it needs, and none is left over.
fn references(db: &Connection, faults: &mut Faults) -> Result<()> {
    let rules = [
        (
            "message without mailbox",
            "SELECT id FROM msg WHERE mailbox NOT IN (SELECT id FROM mailbox)",
        ),
        (
            "annotation of no mailbox",
            "SELECT mailbox FROM annotation WHERE mailbox != 0 AND mailbox NOT IN (SELECT id FROM mailbox)",
        ),
        (
            "key of urls of no mailbox",
            "SELECT mailbox FROM url_key WHERE mailbox NOT IN (SELECT id FROM mailbox) \
             OR length(key) != 32",
        ),
        ("message without metadata", "SELECT id FROM msg WHERE id NOT IN (SELECT id FROM meta)"),
        ("message without body", "SELECT id FROM msg WHERE body NOT IN (SELECT id FROM body)"),
        (
            "metadata without message",
            "SELECT id FROM meta WHERE id NOT IN (SELECT id FROM msg) \
             AND id NOT IN (SELECT id FROM tomb WHERE erase)",
        ),
        (
            "body with a wrong count of messages",
            "SELECT b.id FROM body b LEFT JOIN (SELECT body, count(*) AS number FROM \
             (SELECT body FROM msg UNION ALL SELECT body FROM tomb WHERE erase) GROUP BY body) \
             used ON used.body = b.id WHERE b.refs != ifnull(used.number, 0)",
        ),
        (
            "uid both there and gone",
            "SELECT m.id FROM gone g JOIN msg m ON m.mailbox = g.mailbox AND m.uid = g.uid",
        ),
        (
            "message both live and to be erased",
            "SELECT id FROM tomb WHERE erase AND id IN (SELECT id FROM msg)",
        ),
    ];
    // These look up what has no index; an automatic one is made for each query. (Not for a
    // subquery that is run for every row, so there is none: that would be quadratic.)
    for (what, sql) in rules {
        let mut statement = db.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id: i64 = row.get(0)?;
            faults.add(|| format!("{what}: {id}"), true);
        }
    }
    Ok(())
}

/// No message is its own ancestor, and the line of ancestors of the nearest live one continues it.
fn threads(db: &Connection, faults: &mut Faults) -> Result<()> {
    let mut parents: HashMap<i64, (i64, Vec<i64>)> = HashMap::new();
    let sql = "SELECT m.id, m.thread, t.thread_parents FROM msg m JOIN meta t ON t.id = m.id";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let column: Option<String> = row.get(2)?;
        parents.insert(row.get(0)?, (row.get(1)?, parse_parents(column.as_deref())));
    }
    for (id, (thread, ancestors)) in &parents {
        faults.add(|| format!("message {id} without thread"), *thread == 0);
        faults.add(|| format!("message {id} is its own ancestor"), ancestors.contains(id));
        let nearest = ancestors.iter().enumerate().find(|(_, id)| parents.contains_key(id));
        if let Some((place, (theirs, line))) =
            nearest.and_then(|(place, id)| parents.get(id).map(|found| (place, found)))
        {
            let rest = ancestors.get(place + 1..).unwrap_or_default();
            faults.add(
                || format!("message {id} in another thread than its parent"),
                theirs != thread,
            );
            let wrong = !(rest.is_empty() || line.starts_with(rest));
            faults.add(|| format!("message {id} has other ancestors than its parent"), wrong);
        }
    }
    Ok(())
}

/// The body files that no row names, sorted.
pub(crate) fn stray_files(shared: &Shared, reader: &Reader) -> Result<Vec<String>> {
    let mut files: BTreeSet<String> = blob_files(shared)?.into_iter().collect();
    for file in named_files(reader)? {
        files.remove(&file);
    }
    Ok(files.into_iter().collect())
}

fn named_files(reader: &Reader) -> Result<Vec<String>> {
    let mut statement = reader.db()?.prepare("SELECT file FROM body WHERE file IS NOT NULL")?;
    Ok(statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?)
}

fn bodies(
    shared: &Shared,
    reader: &Reader,
    mailboxes: &[Mailbox],
    faults: &mut Faults,
) -> Result<()> {
    let files: BTreeSet<String> = blob_files(shared)?.into_iter().collect();
    for file in named_files(reader)? {
        faults.add(|| format!("body file {file} is missing"), !files.contains(&file));
    }
    let mut tell = |fault| faults.add(|| fault, true);
    for mailbox in mailboxes {
        bodies::check_rows(reader, mailbox, Sample::ALL, &mut tell)?;
    }
    bodies::check_some(reader, 0, u64::MAX, Sample::ALL, &mut tell)?;
    let sql = "SELECT body FROM body_hash WHERE body NOT IN (SELECT id FROM body)";
    let mut statement = reader.db()?.prepare(sql)?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let body: i64 = row.get(0)?;
        tell(format!("body_hash: body {body} does not exist"));
    }
    Ok(())
}
