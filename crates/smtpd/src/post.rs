//! Copies of a message on their way into accounts: what is written on them, and how they are stored.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::sync::Arc;

use aws_lc_rs::digest;
use mox_base::{DateTime, Domain, Flags, MailboxName, UnixSeconds};
use mox_config::Config;
use mox_net::blocking;
use mox_smtp::ForwardPath;
use mox_smtp::server::{DataRefusal, Envelope};
use mox_smtp::trace::{Received, delivered_to_field, return_path_field};
use mox_store::{
    Added, CONTENT_HASH_BYTES, Decision, NewMessage, Pending, ReceivedTls, Store, StoreError,
};

use crate::connection::Connection;
use crate::decision::{Decided, Judgement, mail_from_text};
use crate::facts::Facts;
use crate::refusal;
use crate::routing::Copy;
use crate::spool::Spool;

/// How much of a message is hashed at a time.
const HASH_CHUNK_BYTES: usize = 64 << 10;

/// Copies of one message that are prepared and stored at the same time: what one transaction may
/// hold in memory, and the share that it may take of the disk.
pub const COPIES_AT_ONCE_MAX: usize = 16;

/// A copy ready for its account.
struct Parcel {
    account: Arc<str>,
    mailbox: MailboxName,
    prefix: String,
    envelope: mox_store::Envelope,
}

/// What became of one copy.
pub(crate) type Stored = Result<Added, DataRefusal>;

/// A copy with what was decided for it.
pub(crate) type Judged<'a> = (&'a Copy, Judgement);

/// Stores all copies that are granted, some at a time, and returns what became of each.
pub(crate) async fn store_copies(
    post: &Postmark<'_>,
    copies: &[Judged<'_>],
    granted: &[bool],
    mut spool: Spool,
) -> (Spool, Vec<Stored>) {
    let (connection, now) = (post.connection, post.now);
    let wanted: Vec<usize> = (0..granted.len()).filter(|place| granted[*place]).collect();
    let refused = |(_, judgement): &Judged<'_>| {
        Err(judgement.refusal.clone().unwrap_or(DataRefusal::Unavailable))
    };
    let mut outcomes: Vec<Stored> = copies.iter().map(refused).collect();
    let mut has_stored = false;
    for group in wanted.chunks(COPIES_AT_ONCE_MAX) {
        let parcels: Vec<Parcel> = group.iter().map(|place| post.parcel(&copies[*place])).collect();
        let store = connection.smtpd.services.store.clone();
        // A small message is prepared in less time than it takes to wake another thread for it.
        let is_quick = parcels.len() == 1 && spool.is_small();
        let queue = move || queue(&store, spool, parcels, now, has_stored);
        let (back, queued) = if is_quick { queue() } else { blocking(queue).await };
        spool = back;
        match queued {
            Ok(pending) => {
                has_stored = true;
                for (&place, pending) in group.iter().zip(pending) {
                    let outcome = match pending {
                        Ok(pending) => pending.await,
                        Err(error) => Err(error),
                    };
                    outcomes[place] = outcome
                        .map_err(|error| not_stored(connection.cid, copies[place].0, &error));
                }
            }
            // Nobody has the message, so that everybody's share can be tried again.
            Err(error) => {
                tracing::error!(cid = connection.cid, %error, "preparing a message");
                return (spool, vec![Err(refusal::store(&error)); copies.len()]);
            }
        }
    }
    (spool, outcomes)
}

