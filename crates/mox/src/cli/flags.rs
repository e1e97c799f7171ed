//! Flags with a single dash: `-dir` is `--dir`.

use std::collections::BTreeSet;
use std::ffi::OsString;

/// The arguments with a second dash on every long flag that has one only.
///
/// Arguments after `--` are left as they are, and so is what is no flag of any command.
pub(super) fn normalized(
    args: impl IntoIterator<Item = OsString>,
    command: &clap::Command,
) -> Vec<OsString> {
    let mut names = BTreeSet::new();
    collect(command, &mut names);
    let mut is_over = false;
    let mut normalized = Vec::new();
    for argument in args {
        is_over |= argument == "--";
        let is_flag = !is_over && argument.to_str().is_some_and(|text| is_single(text, &names));
        normalized.push(match is_flag {
            true => {
                let mut double = OsString::from("-");
                double.push(argument);
                double
            }
            false => argument,
        });
    }
    normalized
}

/// The names of all long flags of a command and those below it.
fn collect(command: &clap::Command, names: &mut BTreeSet<String>) {
    names.extend(["help".to_owned(), "version".to_owned()]);
    let long = command.get_arguments().filter_map(|argument| argument.get_long());
    names.extend(long.map(ToOwned::to_owned));
    for below in command.get_subcommands() {
        collect(below, names);
    }
}

fn is_single(argument: &str, names: &BTreeSet<String>) -> bool {
    let Some(flag) = argument.strip_prefix('-') else { return false };
    let (name, _) = flag.split_once('=').unwrap_or((flag, ""));
    names.contains(name)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[track_caller]
    fn check(args: &[&str], want: &[&str]) {
        let args = args.iter().map(OsString::from);
        let found = normalized(args, &super::super::Cli::command());
        assert_eq!(found, want.iter().map(OsString::from).collect::<Vec<_>>());
    }

    #[test]
    fn long_flags_get_their_second_dash() {
        check(&["mox", "-dir", "x"], &["mox", "--dir", "x"]);
        check(&["mox", "-dir=x", "-initonly"], &["mox", "--dir=x", "--initonly"]);
        check(&["mox", "-help", "-version"], &["mox", "--help", "--version"]);
        check(&["mox", "-no-imap-preauth"], &["mox", "--no-imap-preauth"]);
        // At the edge: already right.
        check(&["mox", "--dir", "-"], &["mox", "--dir", "-"]);
        check(&["mox", "-h"], &["mox", "-h"]);
        // Not flags of ours, or not flags.
        check(
            &["mox", "-dirx", "dir", "-=", "-nonsense"],
            &["mox", "-dirx", "dir", "-=", "-nonsense"],
        );
        check(&["mox", "--", "-dir"], &["mox", "--", "-dir"]);
    }
}
