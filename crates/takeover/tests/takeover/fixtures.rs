//! The data directories of the fixtures, unpacked, and an account of ours to fill.

use std::path::PathBuf;
use std::sync::Arc;

use mox_base::UnixSeconds;
use mox_junk::{Kinds, Params};
use mox_store::{Account as Ours, JunkFilter, JunkProgress, Policy, Store};
use mox_takeover::{Account, Summary, Watch};
use mox_testkit::ManualClock;
use mox_testkit::original::{self, Host, Plan};
use serde_json::Value as Json;
use tempfile::TempDir;

/// An unpacked fixture, and a directory for ours.
pub(crate) struct Fixture {
    _dir: TempDir,
    pub(crate) host: Host,
    pub(crate) expected: Json,
    pub(crate) store: Store,
}

impl Fixture {
    pub(crate) fn new(name: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = original::unpack(name, &dir.path().join("theirs"));
        let expected = original::expected(name);
        Self::of(dir, host, expected)
    }

    /// A made-up host.
    pub(crate) fn generated(plan: &Plan) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let host = original::generate(&dir.path().join("theirs"), plan);
        Self::of(dir, host, Json::Null)
    }

    /// A host without anything, for a test to fill.
    pub(crate) fn empty() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let below = |name| dir.path().join("theirs").join(name);
        let host = Host { config: below("config"), data: below("data") };
        Self::of(dir, host, Json::Null)
    }

    fn of(dir: TempDir, host: Host, expected: Json) -> Self {
        let clock = Arc::new(ManualClock::at(UnixSeconds(1_795_164_932)));
        let filter = JunkFilter {
            kinds: Kinds { onegrams: true, ..Kinds::default() },
            params: Params::default(),
            threshold: 0.95,
        };
        let policy = Policy {
            initial_mailboxes: Policy::default_mailboxes(),
            junk_filter: Some(filter),
            ..Policy::default()
        };
        let store = Store::new(&dir.path().join("ours"), clock, Arc::new(policy));
        Self { _dir: dir, host, expected, store }
    }

    /// The original's directory of an account.
    pub(crate) fn theirs(&self, account: &str) -> PathBuf {
        self.host.data.join("accounts").join(account)
    }

    /// What a check says of an account.
    pub(crate) fn check(&self, account: &str) -> Summary {
        Account::open(&self.theirs(account)).unwrap().check(&mut Patient).unwrap()
    }

    /// Has all marked messages learnt, and tells how many were.
    pub(crate) fn learnt(&self, ours: &Ours) -> JunkProgress {
        for _ in 0..1_000 {
            self.store.tick();
            // A write that changes nothing: when it is answered, what was due before is done.
            ours.recount().wait().unwrap();
            let progress = ours.read().unwrap().junk_progress().unwrap();
            if progress.waiting == 0 && ours.is_tidy().unwrap() {
                return progress;
            }
        }
        panic!("learning does not come to an end");
    }

    pub(crate) fn copy(&self, account: &str) -> Summary {
        let theirs = Account::open(&self.theirs(account)).unwrap();
        theirs.copy(&self.store.account(account).unwrap(), None, &mut Patient).unwrap()
    }
}

/// Lets it go on to its end.
pub(crate) struct Patient;

impl Watch for Patient {
    fn progress(&mut self, _done: u64, _total: u64) -> bool {
        true
    }
}

/// Bytes of the expected files, such as `b64:AAAA`.
pub(crate) fn bytes(value: &Json) -> Vec<u8> {
    use base64::Engine as _;
    let text = value.as_str().unwrap().strip_prefix("b64:").unwrap();
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// A time of the expected files, such as `2026-11-20T10:06:54.63Z`, in seconds since 1970.
pub(crate) fn unix_secs(time: &Json) -> i64 {
    let text = time.as_str().unwrap();
    let number = |range: std::ops::Range<usize>| text[range].parse::<i64>().unwrap();
    let (year, month, day) = (number(0..4), number(5..7), number(8..10));
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days =
        365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 719_469;
    assert!(text.ends_with('Z'), "{text}");
    days * 86_400 + number(11..13) * 3600 + number(14..16) * 60 + number(17..19)
}

/// How large pages of the fixtures are.
pub(crate) const PAGE: usize = 4_096;

/// Damages a page of a database, one way for each, so that all have their turn.
pub(crate) fn damage(file: &mut [u8], page: usize) {
    let bytes = &mut file[page * PAGE..][..PAGE];
    match page % 4 {
        0 => bytes.fill(0),
        1 => bytes.fill(0xFF),
        2 => bytes.reverse(),
        _ => bytes.iter_mut().skip(16).step_by(97).for_each(|byte| *byte ^= 0x55),
    }
}
