//! Loading, following and rewriting files.

use std::error::Error;
use std::fs;
use std::num::ParseIntError;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use mox_base::UnixSeconds;
use tempfile::TempDir;

use super::{DOMAINS_CONF, MOX_CONF, address};
use crate::{Account, EditError, Live, NamedFiles, PassedFiles};

/// A directory with both files, long ago.
struct Fixture {
    dir: TempDir,
    now: UnixSeconds,
}

impl Fixture {
    fn new() -> Self {
        let fixture = Self { dir: tempfile::tempdir().unwrap(), now: UnixSeconds(1_000_000) };
        fs::write(fixture.dir.path().join("mox.conf"), MOX_CONF).unwrap();
        fixture.write(DOMAINS_CONF, 900_000);
        fixture
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("domains.conf")
    }

    /// Writes `domains.conf` with a time of change.
    fn write(&self, text: &str, mtime_secs: u64) {
        fs::write(self.path(), text).unwrap();
        let file = fs::File::options().append(true).open(self.path()).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_secs(mtime_secs)).unwrap();
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn load(&self) -> Live {
        Live::load(self.dir.path(), NamedFiles::Check, self.now).unwrap().0
    }

    fn at(&self, secs: i64) -> UnixSeconds {
        self.now.plus_secs(secs)
    }
}

fn add_account(live: &Live, now: UnixSeconds, name: &str) -> Result<(), EditError> {
    live.edit(now, |dynamic| {
        let account = Account::with_defaults(&address(&format!("{name}@example.org")));
        dynamic.accounts.insert(name.to_owned(), account);
        Ok(())
    })
}

#[test]
fn a_change_of_the_file_is_taken_up() {
    let fixture = Fixture::new();
    let live = fixture.load();
    let before = live.snapshot();
    assert_eq!(live.reload(fixture.at(1)), Ok(false));
    fixture.write(&format!("{DOMAINS_CONF}\t\t\tx@example.org: nil\n"), 1_000_001);
    assert_eq!(live.reload(fixture.at(2)), Ok(true));
    assert!(live.snapshot().account_for_login("x@example.org").is_ok());
    // A unit of work under way keeps what it had.
    assert!(before.account_for_login("x@example.org").is_err());
    assert_eq!(live.reload(fixture.at(3)), Ok(false));
}

#[test]
fn a_change_within_the_grain_of_time_stamps_is_taken_up() {
    let fixture = Fixture::new();
    let live = fixture.load();
    let (a, b) = (DOMAINS_CONF.replace("mjl@", "aaa@"), DOMAINS_CONF.replace("mjl@", "bbb@"));
    fixture.write(&a, 1_000_001);
    assert_eq!(live.reload(fixture.at(1)), Ok(true));
    // Same time, same size.
    fixture.write(&b, 1_000_001);
    assert_eq!(live.reload(fixture.at(2)), Ok(true));
    assert!(live.snapshot().account_for_login("bbb@example.org").is_ok());
}

#[test]
fn a_file_with_faults_changes_nothing_and_is_reported_once() {
    let fixture = Fixture::new();
    let live = fixture.load();
    fixture.write(&format!("{DOMAINS_CONF}\t\tDomian: x\n"), 1_000_001);
    let faults = live.reload(fixture.at(2)).unwrap_err();
    assert_eq!(faults[0].line, 9);
    assert_eq!(live.reload(fixture.at(3)), Ok(false));
    assert!(live.snapshot().account_for_login("mjl@example.org").is_ok());
    // An edit would lose the change by hand, so it is refused, each time.
    for secs in [4, 5] {
        let error = add_account(&live, fixture.at(secs), "x").unwrap_err();
        assert!(matches!(error, EditError::Unreadable(_)), "{error}");
    }
    // Mended again.
    fixture.write(DOMAINS_CONF, 1_000_006);
    assert_eq!(live.reload(fixture.at(7)), Ok(false));
    fixture.write(&format!("{DOMAINS_CONF}\t\tFullName: x\n"), 1_000_008);
    assert_eq!(live.reload(fixture.at(9)), Ok(true));
}

#[test]
fn a_file_that_is_gone_changes_nothing_and_is_reported_once() {
    let fixture = Fixture::new();
    let live = fixture.load();
    fs::remove_file(fixture.path()).unwrap();
    assert!(live.reload(fixture.at(2)).unwrap_err()[0].message.contains("cannot be read"));
    assert_eq!(live.reload(fixture.at(3)), Ok(false));
    assert!(live.snapshot().account("mjl").is_some());
}

#[test]
fn an_edit_keeps_comments_order_and_spelling() {
    let fixture = Fixture::new();
    let text = "# Mine.\n".to_owned()
        + &DOMAINS_CONF
            .replace("\tmjl:", "\tzoe:\n\t\tDomain: example.org\n\n\t# The boss.\n\tmjl:");
    fixture.write(&text, 900_000);
    let live = fixture.load();
    live.edit(fixture.at(1), |dynamic| -> Result<(), EditError> {
        dynamic.accounts.get_mut("mjl").unwrap().full_name = "M. J. L.".to_owned();
        Ok(())
    })
    .unwrap();
    let want = text.replace(
        "\t# The boss.\n\tmjl:\n\t\tDomain: example.org\n",
        "\t# The boss.\n\tmjl:\n\t\tDomain: example.org\n\t\tFullName: M. J. L.\n",
    );
    assert_eq!(fixture.text(), want);
    assert_eq!(live.snapshot().account("mjl").unwrap().full_name, "M. J. L.");
    // The server's own change is none for the next look.
    assert_eq!(live.reload(fixture.at(2)), Ok(false));
}

