//! ENVELOPE, BODY and BODYSTRUCTURE, from the stored form of a parsed message.
//!
//! Source: RFC 9051 §7.5.2.

use mox_mime::{AddressesRef, BlobError, EnvelopeRef, ParamsRef, PartRef};

use super::text::{nstring, number, string};

/// `envelope = "(" env-date SP env-subject SP env-from … SP env-message-id ")"`
///
/// Strings are those of the header, unfolded. Deviation: the original has the date printed
/// anew and the subject decoded; RFC 9051 §7.5.2 takes both from the header as they are, and
/// clients decode encoded-words themselves.
pub fn envelope(out: &mut Vec<u8>, envelope: &EnvelopeRef<'_>, utf8: bool) {
    out.push(b'(');
    nstring(out, envelope.date, utf8);
    out.push(b' ');
    nstring(out, envelope.subject, utf8);
    let lists = [
        envelope.from(),
        envelope.sender(),
        envelope.reply_to(),
        envelope.to(),
        envelope.cc(),
        envelope.bcc(),
    ];
    for list in lists {
        out.push(b' ');
        addresses(out, list, utf8);
    }
    out.push(b' ');
    nstring(out, envelope.in_reply_to, utf8);
    out.push(b' ');
    nstring(out, envelope.message_id, utf8);
    out.push(b')');
}

/// `"(" 1*address ")" / nil`, `address = "(" addr-name SP addr-adl SP addr-mailbox SP addr-host ")"`
fn addresses(out: &mut Vec<u8>, list: AddressesRef<'_>, utf8: bool) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for address in list {
        out.push(b'(');
        nstring(out, address.name, utf8);
        out.extend_from_slice(b" NIL ");
        nstring(out, address.mailbox, utf8);
        out.push(b' ');
        nstring(out, address.host, utf8);
        out.push(b')');
    }
    out.push(b')');
}

