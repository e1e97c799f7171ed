//! What the configuration says about accounts, as the store asks for it.

use std::collections::HashMap;
use std::sync::Arc;

use mox_base::{MailboxName, SpecialUse};
use mox_config::{Account, Config, Live, Pattern, Static, Text};
use mox_junk::{Kinds, Params};
use mox_store::{JunkFilter, JunkFlags, Policies, Policy};
use parking_lot::Mutex;
use regex::Regex;

/// The policies of the accounts in the configuration as it is now.
///
/// The store asks at every operation, so answers are kept until the configuration changes.
pub(crate) struct ConfigPolicies {
    config: Arc<Live>,
    cache: Mutex<Cache>,
}

/// Answers, and the snapshot they come from.
struct Cache {
    snapshot: Arc<Config>,
    policies: HashMap<String, Arc<Policy>>,
}

impl ConfigPolicies {
    /// Follows this configuration.
    #[must_use]
    pub(crate) fn new(config: Arc<Live>) -> Self {
        let cache = Cache { snapshot: config.snapshot(), policies: HashMap::new() };
        Self { config, cache: Mutex::new(cache) }
    }
}

impl Policies for ConfigPolicies {
    fn policy(&self, account: &str) -> Option<Arc<Policy>> {
        let snapshot = self.config.snapshot();
        let mut cache = self.cache.lock();
        if !Arc::ptr_eq(&cache.snapshot, &snapshot) {
            *cache = Cache { snapshot: Arc::clone(&snapshot), policies: HashMap::new() };
        }
        if let Some(policy) = cache.policies.get(account) {
            return Some(Arc::clone(policy));
        }
        // Only accounts that exist are kept, so that the map has a bound.
        let settings = snapshot.account(account)?;
        let policy = Arc::new(Policy {
            quota_bytes: snapshot.quota_bytes(account),
            junk_flags: junk_flags(settings),
            junk_filter: settings.junk_filter.as_ref().map(junk_filter),
            introbox: settings.introbox.as_ref().map(|name| name.0.clone()),
            rejects_mailbox: settings.rejects_mailbox.as_ref().map(|name| name.0.clone()),
            initial_mailboxes: initial_mailboxes(&snapshot.statics),
            inboxes: inboxes(settings),
        });
        cache.policies.insert(account.to_owned(), Arc::clone(&policy));
        Some(policy)
    }
}

fn junk_flags(settings: &Account) -> JunkFlags {
    let rules = &settings.automatic_junk_flags;
    // The pattern compiled when the configuration was checked.
    let regex = |pattern: &Text<Pattern>| {
        (!pattern.is_empty()).then(|| Regex::new(pattern.as_str()).ok()).flatten()
    };
    JunkFlags {
        enabled: rules.enabled,
        junk: regex(&rules.junk_mailbox_regexp),
        neutral: regex(&rules.neutral_mailbox_regexp),
        not_junk: regex(&rules.not_junk_mailbox_regexp),
    }
}

/// The filter of an account, of its settings.
pub(crate) fn junk_filter(settings: &mox_config::JunkFilter) -> JunkFilter {
    // Numbers below 0 were refused when the configuration was checked.
    let count = |number: i32| u32::try_from(number).unwrap_or_default();
    let params = settings.params();
    JunkFilter {
        kinds: Kinds {
            onegrams: params.onegrams,
            twograms: params.twograms,
            threegrams: params.threegrams,
        },
        params: Params {
            max_power: params.max_power,
            top_words: count(params.top_words) as usize,
            ignore_words: params.ignore_words,
            rare_words: count(params.rare_words),
        },
        threshold: settings.threshold,
    }
}

