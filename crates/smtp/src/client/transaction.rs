//! One message to send, and its commands. RFC 5321 §3.3.

use std::fmt::Write as _;

use super::{DeliveryError, ErrorKind, Extensions, Step};
use crate::dsn::{Notify, Ret, envid_parameter, orcpt_parameter};
use crate::{ForwardPath, ReversePath};

/// What is to be sent.
#[derive(Clone, Debug)]
pub struct Transaction {
    /// Where errors go.
    pub reverse_path: ReversePath,
    /// To whom; at least one.
    pub rcpts: Vec<RcptParams>,
    /// The exact size of the message, in bytes, without stuffed dots. RFC 1870.
    pub size_bytes: u64,
    /// Whether there are bytes above 127 in it. They are announced where the server takes them, and
    /// sent nevertheless where it does not say so: see `requires_8bitmime`.
    pub has_8bit: bool,
    /// Whether 8-bit data goes only to a server that says that it takes it. RFC 6152 §3.
    ///
    /// Deviation: RFC 6152 §3 wants the message converted or returned otherwise. Practically every
    /// server takes 8-bit data, and a signature would break with the conversion; so it is up to
    /// whoever sends.
    pub requires_8bitmime: bool,
    /// Whether its lines do not all end with CRLF, or have a NUL: BINARYMIME is needed.
    pub is_binary: bool,
    /// Whether a header field needs SMTPUTF8; whether an address does is seen.
    pub needs_utf8: bool,
    /// Whether it must be under TLS on all of its way. RFC 8689.
    pub requires_tls: bool,
    /// How much of it is to come back with a report of a failure. RFC 3461 §4.3.
    pub ret: Option<Ret>,
    /// The sender's name for it, decoded. RFC 3461 §4.4.
    pub envid: Option<String>,
    /// -9 to 9, 0 being usual. RFC 6710.
    pub priority: i8,
}

/// A recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RcptParams {
    /// Its address.
    pub path: ForwardPath,
    /// When reports are wanted. RFC 3461 §4.1.
    pub notify: Option<Notify>,
    /// The recipient as the sender knows it, decoded, with its type. RFC 3461 §4.2.
    pub orcpt: Option<String>,
}

impl From<ForwardPath> for RcptParams {
    fn from(path: ForwardPath) -> Self {
        Self { path, notify: None, orcpt: None }
    }
}

impl Transaction {
    /// Whether SMTPUTF8 must be said: RFC 6531 §3.3, §3.4.
    pub(super) fn is_utf8(&self) -> bool {
        let mut localparts = self.rcpts.iter().map(|rcpt| rcpt.path.localpart());
        let reverse = self.reverse_path.mailbox().map(|mailbox| mailbox.localpart.as_str());
        self.needs_utf8
            || reverse.is_some_and(|localpart| !localpart.is_ascii())
            || localparts.any(|localpart| !localpart.is_ascii())
    }

    /// Why it is of no use to try, if so. `has_tls`: whether TLS is on.
    pub(super) fn refusal(&self, extensions: &Extensions, has_tls: bool) -> Option<DeliveryError> {
        let size_max = extensions.size_bytes_max.filter(|max| *max > 0);
        let has_binary = extensions.has_chunking && extensions.has_binarymime;
        let must_say_8bit = self.requires_8bitmime && self.has_8bit && !self.is_binary;
        let (kind, is_permanent) = if must_say_8bit && !extensions.has_8bitmime {
            (ErrorKind::No8BitMime, true)
        } else if self.is_binary && !has_binary {
            // To convert it would break its signatures. RFC 3030 §3 allows to return it.
            (ErrorKind::NoBinaryMime, true)
        } else if self.is_utf8() && !extensions.has_smtputf8 {
            (ErrorKind::NoSmtpUtf8, true)
        } else if self.requires_tls && !(has_tls && extensions.has_requiretls) {
            // Another host may have it.
            (ErrorKind::NoRequireTls, false)
        } else if size_max.is_some_and(|max| self.size_bytes > max) {
            (ErrorKind::TooBig, true)
        } else {
            return None;
        };
        Some(DeliveryError { is_permanent, ..DeliveryError::ours(Step::Mail, kind) })
    }

