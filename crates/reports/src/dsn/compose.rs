//! Makes notifications. RFC 3464, RFC 6522 §3.

use mox_base::{DateTime, UnixSeconds};
use mox_mime::{BodyPart, ComposeError, Composer, NamedAddress, Param, Transport, fields};

use super::address::{orcpt, typed};
use super::{Action, Dsn, EnvelopeAddress, Form, Original, Recipient};

/// How much of a message is returned with a notification, in bytes; of larger ones the header is.
pub const RETURNED_BYTES_MAX: usize = 1 << 20;

/// How much of a header is returned, in bytes; what does not fit is left out at the end of a field.
pub const HEADER_RETURNED_BYTES_MAX: usize = 64 << 10;

/// The longest explanation in a field, in characters; the text for people has it whole.
pub const COMMENT_CHARS_MAX: usize = 300;

/// Over all of the parts, in bytes.
const DSN_BYTES_MAX: usize = 4 << 20;

/// The longest reply in `Diagnostic-Code`, in characters.
const DIAGNOSTIC_CHARS_MAX: usize = 2_000;

/// Makes a notification. Takes time linear in the size of what is returned.
///
/// Nothing of what others said can start a header field or another part: texts are in lines of
/// their own, line ends in them become blanks, and the boundary is random.
///
/// # Errors
///
/// If the sender's address does not go into [`Form::Ascii`], or it is larger than any should be.
pub fn compose(dsn: &Dsn, form: Form) -> Result<Vec<u8>, ComposeError> {
    let mut composer = Composer::new(DSN_BYTES_MAX, form == Form::Utf8);
    let from = NamedAddress { name: String::new(), address: Some(dsn.from.clone()) };
    composer.address_field("From", &[from])?;
    composer.field("To", &format!("<{}>", header_address(&dsn.to, form)?))?;
    composer.text_field("Subject", subject(dsn))?;
    composer.message_id_field(&dsn.message_id)?;
    let is_id = |id: &str| !id.is_empty() && id.bytes().all(|b| b.is_ascii_graphic());
    if is_id(&dsn.original.message_id) {
        composer.field("References", &dsn.original.message_id)?;
    }
    composer.date_field(dsn.date)?;
    // RFC 3834 §5: so that nobody answers it.
    composer.field("Auto-Submitted", "auto-replied")?;
    let status_type = match form {
        Form::Ascii => "message/delivery-status",
        Form::Utf8 => "message/global-delivery-status",
    };
    let transport = if form == Form::Utf8 { Transport::EightBit } else { Transport::SevenBit };
    let parts = [
        BodyPart::text("plain", &words(dsn, form), transport),
        BodyPart::verbatim(status_type, status(dsn, form).as_bytes()),
        returned(&dsn.original, form),
    ];
    let kind = Param { name: "report-type".into(), value: "delivery-status".into() };
    composer.finish(&BodyPart::multipart("report", &dsn.boundary, &[kind], &parts))
}

/// RFC 5322 §3.4.1; with an address literal it is not an [`mox_base::Address`].
fn header_address(address: &EnvelopeAddress, form: Form) -> Result<String, ComposeError> {
    match form {
        Form::Utf8 => Ok(format!("{}@{}", address.localpart, address.host)),
        Form::Ascii if address.localpart.is_international() => Err(ComposeError::NeedsSmtputf8),
        Form::Ascii => Ok(format!("{}@{}", address.localpart, address.host.ascii())),
    }
}

fn subject(dsn: &Dsn) -> &'static str {
    let has = |action| dsn.recipients.iter().any(|recipient| recipient.action == action);
    match () {
        () if has(Action::Failed) => "mail delivery failed",
        () if has(Action::Delayed) => "mail delivery delayed",
        () => "mail was delivered",
    }
}

/// The part for people.
fn words(dsn: &Dsn, form: Form) -> String {
    let mut text = String::new();
    let original = &dsn.original;
    if !original.subject.is_empty() {
        text.push_str(&format!("Your message with subject {:?}\n", original.subject));
    } else {
        text.push_str("Your message\n");
    }
    text.push_str(&format!("of {}\n", date(original.arrived)));
    for recipient in &dsn.recipients {
        text.push('\n');
        let rcpt = match form {
            Form::Ascii => typed(&recipient.rcpt, form),
            Form::Utf8 => format!("{}@{}", recipient.rcpt.localpart, recipient.rcpt.host),
        };
        let rcpt = rcpt.strip_prefix("rfc822; ").unwrap_or(&rcpt);
        let what = match recipient.action {
            Action::Failed => "could not be delivered, and will not be tried again, for:",
            Action::Delayed => "could not be delivered yet, but will be tried again, for:",
            Action::Delivered => "was delivered for:",
            Action::Relayed => "was taken by a server that may not tell more, for:",
            Action::Expanded => "was delivered and sent on for:",
        };
        text.push_str(&format!("{what}\n\n\t{rcpt}\n"));
        if let Some(until) = recipient.will_retry_until {
            text.push_str(&format!("\nThe last attempt will be made on {}.\n", date(until)));
        }
        if !recipient.explanation.is_empty() {
            text.push_str(&format!("\nReason:\n\n\t{}\n", one_line(&recipient.explanation)));
        }
        if !recipient.reply_lines.is_empty() {
            let server = recipient.remote_mta.as_ref().map_or("the server", |(host, _)| host);
            text.push_str(&format!("\nThe answer of {}:\n\n", one_line(server)));
            for line in &recipient.reply_lines {
                text.push_str(&format!("\t{}\n", one_line(line)));
            }
        }
    }
    text
}

