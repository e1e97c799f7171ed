//! `mox completions`.

use anyhow::{Context, Result};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::{Cli, print};

/// Print a script with which a shell completes commands and flags.
///
/// For bash, for example: mox completions bash >/etc/bash_completion.d/mox
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<()> {
        print(&script(self.shell)?)
    }
}

fn script(shell: Shell) -> Result<String> {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "mox", &mut text);
    String::from_utf8(text).context("names of commands are text")
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    #[test]
    fn every_shell_gets_the_commands_and_flags() {
        for shell in Shell::value_variants() {
            let script = script(*shell).unwrap();
            for word in ["localserve", "describe-static", "loglevel", "initonly"] {
                assert!(script.contains(word), "{shell}: {word}");
            }
        }
    }
}
