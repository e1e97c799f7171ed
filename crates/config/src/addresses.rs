//! Who gets mail for an address, who may log in with it and who may send from it.
//!
//! Source: RFC 5321 §2.3.11 (the localpart means what its domain says), §4.5.1 (postmaster);
//! RFC 5233 for the separators; RFC 6530 §10.1 on normalisation.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use mox_base::{Address, Domain, Localpart};
use mox_sconf::Path as Key;

use crate::finding::Checker;
use crate::text::{DestinationKey, Text};
use crate::{Alias, Destination, DomainSettings, Dynamic, ReportAddress, Static};

/// The localpart that every host and domain has (RFC 5321 §4.5.1), in lower case.
const POSTMASTER: &str = "postmaster";

/// The most members of one alias: as many as one transaction may have recipients (RFC 5321
/// §4.5.3.1.8 wants 100 at least).
pub const ALIAS_MEMBERS_MAX: usize = 1_000;

/// Who mail for an address goes to.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// One account.
    Account(AccountTarget),
    /// All members of an alias.
    Alias(Arc<AliasTarget>),
}

/// The account and destination of an address.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountTarget {
    /// Name of the account.
    pub account: Arc<str>,
    /// The configured key, in canonical form: an address or `@domain`.
    pub key: DestinationKey,
    /// What is to happen to mail.
    pub destination: Arc<Destination>,
    /// Why this account gets it.
    pub kind: TargetKind,
    /// Which reports are to be expected at this address.
    pub reports: Reports,
}

/// Why an account gets mail for an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetKind {
    /// The address is a destination of the account, or one of its report addresses.
    Address,
    /// The domain is.
    Catchall,
    /// Mail for postmaster that has no destination of its own.
    Postmaster,
    /// The address for TLS reports about the host.
    HostReports,
}

/// The kinds of reports that arrive at an address.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reports {
    /// DMARC aggregate reports (RFC 7489 §7.2).
    pub dmarc: bool,
    /// TLS reports about a domain (RFC 8460).
    pub tls: bool,
    /// TLS reports about the host.
    pub host_tls: bool,
}

/// An alias: an address that stands for several others.
#[derive(Clone, Debug, PartialEq)]
pub struct AliasTarget {
    /// Its address.
    pub address: Address,
    /// Who gets the mail; at least one.
    pub members: Vec<AliasMember>,
    /// Anyone may write to it.
    pub post_public: bool,
    /// Members may see who the members are.
    pub list_members: bool,
    /// Members may write as the alias.
    pub allow_msg_from: bool,
}

/// A member of an alias.
#[derive(Clone, Debug, PartialEq)]
pub struct AliasMember {
    /// The address as configured, with its localpart in canonical form.
    pub address: Address,
    /// Who has it.
    pub target: AccountTarget,
}

/// Why an address has no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// The domain is not one of ours, or ours for reports only.
    #[error("domain is not local")]
    UnknownDomain,
    /// The domain is ours and disabled.
    #[error("domain is disabled")]
    DomainDisabled,
    /// The domain is ours and has no such address.
    #[error("no such address in local domain")]
    UnknownUser,
}

/// Which special rules apply to a look-up.
#[derive(Clone, Copy)]
struct Rules {
    postmaster: bool,
    aliases: bool,
    refuse_disabled: bool,
}

/// The addresses of a snapshot, made once for look-ups at the cost of a hash.
#[derive(Debug)]
pub(crate) struct AddressBook {
    domains: HashMap<Domain, DomainRules>,
    addresses: HashMap<Address, AccountTarget>,
    catchalls: HashMap<Domain, AccountTarget>,
    aliases: HashMap<Address, Arc<AliasTarget>>,
    /// The hosts at which postmaster is ours: RFC 5321 §4.1.1.3.
    postmaster_hosts: HashSet<Domain>,
    postmaster: AccountTarget,
    host_reports: Option<AccountTarget>,
}

/// How a domain treats localparts.
#[derive(Debug, Default)]
struct DomainRules {
    disabled: bool,
    case_sensitive: bool,
    separators: Vec<String>,
    /// Localparts of report addresses in this domain; separators in them do not count.
    reports: HashSet<String>,
    has_addresses: bool,
}

