//! Keys to log in with.

use std::collections::BTreeSet;

use mox_store::ClientKeys;
use mox_takeover::{Auth, Summary};
use serde_json::Value as Json;

use crate::fixtures::{Fixture, Patient, bytes, unix_secs};

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

fn copy(fixture: &Fixture, keys: &ClientKeys, accounts: &dyn Fn(&str) -> bool) -> Summary {
    let theirs = Auth::open(&fixture.host.data).unwrap().unwrap();
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
    let summary = copy(&fixture, &keys, &|_| true);
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
    assert_eq!(copy(&fixture, &keys, &|_| true), summary);
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
    let summary = copy(&fixture, &keys, &|account| account == "bob");
    assert_eq!(summary.skipped["TLS keys of accounts that are not there"].count, 1);
    let kept = keys.list(None).unwrap();
    assert_eq!(kept.iter().map(|key| key.account.as_str()).collect::<Vec<_>>(), ["bob"]);
}

#[test]
fn a_key_that_ours_has_otherwise_stays() {
    let fixture = Fixture::new("rich");
    let ours = tempfile::tempdir().unwrap();
    let keys = ClientKeys::open(ours.path()).unwrap();
    copy(&fixture, &keys, &|_| true);
    let mut key = keys.list(Some("bob")).unwrap().remove(0);
    keys.remove(&key.fingerprint).unwrap();
    "carol".clone_into(&mut key.account);
    keys.add(&key).unwrap();
    let theirs = Auth::open(&fixture.host.data).unwrap().unwrap();
    let summary = theirs.copy(&keys, &|_| true, &mut Patient).unwrap();
    assert_eq!(summary.skipped["TLS keys that ours has otherwise"].count, 1);
    assert_eq!(keys.find(&key.fingerprint).unwrap(), Some(key));
}
