//! Writes messages. RFC 5322, RFC 2045 to RFC 2047.

use base64::Engine as _;
use mox_base::{Address, DateTime, Domain, Rng};

use crate::address::NamedAddress;
use crate::bytes::{floor_str, tail};
use crate::content::Param;

/// Where a header line is folded, in columns. RFC 5322 §2.1.1 wants 78 at most.
const LINE_COLUMNS: usize = 77;
/// The longest line of a body that goes unencoded, in bytes.
const BODY_LINE_BYTES_MAX: usize = 76;
/// The longest encoded-word. RFC 2047 §2.
const ENCODED_WORD_BYTES: usize = 75;

/// Why a message could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComposeError {
    /// The message is over the size it was given.
    TooLarge,
    /// An address has a localpart that ASCII cannot express (RFC 6531).
    NeedsSmtputf8,
    /// A field name that is none, or a structured value that is not printable ASCII.
    BadField,
}

impl std::fmt::Display for ComposeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "message too large",
            Self::NeedsSmtputf8 => "address needs smtputf8",
            Self::BadField => "invalid header field",
        })
    }
}

impl std::error::Error for ComposeError {}

/// Writes a header section field by field, and then a body.
#[derive(Debug)]
pub struct Composer {
    out: Vec<u8>,
    bytes_max: usize,
    is_smtputf8: bool,
}

impl Composer {
    /// A message of at most `bytes_max` bytes; with `is_smtputf8`, headers are UTF-8 (RFC 6532).
    #[must_use]
    pub fn new(bytes_max: usize, is_smtputf8: bool) -> Self {
        Self { out: Vec::new(), bytes_max, is_smtputf8 }
    }

    /// Writes a structured field as it is, folded at its blanks.
    pub fn field(&mut self, name: &str, value: &str) -> Result<(), ComposeError> {
        if value.chars().any(|c| c.is_control() || (!c.is_ascii() && !self.is_smtputf8)) {
            return Err(ComposeError::BadField);
        }
        let words: Vec<String> = value.split(' ').map(str::to_owned).collect();
        self.folded(name, &words, "\r\n ")
    }

    /// Writes an unstructured field such as Subject; control characters become blanks.
    ///
    /// Unfolding gives the text back: lines are broken before a blank that stays. Deviation: our
    /// specification folds with a tab, which would change the text.
    pub fn text_field(&mut self, name: &str, text: &str) -> Result<(), ComposeError> {
        let text = printable(text);
        let words = if self.is_smtputf8 || is_plain_text(&text) {
            text.split(' ').map(str::to_owned).collect()
        } else {
            encode_words(&text)
        };
        self.folded(name, &words, "\r\n ")
    }

    /// Writes an address field; nothing if `list` has no address. RFC 5322 §3.4.
    pub fn address_field(&mut self, name: &str, list: &[NamedAddress]) -> Result<(), ComposeError> {
        let mut words: Vec<String> = Vec::new();
        let addresses = list.iter().filter_map(|item| Some((&item.name, item.address.as_ref()?)));
        for (display_name, address) in addresses {
            if let Some(last) = words.last_mut() {
                last.push(',');
            }
            let address = self.address_text(address)?;
            let display_name = printable(display_name);
            if display_name.trim().is_empty() {
                words.push(format!("<{address}>"));
            } else {
                words.extend(self.display_name(display_name.trim()));
                words.push(format!("<{address}>"));
            }
        }
        if words.is_empty() { Ok(()) } else { self.folded(name, &words, "\r\n\t") }
    }

    /// Writes the Date field. RFC 5322 §3.6.1.
    pub fn date_field(&mut self, date: DateTime) -> Result<(), ComposeError> {
        self.field("Date", &date.to_rfc5322())
    }

    /// Writes a Message-ID field; `id` has no `<>`. RFC 5322 §3.6.4.
    pub fn message_id_field(&mut self, id: &str) -> Result<(), ComposeError> {
        self.field("Message-ID", &format!("<{id}>"))
    }

