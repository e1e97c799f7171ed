//! What an account has sent: for limits, and for programs in which a user writes.

use mox_base::{Address, Domain, UnixSeconds};
use mox_bstore::Record;
use mox_queue::{KeptRcpt, KeptSent, Queue, TlsHint};
use mox_smtp::Mailbox;

use crate::account::Account;
use crate::file::TakeoverError;
use crate::known::{Kind, fields};
use crate::summary::Summary;

/// Rows of one commit.
const BATCH_ROWS_MAX: usize = 1_024;

pub(crate) const OUTGOING: Kind = Kind {
    table: "Outgoing",
    what: "recipients of messages that were sent",
    fields: fields!("Recipient", "Submitted"),
};

pub(crate) const RECIPIENT_DOMAIN_TLS: Kind = Kind {
    table: "RecipientDomainTLS",
    what: "domains of which is known what their servers offer",
    fields: fields!("Updated", "STARTTLS", "RequireTLS"),
};

impl Account {
    /// Says what [`Account::copy_sending`] would. Blocks.
    ///
    /// # Errors
    ///
    /// None for damage, which is noted.
    pub fn check_sending(&self) -> Result<Summary, TakeoverError> {
        let mut summary = Summary::default();
        self.outgoing(None, &mut summary)?;
        self.tls_hints(None, &mut summary)?;
        Ok(summary)
    }

    /// Copies to whom the account has sent, how much within the last day, and what servers of its
    /// recipients offered. Done again, it counts nothing twice. Blocks.
    ///
    /// - `name`: of the account.
    ///
    /// # Errors
    ///
    /// If the disk fails. Damage is noted, and the rest is copied.
    pub fn copy_sending(
        &self,
        name: &str,
        into: &Queue,
        now: UnixSeconds,
    ) -> Result<Summary, TakeoverError> {
        let (mut summary, into) = (Summary::default(), Some((name, into, now)));
        self.outgoing(into, &mut summary)?;
        self.tls_hints(into, &mut summary)?;
        Ok(summary)
    }

    fn outgoing(
        &self,
        into: Option<(&str, &Queue, UnixSeconds)>,
        summary: &mut Summary,
    ) -> Result<(), TakeoverError> {
        let mut sent = into.map(|(_, _, now)| KeptSent::new(now));
        let mut batch = Vec::new();
        let flush = |batch: &mut Vec<KeptRcpt>| match into {
            Some((name, queue, _)) => queue.keep_rcpts(name, std::mem::take(batch)).wait(),
            None => {
                batch.clear();
                Ok(())
            }
        };
        self.index.each(&OUTGOING, summary, |record, summary| {
            let at = UnixSeconds(record.time("Submitted").map_or(0, |time| time.unix_secs));
            if let Some(sent) = &mut sent {
                sent.add(at);
            }
            summary.took(OUTGOING.what, 1);
            batch.push(KeptRcpt { address: address(record.text("Recipient")), first: at });
            if batch.len() >= BATCH_ROWS_MAX {
                flush(&mut batch)?;
            }
            Ok(true)
        })?;
        flush(&mut batch)?;
        if let (Some((name, queue, _)), Some(sent)) = (into, sent) {
            queue.keep_sent(name, sent).wait()?;
        }
        Ok(())
    }

    fn tls_hints(
        &self,
        into: Option<(&str, &Queue, UnixSeconds)>,
        summary: &mut Summary,
    ) -> Result<(), TakeoverError> {
        let mut batch = Vec::new();
        let flush = |batch: &mut Vec<_>| match into {
            Some((name, queue, _)) => queue.keep_tls_hints(name, std::mem::take(batch)).wait(),
            None => {
                batch.clear();
                Ok(())
            }
        };
        self.index.each(&RECIPIENT_DOMAIN_TLS, summary, |record, summary| {
            let name = record.text("Domain");
            let Ok(domain) = Domain::parse(name) else {
                summary.skip("domains of recipients that cannot be any", format!("{name:?}"));
                return Ok(true);
            };
            summary.took(RECIPIENT_DOMAIN_TLS.what, 1);
            batch.push(hint(&domain, record));
            if batch.len() >= BATCH_ROWS_MAX {
                flush(&mut batch)?;
            }
            Ok(true)
        })?;
        Ok(flush(&mut batch)?)
    }
}

fn hint(domain: &Domain, record: &Record) -> (String, TlsHint, UnixSeconds) {
    let updated = record.time("Updated").map_or(0, |time| time.unix_secs);
    let hint = TlsHint {
        has_starttls: record.bool("STARTTLS"),
        has_requiretls: record.bool("RequireTLS"),
    };
    (domain.ascii().to_owned(), hint, UnixSeconds(updated))
}

/// As ours writes it, if it is one; literals of addresses and what else there may be stay as they are.
fn address(text: &str) -> String {
    let ours = Address::parse(text).map(|address| Mailbox::from(address).to_string());
    ours.unwrap_or_else(|_| text.to_owned())
}
