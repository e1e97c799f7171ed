//! `mox setadminpassword`.

use std::io;

use anyhow::{Context, Result, bail};
use clap::Args;
use mox_sasl::Password;

use super::setaccountpassword::read_line;
use super::{Global, print};

/// Set the password for the admin pages.
///
/// Reads the password from the first line of standard input. It must have 8 bytes at least. Writes a
/// hash of it to the file that AdminPasswordFile in mox.conf names. The server need not be running, and
/// takes the new password at once.
#[derive(Debug, Args)]
pub(super) struct SetAdminPassword {}

impl SetAdminPassword {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let Self {} = self;
        let config = global.config()?.snapshot();
        let name = &config.statics.admin_password_file;
        if name.is_empty() {
            bail!("mox.conf has no AdminPasswordFile: set it to a file name, such as adminpasswd");
        }
        print("password (shown as you type): ")?;
        let hash = hash(&read_line(&mut io::stdin().lock())?, bcrypt::DEFAULT_COST)?;
        let path = config.path(name);
        mox_config::write_atomically(&path, &hash)
            .with_context(|| format!("write {}", path.display()))
    }
}

/// The content of the file. RFC 8265 §4.2 for what counts of a password.
fn hash(password: &str, cost: u32) -> Result<String> {
    let password = Password::for_storing(password)?;
    // Longer ones would be cut, which nobody expects.
    let hash = bcrypt::non_truncating_hash(password.expose(), cost);
    Ok(hash.context("the password is too long, take 72 bytes at most")? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least that is possible: tests are to be quick.
    const COST: u32 = 4;

    #[test]
    fn passwords_are_hashed_as_they_are_compared() {
        // A space of another kind is a space. RFC 8265 §4.2.1.
        let hashed = hash("moxadmin\u{2003}1", COST).unwrap();
        assert!(bcrypt::verify("moxadmin 1", hashed.trim_end()).unwrap());
        assert!(!bcrypt::verify("moxadmin", hashed.trim_end()).unwrap());
        hash(&"a".repeat(71), COST).unwrap();
        hash(&"a".repeat(73), COST).unwrap_err();
        hash("short", COST).unwrap_err();
    }
}
