//! Header fields that say how a message came here. RFC 5321 §4.4.

use std::net::IpAddr;

use mox_base::{DateTime, Domain, Host};

use crate::server::{Envelope, Service};
use crate::{ForwardPath, Mailbox, ReversePath};

/// The column after which a `Received` field is folded. RFC 5322 §2.1.1.
const FOLD_COLUMNS: usize = 76;

/// What goes into a `Received` field.
#[derive(Clone, Debug)]
pub struct Received<'a> {
    /// Who was served: where a user's mail program is, is nobody's business.
    pub service: Service,
    /// How it came.
    pub envelope: &'a Envelope,
    /// Our name.
    pub hostname: &'a Domain,
    /// Our address.
    pub local_ip: IpAddr,
    /// The client's address.
    pub remote_ip: IpAddr,
    /// The client's name as DNS has it for its address, if known.
    pub remote_name: Option<&'a Domain>,
    /// Whether the message needs SMTPUTF8, so that the field may be UTF-8. RFC 6531 §3.7.3.
    pub is_utf8: bool,
    /// Names this reception, in words without spaces.
    pub id: &'a str,
    /// TLS version and cipher suite, as `("TLS1.3", "TLS_AES_128_GCM_SHA256")`.
    pub tls: Option<(&'a str, &'a str)>,
    /// The recipient; `None` where one copy is for several, who need not know of each other.
    pub rcpt: Option<&'a ForwardPath>,
    /// When.
    pub time: DateTime,
}

impl Received<'_> {
    /// `Time-stamp-line = "Received:" FWS Stamp CRLF`, folded, with its CRLF.
    #[must_use]
    pub fn field(&self) -> String {
        let mut words = vec!["Received:".to_owned(), "from".to_owned()];
        match self.service {
            Service::Delivery => self.push_client(&mut words),
            Service::Submission => self.push_host(&mut words, self.hostname),
        }
        words.push("by".to_owned());
        self.push_host(&mut words, self.hostname);
        words.push(format!("({})", Host::Ip(self.local_ip)));
        words.extend(["via", "tcp", "with"].map(str::to_owned));
        words.push(self.with_protocol());
        if self.envelope.mail.requires_tls {
            // RFC 8689 §4.1 wants it to be seen.
            words.push("(requiretls)".to_owned());
        }
        words.extend(["id".to_owned(), self.id.to_owned()]);
        if let Some((version, cipher)) = self.tls {
            words.extend([format!("({version}"), format!("{cipher})")]);
        }
        if let Some(rcpt) = self.rcpt {
            words.extend(["for".to_owned(), rcpt.to_string()]);
        }
        if let Some(last) = words.last_mut() {
            last.push(';');
        }
        // RFC 5322 §3.3 allows leaving the day of the week out.
        let date = self.time.to_rfc5322();
        let date = date.split_once(", ").map_or(date.as_str(), |(_, date)| date);
        words.extend(date.split(' ').map(str::to_owned));
        fold(&words)
    }

    /// `Extended-Domain` of the client: what it says, and in a comment what we see.
    fn push_client(&self, words: &mut Vec<String>) {
        let ip = Host::Ip(self.remote_ip);
        match &self.envelope.client_name {
            Some(Host::Domain(domain)) => self.push_host(words, domain),
            Some(host @ Host::Ip(_)) => words.push(host.to_string()),
            None => words.push(ip.to_string()),
        }
        let said = self.envelope.client_name.as_ref().and_then(Host::domain);
        match self.remote_name.filter(|name| said != Some(*name)) {
            Some(name) => words.extend([format!("({}", name.ascii()), format!("{ip})")]),
            None => words.push(format!("({ip})")),
        }
    }

    /// U-labels with A-labels in a comment if the message is international anyway.
    fn push_host(&self, words: &mut Vec<String>, domain: &Domain) {
        if self.is_utf8 && domain.unicode() != domain.ascii() {
            words.extend([domain.unicode().to_owned(), format!("({})", domain.ascii())]);
        } else {
            words.push(domain.ascii().to_owned());
        }
    }

    /// `With`, of the registry in RFC 3848 and RFC 6531 §4.3.
    fn with_protocol(&self) -> String {
        if !self.envelope.is_esmtp {
            return "SMTP".to_owned();
        }
        let base = if self.is_utf8 { "UTF8SMTP" } else { "ESMTP" };
        let tls = if self.envelope.is_tls { "S" } else { "" };
        let login = if self.envelope.username.is_some() { "A" } else { "" };
        format!("{base}{tls}{login}")
    }
}

/// Joins words by spaces, or by CRLF TAB where the line would be too long.
fn fold(words: &[String]) -> String {
    let mut field = String::new();
    let mut columns = 0;
    for word in words {
        let width = word.chars().count();
        if columns == 0 {
            columns = width;
        } else if columns + 1 + width > FOLD_COLUMNS {
            field.push_str("\r\n\t");
            columns = 1 + width;
        } else {
            field.push(' ');
            columns += 1 + width;
        }
        field.push_str(word);
    }
    field.push_str("\r\n");
    field
}

/// `Return-path-line = "Return-Path:" FWS Reverse-path CRLF`. RFC 5321 §4.4.
#[must_use]
pub fn return_path_field(path: &ReversePath) -> String {
    format!("Return-Path: {path}\r\n")
}

