//! The message that carries a report.

use std::sync::Arc;

use mox_base::{Address, DateTime, UnixSeconds};
use mox_config::Config;
use mox_mime::{BodyPart, Composer, NamedAddress, random_message_id};
use mox_queue::{Kind, NewMessage, NewRecipient};
use mox_signing::DomainKeys;
use mox_smtp::ReversePath;

use super::{REPORT_ATTEMPTS_MAX, ReportsError, Services, sending_account};

/// The largest message with a report, in bytes. Reports themselves are bounded far below, packed.
const MESSAGE_BYTES_MAX: usize = 100_000_000;

/// A message to be written.
pub(super) struct Draft {
    pub(super) kind: Kind,
    pub(super) from: Address,
    /// At least one.
    pub(super) to: Vec<Address>,
    pub(super) subject: String,
    /// More fields, which are signed too.
    pub(super) fields: Vec<(&'static str, String)>,
    pub(super) body: BodyPart,
}

/// A message as it goes into the queue.
pub(super) struct Written {
    kind: Kind,
    from: Address,
    to: Vec<Address>,
    subject: String,
    message_id: String,
    pub(super) bytes: Vec<u8>,
}

impl Draft {
    /// Writes the message, and signs it if there are keys. Blocks on signing.
    pub(super) fn write(
        self,
        services: &Services,
        config: &Config,
        keys: Option<&DomainKeys>,
        now: UnixSeconds,
    ) -> Result<Written, ReportsError> {
        let id = random_message_id(&*services.rng, config.hostname());
        let named = |address: &Address| NamedAddress {
            name: String::new(),
            address: Some(address.clone()),
        };
        let mut composer = Composer::new(MESSAGE_BYTES_MAX, false);
        composer.address_field("From", &[named(&self.from)])?;
        composer.address_field("To", &self.to.iter().map(named).collect::<Vec<_>>())?;
        composer.text_field("Subject", &self.subject)?;
        composer.message_id_field(&id)?;
        composer.date_field(DateTime::from_unix(now))?;
        // RFC 3834 §5: so that nobody answers it.
        composer.field("Auto-Submitted", "auto-generated")?;
        for (name, value) in &self.fields {
            composer.field(name, value)?;
        }
        let message = composer.finish(&self.body)?;
        let mut bytes = match keys {
            Some(keys) => {
                let keys = with_names(keys, self.fields.iter().map(|(name, _)| *name));
                keys.sign(config, &self.from, &message, now)?.into_bytes()
            }
            None => Vec::new(),
        };
        bytes.extend_from_slice(&message);
        let Self { kind, from, to, subject, .. } = self;
        Ok(Written { kind, from, to, subject, message_id: format!("<{id}>"), bytes })
    }
}

/// The same keys, signing more fields. RFC 6376 §5.4.
fn with_names<'a>(keys: &DomainKeys, names: impl Iterator<Item = &'a str>) -> DomainKeys {
    let mut signings = keys.signings.to_vec();
    let names: Vec<String> = names.map(str::to_owned).collect();
    for signing in &mut signings {
        signing.names.extend(names.iter().cloned());
    }
    DomainKeys { domain: keys.domain.clone(), signings: signings.into() }
}

impl Written {
    /// Puts the message into the queue. Blocks until it is on disk.
    pub(super) fn queue(
        self,
        services: &Services,
        config: &Arc<Config>,
        now: UnixSeconds,
    ) -> Result<(), ReportsError> {
        let body = services.queue.stage(&mut self.bytes.as_slice())?;
        let mut message = NewMessage::new(sending_account(config), body);
        message.message_id = self.message_id;
        message.subject = self.subject;
        message.kind = self.kind;
        message.attempts_max = Some(REPORT_ATTEMPTS_MAX);
        // RFC 8460 §3: a report about broken TLS must arrive in spite of it. RFC 8689 §5.
        message.require_tls = (self.kind == Kind::TlsReport).then_some(false);
        let mail_from = ReversePath::Mailbox(self.from.into());
        let recipient = |to: Address| NewRecipient::new(mail_from.clone(), to.into());
        message.recipients = self.to.into_iter().map(recipient).collect();
        services.queue.add(message, now).wait()?;
        Ok(())
    }
}
