//! What is stored of a password, and how it is set.

use mox_base::Rng;
use mox_sasl::{Password, StoredPassword, Verifiers};
use mox_store::{Account, Pending, StoreError};

use crate::Logins;

/// The name under which an account keeps what is stored of its password.
pub(crate) const SECRET: &str = "password";

/// Sets the password of an account: stores new verifiers, with new salts, in place of the old.
/// For a server that does not serve yet; else see [`Logins::set_password`].
///
/// Costs some milliseconds for deriving them.
pub fn set_password(account: &Account, password: &Password, rng: &dyn Rng) -> Pending<()> {
    let fresh = StoredPassword::Verifiers(Verifiers::derive_salted(password, rng));
    account.set_secret(SECRET, Some(fresh.to_stored().into_bytes()))
}

impl Logins {
    /// Sets the password of an account, and has names without account take its new shape. Sessions
    /// that are logged in go on. Blocks.
    ///
    /// # Errors
    ///
    /// If it cannot be stored.
    pub fn set_password(&self, account: &Account, password: &Password) -> Result<(), StoreError> {
        let inner = self.inner();
        set_password(account, password, &*inner.rng).wait()?;
        inner.decoys.note(account.name(), Some(mox_sasl::Shape::OURS));
        Ok(())
    }

    /// Looks at the stored passwords of all accounts, without opening these, so that names without
    /// account take their shapes. To be called before the first login: names would show other shapes
    /// before than after it. An account that cannot be read is left out, which is logged. Blocks,
    /// for some 100 microseconds an account.
    pub fn learn_shapes(&self) {
        let inner = self.inner();
        for name in inner.config.snapshot().dynamic.accounts.keys() {
            match inner.store.peek_secret(name, SECRET) {
                Ok(text) => {
                    let stored = text.and_then(|text| parse(name, &text));
                    inner.decoys.note(name, stored.as_ref().map(StoredPassword::shape));
                }
                Err(error) => {
                    tracing::warn!(account = name, %error, "looking at the stored password");
                }
            }
        }
    }
}

/// Reads what an account has stored. What is nothing of ours is as good as nothing, and logged: were it told
/// to who logs in, it would tell that there is an account.
pub(crate) fn parse(account: &str, text: &[u8]) -> Option<StoredPassword> {
    let stored = StoredPassword::parse(str::from_utf8(text).unwrap_or_default());
    stored
        .inspect_err(|error| tracing::error!(account, %error, "stored password cannot be used"))
        .ok()
}
