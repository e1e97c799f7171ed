//! ESEARCH: one search over several mailboxes, selected or not.
//!
//! First the driver is asked which mailboxes there are; of those that the command names, each is
//! searched, all as of one moment. A client hears of those with a match only.
//!
//! Source: RFC 7377.

use std::sync::Arc;

use mox_base::{MailboxId, MailboxName, UidValidity};

use super::op::{Facts, FactsOf, Found};
use super::rights::{self, Right, Target};
use super::search::{self, Unresolved};
use super::search_answer::{Answer, Numbers};
use super::{Action, Op, Pending, Session, State, Tagged, context, limit};
use crate::print::{self, Code};
use crate::types::{
    Candidate, FILTER_NAMES_MAX, MailboxFilter, MultiSearch, NumSet, ParsedKey, ResolvedKey,
    ReturnOptions, SearchKey, SetArg, SetOf, UidMap, Wanted,
};

/// ESEARCH. RFC 7377 §2.
///
/// A number in the program is that of a message in the mailbox that is searched, by ascending UID.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MultiSearchOp {
    /// The mailboxes, with how many messages each has about now, for telling of progress.
    pub mailboxes: Vec<(MailboxId, u32)>,
    /// The one among them that is selected: only the messages the session knows may match.
    pub selected: Option<(MailboxId, Arc<UidMap>)>,
    /// What to look for; see [`MultiSearchOp::key_in`].
    pub key: ParsedKey,
    /// What `$` stands for. It is in the program only if nothing but the selected mailbox is
    /// searched.
    pub saved: NumSet,
    /// The lowest UID to look at; only where one mailbox is searched. RFC 9738 §3.1.
    pub lowest: u32,
    /// How much of each result is needed; more does no harm.
    pub wanted: Wanted,
    /// Of the command, for telling of progress. RFC 9585 §3.
    pub tag: String,
}

impl MultiSearchOp {
    /// The program for a mailbox with these messages.
    #[must_use]
    pub fn key_in(&self, known: &UidMap) -> ResolvedKey {
        let resolved: Result<ResolvedKey, std::convert::Infallible> =
            self.key.clone().try_map(&mut |set| {
                Ok(match set {
                    SetOf::Uids(SetArg::Saved) | SetOf::Seqs(SetArg::Saved) => self.saved.clone(),
                    SetOf::Uids(SetArg::Set(set)) => set.resolve_uids(known.highest()),
                    SetOf::Seqs(SetArg::Set(set)) => {
                        known.uids_of_seqs(&set.resolve_seqs_leniently(known.exists()))
                    }
                })
            });
        let Ok(key) = resolved;
        match self.lowest {
            0 => key,
            lowest => {
                let uids = NumSet::range(lowest, u32::MAX);
                SearchKey::And(vec![SearchKey::Uids(uids), key])
            }
        }
    }
}

/// What was found in one of several mailboxes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundIn {
    /// The mailbox.
    pub mailbox: MailboxId,
    /// The matches, of which there is one at least.
    pub found: Found,
}

/// What is kept while the driver searches.
#[derive(Debug)]
pub(super) struct Searching {
    options: ReturnOptions,
    asked_modseq: bool,
    /// Sorted by name.
    mailboxes: Vec<Searched>,
}

/// A mailbox that is searched.
#[derive(Debug)]
struct Searched {
    id: MailboxId,
    name: MailboxName,
    uidvalidity: UidValidity,
    /// How many messages it has about now.
    messages: u32,
}

