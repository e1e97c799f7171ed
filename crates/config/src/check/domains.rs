//! Checks of domains and routes.

use std::collections::HashSet;

use mox_base::Domain;
use mox_sconf::Path as Key;

use super::named_files::{Files, Pem};
use crate::finding::Checker;
use crate::snapshot::{Config, NamedFiles};
use crate::{Dkim, DkimHash, DomainSettings, MtaSts, ReportAddress, Route, Selector};

/// The longest time a policy may be kept, in seconds: about a year. RFC 8461 §3.2.
const MTASTS_MAX_AGE_SECS: u64 = 31_557_600;

/// The most characters of a policy id. RFC 8461 §3.1.
const MTASTS_ID_BYTES_MAX: usize = 32;

pub(super) fn domains(config: &Config, named_files: NamedFiles, checker: &mut Checker<'_>) {
    let files = Files { dir: config.dir(), named_files };
    for (name, domain) in &config.dynamic.domains {
        let key = Key::root().key("Domains").key(name);
        separators(domain, &key, checker);
        dkim(&domain.dkim, &key.key("DKIM"), files, checker);
        for (name, report) in [("DMARC", &domain.dmarc), ("TLSRPT", &domain.tlsrpt)] {
            report
                .iter()
                .for_each(|report| report_address(config, report, &key.key(name), checker));
        }
        if let Some(mtasts) = &domain.mtasts {
            self::mtasts(config, mtasts, &key.key("MTASTS"), checker);
        }
        routes(config, &domain.routes, &key, checker);
    }
}

fn separators(domain: &DomainSettings, key: &Key, checker: &mut Checker<'_>) {
    let list = &domain.localpart_catchall_separators;
    let key = key.key("LocalpartCatchallSeparators");
    if !domain.localpart_catchall_separator.is_empty() && !list.is_empty() {
        checker.fault(&key, "excludes LocalpartCatchallSeparator: put all separators in the list");
    }
    let mut seen = HashSet::new();
    for (index, separator) in list.iter().enumerate() {
        if separator.is_empty() {
            checker.fault(&key.index(index), "is empty: give a text such as +");
        } else if !seen.insert(separator) {
            checker.fault(&key.index(index), format_args!("{separator:?} is there twice"));
        }
    }
}

fn dkim(dkim: &Dkim, key: &Key, files: Files<'_>, checker: &mut Checker<'_>) {
    for (name, selector) in &dkim.selectors {
        let key = key.key("Selectors").key(name);
        // RFC 6376 §3.1: `selector = sub-domain *( "." sub-domain )`; a domain after it keeps
        // digits alone from being taken for an IP address.
        if Domain::parse(&format!("{name}.example")).is_err() {
            checker.fault(&key, format_args!("{name:?} is not a name for DNS: use a-z, 0-9 and -"));
        }
        self::selector(selector, &key, files, checker);
    }
    let mut seen = HashSet::new();
    for (index, name) in dkim.sign.iter().enumerate() {
        let key = key.key("Sign").index(index);
        if !dkim.selectors.contains_key(name) {
            checker.fault(&key, format_args!("there is no selector {name:?}: add it to Selectors"));
        }
        if !seen.insert(name) {
            checker.fault(&key, format_args!("{name:?} is there twice: remove one"));
        }
    }
}

fn selector(selector: &Selector, key: &Key, files: Files<'_>, checker: &mut Checker<'_>) {
    let headers = &selector.headers;
    // RFC 6376 §5.4.
    if !headers.is_empty() && !headers.iter().any(|name| name.eq_ignore_ascii_case("from")) {
        checker.fault(&key.key("Headers"), "must have From: a signature without it is not valid");
    }
    if selector.hash.as_ref().is_some_and(|hash| hash.0 == DkimHash::Sha1) {
        // RFC 8301 §3.1.
        checker.notice(&key.key("Hash"), "sha1 signatures are ignored by receivers: use sha256");
    }
    files.pem(&selector.private_key_file, Pem::Pkcs8, &key.key("PrivateKeyFile"), checker);
}

fn report_address(config: &Config, report: &ReportAddress, key: &Key, checker: &mut Checker<'_>) {
    if report.localpart.is_international() {
        checker.fault(&key.key("Localpart"), "must be ASCII: it is put in DNS");
    }
    if config.account(&report.account).is_none() {
        let account = &report.account;
        checker.fault(
            &key.key("Account"),
            format_args!("there is no account {account:?}: add it to Accounts"),
        );
    }
}

fn mtasts(config: &Config, mtasts: &MtaSts, key: &Key, checker: &mut Checker<'_>) {
    let id = &mtasts.policy_id;
    let known = id.bytes().all(|b| b.is_ascii_alphanumeric());
    if id.is_empty() || id.len() > MTASTS_ID_BYTES_MAX || !known {
        // RFC 8461 §3.1: `sts-id = 1*32(ALPHA / DIGIT)`.
        checker.fault(&key.key("PolicyID"), "must be 1 to 32 letters and digits");
    }
    if mtasts.max_age.0.as_secs() > MTASTS_MAX_AGE_SECS {
        checker.fault(&key.key("MaxAge"), "must be a year at most, 8766h");
    }
    for (index, pattern) in mtasts.mx.iter().enumerate() {
        // RFC 8461 §4.1: the wildcard stands for the leftmost label only.
        let name = pattern.strip_prefix("*.").unwrap_or(pattern);
        if let Err(error) = Domain::parse_host(name) {
            let key = key.key("MX").index(index);
            checker.fault(&key, format_args!("{pattern:?}: {error}: give a host or *.domain"));
        }
    }
    if !config.statics.listeners.values().any(|listener| listener.mtasts_https.enabled) {
        let message = "no listener serves it: enable MTASTSHTTPS of one in mox.conf, or remove it";
        checker.fault(key, message);
    }
}

/// - `above`: the key of what holds `Routes`.
pub(super) fn routes(config: &Config, routes: &[Route], above: &Key, checker: &mut Checker<'_>) {
    for (index, route) in routes.iter().enumerate() {
        let key = above.key("Routes").index(index);
        if !config.statics.transports.contains_key(&route.transport) {
            let name = &route.transport;
            checker.fault(
                &key.key("Transport"),
                format_args!("there is no transport {name:?}: add it to Transports in mox.conf"),
            );
        }
        for (list, name) in [(&route.from_domain, "FromDomain"), (&route.to_domain, "ToDomain")] {
            for (index, domain) in list.iter().enumerate() {
                let bare = domain.strip_prefix('.').unwrap_or(domain);
                if let (false, Err(error)) = (domain == ".", Domain::parse(bare)) {
                    let key = key.key(name).index(index);
                    checker.fault(&key, format_args!("{domain:?}: {error}"));
                }
            }
        }
    }
}
