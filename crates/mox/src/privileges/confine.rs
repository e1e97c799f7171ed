//! What the serving process can reach: its two directories, the settings of DNS, and the
//! certificates that the configuration names. The kernel (Landlock) refuses all else, whoever
//! makes the process try.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, NetPort, PathBeneath, PathFd, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope,
};
use mox_config::Config;

/// The newest rules of the kernel that are used. Older kernels do what they know of them.
const RULES: ABI = ABI::V6;

/// The settings of DNS, which may change while the server runs.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What a server has no business with. For [`reachable`].
const FOREIGN: &[&str] = &[
    "/",
    "/bin/sh",
    "/dev/null",
    "/etc",
    "/etc/group",
    "/etc/hostname",
    "/etc/passwd",
    "/etc/shadow",
    "/etc/ssl",
    "/etc/ssh",
    "/home",
    "/proc",
    "/proc/1/environ",
    "/proc/cmdline",
    "/proc/version",
    "/root",
    "/root/.ssh",
    "/run",
    "/sys",
    "/tmp",
    "/usr",
    "/usr/bin/env",
    "/var",
    "/var/log",
    "/var/mail",
];

/// What a process may reach of the file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Directories in which it may do everything but start programs.
    read_write: BTreeSet<PathBuf>,
    /// Files, and directories in which it may read.
    read: BTreeSet<PathBuf>,
}

/// What of the confinement is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Confinement {
    /// None was asked for: a localserve, or a test.
    #[default]
    NotAsked,
    /// All that we know of.
    Full,
    /// What this kernel knows: it is older than Linux 6.12.
    Partial,
    /// Nothing: why.
    None(String),
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("not confined: only \"mox serve\" is"),
            Self::Full => f.write_str("confined"),
            Self::Partial => f.write_str(
                "confined in part: a newer kernel (Linux 6.12) would also keep it from other \
                 ports and processes",
            ),
            Self::None(cause) => write!(f, "not confined: {cause}"),
        }
    }
}

impl Reach {
    /// - `certificates`: files that the configuration names. They may be renewed under another
    ///   name and be reached by symbolic links, so their directories are what can be read.
    /// - `real`: where a path leads if it is a symbolic link.
    pub(crate) fn new(
        config_dir: &Path,
        data_dir: &Path,
        named: impl IntoIterator<Item = PathBuf>,
        real: impl Fn(&Path) -> Option<PathBuf>,
    ) -> Self {
        let read_write = BTreeSet::from([config_dir.to_owned(), data_dir.to_owned()]);
        let mut read = BTreeSet::from([PathBuf::from("/proc/self"), RESOLV_CONF.into()]);
        // Programs that write it put another file in its place. Of /etc itself nothing is opened.
        let directory = |path: PathBuf| path.parent().map(Path::to_owned);
        let is_shared = |dir: &PathBuf| dir == Path::new("/etc") || dir == Path::new("/");
        read.extend(real(RESOLV_CONF.as_ref()).and_then(directory).filter(|dir| !is_shared(dir)));
        for path in named {
            let places = [Some(path.clone()), real(&path)].into_iter().flatten();
            for dir in places.filter_map(directory) {
                let is_ours = read_write.iter().any(|ours| dir.starts_with(ours));
                // What stands for itself in a directory of everybody is allowed alone.
                if is_shared(&dir) {
                    read.insert(path.clone());
                } else if !is_ours && !dir.starts_with("/proc") {
                    read.insert(dir);
                }
            }
        }
        Self { read_write, read }
    }

    /// That of a server with this configuration.
    pub(crate) fn of(config: &Config, named: impl IntoIterator<Item = PathBuf>) -> Self {
        let absolute = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let (config_dir, data_dir) = (absolute(config.dir()), absolute(&config.data_dir()));
        Self::new(&config_dir, &data_dir, named, |path| fs::canonicalize(path).ok())
    }

    /// Confines this thread, and those that it starts, for good.
    ///
    /// # Errors
    ///
    /// If a directory is missing, or the kernel refuses what it should know.
    pub(crate) fn confine(&self) -> Result<Confinement> {
        let status = self.restrict();
        let status = status.context("confine this process")?;
        Ok(match status {
            RulesetStatus::FullyEnforced => Confinement::Full,
            RulesetStatus::PartiallyEnforced => Confinement::Partial,
            RulesetStatus::NotEnforced => {
                Confinement::None("this kernel has no Landlock, or it is switched off".to_owned())
            }
        })
    }

    fn restrict(&self) -> Result<RulesetStatus, RulesetError> {
        let all = AccessFs::from_all(RULES);
        let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = all & !(AccessFs::Execute | AccessFs::MakeChar | AccessFs::MakeBlock);
        let mut rules = Ruleset::default()
            .handle_access(all)?
            // All ports are listened on already. Port 0: connections go out from any free one.
            .handle_access(AccessNet::BindTcp)?
            .scope(Scope::AbstractUnixSocket | Scope::Signal)?
            .create()?
            .add_rule(NetPort::new(0, AccessNet::BindTcp))?;
        for (paths, access) in [(&self.read_write, write), (&self.read, read)] {
            for path in paths {
                // What is not there cannot be opened either.
                let Ok(fd) = PathFd::new(path) else { continue };
                let access =
                    if path.is_dir() { access } else { access & AccessFs::from_file(RULES) };
                rules = rules.add_rule(PathBeneath::new(fd, access))?;
            }
        }
        Ok(rules.restrict_self()?.ruleset)
    }

