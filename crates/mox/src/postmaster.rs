//! Mail of the server itself to its postmaster.

use std::io::Cursor;

use anyhow::{Context, Result, anyhow};
use mox_base::{DateTime, Flags};
use mox_mime::{BodyPart, Composer, Transport};
use mox_store::{Destination, NewMessage};

use crate::services::Services;

/// The largest such message, in bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Puts a message into the mailbox of the postmaster, where a person will see it. Blocks.
///
/// # Errors
///
/// If the account takes no mail, such as over its quota.
pub(crate) fn notify(services: &Services, subject: &str, text: &str) -> Result<()> {
    let config = services.config.snapshot();
    let postmaster = &config.statics.postmaster;
    let host = config.hostname();
    let mut random = [0; 12];
    services.rng.fill(&mut random);
    let id: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let compose = || {
        let mut composer = Composer::new(MESSAGE_BYTES_MAX, false);
        let host = host.ascii();
        composer.field("From", &format!("mox <postmaster@{host}>"))?;
        composer.field("To", &format!("<postmaster@{host}>"))?;
        composer.text_field("Subject", subject)?;
        composer.date_field(DateTime::from_unix(services.clock.now()))?;
        composer.message_id_field(&format!("{id}@{host}"))?;
        // RFC 3834 §5: nobody is to answer.
        composer.field("Auto-Submitted", "auto-generated")?;
        composer.finish(&BodyPart::text("plain", text, Transport::EightBit))
    };
    let message = compose().map_err(|error| anyhow!("compose a message: {error}"))?;
    let account = services.store.account(&postmaster.account).context("account of postmaster")?;
    let content = account.stage(Vec::new(), &mut Cursor::new(message))?;
    let (flags, keywords) = (Flags::NONE, Vec::new());
    let message = NewMessage { content, flags, keywords, received: None, envelope: None };
    let destination = Destination { mailbox: postmaster.mailbox.0.clone(), create: true };
    account.add(destination, vec![message]).wait().context("mail to postmaster")?;
    Ok(())
}
