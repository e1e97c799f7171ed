//! What is damaged or missing is told, and the rest is taken.

use std::fs;
use std::os::unix::fs::FileExt as _;

use mox_takeover::{Account, TakeoverError};

use crate::fixtures::Fixture;

#[test]
fn an_original_that_runs_is_left_alone() {
    let fixture = Fixture::new("basic");
    let index = fixture.theirs("mox").join("index.db");
    let file = fs::File::open(&index).unwrap();
    file.try_lock().unwrap();
    assert!(
        matches!(Account::open(&fixture.theirs("mox")), Err(TakeoverError::InUse(path)) if path == index)
    );
    file.unlock().unwrap();
    Account::open(&fixture.theirs("mox")).unwrap();
}

#[test]
fn a_missing_file_costs_its_message() {
    let fixture = Fixture::new("basic");
    let whole = Fixture::new("basic").copy("mox");
    let lost = fs::read_dir(fixture.theirs("mox").join("msg/a")).unwrap();
    let mut names: Vec<_> = lost.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    fs::remove_file(&names[0]).unwrap();
    let file = fs::OpenOptions::new().append(true).open(&names[1]).unwrap();
    let size = file.metadata().unwrap().len();
    file.write_all_at(b"more\r\n", size).unwrap();
    let checked = fixture.check("mox");
    let summary = fixture.copy("mox");
    assert!(!summary.is_whole());
    assert_eq!(checked, summary);
    assert_eq!(summary.damaged["messages"].count, 1);
    assert_eq!(summary.taken["messages"], whole.taken["messages"] - 1);
    assert_eq!(summary.differs["messages larger than noted"].count, 1);
}

#[test]
fn a_cut_file_is_refused() {
    let fixture = Fixture::new("basic");
    let index = fixture.theirs("mox").join("index.db");
    let bytes = fs::read(&index).unwrap();
    fs::write(&index, &bytes[..20_000]).unwrap();
    assert!(matches!(Account::open(&fixture.theirs("mox")), Err(TakeoverError::Open { .. })));
    fs::write(&index, b"SQLite format 3\0").unwrap();
    assert!(matches!(Account::open(&fixture.theirs("mox")), Err(TakeoverError::Open { .. })));
    fs::remove_file(&index).unwrap();
    assert!(matches!(Account::open(&fixture.theirs("mox")), Err(TakeoverError::Read { .. })));
}
