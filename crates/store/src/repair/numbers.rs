//! Counts, and the numbers that are given out.

use mox_base::{Flags, MailboxName, UidValidity};
use rusqlite::params;

use crate::mailbox::{self, Counts, Mailbox};
use crate::tx::Tx;
use crate::{Result, StoreError};

/// Counts the messages of all mailboxes, and the space that they take. Returns the mailboxes whose
/// counts were wrong, with what they were.
pub(crate) fn recount(tx: &mut Tx<'_>) -> Result<Vec<(MailboxName, Counts)>> {
    let mut wrong = Vec::new();
    let mut used_bytes = 0_u64;
    for mut mailbox in mailbox::all(tx)? {
        let counts = counts_of(tx, &mailbox)?;
        used_bytes = used_bytes.saturating_add(counts.size);
        if counts != mailbox.counts {
            wrong.push((mailbox.name.clone(), std::mem::replace(&mut mailbox.counts, counts)));
            mailbox::save(tx, &mailbox)?;
        }
    }
    tx.state.used_bytes = used_bytes;
    Ok(wrong)
}

fn counts_of(tx: &Tx<'_>, mailbox: &Mailbox) -> Result<Counts> {
    let mut statement = tx.db().prepare_cached("SELECT flags, size FROM msg WHERE mailbox = ?1")?;
    let mut rows = statement.query([mailbox.id.0])?;
    let mut counts = Counts::default();
    while let Some(row) = rows.next()? {
        counts.add(Flags::from_bits(row.get(0)?), row.get(1)?);
    }
    Ok(counts)
}

/// Raises the numbers to be given out next above all that were. Returns how many were too low.
pub(crate) fn fix_numbers(tx: &mut Tx<'_>) -> Result<u64> {
    let mut fixed = 0;
    let mut raise = |number: &mut u64, above: u64| {
        if *number <= above {
            *number = above + 1;
            fixed += 1;
        }
    };
    let mailboxes = mailbox::all(tx)?;
    for mut mailbox in mailboxes.clone() {
        let sql = "SELECT coalesce(max(uid), 0) FROM (SELECT max(uid) AS uid FROM msg \
             WHERE mailbox = ?1 UNION ALL SELECT max(uid) FROM gone WHERE mailbox = ?1 \
             UNION ALL SELECT max(uid) FROM tomb WHERE mailbox = ?1)";
        let last: u64 = tx.db().prepare_cached(sql)?.query_row([mailbox.id.0], |row| row.get(0))?;
        let before = mailbox.uidnext;
        raise(&mut mailbox.uidnext, last);
        if mailbox.uidnext != before {
            mailbox::save(tx, &mailbox)?;
        }
    }
    let last = mailboxes.iter().map(|mailbox| u64::from(mailbox.uidvalidity.get())).max();
    raise(&mut tx.state.next_uidvalidity, last.unwrap_or_default());
    let mut raise_id = |number: &mut i64, above: i64| {
        if *number <= above {
            *number = above.saturating_add(1);
            fixed += 1;
        }
    };
    let last = mailboxes.iter().map(|mailbox| mailbox.id.0).max().unwrap_or_default();
    raise_id(&mut tx.state.next_mailbox, last);
    let sql = "SELECT coalesce(max(id), 0) FROM (SELECT max(id) AS id FROM msg \
         UNION ALL SELECT max(id) FROM tomb UNION ALL SELECT max(id) FROM meta)";
    let last: i64 = tx.db().prepare_cached(sql)?.query_row([], |row| row.get(0))?;
    raise_id(&mut tx.state.next_message, last);
    Ok(fixed)
}

/// Gives one mailbox, or all, a UIDVALIDITY that is new, and above `above`: clients forget what they
/// know of it (RFC 9051 §2.3.1.1). Returns what each has now.
pub(crate) fn bump_uidvalidity(
    tx: &mut Tx<'_>,
    name: Option<&MailboxName>,
    above: Option<UidValidity>,
) -> Result<Vec<(MailboxName, UidValidity)>> {
    if let Some(above) = above {
        let least = u64::from(above.get()) + 1;
        tx.state.next_uidvalidity = tx.state.next_uidvalidity.max(least);
    }
    let mut bumped = Vec::new();
    for mailbox in chosen(tx, name)? {
        let uidvalidity = renew(tx, &mailbox)?;
        bumped.push((mailbox.name, uidvalidity));
    }
    Ok(bumped)
}

fn chosen(tx: &Tx<'_>, name: Option<&MailboxName>) -> Result<Vec<Mailbox>> {
    match name {
        Some(name) => Ok(vec![mailbox::by_name(tx, name)?.ok_or(StoreError::NoMailbox)?]),
        None => mailbox::all(tx),
    }
}

fn renew(tx: &mut Tx<'_>, mailbox: &Mailbox) -> Result<UidValidity> {
    // An account that was put back must not repeat what it gave out after the backup.
    let least = u64::try_from(tx.now.0 >> 1).unwrap_or_default().min(u64::from(u32::MAX >> 1));
    tx.state.next_uidvalidity = tx.state.next_uidvalidity.max(least);
    let (uidvalidity, modseq) = (tx.new_uidvalidity()?, tx.modseq()?);
    tx.db()
        .prepare_cached("UPDATE mailbox SET uidvalidity = ?2, modseq = ?3 WHERE id = ?1")?
        .execute(params![mailbox.id.0, uidvalidity.get(), modseq.get()])?;
    // What they know has become wrong, and there is no telling it message by message.
    tx.shared.lose_track();
    Ok(uidvalidity)
}

/// Gives the messages of one mailbox, or of all, UIDs from 1 on, in the order they have, and the
/// mailbox a new UIDVALIDITY. Returns how many messages got another UID.
pub(crate) fn reassign_uids(tx: &mut Tx<'_>, name: Option<&MailboxName>) -> Result<u64> {
    let mut changed = 0;
    for mut mailbox in chosen(tx, name)? {
        renew(tx, &mailbox)?;
        let modseq = tx.modseq()?;
        let sql = "SELECT uid, 0 FROM msg WHERE mailbox = ?1 UNION ALL \
             SELECT uid, 1 FROM tomb WHERE mailbox = ?1 ORDER BY 1";
        let uids = tx
            .db()
            .prepare_cached(sql)?
            .query_map([mailbox.id.0], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<rusqlite::Result<Vec<(u32, bool)>>>()?;
        // Of the time before the new UIDVALIDITY nobody can ask.
        tx.db().prepare_cached("DELETE FROM gone WHERE mailbox = ?1")?.execute([mailbox.id.0])?;
        let mut uid = 0_u32;
        for (old, is_tomb) in uids {
            uid += 1;
            // A new one is never above the old, so it is free by now.
            if is_tomb {
                tx.db()
                    .prepare_cached("UPDATE tomb SET uid = ?3 WHERE mailbox = ?1 AND uid = ?2")?
                    .execute(params![mailbox.id.0, old, uid])?;
            } else if old != uid {
                let sql = "UPDATE msg SET uid = ?3, modseq = ?4, createseq = ?4 \
                     WHERE mailbox = ?1 AND uid = ?2";
                let with = params![mailbox.id.0, old, uid, modseq.get()];
                changed += tx.db().prepare_cached(sql)?.execute(with)? as u64;
            }
        }
        mailbox.uidnext = u64::from(uid) + 1;
        mailbox.modseq = modseq;
        mailbox::save(tx, &mailbox)?;
    }
    Ok(changed)
}
