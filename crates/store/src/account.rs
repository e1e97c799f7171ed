//! An open account: the only door to its mailboxes and messages.
//!
//! Writes return a [`Pending`], which is ready once the change is durable. Reads block on the
//! disk for a short time and happen on a [`Reader`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use mox_base::{
    Address, Clock, MailboxId, MailboxName, ModSeq, SpecialUse, Uid, UidValidity, UnixSeconds,
};
use mox_policy::PassKey;
use mox_sqlite::{Disk, create_dirs};
use parking_lot::Mutex;
use rusqlite::Connection;

use crate::copy::CopyOutcome;
use crate::decision::Decision;
use crate::feed::{Hub, SubscriberId, Subscription};
use crate::flag::{FlagChange, FlagOutcome};
use crate::hold::Holds;
use crate::import::{self, Imported};
use crate::mailbox::{self, Counts, Mailbox};
use crate::message::{self, Added, Destination, NewMessage};
use crate::policy::{Policies, Policy};
use crate::pool::Pool;
use crate::read::Reader;
use crate::remove::{Expunge, ExpungeOutcome};
use crate::tx::{State, Tx};
use crate::url_key::UrlKey;
use crate::writer::{Queue, Writer};
use crate::{
    AnnotationChange, Pending, Result, StoreError, annotation, check, copy, flag, pass_key,
    rejects, remove, repair, replace, schema, secret, stage, url_key,
};
use mox_base::NumSet;

/// The most idle connections for reading that an account keeps.
const READERS_KEPT_MAX: usize = 8;

/// After so many commits since a tick, filling the search index waits for the next tick: while
/// mail streams in, delivering it comes first.
const INDEX_PATIENCE: u32 = 3;

/// An open account. Cheap to clone; the account stays open while a clone exists.
#[derive(Clone)]
pub struct Account {
    shared: Arc<Shared>,
    origin: Option<SubscriberId>,
}

/// Who may be at the files of an account beside us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Others may, and we may write.
    Shared,
    /// Nobody changes them.
    Still,
}

/// What all handles of an account share.
pub(crate) struct Shared {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
    policies: Arc<dyn Policies>,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) pool: Pool,
    pub(crate) access: Access,
    pub(crate) holds: Arc<Holds>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) queue: Queue,
    pub(crate) writer: Mutex<Option<Writer>>,
    readers: Mutex<Vec<Connection>>,
    pub(crate) poisoned: AtomicBool,
    /// The log must become durable before the first write.
    pub(crate) recover: AtomicBool,
    /// Removed messages wait for erasure.
    pub(crate) tombs: AtomicBool,
    /// There may be contents that are not in the search index.
    index_behind: AtomicBool,
    /// There may be messages to be learnt or unlearnt.
    junk_behind: AtomicBool,
    /// There may be messages whose hash is not known.
    hashes_behind: AtomicBool,
    /// How many more commits may come before filling the index is put off to the next tick.
    index_patience: AtomicU32,
    /// What subscribers know is no longer true once the batch at hand is committed.
    lost_track: AtomicBool,
    /// The modseq of the last commit.
    committed: AtomicU64,
    last_used: AtomicI64,
    /// Tells the body files of this use of the account from those of others.
    opened_at: i64,
    last_blob: AtomicI64,
}

impl Shared {
    pub(crate) fn new(
        name: String,
        dir: PathBuf,
        clock: Arc<dyn Clock>,
        policies: Arc<dyn Policies>,
        disk: Arc<dyn Disk>,
        pool: Pool,
        recover: bool,
    ) -> Self {
        let now = clock.now();
        Self {
            name,
            dir,
            clock,
            policies,
            disk,
            pool,
            access: Access::Shared,
            holds: Arc::default(),
            hub: Arc::default(),
            queue: Queue::default(),
            writer: Mutex::default(),
            readers: Mutex::default(),
            poisoned: AtomicBool::new(false),
            recover: AtomicBool::new(recover),
            tombs: AtomicBool::new(true),
            index_behind: AtomicBool::new(true),
            junk_behind: AtomicBool::new(true),
            hashes_behind: AtomicBool::new(true),
            index_patience: AtomicU32::new(0),
            lost_track: AtomicBool::new(false),
            committed: AtomicU64::new(0),
            last_used: AtomicI64::new(now.0),
            opened_at: now.0,
            last_blob: AtomicI64::new(0),
        }
    }

    pub(crate) fn db_path(&self) -> PathBuf {
        self.dir.join(crate::ACCOUNT_DATABASE)
    }

