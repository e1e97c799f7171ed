//! What holds for any text of `domains.conf`. Used by the test beside this file and a fuzz target.

use std::path::Path;

use mox_base::Address;
use mox_config::{Config, DestinationKey, Dynamic, Target};

const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mail.example.org
Listeners:
\tlocal:
\t\tIPs:
\t\t\t- 127.0.0.1
Postmaster:
\tAccount: a
\tMailbox: Postmaster
";

/// Reads a text as `domains.conf`. If it is valid, its addresses lead where it says.
pub(crate) fn check(domains_conf: &str) {
    let config = match Config::parse(Path::new("/etc/mox"), MOX_CONF, domains_conf) {
        Ok(config) => config,
        Err(faults) => return assert!(!faults.is_empty(), "a refusal says why"),
    };
    for (name, account) in &config.dynamic.accounts {
        for key in account.destinations.keys() {
            let DestinationKey::Address(address) = &key.0 else { continue };
            check_address(&config, name, address);
        }
    }
    // Written by a program, the settings are as valid as they were.
    let written: &Dynamic = &config.dynamic;
    let again = Config::new(Path::new("/etc/mox"), &config.statics, written);
    assert_eq!(again.err(), None);
}

fn check_address(config: &Config, account: &str, address: &Address) {
    let canonical = config.canonical_address(address);
    let again = canonical.as_ref().and_then(|address| config.canonical_address(address));
    assert!(canonical.is_some() && again == canonical, "{address}: {canonical:?}, then {again:?}");
    let target = config.account_for_login(&address.to_string());
    assert_eq!(target.as_ref().map(|target| &*target.account), Ok(account), "{address}");
    let target = config.lookup_address(&address.localpart, Some(&address.domain));
    assert!(!matches!(target, Ok(Target::Alias(_))), "{address}: {target:?}");
}
