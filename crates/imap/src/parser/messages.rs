//! STORE, COPY and MOVE, and the flags and dates of messages.

use mox_base::{DateTime, ModSeq, ZonedTime};

use super::Expected;
use super::lexer::{Lexer, Parsed};
use crate::types::{Command, FlagList, Store, StoreAction};

/// The most flags in one list.
const FLAGS_MAX: usize = 1_000;

/// `store = "STORE" SP sequence-set [SP store-modifiers] SP store-att-flags`
///
/// RFC 9051 §6.4.6, RFC 7162 §3.1.3.
pub(super) fn store(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let set = lexer.sequence_set()?;
    lexer.sp()?;
    let mut unchanged_since = None;
    if lexer.peek() == Some(b'(') {
        let modifiers = lexer.list(1, |lexer| {
            if !lexer.word("UNCHANGEDSINCE") {
                return lexer.fail(Expected::Modifier);
            }
            lexer.sp()?;
            mod_sequence_valzer(lexer)
        })?;
        let Some(modseq) = modifiers.first() else { return lexer.fail(Expected::Modifier) };
        unchanged_since = Some(*modseq);
        lexer.sp()?;
    }
    let (action, silent) = store_action(lexer)?;
    lexer.sp()?;
    let flags = store_flags(lexer)?;
    Ok(Command::Store(Store { set, unchanged_since, action, silent, flags }))
}

/// `store-att-flags = (["+" / "-"] "FLAGS" [".SILENT"]) SP (flag-list / (flag *(SP flag)))`
fn store_action(lexer: &mut Lexer<'_>) -> Parsed<(StoreAction, bool)> {
    let action = if lexer.take(b'+') {
        StoreAction::Add
    } else if lexer.take(b'-') {
        StoreAction::Remove
    } else {
        StoreAction::Replace
    };
    if lexer.word("FLAGS") {
        Ok((action, false))
    } else if lexer.word("FLAGS.SILENT") {
        Ok((action, true))
    } else {
        lexer.fail(Expected::StoreAction)
    }
}

fn store_flags(lexer: &mut Lexer<'_>) -> Parsed<FlagList> {
    if lexer.peek() == Some(b'(') {
        return flag_list(lexer);
    }
    let mut flags = FlagList::default();
    let mut count = 0;
    loop {
        flag(lexer, &mut flags)?;
        count += 1;
        if !lexer.take(b' ') {
            return Ok(flags);
        }
        if count == FLAGS_MAX {
            return lexer.fail(Expected::FewerItems);
        }
    }
}

/// `flag-list = "(" [flag *(SP flag)] ")"`
pub(super) fn flag_list(lexer: &mut Lexer<'_>) -> Parsed<FlagList> {
    let mut flags = FlagList::default();
    lexer.list(FLAGS_MAX, |lexer| flag(lexer, &mut flags))?;
    Ok(flags)
}

/// `flag = "\Answered" / "\Flagged" / "\Deleted" / "\Seen" / "\Draft" / flag-keyword`
///
/// RFC 9051 §2.3.2. `\Recent` cannot be set by clients (RFC 3501 §2.3.2), and a system flag that
/// is not known must not be stored.
fn flag(lexer: &mut Lexer<'_>, flags: &mut FlagList) -> Parsed<()> {
    let mark = lexer.clone();
    lexer.take(b'\\');
    lexer.atom()?;
    let name = lexer.since(&mark);
    let before = (flags.system, flags.keywords.len());
    if !flags.insert_name(std::str::from_utf8(name).unwrap_or_default()) {
        return mark.fail(Expected::Flag);
    }
    if lexer.options.pedantic && before == (flags.system, flags.keywords.len()) {
        return mark.fail(Expected::NoDuplicate);
    }
    Ok(())
}