    /// RFC 5321 §4.1.1.2 with the parameters of RFC 1870, RFC 6152, RFC 3030, RFC 6531, RFC 8689,
    /// RFC 3461 and RFC 6710.
    pub(super) fn mail_line(&self, extensions: &Extensions) -> String {
        let is_utf8 = self.is_utf8();
        let mut line = match (&self.reverse_path, is_utf8) {
            (ReversePath::Mailbox(mailbox), true) => format!("MAIL FROM:<{mailbox}>"),
            (path, _) => format!("MAIL FROM:{path}"),
        };
        if extensions.size_bytes_max.is_some() {
            push(&mut line, format_args!(" SIZE={}", self.size_bytes));
        }
        if self.is_binary {
            line.push_str(" BODY=BINARYMIME");
        } else if self.has_8bit && extensions.has_8bitmime {
            line.push_str(" BODY=8BITMIME");
        }
        if is_utf8 {
            line.push_str(" SMTPUTF8");
        }
        if self.requires_tls {
            line.push_str(" REQUIRETLS");
        }
        if let Some(ret) = self.ret.filter(|_| extensions.has_dsn) {
            push(&mut line, format_args!(" RET={ret}"));
        }
        let envid = self.envid.as_deref().filter(|_| extensions.has_dsn);
        if let Some(envid) = envid.and_then(envid_parameter) {
            push(&mut line, format_args!(" ENVID={envid}"));
        }
        if extensions.has_priority && self.priority != 0 {
            push(&mut line, format_args!(" MT-PRIORITY={}", self.priority.clamp(-9, 9)));
        }
        line
    }

    /// RFC 5321 §4.1.1.3 with the parameters of RFC 3461.
    pub(super) fn rcpt_line(&self, rcpt: &RcptParams, extensions: &Extensions) -> String {
        let mut line = match (&rcpt.path, self.is_utf8()) {
            (ForwardPath::Mailbox(mailbox), true) => format!("RCPT TO:<{mailbox}>"),
            (path, _) => format!("RCPT TO:{path}"),
        };
        if !extensions.has_dsn {
            return line;
        }
        if let Some(notify) = rcpt.notify {
            push(&mut line, format_args!(" NOTIFY={notify}"));
        }
        if let Some(orcpt) = rcpt.orcpt.as_deref().and_then(orcpt_parameter) {
            push(&mut line, format_args!(" ORCPT={orcpt}"));
        }
        line
    }
}

