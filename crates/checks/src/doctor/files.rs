//! Who may read and write the files.

use crate::Finding;

/// Files and directories that are looked at. Ours.
pub const FILES_MAX: usize = 20_000;

/// Faults of one kind that are told one by one; more are counted. Ours.
const SHOWN_MAX: usize = 5;

/// What is wrong with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileProblem {
    /// It should be there.
    Missing,
    /// Everybody on this machine can change it.
    AllWrite,
    /// Everybody on this machine can read it.
    AllRead,
    /// It is not of the user who has the rest.
    OtherOwner,
    /// It cannot be looked at.
    Unreadable,
}

/// A file or directory with something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileFault {
    /// Which.
    pub path: String,
    /// What.
    pub problem: FileProblem,
}

pub(super) fn judge(faults: &[FileFault]) -> Vec<Finding> {
    use FileProblem::{AllRead, AllWrite, Missing, OtherOwner, Unreadable};
    let mut findings = Vec::new();
    for problem in [Missing, AllWrite, AllRead, OtherOwner, Unreadable] {
        let of_kind: Vec<&str> = faults
            .iter()
            .filter(|fault| fault.problem == problem)
            .map(|fault| fault.path.as_str())
            .collect();
        if !of_kind.is_empty() {
            findings.push(finding(problem, &of_kind));
        }
    }
    if faults.is_empty() {
        findings.push(Finding::ok("files and directories have the right owners and modes"));
    }
    findings
}

fn finding(problem: FileProblem, paths: &[&str]) -> Finding {
    let mut shown = paths.iter().take(SHOWN_MAX).copied().collect::<Vec<_>>().join(", ");
    if paths.len() > SHOWN_MAX {
        shown.push_str(&format!(" and {} more", paths.len() - SHOWN_MAX));
    }
    let first = paths.first().copied().unwrap_or_default();
    match problem {
        FileProblem::Missing => Finding::error(
            format!("missing: {shown}"),
            "Restore it from a backup (mox restore), or correct its name in the configuration.",
        ),
        FileProblem::AllWrite => Finding::error(
            format!("everybody on this machine can change: {shown}"),
            format!("Take that right away: chmod o= {first}\nThen find out who may have used it."),
        ),
        FileProblem::AllRead => Finding::warning(
            format!("everybody on this machine can read: {shown}"),
            format!(
                "Take that right away: chmod o= {first}\nA server that is started as root does so by \
                 itself, unless NoFixPermissions is set. Replace private keys that others may have read."
            ),
        ),
        FileProblem::OtherOwner => Finding::warning(
            format!("of another user than the rest of the data: {shown}"),
            "The server may not be able to write them. Restart it as root (it sets owners right), or use \
             chown.",
        ),
        FileProblem::Unreadable => Finding::note(
            format!("cannot be looked at: {shown}"),
            "Run this command as root, or as the user of the server.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Level;

    #[track_caller]
    fn check(problem: FileProblem, count: usize, want: (Level, &str)) {
        let fault = |n| FileFault { path: format!("/f{n}"), problem };
        let faults: Vec<_> = (0..count).map(fault).collect();
        let findings = judge(&faults);
        let [finding] = findings.as_slice() else { panic!("{findings:?}") };
        assert_eq!((finding.level, finding.what.as_str()), want);
    }

    #[test]
    fn faults_are_told_by_kind() {
        check(FileProblem::Missing, 1, (Level::Error, "missing: /f0"));
        let want = "everybody on this machine can change: /f0, /f1";
        check(FileProblem::AllWrite, 2, (Level::Error, want));
        let want = "everybody on this machine can read: /f0, /f1, /f2, /f3, /f4 and 2 more";
        check(FileProblem::AllRead, 7, (Level::Warning, want));
        let want = "of another user than the rest of the data: /f0";
        check(FileProblem::OtherOwner, 1, (Level::Warning, want));
        check(FileProblem::Unreadable, 1, (Level::Note, "cannot be looked at: /f0"));
        assert_eq!(judge(&[])[0].level, Level::Ok);
    }
}
