//! Under which addresses a submitted message leaves: with tokens by which what comes back is told apart.

use mox_base::{Address, Host, Rng};
use mox_config::Config;
use mox_smtp::submission::{
    FROM_ID_RANDOM_BYTES, SubmissionError, chosen_from_id, new_from_id, with_from_id,
};
use mox_smtp::{Mailbox, ReversePath};

/// A reverse path, and the token in it.
pub(super) type Sender = (ReversePath, Option<String>);

/// The sender for each of `count` recipients.
///
/// Tokens are for logins that ask for them (`FromIDLoginAddresses`), in addresses of domains that have a
/// separator. A client may bring its own, for one recipient.
pub(super) fn senders(
    config: &Config,
    account: &str,
    username: Option<&str>,
    path: &ReversePath,
    count: usize,
    rng: &dyn Rng,
) -> Result<Vec<Sender>, SubmissionError> {
    let plain = || vec![(path.clone(), None); count];
    let ReversePath::Mailbox(mailbox) = path else { return Ok(plain()) };
    let separator = separator(config, account, username, mailbox);
    let Some(separator) = separator else { return Ok(plain()) };
    if let Some(token) = chosen_from_id(&mailbox.localpart, separator) {
        return match count {
            0 | 1 => Ok(vec![(path.clone(), Some(token.to_owned())); count]),
            _ => Err(SubmissionError::FromIdShared),
        };
    }
    let sender = |_| {
        let mut random = [0; FROM_ID_RANDOM_BYTES];
        rng.fill(&mut random);
        let token = new_from_id(random);
        // An address that has no room for a token goes without.
        let Some(localpart) = with_from_id(&mailbox.localpart, separator, &token) else {
            return (path.clone(), None);
        };
        let mailbox = Mailbox { localpart, host: mailbox.host.clone() };
        (ReversePath::Mailbox(mailbox), Some(token))
    };
    Ok((0..count).map(sender).collect())
}

/// What stands before tokens, if there are to be any.
fn separator<'a>(
    config: &'a Config,
    account: &str,
    username: Option<&str>,
    mailbox: &Mailbox,
) -> Option<&'a str> {
    let login = Address::parse(username?).ok()?;
    let mut wanted = config.account(account)?.from_id_login_addresses.iter();
    wanted.find(|address| address.0 == login)?;
    match &mailbox.host {
        Host::Domain(domain) => config.separator(domain),
        Host::Ip(_) => None,
    }
}