    /// Writes fields and bytes of the body, and ends the message.
    pub fn finish(mut self, body: &BodyPart) -> Result<Vec<u8>, ComposeError> {
        self.field("MIME-Version", "1.0")?;
        for (name, value) in &body.fields {
            self.field(name, value)?;
        }
        self.put(b"\r\n")?;
        self.put(&body.body)?;
        Ok(self.out)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ComposeError> {
        if bytes.len() > self.bytes_max - self.out.len() {
            return Err(ComposeError::TooLarge);
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// Writes a field whose words are joined by blanks, or by `fold` where the line gets too long.
    fn folded(&mut self, name: &str, words: &[String], fold: &str) -> Result<(), ComposeError> {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic() && b != b':') {
            return Err(ComposeError::BadField);
        }
        let mut line = format!("{name}:");
        let mut column = line.len();
        for word in words {
            let width = word.chars().count();
            // An empty word (two blanks in a row) never starts a line: a line of blanks only would
            // be obsolete (RFC 5322 §4.2).
            if column + 1 + width > LINE_COLUMNS && column > name.len() + 1 && !word.is_empty() {
                line.push_str(fold);
                column = 1;
            } else {
                line.push(' ');
                column += 1;
            }
            line.push_str(word);
            column += width;
        }
        line.push_str("\r\n");
        self.put(line.as_bytes())
    }

    fn address_text(&self, address: &Address) -> Result<String, ComposeError> {
        if self.is_smtputf8 {
            return Ok(address.to_string());
        }
        address.ascii().ok_or(ComposeError::NeedsSmtputf8)
    }

    /// `display-name`: atoms, else a quoted-string, else encoded-words (RFC 2047 §5 rule 3).
    fn display_name(&self, name: &str) -> Vec<String> {
        let is_atoms = name.bytes().all(|b| b == b' ' || is_atext(b)) && !name.contains("  ");
        if is_atoms && !name.contains("=?") {
            return name.split(' ').map(str::to_owned).collect();
        }
        if !name.is_ascii() && !self.is_smtputf8 {
            return vec![encode_phrase(name)];
        }
        let mut quoted = String::from("\"");
        for c in name.chars() {
            if matches!(c, '"' | '\\') {
                quoted.push('\\');
            }
            quoted.push(c);
        }
        quoted.push('"');
        vec![quoted]
    }
}

/// `atext`. RFC 5322 §3.2.3.
fn is_atext(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte)
}

/// No line end or other control gets into a header: each would start a field of its own.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn is_plain_text(text: &str) -> bool {
    text.is_ascii() && !text.contains("=?")
}

/// Encodes the words of a text that need it. RFC 2047 §2, §5 rule 1.
///
/// A run of such words is encoded with the blanks between them, because those between
/// encoded-words are not part of the text (RFC 2047 §6.2).
fn encode_words(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut run = String::new();
    for word in text.split(' ') {
        if is_plain_text(word) && !word.is_empty() {
            if !run.is_empty() {
                out.extend(encode_run(&std::mem::take(&mut run)));
            }
            out.push(word.to_owned());
        } else {
            if !run.is_empty() {
                run.push(' ');
            }
            run.push_str(word);
            if word.is_empty() && run.is_empty() {
                out.push(String::new());
            }
        }
    }
    if !run.is_empty() {
        out.extend(encode_run(&run));
    }
    out
}

/// The name of somebody in encoded-words, for a header in ASCII. Control characters become blanks. RFC 2047
/// §5 (3).
#[must_use]
pub fn encode_phrase(text: &str) -> String {
    let text = &printable(text);
    encode_run(text).join(" ")
}

/// Encoded-words of at most [`ENCODED_WORD_BYTES`] for all of `text`, cut between characters.
fn encode_run(text: &str) -> Vec<String> {
    const START: &str = "=?utf-8?q?";
    let room = ENCODED_WORD_BYTES - START.len() - 2;
    let mut words = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        let encoded = encode_q(c);
        if word.len() + encoded.len() > room {
            words.push(format!("{START}{word}?="));
            word.clear();
        }
        word.push_str(&encoded);
    }
    words.push(format!("{START}{word}?="));
    words
}

