//! Keys to log in with.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use mox_bstore::{Database, Table};
use mox_store::{CLIENT_KEY_NAME_BYTES_MAX, CLIENT_KEYS_MAX, ClientKeys};
use mox_takeover::{Auth, Summary, TakeoverError};
use mox_testkit::certificates::Certified;
use mox_testkit::original::{Row, row, time, write_database};
use mox_tlspolicy::dane::Selector;
use serde_json::Value as Json;

use crate::fixtures::{Fixture, Patient, bytes, damage, unix_secs};

/// What each field of a key became.
fn check_key(keys: &ClientKeys, want: &Json) {
    let name = want["Fingerprint"].as_str().unwrap();
    let key = keys.find(name).unwrap().unwrap();
    for (field, value) in want.as_object().unwrap() {
        match field.as_str() {
            "Fingerprint" => assert_eq!(*value, key.fingerprint),
            "Created" => assert_eq!(unix_secs(value), key.created.0),
            "Type" => assert_eq!(*value, key.kind),
            "Name" => assert_eq!(*value, key.name),
            "NoIMAPPreauth" => assert_eq!(*value, key.no_imap_preauth),
            "CertDER" => assert_eq!(bytes(value), key.certificate),
            "Account" => assert_eq!(*value, key.account),
            "LoginAddress" => assert_eq!(*value, key.login_address.to_string()),
            _ => panic!("{field} is compared with nothing"),
        }
    }
}

/// Copies, after a check that must say the same.
fn copy(data: &Path, keys: &ClientKeys, accounts: &dyn Fn(&str) -> bool) -> Summary {
    let theirs = Auth::open(data).unwrap().unwrap();
    let checked = theirs.check(accounts, &mut Patient).unwrap();
    let copied = theirs.copy(keys, accounts, &mut Patient).unwrap();
    assert_eq!(checked, copied);
    copied
}

#[track_caller]
fn check(name: &str, want: usize) {
    let fixture = Fixture::new(name);
    let ours = tempfile::tempdir().unwrap();
    let keys = ClientKeys::open(ours.path()).unwrap();
    let summary = copy(&fixture.host.data, &keys, &|_| true);
    assert!(summary.is_whole(), "{summary:?}");
    assert_eq!(summary.differs, Default::default());
    let raw = &fixture.expected["raw"]["auth.db"];
    let tables: BTreeSet<_> = raw.as_object().unwrap().keys().map(String::as_str).collect();
    let known = ["AccountRemove", "LoginAttempt", "LoginAttemptState", "TLSPublicKey"];
    assert_eq!(tables, known.into());
    let records = raw["TLSPublicKey"]["records"].as_array().unwrap();
    assert_eq!(records.len(), want);
    records.iter().for_each(|record| check_key(&keys, record));
    assert_eq!(keys.list(None).unwrap().len(), want);
    assert_eq!(summary.taken.get("TLS keys to log in with").copied().unwrap_or(0), want as u64);
    assert_eq!(raw["LoginAttempt"]["count"], summary.left["notes about logins"]);
    assert_eq!(
        Auth::open(&fixture.host.data).unwrap().unwrap().removed_accounts().unwrap(),
        [""; 0]
    );
    // Once more, nothing changes.
    assert_eq!(copy(&fixture.host.data, &keys, &|_| true), summary);
    assert_eq!(keys.list(None).unwrap().len(), want);
}

#[test]
fn keys_go_on_to_log_in() {
    check("basic", 0);
    check("rich", 2);
    check("live", 2);
}

#[test]
fn keys_of_accounts_that_are_gone_are_not_taken() {
    let fixture = Fixture::new("rich");
    let ours = tempfile::tempdir().unwrap();
    let keys = ClientKeys::open(ours.path()).unwrap();
    let summary = copy(&fixture.host.data, &keys, &|account| account == "bob");
    assert_eq!(summary.skipped["TLS keys of accounts that are not there"].count, 1);
    let kept = keys.list(None).unwrap();
    assert_eq!(kept.iter().map(|key| key.account.as_str()).collect::<Vec<_>>(), ["bob"]);
}

#[test]
fn a_key_that_ours_has_otherwise_stays() {
    let fixture = Fixture::new("rich");
    let ours = tempfile::tempdir().unwrap();
    let keys = ClientKeys::open(ours.path()).unwrap();
    copy(&fixture.host.data, &keys, &|_| true);
    let mut key = keys.list(Some("bob")).unwrap().remove(0);
    keys.remove(&key.fingerprint).unwrap();
    "carol".clone_into(&mut key.account);
    keys.add(&key).unwrap();
    let theirs = Auth::open(&fixture.host.data).unwrap().unwrap();
    let summary = theirs.copy(&keys, &|_| true, &mut Patient).unwrap();
    assert_eq!(summary.skipped["TLS keys that ours has otherwise"].count, 1);
    assert_eq!(keys.find(&key.fingerprint).unwrap(), Some(key));
}

