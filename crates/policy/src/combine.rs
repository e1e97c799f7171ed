//! One reply for all recipients of a message. RFC 5321 §4.2.5, §6.1.

use crate::verdict::Refusal;

/// Lines of one reply; failures beyond are counted in the last line.
pub const REPLY_LINES_MAX: usize = 20;

/// What is said after DATA.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Combined {
    /// All recipients have the message.
    Accepted,
    /// Some have it: 250 is said, and the sender gets one report on the others, which are given by their
    /// place.
    Partly(Vec<usize>),
    /// None has it. The text has a line for each failure, parted by LF.
    Refused(Refusal),
}

/// Combines the results of the recipients, in their order.
///
/// One code for all keeps what it means: a server that is told 451 for all tries again, while mixed
/// results end with the worse class.
#[must_use]
pub fn combine(results: &[Result<(), Refusal>]) -> Combined {
    let failed: Vec<(usize, &Refusal)> = results
        .iter()
        .enumerate()
        .filter_map(|(place, result)| result.as_ref().err().map(|refusal| (place, refusal)))
        .collect();
    let Some((_, first)) = failed.first() else { return Combined::Accepted };
    if failed.len() < results.len() {
        return Combined::Partly(failed.into_iter().map(|(place, _)| place).collect());
    }
    let is_same = |other: &Refusal| (other.code, other.enhanced) == (first.code, first.enhanced);
    if failed.iter().all(|(_, refusal)| is_same(refusal)) {
        let texts = failed.iter().map(|(_, refusal)| refusal.text.clone());
        return Combined::Refused(Refusal::new(first.code, first.enhanced, lines(texts)));
    }
    let is_permanent = failed.iter().any(|(_, refusal)| refusal.code >= 500);
    let texts = failed.iter().map(|(_, refusal)| {
        let (subject, detail) = refusal.enhanced;
        let Refusal { code, text, .. } = refusal;
        format!("{code} {}.{subject}.{detail} {text}", code / 100)
    });
    let text = format!("{}\nmultiple errors", lines(texts));
    let code = if is_permanent { 554 } else { 451 };
    Combined::Refused(Refusal::new(code, (3, 0), text))
}

/// The texts in lines, each text once.
fn lines(texts: impl Iterator<Item = String>) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut more = 0_usize;
    for text in texts {
        // At most REPLY_LINES_MAX are compared, so that a thousand recipients stay cheap.
        if lines.contains(&text) {
            continue;
        }
        if lines.len() < REPLY_LINES_MAX { lines.push(text) } else { more += 1 }
    }
    if more > 0 {
        lines.push(format!("and {more} more"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn err(code: u16, enhanced: (u16, u16), text: &str) -> Result<(), Refusal> {
        Err(Refusal::new(code, enhanced, text))
    }

    #[track_caller]
    fn check(results: &[Result<(), Refusal>], want: &Combined) {
        assert_eq!(combine(results), *want);
    }

    fn refused(code: u16, enhanced: (u16, u16), text: &str) -> Combined {
        Combined::Refused(Refusal::new(code, enhanced, text))
    }

    #[test]
    fn results_become_one_reply() {
        let unknown = || err(550, (1, 1), "no such address");
        let junk = || err(451, (3, 0), "later");
        let full = || err(452, (2, 2), "full");
        check(&[Ok(())], &Combined::Accepted);
        check(&[Ok(()), Ok(())], &Combined::Accepted);
        check(&[], &Combined::Accepted);
        check(&[unknown(), Ok(()), junk()], &Combined::Partly(vec![0, 2]));
        check(&[unknown()], &refused(550, (1, 1), "no such address"));
        check(&[unknown(), unknown()], &refused(550, (1, 1), "no such address"));
        check(&[err(550, (1, 1), "a"), err(550, (1, 1), "b")], &refused(550, (1, 1), "a\nb"));
        let text = "451 4.3.0 later\n452 4.2.2 full\nmultiple errors";
        check(&[junk(), full()], &refused(451, (3, 0), text));
        let text = "451 4.3.0 later\n550 5.1.1 no such address\nmultiple errors";
        check(&[junk(), unknown()], &refused(554, (3, 0), text));
        // The same code with another meaning is another result.
        let text = "550 5.1.1 a\n550 5.7.1 b\nmultiple errors";
        check(&[err(550, (1, 1), "a"), err(550, (7, 1), "b")], &refused(554, (3, 0), text));
    }

    #[test]
    fn replies_are_bounded() {
        let many: Vec<_> = (0..1_000).map(|n| err(550, (1, 1), &n.to_string())).collect();
        let Combined::Refused(refusal) = combine(&many) else { unreachable!() };
        assert_eq!(refusal.text.lines().count(), REPLY_LINES_MAX + 1);
        assert!(refusal.text.ends_with("\nand 980 more"));
    }
}