/// The "Q" encoding of a character, with the alphabet allowed in a phrase. RFC 2047 §5 rule 3.
fn encode_q(c: char) -> String {
    match c {
        ' ' => "_".to_owned(),
        'a'..='z' | 'A'..='Z' | '0'..='9' | '!' | '*' | '+' | '-' | '/' => c.to_string(),
        _ => {
            let mut buffer = [0; 4];
            c.encode_utf8(&mut buffer).bytes().map(|b| format!("={b:02X}")).collect()
        }
    }
}

/// A part with its Content fields and its body, encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyPart {
    fields: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

/// What the transport of a message takes. RFC 6152.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// ASCII only: other text is encoded as quoted-printable.
    SevenBit,
    /// Also `8BITMIME`.
    EightBit,
}

impl BodyPart {
    /// A text part; `subtype` is `plain` or `html`. Line ends become CRLF, the last is added.
    ///
    /// Charset US-ASCII if it suffices, else UTF-8 (RFC 2046 §4.1.2). Quoted-printable if a line is
    /// longer than 76 bytes, or has a bare CR, or has 8-bit text the transport does not take.
    #[must_use]
    pub fn text(subtype: &str, text: &str, transport: Transport) -> Self {
        let mut body = text.replace("\r\n", "\n").replace('\n', "\r\n");
        if !body.ends_with("\r\n") {
            body.push_str("\r\n");
        }
        let charset = if body.is_ascii() { "us-ascii" } else { "utf-8" };
        let is_long = body
            .split("\r\n")
            .any(|line| line.len() > BODY_LINE_BYTES_MAX || line.contains(['\r', '\0']));
        let needs_8bit = charset == "utf-8";
        let (encoding, body) = if is_long || (needs_8bit && transport == Transport::SevenBit) {
            ("quoted-printable", encode_quoted_printable(&body))
        } else {
            (if needs_8bit { "8bit" } else { "7bit" }, body.into_bytes())
        };
        let content_type = format!("text/{subtype}; charset={charset}");
        Self::with(content_type, encoding, body)
    }

    /// A part of any bytes, in base64. `content_type` has its parameters.
    #[must_use]
    pub fn bytes(content_type: &str, bytes: &[u8]) -> Self {
        let encoded = base64::engine::general_purpose::STANDARD.encode(bytes);
        let mut body = Vec::with_capacity(encoded.len() / BODY_LINE_BYTES_MAX * 78 + 2);
        for line in encoded.as_bytes().chunks(BODY_LINE_BYTES_MAX) {
            body.extend_from_slice(line);
            body.extend_from_slice(b"\r\n");
        }
        Self::with(content_type.to_owned(), "base64", body)
    }

    /// A part of text with CRLF line ends that is sent as it is: an embedded message or a
    /// delivery status. RFC 2046 §5.2.1 allows no other encoding.
    #[must_use]
    pub fn verbatim(content_type: &str, text: &[u8]) -> Self {
        let encoding = if text.is_ascii() { "7bit" } else { "8bit" };
        Self::with(content_type.to_owned(), encoding, text.to_vec())
    }

