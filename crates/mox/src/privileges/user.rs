//! The user that the server runs as.

use std::fmt;

use anyhow::{Context, Result, bail};
use nix::unistd::{Gid, Uid, User, getresgid, getresuid, setgroups, setresgid, setresuid};

/// The user if `mox.conf` names none.
const USER_DEFAULT: &str = "mox";

/// Who the server runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ids {
    /// The user.
    pub(crate) uid: Uid,
    /// Its group; it has no others.
    pub(crate) gid: Gid,
}

impl fmt::Display for Ids {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "user {}, group {}", self.uid, self.gid)
    }
}

impl Ids {
    /// The user that this process is.
    pub(crate) fn current() -> Self {
        Self { uid: Uid::effective(), gid: Gid::effective() }
    }

    /// Finds the user of the key `User`.
    ///
    /// - `look_up`: asks the system for a name: its user and group.
    ///
    /// # Errors
    ///
    /// If there is none, or it is root, which would give up nothing.
    pub(crate) fn find(
        user: &str,
        look_up: impl FnOnce(&str) -> Result<Option<Self>>,
    ) -> Result<Self> {
        let name = if user.is_empty() { USER_DEFAULT } else { user };
        let ids = match look_up(name)? {
            Some(ids) => ids,
            // A number is that of the user, and of its group.
            None => match name.parse::<u32>() {
                Ok(number) => Self { uid: Uid::from_raw(number), gid: Gid::from_raw(number) },
                Err(_) => bail!(
                    "there is no user {name:?} to run as: make one, such as with \"useradd \
                     --system --user-group --no-create-home {name}\", or name another in User of \
                     mox.conf"
                ),
            },
        };
        // The largest number means "unchanged" to the system.
        if ids.uid.is_root() || ids.gid.as_raw() == 0 || ids.uid.as_raw() == u32::MAX {
            bail!("User in mox.conf is {name:?}, which is {ids}: name a user without such rights");
        }
        Ok(ids)
    }

    /// Becomes this user, for good.
    ///
    /// # Errors
    ///
    /// Those of the system; then the process must end, it may have given up only some rights.
    pub(crate) fn become_it(self) -> Result<()> {
        setgroups(&[self.gid]).context("give up groups")?;
        setresgid(self.gid, self.gid, self.gid).context("give up group root")?;
        setresuid(self.uid, self.uid, self.uid).context("give up user root")?;
        let (users, groups) = (getresuid()?, getresgid()?);
        let is_it = [users.real, users.effective, users.saved] == [self.uid; 3]
            && [groups.real, groups.effective, groups.saved] == [self.gid; 3];
        if !is_it {
            bail!("the system did not take away the rights of root");
        }
        Ok(())
    }
}

/// Asks the system for a user by its name.
pub(crate) fn system_user(name: &str) -> Result<Option<Ids>> {
    let found = User::from_name(name).with_context(|| format!("look up user {name:?}"))?;
    Ok(found.map(|user| Ids { uid: user.uid, gid: user.gid }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(name: &str) -> Result<Option<Ids>> {
        let ids = |uid, gid| Ids { uid: Uid::from_raw(uid), gid: Gid::from_raw(gid) };
        Ok(match name {
            "mox" => Some(ids(900, 901)),
            "1234" => Some(ids(5, 6)),
            "root" => Some(ids(0, 0)),
            "wheel" => Some(ids(7, 0)),
            _ => None,
        })
    }

    #[track_caller]
    fn check(user: &str, want: Option<(u32, u32)>) {
        let found = Ids::find(user, known).ok();
        assert_eq!(found.map(|ids| (ids.uid.as_raw(), ids.gid.as_raw())), want, "{user:?}");
    }

    #[test]
    fn a_user_is_a_name_or_a_number_and_never_root() {
        check("mox", Some((900, 901)));
        check("", Some((900, 901)));
        // Names come first.
        check("1234", Some((5, 6)));
        check("4294967294", Some((4_294_967_294, 4_294_967_294)));
        check("1", Some((1, 1)));
        check("0", None);
        check("4294967295", None);
        check("4294967296", None);
        check("root", None);
        check("wheel", None);
        check("nobody-here", None);
        check("-1", None);
    }
}
