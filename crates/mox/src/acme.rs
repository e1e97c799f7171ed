//! The certificates that providers issue for listeners.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use anyhow::{Context, Result};
use mox_acme::{Binding, HostKey, HostStatus, Manager, POLL, Settings};
use mox_base::Domain;
use mox_config::{Acme, Config};
use mox_net::http;
use mox_net::tls::Certs;
use parking_lot::Mutex;

use crate::services::Services;

/// The directory of accounts and certificates, in the data directory.
pub(crate) const ACME: &str = "acme";

/// The port on which providers check by HTTP. RFC 8555 §8.3.
const PORT_HTTP: u16 = 80;

/// The managers of all providers that listeners use; none before they are started. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Providers {
    managers: Arc<OnceLock<BTreeMap<String, Manager>>>,
    /// The configuration that the managers know of.
    followed: Arc<Mutex<Option<Arc<Config>>>>,
}

impl Providers {
    /// Starts the managers. Those of a configuration without ACME are none. Blocks on files; within a
    /// runtime.
    ///
    /// # Errors
    ///
    /// If a file that the configuration names cannot be read, or the name of a provider is none.
    pub(crate) fn start(&self, services: &Services, http: &http::Client) -> Result<()> {
        let config = services.config.snapshot();
        let mut managers = BTreeMap::new();
        for (name, acme) in &config.statics.acme {
            if config.listeners_of(name).next().is_none() {
                continue;
            }
            let needs = mox_acme::Services {
                clock: Arc::clone(&services.clock),
                rng: Arc::clone(&services.rng),
                supervisor: services.supervisor.clone(),
                http: http.clone(),
                resolver: Arc::clone(&services.resolver),
            };
            let manager = settings(&config, name, acme)
                .and_then(|settings| Ok(Manager::start(settings, needs)?));
            managers
                .insert(name.clone(), manager.with_context(|| format!("ACME provider {name}"))?);
        }
        // Started once, by the server that the services are of.
        let _before = self.managers.set(managers);
        self.follow(&config);
        Ok(())
    }

    /// Tells the managers which hosts there are now. Cheap if the configuration is the same as
    /// before. Blocks on files.
    pub(crate) fn follow(&self, config: &Arc<Config>) {
        let mut followed = self.followed.lock();
        if followed.as_ref().is_some_and(|before| Arc::ptr_eq(before, config)) {
            return;
        }
        for (name, manager) in self.managers() {
            manager.set_hosts(config.certificate_hosts(name));
        }
        *followed = Some(Arc::clone(config));
    }

    fn managers(&self) -> impl Iterator<Item = (&String, &Manager)> {
        self.managers.get().into_iter().flatten()
    }

    /// The certificates of a provider, for a listener with this name of its own, if it has one.
    pub(crate) fn certs(&self, provider: &str, hostname: Option<&Domain>) -> Option<Certs> {
        let certs = self.managers.get()?.get(provider)?.certs();
        Some(match hostname {
            Some(hostname) => certs.for_hostname(hostname.ascii()),
            None => certs,
        })
    }

    /// The answer to a check by HTTP, whoever makes it. RFC 8555 §8.3.
    #[must_use]
    pub fn http01(&self, host: &Domain, token: &str) -> Option<String> {
        self.managers().find_map(|(_, manager)| manager.http01(token, host))
    }

    /// How it stands with the hosts of all providers, with the name of the provider.
    #[must_use]
    pub fn status(&self) -> Vec<(String, HostStatus)> {
        let of = |(name, manager): (&String, &Manager)| {
            manager.status().into_iter().map(|status| (name.clone(), status)).collect::<Vec<_>>()
        };
        self.managers().flat_map(of).collect()
    }
}

fn settings(config: &Config, name: &str, acme: &Acme) -> Result<Settings> {
    let binding = acme.external_account_binding.as_ref().map(|binding| {
        let path = config.path(&binding.key_file);
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("read {}", path.display()))?;
        Binding::parse(&binding.key_id, &text)
            .with_context(|| format!("{}: the key is not in base64 for URLs", path.display()))
    });
    let mut host_keys = BTreeMap::new();
    for (_, listener) in config.listeners_of(name) {
        for host in [config.hostname(), config.listener_hostname(listener)] {
            host_keys.insert(host.clone(), kept_keys(config, host)?);
        }
    }
    let renew_before = acme.renew_before.0;
    Ok(Settings {
        name: name.to_owned(),
        directory_url: acme.directory_url.clone(),
        contact: acme.contact_email.clone(),
        renew_before: (!renew_before.is_zero()).then_some(renew_before),
        binding: binding.transpose()?,
        dir: config.data_dir().join(ACME),
        hostname: config.hostname().clone(),
        host_keys,
        has_http01: has_http01(config, name),
        public_ips: config.public_ips_of(name),
        user_agent: format!("mox/{}", crate::VERSION),
        poll: POLL,
    })
}

