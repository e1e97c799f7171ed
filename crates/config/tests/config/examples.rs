//! Files as the original writes and shows them are read, and mean the same when written again.

use std::fs;
use std::path::Path;

use mox_config::{Config, Dynamic, Static};
use mox_sconf::Docs;

const MOX_CONF: &str = include_str!("examples/quickstart.mox.conf");
const DOMAINS_CONF: &str = include_str!("examples/quickstart.domains.conf");
const EXISTING_WEBSERVER: &str = include_str!("examples/existing-webserver.mox.conf");
const TRANSPORTS: &str = include_str!("examples/transport.mox.conf");
const ROUTES: &str = include_str!("examples/transport.domains.conf");
const WEB_HANDLERS: &str = include_str!("examples/webhandlers.domains.conf");

/// Both files have no faults, and what is written of them is the same.
#[track_caller]
fn check(mox_conf: &str, domains_conf: &str) -> Config {
    let dir = Path::new("/srv/mox/config");
    let config = Config::parse(dir, mox_conf, domains_conf).unwrap();
    for docs in [Docs::Omit, Docs::Write] {
        let mox_conf = mox_sconf::to_string(&*config.statics, docs).unwrap();
        let domains_conf = mox_sconf::to_string(&*config.dynamic, docs).unwrap();
        let again = Config::parse(dir, &mox_conf, &domains_conf).unwrap();
        assert_eq!(
            (again.statics, again.dynamic),
            (config.statics.clone(), config.dynamic.clone())
        );
    }
    config
}

#[test]
fn what_quickstart_writes_is_read() {
    let config = check(MOX_CONF, DOMAINS_CONF);
    assert_eq!(config.data_dir(), Path::new("/srv/mox/config/../data"));
    let tls = config.statics.listeners["public"].tls.as_ref().unwrap();
    assert_eq!((tls.acme.as_str(), tls.host_private_key_files.len()), ("letsencrypt", 2));
    assert!(!config.statics.check_updates && config.statics.listeners["internal"].tls.is_none());
    let account = &config.dynamic.accounts["you"];
    let filter = account.junk_filter.as_ref().unwrap();
    let params = filter.params();
    assert_eq!((filter.threshold, params.max_power, params.top_words), (0.95, 0.01, 10));
    assert_eq!(account.subject_pass.period.0.as_secs(), 12 * 3600);
    let domain = config.dynamic.domains.values().next().unwrap();
    assert_eq!(domain.mtasts.as_ref().unwrap().max_age.0.as_secs(), 24 * 3600);
    assert_eq!(domain.dkim.sign, ["2026a"]);
}

#[test]
fn what_quickstart_writes_beside_a_web_server_is_read() {
    let config = check(EXISTING_WEBSERVER, DOMAINS_CONF);
    let listeners = &config.statics.listeners;
    assert_eq!(listeners["public"].tls.as_ref().unwrap().key_certs.len(), 4);
    assert!(listeners["internal"].mtasts_https.non_tls);
    assert_eq!(listeners["internal"].webmail_http.port, 1080);
}

#[test]
fn the_example_of_transports_is_read() {
    let (mox_conf, domains_conf) =
        (format!("{MOX_CONF}{TRANSPORTS}"), format!("{DOMAINS_CONF}{ROUTES}"));
    let config = check(&mox_conf, &domains_conf);
    assert_eq!((config.statics.transports.len(), config.dynamic.routes.len()), (5, 2));
    // Without the transports the routes lead nowhere.
    let faults = Config::parse(Path::new("/x"), MOX_CONF, &domains_conf).unwrap_err();
    assert_eq!(faults.len(), 2, "{faults:?}");
}

#[test]
fn the_example_of_web_handlers_is_read() {
    let domains_conf = format!("{DOMAINS_CONF}{WEB_HANDLERS}");
    let config = check(MOX_CONF, &domains_conf);
    assert_eq!(config.dynamic.web_domain_redirects.len(), 1);
    assert_eq!(config.dynamic.web_handlers.len(), 4);
    // They need a listener that serves them.
    let without = MOX_CONF
        .replace("WebserverHTTP:\n\t\t\tEnabled: true", "WebserverHTTP:\n\t\t\tEnabled: false");
    let without = without
        .replace("WebserverHTTPS:\n\t\t\tEnabled: true", "WebserverHTTPS:\n\t\t\tEnabled: false");
    assert!(Config::parse(Path::new("/x"), &without, &domains_conf).is_err());
}

/// As `mox config test` does: with the files that are named.
#[test]
fn the_files_named_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("mox.conf"), MOX_CONF).unwrap();
    fs::write(path("domains.conf"), DOMAINS_CONF).unwrap();
    let statics: Static = mox_sconf::from_str(MOX_CONF).unwrap();
    let dynamic: Dynamic = mox_sconf::from_str(DOMAINS_CONF).unwrap();
    let tls = statics.listeners["public"].tls.as_ref().unwrap();
    let domain = dynamic.domains.values().next().unwrap();
    let dkim = domain.dkim.selectors.values().map(|selector| &selector.private_key_file);
    let named: Vec<_> = tls.host_private_key_files.iter().chain(dkim).collect();
    let faults = mox_config::test(dir.path()).faults;
    assert_eq!(faults.len(), named.len(), "{faults:?}");
    for name in &named {
        fs::create_dir_all(path(name).parent().unwrap()).unwrap();
        let key = include_str!("../../../mailauth/testdata/ed25519.pem");
        fs::write(path(name), key).unwrap();
    }
    let faults = mox_config::test(dir.path()).faults;
    assert!(faults.is_empty(), "{faults:?}");
}

/// The original served with these.
#[test]
fn what_hosts_of_the_original_have_is_read() {
    for name in ["basic", "rich", "live"] {
        let dir = tempfile::tempdir().unwrap();
        let host = mox_testkit::original::unpack(name, dir.path());
        let report = mox_config::test_files(&host.config, mox_config::NamedFiles::Check);
        let faults: Vec<_> = report.faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, Vec::<String>::new(), "{name}");
        assert!(
            report.notices.iter().all(|notice| notice.to_string().contains("no effect yet")),
            "{name}: {:#?}",
            report.notices
        );
    }
}
