//! What was found in the files: faults, which keep them from being used, and notices.

use std::fmt;
use std::path::{Path, PathBuf};

use mox_sconf::{Document, FAULTS_MAX, Faults, Path as Key};

/// Something found in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line, counted from 1; 0 if it is about the whole file.
    pub line: usize,
    /// What it is, with the key where the line alone does not say, and what to do.
    pub message: String,
}

/// `config/mox.conf:12: message`.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.message),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.message),
        }
    }
}

/// All that was found in the configuration files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What keeps the files from being used, by file and line.
    pub faults: Vec<Finding>,
    /// What works other than it may be expected to: keys without effect yet, deprecated keys.
    pub notices: Vec<Finding>,
}

/// Collects what is found in one file.
pub(crate) struct Checker<'d> {
    file: &'d Path,
    document: &'d Document,
    /// What reading found; a line among them gets no further faults, which would only follow.
    syntax: Faults,
    faults: Vec<Finding>,
    notices: Vec<Finding>,
}

impl<'d> Checker<'d> {
    pub(crate) fn new(file: &'d Path, document: &'d Document, syntax: Faults) -> Self {
        Self { file, document, syntax, faults: Vec::new(), notices: Vec::new() }
    }

    pub(crate) fn document(&self) -> &'d Document {
        self.document
    }

    /// Adds a fault of the value at `key`.
    pub(crate) fn fault(&mut self, key: &Key, message: impl fmt::Display) {
        // The place is looked for only if it is wanted: that costs a walk over the document.
        if self.faults.len() < FAULTS_MAX {
            let finding = self.finding(key, message);
            self.faults.extend((!self.syntax.has_line(finding.line)).then_some(finding));
        }
    }

    /// Adds a notice about the value at `key`.
    pub(crate) fn notice(&mut self, key: &Key, message: impl fmt::Display) {
        if self.notices.len() < FAULTS_MAX {
            self.notices.push(self.finding(key, message));
        }
    }

    fn finding(&self, key: &Key, message: impl fmt::Display) -> Finding {
        Finding {
            file: self.file.to_owned(),
            line: self.document.line(key),
            message: format!("{key}: {message}"),
        }
    }

    /// Everything found, by line.
    pub(crate) fn finish(self) -> Report {
        let file = self.file;
        let syntax = self.syntax.into_sorted().into_iter().map(|fault| Finding {
            file: file.to_owned(),
            line: fault.line,
            message: fault.problem.to_string(),
        });
        let mut faults: Vec<_> = syntax.chain(self.faults).collect();
        faults.sort();
        let mut notices = self.notices;
        notices.sort();
        Report { faults, notices }
    }
}
