//! CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE and STATUS.

use mox_base::{MailboxId, MailboxName, SpecialUse};

use super::rights::{self, Right, Target};
use super::{Action, Op, Pending, Session, Tagged};
use crate::print::{Code, ListLine};
use crate::types::{Create, MailboxArg, Name, SEPARATOR, StatusItem, object_id};

/// CREATE. RFC 9051 §6.3.4, RFC 6154 §3.
pub(super) fn create(session: &mut Session, cmd: Tagged, create: Create) -> Action {
    // RFC 9051 §6.3.4: a trailing separator only says that children will follow.
    let asked = create.mailbox.0;
    let trimmed = MailboxArg(asked.trim_end_matches(SEPARATOR).to_owned());
    let (cmd, name) = match session.mailbox_name(cmd, &trimmed) {
        Ok(name) => name,
        Err(action) => return action,
    };
    let cmd = match rights::permit(session, cmd, Target::Named(&name), Right::Create) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    let mut special_use = SpecialUse::NONE;
    for attribute in &create.special_use {
        let named = std::str::from_utf8(attribute).ok().and_then(SpecialUse::from_name);
        match named {
            Some(role) => special_use = special_use | role,
            None => return session.no(cmd, Some(Code::UseAttr), "special use not supported"),
        }
    }
    let old_name = (trimmed.0 != asked).then_some(asked);
    session.perform(cmd, Pending::Create(old_name), Op::Create { name, special_use })
}

/// The mailboxes that now exist, parents first; RFC 9051 §6.3.4 wants a LIST with OLDNAME if the
/// name is not the one asked for.
pub(super) fn created(
    session: &mut Session,
    cmd: Tagged,
    asked: Option<&str>,
    names: &[(MailboxId, MailboxName)],
) -> Action {
    let utf8 = session.enabled.utf8();
    for (index, (_, name)) in names.iter().enumerate() {
        let is_last = index + 1 == names.len();
        let line = ListLine {
            attributes: &["\\Subscribed"],
            name: name.as_str(),
            old_name: asked.filter(|_| is_last && session.enabled.rev2),
            child_subscribed: false,
        };
        line.print(&mut session.out, utf8);
    }
    let Some((id, _)) = names.last() else { return session.done(cmd) };
    // RFC 8474 §4.1.
    let code = format!("MAILBOXID ({})", object_id::mailbox_id(*id));
    let text = format!("{} done", cmd.spelling);
    session.ok_with(cmd, |out| out.extend_from_slice(code.as_bytes()), &text)
}

/// DELETE, SUBSCRIBE and UNSUBSCRIBE. RFC 9051 §6.3.5, §6.3.7, §6.3.8.
pub(super) fn on_name(session: &mut Session, cmd: Tagged, mailbox: &MailboxArg) -> Action {
    let (cmd, name) = match session.mailbox_name(cmd, mailbox) {
        Ok(name) => name,
        Err(action) => return action,
    };
    let op = match cmd.name {
        Name::Delete => match rights::permit(session, cmd, Target::Named(&name), Right::Delete) {
            Ok(cmd) => return session.perform(cmd, Pending::Plain, Op::Delete(name)),
            Err(action) => return action,
        },
        Name::Subscribe => Op::Subscribe(name),
        _ => Op::Unsubscribe(name),
    };
    session.perform(cmd, Pending::Plain, op)
}

/// RENAME. RFC 9051 §6.3.6.
pub(super) fn rename(
    session: &mut Session,
    cmd: Tagged,
    from: &MailboxArg,
    to: &MailboxArg,
) -> Action {
    let (cmd, from) = match session.mailbox_name(cmd, from) {
        Ok(name) => name,
        Err(action) => return action,
    };
    let (cmd, to) = match session.mailbox_name(cmd, to) {
        Ok(name) => name,
        Err(action) => return action,
    };
    // Of the inbox the messages are moved, so that only the new name matters.
    let cmd = match rights::permit(session, cmd, Target::Named(&to), Right::Create) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    session.perform(cmd, Pending::Plain, Op::Rename { from, to })
}

/// STATUS. RFC 9051 §6.3.11; asking for HIGHESTMODSEQ enables CONDSTORE (RFC 7162 §3.1).
pub(super) fn status(
    session: &mut Session,
    cmd: Tagged,
    mailbox: &MailboxArg,
    items: Vec<StatusItem>,
) -> Action {
    let (cmd, name) = match session.mailbox_name(cmd, mailbox) {
        Ok(name) => name,
        Err(action) => return action,
    };
    let cmd = match rights::permit(session, cmd, Target::Named(&name), Right::Read) {
        Ok(cmd) => cmd,
        Err(action) => return action,
    };
    if items.contains(&StatusItem::HighestModSeq) {
        session.enable_condstore();
    }
    session.perform(cmd, Pending::Status(name.clone(), items), Op::Status(name))
}
