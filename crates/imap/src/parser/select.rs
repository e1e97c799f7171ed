//! SELECT and EXAMINE with their parameters.

use mox_base::{ModSeq, UidValidity};

use super::Expected;
use super::lexer::{Lexer, Parsed};
use crate::types::{Command, NumSet, Qresync, Select, SequenceSet};

/// `select = "SELECT" SP mailbox [select-params]`
/// `select-params = SP "(" select-param *(SP select-param) ")"`. RFC 9051 §6.3.2, RFC 4466 §2.4.
pub(super) fn select(lexer: &mut Lexer<'_>) -> Parsed<Command> {
    let mut select = Select { mailbox: lexer.mailbox()?, condstore: false, qresync: None };
    if lexer.take(b' ') {
        let params = lexer.list(2, |lexer| select_param(lexer, &mut select))?;
        if params.is_empty() {
            return lexer.fail(Expected::SelectParameter);
        }
    }
    Ok(Command::Select(select))
}

/// `select-param =/ "CONDSTORE" / "QRESYNC" SP "(" … ")"`. RFC 7162 §7.
fn select_param(lexer: &mut Lexer<'_>, select: &mut Select) -> Parsed<()> {
    if lexer.word("CONDSTORE") {
        if select.condstore {
            return lexer.fail(Expected::NoDuplicate);
        }
        select.condstore = true;
        return Ok(());
    }
    if !lexer.word("QRESYNC") {
        return lexer.fail(Expected::SelectParameter);
    }
    if select.qresync.is_some() {
        return lexer.fail(Expected::NoDuplicate);
    }
    lexer.sp()?;
    select.qresync = Some(qresync(lexer)?);
    Ok(())
}

/// `"(" uidvalidity SP mod-sequence-value [SP known-uids] [SP seq-match-data] ")"`. RFC 7162 §7.
fn qresync(lexer: &mut Lexer<'_>) -> Parsed<Qresync> {
    lexer.open()?;
    let uidvalidity = UidValidity::new(lexer.nz_number()?);
    let Some(uidvalidity) = uidvalidity else { return lexer.fail(Expected::NonZeroNumber) };
    lexer.sp()?;
    let modseq = ModSeq::new(lexer.number64()?).filter(|modseq| modseq.get() > 0);
    let Some(modseq) = modseq else { return lexer.fail(Expected::NonZeroNumber) };
    let mut qresync = Qresync { uidvalidity, modseq, known_uids: None, sample: None };
    if lexer.take(b' ') {
        if lexer.peek() != Some(b'(') {
            qresync.known_uids = Some(known_numbers(lexer)?.1);
        }
        if qresync.known_uids.is_none() || lexer.take(b' ') {
            qresync.sample = Some(seq_match_data(lexer)?);
        }
    }
    lexer.close()?;
    Ok(qresync)
}

/// `seq-match-data = "(" known-sequence-set SP known-uid-set ")"`. RFC 7162 §3.2.5.2.
fn seq_match_data(lexer: &mut Lexer<'_>) -> Parsed<(SequenceSet, SequenceSet)> {
    lexer.open()?;
    let (seqs, seq_numbers) = known_numbers(lexer)?;
    lexer.sp()?;
    let (uids, uid_numbers) = known_numbers(lexer)?;
    if seq_numbers.len() != uid_numbers.len() {
        return lexer.fail(Expected::SequenceSet);
    }
    lexer.close()?;
    Ok((seqs, uids))
}

/// `known-uids = sequence-set`, and `*` is not allowed. RFC 7162 §7.
fn known_numbers(lexer: &mut Lexer<'_>) -> Parsed<(SequenceSet, NumSet)> {
    let set = lexer.plain_set()?;
    match set.numbers() {
        Some(numbers) => Ok((set, numbers)),
        None => lexer.fail(Expected::SetWithoutLast),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parser::testing::{check_bad, parse};

    fn select_of(line: &str) -> Select {
        match parse(line) {
            Ok(Command::Select(select)) => select,
            other => panic!("{line}: {other:?}"),
        }
    }

    /// RFC 7162 §3.2.5, with its examples.
    #[test]
    fn parameters_come_in_any_order() {
        assert!(!select_of("SELECT INBOX").condstore);
        assert!(select_of("EXAMINE INBOX (CONDSTORE)").condstore);
        let select = select_of("SELECT INBOX (CONDSTORE QRESYNC (67890007 20050715194045000))");
        assert!(select.condstore);
        assert_eq!(select.qresync.unwrap().modseq.get(), 20_050_715_194_045_000);
        let qresync = select_of(
            "select x (qresync (67890007 90060115194045000 41:211,214:541 (1:3 2,5,9)) condstore)",
        )
        .qresync
        .unwrap();
        assert_eq!(qresync.known_uids.unwrap().to_string(), "41:211,214:541");
        let (seqs, uids) = qresync.sample.unwrap();
        assert_eq!((seqs.to_string(), uids.to_string()), ("1:3".into(), "2,5,9".into()));
        let only_sample = select_of("SELECT x (QRESYNC (1 2 (1 1)))").qresync.unwrap();
        assert!(only_sample.known_uids.is_none() && only_sample.sample.is_some());
    }

    #[test]
    fn bad_parameters_are_refused() {
        check_bad(&[
            ("SELECT", Expected::Space),
            ("SELECT x y", Expected::Open),
            ("SELECT x ()", Expected::SelectParameter),
            ("SELECT x (BOGUS)", Expected::SelectParameter),
            ("SELECT x (CONDSTORE CONDSTORE)", Expected::NoDuplicate),
            ("SELECT x (QRESYNC (1 1) QRESYNC (1 1))", Expected::NoDuplicate),
            ("SELECT x (QRESYNC (0 1))", Expected::NonZeroNumber),
            ("SELECT x (QRESYNC (1 0))", Expected::NonZeroNumber),
            ("SELECT x (QRESYNC (1 1 1:*))", Expected::SetWithoutLast),
            ("SELECT x (QRESYNC (1 1 $))", Expected::SequenceSet),
            ("SELECT x (QRESYNC (1 1 1 (1 1:2)))", Expected::SequenceSet),
            ("SELECT x (QRESYNC (1 1 1 (1 1) 1))", Expected::Close),
            ("SELECT x (QRESYNC (1))", Expected::Space),
            ("SELECT x (QRESYNC)", Expected::Space),
        ]);
    }
}