#[test]
fn an_edit_builds_on_a_change_made_by_hand() {
    let fixture = Fixture::new();
    let live = fixture.load();
    fixture.write(&format!("{DOMAINS_CONF}\t\t\tx@example.org: nil\n"), 900_000);
    add_account(&live, fixture.at(0), "y").unwrap();
    let snapshot = live.snapshot();
    for user in ["x@example.org", "y@example.org"] {
        assert!(snapshot.account_for_login(user).is_ok(), "{user}");
    }
    assert!(fixture.text().starts_with(DOMAINS_CONF));
}

#[test]
fn an_edit_with_faults_changes_nothing() {
    let fixture = Fixture::new();
    let live = fixture.load();
    let before = live.snapshot();
    let error = live
        .edit(fixture.at(1), |dynamic| -> Result<(), EditError> {
            dynamic.accounts.clear();
            dynamic.accounts.insert("x".into(), Account::with_defaults(&address("x@none.example")));
            Ok(())
        })
        .unwrap_err();
    let EditError::Invalid(faults) = &error else { panic!("{error}") };
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(error.to_string().contains("; "), "{error}");
    // The change itself may refuse.
    let refused = live.edit(fixture.at(1), |dynamic| -> Result<u32, Box<dyn Error>> {
        dynamic.accounts.clear();
        Ok("x".parse()?)
    });
    assert!(refused.unwrap_err().is::<ParseIntError>());
    assert_eq!(fixture.text(), DOMAINS_CONF);
    assert_eq!(live.snapshot().dynamic, before.dynamic);
}

#[test]
fn an_edit_without_a_change_writes_nothing() {
    let fixture = Fixture::new();
    let live = fixture.load();
    let before = fs::metadata(fixture.path()).unwrap().modified().unwrap();
    live.edit(fixture.at(1), |_| Ok::<_, EditError>(())).unwrap();
    assert_eq!(fs::metadata(fixture.path()).unwrap().modified().unwrap(), before);
}

#[test]
fn deprecated_localparts_are_completed_when_the_file_is_written() {
    let fixture = Fixture::new();
    fixture
        .write(&DOMAINS_CONF.replace("mjl@example.org: nil", "mjl:\n\t\t\t\tMailbox: X"), 900_000);
    let live = fixture.load();
    add_account(&live, fixture.at(1), "y").unwrap();
    assert!(fixture.text().contains("\t\t\tmjl@example.org:\n\t\t\t\tMailbox: X\n"));
}

#[test]
fn what_a_crash_leaves_beside_the_file_is_harmless() {
    let fixture = Fixture::new();
    let beside = fixture.dir.path().join(".domains.conf.new");
    // A crash before the rename: half a file, not readable, beside an old one that is whole.
    fs::write(&beside, "Domains:\n\texam").unwrap();
    let mut permissions = fs::metadata(&beside).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&beside, permissions).unwrap();
    assert_eq!(crate::test(fixture.dir.path()).faults, []);
    let live = fixture.load();
    add_account(&live, fixture.at(1), "y").unwrap();
    assert!(!beside.exists());
    assert!(fixture.text().contains("y@example.org"));
}

#[cfg(unix)]
#[test]
fn mode_and_links_are_kept() {
    use std::os::unix::fs::{PermissionsExt, symlink};

    let fixture = Fixture::new();
    let real = fixture.dir.path().join("real.conf");
    fs::rename(fixture.path(), &real).unwrap();
    symlink(Path::new("real.conf"), fixture.path()).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let live = fixture.load();
    add_account(&live, fixture.at(1), "y").unwrap();
    assert!(fs::symlink_metadata(fixture.path()).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("y@example.org"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn a_failing_write_changes_nothing() {
    let fixture = Fixture::new();
    let live = fixture.load();
    // The name of the file beside is taken by a directory, which cannot be replaced.
    let beside = fixture.dir.path().join(".domains.conf.new");
    fs::create_dir(&beside).unwrap();
    fs::write(beside.join("x"), "").unwrap();
    let error = add_account(&live, fixture.at(1), "y").unwrap_err();
    assert!(matches!(error, EditError::Write { .. }), "{error}");
    assert_eq!(fixture.text(), DOMAINS_CONF);
    assert!(live.snapshot().account("y").is_none());
}

#[test]
fn files_that_were_passed_are_read_at_their_place_after_every_change() {
    let fixture = Fixture::new();
    let (key, place) = (fixture.dir.path().join("key.pem"), PathBuf::from("/proc/self/fd/9"));
    let passed = PassedFiles::new([(key.clone(), place.clone())].into());
    let path = fixture.dir.path();
    let live = Live::load_passed(path, NamedFiles::CheckReadable, passed, fixture.now).unwrap().0;
    let check = || {
        assert_eq!(live.snapshot().path("key.pem"), place);
        assert_eq!(live.snapshot().path("cert.pem"), path.join("cert.pem"));
    };
    check();
    fixture.write(&format!("{DOMAINS_CONF}\t\t\tx@example.org: nil\n"), 1_000_001);
    assert_eq!(live.reload(fixture.at(2)), Ok(true));
    check();
    add_account(&live, fixture.at(3), "new").unwrap();
    check();
    assert_eq!(fixture.load().snapshot().path("key.pem"), key);
}
