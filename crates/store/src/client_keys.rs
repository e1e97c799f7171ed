//! The TLS client keys that people registered to log in with, of all accounts: `auth.db`.
//!
//! A key is known by the fingerprint of its public key, whatever certificate carries it, so that
//! a certificate can be renewed without registering it anew.

use std::path::Path;

use mox_base::{Address, UnixSeconds};
use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::{Result, StoreError, schema};

/// The most keys that one account may register. Ours.
pub const CLIENT_KEYS_MAX: usize = 100;

/// The longest name of a key, in bytes. Ours.
pub const CLIENT_KEY_NAME_BYTES_MAX: usize = 256;

/// The database of keys in the data directory.
pub const CLIENT_KEYS_DATABASE: &str = "auth.db";

/// The version of `auth.db`.
const VERSION: u32 = 1;

const TABLES: &str = "
CREATE TABLE client_key(
    fingerprint TEXT PRIMARY KEY,
    created INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    no_imap_preauth INTEGER NOT NULL,
    certificate BLOB NOT NULL,
    account TEXT NOT NULL,
    login_address TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX client_key_account ON client_key(account);
";

/// A registered key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientKey {
    /// SHA-256 over the SubjectPublicKeyInfo, base64url without padding.
    pub fingerprint: String,
    /// When it was registered.
    pub created: UnixSeconds,
    /// Such as `ed25519`, `ecdsa-p256` or `rsa-2048`.
    pub kind: String,
    /// What its owner calls it.
    pub name: String,
    /// With it, IMAP does not begin authenticated: the client must use EXTERNAL.
    pub no_imap_preauth: bool,
    /// The certificate it was registered with, in DER.
    pub certificate: Vec<u8>,
    /// Whose it is.
    pub account: String,
    /// The address it logs in as.
    pub login_address: Address,
}

impl ClientKey {
    const COLUMNS: &'static str =
        "fingerprint, created, kind, name, no_imap_preauth, certificate, account, login_address";

    fn from_row(row: &Row<'_>) -> Result<Self> {
        let address: String = row.get(7)?;
        let damaged = |_| StoreError::Damaged { what: "login address of a client key" };
        Ok(Self {
            fingerprint: row.get(0)?,
            created: UnixSeconds(row.get(1)?),
            kind: row.get(2)?,
            name: row.get(3)?,
            no_imap_preauth: row.get(4)?,
            certificate: row.get(5)?,
            account: row.get(6)?,
            login_address: Address::parse(&address).map_err(damaged)?,
        })
    }
}

/// The registered keys of all accounts.
pub struct ClientKeys(Mutex<Connection>);

impl ClientKeys {
    /// Opens `auth.db` in the data directory, making it if it is missing.
    ///
    /// # Errors
    ///
    /// If it cannot be opened, or was made by a newer version.
    pub fn open(dir: &Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let db = schema::open_durable(&dir.join(CLIENT_KEYS_DATABASE))?;
        let found: u32 = db.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        match found {
            VERSION => {}
            0 => db.execute_batch(&format!(
                "BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;"
            ))?,
            _ => return Err(StoreError::TooNew { found, known: VERSION }),
        }
        Ok(Self(Mutex::new(db)))
    }

    /// What is wrong with the keys in a copy of the data directory that nobody writes to; nothing if
    /// there are none.
    ///
    /// # Errors
    ///
    /// If the database cannot be opened or read.
    pub fn check_still(dir: &Path) -> Result<Vec<String>> {
        let path = dir.join(CLIENT_KEYS_DATABASE);
        if !path.is_file() {
            return Ok(Vec::new());
        }
        let keys = Self(Mutex::new(schema::open_still(&path)?));
        let mut faults = keys.integrity()?;
        if let Err(error) = keys.list(None) {
            faults.push(error.to_string());
        }
        Ok(faults)
    }

    fn integrity(&self) -> Result<Vec<String>> {
        let db = self.0.lock();
        let mut statement = db.prepare("PRAGMA integrity_check(20)")?;
        let told = statement.query_map([], |row| row.get::<_, String>(0))?;
        let mut told = told.collect::<rusqlite::Result<Vec<_>>>()?;
        told.retain(|line| line != "ok");
        Ok(told)
    }

