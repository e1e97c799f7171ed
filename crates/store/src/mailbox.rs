//! Mailboxes: what they are and how they are created, renamed, deleted and subscribed to.

use mox_base::{Flags, Keyword, MailboxId, MailboxName, ModSeq, SpecialUse, UidValidity};
use rusqlite::{OptionalExtension, Row, params};

use crate::annotation;
use crate::copy::move_everything;
use crate::feed::ChangeKind;
use crate::remove::remove_everything;
use crate::tx::Tx;
use crate::url_key;
use crate::{Result, StoreError};

/// The most mailboxes an account may have. Ours.
pub const MAILBOXES_MAX: usize = 10_000;

/// The most different keywords a mailbox may know. Ours; keywords are never forgotten.
pub const MAILBOX_KEYWORDS_MAX: usize = 1_000;

/// How many messages a mailbox holds, and of what kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages without `\Deleted`.
    pub total: u64,
    /// Messages with `\Deleted`.
    pub deleted: u64,
    /// Messages without `\Seen`, not counting those with `\Deleted`.
    pub unread: u64,
    /// Messages without `\Seen`.
    pub unseen: u64,
    /// Bytes of all messages.
    pub size: u64,
    /// Bytes of the messages with `\Deleted`.
    pub deleted_size: u64,
}

impl Counts {
    /// All messages: what IMAP calls MESSAGES and EXISTS.
    #[must_use]
    pub fn messages(&self) -> u64 {
        self.total + self.deleted
    }

    /// Counts a message in.
    pub(crate) fn add(&mut self, flags: Flags, size: u64) {
        self.total += u64::from(!flags.contains(Flags::DELETED));
        self.deleted += u64::from(flags.contains(Flags::DELETED));
        self.unread += u64::from((flags & (Flags::SEEN | Flags::DELETED)).is_empty());
        self.unseen += u64::from(!flags.contains(Flags::SEEN));
        self.size += size;
        self.deleted_size += if flags.contains(Flags::DELETED) { size } else { 0 };
    }

    /// Counts a message out. Saturates: the consistency check finds what does not add up.
    pub(crate) fn remove(&mut self, flags: Flags, size: u64) {
        let mut one = Self::default();
        one.add(flags, size);
        self.total = self.total.saturating_sub(one.total);
        self.deleted = self.deleted.saturating_sub(one.deleted);
        self.unread = self.unread.saturating_sub(one.unread);
        self.unseen = self.unseen.saturating_sub(one.unseen);
        self.size = self.size.saturating_sub(one.size);
        self.deleted_size = self.deleted_size.saturating_sub(one.deleted_size);
    }
}

/// A mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mailbox {
    /// Its id, which stays when it is renamed and is never used again.
    pub id: MailboxId,
    /// Its full name.
    pub name: MailboxName,
    /// Changes only by deleting and creating the name anew. RFC 9051 §2.3.1.1.
    pub uidvalidity: UidValidity,
    /// The UID of the next message; one past the largest UID when they are used up.
    pub uidnext: u64,
    /// Of the last change to anything in it.
    pub modseq: ModSeq,
    /// Of its creation.
    pub createseq: ModSeq,
    /// Its roles.
    pub special_use: SpecialUse,
    /// What it holds.
    pub counts: Counts,
    /// The keywords ever used in it, sorted.
    pub keywords: Vec<Keyword>,
}

impl Mailbox {
    pub(crate) const COLUMNS: &'static str = "id, name, uidvalidity, uidnext, modseq, createseq, \
         special_use, total, deleted, unread, unseen, size, keywords, \
         deleted_size";

    /// Reads a row of [`Mailbox::COLUMNS`].
    pub(crate) fn from_row(row: &Row<'_>) -> Result<Self> {
        let damaged = |what| StoreError::Damaged { what };
        let name: String = row.get(1)?;
        let keywords: String = row.get(12)?;
        Ok(Self {
            id: MailboxId(row.get(0)?),
            name: MailboxName::parse(&name).map_err(|_| damaged("mailbox name"))?,
            uidvalidity: UidValidity::new(row.get(2)?).ok_or_else(|| damaged("uidvalidity"))?,
            uidnext: row.get(3)?,
            modseq: ModSeq::new(row.get(4)?).ok_or_else(|| damaged("modseq"))?,
            createseq: ModSeq::new(row.get(5)?).ok_or_else(|| damaged("createseq"))?,
            special_use: SpecialUse::from_bits(row.get(6)?),
            counts: Counts {
                total: row.get(7)?,
                deleted: row.get(8)?,
                unread: row.get(9)?,
                unseen: row.get(10)?,
                size: row.get(11)?,
                deleted_size: row.get(13)?,
            },
            keywords: parse_keywords(&keywords),
        })
    }