fn date(time: UnixSeconds) -> String {
    DateTime::from_unix(time).to_rfc5322()
}

/// The fields about the message, then those about each recipient. RFC 3464 §2.1.
fn status(dsn: &Dsn, form: Form) -> String {
    let mut text = Fields { text: String::new(), form };
    if let Some(envid) = &dsn.original.envid {
        text.field("Original-Envelope-Id", envid);
    }
    text.field("Reporting-MTA", &format!("dns; {}", dsn.reporting_mta.ascii()));
    text.field("Arrival-Date", &date(dsn.original.arrived));
    if let Some(request) = &dsn.original.future_release {
        text.field("Future-Release-Request", request);
    }
    for recipient in &dsn.recipients {
        text.text.push_str("\r\n");
        recipient_status(&mut text, recipient);
    }
    text.text
}

/// RFC 3464 §2.3.
fn recipient_status(text: &mut Fields, recipient: &Recipient) {
    let form = text.form;
    if let Some(original) = recipient.orcpt.as_deref().and_then(|value| orcpt(value, form)) {
        text.field("Original-Recipient", &original);
    }
    text.field("Final-Recipient", &typed(&recipient.rcpt, form));
    text.field("Action", recipient.action.as_str());
    let comment = comment(&recipient.explanation);
    text.field("Status", &format!("{}{comment}", recipient.status));
    if let Some((host, ip)) = &recipient.remote_mta {
        let ip = ip.map(|ip| format!(" ({ip})")).unwrap_or_default();
        text.field("Remote-MTA", &format!("dns; {host}{ip}"));
    }
    if !recipient.reply_lines.is_empty() {
        let reply: String = recipient.reply_lines.join(" ");
        let reply: String = reply.chars().take(DIAGNOSTIC_CHARS_MAX).collect();
        text.field("Diagnostic-Code", &format!("smtp; {reply}"));
    }
    if let Some(time) = recipient.last_attempt {
        text.field("Last-Attempt-Date", &date(time));
    }
    if let Some(time) = recipient.will_retry_until {
        text.field("Will-Retry-Until", &date(time));
    }
}

/// A comment after a code, without what would end it. RFC 5322 §3.2.2.
fn comment(text: &str) -> String {
    let text: String = text.chars().take(COMMENT_CHARS_MAX).collect();
    let text = text.replace(['(', ')', '\\'], " ");
    if text.trim().is_empty() { String::new() } else { format!(" ({})", text.trim()) }
}

/// Fields of a delivery status.
struct Fields {
    text: String,
    form: Form,
}

impl Fields {
    /// Adds a field, folded at its blanks; nothing in `value` can start another.
    fn field(&mut self, name: &str, value: &str) {
        /// Columns. RFC 5322 §2.1.1.
        const LINE_COLUMNS: usize = 76;
        let value = one_line(value);
        let value = match self.form {
            Form::Utf8 => value,
            Form::Ascii => value.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect(),
        };
        self.text.push_str(name);
        self.text.push(':');
        let mut column = name.len() + 1;
        for (index, word) in value.split(' ').filter(|word| !word.is_empty()).enumerate() {
            let width = word.chars().count() + 1;
            let folds = index > 0 && column + width > LINE_COLUMNS;
            column = if folds { width } else { column + width };
            self.text.push_str(if folds { "\r\n " } else { " " });
            self.text.push_str(word);
        }
        self.text.push_str("\r\n");
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// The message or its header. RFC 6522 §3, RFC 6533 §4.
fn returned(original: &Original, form: Form) -> BodyPart {
    let whole = original.is_whole && original.content.len() <= RETURNED_BYTES_MAX;
    let header = header_of(&original.content);
    let is_ascii = original.content.is_ascii();
    match (whole, form) {
        // What is 8-bit cannot go over 7 bits, and may not be encoded: RFC 2046 §5.2.1.
        (true, Form::Ascii) if is_ascii => BodyPart::verbatim("message/rfc822", &original.content),
        (true, Form::Utf8) => BodyPart::verbatim("message/global", &original.content),
        (_, Form::Utf8) => BodyPart::verbatim("message/global-headers", header),
        (_, Form::Ascii) if header.is_ascii() => BodyPart::verbatim("text/rfc822-headers", header),
        (_, Form::Ascii) => BodyPart::bytes("text/rfc822-headers; charset=utf-8", header),
    }
}

/// Whole fields only, so that a notification does not end within one.
fn header_of(content: &[u8]) -> &[u8] {
    let end = fields(content)
        .map(|field| field.lines().end)
        .take_while(|end| *end <= HEADER_RETURNED_BYTES_MAX)
        .last()
        .unwrap_or(0);
    content.get(..end).unwrap_or_default()
}
