//! `HELO` and `EHLO`: the client names itself. RFC 5321 §4.1.1.1.

use mox_base::Host;

use super::{CommandError, Syntax};
use crate::lex::Cursor;
use crate::path::{domain_name, host_name};

/// What the client calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientName {
    /// As it said.
    Host(Host),
    /// It does not matter: a mail program on a submission port, known by its IP address. What they
    /// say is often a host name without dots, or nothing of use.
    Ignored,
}

/// `ehlo = "EHLO" SP ( Domain / address-literal ) CRLF`.
///
/// A domain is A-labels here: SMTPUTF8 is not known yet (RFC 6531 §3.7.1).
pub(super) fn ehlo(argument: &str, syntax: Syntax) -> Result<ClientName, CommandError> {
    if syntax.is_submission && !syntax.is_pedantic {
        return Ok(ClientName::Ignored);
    }
    let mut cursor = Cursor::new(argument);
    if !cursor.eat(" ") {
        return Err(cursor.error());
    }
    // Text after a literal is taken for the comment that RFC 821 programs put there.
    let is_literal = cursor.rest().starts_with('[');
    let name = if is_literal { cursor.take_while(|c| c != ' ') } else { cursor.rest() };
    let host = host_name(name, false);
    host.map(ClientName::Host).ok_or_else(|| Cursor::new(argument).error())
}

/// `helo = "HELO" SP Domain CRLF`.
pub(super) fn helo(argument: &str, syntax: Syntax) -> Result<ClientName, CommandError> {
    if syntax.is_submission && !syntax.is_pedantic {
        return Ok(ClientName::Ignored);
    }
    let domain = argument.strip_prefix(' ').and_then(|name| domain_name(name, false));
    let host = domain.map(Host::Domain).map(ClientName::Host);
    host.ok_or_else(|| Cursor::new(argument).error())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::tests::{LOOSE, SUBMISSION};

    #[track_caller]
    fn check(argument: &str, want_ehlo: Option<&str>, want_helo: Option<&str>) {
        let name = |result: Result<ClientName, CommandError>| match result {
            Ok(ClientName::Host(host)) => Some(host.to_string()),
            Ok(ClientName::Ignored) => Some("ignored".to_owned()),
            Err(_) => None,
        };
        assert_eq!(name(ehlo(argument, LOOSE)).as_deref(), want_ehlo, "EHLO{argument}");
        assert_eq!(name(helo(argument, LOOSE)).as_deref(), want_helo, "HELO{argument}");
        assert_eq!(name(ehlo(argument, SUBMISSION)).as_deref(), Some("ignored"));
        assert_eq!(name(helo(argument, SUBMISSION)).as_deref(), Some("ignored"));
    }

    /// RFC 5321 §4.1.1.1, §4.1.3.
    #[test]
    fn clients_name_themselves_by_domain_or_literal() {
        check(" Mail.example", Some("mail.example"), Some("mail.example"));
        check(" localhost", Some("localhost"), Some("localhost"));
        check(" xn--bcher-kva.example", Some("bücher.example"), Some("bücher.example"));
        check(" [192.0.2.1]", Some("[192.0.2.1]"), None);
        check(" [IPv6:::1] and more", Some("[IPv6:::1]"), None);
        check(" [::1]", None, None);
        check(" mail.example and more", None, None);
        check(" 192.0.2.1", None, None);
        check(" bücher.example", None, None);
        check("", None, None);
        check(" ", None, None);
        check("  mail.example", None, None);
    }

    #[test]
    fn a_pedantic_submission_server_looks_at_the_name() {
        let pedantic = Syntax { is_pedantic: true, is_submission: true };
        assert!(ehlo(" a b", pedantic).is_err());
        assert!(ehlo(" a.example", pedantic).is_ok());
    }
}
