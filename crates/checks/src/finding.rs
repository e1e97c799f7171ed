//! What a check found.

use std::fmt;

use serde::Serialize;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Good to know.
    Note,
    /// Something works worse than it could, or will not work for long.
    Warning,
    /// Something does not work.
    Error,
}

impl Level {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// What a check found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// What is so, in one line.
    pub what: String,
    /// What to do next, in lines for whoever has never done it; empty if there is nothing to do.
    pub next_step: String,
}

impl Finding {
    /// All is well.
    #[must_use]
    pub fn ok(what: impl Into<String>) -> Self {
        Self { level: Level::Ok, what: what.into(), next_step: String::new() }
    }

    /// Good to know.
    #[must_use]
    pub fn note(what: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { level: Level::Note, what: what.into(), next_step: next_step.into() }
    }

    /// Should be mended.
    #[must_use]
    pub fn warning(what: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { level: Level::Warning, what: what.into(), next_step: next_step.into() }
    }

    /// Must be mended.
    #[must_use]
    pub fn error(what: impl Into<String>, next_step: impl Into<String>) -> Self {
        Self { level: Level::Error, what: what.into(), next_step: next_step.into() }
    }

    /// Whether there is something to mend.
    #[must_use]
    pub fn is_fault(&self) -> bool {
        self.level >= Level::Warning
    }
}

/// The level and what is so on one line, then what to do, indented. What others sent may be in it:
/// control characters, which could act on a terminal, are shown as question marks.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.level.as_str(), printable(&self.what))?;
        self.next_step.lines().try_for_each(|line| writeln!(f, "\t{}", printable(line)))
    }
}

/// Text on one line of a terminal.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_told_with_what_to_do() {
        assert_eq!(Finding::ok("it works").to_string(), "ok: it works\n");
        let finding = Finding::error("bad\r\n\u{1b}[2Jname", "Do this.\n  then that");
        assert_eq!(finding.to_string(), "error: bad???[2Jname\n\tDo this.\n\t  then that\n");
        assert!(finding.is_fault() && !Finding::note("so", "").is_fault());
    }

    #[test]
    fn errors_are_the_worst() {
        assert!(Level::Error > Level::Warning && Level::Warning > Level::Note);
        assert_eq!(serde_json::to_string(&Level::Warning).unwrap(), "\"warning\"");
    }
}
