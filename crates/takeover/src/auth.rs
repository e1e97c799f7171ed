//! `auth.db`: the TLS keys that people log in with, and accounts that are being removed.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mox_base::{Address, UnixSeconds};
use mox_bstore::Record;
use mox_store::{CLIENT_KEY_NAME_BYTES_MAX, CLIENT_KEYS_MAX, ClientKey, ClientKeys, StoreError};
use mox_tlspolicy::dane::{Matching, Selector};

use crate::account::Watch;
use crate::file::{DatabaseFile, TakeoverError};
use crate::known::{Kind, fields};
use crate::summary::Summary;

/// The largest certificate that is taken, in bytes of DER: as of those that are registered with ours.
pub const CERTIFICATE_BYTES_MAX: usize = 64 << 10;

const KEYS: Kind = Kind {
    table: "TLSPublicKey",
    what: "TLS keys to log in with",
    fields: fields!(
        "Created",
        "Type",
        "Name",
        "NoIMAPPreauth",
        "CertDER",
        "Account",
        "LoginAddress"
    ),
};

const REMOVALS: Kind =
    Kind { table: "AccountRemove", what: "accounts that are being removed", fields: fields!() };

const ATTEMPTS: Kind = Kind {
    table: "LoginAttempt",
    what: "notes about logins",
    fields: fields!(
        "Last",
        "First",
        "Count",
        "AccountName",
        "LoginAddress",
        "RemoteIP",
        "LocalIP",
        "TLS",
        "TLSPubKeyFingerprint",
        "Protocol",
        "UserAgent",
        "AuthMech",
        "Result",
    ),
};

/// Counted from the others.
const ATTEMPT_STATES: &str = "LoginAttemptState";

/// The database of keys and logins of the original, see `auth.db`.
#[derive(Debug)]
pub struct Auth(DatabaseFile);

impl Auth {
    /// Opens `auth.db` in the original's data directory, and locks it for reading. `None` if there is
    /// none. Blocks.
    ///
    /// # Errors
    ///
    /// If it is in use, or is damaged as a whole.
    pub fn open(data_dir: &Path) -> Result<Option<Self>, TakeoverError> {
        Ok(DatabaseFile::open_if_there(&data_dir.join("auth.db"))?.map(Self))
    }

    /// The names of accounts whose removal was begun: they are to be treated as gone. Blocks.
    ///
    /// # Errors
    ///
    /// If which they are cannot be read: an account that was removed would come back.
    pub fn removed_accounts(&self) -> Result<Vec<String>, TakeoverError> {
        let Some(table) = self.0.table(REMOVALS.table)? else { return Ok(Vec::new()) };
        let unreadable = |source| TakeoverError::Table {
            path: self.0.path.clone(),
            table: REMOVALS.table,
            source,
        };
        let name = |record: Record| record.text("AccountName").to_owned();
        table.records().map(|record| record.map(name).map_err(unreadable)).collect()
    }

    /// Reads all that [`Auth::copy`] would, and says what would become of it. Blocks.
    ///
    /// # Errors
    ///
    /// If the file cannot be read.
    pub fn check(
        &self,
        accounts: &dyn Fn(&str) -> bool,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        self.run(None, accounts, watch)
    }

    /// Copies the keys of accounts that there are. What was copied before is passed over. Blocks.
    ///
    /// - `accounts`: whether there is an account of this name.
    ///
    /// # Errors
    ///
    /// If ours cannot be written.
    pub fn copy(
        &self,
        into: &ClientKeys,
        accounts: &dyn Fn(&str) -> bool,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        self.run(Some(into), accounts, watch)
    }

