//! The evaluation of records.
//!
//! Source: RFC 7208 §4 to §7.

use std::net::IpAddr;
use std::pin::Pin;

use mox_dns::{DnsError, Found, Lookups as _, Name, Resolver, Security};

use super::macros::{DomainSpec, Letter, MacroString, Place, Values};
use super::record::{Mechanism, Prefixes, Record, same_network};
use super::{
    Args, EXPLANATION_BYTES_MAX, LookupError, MX_HOSTS_MAX, PTR_NAMES_MAX, Problem, Received,
    Status, TERMS_MAX, VOIDS_MAX, lookup,
};

/// The longest text with an explanation that is read, in bytes. Ours.
const EXPLANATION_RECORD_BYTES_MAX: usize = 4_096;

/// What `%{p}` stands for if nothing leads back to the client. RFC 7208 §7.3.
const UNKNOWN: &str = "unknown";

pub(super) async fn check<R: Resolver + ?Sized>(resolver: &R, args: &Args<'_>) -> Received {
    let mut received = Received {
        status: Status::None,
        identity: args.identity(),
        domain: args.domain().cloned(),
        mechanism: None,
        explanation: None,
        security: Security::Insecure,
        problem: None,
    };
    // RFC 7208 §4.3: a name of one label is not asked.
    let Some(domain) = args.domain().filter(|domain| domain.ascii().contains('.')) else {
        received.problem = Some(Problem::NoDomain);
        return received;
    };
    let mut check = Check {
        resolver,
        args,
        ip: args.ip.to_canonical(),
        sender_domain: domain.ascii(),
        helo: args.helo.ascii(),
        terms: 0,
        voids: 0,
        security: Security::Secure,
        names: None,
    };
    match check.host(domain.into()).await {
        Ok(Verdict::NoRecord) => {}
        Ok(Verdict::NoMatch) => {
            received.status = Status::Neutral;
            received.mechanism = Some("default".to_owned());
        }
        Ok(Verdict::Match { status, mechanism, domain, explanation }) => {
            received.status = status;
            received.mechanism = Some(mechanism);
            received.security = check.security;
            if let Some(spec) = explanation.filter(|_| status == Status::Fail) {
                received.explanation = check.explanation(&spec, &domain).await;
            }
            // How an explanation was found does not make the outcome less certain.
            return received;
        }
        Err(problem) => {
            received.status = problem.status();
            received.problem = Some(problem);
        }
    }
    received.security = check.security;
    received
}

/// What a record says.
enum Verdict {
    /// There is none.
    NoRecord,
    /// Nothing in it matches. RFC 7208 §4.7.
    NoMatch,
    Match {
        status: Status,
        mechanism: String,
        /// Whose record it was in, after redirections.
        domain: Name,
        explanation: Option<DomainSpec>,
    },
}

/// A name of the client, and whether it leads back to the client once that was looked up.
struct ClientName {
    name: Name,
    is_validated: Option<bool>,
}

/// One check and what it has used up.
struct Check<'a, R: ?Sized> {
    resolver: &'a R,
    args: &'a Args<'a>,
    ip: IpAddr,
    sender_domain: &'a str,
    helo: String,
    terms: u32,
    voids: u32,
    security: Security,
    /// Once they were looked up.
    names: Option<Vec<ClientName>>,
}

type Evaluation<'b> = Pin<Box<dyn Future<Output = Result<Verdict, Problem>> + Send + 'b>>;

