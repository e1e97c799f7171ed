//! From recipients to copies: which accounts get the message, in which mailbox, under which name.

mod aliases;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use mox_base::{Address, Domain, Host, Localpart};
use mox_config::{
    AccountTarget, AliasMember, Config, Destination, DestinationKey, LookupError, Reports, Target,
    TargetKind,
};
use mox_smtp::server::{DataRefusal, RcptRefusal};
use mox_smtp::{ForwardPath, Mailbox, Reply};

use crate::connection::Connection;
use crate::delivery::LOCALSERVE_ACCOUNT;
pub(crate) use aliases::{Author, Standing};
use aliases::{LeftOut, may_post, receivers};

/// What decides about recipients beside the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) is_localserve: bool,
}

impl Rules {
    pub(crate) fn of(connection: &Connection) -> Self {
        Self { is_localserve: connection.smtpd.services.is_localserve }
    }
}

/// Finds who gets mail for a recipient. RFC 5321 §3.6.1: no relaying.
pub(crate) fn resolve(
    config: &Config,
    path: &ForwardPath,
    rules: Rules,
) -> Result<Target, RcptRefusal> {
    match look_up(config, path) {
        Ok(Target::Account(target)) => match closed(&target.destination) {
            Some(refusal) => Err(refusal),
            None => Ok(Target::Account(target)),
        },
        Ok(alias @ Target::Alias(_)) => Ok(alias),
        Err(_) if rules.is_localserve => everything(config).ok_or(RcptRefusal::Unavailable),
        Err(LookupError::UnknownDomain) => Err(RcptRefusal::NotOurs),
        Err(LookupError::UnknownUser) => Err(RcptRefusal::UnknownAddress),
        Err(LookupError::DomainDisabled) => Err(RcptRefusal::DomainDisabled),
        Err(_) => Err(RcptRefusal::Unavailable),
    }
}

/// Whether a user may send to a recipient: to all that are not ours, address literals among them
/// (RFC 6409 §5.1), and to those of ours that take mail.
pub(crate) fn may_send_to(
    config: &Config,
    path: &ForwardPath,
    rules: Rules,
) -> Result<(), RcptRefusal> {
    match resolve(config, path, rules) {
        Ok(_) | Err(RcptRefusal::NotOurs) => Ok(()),
        Err(refusal) => Err(refusal),
    }
}

/// Why a destination takes no mail, if it does not: `SMTPError` is set.
fn closed(destination: &Destination) -> Option<RcptRefusal> {
    let error = destination.smtp_error()?;
    let text = Some(error.text.to_owned()).filter(|text| !text.is_empty());
    Some(RcptRefusal::Configured { is_permanent: !error.is_temporary, text })
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
    /// Which reports are expected at the address.
    pub(crate) reports: Reports,
}

/// The places of copies. Shared, since an alias has as many as members, and may be there in a thousand
/// spellings.
type Places = Result<Arc<[usize]>, DataRefusal>;

/// All copies of a message, and which of them each recipient stands for.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Routes {
    pub(crate) copies: Vec<Copy>,
    /// For each recipient the places of its copies, or why there are none. It may stand for none, if
    /// all members of an alias have theirs anyway.
    pub(crate) rcpts: Vec<Places>,
    /// Members of aliases that get no copy, though others do.
    pub(crate) left_out: Vec<LeftOut>,
}

/// Finds all copies: one for each address among the recipients, and one for each member of an alias,
/// however many ways lead to it. What a transaction costs is bounded by its recipients and the
/// members that there are, and not by their product.
///
/// Deviation: the original makes a copy for each alias that a member is reached by.
///
/// - `author`: decides whether an alias takes the message.
pub(crate) fn routes(
    config: &Config,
    hostname: &Domain,
    rcpts: &[ForwardPath],
    author: Author<'_>,
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
    let from = author.address.map(canonical);
    let author = Author { address: from.as_ref(), ..author };
    // Who is said to have written it, and has not, shall see what goes out under their name.
    let has_it = |member: &Address| addressed.contains(member) || author.proven() == Some(member);
    let mut routes = Routes::default();
    let mut direct: HashMap<&ForwardPath, usize> = HashMap::new();
    let mut members: HashMap<Address, usize> = HashMap::new();
    let mut expanded: HashMap<Address, Places> = HashMap::new();
    for (rcpt, target) in rcpts.iter().zip(targets) {
        let Routes { copies, left_out, .. } = &mut routes;
        let mut push = |copy: Copy| {
            copies.push(copy);
            copies.len() - 1
        };
        let places = match target {
            Ok(Target::Account(target)) => {
                Ok(Arc::from([*direct.entry(rcpt).or_insert_with(|| {
                    let AccountTarget { account, destination, reports, .. } = target;
                    let address = mailbox(rcpt, hostname);
                    push(Copy { account, destination, address, rcpt: rcpt.clone(), reports })
                })]))
            }
            Ok(Target::Alias(alias)) => match expanded.get(&alias.address) {
                Some(places) => places.clone(),
                None => {
                    let place = |member: &AliasMember| {
                        let entry = members.entry(member.address.clone());
                        *entry.or_insert_with(|| push(Copy::of_member(member, rcpt)))
                    };
                    let places = may_post(&alias, author)
                        .and_then(|()| receivers(config, &alias, has_it, left_out))
                        .map(|receivers| receivers.into_iter().map(place).collect());
                    expanded.entry(alias.address.clone()).or_insert(places).clone()
                }
            },
            Err(refusal) => Err(refused(&refusal)),
        };
        routes.rcpts.push(places);
    }
    routes
}

impl Copy {
    fn of_member(member: &AliasMember, rcpt: &ForwardPath) -> Self {
        Self {
            account: Arc::clone(&member.target.account),
            destination: Arc::clone(&member.target.destination),
            address: Mailbox::from(member.address.clone()),
            rcpt: rcpt.clone(),
            // They go to the addresses themselves.
            reports: Reports::default(),
        }
    }
}

/// The address for `Delivered-To`: `<postmaster>` is at this host. RFC 5321 §4.5.1.
fn mailbox(rcpt: &ForwardPath, hostname: &Domain) -> Mailbox {
    rcpt.mailbox().cloned().unwrap_or_else(|| Mailbox {
        localpart: Localpart::from_decoded(rcpt.localpart()).unwrap_or_default(),
        host: Host::Domain(hostname.clone()),
    })
}

/// A recipient that was accepted, and is refused after all, since the configuration has changed; or
/// a member of an alias, which nobody asked for before the data.
fn refused(refusal: &RcptRefusal) -> DataRefusal {
    match refusal {
        RcptRefusal::UnknownAddress => DataRefusal::UnknownAddress,
        RcptRefusal::Unavailable => DataRefusal::Unavailable,
        refusal => DataRefusal::Policy(Reply::from(refusal)),
    }
}
