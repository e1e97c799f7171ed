//! Hold rules and suppressed addresses.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

use mox_base::{Address, Domain};
use mox_bstore::{Record, Value};
use mox_queue::{HOLD_RULES_MAX, HoldRule, HoldRuleId, Suppression, base_address};
use mox_smtp::Mailbox;

use super::message::{DOMAIN, ascii, memory_bytes, text, text_of, time};
use super::{Batch, Context, NUMBER_MAX, Ours, QueueFiles, RULES, Run, SUPPRESSED};
use crate::file::TakeoverError;
use crate::known::{Kind, fields};
use crate::summary::Summary;

pub(super) const HOLD_RULE: Kind = Kind {
    table: "HoldRule",
    what: RULES,
    fields: fields!(
        "Account",
        "SenderDomain": DOMAIN,
        "RecipientDomain": DOMAIN,
        "SenderDomainStr",
        "RecipientDomainStr",
    ),
};

pub(super) const SUPPRESSION: Kind = Kind {
    table: "Suppression",
    what: SUPPRESSED,
    fields: fields!("Created", "Account", "BaseAddress", "OriginalAddress", "Manual", "Reason"),
};

impl QueueFiles {
    /// All hold rules; there are few, and ours has a limit.
    ///
    /// The original holds what matches one of the parts of a rule, and even a part that is not
    /// set; ours what matches all that are set. A rule with two parts holds less here.
    pub(super) fn rules(
        &self,
        context: &Context<'_>,
        summary: &mut Summary,
    ) -> Result<Vec<(HoldRuleId, HoldRule)>, TakeoverError> {
        let mut rules = Vec::new();
        self.index.each(&HOLD_RULE, summary, |record, summary| {
            let id = record.i64("ID");
            match rule(record) {
                Err(why) => summary.damage(RULES, format!("queue/index.db: rule {id}: {why}")),
                Ok((_, HoldRule { account: Some(account), .. }))
                    if (context.accounts)(&account).is_none() =>
                {
                    let shown = format!("rule {id} of {account:?}");
                    summary.skip("hold rules of accounts that do not exist", shown);
                }
                Ok(_) if rules.len() >= HOLD_RULES_MAX => {
                    summary.skip("hold rules beyond our limits", format!("rule {id}"));
                }
                Ok(rule) => rules.push(rule),
            }
            Ok(true)
        })?;
        Ok(rules)
    }
}

impl Run<'_> {
    pub(super) fn hold_rules(&mut self, summary: &mut Summary) -> Result<(), TakeoverError> {
        if self.is_stopped {
            return Ok(());
        }
        let rules = self.files.rules(&self.context, summary)?;
        self.done += rules.len() as u64;
        summary.took(RULES, rules.len() as u64);
        for (id, rule) in &rules {
            let parts =
                [rule.account.is_some(), rule.sender_domain.is_some(), rule.rcpt_domain.is_some()];
            if parts.iter().filter(|is_set| **is_set).count() > 1 {
                let shown = format!("rule {}: holds what matches all its parts, not any", id.0);
                summary.differs("hold rules with more than one part", shown);
            }
        }
        if let Some(Ours { queue, .. }) = self.into {
            queue.keep_hold_rules(rules).wait()?;
        }
        self.step();
        Ok(())
    }

    pub(super) fn suppressions(&mut self, summary: &mut Summary) -> Result<(), TakeoverError> {
        let (mut bases, mut batch) = (Bases::default(), Batch::default());
        self.each(&SUPPRESSION, summary, |run, record, summary| {
            let found = run.suppression(record, &mut bases, summary);
            batch.extend(found.map(|one| (one, memory_bytes(record))));
            if batch.is_full() { run.flush_suppressions(&mut batch) } else { Ok(()) }
        })?;
        self.flush_suppressions(&mut batch)
    }

    fn suppression(
        &self,
        record: &Record,
        bases: &mut Bases,
        summary: &mut Summary,
    ) -> Option<Suppression> {
        let account = match text(record, "Account") {
            Ok(account) => account.to_owned(),
            Err(why) => {
                self.damage(&SUPPRESSION, record, &why, summary);
                return None;
            }
        };
        let (address, theirs) = (record.text("OriginalAddress"), record.text("BaseAddress"));
        if (self.context.accounts)(&account).is_none() {
            let shown = format!("{theirs:?} of {account:?}");
            summary.skip("suppressed addresses of accounts that do not exist", shown);
            return None;
        }
        let ours = Address::parse(address).map(|address| base_address(&Mailbox::from(address)));
        let base = ours.unwrap_or_else(|_| theirs.to_owned());
        if base.is_empty() {
            self.damage(&SUPPRESSION, record, "it has no address", summary);
            return None;
        }
        if !bases.add(&account, &base) {
            let shown = format!("{address:?} of {account:?}: {base:?}");
            summary.skip("suppressed addresses with the base of another", shown);
            return None;
        }
        if base != theirs {
            let shown = format!("{theirs:?} of {account:?} is now {base:?}");
            summary.differs("suppressed addresses with another base", shown);
        }
        summary.took(SUPPRESSED, 1);
        Some(Suppression {
            account,
            base_address: base,
            address: address.to_owned(),
            is_manual: record.bool("Manual"),
            reason: text_of(record.get("Reason")),
            created: time(record, "Created").unwrap_or_default(),
        })
    }

    fn flush_suppressions(&mut self, batch: &mut Batch<Suppression>) -> Result<(), TakeoverError> {
        let suppressions = batch.take();
        if let Some(Ours { queue, .. }) = self.into {
            queue.keep_suppressions(suppressions).wait()?;
        }
        self.step();
        Ok(())
    }
}

/// Accounts and base addresses that were met, by their hashes: ours has each once.
#[derive(Debug, Default)]
struct Bases {
    hashes: HashSet<u64>,
    hasher: RandomState,
}

impl Bases {
    /// Whether it was not met before.
    fn add(&mut self, account: &str, base: &str) -> bool {
        self.hashes.insert(self.hasher.hash_one((account, base)))
    }
}

/// A record of `HoldRule`, or why it cannot be one.
fn rule(record: &Record) -> Result<(HoldRuleId, HoldRule), String> {
    let id = record.i64("ID");
    if !(1..=NUMBER_MAX).contains(&id) {
        return Err("its number cannot be one".to_owned());
    }
    let account = text(record, "Account")?;
    let rule = HoldRule {
        account: Some(account.to_owned()).filter(|account| !account.is_empty()),
        sender_domain: domain(record.get("SenderDomain"))?,
        rcpt_domain: domain(record.get("RecipientDomain"))?,
    };
    Ok((HoldRuleId(id), rule))
}

fn domain(value: &Value) -> Result<Option<Domain>, String> {
    match ascii(value)? {
        "" => Ok(None),
        name => Domain::parse(name).map(Some).map_err(|error| format!("{name:?}: {error}")),
    }
}