/// The keys that the certificates of a host keep. Those that cannot be used are told of and left out.
///
/// # Errors
///
/// If a file cannot be read.
pub(crate) fn kept_keys(config: &Config, host: &Domain) -> Result<Vec<Arc<HostKey>>> {
    let mut keys: Vec<Arc<HostKey>> = Vec::new();
    let files = config.host_private_key_files(host);
    for name in files {
        let path = config.path(name);
        let text = std::fs::read_to_string(&path);
        let text = text.with_context(|| format!("read {}", path.display()))?;
        match HostKey::from_pem(&text) {
            Ok(key) if keys.iter().any(|other| other.kind() == key.kind()) => {
                tracing::warn!(%host, name, "a second private key of the same kind is not used");
            }
            Ok(key) => keys.push(Arc::new(key)),
            Err(error) => tracing::warn!(%host, name, %error, "private key of host not used"),
        }
    }
    if keys.len() == 1 {
        tracing::warn!(
            %host,
            kind = ?keys.first().map(|key| key.kind()),
            "HostPrivateKeyFiles has keys of one kind only, so there are certificates of this kind \
             only: add one of the other"
        );
    }
    Ok(keys)
}

/// Whether a provider that checks by HTTP reaches a port of ours.
fn has_http01(config: &Config, provider: &str) -> bool {
    config.listeners_of(provider).any(|(_, listener)| {
        let ports = config.http_ports(listener);
        ports.iter().any(|port| port.number == PORT_HTTP && !port.is_tls)
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use mox_acme::KeyKind;

    use super::*;

    const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mail.example
ACME:
	le:
		DirectoryURL: https://acme.example/directory
		ContactEmail: admin@mail.example
		RenewBefore: 240h
		ExternalAccountBinding:
			KeyID: kid
			KeyFile: eab.key
Listeners:
	public:
		IPs:
			- 192.0.2.1
		TLS:
			ACME: le
			HostPrivateKeyFiles:
				- ecdsa.pem
				- odd.pem
		METRICS
Postmaster:
	Account: mjl
	Mailbox: Postmaster
";

    const DOMAINS_CONF: &str = "\
Domains:
	x.example: nil
Accounts:
	mjl:
		Domain: x.example
		Destinations:
			mjl@x.example: nil
";

    fn settings_in(dir: &std::path::Path, metrics: &str) -> Result<Settings> {
        let mox_conf = MOX_CONF.replace("METRICS", metrics);
        let config = Config::parse(dir, &mox_conf, DOMAINS_CONF).unwrap();
        settings(&config, "le", &config.statics.acme["le"])
    }

    #[test]
    fn settings_of_a_provider_come_from_both_places() {
        let dir = tempfile::tempdir().unwrap();
        let pem = rcgen::KeyPair::generate().unwrap().serialize_pem();
        fs::write(dir.path().join("ecdsa.pem"), &pem).unwrap();
        let odd = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        fs::write(dir.path().join("odd.pem"), odd.serialize_pem()).unwrap();
        fs::write(dir.path().join("eab.key"), "c2VjcmV0\n").unwrap();
        let on = |port: u16| format!("MetricsHTTP:\n\t\t\tEnabled: true\n\t\t\tPort: {port}");
        let settings = settings_in(dir.path(), &on(80)).unwrap();
        assert_eq!(settings.renew_before, Some(std::time::Duration::from_secs(864_000)));
        assert_eq!(settings.binding.unwrap().key, b"secret");
        assert_eq!(settings.dir, dir.path().join("data/acme"));
        let host = Domain::parse("mail.example").unwrap();
        let kinds: Vec<_> = settings.host_keys[&host].iter().map(|key| key.kind()).collect();
        assert_eq!(kinds, [KeyKind::Ecdsa]);
        assert!(settings.has_http01);
        assert!(!settings_in(dir.path(), &on(8010)).unwrap().has_http01);
        fs::write(dir.path().join("eab.key"), "not base64").unwrap();
        assert!(settings_in(dir.path(), &on(80)).is_err());
        fs::remove_file(dir.path().join("ecdsa.pem")).unwrap();
        assert!(settings_in(dir.path(), &on(80)).is_err());
    }
}
