//! Makes a message that a program wrote fit to be sent.

use anyhow::{Result, anyhow, bail};
use mox_base::Address;
use mox_mime::{encode_phrase, fields, parse_address_list};

use super::arguments::Arguments;
use super::settings::Submission;

/// A message that can be sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Prepared {
    pub(super) rcpt: Address,
    /// Its lines all end with CRLF.
    pub(super) message: Vec<u8>,
    pub(super) has_8bit: bool,
    /// Whether that is so in the header section.
    pub(super) needs_utf8: bool,
}

/// Addresses of a To field that are looked at: one more than are allowed.
const ADDRESSES_MAX: usize = 2;

/// Finds the recipient, and puts the message in form: the author is who the settings say.
pub(super) fn prepare(
    arguments: &Arguments,
    submission: &Submission,
    message: &[u8],
) -> Result<Prepared> {
    let message = with_crlf(message);
    let (header, body) = split(&message);
    let mut kept = Vec::with_capacity(header.len());
    let mut to = Vec::new();
    for field in fields(header) {
        to.extend(field.is("To").then_some(field.value));
        if !field.is("From") {
            kept.extend_from_slice(header.get(field.lines()).unwrap_or_default());
        }
    }
    let rcpt = match &arguments.rcpt {
        Some(rcpt) => rcpt_of_argument(rcpt, submission)?,
        None => rcpt_of_header(&to, submission)?,
    };
    let mut head = from_field(arguments.name.as_deref(), &submission.from);
    if to.is_empty() {
        head.push_str(&format!("To: <{rcpt}>\r\n"));
    }
    // RFC 8689 §5.
    if submission.require_tls == Some(false) {
        head.push_str("TLS-Required: No\r\n");
    }
    let message = [head.as_bytes(), &kept, b"\r\n", body].concat();
    let header_bytes = head.len() + kept.len();
    let is_8bit = |bytes: &[u8]| !bytes.is_ascii();
    let needs_utf8 = message.get(..header_bytes).is_some_and(is_8bit);
    Ok(Prepared { rcpt, has_8bit: is_8bit(&message), needs_utf8, message })
}

/// Programs on Unix end lines with LF. A CR that is no part of a line end becomes one. RFC 5321
/// §2.3.8.
fn with_crlf(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + message.len() / 32);
    let mut was_cr = false;
    for &byte in message {
        match byte {
            b'\n' if was_cr => {}
            b'\r' | b'\n' => out.extend_from_slice(b"\r\n"),
            _ => out.push(byte),
        }
        was_cr = byte == b'\r';
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The header section without its empty line, and the body. A text that does not begin with a field
/// is all body.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    for field in fields(message) {
        let is_name = !field.name.is_empty() && field.name.iter().all(u8::is_ascii_graphic);
        if !is_name {
            break;
        }
        end = field.lines().end;
    }
    let (header, rest) = message.split_at_checked(end).unwrap_or((message, &[]));
    (header, rest.strip_prefix(b"\r\n").unwrap_or(rest))
}

/// `From` with the name that was asked for. Control characters in it would end the field, and UTF-8 would
/// take SMTPUTF8 of every server on the way.
fn from_field(name: Option<&str>, from: &Address) -> String {
    let name: String = name.unwrap_or_default().chars().filter(|c| !c.is_control()).collect();
    if name.is_empty() {
        return format!("From: <{from}>\r\n");
    }
    if !name.is_ascii() {
        return format!("From: {} <{from}>\r\n", encode_phrase(&name));
    }
    let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
    format!("From: \"{quoted}\" <{from}>\r\n")
}

fn rcpt_of_argument(rcpt: &str, submission: &Submission) -> Result<Address> {
    if rcpt.contains('@') {
        let rcpt = rcpt.strip_prefix('<').and_then(|rcpt| rcpt.strip_suffix('>')).unwrap_or(rcpt);
        return Address::parse(rcpt).map_err(|error| anyhow!("recipient {rcpt:?}: {error}"));
    }
    default_rcpt(rcpt, submission)
}

fn default_rcpt(rcpt: &str, submission: &Submission) -> Result<Address> {
    submission.default_rcpt.clone().ok_or_else(|| {
        anyhow!("recipient {rcpt:?} has no domain, and there is no DefaultDestination")
    })
}

