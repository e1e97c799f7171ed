//! SEARCH, with its old and its extended answer.

use super::op::{Found, SearchOp};
use super::rights::{self, Right, Target};
use super::{Action, Op, Pending, Session, State, Tagged, limit};
use crate::print;
use crate::types::{
    NumSet, ParsedKey, ResolvedKey, ReturnOptions, Search, SearchKey, SequenceSetError, SetArg,
    SetOf,
};

/// Numbers in one line of an old answer.
///
/// Deviation: our specification has 100. Clients such as Python's imaplib look at the first line
/// only, so a line is only cut where it would grow beyond a megabyte.
const SEARCH_LINE_NUMBERS_MAX: usize = 100_000;

/// What is kept while the driver searches.
#[derive(Debug)]
pub(super) struct Searching {
    /// `None` for an old answer.
    options: Option<ReturnOptions>,
    asked_modseq: bool,
}

/// SEARCH and UID SEARCH. RFC 9051 §6.4.4, RFC 4731 §3.1, RFC 5182 §2.1.
pub(super) fn search(session: &mut Session, cmd: Tagged, search: Search) -> Action {
    let asked_modseq = search.key.any(&|key: &ParsedKey| matches!(key, SearchKey::ModSeq(_)));
    if asked_modseq {
        session.enable_condstore();
    }
    let enabled = session.enabled;
    if enabled.uidonly && has_numbers(&search.key) {
        return session.uid_required(cmd);
    }
    let mut cmd = match rights::permit(session, cmd, Target::Selected, Right::Read) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    let State::Selected(view) = &mut session.state else { return session.done(cmd) };
    let key = search.key.try_map(&mut |set| match set {
        SetOf::Uids(set) => view.resolve(&set, true),
        SetOf::Seqs(set) => view.resolve(&set, false),
    });
    let all = ReturnOptions { all: true, ..ReturnOptions::default() };
    // RFC 9051 §6.4.4: in IMAP4rev2 the answer always is ESEARCH.
    let options = search.options.or_else(|| enabled.rev2.then_some(all));
    if options.is_some_and(|options| options.save) {
        // RFC 5182 §2.1: a search that fails leaves an empty result.
        view.saved = NumSet::new();
    }
    let key: Result<ResolvedKey, SequenceSetError> = key;
    let Ok(mut key) = key else { return session.bad(cmd, None, "no such message number") };
    limit::cut_search(session.settings.message_limit(), &mut cmd, &view.uids, &mut key);
    let op = SearchOp {
        mailbox: view.mailbox,
        known: std::sync::Arc::clone(&view.uids),
        key,
        wanted: options.unwrap_or(all).wanted(),
        with_modseq: asked_modseq,
    };
    session.perform(cmd, Pending::Search(Searching { options, asked_modseq }), Op::Search(op))
}

/// Whether a program has message numbers in it; `$` stands for messages without a number.
/// RFC 9586 §3.
pub(super) fn has_numbers(key: &ParsedKey) -> bool {
    key.any(&|key: &ParsedKey| matches!(key, SearchKey::Seqs(SetArg::Set(_))))
}

pub(super) fn complete(
    session: &mut Session,
    cmd: Tagged,
    searching: &Searching,
    found: &Found,
) -> Action {
    let State::Selected(view) = &mut session.state else { return session.done(cmd) };
    let uids = view.uids.intersection(&found.uids);
    let numbers = if cmd.name.is_uid() { uids.clone() } else { view.uids.seqs_of_uids(&uids) };
    let modseq = found.highest_modseq.filter(|_| searching.asked_modseq && !uids.is_empty());
    let modseq = modseq.map(|modseq| modseq.get().max(1));
    let out = &mut session.out;
    match searching.options {
        None => print_old(out, &numbers, modseq),
        Some(options) => {
            if options.save {
                view.saved = saved(options, uids);
            }
            let says_nothing =
                options.save && !(options.min || options.max || options.all || options.count);
            if !says_nothing {
                print_extended(out, &cmd, options, &numbers, modseq);
            }
        }
    }
    session.done(cmd)
}

/// RFC 5182 §2.4: with only MIN or MAX, only these are saved.
fn saved(options: ReturnOptions, uids: NumSet) -> NumSet {
    if options.all || options.count || !(options.min || options.max) {
        return uids;
    }
    let min = uids.first().filter(|_| options.min);
    let max = uids.last().filter(|_| options.max);
    min.into_iter().chain(max.filter(|max| Some(*max) != min)).collect()
}

/// `* SEARCH n n … [(MODSEQ m)]`. RFC 3501 §7.2.5, RFC 7162 §3.1.5.
fn print_old(out: &mut Vec<u8>, numbers: &NumSet, modseq: Option<u64>) {
    out.extend_from_slice(b"* SEARCH");
    for (index, number) in numbers.iter().enumerate() {
        if index > 0 && index.is_multiple_of(SEARCH_LINE_NUMBERS_MAX) {
            out.extend_from_slice(b"\r\n* SEARCH");
        }
        out.push(b' ');
        print::number(out, number);
    }
    if let Some(modseq) = modseq {
        out.extend_from_slice(b" (MODSEQ ");
        print::number(out, modseq);
        out.push(b')');
    }
    out.extend_from_slice(b"\r\n");
}

/// `* ESEARCH (TAG "t") [UID] [MIN n] [MAX n] [COUNT n] [ALL set] [MODSEQ m]`. RFC 9051 §7.3.4.
fn print_extended(
    out: &mut Vec<u8>,
    cmd: &Tagged,
    options: ReturnOptions,
    numbers: &NumSet,
    modseq: Option<u64>,
) {
    out.extend_from_slice(b"* ESEARCH (TAG \"");
    // A tag has no character that would need an escape.
    out.extend_from_slice(cmd.tag.as_bytes());
    out.extend_from_slice(b"\")");
    if cmd.name.is_uid() {
        out.extend_from_slice(b" UID");
    }
    let mut item = |name: &str, value: Option<u64>| {
        if let Some(value) = value {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.push(b' ');
            print::number(out, value);
        }
    };
    item("MIN", numbers.first().filter(|_| options.min).map(u64::from));
    item("MAX", numbers.last().filter(|_| options.max).map(u64::from));
    item("COUNT", options.count.then(|| numbers.len()));
    if options.all && !numbers.is_empty() {
        out.extend_from_slice(b" ALL ");
        print::set(out, numbers);
    }
    if let Some(modseq) = modseq {
        out.extend_from_slice(b" MODSEQ ");
        print::number(out, modseq);
    }
    out.extend_from_slice(b"\r\n");
}
