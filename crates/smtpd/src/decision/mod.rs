//! Whether a message is wanted, for each of its copies: what was found out about its sender and what
//! the recipient has configured goes to [`mox_policy::decide`], which asks the account for its history
//! and its junk filter.
//!
//! Not here: the procedure itself; and what becomes of the message then.

mod blocklists;
mod content;
mod message;
mod traffic;

use std::sync::Arc;
use std::time::Duration;

use mox_base::{Address, MailboxName, Rng, UnixSeconds};
use mox_config::Config;
use mox_mailauth::dmarc::OverrideReason;
use mox_net::blocking;
use mox_policy::{
    Evaluation, Facts as PolicyFacts, History, HistoryError, PassKey, Pending, Reason, Refusal,
    Step, Verdict, decide, evaluation,
};
use mox_smtp::Reply;
use mox_smtp::server::{DataRefusal, Envelope};
use mox_store::{Decision, Incoming, Store, StoreError};

use crate::connection::{Connection, in_time};
use crate::facts::Facts;
use crate::refusal;
use crate::reports::Reports;
use crate::routing::Copy;
use crate::spool::Spool;

pub(crate) use blocklists::Health;
use blocklists::first_listing;
pub use blocklists::{BLOCKLIST_HEALTH_SECS, BLOCKLISTS_WAIT};
use content::{AccountText, Text};
pub(crate) use message::mail_from_text;
use message::{overrides, pass_address, recipient};
use traffic::Earlier;

/// What a copy is told that was refused by itself.
const TAKEN_FOR_ALL: &str = "delivered, since another member of the list takes the message";

/// What was decided for one copy by itself.
pub(crate) struct Judgement {
    /// Where it goes, or would go.
    pub(crate) mailbox: MailboxName,
    /// `None`: it is taken.
    pub(crate) refusal: Option<DataRefusal>,
    /// How it came about; `None` where nothing had to be decided, or nothing could.
    pub(crate) decided: Option<Box<Decided>>,
}

/// A decision with what it was made from.
#[derive(Clone)]
pub(crate) struct Decided {
    pub(crate) verdict: Verdict,
    facts: PolicyFacts,
}

impl Judgement {
    fn without_decision(copy: &Copy, refusal: DataRefusal) -> Self {
        Self { mailbox: copy.destination.mailbox(), refusal: Some(refusal), decided: None }
    }

    fn failed(copy: &Copy, cid: u64, error: &StoreError) -> Self {
        let account = &copy.account;
        tracing::error!(cid, %account, %error, "reading an account for a decision");
        Self::without_decision(copy, refusal::store(error))
    }

    fn new(verdict: Verdict, facts: PolicyFacts) -> Self {
        let refusal = verdict.refusal.as_ref().map(|refused| {
            if is_our_failure(verdict.reason) {
                return DataRefusal::Unavailable;
            }
            DataRefusal::Policy(Reply::new(refused.code, refused.enhanced, refused.text.clone()))
        });
        let mailbox = verdict.mailbox.clone();
        Self { mailbox, refusal, decided: Some(Box::new(Decided { verdict, facts })) }
    }

    /// How long it waits before it is stored: first messages of strangers do.
    pub(crate) fn wait(&self) -> Duration {
        self.decided.as_ref().map_or(Duration::ZERO, |decided| decided.verdict.delay)
    }

    /// Takes the copy all the same, since this is a localserve: for its Rejects mailbox, where it
    /// can be seen what a server would have done.
    pub(crate) fn tolerate(&mut self, config: &Config, account: &str) {
        let Some(decided) = &mut self.decided else { return };
        let verdict = &mut decided.verdict;
        if is_our_failure(verdict.reason) {
            return;
        }
        let Some(Refusal { code, .. }) = verdict.refusal.take() else { return };
        self.refusal = None;
        verdict.explanation.push(format!("a server would refuse this with {code}"));
        let rejects = config.account(account).and_then(|one| one.rejects_mailbox.as_ref());
        if let Some(rejects) = rejects.filter(|_| verdict.may_keep_reject) {
            let normal = std::mem::replace(&mut verdict.mailbox, rejects.0.clone());
            verdict.destined.get_or_insert(normal);
            (verdict.marks.is_seen, verdict.marks.is_reject) = (true, true);
            self.mailbox = rejects.0.clone();
        }
        verdict.may_keep_reject = false;
    }

