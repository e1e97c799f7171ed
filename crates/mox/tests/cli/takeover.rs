//! `mox import moxdata`: a host of the original becomes one of ours, or stays as it is.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use mox_testkit::original::{self, Host};
use tempfile::TempDir;

use crate::program::{Run, run};

/// A host of a fixture that was stopped.
struct Stopped {
    _dir: TempDir,
    host: Host,
}

impl Stopped {
    fn new(fixture: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = original::unpack(fixture, dir.path());
        Self { _dir: dir, host }
    }

    fn run(&self, words: &[&str]) -> Run {
        let config = self.host.config.to_str().unwrap();
        run(&[&["--config", config, "import", "moxdata"], words].concat())
    }

    fn beside(&self, suffix: &str) -> PathBuf {
        let mut name = self.host.data.file_name().unwrap().to_owned();
        name.push(suffix);
        self.host.data.with_file_name(name)
    }
}

/// All files below a directory, with what they hold.
fn contents(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
            found.insert(path, None);
        } else {
            found.insert(path.clone(), Some(fs::read(&path).unwrap()));
        }
    }
    found
}

/// The same by their paths in it.
pub(crate) fn below(dir: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let strip = |path: PathBuf| path.strip_prefix(dir).unwrap().to_owned();
    contents(dir).into_iter().map(|(path, content)| (strip(path), content)).collect()
}

#[track_caller]
fn check_refused(found: &Run, part: &str) {
    assert_eq!(found.code, Some(1), "{found:?}");
    assert!(found.err.contains(part), "{part:?} missing in {found:?}");
}

#[test]
fn a_host_is_taken_over_in_its_place_and_stays_beside_it() {
    let stopped = Stopped::new("rich");
    let before = below(&stopped.host.data);
    let found = stopped.run(&[]);
    assert_eq!(found.code, Some(0), "{found:?}");
    for part in ["Account alice\n", "Account bob\n", "Queue\n", "everything is taken over"] {
        assert!(found.out.contains(part) || found.err.contains(part), "{part}: {found:?}");
    }
    assert_eq!(below(&stopped.beside(".original")), before);
    assert!(!stopped.beside(".new").exists());
    let report = fs::read(stopped.host.data.join("takeover.json")).unwrap();
    let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
    assert!(report["accounts"]["alice"]["taken"]["messages"].as_u64().unwrap() > 200);
    check_refused(&stopped.run(&[]), "everything was taken over before");
    let data = stopped.host.data.to_str().unwrap();
    let verified = run(&["verifydata", data]);
    assert_eq!((verified.code, verified.out.contains(": OK")), (Some(0), true), "{verified:?}");
}

