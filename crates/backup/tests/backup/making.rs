//! What is in a backup.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::sync::atomic::{AtomicBool, Ordering};

use mox_backup::{BackupError, Manifest, Options, Target, backup, restore, verify_backup};
use mox_base::{MailboxName, NumSet, Uid};
use mox_store::{Expunge, ReadOnly};

use crate::support::{Fixture, NOW, deliver, large, small, sums};

#[test]
fn all_that_is_known_is_copied_with_its_mode_and_nothing_else_without_a_word() {
    let fixture = Fixture::new();
    fs::create_dir_all(fixture.path("data/webmail")).unwrap();
    fs::write(fixture.path("data/webmail/notes"), b"x").unwrap();
    fs::write(fixture.path("data/accounts/ann/odd"), b"x").unwrap();
    let outcome = fixture.backup("b", None);
    let names: Vec<String> =
        sums(&fixture.path("b")).into_keys().filter(|name| !name.contains("/blob/")).collect();
    let want = [
        "config/dkim/key.pem",
        "config/domains.conf",
        "config/mox.conf",
        "data/accounts/ann/index.db",
        "data/accounts/ann/odd",
        "data/accounts/bob/index.db",
        "data/auth.db",
        "data/decoy.key",
        "data/receivedid.key",
        "data/reports.db",
        "data/webmail/notes",
    ];
    assert_eq!(names, want);
    assert_eq!(outcome.files, want.len() as u64 + 3, "with two bodies and a link");
    assert_eq!(outcome.linked_data, 2);
    assert_eq!(outcome.warnings.len(), 2, "{:?}", outcome.warnings);
    let mode = |name: &str| fs::metadata(fixture.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode("b/config/mox.conf"), 0o644);
    assert_eq!(mode("b/config/dkim/key.pem"), 0o600);
    assert_eq!(mode("b"), 0o700);
    let link = fs::read_link(fixture.path("b/config/current")).unwrap();
    assert_eq!(link.to_str(), Some("dkim/key.pem"));
    assert_eq!(fixture.faults("b"), Vec::<String>::new());
}

#[test]
fn bodies_of_an_earlier_backup_are_linked_to() {
    let fixture = Fixture::new();
    fixture.backup("b1", None);
    fixture.deliver("ann", &large(99));
    let outcome = fixture.backup("b2", Some("b1"));
    assert_eq!((outcome.linked_earlier, outcome.linked_data), (2, 1));
    let (first, second) = (sums(&fixture.path("b1")), sums(&fixture.path("b2")));
    let shared: Vec<_> = first.iter().filter(|(name, _)| name.contains("/blob/")).collect();
    assert_eq!(shared.len(), 2);
    for (name, sum) in shared {
        assert_eq!(second.get(name), Some(sum));
        let inode = |backup: &str| fs::metadata(fixture.path(backup).join(name)).unwrap().ino();
        assert_eq!(inode("b1"), inode("b2"));
    }
    assert_eq!(fixture.faults("b2"), Vec::<String>::new());
    // The earlier one may go.
    fs::remove_dir_all(fixture.path("b1")).unwrap();
    assert_eq!(fixture.faults("b2"), Vec::<String>::new());
}

/// What rots in one backup is not handed on to the next that links to it.
#[test]
fn a_body_that_rotted_in_the_earlier_backup_is_copied_anew() {
    let fixture = Fixture::new();
    fixture.backup("b1", None);
    let sums = sums(&fixture.path("b1"));
    let name = sums.keys().find(|name| name.contains("bob/blob/")).unwrap();
    let path = fixture.path("b1").join(name);
    let mut content = fs::read(&path).unwrap();
    let changed = fs::metadata(&path).unwrap().modified().unwrap();
    content[300_000] ^= 1;
    // Not in place: it is linked to the data directory.
    fs::remove_file(&path).unwrap();
    fs::write(&path, content).unwrap();
    fs::File::open(&path).unwrap().set_modified(changed).unwrap();
    let outcome = fixture.backup("b2", Some("b1"));
    assert_eq!((outcome.linked_earlier, outcome.linked_data), (1, 1));
    let want = format!("{name}: damaged in the earlier backup, copied anew");
    assert_eq!(outcome.warnings, [want]);
    assert_eq!(fixture.faults("b2"), Vec::<String>::new());
}

