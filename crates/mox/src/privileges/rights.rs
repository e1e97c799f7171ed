//! The rights that this process has, as the kernel says.

use std::fs;

use anyhow::{Context, Result, bail};
use nix::sys::prctl::set_no_new_privs;
use nix::unistd::{Gid, Uid, setresgid, setresuid};

/// The number of the capability to listen on ports below 1024.
const NET_BIND_SERVICE: u32 = 10;

/// What stands in `/proc/self/status` about rights.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rights {
    /// Real, effective, saved and of the file system.
    uids: Vec<u32>,
    gids: Vec<u32>,
    groups: Vec<u32>,
    /// A bit for each capability that it has or can take.
    capabilities: u64,
    no_new_privileges: bool,
}

impl Rights {
    /// Those of the calling thread.
    pub(crate) fn current() -> Result<Self> {
        let text = fs::read_to_string("/proc/thread-self/status");
        Self::parse(&text.context("read rights of this process, in /proc")?)
    }

    fn parse(text: &str) -> Result<Self> {
        let mut rights = Self::default();
        let mut seen = 0;
        for (key, value) in text.lines().filter_map(|line| line.split_once(':')) {
            let numbers = || value.split_whitespace().map(str::parse).collect::<Result<_, _>>();
            seen += 1;
            match key {
                "Uid" => rights.uids = numbers()?,
                "Gid" => rights.gids = numbers()?,
                "Groups" => rights.groups = numbers()?,
                "CapInh" | "CapPrm" | "CapEff" | "CapAmb" => {
                    rights.capabilities |= u64::from_str_radix(value.trim(), 16)?;
                }
                "NoNewPrivs" => rights.no_new_privileges = value.trim() == "1",
                _ => seen -= 1,
            }
        }
        // One that is missing must not count as a right that is missing.
        if seen != 8 || rights.uids.len() != 4 || rights.gids.len() != 4 {
            bail!("/proc does not tell the rights of this process");
        }
        Ok(rights)
    }

    /// What is still there that a server must not have, in words; empty if there is nothing.
    ///
    /// The right to listen on low ports alone is none of these: [`Rights::may_bind_low_ports`].
    pub(crate) fn remaining(&self) -> Vec<String> {
        let mut remaining = Vec::new();
        if self.uids.contains(&0) {
            remaining.push("it is user root".to_owned());
        }
        if self.gids.contains(&0) || self.groups.contains(&0) {
            remaining.push("it is in group root".to_owned());
        }
        let others = self.capabilities & !(1 << NET_BIND_SERVICE);
        if others != 0 {
            remaining.push(format!("it has capabilities {others:#x}"));
        }
        if !self.no_new_privileges {
            remaining.push("programs that it runs could get more rights".to_owned());
        }
        remaining
    }

    /// Whether it may listen on ports below 1024.
    pub(crate) fn may_bind_low_ports(&self) -> bool {
        self.capabilities & (1 << NET_BIND_SERVICE) != 0
    }
}

/// Makes sure that this process has no rights of root and cannot get any.
///
/// # Errors
///
/// If it has, or could: then it must not go on.
pub(crate) fn check_given_up() -> Result<()> {
    set_no_new_privs().context("give up new rights")?;
    let root = (Uid::from_raw(0), Gid::from_raw(0));
    // Asked for in earnest: what the kernel says it would refuse counts less than its refusal.
    let regained =
        setresgid(root.1, root.1, root.1).is_ok() | setresuid(root.0, root.0, root.0).is_ok();
    let mut remaining = Rights::current()?.remaining();
    if regained {
        remaining.push("it could become root again".to_owned());
    }
    if !remaining.is_empty() {
        bail!("this process did not lose the rights of root: {}", remaining.join("; "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uid: &str, groups: &str, capabilities: [&str; 4], no_new_privileges: u8) -> String {
        let [inherited, permitted, effective, ambient] = capabilities;
        format!(
            "Name:\tmox\nUid:\t{uid}\nGid:\t9\t9\t9\t9\nGroups:\t{groups} \nNSpid:\t1\n\
             CapInh:\t{inherited}\nCapPrm:\t{permitted}\nCapEff:\t{effective}\n\
             CapBnd:\t000001ffffffffff\nCapAmb:\t{ambient}\nNoNewPrivs:\t{no_new_privileges}\n"
        )
    }

    #[track_caller]
    fn check(text: &str, low_ports: bool, want: &[&str]) {
        let rights = Rights::parse(text).unwrap();
        assert_eq!(rights.may_bind_low_ports(), low_ports, "{text}");
        let remaining = rights.remaining();
        assert_eq!(remaining.len(), want.len(), "{remaining:?}");
        for (found, part) in remaining.iter().zip(want) {
            assert!(found.contains(part), "{found}");
        }
    }

    #[test]
    fn every_right_that_remains_is_told() {
        let (none, bind, all) = ("0000000000000000", "0000000000000400", "000001ffffffffff");
        check(&status("8\t8\t8\t8", "", [none; 4], 1), false, &[]);
        check(&status("8\t8\t8\t8", "9 12", [bind; 4], 1), true, &[]);
        check(&status("8\t8\t8\t8", "9", [none; 4], 0), false, &["more rights"]);
        check(&status("8\t8\t0\t8", "9", [none; 4], 1), false, &["user root"]);
        check(&status("8\t8\t8\t8", "9 0", [none; 4], 1), false, &["group root"]);
        check(&status("8\t8\t8\t8", "9", [none, none, none, all], 1), true, &["0x1fffffffbff"]);
        check(&status("8\t8\t8\t8", "9", [none, "1", none, none], 1), false, &["0x1"]);
    }

    #[test]
    fn what_is_not_told_is_no_right_that_is_missing() {
        let whole = status("8\t8\t8\t8", "", ["0"; 4], 1);
        assert!(Rights::parse(&whole).is_ok());
        assert!(Rights::parse("").is_err());
        for line in ["Uid", "Gid", "Groups", "CapInh", "CapPrm", "CapEff", "CapAmb", "NoNewPrivs"] {
            let without = whole.replace(&format!("\n{line}:"), "\nOther:");
            assert!(Rights::parse(&without).is_err(), "{line}");
        }
        assert!(Rights::parse(&whole.replace("8\t8\t8\t8", "8\t8\tx\t8")).is_err());
        assert!(Rights::current().is_ok());
    }
}
