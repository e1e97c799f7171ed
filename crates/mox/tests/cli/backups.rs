//! `mox backup` and `mox restore`, without a server.

use std::fs;
use std::path::Path;

use mox::localserve::{InitOptions, init};
use tempfile::TempDir;

use crate::program::{Run, run_in};

const MBOX: &str = "From a@b.example Mon Jan  2 10:04:05 2006\nSubject: one\n\ntext\n";

/// A data directory with two accounts, and a backup of it.
fn backed_up() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    init(&dir.path().join("ls"), &InitOptions::default()).unwrap();
    let domains = dir.path().join("ls/domains.conf");
    let text = fs::read_to_string(&domains).unwrap();
    let other = "Accounts:\n\tother:\n\t\tDomain: localhost\n\
        \t\tDestinations:\n\t\t\tother@localhost: nil\n";
    fs::write(&domains, text.replacen("Accounts:\n", other, 1)).unwrap();
    fs::write(dir.path().join("mail.mbox"), MBOX).unwrap();
    for account in ["mox", "other"] {
        let words = ["-config", "ls/mox.conf", "import", "mbox", account, "Inbox", "mail.mbox"];
        check(&run_in(dir.path(), &words, ""), 0, "");
    }
    check(&run_in(dir.path(), &["-config", "ls/mox.conf", "backup", "b"], ""), 0, "");
    dir
}

#[track_caller]
fn check(found: &Run, code: i32, told: &str) {
    assert_eq!(found.code, Some(code), "{found:?}");
    assert!(found.err.contains(told), "{told:?}: {found:?}");
}

/// Changes a byte in the middle of a file.
fn damage(path: &Path) {
    let mut content = fs::read(path).unwrap();
    let at = content.len() / 2;
    content[at] ^= 1;
    fs::remove_file(path).unwrap();
    fs::write(path, content).unwrap();
}

#[test]
fn damage_elsewhere_keeps_no_account_from_being_put_back() {
    let dir = backed_up();
    let restore = |words: &[&str]| run_in(dir.path(), &[&["restore", "b"], words].concat(), "");
    fs::create_dir(dir.path().join("new")).unwrap();
    damage(&dir.path().join("b/data/accounts/other/index.db"));
    let told = "error: data/accounts/other/index.db: differs";
    check(&restore(&["new", "--account", "mox"]), 0, told);
    assert!(dir.path().join("new/accounts/mox/index.db").is_file());
    // It may be needed for anything else.
    let refused = "the backup is damaged: nothing was put back";
    check(&restore(&["new", "--account", "other"]), 1, refused);
    check(&restore(&["all"]), 1, refused);
    assert!(!dir.path().join("all").exists());
    assert!(!dir.path().join("new/accounts/other").exists());
    damage(&dir.path().join("b/data/accounts/mox/index.db"));
    check(&restore(&["new", "--account", "mox", "--as", "again"]), 1, refused);
}

/// A disk that is not mounted: an empty directory was made in its place, and copied.
#[test]
fn a_data_directory_that_is_missing_is_not_made_to_be_copied() {
    let dir = backed_up();
    let conf = dir.path().join("ls/mox.conf");
    let text = fs::read_to_string(&conf).unwrap();
    let moved = text.replace("DataDir: .\n", "DataDir: ../disk\n");
    assert_ne!(moved, text);
    fs::write(&conf, moved).unwrap();
    let found = run_in(dir.path(), &["-config", "ls/mox.conf", "backup", "b2"], "");
    check(&found, 1, "");
    assert!(!dir.path().join("disk").exists());
}