fn push(line: &mut String, parameter: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    line.write_fmt(parameter).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use mox_base::Address;

    use super::*;
    use crate::Mailbox;

    fn mailbox(address: &str) -> Mailbox {
        Mailbox::from(Address::parse(address).unwrap())
    }

    fn transaction() -> Transaction {
        Transaction {
            reverse_path: ReversePath::Mailbox(mailbox("a@☕.example")),
            rcpts: vec![ForwardPath::Mailbox(mailbox("b@☕.example")).into()],
            size_bytes: 10,
            has_8bit: false,
            requires_8bitmime: false,
            is_binary: false,
            needs_utf8: false,
            requires_tls: false,
            ret: None,
            envid: None,
            priority: 0,
        }
    }

    fn everything() -> Extensions {
        Extensions::parse(
            "x\nPIPELINING\n8BITMIME\nSMTPUTF8\nCHUNKING\nBINARYMIME\nDSN\nREQUIRETLS\n\
             MT-PRIORITY\nSIZE 1000",
        )
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut Transaction), extensions: &Extensions, want: [&str; 2]) {
        let mut transaction = transaction();
        change(&mut transaction);
        let rcpt = transaction.rcpt_line(&transaction.rcpts[0], extensions);
        assert_eq!([transaction.mail_line(extensions), rcpt], want);
        assert_eq!(transaction.refusal(extensions, true), None);
    }

    /// RFC 5321 §4.1.1.2, §4.1.1.3; RFC 6531 §3.4: U-labels only where SMTPUTF8 is said.
    #[test]
    fn commands_have_the_parameters_that_the_server_knows() {
        let (all, none) = (everything(), Extensions::default());
        let (from, to) = ("MAIL FROM:<a@xn--53h.example>", "RCPT TO:<b@xn--53h.example>");
        check(|_| {}, &none, [from, to]);
        check(|_| {}, &all, [&format!("{from} SIZE=10"), to]);
        check(|t| t.has_8bit = true, &none, [from, to]);
        check(|t| t.has_8bit = true, &all, [&format!("{from} SIZE=10 BODY=8BITMIME"), to]);
        check(|t| t.is_binary = true, &all, [&format!("{from} SIZE=10 BODY=BINARYMIME"), to]);
        check(
            |t| t.needs_utf8 = true,
            &all,
            ["MAIL FROM:<a@☕.example> SIZE=10 SMTPUTF8", "RCPT TO:<b@☕.example>"],
        );
        check(|t| t.requires_tls = true, &all, [&format!("{from} SIZE=10 REQUIRETLS"), to]);
        check(|t| t.priority = -3, &all, [&format!("{from} SIZE=10 MT-PRIORITY=-3"), to]);
        check(|t| t.priority = 3, &none, [from, to]);
        check(|t| t.reverse_path = ReversePath::Null, &none, ["MAIL FROM:<>", to]);
    }

    /// RFC 3461 §4.1 to §4.4: said to servers that know them; never what could end the line.
    #[test]
    fn report_parameters_are_encoded() {
        let reports = |envid: &'static str| {
            move |t: &mut Transaction| {
                t.ret = Some(Ret::Hdrs);
                t.envid = Some(envid.to_owned());
                t.rcpts[0].notify = Some(Notify::NEVER);
                t.rcpts[0].orcpt = Some("rfc822;b+x@y.example".to_owned());
            }
        };
        let (all, none) = (everything(), Extensions::default());
        let (from, to) = ("MAIL FROM:<a@xn--53h.example>", "RCPT TO:<b@xn--53h.example>");
        check(reports("x y"), &none, [from, to]);
        let to = format!("{to} NOTIFY=NEVER ORCPT=rfc822;b+2Bx@y.example");
        check(reports("x y"), &all, [&format!("{from} SIZE=10 RET=HDRS ENVID=x+20y"), &to]);
        check(reports("x\r\nDATA"), &all, [&format!("{from} SIZE=10 RET=HDRS"), &to]);
    }

    #[track_caller]
    fn check_refusal(
        change: impl FnOnce(&mut Transaction),
        extensions: &str,
        has_tls: bool,
        want: Option<(ErrorKind, bool)>,
    ) {
        let mut transaction = transaction();
        change(&mut transaction);
        let got = transaction.refusal(&Extensions::parse(&format!("x\n{extensions}")), has_tls);
        assert_eq!(got.map(|error| (error.kind, error.is_permanent)), want, "{extensions}");
    }

    /// RFC 1870 §6.1, RFC 3030 §3, RFC 6152 §3, RFC 6531 §3.2, RFC 8689 §4.2.1.
    #[test]
    fn what_the_server_cannot_take_is_not_tried() {
        use ErrorKind::*;
        let strict = |t: &mut Transaction| (t.has_8bit, t.requires_8bitmime) = (true, true);
        check_refusal(strict, "", true, Some((No8BitMime, true)));
        check_refusal(strict, "8BITMIME", true, None);
        check_refusal(|t| t.requires_8bitmime = true, "", true, None);
        let binary = |t: &mut Transaction| t.is_binary = true;
        check_refusal(binary, "BINARYMIME", true, Some((NoBinaryMime, true)));
        check_refusal(binary, "CHUNKING\n8BITMIME", true, Some((NoBinaryMime, true)));
        check_refusal(binary, "CHUNKING\nBINARYMIME", true, None);
        check_refusal(|t| t.needs_utf8 = true, "8BITMIME", true, Some((NoSmtpUtf8, true)));
        let wide = |t: &mut Transaction| {
            t.rcpts = vec![ForwardPath::Mailbox(mailbox("é@x.example")).into()]
        };
        check_refusal(wide, "", true, Some((NoSmtpUtf8, true)));
        check_refusal(wide, "SMTPUTF8", true, None);
        let tls = |t: &mut Transaction| t.requires_tls = true;
        check_refusal(tls, "", true, Some((NoRequireTls, false)));
        check_refusal(tls, "REQUIRETLS", false, Some((NoRequireTls, false)));
        check_refusal(tls, "REQUIRETLS", true, None);
        check_refusal(|t| t.size_bytes = 100, "SIZE 100", true, None);
        check_refusal(|t| t.size_bytes = 101, "SIZE 100", true, Some((TooBig, true)));
        check_refusal(|t| t.size_bytes = 101, "SIZE 0", true, None);
    }
}
