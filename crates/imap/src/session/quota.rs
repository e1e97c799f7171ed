//! GETQUOTA and GETQUOTAROOT. There is one quota root, the account, with the empty name.
//!
//! Source: RFC 9208.

use mox_base::MailboxName;

use super::op::QuotaUse;
use super::{Action, Op, Pending, Session, Tagged};
use crate::print;
use crate::types::MailboxArg;

/// What a quota counts in. RFC 9208 §5.1: STORAGE is in units of 1,024 octets.
const UNIT_BYTES: u64 = 1_024;

/// GETQUOTA. RFC 9208 §4.1.2.
pub(super) fn get(session: &mut Session, cmd: Tagged, root: &str) -> Action {
    if !root.is_empty() {
        return session.no(cmd, None, "no such quota root");
    }
    session.perform(cmd, Pending::Quota(None), Op::Quota)
}

/// GETQUOTAROOT. RFC 9208 §4.1.3: also of a mailbox that is not there yet.
pub(super) fn get_root(session: &mut Session, cmd: Tagged, mailbox: &MailboxArg) -> Action {
    match session.mailbox_name(cmd, mailbox) {
        Ok((cmd, name)) => session.perform(cmd, Pending::Quota(Some(name)), Op::Quota),
        Err(action) => action,
    }
}

/// SETQUOTA. RFC 9208 §4.1.4: the limit is the administrator's to set.
pub(super) fn set(session: &mut Session, cmd: Tagged) -> Action {
    session.no(cmd, Some(print::Code::NoPerm), "quota is set by the administrator")
}

/// `* QUOTAROOT mailbox ""` if that was asked, and `* QUOTA "" (STORAGE used limit)` if there is a
/// limit. RFC 9208 §4.2.
pub(super) fn found(
    session: &mut Session,
    cmd: Tagged,
    mailbox: Option<&MailboxName>,
    quota: QuotaUse,
) -> Action {
    let utf8 = session.enabled.utf8();
    let out = &mut session.out;
    if let Some(mailbox) = mailbox {
        out.extend_from_slice(b"* QUOTAROOT ");
        print::mailbox(out, mailbox.as_str(), utf8);
        out.extend_from_slice(b" \"\"\r\n");
    }
    if let Some(limit) = quota.limit_bytes {
        let units = |bytes: u64| bytes.div_ceil(UNIT_BYTES);
        let line = format!("QUOTA \"\" (STORAGE {} {})", units(quota.used_bytes), units(limit));
        print::untagged(out, &line);
    }
    session.done(cmd)
}
