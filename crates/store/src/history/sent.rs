//! The table `recipient`: to whom the account wrote, by the messages in its mailboxes for sent mail.

use mox_base::{Address, Domain, Localpart, MsgId, UnixSeconds};
use mox_dns::organizational_domain;
use mox_mime::{AddressRef, MessageRef};
use mox_policy::Addressee;
use rusqlite::{Connection, params};

use super::keys;
use crate::Result;

/// Addresses of one message that are remembered, of To, Cc and Bcc together. Ours.
pub(super) const RECIPIENTS_MAX: usize = 1_000;

/// `\Sent` in `mailbox.special_use`.
const SENT_BIT: u16 = 8;

/// Remembers to whom a message went, by its structure. What is no address is passed over.
pub(crate) fn record(
    db: &Connection,
    id: MsgId,
    structure: &[u8],
    sent: UnixSeconds,
) -> Result<()> {
    let Ok(envelope) = MessageRef::new(structure).and_then(|message| message.envelope()) else {
        return Ok(());
    };
    let all = envelope.to().chain(envelope.cc()).chain(envelope.bcc());
    for address in all.filter_map(|item| address(&item)).take(RECIPIENTS_MAX) {
        record_one(db, id, &address, sent)?;
    }
    Ok(())
}

/// Remembers that a message went to an address.
fn record_one(db: &Connection, id: MsgId, address: &Address, sent: UnixSeconds) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO recipient VALUES (?1, ?2, ?3, ?4)";
    let mut insert = db.prepare_cached(sql)?;
    let organization = organizational_domain(&address.domain);
    let addressees = [
        Addressee::Address(address),
        Addressee::Domain(&address.domain),
        Addressee::Organization(&organization),
    ];
    for key in addressees.map(keys::of_addressee) {
        insert.execute(params![key.kind as u8, key.text, sent.0, id.0])?;
    }
    Ok(())
}

/// Remembers that a message went to an address which it need not name: Bcc. Passed over if the message is
/// not there.
pub(crate) fn keep(db: &Connection, id: MsgId, address: &Address, sent: UnixSeconds) -> Result<()> {
    let mut find = db.prepare_cached("SELECT 1 FROM msg WHERE id = ?1")?;
    match find.exists([id.0])? {
        true => record_one(db, id, address, sent),
        false => Ok(()),
    }
}

fn address(item: &AddressRef<'_>) -> Option<Address> {
    let text = |bytes: Option<&'_ [u8]>| Some(std::str::from_utf8(bytes?).ok()?.to_owned());
    Some(Address {
        localpart: Localpart::from_decoded(&text(item.mailbox)?).ok()?,
        domain: Domain::parse(&text(item.host)?).ok()?,
    })
}

/// Remembers to whom a message went that came into a mailbox for sent mail from another.
pub(super) fn record_stored(db: &Connection, id: MsgId) -> Result<()> {
    let sql = "SELECT t.structure, coalesce(m.sent, t.received) FROM meta t \
         LEFT JOIN msg m ON m.id = t.id WHERE t.id = ?1";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([id.0])?;
    match rows.next()? {
        Some(row) => {
            let structure: Vec<u8> = row.get(0)?;
            record(db, id, &structure, UnixSeconds(row.get(1)?))
        }
        None => Ok(()),
    }
}

/// A copy went to the same people.
pub(super) fn copy(db: &Connection, from: MsgId, to: MsgId) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO recipient SELECT kind, key, sent, ?2 FROM recipient \
         WHERE id = ?1";
    db.prepare_cached(sql)?.execute([from.0, to.0])?;
    Ok(())
}

pub(super) fn forget(db: &Connection, id: MsgId) -> Result<()> {
    db.prepare_cached("DELETE FROM recipient WHERE id = ?1")?.execute([id.0])?;
    Ok(())
}

/// Remembers all that was sent before there was this table.
pub(crate) fn fill(db: &Connection) -> Result<()> {
    let sql = "SELECT m.id FROM msg m JOIN mailbox b ON b.id = m.mailbox \
         WHERE b.special_use & ?1 != 0 ORDER BY m.id";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([SENT_BIT])?;
    while let Some(row) = rows.next()? {
        record_stored(db, MsgId(row.get(0)?))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mox_base::MailboxName;
    use mox_testkit::ManualClock;

    use super::*;
    use crate::{Destination, NewMessage, Policy, Store};

    fn rows(db: &Connection) -> Vec<(u8, String)> {
        let mut statement = db.prepare("SELECT kind, key FROM recipient ORDER BY 1, 2").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<rusqlite::Result<_>>().unwrap()
    }

    /// An account of version 2 knows its sent mail, and not yet to whom it went.
    #[test]
    fn what_was_sent_before_there_was_a_table_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let policy = Policy { initial_mailboxes: Policy::default_mailboxes(), ..Policy::default() };
        let clock = Arc::new(ManualClock::at(UnixSeconds(1_795_164_932)));
        let store = Store::new(dir.path(), clock, Arc::new(policy));
        let account = store.account("mjl").unwrap();
        for (mailbox, to) in [("Sent", "Ann <ann@example.org>, not one"), ("Drafts", "b@c.example")]
        {
            let text = format!("To: {to}\r\nCc: ann@example.org\r\n\r\nbody\r\n");
            let content =
                account.stage(Vec::new(), &mut std::io::Cursor::new(text.into_bytes())).unwrap();
            let message = NewMessage {
                content,
                flags: mox_base::Flags::NONE,
                keywords: Vec::new(),
                received: None,
                envelope: None,
            };
            let mailbox = MailboxName::parse(mailbox).unwrap();
            account.add(Destination { mailbox, create: false }, vec![message]).wait().unwrap();
        }
        let db = Connection::open(dir.path().join("accounts/mjl/index.db")).unwrap();
        let before = rows(&db);
        let want = [(14, "ann@example.org"), (15, "example.org"), (16, "example.org")];
        assert_eq!(before, want.map(|(kind, key)| (kind, key.to_owned())));
        db.execute("DELETE FROM recipient", []).unwrap();
        fill(&db).unwrap();
        assert_eq!(rows(&db), before);
    }
}