/// Attack: the service user has root back up a file of somebody else.
#[test]
fn a_body_that_is_a_link_is_not_followed() {
    let fixture = Fixture::new();
    fs::write(fixture.path("secret"), b"of somebody else").unwrap();
    fixture.backup("b1", None);
    let sums = sums(&fixture.path("b1"));
    let name = sums.keys().find(|name| name.contains("bob/blob/")).unwrap();
    let body = fixture.dir.path().join(name);
    fs::remove_file(&body).unwrap();
    symlink(fixture.path("secret"), &body).unwrap();
    let (folder, elsewhere) = (fixture.path("data/accounts/ann/blob"), fixture.path("elsewhere"));
    fs::rename(&folder, &elsewhere).unwrap();
    symlink(&elsewhere, &folder).unwrap();
    let options = Options { earlier: None, now: NOW, program: String::new() };
    let outcome = backup(&fixture.source(), &fixture.path("b2"), &options, &mut |_| {}).unwrap();
    let want = ["data/accounts/ann/blob: not a folder".to_owned(), format!("{name}: not a file")];
    assert_eq!(outcome.faults, want);
    assert!(!fixture.path("b2").join(name).exists());
}

#[test]
fn a_server_that_delivers_and_removes_is_copied_as_of_one_moment() {
    let fixture = Fixture::new();
    let account = fixture.store.account("ann").unwrap();
    for number in 1..300 {
        deliver(&account, &small(number));
    }
    let before = account.read().unwrap().modseq();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let inbox = account.read().unwrap().mailbox(&MailboxName::inbox()).unwrap().id;
            for number in 300.. {
                if done.load(Ordering::Relaxed) {
                    return;
                }
                deliver(
                    &account,
                    &if number % 10 == 0 { large(number as u64) } else { small(number) },
                );
                // Those with files too, which may not go while the backup runs.
                let gone: NumSet =
                    [(number - 298) as u32].into_iter().filter_map(Uid::new).collect();
                let which = Expunge { uids: gone, only_deleted: false };
                account.expunge(inbox, which).wait().unwrap();
                fixture.store.tick();
            }
        });
        fixture.backup("b", None);
        done.store(true, Ordering::Relaxed);
    });
    assert_eq!(fixture.faults("b"), Vec::<String>::new());
    let copy = ReadOnly::open_still(&fixture.path("b/data/accounts/ann")).unwrap();
    let reader = copy.read().unwrap();
    assert!(reader.modseq() >= before);
    // Each step adds one and removes one, in commits of their own.
    let inbox = reader.mailbox(&MailboxName::inbox()).unwrap();
    let messages = reader.uids(inbox.id).unwrap().len();
    assert!((301..=302).contains(&messages), "{messages}");
    drop((reader, copy));

    // What is put back is what was delivered, byte by byte.
    restore(&fixture.path("b"), &fixture.path("r"), None, &mut |_| {}).unwrap();
    let back = ReadOnly::open_still(&fixture.path("r/accounts/ann")).unwrap().read().unwrap();
    let uids = back.uids(inbox.id).unwrap();
    assert_eq!(uids.len(), messages);
    for uid in uids {
        let number = (uid as usize).saturating_sub(2);
        let delivered = match uid {
            2 => large(3),
            _ if number >= 300 && number.is_multiple_of(10) => large(number as u64),
            _ => small(number),
        };
        let found = back.content(inbox.id, Uid::new(uid).unwrap()).unwrap().to_vec().unwrap();
        assert!(found == delivered, "UID {uid}");
    }
}