    fn run(
        &self,
        into: Option<&ClientKeys>,
        accounts: &dyn Fn(&str) -> bool,
        watch: &mut dyn Watch,
    ) -> Result<Summary, TakeoverError> {
        let mut summary = Summary::default();
        let known = [KEYS.table, REMOVALS.table, ATTEMPTS.table, ATTEMPT_STATES];
        self.0.note_unknown(&known, &mut summary);
        let mut total = 0;
        self.0.each(&KEYS, &mut Summary::default(), |_, _| {
            total += 1;
            Ok(true)
        })?;
        let (mut done, mut counts) = (0, std::collections::BTreeMap::<String, usize>::new());
        self.0.each(&KEYS, &mut summary, |record, summary| {
            done += 1;
            let Some(key) = key(record, accounts, summary) else { return Ok(true) };
            let count = counts.entry(key.account.clone()).or_default();
            *count += 1;
            if *count > CLIENT_KEYS_MAX {
                summary.skip("TLS keys beyond our limit for an account", shown(record));
                return Ok(true);
            }
            let is_taken = match into {
                Some(into) => keep(into, &key)?,
                None => true,
            };
            if is_taken {
                summary.took(KEYS.what, 1);
            } else {
                summary.skip("TLS keys that ours has otherwise", shown(record));
            }
            Ok(watch.progress(done, total))
        })?;
        self.0.each(&ATTEMPTS, &mut summary, |_, summary| {
            summary.leave(ATTEMPTS.what, 1);
            Ok(true)
        })?;
        self.0.each(&REMOVALS, &mut summary, |record, summary| {
            summary.skip(REMOVALS.what, record.text("AccountName"));
            Ok(true)
        })?;
        Ok(summary)
    }
}

/// Registers a key. `false` if ours has another of this fingerprint, or no room.
fn keep(into: &ClientKeys, key: &ClientKey) -> Result<bool, TakeoverError> {
    if let Some(found) = into.find(&key.fingerprint)? {
        return Ok(found == *key);
    }
    match into.add(key) {
        Ok(()) => Ok(true),
        // The account has other keys of its own already.
        Err(StoreError::TooMany { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The key of a record. `None` if it is not one that can be taken.
fn key(
    record: &Record,
    accounts: &dyn Fn(&str) -> bool,
    summary: &mut Summary,
) -> Option<ClientKey> {
    let certificate = record.bytes("CertDER").to_vec();
    let fingerprint = record.text("Fingerprint").to_owned();
    // Who holds the key logs in: it must be the one of the certificate, whatever the record says.
    if certificate.len() > CERTIFICATE_BYTES_MAX
        || fingerprint_of(&certificate).as_ref() != Some(&fingerprint)
    {
        let why = "the certificate is not of this key";
        summary.damage(KEYS.what, format!("{}: {why}", shown(record)));
        return None;
    }
    let account = record.text("Account").to_owned();
    if !accounts(&account) {
        summary.skip("TLS keys of accounts that are not there", shown(record));
        return None;
    }
    let Ok(login_address) = Address::parse(record.text("LoginAddress")) else {
        summary.skip("TLS keys with addresses that ours does not take", shown(record));
        return None;
    };
    let full = record.text("Name");
    let name = full.get(..full.floor_char_boundary(CLIENT_KEY_NAME_BYTES_MAX)).unwrap_or_default();
    if name != full {
        summary.differs("names of TLS keys that were cut", shown(record));
    }
    Some(ClientKey {
        fingerprint,
        created: UnixSeconds(record.time("Created").map_or(0, |time| time.unix_secs)),
        kind: record.text("Type").to_owned(),
        name: name.to_owned(),
        no_imap_preauth: record.bool("NoIMAPPreauth"),
        certificate,
        account,
        login_address,
    })
}

/// SHA-256 over the SubjectPublicKeyInfo (RFC 5280 §4.1), base64 for URLs without padding (RFC 4648 §5).
/// `None` if it is no certificate.
fn fingerprint_of(certificate: &[u8]) -> Option<String> {
    let public_key = Selector::Spki.select(certificate)?;
    Some(URL_SAFE_NO_PAD.encode(Matching::Sha256.data(&public_key)))
}

fn shown(record: &Record) -> String {
    format!("{} of {}", record.text("Fingerprint"), record.text("Account"))
}