/// ESEARCH. RFC 7377 §2.
pub(super) fn esearch(session: &mut Session, cmd: Tagged, search: MultiSearch) -> Action {
    if search.key.any(&|key| matches!(key, SearchKey::ModSeq(_))) {
        session.enable_condstore();
    }
    if let State::Selected(view) = &mut session.state
        && search.options.save
    {
        // RFC 5182 §2.1: a search that fails leaves an empty result.
        view.saved = NumSet::new();
    }
    if session.enabled.uidonly && search::has_numbers(&search.key) {
        return search::unresolved(session, cmd, Unresolved::NumbersForbidden);
    }
    if search.options.relevancy && !search::is_fuzzy(&search.key) {
        return session.bad(cmd, None, "relevancy without a fuzzy key");
    }
    if search.sources.iter().map(MailboxFilter::name_count).sum::<usize>() > FILTER_NAMES_MAX {
        return session.no(cmd, Some(Code::Limit), "too many mailbox names");
    }
    if search.options.update {
        // RFC 5267 §4.3.1. Of mailboxes that are not selected a session hears nothing.
        context::refuse(&cmd.tag, "no updates of several mailboxes", &mut session.out);
    }
    let selected = session.view().map(|view| view.mailbox);
    let is_of_selected = |filter: &MailboxFilter| filter.is_of_selected();
    let of = match selected {
        // RFC 7377 §2.2: without IN it is the selected mailbox too.
        None if search.sources.iter().any(is_of_selected) => {
            return session.bad(cmd, None, "no mailbox selected");
        }
        Some(id) if search.sources.iter().all(is_of_selected) => {
            FactsOf::Some { mailboxes: vec![id], names: Vec::new() }
        }
        _ => FactsOf::All,
    };
    session.perform(cmd, Pending::Sources(Box::new(search)), Op::Facts(of))
}

/// The mailboxes are known: which of them are meant? Those that are not there, or not to be read, are
/// passed over in silence, as is naming one twice. RFC 7377 §2.2.
pub(super) fn sources(
    session: &mut Session,
    cmd: Tagged,
    search: MultiSearch,
    facts: Vec<Facts>,
) -> Action {
    let MultiSearch { sources, options, key } = search;
    let selected = session.view().map(|view| view.mailbox);
    let mut mailboxes: Vec<Searched> =
        facts.into_iter().filter_map(|facts| searched(session, &sources, facts)).collect();
    mailboxes.sort_by(|a, b| a.name.cmp(&b.name));
    let is_selected = |searched: &Searched| Some(searched.id) == selected;
    let is_selected_alone = mailboxes.len() == 1 && mailboxes.iter().all(is_selected);
    if options.save && !is_selected_alone {
        // RFC 7377 §2.2: what is saved are messages of the selected mailbox.
        return session.bad(cmd, None, "save needs the selected mailbox, and it alone");
    }
    let has_saved = key
        .any(&|key| matches!(key, SearchKey::Seqs(SetArg::Saved) | SearchKey::Uids(SetArg::Saved)));
    if has_saved && !mailboxes.iter().all(is_selected) {
        return session.no(cmd, None, "the saved result is of the selected mailbox");
    }
    if mailboxes.is_empty() {
        return session.done(cmd);
    }
    search_all(session, cmd, (options, key), mailboxes)
}

fn searched(session: &Session, sources: &[MailboxFilter], facts: Facts) -> Option<Searched> {
    let Facts { mailbox, name, is_subscribed, is_inbox, status, .. } = facts;
    let (id, status) = (mailbox?, status?);
    let is_selected = session.view().is_some_and(|view| view.mailbox == id);
    let candidate = Candidate { name: &name, is_subscribed, is_inbox };
    let is_meant = sources
        .iter()
        .any(|filter| filter.matches(candidate) || (is_selected && filter.is_of_selected()));
    if !is_meant || !rights::allows(&session.state, Target::Named(&name), Right::Read) {
        return None;
    }
    let messages = match session.view() {
        Some(view) if is_selected => view.uids.exists(),
        _ => status.messages,
    };
    Some(Searched { id, name, uidvalidity: status.uidvalidity, messages })
}

