//! All accounts of a data directory: opening them on demand and closing them when idle.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_base::Clock;
use mox_sqlite::{Disk, RealDisk};
use parking_lot::Mutex;

use crate::account::{Account, Shared};
use crate::disk::CountingDisk;
use crate::hold::Holds;
use crate::policy::Policies;
use crate::pool::Pool;
use crate::removal::Removals;
use crate::{ACCOUNT_DATABASE, Result, StoreError, schema};

/// The most accounts kept open without anybody using them.
pub const IDLE_ACCOUNTS_MAX: usize = 256;

/// How long an account stays open after its last use.
pub const IDLE_ACCOUNT_SECS: i64 = 60;

/// The longest account name, in bytes. Ours.
pub const ACCOUNT_NAME_BYTES_MAX: usize = 100;

/// All accounts below a data directory. Cheap to clone.
#[derive(Clone)]
pub struct Store(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) dir: PathBuf,
    clock: Arc<dyn Clock>,
    pub(crate) policies: Arc<dyn Policies>,
    pub(crate) disk: Arc<CountingDisk>,
    pool: Pool,
    pub(crate) holds: Arc<Holds>,
    pub(crate) open: Mutex<HashMap<String, Arc<Slot>>>,
    pub(crate) removals: Removals,
}

/// An account that is open, or about to be: opening one makes nobody wait but those who want it.
pub(crate) type Slot = Mutex<Option<Arc<Shared>>>;

/// Whether an account may have this name, which is that of a directory.
pub(crate) fn is_account_name(name: &str) -> bool {
    let safe = |b: u8| b.is_ascii_graphic() && b != b'/' || b == b' ' || !b.is_ascii();
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(safe)
        && name.len() <= ACCOUNT_NAME_BYTES_MAX
}

impl Store {
    /// Makes a store of the accounts in `dir/accounts`. Touches no file yet.
    #[must_use]
    pub fn new(dir: &Path, clock: Arc<dyn Clock>, policies: Arc<dyn Policies>) -> Self {
        Self::with_disk(dir, clock, policies, Arc::new(RealDisk))
    }

    /// Like [`Store::new`], with another disk under it.
    #[must_use]
    pub fn with_disk(
        dir: &Path,
        clock: Arc<dyn Clock>,
        policies: Arc<dyn Policies>,
        disk: Arc<dyn Disk>,
    ) -> Self {
        let removals = Removals::new(dir);
        let dir = dir.join("accounts");
        let open = Mutex::new(HashMap::new());
        let disk = Arc::new(CountingDisk::new(disk));
        let (pool, holds) = (Pool::default(), Arc::default());
        Self(Arc::new(Inner { dir, clock, policies, disk, pool, holds, open, removals }))
    }

    /// Opens an account of the configuration, creating its database if there is none.
    ///
    /// An account that a failed commit has closed for writing is opened anew. Blocks on the disk
    /// if the account is not open.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoAccount`] if the configuration has no such account; else what keeps the
    /// database from being opened.
    pub fn account(&self, name: &str) -> Result<Account> {
        if !is_account_name(name) || self.0.policies.policy(name).is_none() {
            return Err(StoreError::NoAccount);
        }
        let slot = Arc::clone(self.0.open.lock().entry(name.to_owned()).or_default());
        let mut slot = slot.lock();
        // Asked while nobody can move its files away: it may have been removed since.
        let policy = self.0.policies.policy(name).filter(|_| !self.0.removals.has(name));
        let policy = policy.ok_or(StoreError::NoAccount)?;
        if let Some(shared) = slot.as_ref().filter(|shared| !shared.is_poisoned()) {
            shared.touch();
            return Ok(Account::new(Arc::clone(shared)));
        }
        let recover = slot.is_some();
        let mut shared = Shared::new(
            name.to_owned(),
            self.0.dir.join(name),
            Arc::clone(&self.0.clock),
            Arc::clone(&self.0.policies),
            Arc::<CountingDisk>::clone(&self.0.disk),
            self.0.pool.clone(),
            recover,
        );
        shared.holds = Arc::clone(&self.0.holds);
        let shared = Arc::new(shared);
        shared.open(&policy)?;
        *slot = Some(Arc::clone(&shared));
        Ok(Account::new(shared))
    }