impl<R: Resolver + ?Sized> Check<'_, R> {
    /// Evaluates the record of a domain and those it redirects to. An `include` calls this again:
    /// since it counts as a term, that is at most [`TERMS_MAX`] deep.
    fn host<'b>(&'b mut self, domain: Name) -> Evaluation<'b> {
        Box::pin(async move {
            let Some(mut record) = self.record(&domain).await? else {
                return Ok(Verdict::NoRecord);
            };
            let mut domain = domain;
            loop {
                for directive in &record.directives {
                    if self.matches(&directive.mechanism, &domain).await? {
                        return Ok(Verdict::Match {
                            status: directive.qualifier.into(),
                            mechanism: directive.mechanism.to_string(),
                            domain,
                            explanation: record.explanation,
                        });
                    }
                }
                // RFC 7208 §6.1. A record that redirects to itself uses up its terms.
                let Some(redirect) = &record.redirect else { return Ok(Verdict::NoMatch) };
                self.count_term()?;
                let missing = || Problem::NoRecord(redirect.to_string().into());
                let target = self.name(redirect, &domain).await?.ok_or_else(missing)?;
                let next = self.record(&target).await?.ok_or_else(missing)?;
                (record, domain) = (next, target);
            }
        })
    }

    async fn record(&mut self, domain: &Name) -> Result<Option<Record>, Problem> {
        match lookup(self.resolver, domain).await {
            Ok((record, _, security)) => {
                self.security = self.security.and(security);
                Ok(Some(record))
            }
            Err(LookupError::NoRecord(security)) => {
                self.security = self.security.and(security);
                Ok(None)
            }
            Err(LookupError::Problem(problem)) => {
                self.security = Security::Insecure;
                Err(problem)
            }
        }
    }

    /// RFC 7208 §5.
    async fn matches(&mut self, mechanism: &Mechanism, domain: &Name) -> Result<bool, Problem> {
        match mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network, prefix) => {
                let prefixes = Prefixes { ip4: *prefix, ip6: 128 };
                Ok(same_network(self.ip, IpAddr::V4(*network), prefixes))
            }
            Mechanism::Ip6(network, prefix) => {
                let prefixes = Prefixes { ip4: 32, ip6: *prefix };
                Ok(same_network(self.ip, IpAddr::V6(*network), prefixes))
            }
            Mechanism::Include(target) => {
                self.count_term()?;
                self.include(target, domain).await
            }
            Mechanism::A(target, prefixes) => {
                self.count_term()?;
                let Some(name) = self.target(target.as_ref(), domain).await? else {
                    return Ok(false);
                };
                let ips = self.addresses(&name).await;
                let ips = self.counted(ips)?;
                Ok(ips.iter().any(|ip| same_network(self.ip, *ip, *prefixes)))
            }
            Mechanism::Mx(target, prefixes) => {
                self.count_term()?;
                match self.target(target.as_ref(), domain).await? {
                    Some(name) => self.mx(&name, *prefixes).await,
                    None => Ok(false),
                }
            }
            Mechanism::Ptr(target) => {
                self.count_term()?;
                match self.target(target.as_ref(), domain).await? {
                    Some(name) => Ok(self.validated_name(Some(&name)).await?.is_some()),
                    None => Ok(false),
                }
            }
            Mechanism::Exists(target) => {
                self.count_term()?;
                let Some(name) = self.name(target, domain).await? else { return Ok(false) };
                // An IPv4 address, also for clients with IPv6. RFC 7208 §5.7.
                let found = self.resolver.ipv4(&name).await;
                Ok(!self.counted(found)?.is_empty())
            }
        }
    }

    /// RFC 7208 §5.2.
    async fn include(&mut self, target: &DomainSpec, domain: &Name) -> Result<bool, Problem> {
        let missing = || Problem::NoRecord(target.to_string().into());
        let name = self.name(target, domain).await?.ok_or_else(missing)?;
        match self.host(name).await? {
            Verdict::NoRecord => Err(missing()),
            Verdict::NoMatch => Ok(false),
            Verdict::Match { status, .. } => Ok(status == Status::Pass),
        }
    }

    /// RFC 7208 §5.4.
    async fn mx(&mut self, name: &Name, prefixes: Prefixes) -> Result<bool, Problem> {
        let found = self.resolver.mx(name).await;
        let hosts = self.counted(found)?;
        if hosts.len() > MX_HOSTS_MAX {
            return Err(Problem::TooManyMxHosts);
        }
        // The root says that there is no mail host. RFC 7505 §3.
        for (_, host) in hosts.iter().filter(|(_, host)| !host.is_root()) {
            let found = self.addresses(host).await;
            let ips = self.uncounted(found)?;
            if ips.iter().any(|ip| same_network(self.ip, *ip, prefixes)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A name of the client that leads back to it: one within `domain` if that is given. Failures
    /// are no faults of the domain and count as no name. RFC 7208 §5.5.
    async fn validated_name(&mut self, within: Option<&Name>) -> Result<Option<Name>, Problem> {
        let mut names = match self.names.take() {
            Some(names) => names,
            None => self.client_names().await?,
        };
        let mut found = None;
        for one in &mut names {
            if within.is_some_and(|domain| !one.name.is_within(domain)) {
                continue;
            }
            let is_validated = match one.is_validated {
                Some(known) => known,
                None => self.leads_back(&one.name).await,
            };
            one.is_validated = Some(is_validated);
            if is_validated {
                found = Some(one.name.clone());
                break;
            }
        }
        self.names = Some(names);
        Ok(found)
    }

    /// The first names of the client in the order of their letters: servers change the order from
    /// answer to answer, and the outcome shall not.
    async fn client_names(&mut self) -> Result<Vec<ClientName>, Problem> {
        let found = self.resolver.ptr(self.ip).await;
        if matches!(&found, Err(error) if error.is_temporary()) {
            self.security = Security::Insecure;
            return Ok(Vec::new());
        }
        let mut names = self.counted(found)?;
        names.sort();
        names.dedup();
        names.truncate(PTR_NAMES_MAX);
        Ok(names.into_iter().map(|name| ClientName { name, is_validated: None }).collect())
    }

    async fn leads_back(&mut self, name: &Name) -> bool {
        let found = self.addresses(name).await;
        self.uncounted(found).is_ok_and(|ips| ips.contains(&self.ip))
    }

    /// The addresses of the client's kind. RFC 7208 §5.3.
    async fn addresses(&self, name: &Name) -> Result<Found<IpAddr>, DnsError> {
        match self.ip {
            IpAddr::V4(_) => self.resolver.ipv4(name).await,
            IpAddr::V6(_) => self.resolver.ipv6(name).await,
        }
    }

    /// The records of an answer; that there are none is counted. RFC 7208 §4.6.4.
    fn counted<T>(&mut self, found: Result<Found<T>, DnsError>) -> Result<Vec<T>, Problem> {
        let records = self.uncounted(found)?;
        if records.is_empty() {
            self.voids += 1;
            if self.voids > VOIDS_MAX {
                return Err(Problem::TooManyVoids);
            }
        }
        Ok(records)
    }

    fn uncounted<T>(&mut self, found: Result<Found<T>, DnsError>) -> Result<Vec<T>, Problem> {
        match found {
            Ok(found) => {
                self.security = self.security.and(found.security);
                Ok(found.records)
            }
            Err(DnsError::NotFound { security, .. }) => {
                self.security = self.security.and(security);
                Ok(Vec::new())
            }
            Err(error) => {
                self.security = Security::Insecure;
                Err(Problem::Dns(error))
            }
        }
    }

    /// RFC 7208 §4.6.4.
    fn count_term(&mut self) -> Result<(), Problem> {
        self.terms += 1;
        if self.terms > TERMS_MAX { Err(Problem::TooManyTerms) } else { Ok(()) }
    }

    /// The name a mechanism is about: the domain itself if it does not say. RFC 7208 §4.8.
    async fn target(
        &mut self,
        target: Option<&DomainSpec>,
        domain: &Name,
    ) -> Result<Option<Name>, Problem> {
        match target {
            Some(target) => self.name(target, domain).await,
            None => Ok(Some(domain.clone())),
        }
    }

    /// The name that a text with macros stands for. None if it cannot be a name in DNS: then it
    /// has no records, RFC 7208 §4.8.
    async fn name(&mut self, spec: &DomainSpec, domain: &Name) -> Result<Option<Name>, Problem> {
        let macros = spec.macros();
        let mut client = None;
        if macros.uses(Letter::ValidatedName) {
            // It has questions of its own, so it counts as a term of its own.
            self.count_term()?;
            client = self.client_name(domain).await?;
        }
        Ok(macros.name(&self.values(domain, client.as_ref())))
    }

    /// The name of the client that fits best. RFC 7208 §7.3.
    async fn client_name(&mut self, domain: &Name) -> Result<Option<Name>, Problem> {
        match self.validated_name(Some(domain)).await? {
            Some(name) => Ok(Some(name)),
            None => self.validated_name(None).await,
        }
    }

    fn values<'v>(&'v self, domain: &'v Name, client: Option<&'v Name>) -> Values<'v> {
        Values {
            local: self.args.local(),
            sender_domain: self.sender_domain,
            domain: domain.as_str(),
            ip: self.ip,
            helo: &self.helo,
            receiver: self.args.receiver.ascii(),
            now: self.args.now,
            validated_name: client.map_or(UNKNOWN, Name::as_str),
        }
    }

    /// The explanation of a failure. Whatever goes wrong, there is none. RFC 7208 §6.2.
    async fn explanation(&mut self, spec: &DomainSpec, domain: &Name) -> Option<String> {
        // The outcome stands: what is asked from here on counts against no limit but its own.
        (self.terms, self.voids) = (0, 0);
        let name = self.name(spec, domain).await.ok()??;
        let found = self.resolver.txt(&name).await.ok()?;
        let [text] = found.records.as_slice() else { return None };
        if text.len() > EXPLANATION_RECORD_BYTES_MAX {
            return None;
        }
        let macros =
            MacroString::parse(std::str::from_utf8(text).ok()?, Place::Explanation).ok()?;
        let mut client = None;
        if macros.uses(Letter::ValidatedName) {
            client = self.client_name(domain).await.ok()?;
        }
        let mut text = macros.text(&self.values(domain, client.as_ref()), EXPLANATION_BYTES_MAX);
        // It is shown to others: no control characters, which quoted local parts may hold, and
        // nothing but ASCII.
        if !text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            return None;
        }
        text.truncate(EXPLANATION_BYTES_MAX);
        Some(text)
    }
}