/// Keeps what was refused for the users to find: in the Rejects mailbox, if the account has one, and
/// in the table of decisions. That this fails is no business of the sender.
///
/// An account keeps one copy, however many of its recipients refused the message.
pub(crate) async fn keep_refused(
    post: &Postmark<'_>,
    config: &Config,
    copies: &[Judged<'_>],
    granted: &[bool],
    mut spool: Spool,
) {
    let mut keepers: HashSet<&str> = HashSet::new();
    let refused = copies.iter().zip(granted).filter(|(_, granted)| !**granted);
    let refused = refused.filter_map(|(judged, _)| {
        let (copy, Judgement { decided: Some(decided), .. }) = judged else { return None };
        // Refused for something else, as a localserve does when asked: that is no decision.
        decided.verdict.refusal.as_ref()?;
        let settings = config.account(&copy.account);
        let rejects = settings.filter(|_| decided.verdict.may_keep_reject).and_then(|settings| {
            let mailbox = settings.rejects_mailbox.as_ref()?.0.clone();
            let is_first = keepers.insert(&copy.account);
            let keeps_all = settings.keep_rejects;
            is_first.then(|| Rejects { mailbox, keeps_all, parcel: post.parcel(judged) })
        });
        let row = decided.row(post.message_id.clone());
        Some(Refused { account: Arc::clone(&copy.account), row, rejects })
    });
    let mut refused: Vec<Refused> = refused.collect();
    let (cid, now) = (post.connection.cid, post.now);
    let store = post.connection.smtpd.services.store.clone();
    let keep = move || {
        let mut content_hash = None;
        while !refused.is_empty() {
            let rest = refused.split_off(refused.len().min(COPIES_AT_ONCE_MAX));
            // Queued together, so that they are written together.
            let queue = |one: Refused| {
                let (account, row) = (Arc::clone(&one.account), one.row.clone());
                (account, row, one.queue(&store, &mut spool, &mut content_hash, now))
            };
            let queued: Vec<_> = refused.into_iter().map(queue).collect();
            for (account, row, kept) in queued {
                if let Err(error) = kept.and_then(Kept::wait) {
                    tracing::error!(cid, %account, %error, "keeping a refused message");
                    // Without a copy, the reason is told all the same.
                    let told =
                        store.account(&account).and_then(|it| it.record_decision(row).wait());
                    let _told_or_not = told.inspect_err(|error| {
                        tracing::error!(cid, %account, %error, "recording a decision");
                    });
                }
            }
            refused = rest;
        }
    };
    if !granted.iter().all(|granted| *granted) {
        blocking(keep).await;
    }
}

/// A copy that was refused.
struct Refused {
    account: Arc<str>,
    row: Decision,
    rejects: Option<Rejects>,
}

/// A copy for the Rejects mailbox of its account.
struct Rejects {
    mailbox: MailboxName,
    keeps_all: bool,
    parcel: Parcel,
}

/// What is on its way into an account.
enum Kept {
    Decision(Pending<()>),
    Copy(Pending<Option<Added>>),
}

impl Kept {
    /// Blocks until it is durable.
    fn wait(self) -> Result<(), StoreError> {
        match self {
            Self::Decision(pending) => pending.wait(),
            Self::Copy(pending) => pending.wait().map(|_| ()),
        }
    }
}

impl Refused {
    /// Blocks.
    fn queue(
        self,
        store: &Store,
        spool: &mut Spool,
        content_hash: &mut Option<[u8; CONTENT_HASH_BYTES]>,
        now: UnixSeconds,
    ) -> Result<Kept, StoreError> {
        let account = store.account(&self.account)?;
        let Some(Rejects { mailbox, keeps_all, mut parcel }) = self.rejects else {
            return Ok(Kept::Decision(account.record_decision(self.row)));
        };
        let hash = match *content_hash {
            Some(hash) => hash,
            None => *content_hash.insert(hash(spool)?),
        };
        if let Some(incoming) = &mut parcel.envelope.incoming {
            incoming.content_hash = Some(hash);
        }
        let content = account.stage(parcel.prefix.into_bytes(), spool.reader()?)?;
        let envelope = Some(parcel.envelope);
        let (flags, keywords, received) = (Flags::NONE, Vec::new(), Some(now.into()));
        let message = NewMessage { content, flags, keywords, received, envelope };
        Ok(Kept::Copy(account.keep_reject(mailbox, keeps_all, message)))
    }
}

/// SHA-256 of the message without what we write on it.
fn hash(spool: &mut Spool) -> io::Result<[u8; CONTENT_HASH_BYTES]> {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut chunk = vec![0; HASH_CHUNK_BYTES];
    let reader = spool.reader()?;
    loop {
        match reader.read(&mut chunk) {
            Ok(0) => break,
            Ok(count) => context.update(chunk.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let mut hash = [0; CONTENT_HASH_BYTES];
    hash.copy_from_slice(context.finish().as_ref());
    Ok(hash)
}

fn not_stored(cid: u64, copy: &Copy, error: &StoreError) -> DataRefusal {
    tracing::error!(cid, account = %copy.account, rcpt = %copy.rcpt, %error, "storing a message");
    refusal::store(error)
}

type Queued = Result<Vec<Result<Pending<Added>, StoreError>>, StoreError>;

/// Prepares all parcels, and only then queues the first of them: what keeps one from being
/// prepared, such as a full disk, is found before any account has the message.
///
/// Fails as a whole unless others have it already. Blocks.
fn queue(
    store: &Store,
    mut spool: Spool,
    parcels: Vec<Parcel>,
    now: UnixSeconds,
    has_stored: bool,
) -> (Spool, Queued) {
    let mut staged = Vec::with_capacity(parcels.len());
    for parcel in parcels {
        let content = store.account(&parcel.account).and_then(|account| {
            let content = account.stage(parcel.prefix.into_bytes(), spool.reader()?)?;
            Ok((account, content))
        });
        match content {
            Ok((account, content)) => {
                let envelope = Some(parcel.envelope);
                let (flags, keywords, received) = (Flags::NONE, Vec::new(), Some(now.into()));
                let message = NewMessage { content, flags, keywords, received, envelope };
                staged.push(Ok((account, parcel.mailbox, message)));
            }
            Err(error) if has_stored => staged.push(Err(error)),
            Err(error) => return (spool, Err(error)),
        }
    }
    let queued = staged.into_iter().map(|staged| {
        staged.map(|(account, mailbox, message)| {
            account.add(mox_store::Destination { mailbox, create: true }, vec![message])
        })
    });
    (spool, Ok(queued.collect()))
}

/// What is written on each copy.
pub(crate) struct Postmark<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) envelope: &'a Envelope,
    pub(crate) facts: &'a Facts,
    /// The fields that tell of them where DMARC's outcome was followed.
    pub(crate) results: String,
    pub(crate) message_id: Option<String>,
    pub(crate) needs_utf8: bool,
    pub(crate) now: UnixSeconds,
}

impl Postmark<'_> {
    fn parcel(&self, (copy, judgement): &Judged<'_>) -> Parcel {
        let reverse_path = &self.envelope.mail.reverse_path;
        let hostname = &self.connection.port.hostname;
        let decided = judgement.decided.as_deref();
        let overrides = decided.map(|decided| decided.overrides(self.facts));
        let results = match overrides {
            Some(overrides) if !overrides.is_empty() => {
                &self.facts.fields(hostname, self.now, &overrides, self.needs_utf8)
            }
            _ => &self.results,
        };
        let prefix = [
            decided.map(|decided| decided.fields(self.needs_utf8)).unwrap_or_default(),
            delivered_to_field(&copy.address),
            return_path_field(reverse_path),
            results.clone(),
            received(
                self.connection,
                self.envelope,
                self.facts.remote_name().as_ref(),
                self.needs_utf8,
                Some(&copy.rcpt),
                self.now,
            ),
        ]
        .concat();
        let client = self.envelope.client_name.as_ref();
        let incoming = |decided: &Decided| decided.incoming(self.message_id.clone());
        let envelope = mox_store::Envelope {
            mail_from: mail_from_text(reverse_path),
            rcpt_to: copy.rcpt.mailbox().unwrap_or(&copy.address).to_string(),
            remote_ip: self.connection.conn.peer_ip().to_string(),
            ehlo: client.map(ToString::to_string).unwrap_or_default(),
            tls: received_tls(self.connection, self.envelope),
            incoming: decided.map(incoming),
        };
        let mailbox = judgement.mailbox.clone();
        Parcel { account: Arc::clone(&copy.account), mailbox, prefix, envelope }
    }
}

/// How a message was protected on its way from the client.
fn received_tls(connection: &Connection, envelope: &Envelope) -> ReceivedTls {
    let is_required = envelope.mail.requires_tls;
    match connection.conn.tls() {
        Some(tls) => {
            let (version, cipher) = (tls.version.number(), tls.cipher_number);
            ReceivedTls { version, cipher, is_required }
        }
        None => ReceivedTls { version: ReceivedTls::PLAIN, cipher: 0, is_required },
    }
}

/// RFC 5321 §4.4. Of a delivery, each copy names its own recipient and no other, §7.2.
///
/// - `rcpt`: `None` where one message is for several.
pub(crate) fn received(
    connection: &Connection,
    envelope: &Envelope,
    remote_name: Option<&Domain>,
    needs_utf8: bool,
    rcpt: Option<&ForwardPath>,
    now: UnixSeconds,
) -> String {
    let conn = &connection.conn;
    let tls = conn.tls().map(|tls| (tls.version.to_string(), tls.cipher_suite.as_str()));
    let received = Received {
        service: connection.port.kind,
        envelope,
        hostname: &connection.port.hostname,
        local_ip: conn.local().ip(),
        remote_ip: conn.peer_ip(),
        remote_name,
        is_utf8: needs_utf8,
        id: &connection.id,
        tls: tls.as_ref().map(|(version, cipher)| (version.as_str(), *cipher)),
        rcpt,
        time: DateTime::from_unix(now),
    };
    received.field()
}
