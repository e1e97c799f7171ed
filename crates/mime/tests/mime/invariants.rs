//! What must hold for any input. Used by the property tests and by the fuzz targets.

use std::io::{Cursor, Read};
use std::ops::ControlFlow;

use mox_mime::{
    Envelope, Limits, Message, MessageRef, Part, PartAt, PartRef, SearchText, SectionKind, analyze,
    base_subject, canonical_message_id, decode_addresses, decode_header, fields, from_address,
    html_to_text, parse_address_list, parse_bytes, parse_date, select_fields, text_for_search,
    unfold,
};

/// Any bytes are a message whose parts nest, whose stored form is whole, and whose text can be read.
pub(crate) fn check_message(bytes: &[u8]) {
    let analysis = analyze(&mut Cursor::new(bytes), &Limits::default()).unwrap();
    let message = analysis.message;
    assert_eq!(message.size, bytes.len() as u64);
    assert_eq!(message.root.header_offset, 0);
    assert_eq!(message.root.end_offset, message.size);
    assert!(analysis.summary.preview.chars().count() <= mox_mime::PREVIEW_CHARS_MAX);
    check_part(&message.root, 0, message.size, 0);
    check_decoded(bytes, &PartAt::root(&message));

    let blob = message.to_blob();
    assert_eq!(Message::from_blob(&blob).as_ref(), Ok(&message));
    let whole = message.section(&[], SectionKind::Whole).unwrap();
    assert_eq!(whole.range, 0..message.size);
    let flow =
        text_for_search(&mut Cursor::new(bytes), &message, &mut |_| ControlFlow::Continue(()));
    assert_eq!(flow.unwrap(), ControlFlow::Continue(()));
    let tight = Limits {
        depth: 2,
        parts: 3,
        header_bytes: 100,
        headers_total_bytes: 150,
        header_fields: 3,
        addresses: 2,
        embedded_bytes: 10,
    };
    let message = parse_bytes(bytes, &tight);
    check_part(&message.root, 0, message.size, 0);
    assert!(count_parts(&message.root) <= tight.parts);
    assert!(count_addresses(&message.envelope) <= tight.addresses + 1);
}

/// The invariants that [`Part`] states.
fn check_part(part: &Part, from: u64, to: u64, depth: usize) {
    assert!(depth <= mox_mime::DEPTH_MAX);
    let start = part.boundary_offset.unwrap_or(part.header_offset);
    assert!(from <= start && start <= part.header_offset, "{part:?}");
    assert!(part.header_offset <= part.body_offset && part.body_offset <= part.end_offset);
    assert!(part.end_offset <= to, "{part:?} in {from}..{to}");
    assert!(part.lines <= part.body_size());
    let is_message = part.is("MESSAGE", "RFC822") || part.is("MESSAGE", "GLOBAL");
    assert_eq!(part.message.is_some(), is_message, "{part:?}");
    assert_eq!(part.is_multipart(), part.is("MULTIPART", ""), "{part:?}");
    let mut at = part.body_offset;
    for child in &part.parts {
        check_part(child, at, part.end_offset, depth + 1);
        at = child.end_offset;
    }
    if let Some(message) = &part.message {
        let (from, to) = if message.is_decoded {
            (0, part.decoded_size)
        } else {
            (part.body_offset, part.end_offset)
        };
        assert_eq!((message.root.header_offset, message.root.end_offset), (from, to));
        check_part(&message.root, from, to, depth + 1);
    }
}

/// The sizes that the structure tells are those that readers give.
fn check_decoded(bytes: &[u8], at: &PartAt<'_>) {
    let part = at.part;
    if let Some(inner) = at.message() {
        return check_decoded(bytes, &inner);
    }
    if part.is_multipart() {
        return part.parts.iter().for_each(|child| check_decoded(bytes, &at.child(child)));
    }
    let mut decoded = Vec::new();
    at.open_decoded(&mut Cursor::new(bytes)).unwrap().read_to_end(&mut decoded).unwrap();
    assert_eq!(decoded.len() as u64, part.decoded_size, "{part:?}");
    let mut raw = Vec::new();
    at.body().open(&mut Cursor::new(bytes)).unwrap().read_to_end(&mut raw).unwrap();
    assert_eq!(raw.len() as u64, part.body_size(), "{part:?}");
    let lines = raw.split_inclusive(|b| *b == b'\n').count();
    assert_eq!(lines as u64, part.lines, "{part:?}");
    let mut text = String::new();
    at.open_text(&mut Cursor::new(bytes)).unwrap().read_to_string(&mut text).unwrap();
}