fn search_all(
    session: &mut Session,
    mut cmd: Tagged,
    (options, key): (ReturnOptions, ParsedKey),
    mailboxes: Vec<Searched>,
) -> Action {
    let limit = session.settings.message_limit();
    let total = mailboxes.iter().map(|searched| u64::from(searched.messages)).sum::<u64>();
    let view = session.view().filter(|view| mailboxes.iter().any(|s| s.id == view.mailbox));
    let mut op = MultiSearchOp {
        mailboxes: mailboxes.iter().map(|searched| (searched.id, searched.messages)).collect(),
        selected: view.map(|view| (view.mailbox, Arc::clone(&view.uids))),
        key,
        saved: view.map(|view| view.saved.clone()).unwrap_or_default(),
        lowest: 0,
        wanted: options.wanted(),
        tag: cmd.tag.clone(),
    };
    if let ([_], Some((_, known))) = (&*mailboxes, &op.selected) {
        let mut key = op.key_in(known);
        limit::cut_search(limit, &mut cmd, known, &mut key);
        op.lowest = cmd.cut_at.unwrap_or_default();
    } else if total > u64::from(limit) {
        // RFC 9738 §3.1: the lowest UID worked on would have to be that of one mailbox.
        let code = Code::MessageLimit { limit, lowest: None };
        return session.no(cmd, Some(code), "too many messages in one command");
    }
    let asked_modseq = op.key.any(&|key| matches!(key, SearchKey::ModSeq(_)));
    let searching = Searching { options, asked_modseq, mailboxes };
    session.perform(cmd, Pending::MultiSearch(searching), Op::MultiSearch(Box::new(op)))
}

/// One response for each mailbox with a match. RFC 7377 §2.1.
pub(super) fn complete(
    session: &mut Session,
    cmd: Tagged,
    searching: &Searching,
    mut found: Vec<FoundIn>,
) -> Action {
    found.sort_by_key(|found| found.mailbox.0);
    for searched in &searching.mailboxes {
        let place = found.binary_search_by_key(&searched.id.0, |found| found.mailbox.0);
        if let Some(found) = place.ok().and_then(|place| found.get_mut(place)) {
            tell(session, &cmd, searching, searched, std::mem::take(&mut found.found));
        }
    }
    session.done(cmd)
}

/// `* ESEARCH (TAG "t" MAILBOX name UIDVALIDITY v) UID …`. RFC 7377 §2.1.
fn tell(
    session: &mut Session,
    cmd: &Tagged,
    searching: &Searching,
    searched: &Searched,
    found: Found,
) {
    let options = searching.options;
    let utf8 = session.enabled.utf8();
    let relevancy = search::relevancy_of(&found);
    let modseq = found.highest_modseq.filter(|_| searching.asked_modseq);
    let mut uids = found.uids;
    if let State::Selected(view) = &mut session.state
        && view.mailbox == searched.id
    {
        uids = view.uids.intersection(&uids);
        if options.save {
            view.saved = search::saved(options, &Numbers::Set(uids.clone()));
        }
    }
    let uids = Numbers::Set(uids);
    let answer = Answer {
        tag: &cmd.tag,
        is_uid: true,
        modseq: modseq.map(|modseq| modseq.get().max(1)),
        numbers: &uids,
    };
    if uids.is_empty() || !answer.says_something(options) {
        return;
    }
    let out = &mut session.out;
    out.extend_from_slice(b"* ESEARCH (TAG \"");
    // A tag has no character that would need an escape.
    out.extend_from_slice(cmd.tag.as_bytes());
    out.extend_from_slice(b"\" MAILBOX ");
    print::mailbox(out, searched.name.as_str(), utf8);
    out.extend_from_slice(b" UIDVALIDITY ");
    print::number(out, searched.uidvalidity.get());
    out.extend_from_slice(b") UID");
    let scores = options.relevancy.then(|| search::scores(options, &uids, &relevancy));
    answer.print_data(out, options, scores.as_deref());
    out.extend_from_slice(b"\r\n");
}
