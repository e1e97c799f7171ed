//! Which handler a request goes to.

use std::collections::BTreeSet;

use mox_base::Domain;
use mox_config::{Config, HttpService};

use crate::handlers::Handler;
use crate::host::Host;

/// The listener that the internet reaches.
const PUBLIC: &str = "public";

/// The handlers of a port.
///
/// They stand in groups that are asked one after the other: what the server itself must answer, then
/// (not there yet) web sites of the configuration, then pages. So a web site may take the place of pages
/// on its host, and never that of challenges or settings.
#[derive(Clone, Debug)]
pub(crate) struct Router {
    /// Longest path first.
    system: Vec<Route>,
}

/// A handler, and what it is asked for.
#[derive(Clone, Copy, Debug)]
struct Route {
    path: &'static str,
    hosts: Hosts,
    handler: Handler,
}

/// For which hosts a handler answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hosts {
    /// Whatever is asked for.
    Any,
    /// Any name.
    Named,
    /// Those for which there are settings of mail programs, see [`settings_domain`].
    Settings,
    /// `mta-sts.` before a domain with a policy. RFC 8461 §3.3.
    MtaSts,
}

/// Where a request goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Handler(Handler),
    /// To the same path with a slash at the end.
    AddSlash,
    Nothing,
}

const ROUTES: &[(HttpService, Route)] = &[
    (
        HttpService::AcmeHttp,
        Route {
            path: "/.well-known/acme-challenge/",
            hosts: Hosts::Named,
            handler: Handler::Challenge,
        },
    ),
    (
        HttpService::Autoconfig,
        Route {
            path: "/mail/config-v1.1.xml",
            hosts: Hosts::Settings,
            handler: Handler::Autoconfig,
        },
    ),
    (
        HttpService::Autoconfig,
        Route {
            path: "/.well-known/autoconfig/mail/config-v1.1.xml",
            hosts: Hosts::Settings,
            handler: Handler::Autoconfig,
        },
    ),
    (
        HttpService::Autoconfig,
        Route {
            path: "/autodiscover/autodiscover.xml",
            hosts: Hosts::Settings,
            handler: Handler::Autodiscover,
        },
    ),
    (
        HttpService::Autoconfig,
        // Some programs write it so, since the servers they are made for do not mind.
        Route {
            path: "/Autodiscover/Autodiscover.xml",
            hosts: Hosts::Settings,
            handler: Handler::Autodiscover,
        },
    ),
    (
        HttpService::Autoconfig,
        Route { path: "/profile.mobileconfig", hosts: Hosts::Settings, handler: Handler::Profile },
    ),
    (
        HttpService::Autoconfig,
        Route {
            path: "/profile.mobileconfig.qrcode.png",
            hosts: Hosts::Settings,
            handler: Handler::ProfileQr,
        },
    ),
    (
        HttpService::MtaSts,
        Route { path: "/.well-known/mta-sts.txt", hosts: Hosts::MtaSts, handler: Handler::MtaSts },
    ),
    (
        HttpService::Metrics,
        Route { path: "/metrics", hosts: Hosts::Any, handler: Handler::Metrics },
    ),
    (HttpService::Metrics, Route { path: "/", hosts: Hosts::Any, handler: Handler::MetricsPage }),
];

impl Router {
    pub(crate) fn new(services: &BTreeSet<HttpService>) -> Self {
        let mut system: Vec<_> = ROUTES
            .iter()
            .filter(|(service, _)| services.contains(service))
            .map(|(_, route)| *route)
            .collect();
        system.sort_by_key(|route| std::cmp::Reverse(route.path.len()));
        Self { system }
    }

    /// - `path`: cleaned.
    pub(crate) fn find(&self, path: &str, host: &Host, config: &Config) -> Found {
        let routes = || self.system.iter().filter(|route| route.hosts.has(host, config));
        if let Some(route) = routes().find(|route| route.matches(path)) {
            return Found::Handler(route.handler);
        }
        match routes().any(|route| route.path.strip_suffix('/') == Some(path)) {
            true => Found::AddSlash,
            false => Found::Nothing,
        }
    }
}

impl Route {
    /// A path that ends in a slash stands for all below it, but for the one at the top: what is not
    /// there is not found.
    fn matches(&self, path: &str) -> bool {
        match self.path {
            "/" => path == "/",
            prefix if prefix.ends_with('/') => path.starts_with(prefix),
            exact => path == exact,
        }
    }
}

impl Hosts {
    fn has(self, host: &Host, config: &Config) -> bool {
        match self {
            Self::Any => true,
            Self::Named => host.domain().is_some(),
            Self::Settings => settings_domain(host, config).is_some(),
            Self::MtaSts => mta_sts_domain(host, config).is_some(),
        }
    }
}