fn count_parts(part: &Part) -> usize {
    let inside = part.message.iter().map(|message| count_parts(&message.root)).sum::<usize>();
    1 + inside + part.parts.iter().map(count_parts).sum::<usize>()
}

/// The end of a group that was cut is added to what was allowed.
fn count_addresses(envelope: &Envelope) -> usize {
    let Envelope { from, sender, reply_to, to, cc, bcc, .. } = envelope;
    [from, sender, reply_to, to, cc, bcc].iter().map(|list| list.len()).sum()
}

/// Any header section is split without loss, and each reader of values takes any value.
pub(crate) fn check_headers(section: &[u8]) {
    let mut at = 0;
    for field in fields(section) {
        assert_eq!(field.lines().start, at);
        at = field.lines().end;
        assert!(at > field.lines().start);
        let value = field.value;
        assert!(!unfold(value).contains(&b'\n'));
        assert!(!decode_header(value).contains(['\r', '\n']));
        let list = parse_address_list(value, 1_000);
        assert!(decode_addresses(&list).len() <= list.len());
        if let Some(date) = parse_date(value) {
            assert!(date.to_unix().is_ok());
        }
        if let Some(id) = canonical_message_id(value) {
            assert!(!id.id.is_empty());
        }
        let base = base_subject(&decode_header(value)).base;
        assert!(!base_subject(&base).is_reply, "{base:?}");
    }
    let rest = section.get(at..).unwrap();
    assert!(rest.is_empty() || rest.starts_with(b"\n") || rest.starts_with(b"\r\n"));
    let kept = select_fields(section, &["from", "to", "subject"], false);
    let others = select_fields(section, &["from", "to", "subject"], true);
    assert!(kept.len() + others.len() <= at + 8);
    drop(from_address(section));
}

/// Any bytes are a stored message or an error, and a stored message is stored again the same.
pub(crate) fn check_blob(blob: &[u8]) {
    if let Ok(message) = MessageRef::new(blob) {
        if let Ok(envelope) = message.envelope() {
            let lists = [envelope.from(), envelope.sender(), envelope.reply_to(), envelope.to()];
            let count: usize = lists.into_iter().map(Iterator::count).sum();
            assert!(count <= 4 * blob.len());
        }
        if let Ok(root) = message.root() {
            walk(&root);
        }
    }
    if let Ok(message) = Message::from_blob(blob) {
        assert_eq!(Message::from_blob(&message.to_blob()), Ok(message));
    }
}

fn walk(part: &PartRef<'_>) {
    assert!(part.end_offset >= part.header_offset);
    part.params.for_each(|(name, value)| assert!(name.len() + value.len() < usize::MAX));
    if let Ok(Some((_, root, _))) = part.message() {
        walk(&root);
    }
    part.parts().flatten().for_each(|child| walk(&child));
}

/// Any text is HTML; its text is bounded, and is in lines without trailing runs of empty ones.
pub(crate) fn check_html(html: &str) {
    let text = html_to_text(html, usize::MAX);
    assert!(!text.contains("\n\n\n"), "{text:?}");
    assert!(!text.contains('\r'));
    let short = html_to_text(html, 100);
    assert!(short.len() <= 200, "{}", short.len());
}

/// All that is searched, one piece a line.
pub(crate) fn searched(bytes: &[u8]) -> String {
    let message = parse_bytes(bytes, &Limits::default());
    let mut out = String::new();
    let flow = text_for_search(&mut Cursor::new(bytes), &message, &mut |piece| {
        match piece {
            SearchText::Field { depth, name, value } => {
                out.push_str(&format!("{depth} {name}: {value}\n"));
            }
            SearchText::Body(text) => out.push_str(text),
            SearchText::PartEnd => out.push_str("<end>\n"),
        }
        ControlFlow::Continue(())
    });
    assert!(flow.unwrap().is_continue());
    out
}