#[test]
fn nothing_is_overwritten_and_no_backup_goes_into_itself() {
    let fixture = Fixture::new();
    fs::create_dir(fixture.path("used")).unwrap();
    fs::write(fixture.path("used/mine"), b"x").unwrap();
    let attempt = |dest: &str| {
        let options = Options { earlier: None, now: NOW, program: String::new() };
        backup(&fixture.source(), &fixture.path(dest), &options, &mut |_| {})
    };
    assert!(matches!(attempt("used"), Err(BackupError::NotEmpty(_))));
    assert_eq!(fs::read(fixture.path("used/mine")).unwrap(), b"x");
    assert!(matches!(attempt("data/backup"), Err(BackupError::Inside(_))));
    assert!(matches!(attempt("config/backup"), Err(BackupError::Inside(_))));
    assert!(!fixture.path("data/backup").exists());
    fixture.backup("b", None);
    assert!(matches!(attempt("b"), Err(BackupError::NotEmpty(_))));
}

/// Killed at any moment, a backup has no manifest; the next one is not disturbed by it.
#[test]
fn a_backup_that_was_not_finished_is_told_from_one_that_was() {
    let fixture = Fixture::new();
    let mut reports = 0;
    let options = Options { earlier: None, now: NOW, program: String::new() };
    let killed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        backup(&fixture.source(), &fixture.path("cut"), &options, &mut |_| {
            reports += 1;
            assert!(reports < 5, "killed");
        })
    }));
    assert!(killed.is_err());
    let refused = verify_backup(&fixture.path("cut"), true, &mut |_| {});
    assert!(matches!(refused, Err(BackupError::NoManifest(_))));
    assert!(matches!(Target::of(&fixture.path("cut")), Err(BackupError::NoManifest(_))));
    let earlier = Some(fixture.path("cut"));
    let options = Options { earlier, ..options };
    let refused = backup(&fixture.source(), &fixture.path("next"), &options, &mut |_| {});
    assert!(matches!(refused, Err(BackupError::NoManifest(_))));
    fixture.backup("b", None);
    assert_eq!(fixture.faults("b"), Vec::<String>::new());
}

#[test]
fn what_cannot_be_copied_is_told_in_the_manifest_and_keeps_nothing_else_out() {
    let fixture = Fixture::new();
    drop(fixture.store.account("bob").unwrap());
    fs::create_dir(fixture.path("data/accounts/broken")).unwrap();
    fs::write(fixture.path("data/accounts/broken/index.db"), vec![b'x'; 10_000]).unwrap();
    let options = Options { earlier: None, now: NOW, program: String::new() };
    let outcome = backup(&fixture.source(), &fixture.path("b"), &options, &mut |_| {}).unwrap();
    assert!(outcome.faults[0].starts_with("data/accounts/broken/index.db: "), "{outcome:?}");
    let manifest = Manifest::read(&fixture.path("b")).unwrap();
    assert_eq!(manifest.faults, outcome.faults);
    assert!(sums(&fixture.path("b")).contains_key("data/accounts/bob/index.db"));
    let faults = fixture.faults("b");
    assert!(faults[0].starts_with("not in the backup: data/accounts/broken/"), "{faults:?}");
}

#[test]
fn data_and_configuration_may_be_in_one_folder() {
    let fixture = Fixture::new();
    for name in ["mox.conf", "domains.conf"] {
        fs::copy(fixture.path("config").join(name), fixture.path("data").join(name)).unwrap();
    }
    let mut source = fixture.source();
    source.config = source.data.clone();
    let options = Options { earlier: None, now: NOW, program: String::new() };
    let outcome = backup(&source, &fixture.path("b"), &options, &mut |_| {}).unwrap();
    assert_eq!((outcome.faults, outcome.warnings), (Vec::new(), Vec::new()));
    assert!(sums(&fixture.path("b")).contains_key("data/domains.conf"));
    assert_eq!(fixture.faults("b"), Vec::<String>::new());
}