/// `Delivered-To: address`: for whom this copy is. RFC 9228 §2.
#[must_use]
pub fn delivered_to_field(mailbox: &Mailbox) -> String {
    format!("Delivered-To: {}\r\n", mailbox.to_ascii_domain())
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use crate::command::{Command, MailCommand, Syntax};
    use mox_base::UnixSeconds;

    fn rcpt(text: &str) -> ForwardPath {
        let line = format!("RCPT TO:<{text}>");
        match Command::parse(line.as_bytes(), true, Syntax::default()) {
            Ok(Command::Rcpt(rcpt)) => rcpt.forward_path,
            other => panic!("{other:?}"),
        }
    }

    fn envelope(client_name: &str) -> Envelope {
        Envelope {
            client_name: Some(Host::Domain(Domain::parse(client_name).unwrap())),
            is_esmtp: true,
            username: None,
            is_tls: false,
            mail: MailCommand::default(),
            rcpts: vec![rcpt("mjl@local.example").into()],
            release: None,
            priority: 0,
        }
    }

    static PTR_NAME: LazyLock<Domain> = LazyLock::new(|| Domain::parse("ptr.example").unwrap());

    #[track_caller]
    fn check(change: impl FnOnce(&mut Received<'_>), envelope: &Envelope, want: &str) {
        let hostname = Domain::parse("mail.local.example").unwrap();
        let mut received = Received {
            service: Service::Delivery,
            envelope,
            hostname: &hostname,
            local_ip: "192.0.2.1".parse().unwrap(),
            remote_ip: "2001:db8::2".parse().unwrap(),
            remote_name: None,
            is_utf8: false,
            id: "abc_DEF",
            tls: None,
            rcpt: envelope.rcpts.first().map(|rcpt| &rcpt.forward_path),
            time: DateTime::from_unix_in_zone(UnixSeconds(1_795_164_932), 60),
        };
        change(&mut received);
        let field = received.field();
        assert_eq!(field, want);
        assert!(field.lines().all(|line| line.chars().count() <= FOLD_COLUMNS), "{field}");
    }

    /// RFC 5321 §4.4; RFC 3848; RFC 6531 §4.3; RFC 8689 §4.1.
    #[test]
    fn received_fields_say_how_it_came() {
        let plain = envelope("client.example");
        check(
            |_| {},
            &plain,
            "Received: from client.example ([IPv6:2001:db8::2]) by mail.local.example\r\n\
             \t([192.0.2.1]) via tcp with ESMTP id abc_DEF for <mjl@local.example>; 20 Nov\r\n\
             \t2026 09:55:32 +0100\r\n",
        );
        let mut helo = envelope("client.example");
        helo.is_esmtp = false;
        check(
            |received| {
                received.remote_name = Some(&PTR_NAME);
                received.rcpt = None;
            },
            &helo,
            "Received: from client.example (ptr.example [IPv6:2001:db8::2]) by\r\n\
             \tmail.local.example ([192.0.2.1]) via tcp with SMTP id abc_DEF; 20 Nov 2026\r\n\
             \t09:55:32 +0100\r\n",
        );
        let mut international = envelope("bücher.example");
        international.is_tls = true;
        international.mail.requires_tls = true;
        check(
            |received| {
                received.is_utf8 = true;
                received.tls = Some(("TLS1.3", "TLS_AES_128_GCM_SHA256"));
            },
            &international,
            "Received: from bücher.example (xn--bcher-kva.example) ([IPv6:2001:db8::2])\r\n\
             \tby mail.local.example ([192.0.2.1]) via tcp with UTF8SMTPS (requiretls) id\r\n\
             \tabc_DEF (TLS1.3 TLS_AES_128_GCM_SHA256) for <mjl@local.example>; 20 Nov\r\n\
             \t2026 09:55:32 +0100\r\n",
        );
    }

    /// RFC 6409 §8: nothing says that a user's address must be told.
    #[test]
    fn submission_hides_the_client() {
        let mut submitted = envelope("client.example");
        (submitted.is_tls, submitted.username) = (true, Some("mjl@local.example".to_owned()));
        check(
            |received| received.service = Service::Submission,
            &submitted,
            "Received: from mail.local.example by mail.local.example ([192.0.2.1]) via\r\n\
             \ttcp with ESMTPSA id abc_DEF for <mjl@local.example>; 20 Nov 2026 09:55:32\r\n\
             \t+0100\r\n",
        );
    }

    /// RFC 5321 §4.4; RFC 9228 §2.
    #[test]
    fn delivery_fields() {
        assert_eq!(return_path_field(&ReversePath::Null), "Return-Path: <>\r\n");
        let path = rcpt("\"a b\"@bücher.example");
        let mailbox = path.mailbox().unwrap().clone();
        let field = delivered_to_field(&mailbox);
        assert_eq!(field, "Delivered-To: \"a b\"@xn--bcher-kva.example\r\n");
        let field = return_path_field(&ReversePath::Mailbox(mailbox));
        assert_eq!(field, "Return-Path: <\"a b\"@xn--bcher-kva.example>\r\n");
    }
}