    /// A multipart; `boundary` must not occur in the parts, see [`random_boundary`].
    /// RFC 2046 §5.1.
    #[must_use]
    pub fn multipart(subtype: &str, boundary: &str, params: &[Param], parts: &[Self]) -> Self {
        let mut body = Vec::new();
        for part in parts {
            body.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
            for (name, value) in &part.fields {
                body.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            body.extend_from_slice(b"\r\n");
            body.extend_from_slice(&part.body);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
        let mut content_type = format!("multipart/{subtype}; boundary=\"{boundary}\"");
        for Param { name, value } in params {
            content_type.push_str(&format!("; {}", encode_param(name, value)));
        }
        let encoding = if body.is_ascii() { "7bit" } else { "8bit" };
        Self::with(content_type, encoding, body)
    }

    /// Adds a Content-Disposition with a file name. RFC 2183 §2.3.
    #[must_use]
    pub fn with_disposition(mut self, kind: &str, filename: &str) -> Self {
        let value = format!("{kind}; {}", encode_param("filename", &printable(filename)));
        self.fields.push(("Content-Disposition", value));
        self
    }

    fn with(content_type: String, encoding: &str, body: Vec<u8>) -> Self {
        let fields = vec![
            ("Content-Type", content_type),
            ("Content-Transfer-Encoding", encoding.to_owned()),
        ];
        Self { fields, body }
    }
}

/// `name=value`, quoted, or percent-encoded if it is not ASCII. RFC 2231 §4.
fn encode_param(name: &str, value: &str) -> String {
    if value.is_ascii() {
        return format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""));
    }
    let encode = |b: u8| match b {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(b).to_string(),
        _ => format!("%{b:02X}"),
    };
    format!("{name}*=utf-8''{}", value.bytes().map(encode).collect::<String>())
}

/// quoted-printable with lines of at most 76 bytes; line ends of the text stay. RFC 2045 §6.7.
fn encode_quoted_printable(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for line in text.split_inclusive("\r\n") {
        let (content, end) = match line.strip_suffix("\r\n") {
            Some(content) => (content, "\r\n"),
            None => (line, ""),
        };
        let mut column = 0;
        let bytes = content.as_bytes();
        for (at, byte) in bytes.iter().enumerate() {
            let is_last = tail(bytes, at + 1).is_empty();
            let is_plain = matches!(byte, b'!'..=b'<' | b'>'..=b'~')
                || (matches!(byte, b' ' | b'\t') && !is_last);
            let width = if is_plain { 1 } else { 3 };
            if column + width > BODY_LINE_BYTES_MAX - usize::from(!is_last) {
                out.extend_from_slice(b"=\r\n");
                column = 0;
            }
            if is_plain {
                out.push(*byte);
            } else {
                out.extend_from_slice(format!("={byte:02X}").as_bytes());
            }
            column += width;
        }
        out.extend_from_slice(end.as_bytes());
    }
    out
}

/// Random bits in an id or boundary: enough that none is ever met again or guessed.
const RANDOM_BYTES: usize = 18;

fn random_text(rng: &dyn Rng) -> String {
    let mut bytes = [0; RANDOM_BYTES];
    rng.fill(&mut bytes);
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
}

/// A new Message-ID without `<>`. RFC 5322 §3.6.4.
#[must_use]
pub fn random_message_id(rng: &dyn Rng, domain: &Domain) -> String {
    format!("{}@{}", random_text(rng), domain.ascii())
}

