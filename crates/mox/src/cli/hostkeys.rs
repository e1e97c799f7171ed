//! `mox config ensureacmehostprivatekeys`.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use clap::Args;
use mox_acme::{KeyKind, key_from_cache};
use mox_admin::keys::{HostKey, HostKeyKind, KeyError, KeyFile};
use mox_base::{Clock as _, Domain, UnixSeconds};
use mox_config::Config;
use mox_mailauth::dkim::parse_pem;
use mox_net::SystemClock;

use super::{Global, print};
use crate::data_dir::ACME;

/// Make the long-lived host keys that listeners with ACME lack, and print how to configure them.
///
/// With such keys the TLSA records of DANE stay true when certificates are renewed. A key that a
/// certificate has now is taken, so that records for it stay true too. Files are written to
/// config/hostkeys, never over others; mox.conf is not changed.
#[derive(Debug, Args)]
pub(super) struct EnsureHostKeys {}

impl EnsureHostKeys {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let Self {} = self;
        let config = global.config()?.snapshot();
        print(&ensure(&config, SystemClock::new().now())?)
    }
}

/// Writes the keys that are missing; returns what is to be configured.
fn ensure(config: &Config, now: UnixSeconds) -> Result<String> {
    // Listeners with the same host share its keys.
    let mut made = BTreeMap::new();
    let mut snippet = String::new();
    for (name, listener) in &config.statics.listeners {
        let Some(tls) = listener.tls.as_ref().filter(|tls| !tls.acme.is_empty()) else { continue };
        let host = config.listener_hostname(listener);
        let mut files = tls.host_private_key_files.clone();
        let missing = missing(config, &files)?;
        if missing.is_empty() {
            continue;
        }
        for kind in missing {
            let place = (host.ascii().to_owned(), kind);
            let file = match made.get(&place) {
                Some(file) => String::clone(file),
                None => {
                    let key = match cached(config, &tls.acme, host, kind)? {
                        Some(key) => key,
                        None => HostKey::generate(kind)?,
                    };
                    let file = KeyFile::host(&key, host, now)?;
                    file.write(config.dir())?;
                    made.insert(place, file.name.clone());
                    file.name
                }
            };
            files.push(file);
        }
        snippet.push_str(&format!("\t{name}:\n\t\tTLS:\n\t\t\tHostPrivateKeyFiles:\n"));
        snippet.extend(files.iter().map(|file| format!("\t\t\t\t- {file}\n")));
    }
    if snippet.is_empty() {
        return Ok("all listeners with ACME have an RSA and an ECDSA key\n".to_owned());
    }
    Ok(format!(
        "Keys were written. Have mox.conf name them as below, then restart the server, and publish the \
         TLSA records\nthat \"mox config dnsrecords\" prints once certificates are renewed with \
         them.\n\nListeners:\n{snippet}"
    ))
}