/// `mod-sequence-valzer = "0" / mod-sequence-value`. RFC 7162 §7.
pub(super) fn mod_sequence_valzer(lexer: &mut Lexer<'_>) -> Parsed<ModSeq> {
    let number = lexer.number64()?;
    // number64 has 63 bits, as ModSeq has.
    ModSeq::new(number).map_or_else(|| lexer.fail(Expected::Number), Ok)
}

/// `copy = "COPY" SP sequence-set SP mailbox`, and `move` likewise. RFC 9051 §6.4.7, §6.4.8.
pub(super) fn copy(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let set = lexer.sequence_set()?;
    lexer.sp()?;
    Ok(Command::Copy { set, mailbox: lexer.mailbox()? })
}

/// `date-time = DQUOTE date-day-fixed "-" date-month "-" date-year SP time SP zone DQUOTE`
pub(super) fn date_time(lexer: &mut Lexer<'_>) -> Parsed<ZonedTime> {
    let start = lexer.at();
    lexer.byte(b'"', Expected::DateTime)?;
    let text = lexer.run(|byte| byte != b'"');
    lexer.byte(b'"', Expected::DateTime)?;
    let time = std::str::from_utf8(text).ok().and_then(date_time_text);
    time.ok_or(super::ParseError { at: start, expected: Expected::DateTime })
}

fn date_time_text(text: &str) -> Option<ZonedTime> {
    // `17-Jul-1996 02:44:25 -0700`, always 26 bytes; a day below 10 may start with a space.
    let digits = |from: usize, to: usize| -> Option<u16> {
        let text = text.get(from..to)?;
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
    };
    let small = |from, to| digits(from, to).and_then(|number| u8::try_from(number).ok());
    let is = |at: usize, byte: u8| text.as_bytes().get(at) == Some(&byte);
    let separators = [(2, b'-'), (6, b'-'), (11, b' '), (14, b':'), (17, b':'), (20, b' ')];
    if text.len() != 26 || !separators.iter().all(|(at, byte)| is(*at, *byte)) {
        return None;
    }
    let day = if is(0, b' ') { small(1, 2)? } else { small(0, 2)? };
    let minutes = i16::try_from(digits(22, 24)? * 60 + digits(24, 26)?).ok()?;
    let zone_minutes = match text.as_bytes().get(21)? {
        b'+' => minutes,
        b'-' => -minutes,
        _ => return None,
    };
    let date = DateTime {
        year: digits(7, 11)?,
        month: DateTime::month_from_name(text.get(3..6)?)?,
        day,
        hour: small(12, 14)?,
        minute: small(15, 17)?,
        second: small(18, 20)?,
        zone_minutes,
    };
    date.to_zoned().ok()
}

#[cfg(test)]
mod tests {
    use mox_base::{Flags, Keyword};

    use super::*;
    use crate::parser::Options;
    use crate::parser::testing::{check_bad, parse, parse_with};
    use crate::types::{MailboxArg, SetArg};

