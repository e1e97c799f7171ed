//! What is put back is what was copied.

use std::fs;
use std::sync::Arc;

use mox_backup::{BackupError, Options, Source, backup, restore, verify_data};
use mox_store::{Policy, Store};
use mox_testkit::ManualClock;

use crate::support::{Fixture, NOW, deliver, small, sums};

#[test]
fn a_restored_backup_has_the_same_checksums_and_works() {
    let fixture = Fixture::new();
    for number in 1..50 {
        fixture.deliver("ann", &small(number));
    }
    fixture.backup("b", None);
    let (data, config) = (fixture.path("r/data"), fixture.path("r/config"));
    let restored = restore(&fixture.path("b"), &data, Some(&config), &mut |_| {}).unwrap();
    assert_eq!(restored.files as usize, sums(&fixture.path("b")).len());
    assert_eq!(fs::read_link(config.join("current")).unwrap().to_str(), Some("dkim/key.pem"));
    assert_eq!(verify_data(&data).unwrap().faults, Vec::<String>::new());
    // A backup of what was restored is the same again.
    let options = Options { earlier: None, now: NOW, program: "test".to_owned() };
    let source = Source { config, data: data.clone() };
    backup(&source, &fixture.path("b2"), &options, &mut |_| {}).unwrap();
    assert_eq!(sums(&fixture.path("b")), sums(&fixture.path("b2")));
    let store = Store::new(&data, Arc::new(ManualClock::at(NOW)), Arc::new(Policy::default()));
    deliver(&store.account("ann").unwrap(), &small(51));
    assert_eq!(store.account("ann").unwrap().check().unwrap(), Vec::<String>::new());
}

#[test]
fn a_used_directory_and_a_damaged_backup_are_refused() {
    let fixture = Fixture::new();
    fixture.backup("b", None);
    let refused = restore(&fixture.path("b"), &fixture.path("data"), None, &mut |_| {});
    assert!(matches!(refused, Err(BackupError::NotEmpty(_))));
    let path = fixture.path("b/data/receivedid.key");
    let mut content = fs::read(&path).unwrap();
    content[0] ^= 1;
    fs::write(&path, content).unwrap();
    // The lock of whoever restores may be there.
    fs::create_dir(fixture.path("new")).unwrap();
    fs::write(fixture.path("new/lock"), b"").unwrap();
    let refused = restore(&fixture.path("b"), &fixture.path("new"), None, &mut |_| {});
    assert!(
        matches!(refused, Err(BackupError::Damaged { path, .. }) if path == "data/receivedid.key")
    );
    assert!(!fixture.path("new/receivedid.key").exists());
}