/// A name alone is one of this machine, as in what cron writes: `To: root`.
fn rcpt_of_header(to: &[&[u8]], submission: &Submission) -> Result<Address> {
    let [to] = to else { bail!("with -t there must be exactly one To header field") };
    let name = to.trim_ascii();
    let is_name = |b: &u8| b.is_ascii_alphanumeric() || b"._-".contains(b);
    if !name.is_empty() && name.iter().all(is_name) {
        return default_rcpt(&String::from_utf8_lossy(name), submission);
    }
    let list = parse_address_list(to, ADDRESSES_MAX);
    match list.as_slice() {
        [one] => one.address().ok_or_else(|| anyhow!("no valid address in To")),
        _ => bail!("with -t there must be exactly one address in To"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::settings::Settings;
    use super::super::settings::tests::GOOD;
    use super::*;

    fn prepare_with(extra: &str, words: &str, message: &str) -> Result<Prepared> {
        let settings = Settings::parse(&format!("{GOOD}{extra}")).unwrap();
        let words: Vec<_> = words.split(' ').map(str::to_owned).collect();
        let arguments = Arguments::parse(&words)?;
        prepare(&arguments, &Submission::new(settings).unwrap(), message.as_bytes())
    }

    #[track_caller]
    fn check(words: &str, message: &str, want: Result<(&str, &str), &str>) {
        match (prepare_with("", words, message), want) {
            (Ok(got), Ok((rcpt, want))) => {
                let text = String::from_utf8(got.message).unwrap();
                assert_eq!((got.rcpt.to_string().as_str(), text.as_str()), (rcpt, want));
            }
            (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{error}"),
            (got, want) => panic!("{words}: {got:?} instead of {want:?}"),
        }
    }

    /// RFC 5322 §3.6.2.
    #[test]
    fn the_author_is_set_and_the_recipient_added() {
        check(
            "a@b.example",
            "Subject: x\nFrom: root\n (Cron)\n\nhello\n.\n",
            Ok((
                "a@b.example",
                "From: <me@mail.example>\r\nTo: <a@b.example>\r\nSubject: x\r\n\r\nhello\r\n.\r\n",
            )),
        );
        check(
            "-FCron\"x root",
            "To: root\r\n\r\nhi",
            Ok((
                "admin@mail.example",
                "From: \"Cron\\\"x\" <me@mail.example>\r\nTo: root\r\n\r\nhi\r\n",
            )),
        );
        check(
            "-t",
            "to: Me <a@b.example>\nFROM: x\n\n",
            Ok(("a@b.example", "From: <me@mail.example>\r\nto: Me <a@b.example>\r\n\r\n")),
        );
        check(
            "-FCronDaemon -i -odi -oem -oi -t -f root",
            "From: \"(Cron Daemon)\" <root>\nTo: root\nSubject: Cron\n\nx\n",
            Ok((
                "admin@mail.example",
                "From: \"CronDaemon\" <me@mail.example>\r\nTo: root\r\nSubject: Cron\r\n\r\nx\r\n",
            )),
        );
        // No header at all.
        let head = "From: <me@mail.example>\r\nTo: <a@b.example>\r\n\r\n";
        check("<a@b.example>", "just text\n", Ok(("a@b.example", &format!("{head}just text\r\n"))));
        check("a@b.example", "", Ok(("a@b.example", head)));
        check("a@b.example", "\n\na\rb", Ok(("a@b.example", &format!("{head}\r\na\r\nb\r\n"))));
    }

    #[test]
    fn exactly_one_recipient_is_found() {
        check("-t", "To: a@b.example, c@d.example\n\n", Err("one address"));
        check("-t", "To: a@b.example\nTo: c@d.example\n\n", Err("one To"));
        check("-t", "Subject: x\n\n", Err("one To"));
        check("-t", "To: some body\n\n", Err("no valid address"));
        check("a@b..example", "x\n", Err("recipient"));
        let settings = GOOD.replace("DefaultDestination", "#");
        let submission = Submission::new(Settings::parse(&settings).unwrap()).unwrap();
        let arguments = Arguments::parse(&["root".to_owned()]).unwrap();
        let error = prepare(&arguments, &submission, b"x").unwrap_err();
        assert!(error.to_string().contains("DefaultDestination"), "{error}");
    }

    /// RFC 6152, RFC 6532, RFC 8689 §5.
    #[test]
    fn what_a_message_needs_is_seen() {
        let flags = |message| {
            let prepared = prepare_with("", "a@b.example", message).unwrap();
            (prepared.has_8bit, prepared.needs_utf8)
        };
        assert_eq!(flags("Subject: x\n\nx"), (false, false));
        assert_eq!(flags("Subject: x\n\né"), (true, false));
        assert_eq!(flags("Subject: é\n\nx"), (true, true));
        let named = prepare_with("", "-FJosé a@b.example", "x").unwrap();
        assert!(!named.needs_utf8 && !named.has_8bit, "{named:?}");
        let text = String::from_utf8(named.message).unwrap();
        assert!(text.starts_with("From: =?utf-8?q?Jos=C3=A9?= <me@mail.example>\r\n"), "{text}");
        let no = prepare_with("RequireTLS: no\n", "a@b.example", "x").unwrap();
        assert!(String::from_utf8(no.message).unwrap().contains("\r\nTLS-Required: No\r\n"));
    }
}
