//! `mox sendmail`.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Args;

use super::{Global, say};

/// Submit a message from standard input, as other programs call sendmail.
///
/// Arguments: -t takes the recipient from the To header field, -Fname sets the name of the author,
/// other flags are ignored; a single recipient. The server and the author are in
/// /etc/moxsubmit.conf, see "mox config describe-sendmail"; another file can be named by --config.
/// What cannot be sent is kept in the directory moxsubmit.failures of the user. A program with
/// the name sendmail is this command.
#[derive(Debug, Args)]
pub(super) struct Sendmail {
    /// Flags and the recipient.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl Sendmail {
    /// Of a command line that must not be looked at in any other way: the flags of this command are
    /// not like ours.
    pub(super) fn of(args: &[OsString]) -> Option<Self> {
        let (program, rest) = args.split_first()?;
        let rest = match rest.split_first() {
            _ if crate::sendmail::is_name(program) => rest,
            Some((word, rest)) if word == "sendmail" && !is_help(rest) => rest,
            _ => return None,
        };
        let text = |word: &OsString| word.to_string_lossy().into_owned();
        Some(Self { arguments: rest.iter().map(text).collect() })
    }

    /// With the settings of the machine.
    pub(super) fn run_alone(self) -> ExitCode {
        crate::sendmail::run_command(&self.arguments, None, say)
    }

    pub(super) fn run(self, global: &Global) -> ExitCode {
        crate::sendmail::run_command(&self.arguments, global.config.clone(), say)
    }
}

fn is_help(words: &[OsString]) -> bool {
    matches!(words, [word] if word == "-help" || word == "--help")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, want: Option<&[&str]>) {
        let args: Vec<_> = line.split(' ').map(OsString::from).collect();
        let got = Sendmail::of(&args).map(|command| command.arguments);
        let want =
            want.map(|words| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
        assert_eq!(got, want, "{line}");
    }

    #[test]
    fn its_arguments_are_its_own() {
        check("mox sendmail -t", Some(&["-t"]));
        check("/usr/sbin/sendmail -i -config root", Some(&["-i", "-config", "root"]));
        check("sendmail", Some(&[""][..0]));
        check("mox sendmail --help", None);
        check("mox -config x sendmail root", None);
        check("mox queue sendmail", None);
        check("/opt/sendmail/mox stop", None);
    }
}
