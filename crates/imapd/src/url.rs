//! URLs: whether they name what is here.
//!
//! Source: RFC 5092 §3, RFC 4467 §6.

use mox_imap::types::url::UrlServer;

use crate::connection::Connection;

impl Connection {
    /// Whether a URL is of the mailboxes of the one who is logged in, on this server.
    ///
    /// A user goes by any address of the account. RFC 5092 §3.2: a URL without a user is one of
    /// anonymous, who has no mailboxes here.
    pub(crate) fn is_own(&self, server: &UrlServer) -> bool {
        let (Some(user), Some(named)) = (&self.user, &server.user) else { return false };
        let is_user = *named == user.name
            || self.imapd.services.logins.account_name(named).as_deref()
                == Some(user.account.name());
        is_user && self.is_here(server)
    }

    /// Whether a URL is of this server, by the name it has on this port.
    ///
    /// One host may have several ports for IMAP; the mailboxes are the same.
    pub(crate) fn is_here(&self, server: &UrlServer) -> bool {
        !self.port.hostname.is_empty() && server.host.eq_ignore_ascii_case(&self.port.hostname)
    }
}