    /// Whether the connection is served slowly from now on: also if others take the message, or a rule
    /// takes what would be refused.
    pub(crate) fn slows_connection(&self) -> bool {
        self.decided.as_ref().is_some_and(|decided| decided.verdict.slows_connection())
    }

    /// Takes the copy all the same, since another member of the alias does.
    pub(crate) fn grant(&mut self) {
        self.refusal = None;
        if let Some(decided) = &mut self.decided
            && decided.verdict.refusal.take().is_some()
        {
            decided.verdict.explanation.push(TAKEN_FOR_ALL.to_owned());
        }
    }
}

/// The sender has nothing to do with it.
fn is_our_failure(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::ReputationError
            | Reason::JunkFilterError
            | Reason::JunkClassifyError
            | Reason::SubjectPassError
    )
}

impl Decided {
    /// The fields on top of the copy: why it is here, and what was wrong with a report.
    pub(crate) fn fields(&self, is_utf8: bool) -> String {
        let mut fields = self.verdict.reason_field(is_utf8);
        for (name, value) in &self.verdict.fields {
            fields.push_str(&format!("{name}: {value}\r\n"));
        }
        fields
    }

    /// Why DMARC's outcome was not followed.
    pub(crate) fn overrides(&self, facts: &Facts) -> Vec<OverrideReason> {
        overrides(&self.verdict.dmarc_overrides, facts)
    }

    /// What is told to the author's domain of DMARC, if anything is.
    pub(crate) fn evaluation(
        &self,
        history: &dyn History,
    ) -> Result<Option<Evaluation>, HistoryError> {
        evaluation(&self.verdict, &self.facts, history)
    }

    /// For the table of recent decisions.
    pub(crate) fn row(&self, message_id: Option<String>) -> Decision {
        Decision::new(&self.verdict, &self.facts, message_id)
    }

    /// What the account remembers.
    pub(crate) fn incoming(&self, message_id: Option<String>) -> Incoming {
        Incoming::new(&self.verdict, self.row(message_id))
    }

    fn log(&self, cid: u64, copy: &Copy) {
        let Verdict { refusal, reason, mailbox, .. } = &self.verdict;
        let code = refusal.as_ref().map(|refusal| refusal.code);
        let (account, rcpt) = (&copy.account, &copy.rcpt);
        tracing::info!(cid, %account, %rcpt, code, %reason, %mailbox, "message judged");
    }
}

/// A message to be decided upon.
pub(crate) struct Case<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) envelope: &'a Envelope,
    pub(crate) header: &'a [u8],
    pub(crate) size_bytes: u64,
    pub(crate) now: UnixSeconds,
}

/// Decides for all copies, each by itself. Gives the spool back, and the reports that were found.
pub(crate) async fn judge(
    connection: &Connection,
    config: &Arc<Config>,
    case: Case<'_>,
    copies: &[Copy],
    spool: Spool,
) -> (Spool, Vec<Judgement>, Reports) {
    let services = &connection.smtpd.services;
    let Case { facts, envelope, header, size_bytes, now } = case;
    let message = Arc::new(message::message(facts, envelope, header, size_bytes));
    let briefs = copies.iter().map(|copy| {
        let account = config.account(&copy.account)?;
        let recipient = recipient(copy, account, &connection.port);
        let pass_address = recipient.pass.is_some().then(|| pass_address(config, &recipient));
        let mut chance = [0; 4];
        services.rng.fill(&mut chance);
        let (chance, message) = (u32::from_ne_bytes(chance), Arc::clone(&message));
        let facts = PolicyFacts { now, chance, message, recipient: Arc::new(recipient) };
        Some(Brief { account: Arc::clone(&copy.account), facts, pass_address })
    });
    let briefs: Vec<_> = briefs.collect();
    let (store, rng, cid) = (services.store.clone(), Arc::clone(&services.rng), connection.cid);
    let permits = Arc::clone(&connection.smtpd.report_permits);
    let Some(reports) = Reports::of(copies, Arc::clone(config), permits).await else {
        let later = |copy| Judgement::without_decision(copy, DataRefusal::Unavailable);
        let judgements = copies.iter().map(later).collect();
        return (spool, judgements, Reports::unexpected(Arc::clone(config)));
    };
    let ((spool, reports), steps) = blocking(move || {
        let mut text = Text::new(spool, reports);
        let mut earlier = Earlier::default();
        let mut step = |brief: Option<Brief>| {
            brief.ok_or(StoreError::NoAccount)?.decide(&store, &*rng, &mut text, &mut earlier, cid)
        };
        let steps: Vec<_> = briefs.into_iter().map(&mut step).collect();
        let (spool, mut reports) = text.into_parts();
        reports.looked();
        ((spool, reports), steps)
    })
    .await;
    let mut judgements = finish(connection, &message, steps, copies, now).await;
    if services.is_localserve {
        for (judgement, copy) in judgements.iter_mut().zip(copies) {
            judgement.tolerate(config, &copy.account);
        }
    }
    (spool, judgements, reports)
}

