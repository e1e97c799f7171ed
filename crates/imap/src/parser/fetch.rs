//! FETCH.

use mox_base::ModSeq;

use super::Expected;
use super::lexer::{Lexer, Parsed};
use super::messages::mod_sequence_valzer;
use super::search::partial_range;
use crate::types::{
    BinarySection, BodySection, Command, FETCH_ITEMS_MAX, Fetch, FetchItem, FetchModifiers,
    Partial, SECTION_DEPTH_MAX, Section, SectionText,
};

/// The most field names in one HEADER.FIELDS. Each message costs fields times names.
const HEADER_FIELDS_MAX: usize = 500;

/// `fetch = "FETCH" SP sequence-set SP ("ALL" / "FULL" / "FAST" / fetch-att /
/// "(" fetch-att *(SP fetch-att) ")") [SP fetch-modifiers]`. RFC 9051 §6.4.5, RFC 4466 §2.5.
pub(super) fn fetch(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let set = lexer.sequence_set()?;
    lexer.sp()?;
    let items = if lexer.peek() == Some(b'(') {
        lexer.list(FETCH_ITEMS_MAX, fetch_att)?
    } else if let Some(items) = fetch_macro(lexer) {
        items
    } else {
        vec![fetch_att(lexer)?]
    };
    if items.is_empty() {
        return lexer.fail(Expected::FetchItem);
    }
    let mut modifiers = FetchModifiers::default();
    if lexer.take(b' ') {
        let given = lexer.list(3, |lexer| fetch_modifier(lexer, &mut modifiers))?;
        if given.is_empty() {
            return lexer.fail(Expected::Modifier);
        }
    }
    Ok(Command::Fetch(Fetch { set, items, modifiers }))
}

fn fetch_macro(lexer: &mut Lexer<'_>) -> Option<Vec<FetchItem>> {
    let mut items = vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Rfc822Size];
    if lexer.word("FAST") {
    } else if lexer.word("ALL") {
        items.push(FetchItem::Envelope);
    } else if lexer.word("FULL") {
        items.extend([FetchItem::Envelope, FetchItem::Body]);
    } else {
        return None;
    }
    Some(items)
}

/// `fetch-modifier =/ "CHANGEDSINCE" SP mod-sequence-value / "VANISHED" / "PARTIAL" SP
/// partial-range`. RFC 7162 §7, RFC 9394 §4.
fn fetch_modifier(lexer: &mut Lexer<'_>, modifiers: &mut FetchModifiers) -> Parsed<()> {
    if lexer.word("VANISHED") {
        if std::mem::replace(&mut modifiers.vanished, true) {
            return lexer.fail(Expected::NoDuplicate);
        }
        return Ok(());
    }
    if lexer.word("PARTIAL") {
        lexer.sp()?;
        if modifiers.partial.replace(partial_range(lexer)?).is_some() {
            return lexer.fail(Expected::NoDuplicate);
        }
        return Ok(());
    }
    if !lexer.word("CHANGEDSINCE") {
        return lexer.fail(Expected::Modifier);
    }
    lexer.sp()?;
    let modseq: ModSeq = mod_sequence_valzer(lexer)?;
    // RFC 7162 §7 has no zero here; some clients send it to ask for everything.
    if lexer.options.pedantic && modseq.get() == 0 {
        return lexer.fail(Expected::NonZeroNumber);
    }
    if modifiers.changed_since.replace(modseq).is_some() {
        return lexer.fail(Expected::NoDuplicate);
    }
    Ok(())
}