#[test]
fn a_look_changes_nothing() {
    let stopped = Stopped::new("rich");
    let dir = stopped.host.data.parent().unwrap();
    let before = contents(dir);
    let found = stopped.run(&["--dry-run", "--json"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    let report: serde_json::Value = serde_json::from_str(&found.out).unwrap();
    assert!(report["accounts"]["bob"]["taken"]["messages"].as_u64().unwrap() > 20);
    assert_eq!(contents(dir), before);
}

#[test]
fn what_a_look_tells_comes_true() {
    for fixture in ["rich", "live"] {
        let stopped = Stopped::new(fixture);
        let told = stopped.run(&["--dry-run", "--json"]);
        let done = stopped.run(&["--json"]);
        assert_eq!(done.code, Some(0), "{done:?}");
        assert_eq!(told.out, done.out, "{fixture}");
    }
}

#[test]
fn an_original_that_runs_is_left_alone() {
    let stopped = Stopped::new("rich");
    for name in ["auth.db", "queue/index.db", "accounts/bob/index.db"] {
        let running = File::open(stopped.host.data.join(name)).unwrap();
        running.try_lock().unwrap();
        let before = contents(&stopped.host.data);
        check_refused(&stopped.run(&[]), "in use: stop the other mail server first");
        assert_eq!(contents(&stopped.host.data), before, "{name}");
        // Closing is not enough: a process that is just being started has it too.
        running.unlock().unwrap();
    }
    assert_eq!(stopped.run(&[]).code, Some(0));
}

#[test]
fn damage_is_told_and_nothing_is_taken_unless_asked_for() {
    let stopped = Stopped::new("rich");
    let index = stopped.host.data.join("accounts/bob/index.db");
    let whole = fs::read(&index).unwrap();
    fs::write(&index, &whole[..whole.len() / 2]).unwrap();
    let found = stopped.run(&[]);
    check_refused(&found, "nothing was taken over");
    assert!(found.out.contains("accounts/bob/index.db"), "{found:?}");
    assert!(!stopped.beside(".new").exists() && !stopped.beside(".original").exists());
    let found = stopped.run(&["--skip-damaged"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(found.out.contains("damaged: 1 databases\n"), "{found:?}");
    assert!(stopped.beside(".original").exists());
}

#[test]
fn the_data_may_lie_elsewhere() {
    let stopped = Stopped::new("basic");
    // Configuration and data are in one directory here.
    check_refused(&stopped.run(&[]), "the configuration lies in the data directory");
    let theirs = stopped.host.data.to_str().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("config");
    fs::create_dir(&config).unwrap();
    for entry in fs::read_dir(&stopped.host.config).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::copy(&path, config.join(path.file_name().unwrap())).unwrap();
        }
    }
    let text = fs::read_to_string(config.join("mox.conf")).unwrap();
    let text = text.replace("DataDir: .\n", "DataDir: ../data\n");
    // As a number that is no user's right, for those who run tests as root.
    fs::write(config.join("mox.conf"), text.replace("User: 0\n", "User: 4242\n")).unwrap();
    let import = ["--config", config.to_str().unwrap(), "import", "moxdata", "--data", theirs];
    let before = contents(&stopped.host.data);
    let found = run(&import);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(dir.path().join("data/accounts/mox/index.db").is_file());
    assert_eq!(contents(&stopped.host.data), before);
    check_refused(&run(&import), "was taken over before");
    // Nor into a directory that is in use.
    fs::remove_file(dir.path().join("data/takeover.json")).unwrap();
    check_refused(&run(&import), "is in use: it holds");
}

#[test]
fn nobody_serves_what_is_not_taken_over_or_not_yet_all() {
    let stopped = Stopped::new("rich");
    let config = stopped.host.config.to_str().unwrap();
    let before = contents(&stopped.host.data);
    let serve = ["--config", config, "serve"];
    check_refused(&run(&serve), "mox import moxdata");
    assert_eq!(contents(&stopped.host.data), before);
    assert_eq!(stopped.run(&[]).code, Some(0));
    fs::write(stopped.host.data.join("takeover.unfinished"), "{}").unwrap();
    check_refused(&run(&serve), "is not filled yet");
}

#[test]
fn a_crash_between_the_last_steps_is_made_good() {
    let stopped = Stopped::new("rich");
    assert_eq!(stopped.run(&[]).code, Some(0));
    let (kept, filled) = (stopped.beside(".original"), stopped.beside(".new"));
    let marker = stopped.host.data.join("takeover.unfinished");
    // After the names were exchanged.
    fs::rename(&kept, &filled).unwrap();
    fs::write(&marker, "{}").unwrap();
    let found = stopped.run(&[]);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(kept.exists() && !filled.exists() && !marker.exists());
    // After the original's has its name.
    fs::write(&marker, "{}").unwrap();
    assert_eq!(stopped.run(&[]).code, Some(0));
    assert!(kept.exists() && !marker.exists());
    check_refused(&stopped.run(&[]), "everything was taken over before");
}

#[test]
fn a_directory_begun_before_the_original_ran_again_is_not_gone_on_with() {
    let stopped = Stopped::new("rich");
    let filled = stopped.beside(".new");
    fs::create_dir(&filled).unwrap();
    let source = serde_json::json!({"source": stopped.host.data, "stamp": "1 1"});
    fs::write(filled.join("takeover.unfinished"), source.to_string()).unwrap();
    check_refused(&stopped.run(&[]), "was started again after");
    fs::remove_dir_all(&filled).unwrap();
    assert_eq!(stopped.run(&[]).code, Some(0));
}

/// It was begun with --data, from where the original's was moved by hand, and is gone on with without.
#[test]
fn half_of_something_is_not_taken_for_all_of_it() {
    let stopped = Stopped::new("rich");
    fs::rename(&stopped.host.data, stopped.beside(".original")).unwrap();
    fs::create_dir(&stopped.host.data).unwrap();
    let marker = stopped.host.data.join("takeover.unfinished");
    fs::write(&marker, "{}").unwrap();
    check_refused(&stopped.run(&[]), "name its data directory with --data");
    assert!(marker.exists());
}

#[test]
fn damage_of_what_is_always_open_costs_no_mail() {
    let stopped = Stopped::new("rich");
    for name in ["auth.db", "queue/index.db"] {
        let file = File::options().write(true).open(stopped.host.data.join(name)).unwrap();
        file.set_len(100).unwrap();
    }
    let found = stopped.run(&[]);
    check_refused(&found, "nothing was taken over");
    assert!(found.out.contains("auth.db") && found.out.contains("queue/index.db"), "{found:?}");
    let found = stopped.run(&["--skip-damaged"]);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(found.out.contains("Account bob\n  taken: "), "{found:?}");
}

#[test]
fn an_account_on_a_disk_that_is_not_there_is_not_taken_for_unused() {
    for name in ["accounts/bob", "accounts"] {
        let stopped = Stopped::new("rich");
        let dir = stopped.host.data.join(name);
        fs::remove_dir_all(&dir).unwrap();
        std::os::unix::fs::symlink("/nonexistent/disk", &dir).unwrap();
        check_refused(&stopped.run(&[]), "nothing was taken over");
        assert!(!stopped.beside(".original").exists(), "{name}");
    }
}
