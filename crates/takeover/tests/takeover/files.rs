//! Files that are no databases.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mox_takeover::{Notes, Summary, files};

use crate::fixtures::Fixture;

/// An account key as the original writes it.
const ACCOUNT_KEY: &str = "acme/letsencrypt.key";

fn put(dir: &Path, path: &str, text: &str) {
    let path = dir.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// Copies, after a check that must say the same.
fn copy(data: &Path, into: &Path) -> Summary {
    let checked = files::check(data).unwrap();
    let copied = files::copy(data, into).unwrap();
    assert_eq!(checked, copied);
    copied
}

/// The names in notes, below the data directory.
fn names(notes: &Notes, data: &Path) -> Vec<String> {
    let start = format!("{}/", data.display());
    notes.some.iter().map(|note| note.replace(&start, "")).collect()
}

/// Everything below a directory: path, mode and content.
fn tree(dir: &Path) -> Vec<(String, u32, Vec<u8>)> {
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(next) = dirs.pop() {
        for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
            let metadata = entry.metadata().unwrap();
            if metadata.is_dir() {
                dirs.push(entry.path());
                continue;
            }
            let path = entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            let mode = metadata.permissions().mode() & 0o777;
            found.push((path, mode, fs::read(entry.path()).unwrap()));
        }
    }
    found.sort();
    found
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_key_of_ids_in_received_fields_is_kept() {
    for name in ["basic", "rich", "live"] {
        let fixture = Fixture::new(name);
        let ours = tempfile::tempdir().unwrap();
        let summary = copy(&fixture.host.data, ours.path());
        assert!(summary.is_whole(), "{summary:?}");
        assert_eq!(summary.taken["keys of ids in Received fields"], 1);
        assert_eq!(summary.skipped.get("files that are not known"), None, "{name}");
        let [(path, mode, key)] = &tree(ours.path())[..] else { panic!("one file") };
        assert_eq!((path.as_str(), *mode), ("receivedid.key", 0o600));
        assert_eq!(fixture.expected["receivedid_key_hex"], hex(key));
        assert_eq!(copy(&fixture.host.data, ours.path()), summary);
    }
}

#[test]
fn a_key_of_another_length_is_damaged() {
    for length in [0, 23, 25] {
        let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(theirs.path(), "receivedid.key", &"x".repeat(length));
        let summary = copy(theirs.path(), ours.path());
        assert_eq!(summary.damaged["keys of ids in Received fields"].count, 1);
        assert_eq!(tree(ours.path()), []);
    }
}

#[test]
fn files_without_a_record_are_told() {
    let fixture = Fixture::new("rich");
    let stray = "message files without a record";
    let summary = files::check(&fixture.host.data).unwrap();
    assert_eq!(names(&summary.skipped[stray], &fixture.host.data), ["accounts/bob/msg/b/8200"]);
    for path in ["accounts/alice/msg/zz/1", "queue/a/4711", "queue/a/7x", "queue/a/07"] {
        put(&fixture.host.data, path, "left over");
    }
    let summary = files::check(&fixture.host.data).unwrap();
    let want = [
        "accounts/alice/msg/zz/1",
        "accounts/bob/msg/b/8200",
        "queue/a/07",
        "queue/a/4711",
        "queue/a/7x",
    ];
    assert_eq!(names(&summary.skipped[stray], &fixture.host.data), want);
    // Files of messages that were removed while a client had them open are none.
    let live = Fixture::new("live");
    assert_eq!(files::check(&live.host.data).unwrap().skipped.get(stray), None);
}

#[test]
fn files_that_nobody_knows_are_told() {
    let fixture = Fixture::new("rich");
    let data = &fixture.host.data;
    for name in ["notes.txt", "lastknownversion", "moxversion", "tmp/x", "moved/y"] {
        put(data, name, "v0.0.15\n");
    }
    let ours = tempfile::tempdir().unwrap();
    let summary = copy(data, ours.path());
    assert_eq!(names(&summary.skipped["files that are not known"], data), ["notes.txt"]);
    // A release of theirs says nothing about ours.
    assert_eq!(summary.left["notes of the last release that was told of"], 1);
    assert!(!ours.path().join("lastknownversion").exists());
}

/// A private key in PEM of such an algorithm, PKCS #8.
fn key(algorithm: &'static rcgen::SignatureAlgorithm) -> String {
    rcgen::KeyPair::generate_for(algorithm).unwrap().serialize_pem()
}

#[test]
fn accounts_and_certificates_of_acme_are_taken_as_they_are() {
    let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    // As the original writes it.
    let note = "-----\nNote: PEM PKCS8 ECDSA private key, made for ACME\n\n";
    let account = key(&rcgen::PKCS_ECDSA_P256_SHA256).replacen("-----\n", note, 1);
    let certificate =
        format!("{account}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    put(theirs.path(), ACCOUNT_KEY, &account);
    put(theirs.path(), "acme/other.key", &key(&rcgen::PKCS_RSA_SHA256));
    put(theirs.path(), "acme/none.key", "");
    put(theirs.path(), "acme/README", "?");
    put(theirs.path(), "acme/keycerts/README", "?");
    let certs = "acme/keycerts/letsencrypt";
    for name in ["mail.example.org", "mail.example.org+rsa", "xn--4ca.example"] {
        put(theirs.path(), &format!("{certs}/{name}"), &certificate);
    }
    for name in ["a.example+token", "a.example+http-01", "bad", "UPPER.example", "a b.example"] {
        put(theirs.path(), &format!("{certs}/{name}"), "?");
    }
    put(theirs.path(), &format!("{certs}/large.example"), &"x".repeat((1 << 20) + 1));
    let mode = |path: &str, mode| {
        fs::set_permissions(theirs.path().join(path), fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(ACCOUNT_KEY, 0o660);
    mode("acme/keycerts/letsencrypt/mail.example.org", 0o644);
    std::os::unix::fs::symlink("/etc/passwd", theirs.path().join("acme/link.key")).unwrap();

    let summary = copy(theirs.path(), ours.path());
    let told = |kind: &str| names(&summary.skipped[kind], theirs.path());
    assert_eq!(summary.taken["ACME accounts"], 1);
    assert_eq!(summary.taken["certificates"], 3);
    assert_eq!(
        told("ACME accounts that are made anew: CAA records may name the old ones").len(),
        2
    );
    assert_eq!(told("answers to checks of ACME that were going on").len(), 2);
    assert_eq!(told("certificates that are asked for anew").len(), 2);
    let unknown = [
        "acme/README",
        "acme/link.key",
        "acme/keycerts/README",
        "acme/keycerts/letsencrypt/UPPER.example",
        "acme/keycerts/letsencrypt/a b.example",
    ];
    assert_eq!(told("files that are not known"), unknown);
    let found = tree(ours.path());
    let modes: Vec<_> = found.iter().map(|(path, mode, _)| (path.as_str(), *mode)).collect();
    let want = [
        ("acme/keycerts/letsencrypt/mail.example.org", 0o640),
        ("acme/keycerts/letsencrypt/mail.example.org+rsa", 0o640),
        ("acme/keycerts/letsencrypt/xn--4ca.example", 0o640),
        (ACCOUNT_KEY, 0o660),
    ];
    assert_eq!(modes, want);
    assert!(
        found.iter().all(|(path, _, text)| *text == fs::read(theirs.path().join(path)).unwrap())
    );
    assert_eq!(copy(theirs.path(), ours.path()), summary);

    // What was renewed since stays.
    put(ours.path(), "acme/keycerts/letsencrypt/mail.example.org", "newer");
    // A crash left half a file beside its place.
    fs::remove_file(ours.path().join(ACCOUNT_KEY)).unwrap();
    put(ours.path(), "acme/letsencrypt.key.new", "half");
    let again = files::copy(theirs.path(), ours.path()).unwrap();
    assert_eq!(again.skipped["files that ours has otherwise"].count, 1);
    assert_eq!(again.taken["certificates"], 2);
    assert_eq!(fs::read_to_string(ours.path().join(ACCOUNT_KEY)).unwrap(), account);
    assert!(!ours.path().join("acme/letsencrypt.key.new").exists());
}

#[test]
fn a_directory_that_cannot_be_listed_is_told() {
    let fixture = Fixture::new("rich");
    let msg = fixture.theirs("bob").join("msg");
    fs::rename(&msg, msg.with_file_name("aside")).unwrap();
    fs::write(&msg, "no directory").unwrap();
    let summary = files::check(&fixture.host.data).unwrap();
    assert_eq!(summary.skipped["directories of messages that cannot be read"].count, 1);
}

#[test]
fn no_keys_are_reached_through_links() {
    let elsewhere = tempfile::tempdir().unwrap();
    let text = key(&rcgen::PKCS_ECDSA_P256_SHA256);
    put(elsewhere.path(), "private/server.key", &text);
    put(elsewhere.path(), "ca.key", &text);
    for link in ["acme", "acme/keycerts"] {
        let (theirs, ours) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = theirs.path().join(link);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(elsewhere.path(), &path).unwrap();
        let summary = copy(theirs.path(), ours.path());
        assert_eq!(names(&summary.skipped["files that are not known"], theirs.path()), [link]);
        assert_eq!(tree(ours.path()), []);
    }
}
