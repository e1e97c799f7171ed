//! HELO, EHLO and STARTTLS.

use mox_base::{DateTime, Host, UnixSeconds};

use super::auth::Login;
use super::session::{Client, State};
use super::{Action, HOLD_SECS_MAX, Question, RCPTS_MAX, Service, Session, Tls};
use crate::Reply;
use crate::command::ClientName;

impl Session {
    /// RFC 5321 §4.1.4: any transaction ends; a login stays.
    pub(super) fn ehlo(&mut self, name: ClientName, now: UnixSeconds) -> Action {
        self.state = State::Idle;
        let name = match name {
            ClientName::Host(host) => Some(host),
            ClientName::Ignored => None,
        };
        self.client = Some(Client { name, is_esmtp: true });
        Action::Reply(Reply::bare(250, self.extensions(now).join("\n")))
    }

    pub(super) fn helo(&mut self, name: ClientName) -> Action {
        self.state = State::Idle;
        match name {
            ClientName::Host(Host::Domain(domain)) => {
                let question = Question::ClientExists(domain.clone());
                let client = Client { name: Some(Host::Domain(domain)), is_esmtp: false };
                self.ask(State::HeloVerdict(client), question)
            }
            ClientName::Host(Host::Ip(_)) | ClientName::Ignored => {
                self.helo_verdict(Client { name: None, is_esmtp: false }, true)
            }
        }
    }

    /// One line and no extensions: RFC 5321 §4.1.1.1.
    pub(super) fn helo_verdict(&mut self, client: Client, exists: bool) -> Action {
        if !exists {
            return self.reject(Reply::new(550, (5, 0), "your host name does not exist"));
        }
        self.client = Some(client);
        Action::Reply(Reply::bare(250, self.config.hostname.ascii()))
    }

    /// `ehlo-ok-rsp` of RFC 5321 §4.1.1.1: only what works now, on this connection.
    ///
    /// DELIVERBY (RFC 2852) is not among them: nobody has it, so a promise would end at the next
    /// server.
    fn extensions(&self, now: UnixSeconds) -> Vec<String> {
        let config = &self.config;
        let mut lines = vec![
            config.hostname.ascii().to_owned(),
            // RFC 2920.
            "PIPELINING".to_owned(),
            // RFC 1870.
            format!("SIZE {}", config.size_bytes_max),
        ];
        if self.tls.is_none() && config.has_starttls {
            // RFC 3207.
            lines.push("STARTTLS".to_owned());
        }
        if self.tls.is_some() && config.has_requiretls {
            // RFC 8689 §2: only where TLS is on.
            lines.push("REQUIRETLS".to_owned());
        }
        if config.service == Service::Submission {
            let mechanisms: Vec<_> = self.mechanisms().map(|mechanism| mechanism.name()).collect();
            // RFC 4954 §3. Nothing to offer before TLS, then no line.
            if !mechanisms.is_empty() {
                lines.push(format!("AUTH {}", mechanisms.join(" ")));
            }
            // RFC 4865 §3.
            let last = DateTime::from_unix(now.plus_secs(HOLD_SECS_MAX.into()));
            lines.push(format!("FUTURERELEASE {HOLD_SECS_MAX} {}", last.to_rfc3339()));
        }
        // RFC 2034, RFC 6152, RFC 3461, RFC 3030, RFC 6710; RFC 9422, RFC 6531.
        let always =
            ["ENHANCEDSTATUSCODES", "8BITMIME", "DSN", "CHUNKING", "BINARYMIME", "MT-PRIORITY"];
        lines.extend(always.map(str::to_owned));
        lines.push(format!("LIMITS RCPTMAX={RCPTS_MAX}"));
        lines.push("SMTPUTF8".to_owned());
        lines
    }

    /// RFC 3207 §4.
    pub(super) fn starttls(&mut self) -> Action {
        if self.tls.is_some() {
            return self.refuse(Reply::new(503, (5, 1), "tls is on already"));
        }
        if self.login.is_some() {
            return self.refuse(Reply::new(503, (5, 1), "no tls after authentication"));
        }
        if !self.config.has_starttls {
            return self.refuse(Reply::new(503, (5, 1), "no tls here"));
        }
        self.state = State::Tls;
        Action::StartTls(Reply::new(220, (0, 0), "go ahead"))
    }

    /// Forgets all that was said before: somebody else may have said it. RFC 3207 §4.2.
    pub(super) fn tls_established(&mut self, tls: Tls) -> Action {
        self.state = State::Idle;
        self.client = None;
        self.login = None;
        self.set_tls(Some(tls));
        Action::Read
    }

    pub(super) fn set_tls(&mut self, tls: Option<Tls>) {
        let username = tls.as_ref().and_then(|tls| tls.certificate_username.clone());
        if self.config.service == Service::Submission {
            self.login = username.map(|username| Login { username, is_by_certificate: true });
        }
        self.tls = tls;
    }
}
