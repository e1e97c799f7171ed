//! TLS and logging in.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mox_base::{Rng, Secret};
use mox_net::tls::client::{Connector, Verify};
use mox_sasl::{ChannelBindings, Client, ClientError as SaslError, Mechanism, ScramError};

use crate::ClientError;
use crate::session::{Session, finished, quoted};

/// Whether and how a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// TLS from the start; the usual port is 993. RFC 8314 §3.2.
    Implicit,
    /// STARTTLS, which must be offered; the usual port is 143. RFC 9051 §6.2.1.
    StartTls,
    /// None: the password may be read on its way.
    None,
}

/// Who logs in.
#[derive(Clone)]
pub struct Credentials {
    /// The name of the user.
    pub user: String,
    /// The password.
    pub password: Secret,
}

/// What is tried, the best first: with channel binding nobody can be in between, whatever the hash.
const WANTED: [Mechanism; 6] = [
    Mechanism::ScramSha256Plus,
    Mechanism::ScramSha1Plus,
    Mechanism::ScramSha256,
    Mechanism::ScramSha1,
    Mechanism::Plain,
    Mechanism::Login,
];

/// RFC 5802 §7: the server does not have this type of binding.
const UNSUPPORTED: SaslError = SaslError::Scram(ScramError::UnsupportedChannelBindingType);

impl Session {
    /// Puts TLS on the connection. RFC 9051 §6.2.1.
    ///
    /// # Errors
    ///
    /// [`ClientError::NoTls`] if the server does not offer it; else what TLS failed with.
    pub async fn start_tls(
        mut self,
        connector: &Connector,
        verify: &Verify,
    ) -> Result<Self, ClientError> {
        // A server that says before TLS that we are logged in may be somebody in between.
        if self.is_preauth {
            return Err(ClientError::NoTls);
        }
        self.ask_capabilities().await?;
        if !self.has("STARTTLS") {
            return Err(ClientError::NoTls);
        }
        self.run("STARTTLS", "", &mut |_| Ok(())).await?;
        let Self { conn, temporary, message_bytes_max, .. } = self;
        let connected = connector.connect(conn, verify).await;
        let (conn, _) = connected.map_err(|error| ClientError::Tls(Box::new(error)))?;
        // What was learnt before is forgotten.
        Ok(Self::fresh(conn, temporary, message_bytes_max))
    }

    /// Logs in, by the safest way that the server offers. RFC 9051 §6.2.2, §6.2.3.
    ///
    /// The password itself is only sent over TLS, or if `is_private` says that the way is safe.
    ///
    /// # Errors
    ///
    /// [`ClientError::LoginRefused`] if the server refuses; [`ClientError::NoMechanism`] if there is no
    /// way that is safe.
    pub async fn log_in(
        &mut self,
        credentials: &Credentials,
        is_private: bool,
        rng: &dyn Rng,
    ) -> Result<(), ClientError> {
        if self.is_preauth {
            return Ok(());
        }
        self.ask_capabilities().await?;
        let is_private = is_private || self.conn.tls().is_some();
        let offered: Vec<Mechanism> = self
            .capabilities
            .iter()
            .filter_map(|word| Mechanism::parse(word.strip_prefix("AUTH=")?).ok())
            .collect();
        let bindings = self.bindings();
        let chosen = Client::choose(&WANTED, &offered, &bindings, is_private);
        let outcome = match chosen {
            Some(mechanism) => {
                self.log_in_by(mechanism, &offered, bindings, credentials, rng).await
            }
            None if is_private && !self.has("LOGINDISABLED") => self.login(credentials).await,
            None => Err(ClientError::NoMechanism),
        };
        match outcome {
            Err(ClientError::Refused { text, .. }) => Err(ClientError::LoginRefused(text)),
            outcome => outcome,
        }?;
        // They are others now, and most servers tell them with the OK.
        self.run("CAPABILITY", "", &mut |_| Ok(())).await?;
        Ok(())
    }