    /// Adds keywords that are not known yet; tells whether there were any.
    pub(crate) fn learn_keywords(&mut self, keywords: &[Keyword]) -> Result<bool> {
        let mut learned = false;
        for keyword in keywords {
            if let Err(place) = self.keywords.binary_search(keyword) {
                if self.keywords.len() == MAILBOX_KEYWORDS_MAX {
                    return Err(StoreError::TooMany { what: "keywords in the mailbox" });
                }
                self.keywords.insert(place, keyword.clone());
                learned = true;
            }
        }
        Ok(learned)
    }
}

/// Reads a list of keywords as it is stored: separated by spaces, sorted.
pub(crate) fn parse_keywords(text: &str) -> Vec<Keyword> {
    text.split(' ').filter_map(|word| Keyword::parse(word).ok()).collect()
}

/// The stored form of sorted keywords.
pub(crate) fn print_keywords(keywords: &[Keyword]) -> String {
    keywords.iter().map(Keyword::as_str).collect::<Vec<_>>().join(" ")
}

/// Finds a mailbox by its name.
pub(crate) fn by_name(tx: &Tx<'_>, name: &MailboxName) -> Result<Option<Mailbox>> {
    let sql = format!("SELECT {} FROM mailbox WHERE name = ?1", Mailbox::COLUMNS);
    let mut statement = tx.db().prepare_cached(&sql)?;
    let mut rows = statement.query([name.as_str()])?;
    rows.next()?.map(Mailbox::from_row).transpose()
}

/// Finds a mailbox by its id.
pub(crate) fn by_id(tx: &Tx<'_>, id: MailboxId) -> Result<Mailbox> {
    let sql = format!("SELECT {} FROM mailbox WHERE id = ?1", Mailbox::COLUMNS);
    let mut statement = tx.db().prepare_cached(&sql)?;
    let mut rows = statement.query([id.0])?;
    rows.next()?.map(Mailbox::from_row).transpose()?.ok_or(StoreError::NoMailbox)
}

/// Writes everything that can change of a mailbox.
pub(crate) fn save(tx: &Tx<'_>, mailbox: &Mailbox) -> Result<()> {
    let mut statement = tx.db().prepare_cached(
        "UPDATE mailbox SET name = ?2, uidnext = ?3, modseq = ?4, special_use = ?5, total = ?6, \
         deleted = ?7, unread = ?8, unseen = ?9, size = ?10, keywords = ?11, \
         deleted_size = ?12 WHERE id = ?1",
    )?;
    let counts = &mailbox.counts;
    statement.execute(params![
        mailbox.id.0,
        mailbox.name.as_str(),
        mailbox.uidnext,
        mailbox.modseq.get(),
        mailbox.special_use.bits(),
        counts.total,
        counts.deleted,
        counts.unread,
        counts.unseen,
        counts.size,
        print_keywords(&mailbox.keywords),
        counts.deleted_size,
    ])?;
    Ok(())
}

/// Makes a mailbox and those above it that are missing. Returns the names made, parents first.
pub(crate) fn create(
    tx: &mut Tx<'_>,
    name: &MailboxName,
    special_use: SpecialUse,
    subscribe: bool,
) -> Result<Vec<Mailbox>> {
    if by_name(tx, name)?.is_some() {
        return Err(if name.is_inbox() { StoreError::IsInbox } else { StoreError::MailboxExists });
    }
    let mut made = Vec::new();
    ensure(tx, name, subscribe, &mut made)?;
    if !special_use.is_empty() {
        set_special_use(tx, name, special_use)?;
        if let Some(last) = made.last_mut() {
            last.special_use = special_use;
        }
    }
    Ok(made)
}

