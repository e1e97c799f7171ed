//! Which driver serves which port.

use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use mox_imapd::Imapd;
use mox_metrics::connections::Connections;
use mox_net::{AlpnPort, Incoming, Listener, ListenerOptions};
use mox_smtpd::Smtpd;
use mox_web::{ALPN_HTTP1, ALPN_HTTP2};
use tokio::task::JoinHandle;

use crate::log::package_of;
use crate::server::Endpoint;
use crate::service::Service;
use crate::services::{Mode, Services};
use crate::tls::{ALPN_IMAP, ALPN_SUBMISSION, protocols};

/// All drivers of a server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Drivers {
    services: Services,
    smtpd: Smtpd,
    imapd: Imapd,
    web: mox_web::Server,
}

impl Drivers {
    /// Gives each driver what it needs of the services.
    ///
    /// - `spool_dir`: for messages that come in; must exist.
    pub(crate) fn new(services: &Services, spool_dir: PathBuf) -> Self {
        let smtpd = Smtpd::new(mox_smtpd::Services {
            logins: services.logins.clone(),
            store: services.store.clone(),
            queue: services.queue.clone(),
            signing: services.signing.clone(),
            reports: services.reports.clone(),
            config: services.config.clone(),
            resolver: services.resolver.clone(),
            clock: services.clock.clone(),
            rng: services.rng.clone(),
            limits: services.smtp_limits.clone(),
            trace: services.levels.trace_switch(package_of("mox_smtpd")),
            spool_dir,
            received_ids: services.received_ids.clone(),
            is_pedantic: services.pedantic,
            is_localserve: services.mode == Mode::Localserve,
        });
        let imapd = Imapd::new(mox_imapd::Services {
            logins: services.logins.clone(),
            clock: services.clock.clone(),
            limits: services.imap_limits.clone(),
            trace: services.levels.trace_switch(package_of("mox_imapd")),
            is_pedantic: services.pedantic,
            progress_wait: mox_imapd::PROGRESS_WAIT,
            rng: services.rng.clone(),
            sealer: mox_imapd::UrlSealer::new(&services.url_secret),
            version: crate::VERSION.to_owned(),
        });
        let acme = services.acme.clone();
        let web = mox_web::Server::new(mox_web::Services {
            config: services.config.clone(),
            clock: services.clock.clone(),
            supervisor: services.supervisor.clone(),
            http01: Arc::new(move |host, token| acme.http01(host, token)),
            is_limited: services.mode == Mode::Serve,
        });
        Self { services: services.clone(), smtpd, imapd, web }
    }

    /// For connections that come in another way.
    pub(crate) fn imapd(&self) -> Imapd {
        self.imapd.clone()
    }

    /// Accepts connections on a port, for the driver of its service, until the supervisor stops.
    pub(crate) fn accept(&self, endpoint: Endpoint, socket: Listener) -> JoinHandle<()> {
        let name = endpoint.service.name();
        let connections = Connections::of(name, &endpoint.listener);
        let serve = self.service(endpoint);
        let handle = move |incoming| {
            let (open, served) = (connections.open(), serve(incoming));
            async move {
                served.await;
                drop(open);
            }
        };
        let supervisor = self.services.supervisor.clone();
        tokio::spawn(socket.serve(supervisor, ListenerOptions::named(name), handle))
    }

    /// What is done with each connection of a port.
    fn service(&self, endpoint: Endpoint) -> Serve {
        match endpoint.service {
            Service::Imap | Service::Imaps => {
                let (imapd, port) = (self.imapd.clone(), imap_port(endpoint));
                Box::new(move |incoming| Box::pin(imapd.clone().serve(incoming, port.clone())))
            }
            Service::Smtp | Service::Submission | Service::Submissions => {
                let (smtpd, port) = (self.smtpd.clone(), smtp_port(endpoint));
                Box::new(move |incoming| Box::pin(smtpd.clone().serve(incoming, port.clone())))
            }
            Service::Http => {
                let (web, port) = (self.web.clone(), web_port(&endpoint));
                Box::new(move |incoming| Box::pin(web.clone().serve(incoming, Arc::clone(&port))))
            }
            Service::Https => match self.alpn_port(endpoint) {
                Some(port) => Box::new(move |incoming| Box::pin(port.clone().serve(incoming))),
                None => {
                    tracing::error!("https port has no certificates");
                    Box::new(|incoming| Box::pin(incoming.conn.close()))
                }
            },
        }
    }

    /// All protocols of the port: only what the listener offers can be agreed on.
    fn alpn_port(&self, endpoint: Endpoint) -> Option<AlpnPort> {
        let acceptor = endpoint.tls.clone()?;
        let has_http = endpoint.http.as_ref().is_some_and(|http| {
            protocols(http).iter().any(|protocol| [ALPN_HTTP1, ALPN_HTTP2].contains(protocol))
        });
        let (web, web_port) = (self.web.clone(), web_port(&endpoint));
        let (imapd, imap) = (self.imapd.clone(), imap_port(endpoint.clone()));
        let (smtpd, smtp) = (self.smtpd.clone(), smtp_port(endpoint));
        let port = AlpnPort::new(acceptor)
            .route(ALPN_IMAP, move |incoming| imapd.clone().serve(incoming, imap.clone()))
            .route(ALPN_SUBMISSION, move |incoming| smtpd.clone().serve(incoming, smtp.clone()));
        if !has_http {
            return Some(port);
        }
        let http = move |incoming| web.clone().serve(incoming, Arc::clone(&web_port));
        Some(
            port.route(ALPN_HTTP2, http.clone())
                .route(ALPN_HTTP1, http.clone())
                .route_unnamed(http),
        )
    }
}

