//! Which hosts have certificates by ACME: those that the services of listeners are reached by.

use std::collections::BTreeSet;
use std::net::IpAddr;

use mox_base::Domain;

use crate::{Config, Listener};

/// The listener that the internet reaches.
const PUBLIC: &str = "public";

impl Config {
    /// The hosts that may have certificates of a provider, without doubles, the most important first:
    /// this host, listeners, set-up of mail programs, mail programs, MTA-STS, web. Empty if no
    /// listener uses the provider. Domains that are switched off or for reports only have none.
    #[must_use]
    pub fn certificate_hosts(&self, provider: &str) -> Vec<Domain> {
        let listeners: Vec<_> = self.listeners_of(provider).map(|(_, listener)| listener).collect();
        let mut hosts = Vec::new();
        if !listeners.is_empty() {
            hosts.push(self.hostname().clone());
        }
        hosts.extend(listeners.iter().map(|listener| self.listener_hostname(listener).clone()));
        let has = |service: &dyn Fn(&Listener) -> bool| listeners.iter().any(|one| service(one));
        let has_autoconfig =
            has(&|one| one.autoconfig_https.enabled && !one.autoconfig_https.non_tls);
        let has_mtasts = has(&|one| one.mtasts_https.enabled && !one.mtasts_https.non_tls);
        let in_use = || {
            let all = self.dynamic.domains.iter().map(|(name, settings)| (&***name, settings));
            all.filter(|(name, settings)| !settings.disabled && self.is_local_domain(name))
        };
        let below = |label: &str, domain: &Domain| {
            // One that is too long has no such host.
            Domain::parse(&format!("{label}.{}", domain.ascii())).ok()
        };
        if has_autoconfig {
            hosts.extend(in_use().filter_map(|(name, _)| below("autoconfig", name)));
        }
        if !listeners.is_empty() {
            let client = in_use().filter_map(|(_, one)| one.client_settings_domain.as_deref());
            hosts.extend(client.cloned());
        }
        if has_mtasts {
            let with_policy = in_use().filter(|(_, settings)| settings.mtasts.is_some());
            hosts.extend(with_policy.filter_map(|(name, _)| below("mta-sts", name)));
        }
        if has(&|one| one.webserver_https.enabled) {
            let redirects = self.dynamic.web_domain_redirects.keys().map(|name| (**name).clone());
            let handlers = self.dynamic.web_handlers.iter().map(|one| (*one.domain).clone());
            hosts.extend(redirects.chain(handlers));
        }
        let mut seen = BTreeSet::new();
        hosts.retain(|host| seen.insert(host.clone()));
        hosts
    }

