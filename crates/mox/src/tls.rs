//! The certificates of listeners and the ways their ports use TLS.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result};
use mox_base::{Clock, UnixSeconds};
use mox_config::{
    Config, HttpPort, HttpService, Listener, ListenerTls, TlsVersion as ConfigVersion,
};
use mox_net::tls::{Certs, KeyCertFiles, TlsAcceptor, TlsOptions, TlsVersion, UnknownName};
use mox_web::{ALPN_HTTP1, ALPN_HTTP2};

use crate::acme::{Providers, kept_keys};
use crate::service::Service;

/// How long before the end of a certificate the log begins to say so.
pub(crate) const EXPIRY_NOTICE_SECS: i64 = 14 * 24 * 60 * 60;

/// The certificates of all listeners that have some.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListenerCerts {
    loaded: BTreeMap<String, Loaded>,
    acme: Providers,
}

#[derive(Clone, Debug)]
struct Loaded {
    certs: Certs,
    files: Vec<PathBuf>,
    stamps: Vec<Option<Stamp>>,
}

/// The name of IMAP in ALPN, as registered.
pub(crate) const ALPN_IMAP: &[u8] = b"imap";

/// The name of submission in ALPN. None is registered; this is what autoconfiguration tells of.
pub(crate) const ALPN_SUBMISSION: &[u8] = b"smtp";

type Stamp = (SystemTime, u64);

impl ListenerCerts {
    /// Reads the files that the configuration names. Blocks.
    ///
    /// # Errors
    ///
    /// If one cannot be read, or its key is not that of its certificate.
    pub(crate) fn load(config: &Config) -> Result<Self> {
        let mut loaded = BTreeMap::new();
        for (name, listener) in &config.statics.listeners {
            if listener.tls.as_ref().is_some_and(|tls| !tls.acme.is_empty()) {
                // Used later: what is wrong with them is found now.
                kept_keys(config, config.listener_hostname(listener))
                    .with_context(|| format!("private keys of listener {name}"))?;
            }
            let Some(tls) = listener.tls.as_ref().filter(|tls| !tls.key_certs.is_empty()) else {
                continue;
            };
            let pairs: Vec<_> = tls
                .key_certs
                .iter()
                .map(|pair| KeyCertFiles {
                    cert: config.path(&pair.cert_file),
                    key: config.path(&pair.key_file),
                })
                .collect();
            let files: Vec<_> =
                pairs.iter().flat_map(|pair| [pair.cert.clone(), pair.key.clone()]).collect();
            let stamps = stamps(&files);
            let hostname = config.listener_hostname(listener).ascii();
            let certs = Certs::load(pairs, hostname)
                .with_context(|| format!("certificates of listener {name}"))?;
            loaded.insert(name.clone(), Loaded { certs, files, stamps });
        }
        Ok(Self { loaded, acme: Providers::default() })
    }

    /// The same with the certificates of listeners that have theirs from providers.
    #[must_use]
    pub(crate) fn with_acme(self, acme: Providers) -> Self {
        Self { acme, ..self }
    }

