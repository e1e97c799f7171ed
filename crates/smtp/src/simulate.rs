//! Errors on demand, for people who test their mail programs against a server of their own.
//!
//! The localpart says which error, and by its start where: `mailfrom…` in MAIL, `rcptto…` in RCPT,
//! `queue…` when a submitted message is sent on, any other after the data.

/// Where in the life of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// MAIL FROM; the localpart is the sender's.
    Mail,
    /// RCPT TO.
    Rcpt,
    /// After the data.
    Data,
    /// Delivery from the queue.
    Queue,
}

/// What shall happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Simulated {
    /// A reply with this code, 400 to 599, with the enhanced code x.0.0.
    Code(u16),
    /// An hour of silence, then 451.
    Timeout,
}

/// What a localpart asks for at a stage: `…temperror` 451, `…permerror` 550, `…timeout` a time-out,
/// and three digits of 400 to 599 at its end that code. `None` for all others.
#[must_use]
pub fn simulated(localpart: &str, stage: Stage) -> Option<Simulated> {
    let asked = if localpart.starts_with("mailfrom") {
        Stage::Mail
    } else if localpart.starts_with("rcptto") {
        Stage::Rcpt
    } else if localpart.starts_with("queue") {
        Stage::Queue
    } else {
        Stage::Data
    };
    if asked != stage {
        return None;
    }
    if localpart.ends_with("temperror") {
        return Some(Simulated::Code(451));
    }
    if localpart.ends_with("permerror") {
        return Some(Simulated::Code(550));
    }
    if localpart.ends_with("timeout") {
        return Some(Simulated::Timeout);
    }
    let (_, digits) = localpart.split_at_checked(localpart.len().checked_sub(3)?)?;
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    let code = digits.parse().ok().filter(|code| is_number && (400..600).contains(code))?;
    Some(Simulated::Code(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(localpart: &str, want: Option<(Stage, Simulated)>) {
        for stage in [Stage::Mail, Stage::Rcpt, Stage::Data, Stage::Queue] {
            let want = want.filter(|(asked, _)| *asked == stage).map(|(_, simulated)| simulated);
            assert_eq!(simulated(localpart, stage), want, "{localpart} {stage:?}");
        }
    }

    #[test]
    fn the_localpart_says_what_and_where() {
        use Simulated::{Code, Timeout};
        check("temperror", Some((Stage::Data, Code(451))));
        check("a.permerror", Some((Stage::Data, Code(550))));
        check("mailfromtimeout", Some((Stage::Mail, Timeout)));
        check("rcptto452", Some((Stage::Rcpt, Code(452))));
        check("queuepermerror", Some((Stage::Queue, Code(550))));
        check("400", Some((Stage::Data, Code(400))));
        check("x599", Some((Stage::Data, Code(599))));
        check("x399", None);
        check("x600", None);
        check("x+50", None);
        check("5é", None);
        check("é55", None);
        check("50", None);
        check("", None);
        check("mjl", None);
        check("rcptto", None);
    }
}