/// Where the addresses of an account have their mail put. Mailing lists are left out: what they send
/// is not mail to the user. RFC 5465 §6.4 leaves the choice to us.
fn inboxes(settings: &Account) -> Vec<MailboxName> {
    let destinations = settings.destinations.values();
    let mut names: Vec<MailboxName> = destinations
        .flat_map(|destination| {
            let rules = destination.rulesets.iter().filter(|rule| rule.list_allow_domain.is_none());
            let targets = rules.map(|rule| rule.mailbox.0.clone());
            destination.mailbox.iter().map(|name| name.0.clone()).chain(targets)
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

fn initial_mailboxes(statics: &Static) -> Vec<(MailboxName, SpecialUse)> {
    let initial = statics.new_account_mailboxes();
    let roles = initial.special_use;
    let with_role = [
        (roles.sent, SpecialUse::SENT),
        (roles.archive, SpecialUse::ARCHIVE),
        (roles.trash, SpecialUse::TRASH),
        (roles.draft, SpecialUse::DRAFTS),
        (roles.junk, SpecialUse::JUNK),
    ];
    let with_role = with_role.into_iter().filter_map(|(name, role)| Some((name?.0, role)));
    let regular = initial.regular.into_iter().map(|name| (name.0, SpecialUse::NONE));
    with_role.chain(regular).collect()
}

#[cfg(test)]
mod tests {
    use mox_base::{Address, Domain, UnixSeconds};
    use mox_config::{Dynamic, NamedFiles};

    use super::*;

    fn live(dir: &std::path::Path) -> Arc<Live> {
        let address = Address::parse("mjl@example.org").unwrap();
        let mut statics = Static::minimal("data", &Domain::parse("example.org").unwrap(), "mjl");
        statics.listeners.insert(
            "local".to_owned(),
            mox_config::Listener {
                ips: vec!["127.0.0.1".parse().unwrap()],
                ..mox_config::Listener::default()
            },
        );
        statics.quota_message_size = 1_000;
        statics.write(&dir.join("mox.conf")).unwrap();
        Dynamic::minimal("mjl", &address).write(&dir.join("domains.conf")).unwrap();
        Arc::new(Live::load(dir, NamedFiles::Skip, UnixSeconds(0)).unwrap().0)
    }

    #[test]
    fn policies_follow_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let live = live(dir.path());
        let policies = ConfigPolicies::new(Arc::clone(&live));
        let policy = policies.policy("mjl").unwrap();
        assert_eq!(policy.quota_bytes, Some(1_000));
        assert!(policy.junk_flags.enabled);
        assert!(policy.junk_flags.junk.as_ref().unwrap().is_match("spam"));
        assert!(policy.junk_flags.not_junk.is_none());
        let filter = policy.junk_filter.unwrap();
        assert_eq!((filter.kinds, filter.params), (Kinds::default(), Params::default()));
        assert_eq!(filter.threshold.to_bits(), 0.95_f64.to_bits());
        let mut names: Vec<_> =
            policy.initial_mailboxes.iter().map(|(name, _)| name.to_string()).collect();
        names.sort();
        assert_eq!(names, ["Archive", "Drafts", "Junk", "Sent", "Trash"]);
        assert!(policies.policy("other").is_none());
        assert!(Arc::ptr_eq(&policy, &policies.policy("mjl").unwrap()));

        let edit = |dynamic: &mut Dynamic| -> Result<(), mox_config::EditError> {
            let account = dynamic.accounts.get_mut("mjl").unwrap();
            account.quota_message_size = -1;
            let destination = account.destinations.values_mut().next().unwrap();
            destination.mailbox = Some(Text(MailboxName::parse("Work").unwrap()));
            for (target, list) in [("Shop", None), ("Lists", Some("lists.example"))] {
                destination.rulesets.push(mox_config::Ruleset {
                    verified_domain: Some(Text(Domain::parse("b.example").unwrap())),
                    list_allow_domain: list.map(|domain| Text(Domain::parse(domain).unwrap())),
                    mailbox: Text(MailboxName::parse(target).unwrap()),
                    ..mox_config::Ruleset::default()
                });
            }
            Ok(())
        };
        live.edit(UnixSeconds(10), edit).unwrap();
        let policy = policies.policy("mjl").unwrap();
        assert_eq!(policy.quota_bytes, None);
        let names: Vec<_> = policy.inboxes.iter().map(MailboxName::as_str).collect();
        assert_eq!(names, ["Shop", "Work"]);
    }
}