    fn allows(&self, path: &Path) -> bool {
        self.read_write.iter().chain(&self.read).any(|allowed| path.starts_with(allowed))
    }
}

/// What this process could open and must not: by trying. Empty if all is well.
pub(crate) fn reachable(reach: &Reach) -> Vec<PathBuf> {
    let mut foreign: BTreeSet<PathBuf> = FOREIGN.iter().map(PathBuf::from).collect();
    // What lies around its own files.
    for own in &reach.read_write {
        foreign.extend(own.ancestors().skip(1).map(Path::to_owned));
    }
    foreign.extend(std::env::current_exe().ok());
    foreign.retain(|path| !reach.allows(path) && File::open(path).is_ok());
    foreign.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::Command;

    use super::*;

    #[track_caller]
    fn check(named: &[&str], links: &[(&str, &str)], want: &[&str]) {
        let real = |path: &Path| {
            let link = links.iter().find(|(from, _)| Path::new(from) == path);
            Some(link.map_or_else(|| path.to_owned(), |(_, to)| PathBuf::from(to)))
        };
        let named = named.iter().map(PathBuf::from);
        let reach = Reach::new(Path::new("/srv/config"), Path::new("/srv/data"), named, real);
        let read: Vec<_> =
            reach.read.iter().map(|path| path.to_string_lossy().into_owned()).collect();
        assert_eq!(read, want);
        assert_eq!(reach.read_write, ["/srv/config", "/srv/data"].map(PathBuf::from).into());
    }

    #[test]
    fn what_can_be_reached() {
        check(&[], &[], &["/etc/resolv.conf", "/proc/self"]);
        let stub = ("/etc/resolv.conf", "/run/systemd/resolve/stub-resolv.conf");
        check(&[], &[stub], &["/etc/resolv.conf", "/proc/self", "/run/systemd/resolve"]);
        // Certificates in our own directory, and in that of a program that renews them.
        check(&["/srv/config/tls/cert.pem"], &[], &["/etc/resolv.conf", "/proc/self"]);
        let live = "/etc/acme/live/a/key.pem";
        let (dir, archive) = ("/etc/acme/live/a", "/etc/acme/archive/a");
        check(
            &[live],
            &[(live, "/etc/acme/archive/a/key7.pem")],
            &[archive, dir, "/etc/resolv.conf", "/proc/self"],
        );
        // Never all of /etc; and what was passed needs no rule.
        check(&["/etc/key.pem"], &[], &["/etc/key.pem", "/etc/resolv.conf", "/proc/self"]);
        check(&["/proc/self/fd/9"], &[], &["/etc/resolv.conf", "/proc/self"]);
    }

    /// Names the directory of the test to the process that is confined.
    const DIR: &str = "MOX_TEST_CONFINED_DIR";

    /// The exit code for a kernel that cannot confine.
    const NO_LANDLOCK: i32 = 77;

    /// Run by the test below in a process of its own: confinement lasts.
    #[test]
    fn confined_process() {
        let Some(dir) = std::env::var_os(DIR).map(PathBuf::from) else { return };
        let reach =
            Reach::new(&dir.join("config"), &dir.join("data"), [dir.join("tls/key.pem")], |_| None);
        let confinement = reach.confine().unwrap();
        if matches!(confinement, Confinement::None(_)) {
            std::process::exit(NO_LANDLOCK);
        }
        for path in ["secret", "config/../secret", "data/link", "", "elsewhere/x"] {
            assert!(File::open(dir.join(path)).is_err(), "{path}");
        }
        assert!(fs::write(dir.join("new"), "").is_err());
        assert!(fs::write(dir.join("tls/new"), "").is_err());
        assert_eq!(fs::read_to_string(dir.join("tls/key.pem")).unwrap(), "key");
        for own in ["config", "data"] {
            fs::create_dir(dir.join(own).join("new")).unwrap();
            fs::write(dir.join(own).join("new/file"), "x").unwrap();
        }
        // From one directory within its own to another, as bodies of messages move.
        fs::rename(dir.join("data/new/file"), dir.join("data/moved")).unwrap();
        // Threads that are started later are confined too; programs cannot be started.
        let foreign = dir.join("secret");
        assert!(std::thread::spawn(move || File::open(foreign).is_err()).join().unwrap());
        assert!(Command::new("/bin/true").status().is_err());
        assert_eq!(reachable(&reach), Vec::<PathBuf>::new());
        std::process::exit(0);
    }

    #[test]
    fn a_confined_process_reads_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for name in ["config", "data", "tls", "elsewhere"] {
            fs::create_dir(at(name)).unwrap();
        }
        for name in ["secret", "elsewhere/x"] {
            fs::write(at(name), "").unwrap();
        }
        fs::write(at("tls/key.pem"), "key").unwrap();
        std::os::unix::fs::symlink(at("secret"), at("data/link")).unwrap();
        let name = concat!(module_path!(), "::confined_process");
        let name = name.split_once("::").unwrap().1;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(DIR, dir.path());
        let output = command.output().unwrap();
        let code = output.status.code();
        // A kernel that cannot confine is told apart in the log of the server too.
        assert!(
            code == Some(0) || code == Some(NO_LANDLOCK),
            "{:?} {output:?}",
            output.status.signal()
        );
    }
}