/// Finds a mailbox, making it and those above it (subscribed) if missing.
pub(crate) fn find_or_create(tx: &mut Tx<'_>, name: &MailboxName) -> Result<Mailbox> {
    ensure(tx, name, true, &mut Vec::new())
}

fn ensure(
    tx: &mut Tx<'_>,
    name: &MailboxName,
    subscribe: bool,
    made: &mut Vec<Mailbox>,
) -> Result<Mailbox> {
    if let Some(mailbox) = by_name(tx, name)? {
        return Ok(mailbox);
    }
    // The depth of the recursion is bounded by MAILBOX_DEPTH_MAX.
    if let Some(parent) = name.parent() {
        ensure(tx, &parent, subscribe, made)?;
    }
    let count: usize =
        tx.db().prepare_cached("SELECT count(*) FROM mailbox")?.query_row([], |row| row.get(0))?;
    if count >= MAILBOXES_MAX {
        return Err(StoreError::TooMany { what: "mailboxes" });
    }
    let (id, uidvalidity, modseq) = (tx.new_mailbox_id(), tx.new_uidvalidity()?, tx.modseq()?);
    let mailbox = Mailbox {
        id,
        name: name.clone(),
        uidvalidity,
        uidnext: 1,
        modseq,
        createseq: modseq,
        special_use: SpecialUse::NONE,
        counts: Counts::default(),
        keywords: Vec::new(),
    };
    tx.db().execute(
        "INSERT INTO mailbox VALUES (?1, ?2, ?3, 1, ?4, ?4, 0, 0, 0, 0, 0, 0, '', 0)",
        params![id.0, name.as_str(), uidvalidity.get(), modseq.get()],
    )?;
    let subscribed = if subscribe {
        insert_subscription(tx, name)?;
        true
    } else {
        is_subscribed(tx, name)?
    };
    tx.publish(ChangeKind::MailboxAdded {
        mailbox: id,
        name: name.clone(),
        special_use: SpecialUse::NONE,
        subscribed,
    });
    made.push(mailbox.clone());
    Ok(mailbox)
}

/// Gives the roles to this mailbox, taking them from the mailboxes that had them.
pub(crate) fn set_special_use(
    tx: &mut Tx<'_>,
    name: &MailboxName,
    special_use: SpecialUse,
) -> Result<()> {
    let target = by_name(tx, name)?.ok_or(StoreError::NoMailbox)?;
    for mut mailbox in all(tx)? {
        let wanted =
            if mailbox.id == target.id { special_use } else { mailbox.special_use & !special_use };
        if mailbox.special_use != wanted {
            mailbox.special_use = wanted;
            mailbox.modseq = tx.modseq()?;
            save(tx, &mailbox)?;
            let subscribed = is_subscribed(tx, &mailbox.name)?;
            tx.publish(ChangeKind::SpecialUse {
                subscribed,
                mailbox: mailbox.id,
                name: mailbox.name,
                special_use: wanted,
            });
        }
    }
    Ok(())
}

/// All mailboxes, sorted by name.
pub(crate) fn all(tx: &Tx<'_>) -> Result<Vec<Mailbox>> {
    let sql = format!("SELECT {} FROM mailbox ORDER BY name", Mailbox::COLUMNS);
    let mut statement = tx.db().prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    let mut mailboxes = Vec::new();
    while let Some(row) = rows.next()? {
        mailboxes.push(Mailbox::from_row(row)?);
    }
    Ok(mailboxes)
}

/// Deletes a mailbox and its messages. The subscription to its name stays (RFC 9051 §6.3.9).
pub(crate) fn delete(tx: &mut Tx<'_>, name: &MailboxName) -> Result<()> {
    if name.is_inbox() {
        return Err(StoreError::IsInbox);
    }
    let mailbox = by_name(tx, name)?.ok_or(StoreError::NoMailbox)?;
    if all(tx)?.iter().any(|other| other.name.is_below(name)) {
        return Err(StoreError::HasChildren);
    }
    let id = mailbox.id;
    remove_everything(tx, mailbox)?;
    annotation::forget(tx, id)?;
    url_key::forget(tx, id)?;
    tx.db().execute("DELETE FROM mailbox WHERE id = ?1", [id.0])?;
    // UIDVALIDITY is never used again, so nobody can ask what went from this mailbox.
    tx.db().execute("DELETE FROM gone WHERE mailbox = ?1", [id.0])?;
    tx.publish(ChangeKind::MailboxRemoved { mailbox: id, name: name.clone() });
    Ok(())
}

