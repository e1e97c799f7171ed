//! Holding off erasure: while somebody copies body files, none goes.

use std::sync::Arc;

use parking_lot::{RwLock, RwLockReadGuard};

use crate::Store;

/// How many hold it off at the moment.
#[derive(Debug, Default)]
pub(crate) struct Holds(RwLock<u32>);

impl Holds {
    /// Permission to erase, to be kept until the files are gone too. `None` while it is held off.
    pub(crate) fn erasing(&self) -> Option<RwLockReadGuard<'_, u32>> {
        let holds = self.0.read();
        (*holds == 0).then_some(holds)
    }
}

/// Keeps removed messages from being erased in any account until it is dropped.
#[must_use = "erasure goes on when this is dropped"]
#[derive(Debug)]
pub struct ErasureHold(Arc<Holds>);

impl Drop for ErasureHold {
    fn drop(&mut self) {
        let mut holds = self.0.0.write();
        *holds = holds.saturating_sub(1);
    }
}

impl Store {
    /// Holds off the erasure of removed messages: every body file that a database names from now
    /// on stays until the hold is dropped. Waits for what is being erased, which is short.
    pub fn hold_erasure(&self) -> ErasureHold {
        let holds = Arc::clone(self.holds());
        *holds.0.write() += 1;
        ErasureHold(holds)
    }
}