    pub(crate) fn blob_dir(&self) -> PathBuf {
        self.dir.join(crate::BODIES)
    }

    /// A number for the next body file, unique within this process's use of the account.
    pub(crate) fn next_blob_number(&self) -> i64 {
        self.last_blob.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn opened_at(&self) -> i64 {
        self.opened_at
    }

    pub(crate) fn policy(&self) -> Result<Arc<Policy>> {
        self.policies.policy(&self.name).ok_or(StoreError::NoAccount)
    }

    /// Notes the modseq of a commit, before it is published.
    pub(crate) fn committed(&self, modseq: ModSeq) {
        self.committed.store(modseq.get(), Ordering::Release);
    }

    /// There is something to be indexed.
    pub(crate) fn index_is_behind(&self) {
        self.index_behind.store(true, Ordering::Release);
    }

    /// Nothing is left to be indexed; asked for before looking.
    pub(crate) fn take_index_behind(&self) -> bool {
        self.index_behind.swap(false, Ordering::AcqRel)
    }

    /// There is something to be learnt.
    pub(crate) fn junk_is_behind(&self) {
        self.junk_behind.store(true, Ordering::Release);
    }

    /// Nothing is left to be learnt; asked for before looking.
    pub(crate) fn take_junk_behind(&self) -> bool {
        self.junk_behind.swap(false, Ordering::AcqRel)
    }

    /// There are messages to be hashed.
    pub(crate) fn hashes_are_behind(&self) {
        self.hashes_behind.store(true, Ordering::Release);
    }

    /// Nothing is left to be hashed; asked for before looking.
    pub(crate) fn take_hashes_behind(&self) -> bool {
        self.hashes_behind.swap(false, Ordering::AcqRel)
    }

    /// Subscribers must read anew after this commit.
    pub(crate) fn lose_track(&self) {
        self.lost_track.store(true, Ordering::Release);
    }

    /// Whether they must; asked for after a commit.
    pub(crate) fn take_lost_track(&self) -> bool {
        self.lost_track.swap(false, Ordering::AcqRel)
    }

    /// The account was quiet, or another tick has passed: the index may be filled for a while.
    /// Returns whether there is anything to fill it with.
    pub(crate) fn allow_indexing(&self) -> bool {
        self.index_patience.store(INDEX_PATIENCE, Ordering::Release);
        [&self.index_behind, &self.junk_behind, &self.hashes_behind]
            .iter()
            .any(|is_behind| is_behind.load(Ordering::Acquire))
    }

    /// A commit came: those who write go first.
    pub(crate) fn was_busy(&self) {
        let less = |patience: u32| patience.checked_sub(1);
        let _was = self.index_patience.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }

    pub(crate) fn may_index(&self) -> bool {
        self.index_patience.load(Ordering::Acquire) > 0
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.poisoned.load(Ordering::Acquire)
    }

    pub(crate) fn touch(&self) {
        self.last_used.store(self.clock.now().0, Ordering::Relaxed);
    }

    pub(crate) fn last_used(&self) -> UnixSeconds {
        UnixSeconds(self.last_used.load(Ordering::Relaxed))
    }

    /// Makes the folders and the database if they are missing, and sweeps what a crash left.
    pub(crate) fn open(&self, policy: &Policy) -> Result<()> {
        create_dirs(&*self.disk, &self.dir)?;
        let is_new = !self.db_path().exists();
        let mut slot = self.writer.lock();
        if is_new {
            let db = schema::open_writer(&self.db_path())?;
            drop(db);
            self.disk.sync_dir(&self.dir)?;
        }
        let db = schema::open_writer(&self.db_path())?;
        let count: u32 = db.query_row("SELECT count(*) FROM state", [], |row| row.get(0))?;
        if count == 0 {
            self.initialise(&db, policy)?;
        }
        drop(db);
        let writer = Writer::open(self)?;
        stage::sweep(self, &writer.db)?;
        self.committed(writer.state.modseq);
        *slot = Some(writer);
        Ok(())
    }

    /// Fills a new database: the counters, the Inbox, the configured mailboxes.
    fn initialise(&self, db: &Connection, policy: &Policy) -> Result<()> {
        db.execute_batch("BEGIN IMMEDIATE")?;
        // The first UIDVALIDITY grows with time, so that an account that is removed and made
        // anew does not repeat one (RFC 9051 §2.3.1.1).
        let seconds = u64::try_from(self.clock.now().0).unwrap_or_default();
        let state = State {
            modseq: ModSeq::new(1).unwrap_or_default(),
            next_message: 1,
            next_mailbox: 1,
            next_uidvalidity: (seconds >> 1).clamp(1, u64::from(u32::MAX >> 1)),
            used_bytes: 0,
        };
        let mut tx = Tx::new(db, self, state, None);
        mailbox::create(&mut tx, &MailboxName::inbox(), SpecialUse::NONE, true)?;
        for (name, role) in &policy.initial_mailboxes {
            mailbox::create(&mut tx, name, *role, true)?;
        }
        let (state, _) = tx.finish();
        state.save(db)?;
        db.execute_batch("COMMIT")?;
        Ok(())
    }

    pub(crate) fn take_reader(&self) -> Result<Connection> {
        if let Some(db) = self.readers.lock().pop() {
            return Ok(db);
        }
        match self.access {
            Access::Shared => schema::open_reader(&self.db_path()),
            Access::Still => schema::open_still(&self.db_path()),
        }
    }

    pub(crate) fn return_reader(&self, db: Connection) {
        let mut readers = self.readers.lock();
        if readers.len() < READERS_KEPT_MAX && db.is_autocommit() {
            readers.push(db);
        }
    }
}

/// The last connection that closes empties the log into the database, if it may write.
impl Drop for Shared {
    fn drop(&mut self) {
        self.readers.get_mut().clear();
    }
}

impl Account {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, origin: None }
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The name of the account.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// The most bytes its messages may take, by the configuration as it is now.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoAccount`] if the configuration no longer has the account.
    pub fn quota_bytes(&self) -> Result<Option<u64>> {
        Ok(self.shared.policy()?.quota_bytes)
    }