/// Asks the block lists, if a decision waits for them, and ends all decisions.
async fn finish(
    connection: &Connection,
    message: &mox_policy::Message,
    steps: Vec<Result<(PolicyFacts, Step), StoreError>>,
    copies: &[Copy],
    now: UnixSeconds,
) -> Vec<Judgement> {
    let waits = |step: &Result<(_, Step), _>| matches!(step, Ok((_, Step::NeedsBlocklists(_))));
    let listing = if steps.iter().any(waits) {
        let (zones, health) = (&connection.port.blocklists, &connection.smtpd.blocklist_health);
        let resolver = Arc::clone(&connection.smtpd.services.resolver);
        let asked = Box::pin(first_listing(resolver, health, zones, message.remote_ip, now));
        // Lists that do not answer in time list nobody.
        in_time(&connection.stopping, asked).await.flatten()
    } else {
        None
    };
    let end = |step| match step {
        Step::Done(verdict) => *verdict,
        Step::NeedsBlocklists(pending) => Pending::finish(pending, listing.as_ref()),
    };
    let judged = steps.into_iter().zip(copies).map(|(step, copy)| match step {
        Ok((facts, step)) => {
            let judgement = Judgement::new(end(step), facts);
            if let Some(decided) = &judgement.decided {
                decided.log(connection.cid, copy);
            }
            judgement
        }
        Err(error) => Judgement::failed(copy, connection.cid, &error),
    });
    judged.collect()
}

/// What is needed to decide for one copy.
struct Brief {
    account: Arc<str>,
    facts: PolicyFacts,
    /// The address whose passes count, if the account gives any.
    pass_address: Option<Address>,
}

impl Brief {
    /// Blocks.
    fn decide(
        self,
        store: &Store,
        rng: &dyn Rng,
        text: &mut Text,
        earlier: &mut Earlier,
        cid: u64,
    ) -> Result<(PolicyFacts, Step), StoreError> {
        let Self { account: name, mut facts, pass_address } = self;
        let account = store.account(&name)?;
        let reader = account.read()?;
        if let Some(address) = pass_address {
            let recipient = Arc::make_mut(&mut facts.recipient);
            let key = match reader.pass_key(&address) {
                Ok(Some(key)) => Ok(key),
                Ok(None) => account.pass_key(address, PassKey::generate(rng)).wait(),
                Err(error) => Err(error),
            };
            if let Some(pass) = &mut recipient.pass {
                let failed = |error| tracing::error!(cid, %error, "key of passes");
                pass.key = key.map_err(failed).ok();
            }
        }
        let filter = account.policy()?.junk_filter;
        let mut content = AccountText { text, reader: &reader, filter, cid };
        let history = earlier.with(&name, &reader);
        let step = decide(facts.clone(), &history, &mut content);
        // What is refused is not stored, so it is no traffic that others would have to wait for.
        if !matches!(&step, Step::Done(verdict) if verdict.refusal.is_some()) {
            earlier.add(&name, facts.message.size_bytes);
        }
        Ok((facts, step))
    }
}
