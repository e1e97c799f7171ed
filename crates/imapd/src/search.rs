//! SEARCH in the terms of the store.

use mox_base::Uid;
use mox_imap::session::{Found, Outcome, SearchOp};
use mox_imap::types::{DateOrder, NumSet, ResolvedKey, SearchKey};
use mox_net::blocking;
use mox_store::{Needed, Query, StoreError};

use crate::connection::{Connection, no_account};
use crate::refusal;

/// Performs a search on the messages that the session knows.
pub(crate) async fn search(connection: &mut Connection, op: SearchOp) -> Outcome {
    let cid = connection.cid;
    let Some(account) = connection.account() else {
        return no_account();
    };
    let searched = blocking(move || {
        let known: Vec<u32> = op.known.ranges().flat_map(|(first, last)| first..=last).collect();
        let reader = account.read()?;
        reader.search(op.mailbox, &known, query(op.key), Needed::All, &mut |_| true)
    })
    .await;
    match searched {
        Ok(found) => {
            let highest_modseq = (!found.uids.is_empty()).then_some(found.modseq);
            let uids: NumSet = found.uids.into_iter().map(Uid::get).collect();
            Outcome::Found(Found { uids, highest_modseq })
        }
        Err(StoreError::NoMailbox) => Outcome::Found(Found::default()),
        Err(error) => Outcome::Refused(refusal::store(cid, &error)),
    }
}

/// The depth of the recursion is bounded by the parser.
fn query(key: ResolvedKey) -> Query {
    match key {
        SearchKey::All => Query::All,
        SearchKey::Never => Query::Not(Box::new(Query::All)),
        SearchKey::And(keys) => Query::And(keys.into_iter().map(query).collect()),
        SearchKey::Or(one, two) => Query::Or(Box::new(query(*one)), Box::new(query(*two))),
        SearchKey::Not(key) => Query::Not(Box::new(query(*key))),
        SearchKey::Seqs(uids) | SearchKey::Uids(uids) => Query::Uids(uids),
        SearchKey::Flag(flags) => Query::Flags(flags),
        SearchKey::Keyword(keyword) => Query::Keyword(keyword),
        SearchKey::Header { field, text } => Query::Header { name: field, text },
        SearchKey::Body(text) => Query::Body(text),
        SearchKey::Text(text) => Query::Text(text),
        SearchKey::Internal(DateOrder::Before, day) => Query::ReceivedBefore(day.0),
        SearchKey::Internal(DateOrder::On, day) => Query::ReceivedOn(day.0),
        SearchKey::Internal(DateOrder::Since, day) => Query::ReceivedSince(day.0),
        SearchKey::Sent(DateOrder::Before, day) => Query::SentBefore(day.0),
        SearchKey::Sent(DateOrder::On, day) => Query::SentOn(day.0),
        SearchKey::Sent(DateOrder::Since, day) => Query::SentSince(day.0),
        SearchKey::Larger(size) => Query::Larger(size),
        SearchKey::Smaller(size) => Query::Smaller(size),
        SearchKey::ModSeq(modseq) => Query::ModSeq(modseq),
    }
}