    /// The account if it is open already and takes writes. Never blocks.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoAccount`] if the configuration has no such account.
    pub fn opened(&self, name: &str) -> Result<Option<Account>> {
        if self.0.policies.policy(name).is_none() || self.0.removals.has(name) {
            return Err(StoreError::NoAccount);
        }
        let slot = self.0.open.lock().get(name).map(Arc::clone);
        let shared = slot.as_ref().and_then(|slot| slot.try_lock()?.clone());
        Ok(shared.filter(|shared| !shared.is_poisoned()).map(|shared| {
            shared.touch();
            Account::new(shared)
        }))
    }

    /// A secret of an account, as [`crate::Account::set_secret`] stored it. Takes less than a
    /// millisecond: an account that is not open is only looked at, and is neither opened nor made.
    /// `None` also if there is no such account. Blocks on the disk.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn peek_secret(&self, name: &str, kind: &str) -> Result<Option<Vec<u8>>> {
        let is_there = self.0.policies.policy(name).is_some() && !self.0.removals.has(name);
        if !is_account_name(name) || !is_there {
            return Ok(None);
        }
        let slot = Arc::clone(self.0.open.lock().entry(name.to_owned()).or_default());
        // Nobody opens it meanwhile.
        let slot = slot.lock();
        if let Some(shared) = slot.as_ref().filter(|shared| !shared.is_poisoned()) {
            return Account::new(Arc::clone(shared)).read()?.secret(kind);
        }
        let path = self.0.dir.join(name).join(ACCOUNT_DATABASE);
        if !path.is_file() {
            return Ok(None);
        }
        // One that was closed in order has no log, and then this leaves none behind either.
        let has_log = path.with_extension("db-wal").is_file();
        let db = if has_log { schema::open_reader(&path)? } else { schema::open_still(&path)? };
        crate::secret::find(&db, kind)
    }

    /// Closes accounts that nobody has used for a while, and tidies up in the others. To be
    /// called every few seconds. Blocks on the disk.
    pub fn tick(&self) {
        if !self.0.removals.is_empty()
            && let Err(error) = self.finish_removals()
        {
            tracing::error!(%error, "removing the files of an account");
        }
        let now = self.0.clock.now();
        // One that is being removed is left alone: nothing in it is worth tidying.
        let slots: Vec<_> = {
            let open = self.0.open.lock();
            let kept = open.iter().filter(|(name, _)| !self.0.removals.has(name));
            kept.map(|(_, slot)| Arc::clone(slot)).collect()
        };
        let mut unused = Vec::new();
        for slot in &slots {
            // One that is being opened is in use.
            let Some(open) = slot.try_lock() else { continue };
            let Some(shared) = open.as_ref() else { continue };
            let is_unused = Arc::strong_count(shared) == 1;
            if shared.allow_indexing() || !is_unused {
                shared.wake();
            }
            if is_unused {
                unused.push((shared.last_used(), Arc::clone(slot)));
            }
        }
        unused.sort_by_key(|(last_used, _)| *last_used);
        let surplus = unused.len().saturating_sub(IDLE_ACCOUNTS_MAX);
        for (place, (last_used, slot)) in unused.into_iter().enumerate() {
            if place < surplus || now.secs_since(last_used) >= IDLE_ACCOUNT_SECS {
                Self::close(&slot);
            }
        }
    }

    /// Closes an account unless somebody has begun to use it. Closing the last connection empties
    /// the log, during which only those wait who want this account.
    fn close(slot: &Slot) {
        let mut open = slot.lock();
        if open.as_ref().is_some_and(|shared| Arc::strong_count(shared) == 1) {
            *open = None;
        }
    }

    pub(crate) fn holds(&self) -> &Arc<Holds> {
        &self.0.holds
    }

    /// How many accounts are open, in use or not.
    #[must_use]
    pub fn open_accounts(&self) -> usize {
        self.0.open.lock().values().filter(|slot| slot.lock().is_some()).count()
    }

    /// How often this store has waited for the disk: one for each commit, for each body that is a
    /// file, and for each folder whose names were made durable. For measurements.
    ///
    /// The two syncs of a checkpoint are not in it; one comes about with every
    /// [`crate::LOG_BYTES_MAX`] of log.
    #[must_use]
    pub fn syncs(&self) -> u64 {
        self.0.disk.syncs()
    }
}
