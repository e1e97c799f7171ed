//! What NOTIFY must know of mailboxes, and how often it may ask.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mox_base::{MailboxId, MailboxName};
use mox_imap::session::{Facts, FactsOf, Outcome};
use mox_net::blocking;
use mox_store::{Account, Mailbox, Policy, StoreError};

use crate::connection::{Connection, no_account};
use crate::mailboxes::status;
use crate::refusal;

/// For how long after telling of other mailboxes a session lets changes come together. The first
/// is told at once; then a storm of deliveries costs each session four looks a second, whatever its
/// strength.
pub const NOTIFY_PAUSE: Duration = Duration::from_millis(250);

/// Looks mailboxes up, all in one transaction.
pub(crate) async fn facts(connection: &mut Connection, of: FactsOf) -> Outcome {
    let cid = connection.cid;
    let Some(account) = connection.account() else {
        return no_account();
    };
    connection.quiet_until = Some(tokio::time::Instant::now() + NOTIFY_PAUSE);
    let found = blocking(move || look(&account, of)).await;
    refusal::outcome(cid, found, Outcome::Facts)
}

fn look(account: &Account, of: FactsOf) -> Result<Vec<Facts>, StoreError> {
    let (policy, reader) = (account.policy()?, account.read()?);
    let subscribed: HashSet<MailboxName> = reader.subscriptions()?.into_iter().collect();
    let known = Known { policy, subscribed };
    let (mailboxes, names) = match of {
        FactsOf::All => (reader.mailboxes()?, Vec::new()),
        FactsOf::Some { mailboxes, names } => {
            let mut found = Vec::with_capacity(mailboxes.len());
            for id in mailboxes {
                match reader.mailbox_by_id(id) {
                    Ok(mailbox) => found.push(mailbox),
                    Err(StoreError::NoMailbox) => {}
                    Err(error) => return Err(error),
                }
            }
            (found, names)
        }
    };
    let mut facts: HashMap<MailboxName, Facts> = HashMap::new();
    for name in names {
        facts.insert(name.clone(), known.facts(name, None));
    }
    for mailbox in mailboxes {
        facts.insert(mailbox.name.clone(), known.facts(mailbox.name.clone(), Some(&mailbox)));
    }
    Ok(facts.into_values().collect())
}

/// What is looked at for every name.
struct Known {
    policy: Arc<Policy>,
    subscribed: HashSet<MailboxName>,
}

impl Known {
    fn facts(&self, name: MailboxName, mailbox: Option<&Mailbox>) -> Facts {
        let id: Option<MailboxId> = mailbox.map(|mailbox| mailbox.id);
        Facts {
            mailbox: id,
            is_subscribed: self.subscribed.contains(&name),
            is_inbox: self.policy.is_inbox(&name),
            status: mailbox.map(status),
            name,
        }
    }
}
