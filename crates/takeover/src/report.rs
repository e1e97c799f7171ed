//! What became of a host: for whoever ran the command, and for programs.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Write as _};

use serde::Serialize;

use crate::summary::{Notes, Summary};

/// What became of a host, or what would.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The accounts of the configuration.
    pub accounts: BTreeMap<String, Summary>,
    /// Messages and webhook calls on their way out, and what is remembered of earlier ones.
    pub queue: Summary,
    /// Keys that people log in with.
    pub logins: Summary,
    /// Reports of others, what ours will tell, and policies of other domains.
    pub reports: Summary,
    /// Files that belong to the host as a whole, and those that nobody knows.
    pub files: Summary,
}

impl Report {
    /// All parts with their names, accounts first.
    fn parts(&self) -> impl Iterator<Item = (String, &Summary)> {
        let accounts = self.accounts.iter().map(|(name, part)| (format!("Account {name}"), part));
        accounts.chain([
            ("Queue".to_owned(), &self.queue),
            ("Login keys".to_owned(), &self.logins),
            ("Reports and policies".to_owned(), &self.reports),
            ("Files".to_owned(), &self.files),
        ])
    }

    /// Whether all that is there was readable.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.parts().all(|(_, part)| part.is_whole())
    }

    /// How many messages of accounts were taken.
    #[must_use]
    pub fn messages(&self) -> u64 {
        let messages = |part: &Summary| part.taken.get("messages").copied().unwrap_or(0);
        self.accounts.values().map(messages).sum()
    }

    /// Only what is damaged, for who must decide what to do about it.
    #[must_use]
    pub fn damage(&self) -> String {
        let mut text = String::new();
        for (name, part) in self.parts().filter(|(_, part)| !part.is_whole()) {
            let _infallible = write!(text, "{name}\n{}", Section("damaged", &part.damaged));
        }
        text
    }
}

/// For people: what was taken on one line, then a line for each kind of thing that was not, or not as
/// it was, with some of which.
impl Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, part) in self.parts() {
            let taken: Vec<_> =
                part.taken.iter().map(|(what, count)| format!("{count} {what}")).collect();
            let taken = if taken.is_empty() { "nothing".to_owned() } else { taken.join(", ") };
            writeln!(f, "{name}\n  taken: {taken}")?;
            for (what, count) in &part.left {
                writeln!(f, "  left behind: {count} {what}")?;
            }
            Section("taken, but not as it was", &part.differs).fmt(f)?;
            Section("not taken", &part.skipped).fmt(f)?;
            Section("damaged", &part.damaged).fmt(f)?;
        }
        Ok(())
    }
}

struct Section<'a>(&'static str, &'a BTreeMap<&'static str, Notes>);

impl Display for Section<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, notes) in self.1 {
            writeln!(f, "  {}: {} {what}", self.0, notes.count)?;
            for one in &notes.some {
                // Names in somebody's files may hold what a terminal takes for a command.
                let shown: String =
                    one.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                writeln!(f, "    {shown}")?;
            }
            let rest = notes.count - notes.some.len() as u64;
            if rest > 0 {
                writeln!(f, "    and {rest} more")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::summary::NOTES_MAX;

    #[test]
    fn a_report_tells_everything_once() {
        let mut report = Report::default();
        let alice = report.accounts.entry("alice".to_owned()).or_default();
        alice.took("messages", 12);
        alice.took("mailboxes", 3);
        alice.took("annotations", 0);
        alice.leave("settings of webmail", 1);
        alice.differs("mailboxes with another name", "a\u{1b}[2Jb");
        for number in 0..NOTES_MAX + 5 {
            alice.skip("annotations beyond our limits", format!("/shared/{number}"));
        }
        report.queue.damage("messages", "queue/a/1: page 3");
        let text = report.to_string();
        for line in [
            "Account alice\n  taken: 3 mailboxes, 12 messages\n",
            "  left behind: 1 settings of webmail\n",
            "  taken, but not as it was: 1 mailboxes with another name\n    a [2Jb\n",
            "  not taken: 25 annotations beyond our limits\n    /shared/0\n",
            "    /shared/19\n    and 5 more\n",
            "Queue\n  taken: nothing\n  damaged: 1 messages\n    queue/a/1: page 3\n",
        ] {
            assert!(text.contains(line), "{line:?} missing in {text}");
        }
        assert!(!report.is_whole());
        assert_eq!(report.damage(), "Queue\n  damaged: 1 messages\n    queue/a/1: page 3\n");
        assert_eq!(report.messages(), 12);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["accounts"]["alice"]["taken"]["messages"], 12);
        assert_eq!(json["queue"]["damaged"]["messages"]["some"][0], "queue/a/1: page 3");
    }
}