    /// The key with this fingerprint, if it is registered. One look by primary key.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn find(&self, fingerprint: &str) -> Result<Option<ClientKey>> {
        let sql = format!("SELECT {} FROM client_key WHERE fingerprint = ?1", ClientKey::COLUMNS);
        let db = self.0.lock();
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query([fingerprint])?;
        rows.next()?.map(ClientKey::from_row).transpose()
    }

    /// The keys of an account, or of all, by name.
    ///
    /// # Errors
    ///
    /// If the database cannot be read.
    pub fn list(&self, account: Option<&str>) -> Result<Vec<ClientKey>> {
        let sql = format!(
            "SELECT {} FROM client_key WHERE ?1 IS NULL OR account = ?1 ORDER BY name, fingerprint",
            ClientKey::COLUMNS
        );
        let db = self.0.lock();
        let mut statement = db.prepare_cached(&sql)?;
        let mut rows = statement.query([account])?;
        let mut keys = Vec::new();
        while let Some(row) = rows.next()? {
            keys.push(ClientKey::from_row(row)?);
        }
        Ok(keys)
    }

    /// Registers a key. Durable when it returns.
    ///
    /// # Errors
    ///
    /// [`StoreError::KeyExists`] if it is registered already, whoever has it;
    /// [`StoreError::TooMany`] beyond [`CLIENT_KEYS_MAX`] or a name that is too long.
    pub fn add(&self, key: &ClientKey) -> Result<()> {
        if key.name.len() > CLIENT_KEY_NAME_BYTES_MAX {
            return Err(StoreError::TooMany { what: "bytes in the name of a client key" });
        }
        let db = self.0.lock();
        let sql = "SELECT count(*) FROM client_key WHERE account = ?1";
        let count: usize = db.query_row(sql, [&key.account], |row| row.get(0))?;
        if count >= CLIENT_KEYS_MAX {
            return Err(StoreError::TooMany { what: "client keys of the account" });
        }
        let added = db.execute(
            "INSERT OR IGNORE INTO client_key VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            params![
                key.fingerprint,
                key.created.0,
                key.kind,
                key.name,
                key.no_imap_preauth,
                key.certificate,
                key.account,
                key.login_address.to_string(),
            ],
        )?;
        if added == 0 { Err(StoreError::KeyExists) } else { Ok(()) }
    }

    /// Removes a key; returns it, if it was there. Durable when it returns.
    ///
    /// # Errors
    ///
    /// If the database cannot be written.
    pub fn remove(&self, fingerprint: &str) -> Result<bool> {
        let db = self.0.lock();
        let sql = "DELETE FROM client_key WHERE fingerprint = ?1 RETURNING 1";
        Ok(db.query_row(sql, [fingerprint], |_| Ok(())).optional()?.is_some())
    }

    /// Removes all keys of an account; returns how many. Durable when it returns.
    ///
    /// # Errors
    ///
    /// If the database cannot be written.
    pub fn remove_account(&self, account: &str) -> Result<usize> {
        Ok(self.0.lock().execute("DELETE FROM client_key WHERE account = ?1", [account])?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(fingerprint: &str, account: &str) -> ClientKey {
        ClientKey {
            fingerprint: fingerprint.to_owned(),
            created: UnixSeconds(7),
            kind: "ed25519".to_owned(),
            name: format!("key {fingerprint}"),
            no_imap_preauth: false,
            certificate: vec![1, 2, 3],
            account: account.to_owned(),
            login_address: Address::parse("☕@example.org").unwrap(),
        }
    }

    #[test]
    fn keys_are_found_by_fingerprint_until_removed() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ClientKeys::open(dir.path()).unwrap();
        assert_eq!(keys.find("a").unwrap(), None);
        keys.add(&key("a", "mjl")).unwrap();
        keys.add(&key("b", "other")).unwrap();
        assert!(matches!(keys.add(&key("a", "other")), Err(StoreError::KeyExists)));
        drop(keys);
        let keys = ClientKeys::open(dir.path()).unwrap();
        assert_eq!(keys.find("a").unwrap(), Some(key("a", "mjl")));
        assert_eq!(keys.list(Some("other")).unwrap(), [key("b", "other")]);
        assert_eq!(keys.list(None).unwrap().len(), 2);
        assert!(keys.remove("a").unwrap());
        assert!(!keys.remove("a").unwrap());
        assert_eq!(keys.find("a").unwrap(), None);
        assert_eq!(keys.remove_account("other").unwrap(), 1);
        assert_eq!(keys.list(None).unwrap(), []);
    }

    #[test]
    fn an_account_has_a_bound_of_keys() {
        let dir = tempfile::tempdir().unwrap();
        let keys = ClientKeys::open(dir.path()).unwrap();
        for number in 0..CLIENT_KEYS_MAX {
            keys.add(&key(&number.to_string(), "mjl")).unwrap();
        }
        assert!(matches!(keys.add(&key("more", "mjl")), Err(StoreError::TooMany { .. })));
        keys.add(&key("more", "other")).unwrap();
    }
}
