//! Checks what a client says against what is stored.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use mox_base::Address;
use mox_net::blocking;
use mox_sasl::{Answer, Password, ScramHash, ScramVerifier, StoredPassword};
use mox_store::StoreError;

use crate::logins::{Inner, LoginError, Logins};
use crate::secrets::{SECRET, parse};

/// The longest that a login waits until it is its turn to have its password checked. RFC 9051 and
/// RFC 4954 set no time; clients wait for a minute or so.
const TURN_WAIT_MAX: Duration = Duration::from_secs(30);

/// The most passwords that are checked in full at the same time, each on a thread of its own. More
/// would not be checked sooner, and would take threads from those who wait for the disk: a check
/// is nothing but work, of 5 to 60 milliseconds.
pub(crate) fn checks_at_once() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// What a user name stands for.
struct Found {
    /// The name that decoys are made up for.
    decoy_name: String,
    /// What is stored of the password, made up if nothing is.
    stored: StoredPassword,
    /// The account that it is of, and as it has it.
    owner: Option<(Arc<str>, Vec<u8>)>,
}

impl Logins {
    /// Whether this is the password of that user. Costs milliseconds, unless the password was right a
    /// moment ago. One that is right and stored as other servers do is stored as ours are.
    pub(crate) async fn check(
        &self,
        username: String,
        password: Password,
    ) -> Result<Answer, LoginError> {
        let inner = Arc::clone(&self.0);
        let known = move || {
            let found = inner.find(&username)?;
            let now = inner.clock.monotonic();
            let is_right = inner.cache.contains(&found.stored, &password, now);
            Ok::<_, LoginError>((found, password, is_right))
        };
        let (found, password, is_right) = blocking(known).await?;
        if is_right {
            return Ok(Answer::Password(true));
        }
        let turn = Arc::clone(&self.0.checks).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(TURN_WAIT_MAX, turn).await else {
            tracing::warn!("too many passwords to check");
            return Ok(Answer::Unavailable);
        };
        let inner = Arc::clone(&self.0);
        let check = move || {
            // Held to the end of the work, which goes on if nobody waits for it any more.
            let _turn = turn;
            let is_right = inner.cache.verify(&found.stored, &password, inner.clock.monotonic());
            if is_right {
                inner.renew(&found, &password);
            }
            is_right
        };
        Ok(Answer::Password(blocking(check).await))
    }
}

impl Inner {
    /// Looks a user up. Goes the same way whether there is an account or not, and opens none: that
    /// takes milliseconds, by which who is not there would be told from who has not been for a
    /// while, and lets somebody who only guesses open all. Blocks.
    fn find(&self, username: &str) -> Result<Found, LoginError> {
        let decoy_name = self.decoy_name(username);
        // Made up in any case, and a twin looked at in place of the account: that takes time.
        let (decoy, twin) = self.decoy(&decoy_name);
        let Ok(target) = self.config.snapshot().account_for_login(username) else {
            if let Some(twin) = twin {
                let _unused = self.store.peek_secret(&twin, SECRET);
            }
            return Ok(Found { decoy_name, stored: decoy, owner: None });
        };
        let text = self.store.peek_secret(&target.account, SECRET)?;
        let stored = text.as_deref().and_then(|text| parse(&target.account, text));
        self.decoys.note(&target.account, stored.as_ref().map(StoredPassword::shape));
        Ok(Found {
            decoy_name,
            stored: stored.unwrap_or(decoy),
            owner: text.map(|text| (target.account, text)),
        })
    }

    /// What is made up for a name, and the account whose shape it has.
    fn decoy(&self, name: &str) -> (StoredPassword, Option<Arc<str>>) {
        let config = self.config.snapshot();
        loop {
            let (decoy, twin) = self.decoys.stored(name);
            match twin.as_ref().filter(|twin| config.account(twin).is_none()) {
                // It was removed since, and there is nothing of it to look at.
                Some(gone) => self.decoys.note(gone, None),
                None => return (decoy, twin),
            }
        }
    }

    /// The verifier of a user. The decoy's for one who does not exist, who has no password, or of whose
    /// password a hash is stored that SCRAM has no use for. Blocks.
    pub(crate) fn verifier(
        &self,
        username: &str,
        hash: ScramHash,
    ) -> Result<ScramVerifier, LoginError> {
        let found = self.find(username)?;
        // Made up in any case, as above.
        let decoy = self.decoys.verifiers(&found.decoy_name);
        Ok(match &found.stored {
            StoredPassword::Verifiers(stored) => stored.for_hash(hash).clone(),
            StoredPassword::Bcrypt(_) => decoy.for_hash(hash).clone(),
        })
    }

    /// Stores a password that is known to be right as ours are, if it is stored in another way. That
    /// this fails is no reason to refuse the login. Blocks.
    ///
    /// The salts stay those that the name has shown to SCRAM: only the iteration count is another
    /// then, as that of decoys is which have this account as their twin.
    fn renew(&self, found: &Found, password: &Password) {
        let Some((account, old)) = &found.owner else { return };
        if !found.stored.is_outdated() {
            return;
        }
        let before = match &found.stored {
            StoredPassword::Verifiers(stored) => stored.clone(),
            StoredPassword::Bcrypt(_) => self.decoys.verifiers(&found.decoy_name),
        };
        let fresh = StoredPassword::Verifiers(before.derive_again(password, &*self.rng));
        let new = fresh.to_stored().into_bytes();
        match self.replace(account, old, new) {
            Ok(true) => {
                self.decoys.note(account, Some(fresh.shape()));
                self.cache.remember(&fresh, password, self.clock.monotonic());
                tracing::info!(account = &**account, "password of another server stored anew");
            }
            // Another password was set since.
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(
                    account = &**account, %error,
                    "storing password of another server anew"
                );
            }
        }
    }

    fn replace(&self, account: &str, old: &[u8], new: Vec<u8>) -> Result<bool, StoreError> {
        self.store.account(account)?.replace_secret(SECRET, old.to_vec(), new).wait()
    }

    /// The name for which a salt is made up: the canonical address, as spellings of the address
    /// of an account have one salt too.
    fn decoy_name(&self, username: &str) -> String {
        let address = Address::parse(username).ok();
        let canonical =
            address.and_then(|address| self.config.snapshot().canonical_address(&address));
        canonical.map_or_else(|| username.to_lowercase(), |address| address.to_string())
    }
}