    /// Reads certificates again whose files changed; on a fault the old ones stay. Logs what
    /// happened, and which certificates end soon. Blocks.
    pub(crate) fn refresh(&mut self, now: UnixSeconds) {
        for (listener, loaded) in &mut self.loaded {
            let stamps = stamps(&loaded.files);
            if stamps == loaded.stamps {
                continue;
            }
            match loaded.certs.reload() {
                Ok(()) => {
                    loaded.stamps = stamps;
                    tracing::info!(listener, "certificates reloaded");
                }
                Err(error) => {
                    let error: &(dyn std::error::Error + 'static) = &error;
                    tracing::error!(
                        listener,
                        error,
                        "certificates not reloaded, those before stay in use"
                    );
                }
            }
        }
        self.warn_of_expiry(now);
    }

    /// Logs which certificates end soon or have ended.
    pub(crate) fn warn_of_expiry(&self, now: UnixSeconds) {
        for (listener, loaded) in &self.loaded {
            let left = loaded.certs.first_expiry().map(|end| end.secs_since(now));
            if let Some(left) = left.filter(|left| *left < EXPIRY_NOTICE_SECS) {
                let days = left / (24 * 60 * 60);
                tracing::warn!(listener, days, "a certificate ends soon: renew it");
            }
        }
    }

    /// The way of one port of a listener to use TLS; `None` if the listener has no certificates.
    /// Each acceptor has its own ticket keys, so it is to be made once for a port.
    #[must_use]
    pub(crate) fn acceptor(
        &self,
        name: &str,
        listener: &Listener,
        service: Service,
        http: Option<&HttpPort>,
        clock: Arc<dyn Clock>,
    ) -> Option<TlsAcceptor> {
        let loaded = self.loaded.get(name).map(|loaded| loaded.certs.clone());
        let issued = || {
            let provider = &listener.tls.as_ref()?.acme;
            self.acme.certs(provider, listener.hostname.as_deref())
        };
        let certs = loaded.or_else(issued)?;
        Some(TlsAcceptor::new(certs, options(listener, service, http), clock))
    }
}

fn options(listener: &Listener, service: Service, http: Option<&HttpPort>) -> TlsOptions {
    let tls = listener.tls.as_ref();
    let min_version = match tls.and_then(|tls| tls.min_version.as_ref()).map(|version| version.0) {
        Some(ConfigVersion::Tls13) => TlsVersion::V13,
        _ => TlsVersion::V12,
    };
    let is_delivery = service == Service::Smtp;
    let no_tickets = listener.smtp.tls_session_tickets_disabled.unwrap_or(true);
    TlsOptions {
        min_version,
        // Servers that deliver mail have no account: some fail when asked for a certificate.
        // Browsers would ask their users for one.
        client_keys: !is_delivery
            && service != Service::Https
            && !tls.is_some_and(|tls| tls.client_auth_disabled),
        tickets: !(is_delivery && no_tickets),
        // Mail programs and servers give odd names, browsers do not: what has no certificate there
        // is not ours.
        unknown_name: match service == Service::Https && tls.is_some_and(has_provider) {
            true => UnknownName::Refuse,
            false => UnknownName::Fallback,
        },
        alpn: http.into_iter().flat_map(protocols).map(<[u8]>::to_vec).collect(),
    }
}

fn has_provider(tls: &ListenerTls) -> bool {
    !tls.acme.is_empty()
}

/// What clients can name by ALPN on a port of HTTP, the best first.
pub(crate) fn protocols(port: &HttpPort) -> Vec<&'static [u8]> {
    let by_alpn = [HttpService::Imap, HttpService::Submission];
    let has_http = port.services.iter().any(|service| !by_alpn.contains(service));
    let has = |service| port.services.contains(&service);
    let all = [
        (has_http, ALPN_HTTP2),
        (has_http, ALPN_HTTP1),
        (has(HttpService::Imap), ALPN_IMAP),
        (has(HttpService::Submission), ALPN_SUBMISSION),
    ];
    all.into_iter().filter(|(is_there, _)| *is_there).map(|(_, name)| name).collect()
}

