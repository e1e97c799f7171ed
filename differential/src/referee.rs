//! The rules of RFC 6376 written down as plainly as they stand, to judge between two that differ: on
//! whole messages, with no thought for speed, and with no code of either.

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{
    ED25519, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey,
};
use mox_mailauth::dkim::{Algorithm, Canonicalization, KeyRecord, Signature};

/// Whether the body is the one that was signed. RFC 6376 §3.7, step 1.
pub(crate) fn is_body_good(message: &[u8], signature: &Signature) -> bool {
    let (_, body) = split(message);
    let canonical = body_form(body, signature.body_form);
    digest(&SHA256, &canonical).as_ref() == signature.body_hash
}

/// Whether the header is the one that was signed. RFC 6376 §3.7, step 2.
pub(crate) fn is_header_good(message: &[u8], signature: &Signature, key: &KeyRecord) -> bool {
    let (header, _) = split(message);
    let mut fields = fields(header);
    let is_own = |field: &Vec<u8>| name(field) == "dkim-signature";
    let Some(own) = fields.iter().position(is_own) else { return false };
    let own = fields.remove(own);
    let mut signed = Vec::new();
    for wanted in &signature.signed_names {
        // The lowest that was not taken yet. RFC 6376 §5.4.2.
        if let Some(place) = fields.iter().rposition(|field| name(field) == wanted.to_lowercase()) {
            signed.extend(header_form(&fields.remove(place), signature.header_form));
            signed.extend(b"\r\n");
        }
    }
    signed.extend(header_form(&without_b(&own), signature.header_form));
    let (key, value) = (&key.public_key, &signature.signature);
    match signature.algorithm {
        // RFC 8463 §3: what is signed is the hash.
        Algorithm::Ed25519Sha256 => {
            let hash = digest(&SHA256, &signed);
            UnparsedPublicKey::new(&ED25519, key).verify(hash.as_ref(), value).is_ok()
        }
        _ => {
            let kind = &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY;
            UnparsedPublicKey::new(kind, key).verify(&signed, value).is_ok()
        }
    }
}

/// Header with the CRLF of its last field, and body. RFC 5322 §2.1.
fn split(message: &[u8]) -> (&[u8], &[u8]) {
    if let Some(body) = message.strip_prefix(b"\r\n") {
        return (b"", body);
    }
    match message.windows(4).position(|four| four == b"\r\n\r\n") {
        Some(at) => (&message[..at + 2], &message[at + 4..]),
        None => (message, b""),
    }
}

/// The fields, each without its last CRLF.
fn fields(header: &[u8]) -> Vec<Vec<u8>> {
    let mut fields: Vec<Vec<u8>> = Vec::new();
    for line in lines(header) {
        match fields.last_mut() {
            Some(last) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                last.extend(b"\r\n");
                last.extend(line);
            }
            _ => fields.push(line),
        }
    }
    fields
}

/// What CRLF divides; what follows the last one counts if there is anything.
fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut lines = vec![Vec::new()];
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        if rest.starts_with(b"\r\n") {
            lines.push(Vec::new());
            rest = &rest[2..];
            continue;
        }
        lines.last_mut().expect("never empty").push(*first);
        rest = after;
    }
    if lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The name in lower case, without the blanks before the colon.
fn name(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).trim_end_matches([' ', '\t']).to_lowercase()
}

/// RFC 6376 §3.4.1, §3.4.2.
fn header_form(field: &[u8], form: Canonicalization) -> Vec<u8> {
    if form == Canonicalization::Simple {
        return field.to_vec();
    }
    let colon = field.iter().position(|byte| *byte == b':').unwrap_or(field.len());
    let value = field.get(colon + 1..).unwrap_or_default();
    let unfolded: Vec<u8> = lines(value).concat();
    let mut out = format!("{}:", name(field)).into_bytes();
    out.extend(trim(&collapse(&unfolded)));
    out
}

/// Each run of blanks as one space.
fn collapse(text: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::new();
    for byte in text {
        match is_blank(*byte) {
            true if out.last() == Some(&b' ') => {}
            true => out.push(b' '),
            false => out.push(*byte),
        }
    }
    out
}

fn trim(text: &[u8]) -> Vec<u8> {
    let start = text.iter().position(|byte| !is_blank(*byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(*byte)).map_or(start, |at| at + 1);
    text[start..end].to_vec()
}

/// RFC 6376 §3.4.3, §3.4.4.
fn body_form(body: &[u8], form: Canonicalization) -> Vec<u8> {
    let mut lines = lines(body);
    if form == Canonicalization::Relaxed {
        for line in &mut lines {
            let end = line.iter().rposition(|byte| !is_blank(*byte)).map_or(0, |at| at + 1);
            line.truncate(end);
            *line = collapse(line);
        }
    }
    while lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    if lines.is_empty() && form == Canonicalization::Simple {
        return b"\r\n".to_vec();
    }
    lines.iter().flat_map(|line| [line, &b"\r\n"[..]].concat()).collect()
}

/// The field with nothing as the value of `b=`. RFC 6376 §3.5.
fn without_b(field: &[u8]) -> Vec<u8> {
    let colon = field.iter().position(|byte| *byte == b':').unwrap_or_default();
    let (before, tags) = field.split_at(colon + 1);
    let mut out = before.to_vec();
    for (place, tag) in tags.split(|byte| *byte == b';').enumerate() {
        if place > 0 {
            out.push(b';');
        }
        let equals = tag.iter().position(|byte| *byte == b'=').unwrap_or(tag.len());
        match tag[..equals].trim_ascii() == b"b" {
            true => out.extend(&tag[..=equals]),
            false => out.extend(tag),
        }
    }
    out
}