/// A boundary that occurs in no part but by design. `=_` never stands in base64 or
/// quoted-printable (RFC 2045 §6.7).
#[must_use]
pub fn random_boundary(rng: &dyn Rng) -> String {
    format!("=_{}", floor_str(&random_text(rng), 68))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Limits, decode_header, first_field, parse_bytes, unfold};

    fn address(name: &str, address: &str) -> NamedAddress {
        NamedAddress { name: name.to_owned(), address: Some(Address::parse(address).unwrap()) }
    }

    fn composed(write: impl FnOnce(&mut Composer) -> Result<(), ComposeError>) -> String {
        let mut composer = Composer::new(10_000, false);
        write(&mut composer).unwrap();
        String::from_utf8(composer.out).unwrap()
    }

    /// RFC 5322 §2.1.1, §3.4; RFC 2047 §5.
    #[test]
    fn fields_are_folded_and_encoded() {
        assert_eq!(composed(|c| c.field("X-A", "b c")), "X-A: b c\r\n");
        assert_eq!(
            composed(|c| c.text_field("Subject", "a ☕ b")),
            "Subject: a =?utf-8?q?=E2=98=95?= b\r\n"
        );
        assert_eq!(composed(|c| c.text_field("Subject", "a\r\nBcc: x")), "Subject: a  Bcc: x\r\n");
        let list = [address("", "a@b.c"), address("A. B", "a@b.c"), address("Zoë", "z@b.c")];
        assert_eq!(
            composed(|c| c.address_field("To", &list)),
            "To: <a@b.c>, \"A. B\" <a@b.c>, =?utf-8?q?Zo=C3=AB?= <z@b.c>\r\n"
        );
        let long = composed(|c| c.text_field("Subject", &"word ".repeat(40)));
        assert!(long.lines().all(|line| line.len() <= 78), "{long}");
        let many = vec![address("Some Body", "somebody@host.example"); 10];
        let folded = composed(|c| c.address_field("To", &many));
        assert!(folded.contains("\r\n\t") && folded.lines().all(|l| l.len() <= 78), "{folded}");
    }

    #[test]
    fn what_cannot_be_written_is_refused() {
        let mut composer = Composer::new(20, false);
        assert_eq!(composer.field("A b", "c"), Err(ComposeError::BadField));
        assert_eq!(composer.field("A", "b\r\nc"), Err(ComposeError::BadField));
        assert_eq!(composer.field("A", "é"), Err(ComposeError::BadField));
        let list = [address("", "é@b.c")];
        assert_eq!(composer.address_field("To", &list), Err(ComposeError::NeedsSmtputf8));
        assert_eq!(composer.field("A", &"b".repeat(15)), Ok(()));
        assert_eq!(composer.field("A", "b"), Err(ComposeError::TooLarge));
    }

    struct Counting;

    impl mox_base::Rng for Counting {
        fn fill(&self, buffer: &mut [u8]) {
            (0_u8..).zip(buffer).for_each(|(number, byte)| *byte = number);
        }
    }

    /// RFC 5322 §3.6.4, RFC 2046 §5.1.1.
    #[test]
    fn ids_and_boundaries_are_random_text() {
        let domain = Domain::parse("Bücher.example").unwrap();
        let id = random_message_id(&Counting, &domain);
        assert_eq!(id, "AAECAwQFBgcICQoLDA0ODxAR@xn--bcher-kva.example");
        let mut composer = Composer::new(1_000, false);
        composer.message_id_field(&id).unwrap();
        let value = first_field(&composer.out, "Message-ID").unwrap();
        assert_eq!(crate::canonical_message_id(value).unwrap().id, id.to_lowercase());
        assert_eq!(random_boundary(&Counting), "=_AAECAwQFBgcICQoLDA0ODxAR");
    }

    /// RFC 3464 §2, RFC 2046 §5.1.
    #[test]
    fn a_delivery_report_is_composed_and_known() {
        let param = Param { name: "report-type".to_owned(), value: "delivery-status".to_owned() };
        let parts = [
            BodyPart::text("plain", "Could not be delivered: é", Transport::SevenBit),
            BodyPart::verbatim("message/delivery-status", b"Reporting-MTA: dns; a.b\r\n"),
            BodyPart::verbatim("message/rfc822", b"Subject: original\r\n\r\ntext\r\n"),
        ];
        let body = BodyPart::multipart("report", "=_x", &[param], &parts);
        let mut composer = Composer::new(10_000, false);
        composer.date_field(DateTime::from_unix(mox_base::UnixSeconds(0))).unwrap();
        composer.text_field("Subject", "Undelivered").unwrap();
        let message = parse_bytes(&composer.finish(&body).unwrap(), &Limits::default());
        assert!(message.is_dsn());
        assert_eq!(message.root.param("report-type"), Some("delivery-status"));
        assert_eq!(message.envelope.date.as_deref(), Some(&b"Thu, 1 Jan 1970 00:00:00 +0000"[..]));
        let original = message.root.parts[2].message.as_ref().unwrap();
        assert_eq!(original.envelope.subject.as_deref(), Some(&b"original"[..]));
    }

    /// RFC 6532 §3.
    #[test]
    fn smtputf8_headers_are_not_encoded() {
        let mut composer = Composer::new(1_000, true);
        composer.text_field("Subject", "é ☕").unwrap();
        composer.address_field("To", &[address("Zoë", "é@bücher.example")]).unwrap();
        assert_eq!(
            String::from_utf8(composer.out).unwrap(),
            "Subject: é ☕\r\nTo: \"Zoë\" <é@bücher.example>\r\n"
        );
    }

    #[track_caller]
    fn check_text(text: &str, transport: Transport, charset: &str, encoding: &str) {
        let body = BodyPart::text("plain", text, transport);
        let message = Composer::new(100_000, false).finish(&body).unwrap();
        let parsed = parse_bytes(&message, &Limits::default());
        assert_eq!(parsed.root.param("charset"), Some(charset), "{text:?}");
        let got = parsed.root.transfer_encoding.as_deref();
        assert_eq!(got, Some(encoding.to_uppercase().as_bytes()), "{text:?}");
        assert!(message.split(|b| *b == b'\n').all(|line| line.len() <= 78));
    }

    #[test]
    fn text_has_the_encoding_it_needs() {
        check_text("a", Transport::SevenBit, "us-ascii", "7bit");
        check_text("é", Transport::EightBit, "utf-8", "8bit");
        check_text("é", Transport::SevenBit, "utf-8", "quoted-printable");
        check_text(&"x".repeat(76), Transport::EightBit, "us-ascii", "7bit");
        check_text(&"x".repeat(77), Transport::EightBit, "us-ascii", "quoted-printable");
        check_text("a\rb", Transport::EightBit, "us-ascii", "quoted-printable");
    }

    proptest! {
        #[test]
        fn a_composed_text_is_read_back(text in "[ -~é☕\n]{0,300}", seven in any::<bool>()) {
            let transport = if seven { Transport::SevenBit } else { Transport::EightBit };
            let inner = BodyPart::text("plain", &text, transport);
            let file = BodyPart::bytes("application/x", text.as_bytes())
                .with_disposition("attachment", "é \"x\".bin");
            let body = BodyPart::multipart("mixed", "=_b", &[], &[inner, file]);
            let message = Composer::new(100_000, false).finish(&body).unwrap();
            let parsed = parse_bytes(&message, &Limits::default());
            prop_assert_eq!(parsed.root.parts.len(), 2);
            let mut want = text.replace('\n', "\r\n");
            if !want.ends_with("\r\n") {
                want.push_str("\r\n");
            }
            let read = |index: u32| {
                let at = parsed.part_at(&[index]).unwrap();
                let mut out = String::new();
                let mut reader = std::io::Cursor::new(&message);
                std::io::Read::read_to_string(&mut at.open_text(&mut reader).unwrap(), &mut out)
                    .unwrap();
                out
            };
            prop_assert_eq!(read(1), want);
            prop_assert_eq!(read(2), text);
            let filename = parsed.root.parts[1].filename();
            prop_assert_eq!(filename.as_deref(), Some("é \"x\".bin"));
        }

        #[test]
        fn a_subject_is_read_back(text in "[a-zé☕=?_]([ a-zé☕=?_]{0,200}[a-zé☕=?_])?") {
            let mut composer = Composer::new(10_000, false);
            composer.text_field("Subject", &text).unwrap();
            prop_assert!(composer.out.is_ascii());
            let value = first_field(&composer.out, "Subject").unwrap();
            prop_assert_eq!(decode_header(value), text);
            prop_assert!(!unfold(value).is_empty());
        }

        #[test]
        fn an_address_is_read_back(name in "[ -~é☕]{0,60}", local in "[a-z.\"@ ]{1,20}") {
            let Ok(localpart) = mox_base::Localpart::from_decoded(&local) else { return Ok(()) };
            let address = Address { localpart, domain: Domain::parse("x.org").unwrap() };
            let want = NamedAddress { name: name.trim().to_owned(), address: Some(address) };
            let mut composer = Composer::new(10_000, false);
            composer.address_field("To", std::slice::from_ref(&want)).unwrap();
            let list = crate::parse_address_list(first_field(&composer.out, "To").unwrap(), 10);
            prop_assert_eq!(crate::decode_addresses(&list), vec![want]);
        }
    }
}
