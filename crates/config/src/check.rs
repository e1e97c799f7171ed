//! Checks of what the types alone do not say. Every fault is reported, with what to do.

mod accounts;
mod domains;
mod listeners;
mod named_files;
mod statics;
mod unused;
mod web;

use mox_sconf::Path as Key;

use crate::finding::Checker;
use crate::snapshot::{Config, NamedFiles};

pub(crate) use statics::statics;
pub(crate) use unused::{unused_dynamic, unused_statics};

/// The longest text a setting may send to others, in bytes.
const REPLY_TEXT_BYTES_MAX: usize = 256;

/// Checks `domains.conf`, and what of it must agree with `mox.conf`.
pub(crate) fn dynamic(config: &Config, named_files: NamedFiles, checker: &mut Checker<'_>) {
    named_accounts(config, checker);
    domains::domains(config, named_files, checker);
    accounts::accounts(config, checker);
    web::web(config, checker);
    let root = Key::root();
    domains::routes(config, &config.dynamic.routes, &root, checker);
    let mut seen = std::collections::HashSet::new();
    for (index, zone) in config.dynamic.monitor_dnsbls.iter().enumerate() {
        if !seen.insert(zone) {
            let place = root.key("MonitorDNSBLs").index(index);
            checker.fault(&place, "is in the list already: remove it");
        }
    }
}

/// Checks that the accounts named in `mox.conf` exist. Of a server that runs it is `domains.conf`
/// that changed, so this is the file to blame.
fn named_accounts(config: &Config, checker: &mut Checker<'_>) {
    let reports = config.statics.host_tlsrpt.as_ref();
    let named = [
        Some(("Postmaster.Account", &config.statics.postmaster.account)),
        reports.map(|reports| ("HostTLSRPT.Account", &reports.account)),
    ];
    for (key, account) in named.into_iter().flatten() {
        if config.account(account).is_none() {
            checker.fault(
                &Key::root().key("Accounts"),
                format_args!(
                    "account {account:?}, which mox.conf names as {key}, is missing: add it, or \
                     change mox.conf"
                ),
            );
        }
    }
}

/// Checks a text that is sent to others in a protocol.
fn reply_text(text: &str, key: &Key, checker: &mut Checker<'_>) {
    if text.len() > REPLY_TEXT_BYTES_MAX {
        checker.fault(key, format_args!("is over {REPLY_TEXT_BYTES_MAX} characters: shorten it"));
    }
    if !text.bytes().all(|b| matches!(b, b' '..=b'~')) {
        checker.fault(key, "may have printable ASCII characters only");
    }
}

/// Splits an absolute `http` or `https` URL in host with port and the rest.
fn split_url(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (host, rest) = rest.split_at(end);
    let bad = host.is_empty() || host.starts_with(':');
    let visible = url.chars().all(|c| !c.is_whitespace() && !c.is_control());
    (!bad && visible).then_some((host, rest))
}

/// Checks that a URL is absolute, by `http` or `https`.
fn web_url(url: &str, key: &Key, checker: &mut Checker<'_>) {
    if split_url(url).is_none() {
        checker.fault(key, format_args!("{url:?} must be a URL like https://example.org/path"));
    }
}