/// `body`: BODYSTRUCTURE with `extended`, else BODY.
///
/// On an error, which a damaged store can cause, what was appended is taken away again.
pub fn body_structure(
    out: &mut Vec<u8>,
    root: &PartRef<'_>,
    extended: bool,
    utf8: bool,
) -> Result<(), BlobError> {
    let start = out.len();
    let result = body(out, root, How { extended, utf8 });
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// `body` of a part by its IMAP number, an empty path being the message itself, extended. `false`,
/// and nothing is appended, if there is no such part. RFC 9051 §6.4.5.1, RFC 5524 §3.2.
///
/// On an error nothing is appended either.
pub fn part_structure(
    out: &mut Vec<u8>,
    root: PartRef<'_>,
    path: &[u32],
    utf8: bool,
) -> Result<bool, BlobError> {
    let mut part = root;
    // Whether it is a message, which is numbered from inside, or a numbered part.
    let mut is_message = true;
    for number in path {
        if !is_message && let Some((_, inner, _)) = part.message()? {
            part = inner;
            is_message = true;
        }
        let index = usize::try_from(*number).unwrap_or(usize::MAX).saturating_sub(1);
        if part.is_multipart() {
            let Some(child) = part.parts().nth(index) else { return Ok(false) };
            part = child?;
        } else if !is_message || index != 0 {
            return Ok(false);
        }
        is_message = false;
    }
    body_structure(out, &part, true, utf8)?;
    Ok(true)
}

#[derive(Clone, Copy)]
struct How {
    extended: bool,
    utf8: bool,
}

/// `body = "(" (body-type-1part / body-type-mpart) ")"`
///
/// Recursion is as deep as the stored tree, which `mox_mime` bounds.
fn body(out: &mut Vec<u8>, part: &PartRef<'_>, how: How) -> Result<(), BlobError> {
    out.push(b'(');
    if part.is_multipart() {
        for child in part.parts() {
            body(out, &child?, how)?;
        }
        out.push(b' ');
        string(out, part.media_subtype.as_bytes(), how.utf8);
        if how.extended {
            out.push(b' ');
            params(out, part.params, how);
            extension(out, part, how);
        }
    } else {
        single_part(out, part, how)?;
    }
    out.push(b')');
    Ok(())
}

/// `body-type-1part = (body-type-basic / body-type-msg / body-type-text) [SP body-ext-1part]`
fn single_part(out: &mut Vec<u8>, part: &PartRef<'_>, how: How) -> Result<(), BlobError> {
    string(out, part.media_type.as_bytes(), how.utf8);
    out.push(b' ');
    string(out, part.media_subtype.as_bytes(), how.utf8);
    out.push(b' ');
    params(out, part.params, how);
    out.push(b' ');
    nstring(out, part.content_id, how.utf8);
    out.push(b' ');
    nstring(out, part.content_description, how.utf8);
    out.push(b' ');
    // RFC 2045 §6.1: 7BIT is the default.
    string(out, part.transfer_encoding.unwrap_or(b"7BIT"), how.utf8);
    out.push(b' ');
    number(out, part.body_size());
    if let Some((envelope_of, root, _)) = part.message()? {
        out.push(b' ');
        envelope(out, &envelope_of, how.utf8);
        out.push(b' ');
        body(out, &root, how)?;
    }
    if part.media_type == "TEXT" || part.has_message() {
        out.push(b' ');
        number(out, part.lines);
    }
    if how.extended {
        out.push(b' ');
        nstring(out, part.content_md5, how.utf8);
        extension(out, part, how);
    }
    Ok(())
}

/// `body-fld-param = "(" string SP string *(SP string SP string) ")" / nil`, names in upper case.
fn params(out: &mut Vec<u8>, list: ParamsRef<'_>, how: How) {
    if list.is_empty() {
        out.extend_from_slice(b"NIL");
        return;
    }
    out.push(b'(');
    for (index, (name, value)) in list.enumerate() {
        if index > 0 {
            out.push(b' ');
        }
        let start = out.len();
        string(out, name.as_bytes(), how.utf8);
        if let Some(printed) = out.get_mut(start..) {
            printed.make_ascii_uppercase();
        }
        out.push(b' ');
        string(out, value.as_bytes(), how.utf8);
    }
    out.push(b')');
}

/// `SP body-fld-dsp SP body-fld-lang SP body-fld-loc`
fn extension(out: &mut Vec<u8>, part: &PartRef<'_>, how: How) {
    out.push(b' ');
    match part.disposition {
        Some((kind, list)) => {
            out.push(b'(');
            string(out, kind.as_bytes(), how.utf8);
            out.push(b' ');
            params(out, list, how);
            out.push(b')');
        }
        None => out.extend_from_slice(b"NIL"),
    }
    out.push(b' ');
    languages(out, part.content_language.unwrap_or_default(), how);
    out.push(b' ');
    nstring(out, part.content_location, how.utf8);
}

/// `body-fld-lang = nstring / "(" string *(SP string) ")"`. RFC 3282 §2: separated by commas.
fn languages(out: &mut Vec<u8>, field: &[u8], how: How) {
    let tags = field.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    let start = out.len();
    for tag in tags.filter(|tag| !tag.is_empty()) {
        out.push(if out.len() == start { b'(' } else { b' ' });
        string(out, tag, how.utf8);
    }
    out.extend_from_slice(if out.len() == start { b"NIL" } else { b")" });
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use mox_mime::{Limits, MessageRef, parse};

    use super::*;

    struct Printed {
        envelope: String,
        body: String,
        structure: String,
    }

    fn printed(message: &str, utf8: bool) -> Printed {
        let message = message.replace('\n', "\r\n");
        let mut reader = Cursor::new(message.as_bytes());
        let blob = parse(&mut reader, &Limits::default()).unwrap().to_blob();
        let message = MessageRef::new(&blob).unwrap();
        let mut out = [Vec::new(), Vec::new(), Vec::new()];
        envelope(&mut out[0], &message.envelope().unwrap(), utf8);
        body_structure(&mut out[1], &message.root().unwrap(), false, utf8).unwrap();
        body_structure(&mut out[2], &message.root().unwrap(), true, utf8).unwrap();
        let [envelope, body, structure] = out.map(|bytes| String::from_utf8(bytes).unwrap());
        Printed { envelope, body, structure }
    }

    /// RFC 9051 §7.5.2: Sender and Reply-To default to From; a group has markers without host.
    #[test]
    fn envelopes_have_ten_fields() {
        let got = printed(
            "Date: Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\nFrom: Terry Gray <gray@cac.example>\n\
             Subject: =?utf-8?q?t=C3=A9st?= \"x\"\nTo: imap@cac.example, A: b@c.example;\n\
             Message-ID: <B27397@cac.example>\n\nx\n",
            false,
        );
        let from = "((\"Terry Gray\" NIL \"gray\" \"cac.example\"))";
        assert_eq!(
            got.envelope,
            format!(
                "(\"Wed, 17 Jul 1996 02:23:25 -0700 (PDT)\" \"=?utf-8?q?t=C3=A9st?= \\\"x\\\"\" \
                 {from} {from} {from} ((NIL NIL \"imap\" \"cac.example\")(NIL NIL \"A\" NIL)\
                 (NIL NIL \"b\" \"c.example\")(NIL NIL NIL NIL)) NIL NIL NIL \
                 \"<B27397@cac.example>\")"
            )
        );
        assert_eq!(printed("\nx\n", false).envelope, "(NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL)");
    }

    #[test]
    fn eight_bit_text_is_a_literal_unless_utf8_is_enabled() {
        let message = "Subject: t\u{e9}st\n\nx\n";
        assert!(printed(message, false).envelope.starts_with("(NIL {5}\r\nt\u{e9}st NIL"));
        assert!(printed(message, true).envelope.starts_with("(NIL \"t\u{e9}st\" NIL"));
    }

    /// RFC 9051 §7.5.2, RFC 2045 §5.2: without Content-Type it is plain text in 7bit.
    #[test]
    fn a_message_without_type_is_plain_text() {
        let got = printed("Subject: x\n\nab\ncd\n", false);
        assert!(got.body.starts_with("(\"TEXT\" \"PLAIN\" "), "{}", got.body);
        assert!(got.body.ends_with(" NIL NIL \"7BIT\" 8 2)"), "{}", got.body);
        assert!(got.structure.ends_with(" 8 2 NIL NIL NIL NIL)"), "{}", got.structure);
    }

    #[test]
    fn parts_nest() {
        let got = printed(
            "Content-Type: multipart/mixed; boundary=b\n\n--b\nContent-Type: text/html\n\
             Content-Language: en, de\n\nx\n--b\nContent-Type: image/png; name=a.png\n\
             Content-Disposition: attachment; filename=a.png\nContent-ID: <1>\n\
             Content-Transfer-Encoding: base64\n\nAAAA\n--b\nContent-Type: message/rfc822\n\n\
             Subject: inner\n\ny\n--b--\n",
            false,
        );
        assert_eq!(
            got.body,
            "((\"TEXT\" \"HTML\" NIL NIL NIL \"7BIT\" 1 1)\
             (\"IMAGE\" \"PNG\" (\"NAME\" \"a.png\") \"<1>\" NIL \"BASE64\" 4)\
             (\"MESSAGE\" \"RFC822\" NIL NIL NIL \"7BIT\" 19 \
             (NIL \"inner\" NIL NIL NIL NIL NIL NIL NIL NIL) \
             (\"TEXT\" \"PLAIN\" (\"CHARSET\" \"us-ascii\") NIL NIL \"7BIT\" 1 1) 3) \"MIXED\")"
        );
        assert!(got.structure.contains("\"7BIT\" 1 1 NIL NIL (\"en\" \"de\") NIL)"));
        assert!(got.structure.contains("4 NIL (\"attachment\" (\"FILENAME\" \"a.png\")) NIL NIL)"));
        assert!(got.structure.ends_with("\"MIXED\" (\"BOUNDARY\" \"b\") NIL NIL NIL)"));
    }
}