    /// The private keys that the certificates of a host keep: those of the listener with this name of
    /// its own, else of the listener `public`, else of any. Only hosts that are this one or a listener
    /// have such keys.
    #[must_use]
    pub fn host_private_key_files(&self, host: &Domain) -> &[String] {
        let files = |listener: &'_ Listener| -> Option<()> {
            let tls = listener.tls.as_ref()?;
            (!tls.acme.is_empty() && !tls.host_private_key_files.is_empty()).then_some(())
        };
        let listeners = &self.statics.listeners;
        let is_listener = |listener: &&Listener| self.listener_hostname(listener) == host;
        if host != self.hostname() && !listeners.values().any(|one| is_listener(&one)) {
            return &[];
        }
        let with_files = || listeners.iter().filter(|(_, listener)| files(listener).is_some());
        let named = with_files().find(|(_, listener)| listener.hostname.as_deref() == Some(host));
        let public = || with_files().find(|(name, _)| *name == PUBLIC);
        let chosen = named.or_else(public).or_else(|| with_files().next());
        let tls = chosen.and_then(|(_, listener)| listener.tls.as_ref());
        tls.map_or(&[], |tls| &tls.host_private_key_files)
    }

    /// The addresses at which the internet reaches the listeners of a provider; empty if they are not
    /// known, as behind an address translation that is not described.
    #[must_use]
    pub fn public_ips_of(&self, provider: &str) -> BTreeSet<IpAddr> {
        let mut ips = BTreeSet::new();
        for (_, listener) in self.listeners_of(provider) {
            let seen = if listener.nat_ips.is_empty() { &listener.ips } else { &listener.nat_ips };
            if listener.ips_nated || seen.iter().any(IpAddr::is_unspecified) {
                return BTreeSet::new();
            }
            ips.extend(seen.iter().copied());
        }
        ips
    }

    /// The listeners whose certificates come from a provider, by name.
    pub fn listeners_of(&self, provider: &str) -> impl Iterator<Item = (&str, &Listener)> {
        let is_user = move |listener: &Listener| {
            listener.tls.as_ref().is_some_and(|tls| !tls.acme.is_empty() && tls.acme == provider)
        };
        let listeners = self.statics.listeners.iter();
        listeners.filter(move |(_, one)| is_user(one)).map(|(name, one)| (name.as_str(), one))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    /// Two listeners use a provider, with names and services of their own; a third has files.
    const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mail.example
ACME:
	le:
		DirectoryURL: https://acme.example/directory
		ContactEmail: admin@mail.example
Listeners:
	a:
		IPs:
			- 192.0.2.1
		Hostname: a.example
		TLS:
			ACME: le
		AutoconfigHTTPS:
			Enabled: true
	other:
		IPs:
			- 198.51.100.1
		Hostname: other.example
		TLS:
			KeyCerts:
				-
					CertFile: c
					KeyFile: k
		WebserverHTTP:
			Enabled: true
		MTASTSHTTPS:
			Enabled: true
			Port: 8443
	public:
		IPs:
			- 192.0.2.2
		NATIPs:
			- 203.0.113.1
		TLS:
			ACME: le
			HostPrivateKeyFiles:
				- public.pem
		SERVICES
Postmaster:
	Account: mjl
	Mailbox: Postmaster
";

    const DOMAINS_CONF: &str = "\
Domains:
	x.example:
		ClientSettingsDomain: imap.x.example
		MTASTS:
			PolicyID: 1
			Mode: enforce
			MaxAge: 24h
	off.example:
		Disabled: true
		ClientSettingsDomain: imap.off.example
	plain.example: nil
Accounts:
	mjl:
		Domain: x.example
		Destinations:
			mjl@x.example: nil
			mjl@plain.example: nil
WebDomainRedirects:
	old.example: www.example
WebHandlers:
	-
		Domain: www.example
		PathRegexp: ^/
		WebRedirect:
			BaseURL: https://x.example
";

    fn config(services: &str) -> Config {
        let mox_conf = MOX_CONF.replace("SERVICES", services);
        Config::parse(Path::new(""), &mox_conf, DOMAINS_CONF).unwrap()
    }

    #[track_caller]
    fn check(services: &str, want: &[&str]) {
        let hosts = config(services).certificate_hosts("le");
        assert_eq!(hosts.iter().map(Domain::ascii).collect::<Vec<_>>(), want, "{services:?}");
    }

    #[test]
    fn hosts_are_those_of_the_services() {
        let first =
            ["mail.example", "a.example", "autoconfig.plain.example", "autoconfig.x.example"];
        let with = |more: &[&'static str]| [&first[..], &["imap.x.example"], more].concat();
        check("MetricsHTTP:\n\t\t\tEnabled: true", &with(&[]));
        check("MTASTSHTTPS:\n\t\t\tEnabled: true", &with(&["mta-sts.x.example"]));
        let plain = "MTASTSHTTPS:\n\t\t\tEnabled: true\n\t\t\tNonTLS: true\n\t\t\tPort: 81";
        check(plain, &with(&[]));
        let web = "WebserverHTTPS:\n\t\t\tEnabled: true";
        check(web, &with(&["old.example", "www.example"]));
        assert!(config(web).certificate_hosts("other").is_empty());
    }

    #[test]
    fn keys_and_addresses_are_those_of_the_listener() {
        let config = config("WebserverHTTPS:\n\t\t\tEnabled: true");
        let keys = |host| config.host_private_key_files(&Domain::parse(host).unwrap());
        assert_eq!(keys("mail.example"), ["public.pem"]);
        // A listener without keys of its own has those of the public one.
        assert_eq!(keys("a.example"), ["public.pem"]);
        assert!(keys("www.example").is_empty());
        let ips: Vec<_> = config.public_ips_of("le").iter().map(ToString::to_string).collect();
        assert_eq!(ips, ["192.0.2.1", "203.0.113.1"]);
        let own = "WebserverHTTPS:\n\t\t\tEnabled: true\n\t\tHostname: own.example";
        let config = self::config(own);
        let own = Domain::parse("own.example").unwrap();
        assert_eq!(config.host_private_key_files(&own), ["public.pem"]);
        assert!(config.public_ips_of("other").is_empty());
    }
}