/// The domain that a host stands for when mail programs ask for settings: without `autoconfig.` at
/// the start a name of this server, or a domain that mail is received for.
pub(crate) fn settings_domain(host: &Host, config: &Config) -> Option<Domain> {
    let name = host.below("autoconfig").or_else(|| host.domain().cloned())?;
    let public = config.statics.listeners.get(PUBLIC);
    let is_own = name == *config.hostname()
        || public.is_some_and(|listener| name == *config.listener_hostname(listener));
    let is_hosted = config.is_local_domain(&name) && !config.is_disabled_domain(&name);
    (is_own || is_hosted).then_some(name)
}

/// The domain whose MTA-STS policy a host gives. RFC 8461 §3.3.
pub(crate) fn mta_sts_domain(host: &Host, config: &Config) -> Option<Domain> {
    let domain = host.below("mta-sts")?;
    config.domain(&domain)?.mtasts.is_some().then_some(domain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    const ALL: [HttpService; 4] =
        [HttpService::AcmeHttp, HttpService::Autoconfig, HttpService::Metrics, HttpService::MtaSts];

    #[track_caller]
    fn check(services: &[HttpService], host: &str, path: &str, want: Found) {
        let router = Router::new(&services.iter().copied().collect());
        let host = Host::parse(host).unwrap();
        let found = router.find(path, &host, &fixture::config());
        assert_eq!(found, want, "{host:?} {path}");
    }

    #[test]
    fn settings_are_for_our_names_and_domains() {
        use Found::{Handler as To, Nothing};
        let found = To(Handler::Autoconfig);
        for (host, want) in [
            ("example.org", found),
            ("autoconfig.example.org", found),
            ("AUTOCONFIG.example.org:8443", found),
            ("autoconfig.xn--bcher-kva.example", found),
            ("autoconfig.bücher.example", found),
            // Names of the server.
            ("mail.example.org", found),
            ("mx.example.org", found),
            ("autoconfig.mail.example.org", found),
            // Disabled, for reports only, of another listener, others, none.
            ("off.example", Nothing),
            ("autoconfig.reports.example", Nothing),
            ("inside.example.org", Nothing),
            ("example.net", Nothing),
            ("autoconfig", Nothing),
            ("autoconfig.autoconfig.example.org", Nothing),
            ("192.0.2.1", Nothing),
            ("", Nothing),
        ] {
            check(&ALL, host, "/mail/config-v1.1.xml", want);
            check(&ALL, host, "/.well-known/autoconfig/mail/config-v1.1.xml", want);
            check(&[HttpService::Metrics], host, "/mail/config-v1.1.xml", Nothing);
        }
    }

    /// RFC 8461 §3.3.
    #[test]
    fn policies_are_for_domains_that_have_one() {
        use Found::{Handler as To, Nothing};
        for (host, want) in [
            ("mta-sts.example.org", To(Handler::MtaSts)),
            ("mta-sts.xn--bcher-kva.example:443", To(Handler::MtaSts)),
            ("example.org", Nothing),
            ("mta-sts.none.example", Nothing),
            ("mta-sts.example.net", Nothing),
            ("mta-sts.mail.example.org", Nothing),
            ("192.0.2.1", Nothing),
        ] {
            check(&ALL, host, "/.well-known/mta-sts.txt", want);
        }
    }

    #[test]
    fn paths_are_whole_or_the_start_of_others() {
        use Found::{AddSlash, Handler as To, Nothing};
        for (path, want) in [
            ("/metrics", To(Handler::Metrics)),
            ("/", To(Handler::MetricsPage)),
            ("/.well-known/acme-challenge/x", To(Handler::Challenge)),
            ("/.well-known/acme-challenge/", To(Handler::Challenge)),
            ("/.well-known/acme-challenge", AddSlash),
            ("/profile.mobileconfig", To(Handler::Profile)),
            ("/profile.mobileconfig.qrcode.png", To(Handler::ProfileQr)),
            ("/Autodiscover/Autodiscover.xml", To(Handler::Autodiscover)),
            ("/metrics/", Nothing),
            ("/Metrics", Nothing),
            ("/index.html", Nothing),
            ("/profile.mobileconfig.qrcode", Nothing),
            ("/admin/", Nothing),
        ] {
            check(&ALL, "example.org", path, want);
        }
        check(&[], "example.org", "/metrics", Nothing);
        check(&ALL, "192.0.2.1", "/metrics", To(Handler::Metrics));
        check(&ALL, "192.0.2.1", "/.well-known/acme-challenge/x", Nothing);
    }
}
