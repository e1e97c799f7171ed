//! One reply for many recipients.

use crate::Reply;

/// Makes the reply to the data from what became of it for each recipient.
///
/// SMTP has one reply for all of them (RFC 5321 §4.2.5). If any recipient has the message, it is
/// positive, since the client must not send the message again; the others get a report by mail.
/// If none has it: the code that they agree on; else 554 if any failure is permanent, and 451 if
/// all may pass. No results at all is a failure of ours.
#[must_use]
pub fn combine<'a>(results: impl IntoIterator<Item = Result<(), Reply>> + 'a) -> Reply {
    let mut failures = Vec::new();
    for result in results {
        match result {
            Ok(()) => return Reply::new(250, (2, 0), "message accepted"),
            Err(reply) => failures.push(reply),
        }
    }
    let Some(first) = failures.first() else {
        return Reply::new(451, (3, 0), "temporary failure, try again later");
    };
    let mut lines: Vec<String> = Vec::new();
    if failures.iter().all(|reply| reply.code == first.code) {
        let is_same = failures.iter().all(|reply| reply.enhanced == first.enhanced);
        failures.iter().for_each(|reply| push_new(&mut lines, reply.text.clone()));
        let mut combined = Reply::new(first.code, (3, 0), lines.join("\n"));
        if is_same {
            combined.enhanced = first.enhanced;
        }
        return combined;
    }
    failures.iter().for_each(|reply| push_new(&mut lines, reply.to_string()));
    push_new(&mut lines, "refused for all recipients".to_owned());
    let code = if failures.iter().any(Reply::is_permanent) { 554 } else { 451 };
    Reply::new(code, (3, 0), lines.join("\n"))
}

/// Says each thing once, however many recipients it holds for.
fn push_new(lines: &mut Vec<String>, line: String) {
    if lines.len() < crate::REPLY_LINES_MAX && !lines.contains(&line) {
        lines.push(line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Refusal = (u16, (u16, u16), &'static str);

    #[track_caller]
    fn check(results: &[Result<(), Refusal>], want: &str) {
        let results = results.iter().map(|result| {
            result.map_err(|(code, enhanced, text)| Reply::new(code, enhanced, text))
        });
        let results: Vec<_> = results.collect();
        let got = String::from_utf8(combine(results).to_bytes()).unwrap();
        assert_eq!(got, want);
    }

    /// RFC 5321 §4.2.5.
    #[test]
    fn results_are_combined() {
        let (unknown, full) = (Err((550, (1, 1), "unknown")), Err((452, (2, 2), "full")));
        let busy = Err((451, (3, 0), "busy"));
        // All or some have it.
        check(&[Ok(())], "250 2.2.0 message accepted\r\n");
        check(&[unknown, Ok(()), full], "250 2.2.0 message accepted\r\n");
        // None, of one mind.
        check(&[unknown], "550 5.1.1 unknown\r\n");
        check(&[unknown, unknown], "550 5.1.1 unknown\r\n");
        let spam = Err((550, (7, 1), "spam"));
        check(&[unknown, spam], "550-5.3.0 unknown\r\n550 5.3.0 spam\r\n");
        // None, of several minds.
        check(
            &[unknown, full],
            "554-5.3.0 550 5.1.1 unknown\r\n554-5.3.0 452 4.2.2 full\r\n\
             554 5.3.0 refused for all recipients\r\n",
        );
        check(
            &[busy, full],
            "451-4.3.0 451 4.3.0 busy\r\n451-4.3.0 452 4.2.2 full\r\n\
             451 4.3.0 refused for all recipients\r\n",
        );
        check(&[], "451 4.3.0 temporary failure, try again later\r\n");
    }
}