/// Renames a mailbox with those below it; the Inbox instead gives away its messages.
/// RFC 9051 §6.3.6.
pub(crate) fn rename(tx: &mut Tx<'_>, old: &MailboxName, new: &MailboxName) -> Result<()> {
    let source = by_name(tx, old)?.ok_or(StoreError::NoMailbox)?;
    if new.is_inbox() {
        return Err(StoreError::IsInbox);
    }
    if by_name(tx, new)?.is_some() {
        return Err(StoreError::MailboxExists);
    }
    if old.is_inbox() {
        let target = ensure(tx, new, false, &mut Vec::new())?;
        annotation::copy(tx, &source, &target)?;
        return move_everything(tx, source, target);
    }
    let moving: Vec<Mailbox> = all(tx)?
        .into_iter()
        .filter(|mailbox| mailbox.name == *old || mailbox.name.is_below(old))
        .collect();
    let mut renamed = Vec::with_capacity(moving.len());
    for mailbox in moving {
        let name = mailbox.name.renamed(old, new).ok_or(StoreError::BadName)?;
        renamed.push((mailbox, name));
    }
    // First out of the way: `a` to `a/b` makes `a` anew, and names are unique at every moment.
    for (mailbox, _) in &renamed {
        let parked = format!("\u{1}{}", mailbox.id);
        tx.db()
            .execute("UPDATE mailbox SET name = ?2 WHERE id = ?1", params![mailbox.id.0, parked])?;
    }
    if let Some(parent) = new.parent() {
        ensure(tx, &parent, false, &mut Vec::new())?;
    }
    for (mut mailbox, name) in renamed {
        let old = std::mem::replace(&mut mailbox.name, name);
        mailbox.modseq = tx.modseq()?;
        save(tx, &mailbox)?;
        let subscribed = is_subscribed(tx, &mailbox.name)?;
        tx.publish(ChangeKind::MailboxRenamed {
            mailbox: mailbox.id,
            old,
            new: mailbox.name,
            special_use: mailbox.special_use,
            subscribed,
        });
    }
    Ok(())
}

/// Subscribes to a name, whether a mailbox has it or not. RFC 9051 §6.3.7.
pub(crate) fn subscribe(tx: &mut Tx<'_>, name: &MailboxName) -> Result<()> {
    if insert_subscription(tx, name)? {
        tx.modseq()?;
        let exists = by_name(tx, name)?.is_some();
        tx.publish(ChangeKind::Subscription { name: name.clone(), subscribed: true, exists });
    }
    Ok(())
}

/// Ends a subscription. Without one, an error unless a mailbox has this name.
pub(crate) fn unsubscribe(tx: &mut Tx<'_>, name: &MailboxName) -> Result<()> {
    let count = tx.db().execute("DELETE FROM subscription WHERE name = ?1", [name.as_str()])?;
    let exists = by_name(tx, name)?.is_some();
    match (count, exists) {
        (0, true) => Ok(()),
        (0, false) => Err(StoreError::NotSubscribed),
        _ => {
            tx.modseq()?;
            tx.publish(ChangeKind::Subscription { name: name.clone(), subscribed: false, exists });
            Ok(())
        }
    }
}

fn insert_subscription(tx: &Tx<'_>, name: &MailboxName) -> Result<bool> {
    let count: usize = tx
        .db()
        .prepare_cached("SELECT count(*) FROM subscription")?
        .query_row([], |row| row.get(0))?;
    if count >= 2 * MAILBOXES_MAX {
        return Err(StoreError::TooMany { what: "subscriptions" });
    }
    let sql = "INSERT OR IGNORE INTO subscription VALUES (?1)";
    Ok(tx.db().execute(sql, [name.as_str()])? > 0)
}

fn is_subscribed(tx: &Tx<'_>, name: &MailboxName) -> Result<bool> {
    let mut statement = tx.db().prepare_cached("SELECT 1 FROM subscription WHERE name = ?1")?;
    Ok(statement.query_row([name.as_str()], |_| Ok(())).optional()?.is_some())
}