impl DomainRules {
    fn new(settings: &DomainSettings) -> Self {
        Self {
            disabled: settings.disabled,
            case_sensitive: settings.localpart_case_sensitive,
            separators: settings
                .separators()
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
                .collect(),
            ..Self::default()
        }
    }

    /// Lower case unless the domain says otherwise. A result over the length limit cannot be any
    /// configured address, so the localpart may as well stay as it is.
    fn folded(&self, localpart: &Localpart) -> Localpart {
        if self.case_sensitive {
            return localpart.clone();
        }
        // By character: str::to_lowercase looks at the neighbours of a final sigma, and what an
        // address means must not change by what follows a separator.
        let lower: String = localpart.as_str().chars().flat_map(char::to_lowercase).collect();
        Localpart::from_decoded(&lower).unwrap_or_else(|_| localpart.clone())
    }

    fn canonical(&self, localpart: &Localpart) -> Localpart {
        let folded = self.folded(localpart);
        if let Some(report) = self.report_in(folded.as_str()) {
            return Localpart::from_decoded(report).unwrap_or(folded);
        }
        let mut base = folded.as_str();
        for separator in &self.separators {
            base = base.split_once(separator.as_str()).map_or(base, |(base, _)| base);
        }
        if base.len() == folded.as_str().len() {
            return folded;
        }
        Localpart::from_decoded(base).unwrap_or(folded)
    }

    /// The localpart of a report address that this is, alone or before a separator.
    fn report_in<'a>(&self, folded: &'a str) -> Option<&'a str> {
        let ends = self.separators.iter().flat_map(|s| folded.match_indices(s.as_str()));
        let parts = ends.filter_map(|(end, _)| folded.get(..end));
        [folded].into_iter().chain(parts).find(|part| self.reports.contains(*part))
    }

    fn has_separator(&self, localpart: &Localpart) -> bool {
        self.separators.iter().any(|s| localpart.as_str().contains(s.as_str()))
    }
}

impl AddressBook {
    /// Who gets mail; see [`Config::lookup_address`](crate::Config::lookup_address).
    pub(crate) fn delivery(
        &self,
        localpart: &Localpart,
        domain: Option<&Domain>,
    ) -> Result<Target, LookupError> {
        let rules = Rules { postmaster: true, aliases: true, refuse_disabled: true };
        self.lookup(localpart, domain, rules)
    }

    /// Whose address this is, for a login.
    pub(crate) fn login(&self, address: &Address) -> Result<AccountTarget, LookupError> {
        let rules = Rules { postmaster: false, aliases: false, refuse_disabled: false };
        match self.lookup(&address.localpart, Some(&address.domain), rules)? {
            Target::Account(target) => Ok(target),
            Target::Alias(_) => Err(LookupError::UnknownUser),
        }
    }