/// The kinds of keys that none of the files holds.
fn missing(config: &Config, files: &[String]) -> Result<Vec<HostKeyKind>> {
    let mut missing = HostKeyKind::ALL.to_vec();
    for file in files {
        match HostKey::read(&config.path(file)) {
            Ok(key) => missing.retain(|kind| *kind != key.kind()),
            // The server passes over it too.
            Err(KeyError::NotHostKey(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(missing)
}

/// The key that the certificate of a host has now.
fn cached(
    config: &Config,
    provider: &str,
    host: &Domain,
    kind: HostKeyKind,
) -> Result<Option<HostKey>> {
    let wanted = match kind {
        HostKeyKind::EcdsaP256 => KeyKind::Ecdsa,
        HostKeyKind::Rsa => KeyKind::Rsa,
    };
    let key = key_from_cache(&config.data_dir().join(ACME), provider, host, wanted)
        .context("read keys of certificates")?;
    let key = key.as_ref().and_then(|key| parse_pem(key.pem()));
    Ok(key.and_then(|(_, der)| HostKey::from_pkcs8(&der)).filter(|key| key.kind() == kind))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    const NOW: UnixSeconds = UnixSeconds(1_795_274_564);

    /// - `keys`: of the listener `public`, as lines.
    fn config(dir: &Path, keys: &str) -> Config {
        // Each has an address of its own: proof of control by TLS takes a port of it.
        let listener = |ip: &str, name: &str, host: &str, tls: &str| {
            format!("\t{name}:\n\t\tIPs:\n\t\t\t- {ip}\n{host}{tls}")
        };
        let acme = "\t\tTLS:\n\t\t\tACME: ca\n";
        let other = "\t\tHostname: other.example\n";
        let mox_conf = format!(
            "DataDir: data\nLogLevel: info\nHostname: mx.example\nACME:\n\tca:\n\
             \t\tDirectoryURL: https://ca.example/\n\t\tContactEmail: a@mx.example\nListeners:\n\
             {}{}{}{}Postmaster:\n\tAccount: mjl\n\tMailbox: Postmaster\n",
            listener("127.0.0.1", "internal", "", ""),
            listener("127.0.0.2", "more", "", acme),
            listener("127.0.0.3", "other", other, acme),
            listener("127.0.0.4", "public", "", &format!("{acme}{keys}")),
        );
        let domains_conf = "Domains:\n\tmx.example:\n\t\tLocalpartCatchallSeparator: +\nAccounts:\n\
             \tmjl:\n\t\tDomain: mx.example\n\t\tDestinations:\n\t\t\tmjl@mx.example: nil\n";
        Config::parse(dir, &mox_conf, domains_conf).unwrap()
    }

    #[test]
    fn missing_keys_are_made_once_for_a_host() {
        let dir = tempfile::tempdir().unwrap();
        let own = KeyFile::host(
            &HostKey::generate(HostKeyKind::Rsa).unwrap(),
            &Domain::parse("mx.example").unwrap(),
            UnixSeconds(0),
        )
        .unwrap();
        own.write(dir.path()).unwrap();
        let keys = format!("\t\t\tHostPrivateKeyFiles:\n\t\t\t\t- {}\n", own.name);
        let text = ensure(&config(dir.path(), &keys), NOW).unwrap();
        let key = |host: &str, kind: &str| {
            format!("\t\t\t\t- hostkeys/{host}.20261121T152244.{kind}.privatekey.pkcs8.pem\n")
        };
        let (ecdsa, rsa) = (key("mx.example", "ecdsap256"), key("mx.example", "rsa2048"));
        let head = |name: &str| format!("\t{name}:\n\t\tTLS:\n\t\t\tHostPrivateKeyFiles:\n");
        let want = [
            "Listeners:\n".to_owned(),
            head("more") + &ecdsa + &rsa,
            head("other") + &key("other.example", "ecdsap256") + &key("other.example", "rsa2048"),
            head("public") + &format!("\t\t\t\t- {}\n", own.name) + &ecdsa,
        ];
        assert!(text.ends_with(&want.concat()), "{text}");
        assert_eq!(fs::read_dir(dir.path().join("hostkeys")).unwrap().count(), 5);
        // As configured then, nothing is missing for this listener.
        let keys = keys + &ecdsa;
        assert_eq!(missing(&config(dir.path(), &keys), &[own.name]).unwrap().len(), 1);
        let listener = &config(dir.path(), &keys).statics.listeners["public"];
        let files = &listener.tls.as_ref().unwrap().host_private_key_files;
        assert_eq!(missing(&config(dir.path(), &keys), files).unwrap(), []);
    }

    #[test]
    fn without_acme_nothing_is_missing() {
        let dir = tempfile::tempdir().unwrap();
        let statics =
            mox_config::Static::minimal("data", &Domain::parse("a.example").unwrap(), "u");
        let mut statics = statics;
        let listener = mox_config::Listener {
            ips: vec!["127.0.0.1".parse().unwrap()],
            ..mox_config::Listener::default()
        };
        statics.listeners.insert("public".to_owned(), listener);
        let dynamic =
            mox_config::Dynamic::minimal("u", &mox_base::Address::parse("u@a.example").unwrap());
        let config = Config::new(dir.path(), &statics, &dynamic).unwrap();
        assert_eq!(ensure(&config, NOW).unwrap().lines().count(), 1);
        assert!(!dir.path().join("hostkeys").exists());
    }
}
