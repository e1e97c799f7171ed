//! A data directory with a store, a queue and secrets, and a configuration.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mox_backup::{Manifest, Options, Outcome, Source, backup, verify_backup};
use mox_base::{Flags, MailboxName, UnixSeconds};
use mox_store::{Account, ClientKeys, Destination, NewMessage, Policy, Store};
use mox_testkit::ManualClock;
use tempfile::TempDir;

pub(crate) const NOW: UnixSeconds = UnixSeconds(1_795_164_932);

pub(crate) struct Fixture {
    pub(crate) dir: TempDir,
    pub(crate) store: Store,
}

impl Fixture {
    /// A configuration, and data with the accounts `ann` and `bob`.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (config, data) = (dir.path().join("config"), dir.path().join("data"));
        fs::create_dir_all(config.join("dkim")).unwrap();
        fs::create_dir_all(data.join("tmp")).unwrap();
        for (name, mode) in [("mox.conf", 0o644), ("domains.conf", 0o640), ("dkim/key.pem", 0o600)]
        {
            let path = config.join(name);
            fs::write(&path, format!("content of {name}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        symlink("dkim/key.pem", config.join("current")).unwrap();
        for name in ["receivedid.key", "decoy.key", "ctl", "lock", "tmp/spool"] {
            fs::write(data.join(name), name).unwrap();
        }
        ClientKeys::open(&data).unwrap();
        mox_reportdb::ReportDb::open(&data.join("reports.db")).unwrap();
        let clock = Arc::new(ManualClock::at(NOW));
        let store = Store::new(&data, clock, Arc::new(Policy::default()));
        let fixture = Self { dir, store };
        for account in ["ann", "bob"] {
            fixture.deliver(account, &small(0));
            fixture.deliver(account, &large(account.len() as u64));
        }
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn source(&self) -> Source {
        Source { config: self.path("config"), data: self.path("data") }
    }

    pub(crate) fn deliver(&self, account: &str, content: &[u8]) {
        deliver(&self.store.account(account).unwrap(), content);
    }

    /// Makes a backup of this name that must be without faults.
    pub(crate) fn backup(&self, name: &str, earlier: Option<&str>) -> Outcome {
        let hold = self.store.hold_erasure();
        let earlier = earlier.map(|name| self.path(name));
        let options = Options { earlier, now: NOW, program: "test".to_owned() };
        let outcome = backup(&self.source(), &self.path(name), &options, &mut |_| {}).unwrap();
        drop(hold);
        assert_eq!(outcome.faults, Vec::<String>::new());
        outcome
    }

    /// What is wrong with the backup of this name.
    pub(crate) fn faults(&self, name: &str) -> Vec<String> {
        verify_backup(&self.path(name), true, &mut |_| {}).unwrap().faults
    }
}

pub(crate) fn deliver(account: &Account, content: &[u8]) {
    let content = account.stage(Vec::new(), &mut Cursor::new(content)).unwrap();
    let message = NewMessage {
        content,
        flags: Flags::NONE,
        keywords: Vec::new(),
        received: None,
        envelope: None,
    };
    let destination = Destination { mailbox: MailboxName::inbox(), create: false };
    account.add(destination, vec![message]).wait().unwrap();
}

pub(crate) fn small(number: usize) -> Vec<u8> {
    format!("Subject: number {number}\r\n\r\nbody {number}\r\n").into_bytes()
}

/// A message whose body is a file: it cannot be compressed.
pub(crate) fn large(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(7);
    let mut content = b"Subject: large\r\n\r\n".to_vec();
    for _ in 0..400_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        content.push((state >> 56).to_le_bytes()[0]);
    }
    content
}

/// The files of a backup by the manifest, with their checksums.
pub(crate) fn sums(backup: &Path) -> BTreeMap<String, String> {
    let entries = Manifest::read(backup).unwrap().entries;
    entries.into_iter().filter(|e| e.is_file()).map(|e| (e.path, e.sha256)).collect()
}