/// `fetch-att = "ENVELOPE" / "FLAGS" / … / "BODY" section ["<" number "." nz-number ">"] / …`
pub(super) fn fetch_att(lexer: &mut Lexer<'_>) -> Parsed<FetchItem> {
    let name = lexer
        .run(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        .to_ascii_uppercase();
    let has_section = lexer.peek() == Some(b'[');
    Ok(match (&*name, has_section) {
        (b"ENVELOPE", false) => FetchItem::Envelope,
        (b"FLAGS", false) => FetchItem::Flags,
        (b"INTERNALDATE", false) => FetchItem::InternalDate,
        (b"RFC822.SIZE", false) => FetchItem::Rfc822Size,
        (b"RFC822.HEADER", false) => FetchItem::Rfc822Header,
        (b"RFC822.TEXT", false) => FetchItem::Rfc822Text,
        (b"RFC822", false) => FetchItem::Rfc822,
        (b"BODYSTRUCTURE", false) => FetchItem::BodyStructure,
        (b"BODY", false) => FetchItem::Body,
        (b"UID", false) => FetchItem::Uid,
        (b"MODSEQ", false) => FetchItem::ModSeq,
        (b"SAVEDATE", false) => FetchItem::SaveDate,
        (b"EMAILID", false) => FetchItem::EmailId,
        (b"THREADID", false) => FetchItem::ThreadId,
        (b"PREVIEW", false) => {
            preview_modifier(lexer)?;
            FetchItem::Preview
        }
        (b"BODY" | b"BODY.PEEK", true) => FetchItem::BodySection(BodySection {
            peek: name.len() > 4,
            section: section(lexer)?,
            partial: partial(lexer)?,
        }),
        (b"BINARY" | b"BINARY.PEEK", true) => FetchItem::Binary(BinarySection {
            peek: name.len() > 6,
            part: section_binary(lexer)?,
            partial: partial(lexer)?,
        }),
        (b"BINARY.SIZE", true) => FetchItem::BinarySize(section_binary(lexer)?),
        _ => return lexer.fail(Expected::FetchItem),
    })
}

/// `"PREVIEW" [SP "(" preview-mod *(SP preview-mod) ")"]`, `preview-mod = "LAZY"`. RFC 8970 §6.
fn preview_modifier(lexer: &mut Lexer<'_>) -> Parsed<()> {
    let mut ahead = lexer.clone();
    // After the last item without parentheses the modifiers of FETCH may follow.
    if !(ahead.take(b' ') && ahead.take(b'(') && ahead.word("LAZY")) {
        return Ok(());
    }
    *lexer = ahead;
    lexer.close()
}

/// `section-binary = "[" [section-part] "]"`. RFC 9051 §9.
fn section_binary(lexer: &mut Lexer<'_>) -> Parsed<Vec<u32>> {
    let section = section(lexer)?;
    if section.text.is_some() { lexer.fail(Expected::Section) } else { Ok(section.part) }
}

/// `section = "[" [section-spec] "]"`, `section-spec = section-msgtext / (section-part ["."
/// section-text])`. RFC 9051 §6.4.5.1.
fn section(lexer: &mut Lexer<'_>) -> Parsed<Section> {
    lexer.byte(b'[', Expected::Section)?;
    let section = section_inside(lexer)?;
    lexer.byte(b']', Expected::Section)?;
    Ok(section)
}

/// `[section-spec]`, the whole text. RFC 5092 §11 (`enc-section`).
pub(crate) fn section_spec(text: &[u8]) -> Option<Section> {
    let mut lexer = Lexer::new(text, 0, super::Options::default());
    let section = section_inside(&mut lexer).ok()?;
    lexer.end().ok().filter(|()| section != Section::default()).map(|()| section)
}

fn section_inside(lexer: &mut Lexer<'_>) -> Parsed<Section> {
    let mut section = Section::default();
    let mut wants_more = false;
    while lexer.peek().is_some_and(|byte| byte.is_ascii_digit()) {
        if section.part.len() == SECTION_DEPTH_MAX {
            return lexer.fail(Expected::LessNesting);
        }
        section.part.push(lexer.nz_number()?);
        wants_more = lexer.take(b'.');
        if !wants_more {
            break;
        }
    }
    let is_end = matches!(lexer.peek(), None | Some(b']'));
    if !is_end && (wants_more || section.part.is_empty()) {
        section.text = Some(section_text(lexer, !section.part.is_empty())?);
        wants_more = false;
    }
    if wants_more { lexer.fail(Expected::Section) } else { Ok(section) }
}

/// `section-text = section-msgtext / "MIME"`, `section-msgtext = "HEADER" / "HEADER.FIELDS" [".NOT"]
/// SP header-list / "TEXT"`
fn section_text(lexer: &mut Lexer<'_>, is_part: bool) -> Parsed<SectionText> {
    let name = lexer.run(|byte| byte.is_ascii_alphabetic() || byte == b'.').to_ascii_uppercase();
    Ok(match &*name {
        b"HEADER" => SectionText::Header,
        b"TEXT" => SectionText::Text,
        b"MIME" if is_part => SectionText::Mime,
        b"HEADER.FIELDS" => SectionText::HeaderFields(header_list(lexer)?),
        b"HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(header_list(lexer)?),
        _ => return lexer.fail(Expected::Section),
    })
}

/// `header-list = "(" header-fld-name *(SP header-fld-name) ")"`
///
/// Names come back in the usual case, `Message-Id`, whatever the client's.
fn header_list(lexer: &mut Lexer<'_>) -> Parsed<Vec<Vec<u8>>> {
    lexer.sp()?;
    let names = lexer.list(HEADER_FIELDS_MAX, |lexer| {
        let mut name = lexer.astring()?.into_owned();
        let mut upper = true;
        for byte in &mut name {
            *byte = if upper { byte.to_ascii_uppercase() } else { byte.to_ascii_lowercase() };
            upper = *byte == b'-';
        }
        Ok(name)
    })?;
    if names.is_empty() { lexer.fail(Expected::Section) } else { Ok(names) }
}

/// `partial = "<" number64 "." nz-number64 ">"`
fn partial(lexer: &mut Lexer<'_>) -> Parsed<Option<Partial>> {
    if !lexer.take(b'<') {
        return Ok(None);
    }
    let offset = lexer.number64()?;
    lexer.byte(b'.', Expected::Section)?;
    let count = lexer.number64()?;
    if count == 0 {
        return lexer.fail(Expected::NonZeroNumber);
    }
    lexer.byte(b'>', Expected::Section)?;
    Ok(Some(Partial { offset, count }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::testing::{check_bad, parse};

    fn items(line: &str) -> Vec<FetchItem> {
        match parse(line) {
            Ok(Command::Fetch(fetch)) => fetch.items,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// RFC 9051 §6.4.5.
    #[test]
    fn items_and_macros_are_read() {
        use FetchItem::*;
        assert_eq!(items("FETCH 1 FAST"), [Flags, InternalDate, Rfc822Size]);
        assert_eq!(items("FETCH 1 all"), [Flags, InternalDate, Rfc822Size, Envelope]);
        assert_eq!(items("FETCH 1 FULL").last(), Some(&Body));
        assert_eq!(items("FETCH $ (UID bodystructure MODSEQ)"), [Uid, BodyStructure, ModSeq]);
        assert_eq!(items("FETCH 1 RFC822.HEADER"), [Rfc822Header]);
        assert_eq!(items("FETCH 1 BINARY.SIZE[1.2]"), [BinarySize(vec![1, 2])]);
        assert_eq!(items("FETCH 1 (PREVIEW SAVEDATE)"), [Preview, SaveDate]);
        assert_eq!(items("FETCH 1 (PREVIEW (LAZY) EMAILID)"), [Preview, EmailId]);
        assert_eq!(items("FETCH 1 PREVIEW (LAZY)"), [Preview]);
        assert_eq!(items("FETCH 1 PREVIEW (CHANGEDSINCE 1)"), [Preview]);
        assert_eq!(items("FETCH 1 THREADID"), [ThreadId]);
        assert!(items("FETCH 1 BODY[]").iter().all(FetchItem::marks_seen));
        assert!(!items("FETCH 1 BODY.PEEK[]").iter().any(FetchItem::marks_seen));
        assert!(!items("FETCH 1 BINARY.PEEK[]").iter().any(FetchItem::marks_seen));
    }

    #[track_caller]
    fn check_section(text: &str, part: &[u32], want: Option<SectionText>) {
        let section = Section { part: part.to_vec(), text: want };
        let item = BodySection { peek: false, section, partial: None };
        assert_eq!(items(&format!("FETCH 1 BODY[{text}]")), [FetchItem::BodySection(item)]);
    }

    /// RFC 9051 §6.4.5.1.
    #[test]
    fn sections_are_read() {
        check_section("", &[], None);
        check_section("TEXT", &[], Some(SectionText::Text));
        check_section("1.2.3", &[1, 2, 3], None);
        check_section("1.mime", &[1], Some(SectionText::Mime));
        check_section("1.HEADER", &[1], Some(SectionText::Header));
        let names = vec![b"Subject".to_vec(), b"Message-Id".to_vec()];
        check_section(
            "HEADER.FIELDS (subject MESSAGE-ID)",
            &[],
            Some(SectionText::HeaderFields(names)),
        );
        let names = vec![b"X".to_vec()];
        check_section(
            "4.HEADER.FIELDS.NOT (\"x\")",
            &[4],
            Some(SectionText::HeaderFieldsNot(names)),
        );
        let deep = vec!["1"; SECTION_DEPTH_MAX].join(".");
        check_section(&deep, &[1; SECTION_DEPTH_MAX], None);
        check_bad(&[(&format!("FETCH 1 BODY[{deep}.1]"), Expected::LessNesting)]);
    }

    #[test]
    fn partials_and_modifiers_are_read() {
        let Ok(Command::Fetch(fetch)) =
            parse("UID FETCH 1:* (BODY.PEEK[]<0.5>) (CHANGEDSINCE 12 VANISHED)")
        else {
            panic!("not parsed")
        };
        let partial = Some(Partial { offset: 0, count: 5 });
        let want = BodySection { peek: true, section: Section::default(), partial };
        assert_eq!(fetch.items, [FetchItem::BodySection(want)]);
        let changed_since = ModSeq::new(12);
        assert_eq!(
            fetch.modifiers,
            FetchModifiers { changed_since, vanished: true, partial: None }
        );
    }

    #[test]
    fn bad_items_are_refused() {
        check_bad(&[
            ("FETCH 1", Expected::Space),
            ("FETCH 1 ()", Expected::FetchItem),
            ("FETCH 1 BOGUS", Expected::FetchItem),
            ("FETCH 1 (FAST)", Expected::FetchItem),
            ("FETCH 1 (UID  FLAGS)", Expected::FetchItem),
            ("FETCH 1 ENVELOPE[]", Expected::FetchItem),
            ("FETCH 1 BODY.PEEK", Expected::FetchItem),
            ("FETCH 1 BODY[MIME]", Expected::Section),
            ("FETCH 1 BODY[1.]", Expected::Section),
            ("FETCH 1 BODY[0]", Expected::NonZeroNumber),
            ("FETCH 1 BODY[1.0]", Expected::NonZeroNumber),
            ("FETCH 1 BODY[BOGUS]", Expected::Section),
            ("FETCH 1 BODY[HEADER.FIELDS ()]", Expected::Section),
            ("FETCH 1 BODY[HEADER.FIELDS]", Expected::Space),
            ("FETCH 1 BODY[", Expected::Section),
            ("FETCH 1 BODY[]<0>", Expected::Section),
            ("FETCH 1 BODY[]<0.0>", Expected::NonZeroNumber),
            ("FETCH 1 BODY[]<0.1", Expected::Section),
            ("FETCH 1 BINARY[HEADER]", Expected::Section),
            ("FETCH 1 FLAGS ()", Expected::Modifier),
            ("FETCH 1 FLAGS (BOGUS)", Expected::Modifier),
            ("FETCH 1 FLAGS (VANISHED VANISHED)", Expected::NoDuplicate),
            ("FETCH 1 FLAGS (CHANGEDSINCE 1 CHANGEDSINCE 1)", Expected::NoDuplicate),
            ("FETCH 1 FLAGS (CHANGEDSINCE)", Expected::Space),
        ]);
    }
}
