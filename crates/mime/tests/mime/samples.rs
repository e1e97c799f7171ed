//! The messages of `data/*.eml`, and what we make of them in `data/*.txt`.
//!
//! The files have LF line ends and are read as if they had CRLF. `UPDATE=1` writes the outcome
//! anew, to be looked through as a difference.

use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use mox_mime::{
    Envelope, EnvelopeAddress, Limits, LineEndings, NamedAddress, Part, Summary, analyze,
};

fn samples() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "eml"))
        .collect();
    paths.sort();
    paths
}

fn read_sample(path: &Path) -> Vec<u8> {
    let mut lines = LineEndings::new(Vec::new());
    lines.write_all(&std::fs::read(path).unwrap()).unwrap();
    lines.into_inner()
}

#[test]
fn samples_are_taken_apart_as_recorded() {
    let paths = samples();
    assert!(paths.len() > 20);
    for path in paths {
        let bytes = read_sample(&path);
        let analysis = analyze(&mut Cursor::new(&bytes), &Limits::default()).unwrap();
        let mut got = String::new();
        show_part(&mut got, &analysis.message.root, 0);
        show_envelope(&mut got, &analysis.message.envelope, 0);
        show_summary(&mut got, &analysis.summary);
        got.push_str("searched:\n");
        for line in crate::invariants::searched(&bytes).lines() {
            writeln!(got, "  {}", line.trim_end()).unwrap();
        }
        let record = path.with_extension("txt");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(&record, &got).unwrap();
        }
        let want = std::fs::read_to_string(&record).unwrap_or_default();
        assert_eq!(got, want, "{}", path.display());
    }
}

#[test]
fn samples_keep_the_invariants_whole_cut_and_with_bare_line_feeds() {
    for path in samples() {
        let bytes = read_sample(&path);
        crate::invariants::check_message(&bytes);
        crate::invariants::check_message(&std::fs::read(&path).unwrap());
        for at in (0..bytes.len()).step_by(7) {
            crate::invariants::check_message(&bytes[..at]);
        }
        crate::invariants::check_headers(&bytes);
        crate::invariants::check_html(&String::from_utf8_lossy(&bytes));
    }
}

fn text(bytes: Option<&[u8]>) -> String {
    bytes.map_or_else(|| "NIL".to_owned(), |bytes| bytes.escape_ascii().to_string())
}

fn show_part(out: &mut String, part: &Part, depth: usize) {
    let pad = "  ".repeat(depth);
    let Part { header_offset, body_offset, end_offset, lines, decoded_size, .. } = part;
    writeln!(
        out,
        "{pad}{}/{} {:?} {header_offset}-{body_offset}-{end_offset} lines {lines} decoded {decoded_size}",
        part.media_type, part.media_subtype, part.encoding
    )
    .unwrap();
    for param in &part.params {
        writeln!(out, "{pad}  {}={}", param.name, param.value).unwrap();
    }
    if let Some(disposition) = &part.disposition {
        writeln!(out, "{pad}  disposition {}", disposition.kind).unwrap();
        for param in &disposition.params {
            writeln!(out, "{pad}    {}={}", param.name, param.value).unwrap();
        }
    }
    if let Some(filename) = part.filename() {
        writeln!(out, "{pad}  filename {filename}").unwrap();
    }
    let rare = [
        ("id", &part.content_id),
        ("description", &part.content_description),
        ("md5", &part.content_md5),
        ("language", &part.content_language),
        ("location", &part.content_location),
    ];
    for (name, value) in rare {
        if value.is_some() {
            writeln!(out, "{pad}  {name} {}", text(value.as_deref())).unwrap();
        }
    }
    for child in &part.parts {
        show_part(out, child, depth + 1);
    }
    if let Some(message) = &part.message {
        let decoded = if message.is_decoded { " (decoded)" } else { "" };
        writeln!(out, "{pad}  message{decoded}:").unwrap();
        show_envelope(out, &message.envelope, depth + 2);
        show_part(out, &message.root, depth + 2);
    }
}

fn show_envelope(out: &mut String, envelope: &Envelope, depth: usize) {
    let pad = "  ".repeat(depth);
    let Envelope { date, subject, in_reply_to, message_id, .. } = envelope;
    for (name, value) in
        [("date", date), ("subject", subject), ("in-reply-to", in_reply_to), ("id", message_id)]
    {
        if value.is_some() {
            writeln!(out, "{pad}{name}: {}", text(value.as_deref())).unwrap();
        }
    }
    let Envelope { from, sender, reply_to, to, cc, bcc, .. } = envelope;
    let lists = [
        ("from", from),
        ("sender", sender),
        ("reply-to", reply_to),
        ("to", to),
        ("cc", cc),
        ("bcc", bcc),
    ];
    for (name, list) in lists {
        for EnvelopeAddress { name: shown, mailbox, host } in list {
            let (mailbox, host) = (text(mailbox.as_deref()), text(host.as_deref()));
            writeln!(out, "{pad}{name}: {} {mailbox} {host}", text(shown.as_deref())).unwrap();
        }
    }
}

fn show_summary(out: &mut String, summary: &Summary) {
    writeln!(out, "summary:").unwrap();
    let Summary { message_id, references, subject, base_subject, is_reply, .. } = summary;
    writeln!(out, "  {message_id:?} {references:?}").unwrap();
    writeln!(out, "  {subject:?} {base_subject:?} reply {is_reply}").unwrap();
    writeln!(out, "  {:?} day {:?}", summary.date, summary.sent_day).unwrap();
    writeln!(out, "  dsn {} smtputf8 {}", summary.is_dsn, summary.needs_smtputf8).unwrap();
    let Summary { from, sender, reply_to, to, cc, bcc, .. } = summary;
    for (kind, list) in [from, sender, reply_to, to, cc, bcc].into_iter().enumerate() {
        for NamedAddress { name, address } in list {
            let address = address.as_ref().map(ToString::to_string);
            writeln!(out, "  {kind} {name:?} {address:?}").unwrap();
        }
    }
    for line in summary.preview.lines() {
        writeln!(out, "  | {line}").unwrap();
    }
}
