//! Outcomes of the driver, handed to the command that waits for them.

use mox_base::MailboxName;

use super::op::{Outcome, Refusal};
use super::{
    Action, Session, Tagged, Waiting, append, auth, capability, fetch, filters, list, mailbox,
    metadata, move_messages, multisearch, notify, quota, search, select, thread, unauthenticate,
    url_auth,
};
use crate::print;

/// What an outcome is for.
#[derive(Debug)]
pub(super) enum Pending {
    /// Any outcome that just is OK.
    Plain,
    Login,
    Unauthenticate,
    Authenticate,
    AuthenticateCancel,
    Id,
    Select(select::Selecting),
    Create(Option<String>),
    List(Box<crate::types::List>),
    Lsub(String, String),
    Status(MailboxName, Vec<crate::types::StatusItem>),
    Append(Box<append::Append>, append::Step),
    Fetch,
    Store(fetch::Storing),
    Copy,
    Move,
    Expunge,
    GetMetadata(Option<MailboxName>),
    Quota(Option<MailboxName>),
    Search(search::Searching),
    Filters(Box<crate::types::Command>),
    Sources(Box<crate::types::MultiSearch>),
    MultiSearch(multisearch::Searching),
    Notify,
    UrlAuth,
    ResetKey(Option<MailboxName>),
    Thread,
}

impl Session {
    /// Takes the answer to the [`Op`](super::Op) asked for last.
    pub fn complete(&mut self, outcome: Outcome) -> Action {
        let (cmd, pending) = match std::mem::replace(&mut self.waiting, Waiting::Closed) {
            Waiting::Outcome(cmd, pending) => (cmd, pending),
            Waiting::Telling(telling, resume) => return self.told(telling, resume, outcome),
            _ => return self.driver_fault("an outcome nobody asked for"),
        };
        match (pending, outcome) {
            (Pending::Authenticate, Outcome::Challenge(challenge)) => {
                auth::challenge(self, cmd, &challenge)
            }
            (Pending::Login | Pending::Authenticate, Outcome::Done) => auth::succeeded(self, cmd),
            // The last challenge of SCRAM may have told the client what is wrong: its `*` agrees.
            (Pending::AuthenticateCancel, Outcome::Refused(refusal))
                if refusal != Refusal::BadSaslMessage =>
            {
                self.refuse(cmd, &refusal)
            }
            (Pending::AuthenticateCancel, _) => self.bad(cmd, None, "authentication cancelled"),
            (Pending::Append(append, step), outcome) => {
                append::complete(self, cmd, append, step, outcome)
            }
            (Pending::UrlAuth, outcome) => url_auth::generated(self, cmd, outcome),
            (Pending::Select(selecting), outcome) => {
                select::complete(self, cmd, &selecting, outcome)
            }
            (_, Outcome::Refused(refusal)) => self.refuse(cmd, &refusal),
            (Pending::Plain, Outcome::Done) => self.done(cmd),
            (Pending::Unauthenticate, Outcome::Done) => unauthenticate::complete(self, cmd),
            (Pending::Id, Outcome::Done) => {
                capability::print_id(self);
                self.done(cmd)
            }
            (pending, outcome) => self.complete_more(cmd, pending, outcome),
        }
    }

    /// Commands after login whose refusals need nothing of their own.
    fn complete_more(&mut self, cmd: Tagged, pending: Pending, outcome: Outcome) -> Action {
        match (pending, outcome) {
            (Pending::Create(old), Outcome::Created(names)) => {
                mailbox::created(self, cmd, old.as_deref(), &names)
            }
            (Pending::List(list), Outcome::Mailboxes(names)) => {
                list::complete(self, cmd, &list, names)
            }
            (Pending::Lsub(reference, pattern), Outcome::Mailboxes(names)) => {
                list::complete_lsub(self, cmd, (&reference, &pattern), names)
            }
            (Pending::Status(name, items), Outcome::Status(status)) => {
                print::status(&mut self.out, name.as_str(), &items, &status, self.enabled.utf8());
                self.done(cmd)
            }
            (Pending::ResetKey(name), Outcome::Done) => {
                url_auth::was_reset(self, cmd, name.as_ref())
            }
            (Pending::Fetch, Outcome::Fetched(fetched)) => fetch::fetched(self, cmd, fetched),
            (Pending::Store(storing), Outcome::Stored(stored)) => {
                fetch::stored(self, cmd, &storing, &stored)
            }
            (Pending::Copy, Outcome::Copied(copied)) => move_messages::copied(self, cmd, &copied),
            (Pending::Move, Outcome::Copied(copied)) => move_messages::moved(self, cmd, &copied),
            (Pending::Expunge, Outcome::Expunged(expunged)) => {
                move_messages::expunged(self, cmd, &expunged)
            }
            (Pending::Search(searching), Outcome::Found(found)) => {
                search::complete(self, cmd, searching, found)
            }
            (Pending::Filters(command), Outcome::Metadata(found)) => {
                filters::found(self, cmd, *command, found)
            }
            (Pending::Sources(search), Outcome::Facts(facts)) => {
                multisearch::sources(self, cmd, *search, facts)
            }
            (Pending::MultiSearch(searching), Outcome::FoundIn(found)) => {
                multisearch::complete(self, cmd, &searching, found)
            }
            (Pending::Notify, Outcome::Facts(facts)) => notify::print_all(self, cmd, facts),
            (Pending::GetMetadata(mailbox), Outcome::Metadata(found)) => {
                metadata::found(self, cmd, mailbox.as_ref(), &found)
            }
            (Pending::Quota(mailbox), Outcome::Quota(quota)) => {
                quota::found(self, cmd, mailbox.as_ref(), quota)
            }
            (Pending::Thread, Outcome::Threads(threads)) => thread::complete(self, cmd, &threads),
            _ => self.driver_fault("an outcome of another kind"),
        }
    }
}
