//! IMAP conformance: the rules of RFC 9051 and RFC 3501 for servers, one case each.
//!
//! The cases are written from the text of the standards and speak to the server over loopback with
//! a client of their own ([`peer`]), which checks every line it reads against the formal syntax
//! ([`grammar`]). Each case has an account of its own. The comment above a case says what it is
//! about; `docs/conformance.md` is made of these comments, see [`page`].
//!
//! A group of cases is one test. `CASE=rfc9051_6_3_3` in the environment runs only the cases whose
//! names contain that.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use site::{Site, Subject};

mod append;
mod clients;
mod fetch;
mod grammar;
mod items;
mod list;
mod login;
mod mailboxes;
mod messages;
mod operation;
mod page;
mod peer;
mod protocol;
mod rev1;
mod search;
mod select;
mod selected;
mod site;
mod syntax;
mod untestable;

/// One rule.
struct Case {
    name: &'static str,
    run: fn(&Subject<'_>),
}

/// Cases from the names of their functions.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        &[$($crate::conformance::Case { name: stringify!($name), run: $name }),*]
    };
}
use cases;

/// How many cases run at once: they wait for the disk more than they compute.
const WORKERS: usize = 4;

/// Runs a group of cases against a server of their own, all of them even if some fail.
#[track_caller]
fn run(cases: &[Case]) {
    let wanted = std::env::var("CASE").unwrap_or_default();
    let cases: Vec<&Case> = cases.iter().filter(|case| case.name.contains(&wanted)).collect();
    let site = Site::start(cases.len());
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let subject = site.subject();
                    if catch_unwind(AssertUnwindSafe(|| (case.run)(&subject))).is_err() {
                        failed.lock().unwrap().push(case.name);
                    }
                }
            });
        }
    });
    site.stop();
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {} failed: {failed:?}", failed.len(), cases.len());
}
