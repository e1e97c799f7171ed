//! Every damaged byte is found, and the file and the message are named.

use std::fs;

use mox_backup::{MANIFEST, Target, verify_data};

use crate::support::{Fixture, small, sums};

/// Places in a file: its ends and some between.
fn places(size: usize) -> Vec<usize> {
    let between = (1..8).map(|part| size * part / 8);
    let mut places: Vec<_> = [0, 1, size / 2 + 1].into_iter().chain(between).collect();
    places.extend(size.checked_sub(1));
    places.retain(|place| *place < size);
    places.sort_unstable();
    places.dedup();
    places
}

#[test]
fn a_changed_byte_anywhere_in_a_backup_is_found_in_the_right_file() {
    let fixture = Fixture::new();
    fixture.backup("b", None);
    let mut files: Vec<String> = sums(&fixture.path("b")).into_keys().collect();
    files.push(MANIFEST.to_owned());
    let mut tried = 0;
    for name in files {
        let path = fixture.path("b").join(&name);
        // What is linked to the data directory would be damaged there too.
        let well = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        for place in places(well.len()) {
            let mut damaged = well.clone();
            damaged[place] ^= 0x10;
            fs::write(&path, &damaged).unwrap();
            let verified = mox_backup::verify_files(&fixture.path("b"), &mut |_| {}).unwrap();
            assert_eq!(verified.faults.len(), 1, "{name} {place}: {verified:?}");
            assert!(verified.faults[0].starts_with(&name), "{place}: {verified:?}");
            tried += 1;
        }
        fs::write(&path, &well[..well.len() - 1]).unwrap();
        let verified = mox_backup::verify_files(&fixture.path("b"), &mut |_| {}).unwrap();
        assert!(verified.faults[0].starts_with(&name), "cut: {verified:?}");
        fs::write(&path, &well).unwrap();
    }
    assert!(tried > 80, "{tried}");
    assert_eq!(fixture.faults("b"), Vec::<String>::new());
}

#[test]
fn a_file_that_is_missing_or_too_many_is_told() {
    let fixture = Fixture::new();
    fixture.backup("b", None);
    fs::remove_file(fixture.path("b/config/domains.conf")).unwrap();
    fs::write(fixture.path("b/data/accounts/ann/index.db-wal"), b"x").unwrap();
    fs::write(fixture.path("b/data/note"), b"x").unwrap();
    let verified = mox_backup::verify_files(&fixture.path("b"), &mut |_| {}).unwrap();
    let want =
        ["config/domains.conf: missing", "data/accounts/ann/index.db-wal: not in the manifest"];
    assert_eq!(verified.faults, want);
    assert_eq!(verified.warnings, ["data/note: not in the manifest"]);
}

#[test]
fn the_message_that_a_damaged_file_hits_is_named() {
    let fixture = Fixture::new();
    fixture.backup("b", None);
    let sums = sums(&fixture.path("b"));
    let blob = sums.keys().find(|name| name.contains("bob/blob/")).unwrap();
    let path = fixture.path("b").join(blob);
    let mut content = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    content[300_000] ^= 1;
    fs::write(&path, content).unwrap();
    let faults = fixture.faults("b");
    let message = "accounts/bob: Inbox: uid 2: content differs from its checksum";
    let file = format!("{blob}: differs from its checksum");
    assert_eq!(faults, [file.as_str(), message]);
}

#[test]
fn a_place_in_a_large_file_is_told() {
    let fixture = Fixture::new();
    fs::write(fixture.path("config/big"), vec![7; 3 << 20]).unwrap();
    fixture.backup("b", None);
    let path = fixture.path("b/config/big");
    let mut content = fs::read(&path).unwrap();
    content[2 << 20] = 8;
    fs::write(&path, content).unwrap();
    let want = "config/big: differs from its checksum in bytes 2097152-3145728";
    assert_eq!(fixture.faults("b"), [want]);
}

#[test]
fn a_data_directory_is_checked_without_a_manifest() {
    let fixture = Fixture::new();
    fixture.deliver("ann", &small(5));
    let Fixture { dir, store } = fixture;
    drop(store);
    let data = dir.path().join("data");
    let verified = verify_data(&data, true).unwrap();
    assert_eq!(verified.faults, Vec::<String>::new());
    let bodies = data.join("accounts/ann/blob");
    let folder = fs::read_dir(&bodies).unwrap().next().unwrap().unwrap().path();
    fs::write(folder.join("stray"), b"x").unwrap();
    let blob = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let blob = blob.filter(|path| !path.ends_with("stray")).last().unwrap();
    let mut content = fs::read(&blob).unwrap();
    content[5] ^= 1;
    fs::write(&blob, content).unwrap();
    fs::write(data.join("accounts/bob/index.db"), vec![b'x'; 10_000]).unwrap();
    let verified = verify_data(&data, true).unwrap();
    assert_eq!(verified.faults[0], "accounts/ann: Inbox: uid 2: content differs from its checksum");
    assert!(verified.faults[1].starts_with("accounts/bob: "), "{verified:?}");
    assert_eq!(verified.faults.len(), 2);
    assert!(verified.warnings[0].starts_with("accounts/ann: body file "), "{verified:?}");
    // Without reading messages only what stands in rows is found.
    let verified = verify_data(&data, false).unwrap();
    assert!(verified.faults.len() == 1 && verified.faults[0].starts_with("accounts/bob: "));
    // It is only looked at.
    assert!(folder.join("stray").exists());
}

#[test]
fn the_data_of_a_backup_stands_for_the_backup() {
    let fixture = Fixture::new();
    fixture.backup("b", None);
    let whole = fs::canonicalize(fixture.path("b")).unwrap();
    for name in ["b", "b/data"] {
        assert_eq!(Target::of(&fixture.path(name)).unwrap(), Target::Backup(whole.clone()));
    }
    assert!(matches!(Target::of(&fixture.path("data")).unwrap(), Target::Data(_)));
    assert!(Target::of(&fixture.path("nowhere")).is_err());
}