type Serve = Box<dyn Fn(Incoming) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

fn web_port(endpoint: &Endpoint) -> Arc<mox_web::Port> {
    Arc::new(mox_web::Port::new(endpoint.http.clone().unwrap_or_default()))
}

fn imap_port(endpoint: Endpoint) -> mox_imapd::Port {
    mox_imapd::Port {
        tls: endpoint.tls,
        is_tls_immediate: endpoint.service.is_tls_immediate(),
        plaintext_allowed: endpoint.settings.imap.no_require_starttls,
        hostname: endpoint.hostname.ascii().to_owned(),
    }
}

fn smtp_port(endpoint: Endpoint) -> mox_smtpd::Port {
    let settings = &endpoint.settings;
    let is_delivery = endpoint.service == Service::Smtp;
    let (kind, requires_tls) = match endpoint.service {
        Service::Smtp => (mox_smtpd::Service::Delivery, settings.smtp.require_starttls),
        Service::Submission => {
            (mox_smtpd::Service::Submission, !settings.submission.no_require_starttls)
        }
        _ => (mox_smtpd::Service::Submission, true),
    };
    mox_smtpd::Port {
        kind,
        tls: endpoint.tls.filter(|_| !(is_delivery && settings.smtp.no_starttls)),
        is_tls_immediate: endpoint.service.is_tls_immediate(),
        requires_tls,
        offers_requiretls: kind == mox_smtpd::Service::Submission || !settings.smtp.no_require_tls,
        message_bytes_max: settings.message_bytes_max(),
        blocklists: settings.smtp.dnsbls.iter().map(|zone| zone.0.clone()).collect(),
        first_time_delay: settings.first_time_sender_delay(),
        hostname: endpoint.hostname,
    }
}

#[cfg(test)]
mod tests {
    use mox_base::Domain;
    use mox_config::Listener as Settings;
    use mox_net::SystemClock;
    use mox_net::tls::{Certs, KeyCertPem, TlsAcceptor, TlsOptions};
    use mox_testkit::certificates::Certified;

    use super::*;

    fn endpoint(service: Service, settings: Settings) -> Endpoint {
        let made = Certified::new(&["mx.example"]);
        let pem = KeyCertPem { cert: made.cert_pem().into(), key: made.key_pem().into() };
        let certs = Certs::from_pem(&[pem], "mx.example").unwrap();
        let clock = Arc::new(SystemClock::new());
        Endpoint {
            listener: "public".to_owned(),
            service,
            addr: "127.0.0.1:0".parse().unwrap(),
            tls: Some(TlsAcceptor::new(certs, TlsOptions::default(), clock)),
            hostname: Domain::parse("mx.example").unwrap(),
            settings,
            http: None,
        }
    }

    /// Wants: TLS offered, TLS immediate, TLS required.
    #[track_caller]
    fn check_smtp(service: Service, settings: &Settings, want: (bool, bool, bool)) {
        let port = smtp_port(endpoint(service, settings.clone()));
        let found = (port.tls.is_some(), port.is_tls_immediate, port.requires_tls);
        assert_eq!(found, want, "{service}");
    }

    #[test]
    fn settings_of_a_listener_reach_its_ports() {
        let mut settings = Settings::default();
        check_smtp(Service::Smtp, &settings, (true, false, false));
        check_smtp(Service::Submission, &settings, (true, false, true));
        check_smtp(Service::Submissions, &settings, (true, true, true));
        settings.smtp.no_starttls = true;
        settings.submission.no_require_starttls = true;
        check_smtp(Service::Smtp, &settings, (false, false, false));
        check_smtp(Service::Submission, &settings, (true, false, false));
        check_smtp(Service::Submissions, &settings, (true, true, true));
        settings.smtp.no_starttls = false;
        settings.smtp.require_starttls = true;
        check_smtp(Service::Smtp, &settings, (true, false, true));
        settings.smtp.no_require_tls = true;
        assert!(!smtp_port(endpoint(Service::Smtp, settings.clone())).offers_requiretls);
        assert!(smtp_port(endpoint(Service::Submission, settings.clone())).offers_requiretls);

        let port = imap_port(endpoint(Service::Imap, settings.clone()));
        assert!(!port.plaintext_allowed && !port.is_tls_immediate && port.tls.is_some());
        settings.imap.no_require_starttls = true;
        assert!(imap_port(endpoint(Service::Imap, settings.clone())).plaintext_allowed);
        assert!(imap_port(endpoint(Service::Imaps, settings)).is_tls_immediate);
    }
}
