//! Keys that are accepted and checked but have no effect yet.
//!
//! This is the one place that says so: whoever builds a feature removes its lines here.

use mox_sconf::{Entry, Path as Key};

use crate::finding::Checker;

/// A path of keys, with `*` for any key or list item, and what it will be for.
type Planned = (&'static str, &'static str);

const STATICS: &[Planned] = &[
    ("CheckUpdates", "when releases of this project are published"),
    ("AdminPasswordFile", "the admin pages"),
    ("Listeners.*.AccountHTTP", "the account pages"),
    ("Listeners.*.AccountHTTPS", "the account pages"),
    ("Listeners.*.AdminHTTP", "the admin pages"),
    ("Listeners.*.AdminHTTPS", "the admin pages"),
    ("Listeners.*.WebmailHTTP", "webmail"),
    ("Listeners.*.WebmailHTTPS", "webmail"),
    ("Listeners.*.WebAPIHTTP", "the HTTP API"),
    ("Listeners.*.WebAPIHTTPS", "the HTTP API"),
    ("Listeners.*.WebserverHTTP", "the web server"),
    ("Listeners.*.WebserverHTTPS", "the web server"),
];

/// Keys that never will have an effect, and why.
const NEVER: &[Planned] = &[(
    "Listeners.*.PprofHTTP",
    "has no effect: what it served is of another runtime; tools of the system such as perf show where \
     this program spends its time",
)];

const DYNAMIC: &[Planned] = &[
    ("WebDomainRedirects", "the web server"),
    ("WebHandlers", "the web server"),
    ("Accounts.*.FullName", "webmail"),
    ("Accounts.*.NoCustomPassword", "the account pages"),
    ("Accounts.*.Destinations.*.FullName", "webmail"),
];

/// Notes the keys of `mox.conf` that have no effect yet.
pub(crate) fn unused_statics(checker: &mut Checker<'_>) {
    unused(STATICS, checker);
    for (pattern, reason) in NEVER {
        if let Some(first) = find(pattern, checker).first {
            checker.notice(&first, reason);
        }
    }
}

/// Notes the keys of `domains.conf` that have no effect yet.
pub(crate) fn unused_dynamic(checker: &mut Checker<'_>) {
    unused(DYNAMIC, checker);
}

fn unused(planned: &[Planned], checker: &mut Checker<'_>) {
    for (pattern, feature) in planned {
        let found = find(pattern, checker);
        let Some(first) = found.first else { continue };
        match found.count {
            1 => checker.notice(&first, format_args!("no effect yet, planned for {feature}")),
            count => checker.notice(
                &first,
                format_args!(
                    "no effect yet, here and in {} more places, planned for {feature}",
                    count - 1
                ),
            ),
        }
    }
}

fn find(pattern: &str, checker: &Checker<'_>) -> Found {
    let steps: Vec<&str> = pattern.split('.').collect();
    let mut found = Found::default();
    found.walk(checker.document().entries(), &steps, &Key::root());
    found
}

/// The keys in use that match a pattern: one notice is enough for all accounts.
#[derive(Default)]
struct Found {
    first: Option<Key>,
    count: usize,
}

impl Found {
    fn walk(&mut self, entries: &[Entry], steps: &[&str], above: &Key) {
        let Some((step, below)) = steps.split_first() else { return };
        for (index, entry) in entries.iter().enumerate() {
            if *step != "*" && entry.key() != Some(step) {
                continue;
            }
            let key = entry.key().map_or_else(|| above.index(index), |key| above.key(key));
            if !below.is_empty() {
                self.walk(entry.entries(), below, &key);
            } else if is_set(entry) {
                self.count += 1;
                self.first.get_or_insert(key);
            }
        }
    }
}

/// Whether a key is there to say something: not `false`, 0, or a service that is not enabled.
fn is_set(entry: &Entry) -> bool {
    let off = |entry: &Entry| matches!(entry.text(), None | Some("" | "false" | "0" | "nil"));
    match entry.entries() {
        [] => !off(entry),
        entries => !entries.iter().any(|entry| entry.key() == Some("Enabled") && off(entry)),
    }
}
