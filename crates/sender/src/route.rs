//! Which transport carries a message.

use mox_base::{Domain, Host};
use mox_config::{Config, Route, Transport};

/// What routes look at.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Whose message it is.
    pub account: &'a str,
    /// The domain of MAIL FROM; `None` for the null path and address literals.
    pub sender_domain: Option<&'a Domain>,
    /// Where the recipient is.
    pub rcpt_host: &'a Host,
    /// The transport that was named for this message; it goes before all routes.
    pub transport: Option<&'a str>,
    /// Attempts before this one.
    pub attempts_before: u32,
}

/// The transport chosen.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// Its name in mox.conf; `None` if nothing was said: direct delivery.
    pub name: Option<&'a str>,
    /// Its settings.
    pub transport: Option<&'a Transport>,
}

/// The transport that a message or a route names is not in the configuration, any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no transport {0:?} in the configuration")]
pub struct UnknownTransport(pub String);

/// Chooses: the transport of the message, else that of the first route that matches, of the
/// account, of the sender's domain, of all; else direct delivery.
///
/// Costs a pass over the routes.
///
/// # Errors
///
/// If the name is not in the configuration: the message waits until it is.
pub fn choose<'a>(
    config: &'a Config,
    subject: &Subject<'a>,
) -> Result<Chosen<'a>, UnknownTransport> {
    let routed = || routes(config, subject).find(|route| matches(route, subject));
    let name = subject.transport.or_else(|| routed().map(|route| route.transport.as_str()));
    let Some(name) = name else { return Ok(Chosen { name: None, transport: None }) };
    match config.statics.transports.get(name) {
        Some(transport) => Ok(Chosen { name: Some(name), transport: Some(transport) }),
        None => Err(UnknownTransport(name.to_owned())),
    }
}

/// All routes that may be used for a message, in their order.
fn routes<'a>(config: &'a Config, subject: &Subject<'a>) -> impl Iterator<Item = &'a Route> {
    let account = config.account(subject.account).map(|account| account.routes.as_slice());
    let domain = subject.sender_domain.and_then(|sender| {
        let mut domains = config.dynamic.domains.iter();
        domains.find(|(name, _)| name.0.0 == *sender).map(|(_, domain)| domain.routes.as_slice())
    });
    let lists = [account.unwrap_or_default(), domain.unwrap_or_default(), &config.dynamic.routes];
    lists.into_iter().flatten()
}

fn matches(route: &Route, subject: &Subject<'_>) -> bool {
    subject.attempts_before >= route.minimum_attempts
        && is_listed(&route.from_domain, subject.sender_domain)
        && is_listed(&route.to_domain, subject.rcpt_host.domain())
}

/// Whether a list of domains covers this one: it does if it is empty.
fn is_listed(list: &[String], domain: Option<&Domain>) -> bool {
    list.is_empty() || domain.is_some_and(|domain| list.iter().any(|entry| covers(entry, domain)))
}

/// `.example.org` is that domain and all below it, `.` alone is every domain.
fn covers(entry: &str, domain: &Domain) -> bool {
    match entry.strip_prefix('.') {
        Some("") => true,
        Some(parent) => Domain::parse(parent).is_ok_and(|parent| domain.is_within(&parent)),
        None => Domain::parse(entry).is_ok_and(|entry| *domain == entry),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    const MOX_CONF: &str = "\
DataDir: data
LogLevel: info
Hostname: mail.example.org
Postmaster:
\tAccount: a
\tMailbox: Inbox
Listeners:
\tx:
\t\tIPs:
\t\t\t- 192.0.2.9
Transports:
\tdirect4:
\t\tDirect:
\t\t\tDisableIPv6: true
\tfail:
\t\tFail:
\t\t\tSMTPCode: 554
\thost:
\t\tSMTP:
\t\t\tHost: smart.example
";

    const DOMAINS_CONF: &str = "\
Domains:
\texample.org:
\t\tRoutes:
\t\t\t-
\t\t\t\tToDomain:
\t\t\t\t\t- .far.example
\t\t\t\tTransport: host
\tbücher.example: nil
Accounts:
\ta:
\t\tDomain: example.org
\t\tDestinations:
\t\t\ta@example.org: nil
\t\tRoutes:
\t\t\t-
\t\t\t\tFromDomain:
\t\t\t\t\t- bücher.example
\t\t\t\tToDomain:
\t\t\t\t\t- exact.example
\t\t\t\tTransport: direct4
\tb:
\t\tDomain: example.org
\t\tDestinations:
\t\t\tb@example.org: nil
Routes:
\t-
\t\tMinimumAttempts: 3
\t\tTransport: fail
\t-
\t\tFromDomain:
\t\t\t- .
\t\tToDomain:
\t\t\t- all.example
\t\tTransport: fail
";

    /// `from` and `to`: a domain, an address literal in brackets, or empty for the null path.
    #[track_caller]
    fn check(account: &str, from: &str, to: &str, attempts_before: u32, want: Option<&str>) {
        let config = Config::parse(Path::new("/x"), MOX_CONF, DOMAINS_CONF).unwrap();
        let sender = Domain::parse(from).ok();
        let literal = to.trim_matches(['[', ']']).parse();
        let rcpt_host = literal.map_or_else(|_| Host::Domain(Domain::parse(to).unwrap()), Host::Ip);
        let subject = Subject {
            account,
            sender_domain: sender.as_ref(),
            rcpt_host: &rcpt_host,
            transport: None,
            attempts_before,
        };
        let chosen = choose(&config, &subject).unwrap();
        assert_eq!(chosen.name, want, "{account} {from} {to} {attempts_before}");
        assert_eq!(chosen.transport.is_some(), want.is_some());
    }

    #[test]
    fn the_first_route_that_matches_is_taken() {
        // Of the account.
        check("a", "xn--bcher-kva.example", "exact.example", 0, Some("direct4"));
        check("a", "xn--bcher-kva.example", "below.exact.example", 0, None);
        check("a", "example.org", "exact.example", 0, None);
        check("b", "xn--bcher-kva.example", "exact.example", 0, None);
        // Of the domain.
        check("b", "example.org", "far.example", 0, Some("host"));
        check("b", "example.org", "very.far.example", 9, Some("host"));
        check("b", "example.org", "notfar.example", 0, None);
        check("b", "other.example", "far.example", 0, None);
        // Of all.
        check("b", "other.example", "far.example", 2, None);
        check("b", "other.example", "far.example", 3, Some("fail"));
        check("nobody", "", "far.example", 3, Some("fail"));
        check("b", "other.example", "[192.0.2.1]", 3, Some("fail"));
        check("b", "x.example", "all.example", 0, Some("fail"));
        // Lists of domains cover nothing that is none.
        check("b", "", "all.example", 0, None);
        check("b", "example.org", "[192.0.2.1]", 0, None);
    }

    #[test]
    fn a_transport_by_name_goes_before_routes() {
        let config = Config::parse(Path::new("/x"), MOX_CONF, DOMAINS_CONF).unwrap();
        let rcpt_host = Host::Domain(Domain::parse("all.example").unwrap());
        let subject = |transport| Subject {
            account: "a",
            sender_domain: None,
            rcpt_host: &rcpt_host,
            transport: Some(transport),
            attempts_before: 5,
        };
        assert_eq!(choose(&config, &subject("direct4")).unwrap().name, Some("direct4"));
        let unknown = choose(&config, &subject("gone")).unwrap_err();
        assert_eq!(unknown, UnknownTransport("gone".to_owned()));
    }
}