    /// Whether the account may send from the address.
    pub(crate) fn may_send_as(
        &self,
        account: &str,
        address: &Address,
    ) -> Result<bool, LookupError> {
        let rules = Rules { postmaster: false, aliases: true, refuse_disabled: true };
        match self.lookup(&address.localpart, Some(&address.domain), rules) {
            Ok(Target::Account(target)) => Ok(&*target.account == account),
            Ok(Target::Alias(alias)) => Ok(alias.allow_msg_from
                && alias.members.iter().any(|member| &*member.target.account == account)),
            Err(error @ LookupError::DomainDisabled) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// The canonical form of an address; `None` if its domain is not ours.
    pub(crate) fn canonical(&self, address: &Address) -> Option<Address> {
        let rules = self.domains.get(&address.domain)?;
        let localpart = rules.canonical(&address.localpart);
        Some(Address { localpart, domain: address.domain.clone() })
    }

    pub(crate) fn is_configured(&self, domain: &Domain) -> bool {
        self.domains.contains_key(domain)
    }

    pub(crate) fn is_disabled(&self, domain: &Domain) -> bool {
        self.domains.get(domain).is_some_and(|rules| rules.disabled)
    }

    /// The first separator of a domain.
    pub(crate) fn separator(&self, domain: &Domain) -> Option<&str> {
        self.domains.get(domain)?.separators.first().map(String::as_str)
    }

    pub(crate) fn is_local(&self, domain: &Domain) -> bool {
        self.domains.get(domain).is_some_and(|rules| rules.has_addresses)
    }

    fn lookup(
        &self,
        localpart: &Localpart,
        domain: Option<&Domain>,
        rules: Rules,
    ) -> Result<Target, LookupError> {
        let is_postmaster = localpart.as_str().eq_ignore_ascii_case(POSTMASTER);
        let at_host = domain.is_none_or(|domain| self.postmaster_hosts.contains(domain));
        if rules.postmaster && is_postmaster && at_host {
            return Ok(Target::Account(self.postmaster.clone()));
        }
        let domain = domain.ok_or(LookupError::UnknownDomain)?;
        if rules.postmaster
            && let Some(target) = self.host_report(localpart, domain)
        {
            return Ok(Target::Account(target));
        }
        let ours = self.domains.get(domain).filter(|ours| ours.has_addresses);
        let ours = ours.ok_or(LookupError::UnknownDomain)?;
        if rules.refuse_disabled && ours.disabled {
            return Err(LookupError::DomainDisabled);
        }
        let address = Address { localpart: ours.canonical(localpart), domain: domain.clone() };
        if let Some(alias) = self.aliases.get(&address) {
            return match rules.aliases {
                true => Ok(Target::Alias(Arc::clone(alias))),
                false => Err(LookupError::UnknownUser),
            };
        }
        let found = self.addresses.get(&address).or_else(|| self.catchalls.get(domain));
        if let Some(target) = found {
            return Ok(Target::Account(target.clone()));
        }
        if rules.postmaster && address.localpart.as_str().eq_ignore_ascii_case(POSTMASTER) {
            let key = DestinationKey::Address(address);
            return Ok(Target::Account(AccountTarget { key, ..self.postmaster.clone() }));
        }
        Err(LookupError::UnknownUser)
    }

    fn host_report(&self, localpart: &Localpart, domain: &Domain) -> Option<AccountTarget> {
        let target = self.host_reports.as_ref()?;
        let DestinationKey::Address(address) = &target.key else { return None };
        let same = address.domain == *domain
            && address.localpart.as_str().eq_ignore_ascii_case(localpart.as_str());
        same.then(|| target.clone())
    }

    /// Makes the book, reporting addresses that are taken twice or lead nowhere.
    pub(crate) fn build(statics: &Static, dynamic: &Dynamic, checker: &mut Checker<'_>) -> Self {
        let hostname = &statics.hostname.0.0;
        let smtp_hosts = statics.listeners.values().filter(|listener| listener.smtp.enabled);
        let smtp_hosts = smtp_hosts.filter_map(|listener| listener.hostname.as_deref());
        let postmaster = special(
            &statics.postmaster.account,
            Destination {
                mailbox: Some(statics.postmaster.mailbox.clone()),
                ..Destination::default()
            },
            Address { localpart: postmaster_localpart(), domain: hostname.clone() },
            TargetKind::Postmaster,
        );
        let host_reports = statics.host_tlsrpt.as_ref().map(|reports| {
            let destination =
                Destination { mailbox: Some(reports.mailbox.clone()), ..Destination::default() };
            let localpart = reports.localpart.0.clone();
            let address = Address { localpart, domain: hostname.clone() };
            let target = special(&reports.account, destination, address, TargetKind::HostReports);
            AccountTarget { reports: Reports { host_tls: true, ..Reports::default() }, ..target }
        });
        let mut book = Self {
            domains: HashMap::new(),
            addresses: HashMap::new(),
            catchalls: HashMap::new(),
            aliases: HashMap::new(),
            postmaster_hosts: smtp_hosts.chain([hostname]).cloned().collect(),
            postmaster,
            host_reports,
        };
        for (domain, settings) in &dynamic.domains {
            book.domains.insert(domain.0.0.clone(), DomainRules::new(settings));
        }
        book.add_report_localparts(dynamic);
        book.add_destinations(dynamic, checker);
        book.add_reports(dynamic, checker);
        book.add_aliases(dynamic, checker);
        book
    }

    /// Before any address is made canonical: it depends on them.
    fn add_report_localparts(&mut self, dynamic: &Dynamic) {
        for (domain, _, report) in report_addresses(dynamic) {
            let at = report.domain.as_deref().unwrap_or(domain);
            if let Some(rules) = self.domains.get_mut(at) {
                let localpart = rules.folded(&report.localpart);
                rules.reports.insert(localpart.as_str().to_owned());
            }
        }
    }

    fn add_destinations(&mut self, dynamic: &Dynamic, checker: &mut Checker<'_>) {
        for (name, account) in &dynamic.accounts {
            let shared_name: Arc<str> = name.as_str().into();
            for (key, destination) in &account.destinations {
                let place = Key::root().key("Accounts").key(name).key("Destinations").key(key);
                let target = |key| AccountTarget {
                    account: Arc::clone(&shared_name),
                    key,
                    destination: Arc::new(destination.clone()),
                    kind: TargetKind::Address,
                    reports: Reports::default(),
                };
                match &key.0 {
                    DestinationKey::Catchall(domain) => {
                        let key = DestinationKey::Catchall(domain.clone());
                        let target = AccountTarget { kind: TargetKind::Catchall, ..target(key) };
                        self.add_catchall(domain, target, &place, checker);
                    }
                    DestinationKey::Address(address) => {
                        self.add_address(address, target, &place, checker);
                    }
                    DestinationKey::Localpart(localpart) => {
                        let Some(domain) = account.domain.0.0.clone() else {
                            checker.fault(
                                &place,
                                "is a localpart alone, and Domain is empty: write a whole address",
                            );
                            continue;
                        };
                        let address = Address { localpart: localpart.clone(), domain };
                        checker.notice(
                            &place,
                            format_args!("a localpart alone is deprecated: write {address}"),
                        );
                        self.add_address(&address, target, &place, checker);
                    }
                }
            }
        }
    }

    fn add_catchall(
        &mut self,
        domain: &Domain,
        target: AccountTarget,
        place: &Key,
        checker: &mut Checker<'_>,
    ) {
        let Some(rules) = self.domains.get_mut(domain) else {
            return checker.fault(place, unknown_domain(domain));
        };
        rules.has_addresses = true;
        if let Some(other) = self.catchalls.insert(domain.clone(), target) {
            checker.fault(place, taken(&other.account));
        }
    }

    fn add_address(
        &mut self,
        address: &Address,
        target: impl FnOnce(DestinationKey) -> AccountTarget,
        place: &Key,
        checker: &mut Checker<'_>,
    ) {
        let Some(rules) = self.domains.get_mut(&address.domain) else {
            return checker.fault(place, unknown_domain(&address.domain));
        };
        rules.has_addresses = true;
        let canonical = rules.canonical(&address.localpart);
        if rules.has_separator(&address.localpart) && !rules.reports.contains(canonical.as_str()) {
            return checker.fault(
                place,
                "contains a catch-all separator of its domain, so it would never be looked up: \
                 leave out the separator and what follows",
            );
        }
        let canonical = Address { localpart: canonical, domain: address.domain.clone() };
        let target = target(DestinationKey::Address(canonical.clone()));
        if let Some(other) = self.addresses.insert(canonical, target) {
            checker.fault(place, taken(&other.account));
        }
    }

    fn add_reports(&mut self, dynamic: &Dynamic, checker: &mut Checker<'_>) {
        for (domain, kind, report) in report_addresses(dynamic) {
            let place = Key::root().key("Domains").key(domain).key(kind);
            let at = report.domain.as_deref().unwrap_or(domain);
            let Some(rules) = self.domains.get_mut(at) else {
                checker.fault(&place.key("Domain"), unknown_domain(at));
                continue;
            };
            rules.has_addresses = true;
            let localpart = rules.folded(&report.localpart);
            let address = Address { localpart, domain: at.clone() };
            let before = self.addresses.get(&address);
            if let Some(other) = before.filter(|other| *other.account != *report.account) {
                checker.fault(&place.key("Localpart"), taken(&other.account));
                continue;
            }
            let mut reports = before.map(|other| other.reports).unwrap_or_default();
            match kind {
                "DMARC" => reports.dmarc = true,
                _ => reports.tls = true,
            }
            let destination =
                Destination { mailbox: Some(report.mailbox.clone()), ..Destination::default() };
            let target =
                special(&report.account, destination, address.clone(), TargetKind::Address);
            self.addresses.insert(address, AccountTarget { reports, ..target });
        }
    }

    fn add_aliases(&mut self, dynamic: &Dynamic, checker: &mut Checker<'_>) {
        let mut canonical_aliases = HashMap::new();
        for (domain, settings) in &dynamic.domains {
            let place = Key::root().key("Domains").key(domain).key("Aliases");
            for (localpart, alias) in &settings.aliases {
                let place = place.key(localpart);
                let Some(rules) = self.domains.get_mut(&domain.0.0) else { continue };
                rules.has_addresses = true;
                if rules.has_separator(localpart) {
                    checker.fault(&place, "contains a catch-all separator of its domain");
                    continue;
                }
                let localpart = rules.canonical(localpart);
                let address = Address { localpart, domain: domain.0.0.clone() };
                if let Some(other) = self.addresses.get(&address) {
                    checker.fault(&place, taken(&other.account));
                } else if canonical_aliases.insert(address, (alias, place.clone())).is_some() {
                    checker.fault(&place, "the same alias is there twice, in other case");
                }
            }
        }
        // In two steps: a member may be an alias that stands further down.
        let addresses: HashSet<Address> = canonical_aliases.keys().cloned().collect();
        for (address, (alias, place)) in canonical_aliases {
            let members = self.members(alias, &place, &addresses, checker);
            let target = AliasTarget {
                address: address.clone(),
                members,
                post_public: alias.post_public,
                list_members: alias.list_members,
                allow_msg_from: alias.allow_msg_from,
            };
            self.aliases.insert(address, Arc::new(target));
        }
    }

    fn members(
        &self,
        alias: &Alias,
        place: &Key,
        aliases: &HashSet<Address>,
        checker: &mut Checker<'_>,
    ) -> Vec<AliasMember> {
        let mut members: BTreeMap<Address, usize> = BTreeMap::new();
        let mut found = Vec::new();
        let place = place.key("Addresses");
        if alias.addresses.is_empty() {
            checker.fault(&place, "an alias needs at least one member: add one, or remove it");
        }
        if alias.addresses.len() > ALIAS_MEMBERS_MAX {
            checker.fault(
                &place,
                format_args!("an alias has {ALIAS_MEMBERS_MAX} members at most: split it in two"),
            );
            return found;
        }
        for (index, Text(address)) in alias.addresses.iter().enumerate() {
            let place = place.index(index);
            let canonical = self.canonical(address);
            let target = canonical.as_ref().and_then(|address| self.addresses.get(address));
            if canonical.as_ref().is_some_and(|address| aliases.contains(address)) {
                checker.fault(&place, "an alias cannot be a member of another alias");
            } else if let (Some(address), Some(target)) = (canonical, target) {
                if members.insert(address.clone(), index).is_some() {
                    checker.fault(&place, "is a member already: remove it");
                }
                found.push(AliasMember { address, target: target.clone() });
            } else {
                checker.fault(
                    &place,
                    format_args!("no account has the address {address}: add it to one first"),
                );
            }
        }
        found
    }
}

/// The report addresses with their domain and key.
fn report_addresses(
    dynamic: &Dynamic,
) -> impl Iterator<Item = (&Domain, &'static str, &ReportAddress)> {
    dynamic.domains.iter().flat_map(|(domain, settings)| {
        let dmarc = settings.dmarc.iter().map(|report| ("DMARC", report));
        let tls = settings.tlsrpt.iter().map(|report| ("TLSRPT", report));
        dmarc.chain(tls).map(move |(key, report)| (&domain.0.0, key, report))
    })
}

fn special(
    account: &str,
    destination: Destination,
    address: Address,
    kind: TargetKind,
) -> AccountTarget {
    AccountTarget {
        account: account.into(),
        key: DestinationKey::Address(address),
        destination: Arc::new(destination),
        kind,
        reports: Reports::default(),
    }
}

fn postmaster_localpart() -> Localpart {
    Localpart::from_decoded(POSTMASTER).unwrap_or_default()
}

fn taken(account: &str) -> String {
    format!("the address belongs to account {account:?} already: remove one of the two")
}

fn unknown_domain(domain: &Domain) -> String {
    format!("{domain} is not a configured domain: add it to Domains, or correct the name")
}
