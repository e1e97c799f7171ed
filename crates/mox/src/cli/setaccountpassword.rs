//! `mox setaccountpassword`.

use std::io::{self, BufRead as _, Read as _};

use anyhow::{Context, Result, bail};
use clap::Args;
use mox_sasl::{PASSWORD_BYTES_MAX, Password};

use super::{Global, print};

/// Set the password of an account.
///
/// Reads the password from the first line of standard input. It must have 8 bytes at least. The
/// server must be running.
#[derive(Debug, Args)]
pub(super) struct SetAccountPassword {
    /// Name of the account.
    account: String,
}

impl SetAccountPassword {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        print("password (shown as you type): ")?;
        let password = read_line(&mut io::stdin().lock())?;
        // The server checks again; here the reason is nearer to whoever types.
        Password::for_storing(&password)?;
        let Self { account } = self;
        global.control(async |mut client| {
            Ok(client.run("setaccountpassword", &[&account, &password]).await?)
        })
    }
}

/// Reads a line, without its line end.
pub(super) fn read_line(input: &mut impl io::BufRead) -> Result<String> {
    let mut line = String::new();
    // Two bytes more for the line end, one so that a line too long is seen to be.
    let mut limited = input.take(PASSWORD_BYTES_MAX as u64 + 3);
    limited.read_line(&mut line).context("read password from standard input")?;
    if line.is_empty() {
        bail!("no password on standard input");
    }
    let line = line.strip_suffix('\n').unwrap_or(&line);
    Ok(line.strip_suffix('\r').unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, want: Option<&str>) {
        let found = read_line(&mut input.as_bytes());
        assert_eq!(found.ok().as_deref(), want, "{input:?}");
    }

    #[test]
    fn the_first_line_is_the_password() {
        check("moxmoxmox\nmore\n", Some("moxmoxmox"));
        check("moxmoxmox\r\n", Some("moxmoxmox"));
        check("moxmoxmox", Some("moxmoxmox"));
        check(" with blanks \n", Some(" with blanks "));
        check("\n", Some(""));
        check("", None);
        let long = "a".repeat(PASSWORD_BYTES_MAX + 10);
        let read = read_line(&mut long.as_bytes()).unwrap();
        assert!(Password::for_storing(&read).is_err());
    }
}