    fn store_of(line: &str) -> Store {
        match parse(line) {
            Ok(Command::Store(store)) => store,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// RFC 9051 §6.4.6, RFC 7162 §3.1.3.
    #[test]
    fn store_names_flags_in_a_list_or_bare() {
        let store = store_of("STORE 2:4 +FLAGS (\\Deleted $JUNK Label1 a label1)");
        assert_eq!(store.action, StoreAction::Add);
        assert_eq!(store.flags.system, Flags::DELETED | Flags::JUNK);
        let keywords: Vec<&str> = store.flags.keywords.iter().map(Keyword::as_str).collect();
        assert_eq!(keywords, ["a", "label1"]);
        let store = store_of("STORE $ (UNCHANGEDSINCE 0) flags.silent \\seen \\DRAFT");
        assert!(store.silent && store.action == StoreAction::Replace);
        assert_eq!(store.unchanged_since, ModSeq::new(0));
        assert_eq!(store.flags.system, Flags::SEEN | Flags::DRAFT);
        assert_eq!(store_of("UID STORE 1 -FLAGS ()").flags, FlagList::default());
        check_bad(&[
            ("STORE 1", Expected::Space),
            ("STORE 1 FLAGS", Expected::Space),
            ("STORE 1 FLAGS (\\Recent)", Expected::Flag),
            ("STORE 1 FLAGS (\\Bogus)", Expected::Flag),
            ("STORE 1 FLAGS (a]b)", Expected::Space),
            ("STORE 1 FLAG x", Expected::StoreAction),
            ("STORE 1 *FLAGS x", Expected::StoreAction),
            ("STORE 1 () FLAGS x", Expected::Modifier),
            ("STORE 1 (BOGUS 1) FLAGS x", Expected::Modifier),
            ("STORE 1 (UNCHANGEDSINCE 1 UNCHANGEDSINCE 1) FLAGS x", Expected::FewerItems),
            ("STORE x FLAGS x", Expected::SequenceSet),
        ]);
    }

    #[test]
    fn pedantic_mode_refuses_what_does_no_harm() {
        let strict = Options { pedantic: true, ..Options::default() };
        for (line, want) in [
            ("STORE 1 FLAGS (a A)", Expected::NoDuplicate),
            ("STORE 1 FLAGS (\\Seen \\SEEN)", Expected::NoDuplicate),
            ("FETCH 1 FLAGS (CHANGEDSINCE 0)", Expected::NonZeroNumber),
            ("COPY  1 x", Expected::SequenceSet),
        ] {
            assert!(parse(line).is_ok(), "{line}");
            assert_eq!(parse_with(line, strict), Err(want), "{line}");
        }
    }

    /// RFC 9051 §6.4.7.
    #[test]
    fn copy_names_messages_and_target() {
        let want = Command::Copy { set: SetArg::Saved, mailbox: MailboxArg("x".to_owned()) };
        assert_eq!(parse("UID MOVE $ x"), Ok(want));
        check_bad(&[("COPY 1", Expected::Space), ("COPY x 1", Expected::SequenceSet)]);
    }

    #[track_caller]
    fn check_date(text: &str, want: Option<(i64, i16)>) {
        let input = format!("\"{text}\"");
        let mut lexer = Lexer::new(input.as_bytes(), 0, Options::default());
        let found = date_time(&mut lexer).ok();
        let found = found.map(|date| (date.time().0, date.zone_minutes()));
        assert_eq!(found, want, "{text}");
    }

    /// RFC 9051 §9 (`date-time`).
    #[test]
    fn dates_have_one_form() {
        // Valid.
        check_date("20-Nov-2026 08:55:32 +0000", Some((1_795_164_932, 0)));
        check_date("20-nov-2026 09:55:32 +0100", Some((1_795_164_932, 60)));
        check_date(" 1-Jan-1970 00:00:00 +0000", Some((0, 0)));
        check_date("01-Jan-1970 00:00:00 -0030", Some((1_800, -30)));
        // At the edge of valid.
        check_date("20-Nov-2026 08:55:32 +2359", Some((1_795_078_592, 1439)));
        check_date("20-Nov-2026 08:55:32 -2359", Some((1_795_251_272, -1439)));
        check_date("20-Nov-2026 08:55:32 -0000", Some((1_795_164_932, 0)));
        // Just past the edge.
        check_date("20-Nov-2026 08:55:32 +2400", None);
        check_date("20-Nov-2026 08:55:32 -2400", None);
        check_date("20-Nov-2026 08:55:32 +9999", None);
        check_date("31-Nov-2026 08:55:32 +0000", None);
        check_date("20-Nov-2026 24:00:00 +0000", None);
        // Never valid.
        check_date("1-Jan-1970 00:00:00 +0000", None);
        check_date("20-Nov-2026 08:55:32 0000", None);
        check_date("20-Nov-2026 +8:55:32 +0000", None);
        check_date("20-Bog-2026 08:55:32 +0000", None);
        check_date("", None);
    }
}