/// Time and size of files, `None` for what cannot be looked at.
fn stamps(files: &[PathBuf]) -> Vec<Option<Stamp>> {
    files
        .iter()
        .map(|file| {
            let metadata = fs::metadata(file).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use mox_testkit::certificates::Certified;

    use super::*;

    #[track_caller]
    fn check(listener: &Listener, service: Service, want: (bool, bool, TlsVersion)) {
        let options = options(listener, service, None);
        let found = (options.client_keys, options.tickets, options.min_version);
        assert_eq!(found, want, "{service:?}");
        assert_eq!(options.unknown_name, UnknownName::Fallback);
    }

    #[test]
    fn each_service_has_its_own_use_of_tls() {
        let mut listener = Listener { tls: Some(ListenerTls::default()), ..Listener::default() };
        check(&listener, Service::Smtp, (false, false, TlsVersion::V12));
        check(&listener, Service::Submissions, (true, true, TlsVersion::V12));
        check(&listener, Service::Imap, (true, true, TlsVersion::V12));
        listener.smtp.tls_session_tickets_disabled = Some(false);
        check(&listener, Service::Smtp, (false, true, TlsVersion::V12));
        let tls = listener.tls.as_mut().unwrap();
        tls.client_auth_disabled = true;
        tls.min_version = Some(ConfigVersion::Tls13.into());
        check(&listener, Service::Imaps, (false, true, TlsVersion::V13));
        // RFC 8996: spoken no more.
        listener.tls.as_mut().unwrap().min_version = Some(ConfigVersion::Tls10.into());
        check(&listener, Service::Imaps, (false, true, TlsVersion::V12));
    }

    /// RFC 7301: only what is offered can be agreed on, and only on ports of HTTP.
    #[test]
    fn only_ports_of_http_have_names_of_protocols() {
        use HttpService::{AcmeTlsAlpn, Autoconfig, Imap, MtaSts, Submission};
        let listener = Listener { tls: Some(ListenerTls::default()), ..Listener::default() };
        assert!(options(&listener, Service::Imaps, None).alpn.is_empty());
        for (services, want) in [
            (&[Imap][..], &["imap"][..]),
            (&[Submission], &["smtp"]),
            (&[Imap, Submission], &["imap", "smtp"]),
            (&[MtaSts], &["h2", "http/1.1"]),
            (&[AcmeTlsAlpn], &["h2", "http/1.1"]),
            (&[Autoconfig, Imap, Submission], &["h2", "http/1.1", "imap", "smtp"]),
            (&[], &[]),
        ] {
            let services = services.iter().copied().collect();
            let port = HttpPort { services, ..HttpPort::default() };
            let options = options(&listener, Service::Https, Some(&port));
            assert!(!options.client_keys);
            let want: Vec<_> = want.iter().map(|name| name.as_bytes().to_vec()).collect();
            assert_eq!(options.alpn, want);
        }
    }

    #[test]
    fn a_changed_certificate_is_taken_up_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ls");
        let init = crate::localserve::InitOptions::default();
        crate::localserve::init(&path, &init).unwrap();
        let options = crate::server::Options::localserve(&path).unwrap();
        let mut certs = ListenerCerts::load(&options.config.snapshot()).unwrap();
        let names = |certs: &ListenerCerts| certs.loaded["local"].certs.names();
        let before = names(&certs);

        let (cert, key) = (path.join("localhost.crt"), path.join("localhost.key"));
        fs::write(&cert, "not PEM").unwrap();
        certs.refresh(UnixSeconds(0));
        assert_eq!(names(&certs), before);

        let made = Certified::new(&["renewed.example"]);
        fs::write(&cert, made.cert_pem()).unwrap();
        fs::write(&key, made.key_pem()).unwrap();
        certs.refresh(UnixSeconds(0));
        assert_eq!(names(&certs), ["renewed.example"]);
        fs::remove_file(&cert).unwrap();
        certs.refresh(UnixSeconds(0));
        assert_eq!(names(&certs), ["renewed.example"]);
        assert!(ListenerCerts::load(&options.config.snapshot()).is_err());
    }

    /// Bug: files that could not be used once were not looked at again, until they changed.
    #[test]
    fn what_could_not_be_used_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let write = |name: &str| {
            let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
            fs::write(&cert, made.cert.pem()).unwrap();
            fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        };
        write("before.example");
        let pair = KeyCertFiles { cert: cert.clone(), key: key.clone() };
        let hostname = mox_base::Domain::parse("mail.example").unwrap();
        let certs = Certs::load(vec![pair], hostname.ascii()).unwrap();
        let loaded = Loaded { certs, files: vec![cert.clone(), key.clone()], stamps: Vec::new() };
        let mut certs = ListenerCerts {
            loaded: BTreeMap::from([("local".to_owned(), loaded)]),
            acme: Providers::default(),
        };
        write("renewed.example");
        // As after a file that could not be read for a moment: broken, and right, at one time and of
        // one size.
        let renewed = fs::read(&cert).unwrap();
        let time = fs::metadata(&cert).unwrap().modified().unwrap();
        let put = |content: &[u8]| {
            fs::write(&cert, content).unwrap();
            fs::File::options().write(true).open(&cert).unwrap().set_modified(time).unwrap();
        };
        put(&vec![b'x'; renewed.len()]);
        certs.refresh(UnixSeconds(0));
        assert_eq!(certs.loaded["local"].certs.names(), ["before.example"]);
        put(&renewed);
        certs.refresh(UnixSeconds(0));
        assert_eq!(certs.loaded["local"].certs.names(), ["renewed.example"]);
    }
}
