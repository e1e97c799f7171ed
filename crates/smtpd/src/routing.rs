//! From recipients to copies: which accounts get the message, in which mailbox, under which name.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mox_base::{Address, Domain, Host, Localpart};
use mox_config::{
    AccountTarget, AliasTarget, Config, Destination, DestinationKey, LookupError, Reports, Target,
    TargetKind,
};
use mox_smtp::server::{DataRefusal, RcptRefusal, Service};
use mox_smtp::{ForwardPath, Mailbox, Reply};

use crate::connection::Connection;
use crate::delivery::LOCALSERVE_ACCOUNT;

/// What decides about recipients beside the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) service: Service,
    pub(crate) is_localserve: bool,
}

impl Rules {
    pub(crate) fn of(connection: &Connection) -> Self {
        let is_localserve = connection.smtpd.services.is_localserve;
        Self { service: connection.port.kind, is_localserve }
    }
}

/// Finds who gets mail for a recipient. RFC 5321 §3.6.1: no relaying.
pub(crate) fn resolve(
    config: &Config,
    path: &ForwardPath,
    rules: Rules,
) -> Result<Target, RcptRefusal> {
    match look_up(config, path) {
        Ok(Target::Account(target)) => match target.destination.smtp_error() {
            Some(error) => {
                let text = Some(error.text.to_owned()).filter(|text| !text.is_empty());
                Err(RcptRefusal::Configured { is_permanent: !error.is_temporary, text })
            }
            None => Ok(Target::Account(target)),
        },
        Ok(alias @ Target::Alias(_)) => Ok(alias),
        Err(_) if rules.is_localserve => everything(config).ok_or(RcptRefusal::Unavailable),
        Err(LookupError::UnknownDomain) => Err(match rules.service {
            Service::Delivery => RcptRefusal::NotOurs,
            // The place for the queue.
            Service::Submission => RcptRefusal::NoSending,
        }),
        Err(LookupError::UnknownUser) => Err(RcptRefusal::UnknownAddress),
        Err(LookupError::DomainDisabled) => Err(RcptRefusal::DomainDisabled),
        Err(_) => Err(RcptRefusal::Unavailable),
    }
}

fn look_up(config: &Config, path: &ForwardPath) -> Result<Target, LookupError> {
    match path {
        ForwardPath::Postmaster => {
            let postmaster = Localpart::from_decoded(path.localpart()).unwrap_or_default();
            config.lookup_address(&postmaster, None)
        }
        ForwardPath::Mailbox(mailbox) => match &mailbox.host {
            Host::Domain(domain) => config.lookup_address(&mailbox.localpart, Some(domain)),
            Host::Ip(_) => Err(LookupError::UnknownDomain),
        },
    }
}

/// Who gets the mail for addresses that do not exist, on a server for developers: its account, in
/// the mailbox of its first address.
fn everything(config: &Config) -> Option<Target> {
    let account = config.account(LOCALSERVE_ACCOUNT)?;
    let destination = account.destinations.values().next().cloned().unwrap_or_default();
    Some(Target::Account(AccountTarget {
        account: LOCALSERVE_ACCOUNT.into(),
        key: DestinationKey::Catchall(config.hostname().clone()),
        destination: Arc::new(destination),
        kind: TargetKind::Catchall,
        reports: Reports::default(),
    }))
}

/// A message for one account.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Copy {
    pub(crate) account: Arc<str>,
    pub(crate) destination: Arc<Destination>,
    /// The address of the account that the message was for.
    pub(crate) address: Mailbox,
    /// The recipient that it came by: that address, or an alias.
    pub(crate) rcpt: ForwardPath,
}

/// All copies of a message, and which of them each recipient stands for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Routes {
    pub(crate) copies: Vec<Copy>,
    /// For each recipient the places of its copies, or why there are none. A recipient is served
    /// if any of them is; it may stand for none, if all members of an alias have theirs anyway.
    pub(crate) rcpts: Vec<Result<Vec<usize>, DataRefusal>>,
}

/// Finds all copies.
///
/// - `from`: the author, who decides whether an alias takes the message.
pub(crate) fn routes(
    config: &Config,
    hostname: &Domain,
    rcpts: &[ForwardPath],
    from: Option<&Address>,
    rules: Rules,
) -> Routes {
    let targets: Vec<_> = rcpts.iter().map(|rcpt| resolve(config, rcpt, rules)).collect();
    let canonical =
        |address: &Address| config.canonical_address(address).unwrap_or_else(|| address.clone());
    let addressed = rcpts.iter().zip(&targets).filter_map(|(rcpt, target)| match target {
        Ok(Target::Account(_)) => rcpt.mailbox().and_then(Mailbox::address),
        _ => None,
    });
    let addressed: HashSet<Address> = addressed.map(|address| canonical(&address)).collect();
    let from = from.map(canonical);
    let mut routes = Routes::default();
    let mut seen: HashMap<(&ForwardPath, Option<Address>), usize> = HashMap::new();
    for (rcpt, target) in rcpts.iter().zip(targets) {
        let mut place_of = |member: Option<Address>, copy: Copy| {
            *seen.entry((rcpt, member)).or_insert_with(|| {
                routes.copies.push(copy);
                routes.copies.len() - 1
            })
        };
        let places = match target {
            Ok(Target::Account(target)) => {
                let (account, destination) = (target.account, target.destination);
                let address = mailbox(rcpt, hostname);
                let copy = Copy { account, destination, address, rcpt: rcpt.clone() };
                Ok(vec![place_of(None, copy)])
            }
            Ok(Target::Alias(alias)) if may_post(&alias, from.as_ref()) => {
                let has_it = |member| addressed.contains(member) || from.as_ref() == Some(member);
                let members = alias.members.iter().filter(|member| !has_it(&member.address));
                let copies = members.map(|member| {
                    let address = Mailbox::from(member.address.clone());
                    let account = Arc::clone(&member.target.account);
                    let destination = Arc::clone(&member.target.destination);
                    let copy = Copy { account, destination, address, rcpt: rcpt.clone() };
                    place_of(Some(member.address.clone()), copy)
                });
                Ok(copies.collect())
            }
            Ok(Target::Alias(_)) => Err(DataRefusal::Policy(Reply::new(
                550,
                (7, 2),
                "not allowed to write to this address",
            ))),
            Err(refusal) => Err(changed(&refusal)),
        };
        routes.rcpts.push(places);
    }
    routes
}

/// Whether an author may write to an alias.
fn may_post(alias: &AliasTarget, from: Option<&Address>) -> bool {
    let is_member = || alias.members.iter().any(|member| Some(&member.address) == from);
    alias.post_public || is_member() || (alias.allow_msg_from && Some(&alias.address) == from)
}

/// The address for `Delivered-To`: `<postmaster>` is at this host. RFC 5321 §4.5.1.
fn mailbox(rcpt: &ForwardPath, hostname: &Domain) -> Mailbox {
    rcpt.mailbox().cloned().unwrap_or_else(|| Mailbox {
        localpart: Localpart::from_decoded(rcpt.localpart()).unwrap_or_default(),
        host: Host::Domain(hostname.clone()),
    })
}

/// A recipient that was accepted, and is refused after all: the configuration has changed since.
fn changed(refusal: &RcptRefusal) -> DataRefusal {
    match refusal {
        RcptRefusal::UnknownAddress => DataRefusal::UnknownAddress,
        RcptRefusal::Unavailable => DataRefusal::Unavailable,
        refusal => DataRefusal::Policy(Reply::from(refusal)),
    }
}