    /// What the configuration says of the account as it is now.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoAccount`] if the configuration no longer has the account.
    pub fn policy(&self) -> Result<Arc<Policy>> {
        self.shared.policy()
    }

    /// The folder in which bodies can be spooled so that they are on the same file system.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.shared.dir
    }

    /// Subscribes to all changes from now on. Does not block.
    ///
    /// Read the account after subscribing, and ignore the changes whose modseq is not above
    /// [`Reader::modseq`]: what was read has them already.
    #[must_use]
    pub fn subscribe(&self) -> Subscription {
        // Whatever commits between the look and the subscription is only told once too often.
        let now = ModSeq::new(self.shared.committed.load(Ordering::Acquire)).unwrap_or_default();
        self.shared.hub.subscribe(now)
    }

    /// A handle whose writes are marked as this subscriber's.
    #[must_use]
    pub fn acting_as(&self, subscription: &Subscription) -> Self {
        Self { shared: Arc::clone(&self.shared), origin: Some(subscription.id()) }
    }

    /// Begins reading: all reads on the returned value see the account at one moment.
    ///
    /// It must not be kept while waiting for a peer: the log cannot be emptied meanwhile.
    ///
    /// # Errors
    ///
    /// If the database cannot be opened or read.
    pub fn read(&self) -> Result<Reader> {
        self.shared.touch();
        Reader::begin(Arc::clone(&self.shared))
    }

    fn write<T, F>(&self, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.shared.write(self.origin, 0, work)
    }

    /// Adds messages to one mailbox, all or none, with one modseq. SMTP delivery and APPEND.
    ///
    /// Fails with [`StoreError::NoMailbox`] if the mailbox is missing and is not to be created,
    /// and with [`StoreError::OverQuota`].
    pub fn add(&self, destination: Destination, messages: Vec<NewMessage>) -> Pending<Added> {
        let bytes = messages.iter().map(NewMessage::queue_bytes).sum();
        self.shared.write(self.origin, bytes, move |tx| message::add(tx, &destination, messages))
    }

    /// Takes messages over into a mailbox, which is made if it is missing, with one modseq. Those that
    /// the mailbox has already, byte by byte, are left out if `skip_duplicates`. The quota ends it,
    /// with those before it added. A message of which it is not known when it was received was so at
    /// the time of its Date field.
    pub fn import(
        &self,
        mailbox: MailboxName,
        messages: Vec<NewMessage>,
        skip_duplicates: bool,
    ) -> Pending<Imported> {
        let bytes = messages.iter().map(NewMessage::queue_bytes).sum();
        let work = move |tx: &mut Tx<'_>| import::import(tx, &mailbox, messages, skip_duplicates);
        self.shared.write(self.origin, bytes, work)
    }

    /// Adds a message and removes another, with one modseq: both or neither.
    ///
    /// Fails like [`Account::add`], with [`StoreError::NoMailbox`] if the mailbox of the other one is
    /// missing, and with [`StoreError::NoMessage`] if that is gone.
    pub fn replace(
        &self,
        destination: Destination,
        message: NewMessage,
        source: MailboxId,
        uid: Uid,
    ) -> Pending<Added> {
        let bytes = message.queue_bytes();
        let work = move |tx: &mut Tx<'_>| replace::replace(tx, &destination, message, source, uid);
        self.shared.write(self.origin, bytes, work)
    }

    /// Changes flags and keywords of messages.
    pub fn change_flags(
        &self,
        mailbox: MailboxId,
        uids: NumSet,
        change: FlagChange,
    ) -> Pending<FlagOutcome> {
        self.write(move |tx| flag::change(tx, mailbox, &uids, &change))
    }

    /// Copies messages to another mailbox. UIDs that do not exist are passed over.
    pub fn copy(
        &self,
        source: MailboxId,
        uids: NumSet,
        target: MailboxName,
    ) -> Pending<CopyOutcome> {
        self.write(move |tx| copy::copy(tx, source, &uids, &target))
    }

    /// Moves messages to another mailbox. UIDs that do not exist are passed over.
    pub fn move_to(
        &self,
        source: MailboxId,
        uids: NumSet,
        target: MailboxName,
    ) -> Pending<CopyOutcome> {
        self.write(move |tx| copy::move_messages(tx, source, &uids, &target))
    }

    /// Removes messages for good. Sessions that know them can read them until they apply the
    /// change.
    pub fn expunge(&self, mailbox: MailboxId, which: Expunge) -> Pending<ExpungeOutcome> {
        self.write(move |tx| remove::expunge(tx, mailbox, &which))
    }

    /// Creates a mailbox, with those above it that are missing, and subscribes to what it
    /// creates. Returns what was created, parents first.
    pub fn create_mailbox(
        &self,
        name: MailboxName,
        special_use: SpecialUse,
    ) -> Pending<Vec<Mailbox>> {
        self.write(move |tx| mailbox::create(tx, &name, special_use, true))
    }

    /// Deletes a mailbox with its messages.
    pub fn delete_mailbox(&self, name: MailboxName) -> Pending<()> {
        self.write(move |tx| mailbox::delete(tx, &name))
    }

    /// Renames a mailbox and those below it. The Inbox stays and gives its messages away.
    pub fn rename_mailbox(&self, old: MailboxName, new: MailboxName) -> Pending<()> {
        self.write(move |tx| mailbox::rename(tx, &old, &new))
    }

    /// Gives roles to a mailbox, taking them from those that had them.
    pub fn set_special_use(&self, name: MailboxName, special_use: SpecialUse) -> Pending<()> {
        self.write(move |tx| mailbox::set_special_use(tx, &name, special_use))
    }

    /// Sets and removes annotations of a mailbox, or of the account itself: all or none.
    ///
    /// Fails with [`StoreError::NoMailbox`], and with [`StoreError::TooManyAnnotations`] or
    /// [`StoreError::AnnotationsTooLarge`] if the account would have too much of them.
    pub fn set_annotations(
        &self,
        mailbox: Option<MailboxName>,
        changes: Vec<AnnotationChange>,
    ) -> Pending<()> {
        let bytes = changes.iter().flat_map(|(_, value)| value).map(|(value, _)| value.len()).sum();
        self.shared.write(self.origin, bytes, move |tx| annotation::set(tx, mailbox, changes))
    }

    /// Subscribes to a name, whether a mailbox has it or not.
    pub fn subscribe_to(&self, name: MailboxName) -> Pending<()> {
        self.write(move |tx| mailbox::subscribe(tx, &name))
    }

    /// Ends a subscription.
    pub fn unsubscribe_from(&self, name: MailboxName) -> Pending<()> {
        self.write(move |tx| mailbox::unsubscribe(tx, &name))
    }

    /// Stores a secret of the account, such as password verifiers, under a name; `None` removes
    /// it. The store does not look inside.
    pub fn set_secret(&self, kind: &'static str, value: Option<Vec<u8>>) -> Pending<()> {
        self.write(move |tx| secret::set(tx, kind, value.as_deref()))
    }

    /// Stores a secret in place of another of the same name. `false`, and nothing is changed, if it is
    /// another by now: somebody has set it anew.
    pub fn replace_secret(&self, kind: &'static str, old: Vec<u8>, new: Vec<u8>) -> Pending<bool> {
        self.write(move |tx| secret::replace(tx, kind, &old, &new))
    }

    /// The key that signs URLs of messages of a mailbox. It becomes `fresh`, which must be random, if
    /// there is none.
    pub fn url_key(&self, mailbox: MailboxName, fresh: UrlKey) -> Pending<UrlKey> {
        self.write(move |tx| url_key::find_or_make(tx, &mailbox, &fresh))
    }

    /// Forgets the key of a mailbox, or those of all.
    pub fn reset_url_keys(&self, mailbox: Option<MailboxName>) -> Pending<()> {
        self.write(move |tx| url_key::reset(tx, mailbox.as_ref()))
    }

    /// Empties the search index. It is filled anew, from the next tick of the store on;
    /// [`Reader::index_progress`] tells how far it is. Searches find what they found before.
    pub fn rebuild_search_index(&self) -> Pending<()> {
        self.write(crate::index::clear)
    }

    /// Forgets what was learnt about junk and has all marked messages learnt anew;
    /// [`Reader::junk_progress`] tells how far that is. Until it is done, little is known.
    pub fn retrain(&self) -> Pending<()> {
        self.write(crate::junk::retrain)
    }

    /// Counts the messages of all mailboxes, and the space that they take. Returns the mailboxes whose
    /// counts were wrong, with what they were.
    pub fn recount(&self) -> Pending<Vec<(MailboxName, Counts)>> {
        self.write(repair::recount)
    }

    /// Raises the numbers to be given out next (UIDs, UIDVALIDITY, ids) above all that were given out.
    /// Returns how many were too low.
    pub fn fix_numbers(&self) -> Pending<u64> {
        self.write(repair::fix_numbers)
    }

    /// Gives one mailbox, or all, a new UIDVALIDITY, above `above` if that is given: clients read them anew
    /// (RFC 9051 §2.3.1.1). Returns what each has now.
    ///
    /// Fails with [`StoreError::NoMailbox`].
    pub fn bump_uidvalidity(
        &self,
        mailbox: Option<MailboxName>,
        above: Option<UidValidity>,
    ) -> Pending<Vec<(MailboxName, UidValidity)>> {
        self.write(move |tx| repair::bump_uidvalidity(tx, mailbox.as_ref(), above))
    }

    /// Gives the messages of one mailbox, or of all, UIDs from 1 on, and a new UIDVALIDITY. Returns how
    /// many messages got another UID.
    ///
    /// Fails with [`StoreError::NoMailbox`].
    pub fn reassign_uids(&self, mailbox: Option<MailboxName>) -> Pending<u64> {
        self.write(move |tx| repair::reassign_uids(tx, mailbox.as_ref()))
    }

    pub(crate) fn write_repair<T, F>(&self, work: F) -> Pending<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.write(work)
    }

    /// Keeps a copy of a refused message in the Rejects mailbox of this name, which is made if it is
    /// missing. What has been there for 14 days goes, unless `keeps_all`. `None` if the same message is
    /// there already, by Message-ID or [`Incoming::content_hash`](crate::Incoming), or there are too many.
    ///
    /// Fails with [`StoreError::OverQuota`].
    pub fn keep_reject(
        &self,
        mailbox: MailboxName,
        keeps_all: bool,
        message: NewMessage,
    ) -> Pending<Option<Added>> {
        let bytes = message.queue_bytes();
        let work = move |tx: &mut Tx<'_>| rejects::keep(tx, &mailbox, keeps_all, message);
        self.shared.write(self.origin, bytes, work)
    }

    /// Adds a decision on a message of which no copy is stored.
    pub fn record_decision(&self, decision: Decision) -> Pending<()> {
        self.write(move |tx| decision.record(tx))
    }

    /// The key of the codes for a canonical address. It becomes `fresh` if there is none.
    pub fn pass_key(&self, address: Address, fresh: PassKey) -> Pending<PassKey> {
        self.write(move |tx| pass_key::find_or_make(tx, &address, &fresh))
    }

    /// Whether no removed message waits for its erasure, but for those that a subscriber may
    /// still read, everything is in the search index, and nothing waits to be learnt or hashed.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn is_tidy(&self) -> Result<bool> {
        let applied = self.shared.hub.applied_by_all().unwrap_or(ModSeq::MAX);
        let reader = self.read()?;
        let filter = self.shared.policy()?.junk_filter;
        let is_behind = reader.index_is_behind()?
            || reader.junk_is_behind(filter.as_ref())?
            || reader.hashes_are_behind()?;
        Ok(!reader.has_tombs(applied)? && !is_behind)
    }

    /// Looks for contradictions in all the account holds; see `docs/store-format.md`. Empty if
    /// all is well. Reads everything.
    ///
    /// # Errors
    ///
    /// If something cannot be read.
    pub fn check(&self) -> Result<Vec<String>> {
        check::check(&self.shared)
    }
}
