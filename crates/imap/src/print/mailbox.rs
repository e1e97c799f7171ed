//! LIST, STATUS and FLAGS responses.

use mox_base::{Flags, Keyword, MailboxId, ModSeq, UidValidity};

use super::text::{flags, mailbox, number};
use crate::types::{StatusItem, object_id};

/// One LIST response. RFC 9051 §7.3.1.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListLine<'a> {
    /// Attributes in the order of printing, with backslash.
    pub attributes: &'a [&'static str],
    /// The name.
    pub name: &'a str,
    /// The name the client knew it by. RFC 9051 §6.3.9.7 (`OLDNAME`).
    pub old_name: Option<&'a str>,
    /// Children match the SUBSCRIBED selection. RFC 9051 §6.3.9.6 (`CHILDINFO`).
    pub child_subscribed: bool,
}

impl ListLine<'_> {
    /// `* LIST (attributes) "/" name`, with the extended data there is.
    pub fn print(&self, out: &mut Vec<u8>, utf8: bool) {
        self.print_as(out, b"* LIST ", utf8);
    }

    /// The same as `* LSUB`. RFC 3501 §7.2.3.
    pub fn print_lsub(&self, out: &mut Vec<u8>, utf8: bool) {
        self.print_as(out, b"* LSUB ", utf8);
    }

    fn print_as(&self, out: &mut Vec<u8>, start: &[u8], utf8: bool) {
        out.extend_from_slice(start);
        flags(out, Flags::NONE, self.attributes.iter().copied());
        out.extend_from_slice(b" \"/\" ");
        mailbox(out, self.name, utf8);
        if self.child_subscribed || self.old_name.is_some() {
            out.extend_from_slice(b" (");
            if self.child_subscribed {
                out.extend_from_slice(b"\"CHILDINFO\" (\"SUBSCRIBED\")");
            }
            if let Some(old_name) = self.old_name {
                if self.child_subscribed {
                    out.push(b' ');
                }
                out.extend_from_slice(b"\"OLDNAME\" (");
                mailbox(out, old_name, utf8);
                out.push(b')');
            }
            out.push(b')');
        }
        out.extend_from_slice(b"\r\n");
    }
}

/// What STATUS tells of a mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MailboxStatus {
    /// Which it is.
    pub id: MailboxId,
    /// Number of messages.
    pub messages: u32,
    /// The next UID, or 2^32 when there is none left.
    pub uidnext: u64,
    /// The UID validity.
    pub uidvalidity: UidValidity,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Sum of message sizes in octets.
    pub size: u64,
    /// Sum of the sizes of messages with `\Deleted`, in octets.
    pub deleted_size: u64,
    /// The highest mod-sequence of the mailbox.
    pub highest_modseq: ModSeq,
}

/// `* STATUS mailbox (MESSAGES n …)`. RFC 9051 §7.3.3.
pub fn status(
    out: &mut Vec<u8>,
    name: &str,
    items: &[StatusItem],
    status: &MailboxStatus,
    utf8: bool,
) {
    out.extend_from_slice(b"* STATUS ");
    mailbox(out, name, utf8);
    out.extend_from_slice(b" (");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        out.extend_from_slice(item.name().as_bytes());
        out.push(b' ');
        match item {
            StatusItem::Messages => number(out, status.messages),
            StatusItem::UidNext => number(out, status.uidnext),
            StatusItem::UidValidity => number(out, status.uidvalidity.get()),
            StatusItem::Unseen => number(out, status.unseen),
            StatusItem::Deleted => number(out, status.deleted),
            StatusItem::Size => number(out, status.size),
            StatusItem::HighestModSeq => number(out, shown_modseq(status.highest_modseq)),
            StatusItem::Recent => number(out, 0_u32),
            StatusItem::DeletedStorage => number(out, status.deleted_size),
            StatusItem::AppendLimit => out.extend_from_slice(b"NIL"),
            StatusItem::MailboxId => {
                out.extend_from_slice(format!("({})", object_id::mailbox_id(status.id)).as_bytes());
            }
        }
    }
    out.extend_from_slice(b")\r\n");
}

/// A mod-sequence as clients see it: RFC 7162 §7 knows no zero for a message or mailbox.
pub(crate) fn shown_modseq(modseq: ModSeq) -> u64 {
    modseq.get().max(1)
}

/// `* FLAGS (…)`: the flags a mailbox knows. RFC 9051 §7.3.5.
pub fn flags_line(out: &mut Vec<u8>, keywords: &[Keyword]) {
    out.extend_from_slice(b"* FLAGS ");
    flags(out, Flags::ALL, keywords.iter().map(Keyword::as_str));
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: ListLine<'_>, utf8: bool, want: &str) {
        let mut out = Vec::new();
        line.print(&mut out, utf8);
        assert_eq!(String::from_utf8(out).unwrap(), want);
    }

    /// RFC 9051 §7.3.1, §6.3.9.6, §6.3.9.7.
    #[test]
    fn list_lines_carry_extended_data_when_there_is_some() {
        let line = ListLine { name: "a b", ..ListLine::default() };
        check(line, false, "* LIST () \"/\" \"a b\"\r\n");
        let attributes = &["\\Subscribed", "\\Sent"];
        check(
            ListLine { attributes, name: "☺", ..line },
            false,
            "* LIST (\\Subscribed \\Sent) \"/\" &Jjo-\r\n",
        );
        check(
            ListLine { old_name: Some("x"), ..line },
            true,
            "* LIST () \"/\" \"a b\" (\"OLDNAME\" (x))\r\n",
        );
        check(
            ListLine { child_subscribed: true, ..line },
            true,
            "* LIST () \"/\" \"a b\" (\"CHILDINFO\" (\"SUBSCRIBED\"))\r\n",
        );
    }

    /// RFC 9051 §7.3.3, RFC 7889 §3, RFC 7162 §3.1.2.
    #[test]
    fn status_lists_all_items_in_the_order_asked() {
        let data = MailboxStatus {
            id: MailboxId(7),
            messages: 3,
            uidnext: 4,
            uidvalidity: UidValidity::MIN,
            unseen: 2,
            deleted: 1,
            size: 1_000,
            deleted_size: 400,
            highest_modseq: ModSeq::default(),
        };
        let mut out = Vec::new();
        status(&mut out, "x", &StatusItem::ALL, &data, false);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "* STATUS x (MESSAGES 3 UIDNEXT 4 UIDVALIDITY 1 UNSEEN 2 DELETED 1 SIZE 1000 \
             RECENT 0 HIGHESTMODSEQ 1 APPENDLIMIT NIL DELETED-STORAGE 400 MAILBOXID (F7))\r\n"
        );
    }
}