/// A key with the certificate that it is of, as the original would note it.
fn made(account: &'static str, name: String) -> Row {
    let der = Certified::new(&["x.example"]).der().to_vec();
    let public_key = Selector::Spki.select(&der).unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &public_key);
    use base64::Engine as _;
    let fingerprint = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash);
    row(fingerprint)
        .with("Created", time(7))
        .with("Type", "ecdsa-p256")
        .with("Name", name)
        .with("CertDER", der)
        .with("Account", account)
}

#[test]
fn what_is_beyond_our_limits_is_told() {
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let many = (0..=CLIENT_KEYS_MAX)
        .map(|number| made("many", format!("key {number}")).with("LoginAddress", "many@x.example"));
    let others = [
        made("other", "x".repeat(CLIENT_KEY_NAME_BYTES_MAX + 1))
            .with("LoginAddress", "o@x.example"),
        made("other", "no address".to_owned()).with("LoginAddress", "nobody"),
        // Whose certificate is of another key would let its owner in.
        row("th99PQTRk0nCTHC4tdedASYKnuObOHFL5FA8swa--Y8").with("CertDER", b"none".to_vec()),
    ];
    let removed = vec![row("gone"), row("old")];
    let tables = [("TLSPublicKey", many.chain(others).collect()), ("AccountRemove", removed)];
    write_database(&theirs.path().join("auth.db"), "auth", tables);
    let keys = ClientKeys::open(ours.path()).unwrap();
    let summary = copy(theirs.path(), &keys, &|_| true);
    assert_eq!(summary.taken["TLS keys to log in with"], CLIENT_KEYS_MAX as u64 + 1);
    assert_eq!(summary.skipped["TLS keys beyond our limit for an account"].count, 1);
    assert_eq!(summary.skipped["TLS keys with addresses that ours does not take"].count, 1);
    assert_eq!(summary.skipped["accounts that are being removed"].some, ["gone", "old"]);
    assert_eq!(summary.differs["names of TLS keys that were cut"].count, 1);
    assert_eq!(summary.damaged["TLS keys to log in with"].count, 1);
    assert_eq!(keys.list(Some("other")).unwrap()[0].name.len(), CLIENT_KEY_NAME_BYTES_MAX);
    assert_eq!(copy(theirs.path(), &keys, &|_| true), summary);
    let theirs = Auth::open(theirs.path()).unwrap().unwrap();
    assert_eq!(theirs.removed_accounts().unwrap(), ["gone", "old"]);
}

#[test]
fn each_page_may_be_damaged_and_the_rest_is_taken() {
    let fixture = Fixture::new("rich");
    let path = fixture.host.data.join("auth.db");
    let sound = fs::read(&path).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let whole = ClientKeys::open(dir.path()).unwrap();
    copy(&fixture.host.data, &whole, &|_| true);
    let (mut lost, mut unknown) = (0, 0);
    let pages = Database::open(sound.clone()).unwrap().pages();
    for page in 0..usize::try_from(pages).unwrap() {
        let mut broken = sound.clone();
        damage(&mut broken, page);
        fs::write(&path, &broken).unwrap();
        let theirs = Auth::open(&fixture.host.data).unwrap().unwrap();
        // Which accounts are gone is known for certain, or not at all.
        unknown += u32::from(matches!(theirs.removed_accounts(), Err(TakeoverError::Table { .. })));
        let ours = tempfile::tempdir().unwrap();
        let keys = ClientKeys::open(ours.path()).unwrap();
        lost += u32::from(!copy(&fixture.host.data, &keys, &|_| true).is_whole());
        let database = Database::open(broken).unwrap();
        let Ok(Some(table)) = Table::open(&database, "TLSPublicKey") else { continue };
        for record in table.records().flatten() {
            let name = record.text("Fingerprint");
            let key = whole.find(name).unwrap();
            if key.as_ref().is_some_and(|key| key.certificate == record.bytes("CertDER")) {
                assert!(keys.find(name).unwrap().is_some(), "page {page}: {name}");
            }
        }
    }
    assert!(lost > 2 && unknown > 0, "{lost} {unknown}");
}