    /// What a login can be bound to. RFC 9266 §2, RFC 5929 §4.
    fn bindings(&self) -> ChannelBindings {
        let info = self.conn.tls();
        let end_point = info.and_then(|info| info.server_end_point.as_deref());
        ChannelBindings {
            tls_exporter: info.and_then(|info| info.exporter),
            tls_server_end_point: end_point.map(Into::into),
        }
    }

    async fn login(&mut self, credentials: &Credentials) -> Result<(), ClientError> {
        let (user, password) = (&credentials.user, credentials.password.expose());
        // Quoted strings hold no such characters, and a server without SASL understands no other.
        if !user.is_ascii() || !password.is_ascii() {
            return Err(ClientError::NoMechanism);
        }
        let arguments = format!("{} {}", quoted(user), quoted(password));
        self.run("LOGIN", &arguments, &mut |_| Ok(())).await.map(|_| ())
    }

    /// Logs in by one mechanism; by one that binds once more with the other type of binding, if the
    /// server does not have the stronger one.
    ///
    /// It is never tried without a binding then: RFC 5802 §6 wants one wherever -PLUS is offered, and who
    /// is in between could refuse all of them. `tls-server-end-point` keeps that one out as well, unless
    /// it has the private key of the server.
    async fn log_in_by(
        &mut self,
        mechanism: Mechanism,
        offered: &[Mechanism],
        mut bindings: ChannelBindings,
        credentials: &Credentials,
        rng: &dyn Rng,
    ) -> Result<(), ClientError> {
        loop {
            let mut nonce = [0; 18];
            rng.fill(&mut nonce);
            let (user, password) = (&credentials.user, credentials.password.clone());
            let client = Client::new(mechanism, user, password, offered, &bindings, nonce)?;
            let mut has_answered = false;
            let outcome = self.authenticate(client, &mut has_answered).await;
            let is_refused = match &outcome {
                // Many servers do not say why.
                Err(ClientError::Refused { .. }) => !has_answered,
                Err(ClientError::Sasl(error)) => *error == UNSUPPORTED,
                _ => false,
            };
            let has_other =
                bindings.tls_exporter.take().is_some() && bindings.tls_server_end_point.is_some();
            if !(mechanism.is_plus() && is_refused && has_other) {
                return outcome;
            }
        }
    }

    /// - `has_answered`: set when a challenge was answered with what the password makes of it.
    async fn authenticate(
        &mut self,
        mut client: Client,
        has_answered: &mut bool,
    ) -> Result<(), ClientError> {
        let name = client.mechanism().name();
        let mut initial = client.initial().map(|response| BASE64.encode(response));
        let with_initial = self.has("SASL-IR") && initial.is_some();
        let arguments = match initial.take_if(|_| with_initial) {
            // RFC 4959 §3: an empty response is written so.
            Some(response) if response.is_empty() => format!("{name} ="),
            Some(response) => format!("{name} {response}"),
            None => name.to_owned(),
        };
        let tag = self.send("AUTHENTICATE", &arguments).await?;
        loop {
            let reply = match self.next_of(&tag).await? {
                Ok(reply) => reply,
                Err(last) => {
                    finished("AUTHENTICATE", last)?;
                    return Ok(client.finish()?);
                }
            };
            if reply.tag != b"+" {
                continue;
            }
            if let Some(response) = initial.take() {
                self.answer(&response).await?;
                continue;
            }
            let challenge = BASE64.decode(reply.rest.trim_ascii());
            let response = challenge
                .map_err(|_| mox_sasl::ClientError::Malformed)
                .and_then(|challenge| client.step(&challenge));
            match response {
                Ok(response) => {
                    *has_answered = true;
                    self.answer(&BASE64.encode(response)).await?;
                }
                Err(error) => {
                    self.answer("*").await?;
                    // The command ends, or the connection does.
                    while matches!(self.next_of(&tag).await, Ok(Ok(_))) {}
                    return Err(error.into());
                }
            }
        }
    }
}
