//! What one stage of the start hands to the next: sockets, and files that only root can read.
//!
//! Descriptors go from 3 on: first the sockets, as `LISTEN_FDS` counts them, then the files, whose
//! paths stand in `MOX_FILES`, then the connection to the keeper, for a worker. A file is not
//! passed as such but as a sealed copy in memory, which can be read again and again under
//! `/proc/self/fd`, and which stays the same when the file changes: to read it anew takes root, and so
//! a new start.
//!
//! Deviation: the original names the sockets in `MOX_SOCKETS`. We take them as a service manager passes
//! them, so that there is one way.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use command_fds::{CommandFdExt as _, FdMapping};
use listenfd::ListenFd;
use mox_config::{Config, PassedFiles};
use nix::fcntl::{FcntlArg, SealFlag, fcntl};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::unistd::{getpid, getppid, setegid, seteuid, setgroups};

use super::user::Ids;
use crate::sockets::Sockets;

/// The paths of the files that were passed, as a JSON list.
pub(crate) const FILES: &str = "MOX_FILES";

/// Who started this process: a word for the stage, the number of the process that vouches for the
/// rest, and whether root had started the server.
const STAGE: &str = "MOX_STAGE";

/// What the original uses, and we do not.
const SOCKETS: &str = "MOX_SOCKETS";

const LISTEN_FDS: &str = "LISTEN_FDS";
const LISTEN_PID: &str = "LISTEN_PID";
const LISTEN_NAMES: &str = "LISTEN_FDNAMES";

/// The first descriptor that is passed.
const FIRST_FD: RawFd = 3;

/// The most files that are passed. Ours; each is a certificate or a key.
const FILES_MAX: usize = 500;

/// The most that is read of a file to be passed, in bytes.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// What a process was given when it started.
#[derive(Debug, Default)]
pub(crate) struct Passed {
    /// Sockets that listen.
    pub(crate) sockets: Sockets,
    /// Copies of files.
    pub(crate) files: Files,
    /// The connection to the keeper, in a worker.
    pub(crate) keeper: Option<UnixStream>,
    /// Which part of the start this is.
    pub(crate) role: Role,
    /// Whether an earlier part was root.
    pub(crate) was_root: bool,
}

/// Copies of files, by the path that the configuration gives.
#[derive(Debug, Default)]
pub(crate) struct Files(BTreeMap<PathBuf, File>);

/// Which part of a start a process is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Role {
    /// Somebody started it.
    #[default]
    First,
    /// It goes on where root, or a keeper that was replaced, ended: in the same process.
    Next,
    /// It serves.
    Worker,
    /// It only looks at the configuration.
    Test,
}

impl Role {
    const NAMED: [(&str, Self); 3] =
        [("next", Self::Next), ("worker", Self::Worker), ("test", Self::Test)];

    fn name(self) -> &'static str {
        Self::NAMED.iter().find(|(_, role)| *role == self).map_or("first", |(name, _)| name)
    }
}

/// What the environment says of a start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Environment {
    sockets: usize,
    files: Vec<PathBuf>,
    role: Role,
    was_root: bool,
}

impl Environment {
    /// - `count`: of descriptors passed by `LISTEN_FDS` to this process.
    /// - `pid`, `parent`: of this process.
    fn read(
        variable: impl Fn(&str) -> Option<OsString>,
        count: usize,
        (pid, parent): (i32, i32),
    ) -> Result<Self> {
        if variable(SOCKETS).is_some() {
            bail!("the variable {SOCKETS} is set, by nothing of ours: unset it");
        }
        let Some(stage) = variable(STAGE) else {
            if variable(FILES).is_some() {
                bail!("the variable {FILES} is set, but not by this start of the server: unset it");
            }
            return Ok(Self { sockets: count, ..Self::default() });
        };
        let foreign =
            || format!("the variable {STAGE} is not of this start of the server: unset it");
        let (role, by, was_root) = stage.to_str().and_then(parse_stage).with_context(foreign)?;
        let vouching = if role == Role::Next { pid } else { parent };
        if by != vouching {
            bail!(foreign());
        }
        let files = variable(FILES).unwrap_or_else(|| "[]".into());
        let files = files.to_str().map(serde_json::from_str::<Vec<PathBuf>>);
        let files = files.context("variable MOX_FILES")?.context("variable MOX_FILES")?;
        if files.len() > FILES_MAX {
            bail!("{} files were passed, at most {FILES_MAX} are taken", files.len());
        }
        let others = files.len() + usize::from(role == Role::Worker);
        let sockets = count.checked_sub(others);
        let sockets = sockets.context("fewer descriptors were passed than the variables tell")?;
        Ok(Self { sockets, files, role, was_root })
    }
}

fn stage_text(role: Role, pid: i32, was_root: bool) -> String {
    format!("{} {pid} {}", role.name(), if was_root { "root" } else { "user" })
}

fn parse_stage(text: &str) -> Option<(Role, i32, bool)> {
    let words: Vec<&str> = text.split(' ').collect();
    let [name, pid, starter] = words[..] else { return None };
    let (_, role) = *Role::NAMED.iter().find(|(known, _)| *known == name)?;
    let was_root = match starter {
        "root" => true,
        "user" => false,
        _ => return None,
    };
    Some((role, pid.parse().ok()?, was_root))
}

impl Passed {
    /// Takes what was passed to a process that only looks at the configuration for a keeper; `None`
    /// if it does so for somebody else.
    ///
    /// # Errors
    ///
    /// As [`Passed::take`].
    pub(crate) fn for_test() -> Result<Option<Self>> {
        match std::env::var_os(STAGE) {
            Some(_) => Self::take().map(Some),
            None => Ok(None),
        }
    }

    /// Takes what was passed to this process: once, and before there are threads.
    ///
    /// # Errors
    ///
    /// If the environment makes no sense.
    pub(crate) fn take() -> Result<Self> {
        let mut passed = ListenFd::from_env();
        let ids = (getpid().as_raw(), getppid().as_raw());
        let environment = Environment::read(|name| std::env::var_os(name), passed.len(), ids)?;
        let Environment { sockets: count, files: paths, role, was_root } = environment;
        let sockets = Sockets::take(&mut passed, count)?;
        let mut files = BTreeMap::new();
        for (fd, path) in (FIRST_FD..).skip(count).zip(paths) {
            let file = File::open(format!("/proc/self/fd/{fd}"));
            let file = file.with_context(|| format!("open passed {}", path.display()))?;
            files.insert(path, file);
        }
        let keeper = match role {
            Role::Worker => Some(take_stream(&mut passed, count + files.len())?),
            _ => None,
        };
        Ok(Self { sockets, files: Files(files), keeper, role, was_root })
    }
}

fn take_stream(passed: &mut ListenFd, index: usize) -> Result<UnixStream> {
    use nix::libc::{AF_UNIX, SOCK_STREAM};
    let stream = passed.take_custom(index, AF_UNIX, SOCK_STREAM, "connection to the keeper");
    stream?.context("the connection to the keeper is missing")
}

impl Files {
    /// Where the configuration reads them.
    pub(crate) fn places(&self) -> PassedFiles {
        let place = |file: &File| PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        PassedFiles::new(self.0.iter().map(|(path, file)| (path.clone(), place(file))).collect())
    }

    /// Copies those files of the configuration that the user of the server cannot read. To be
    /// called as root; is root again when it returns.
    ///
    /// # Errors
    ///
    /// If one cannot be read by root either, or root cannot be left or taken on.
    pub(crate) fn copy_private(config: &Config, service: Ids) -> Result<Self> {
        let mut files = BTreeMap::new();
        for path in named_files(config) {
            if as_user(service, || File::open(&path).map(drop))?.is_ok() {
                continue;
            }
            if files.len() == FILES_MAX {
                bail!("more than {FILES_MAX} files of the configuration are for root alone");
            }
            let copy = copy(&path).with_context(|| format!("read {}", path.display()))?;
            tracing::info!(
                path = %path.display(),
                "only root can read this file: its copy is used until the server is started anew"
            );
            files.insert(path, copy);
        }
        Ok(Self(files))
    }
}

/// Certificates, keys and secrets that `mox.conf` names.
pub(super) fn named_files(config: &Config) -> BTreeSet<PathBuf> {
    let statics = &config.statics;
    let tls = statics.listeners.values().filter_map(|listener| listener.tls.as_ref());
    let of_listeners = tls.flat_map(|tls| {
        let pairs = tls.key_certs.iter().flat_map(|pair| [&pair.cert_file, &pair.key_file]);
        pairs.chain(&tls.host_private_key_files)
    });
    let authorities = statics.tls.ca.iter().flat_map(|ca| &ca.cert_files);
    let bindings = statics.acme.values().filter_map(|acme| acme.external_account_binding.as_ref());
    of_listeners
        .chain(authorities)
        .chain(bindings.map(|binding| &binding.key_file))
        .chain([&statics.admin_password_file])
        .filter(|name| !name.is_empty())
        .map(|name| config.path(name))
        .collect()
}

/// Does something with the rights of the service, as far as files are concerned.
fn as_user<T>(service: Ids, work: impl FnOnce() -> T) -> Result<T> {
    let before = Ids::current();
    // Those of root would let it read what the server cannot. They are given up anyway.
    setgroups(&[service.gid]).context("give up groups")?;
    setegid(service.gid).context("take on group of the server")?;
    seteuid(service.uid).context("take on user of the server")?;
    let done = work();
    seteuid(before.uid).context("become root again")?;
    setegid(before.gid).context("become group root again")?;
    Ok(done)
}

/// Whether root passes a file on.
///
/// Attack: `mox.conf` is the service user's, and must not make root read the files of others to it.
fn is_expected(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let labels = ["CERTIFICATE", "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"];
    let is_pem = labels.iter().any(|label| text.contains(&format!("-----BEGIN {label}-----")));
    let line = text.trim();
    let is_hash = line.starts_with("$2") && line.len() <= 100 && !line.contains('\n');
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=".contains(&byte);
    is_pem || is_hash || (line.len() <= 500 && line.bytes().all(is_key))
}

/// A copy in memory that nobody can change.
fn copy(path: &Path) -> Result<File> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        bail!("it has more than {FILE_BYTES_MAX} bytes");
    }
    if !is_expected(&bytes) {
        bail!(
            "it holds no certificate, private key, password hash or account key: root does not pass \
             it on"
        );
    }
    let flags = MFdFlags::MFD_ALLOW_SEALING | MFdFlags::MFD_CLOEXEC;
    let mut file = File::from(memfd_create(c"mox-file", flags)?);
    file.write_all(&bytes)?;
    let seals = SealFlag::F_SEAL_WRITE
        | SealFlag::F_SEAL_GROW
        | SealFlag::F_SEAL_SHRINK
        | SealFlag::F_SEAL_SEAL;
    fcntl(&file, FcntlArg::F_ADD_SEALS(seals))?;
    Ok(file)
}

impl Passed {
    /// Passes sockets and files on to a program, for it to be `role`.
    ///
    /// - `stream`: for a worker, its connection to us.
    /// - `was_root`: see [`Passed::was_root`].
    ///
    /// Returns descriptors to be kept open until the program is started.
    ///
    /// # Errors
    ///
    /// If there are no more descriptors.
    pub(crate) fn pass_on(
        &self,
        command: &mut Command,
        (role, was_root): (Role, bool),
        stream: Option<UnixStream>,
    ) -> Result<Vec<File>> {
        let mut fds = match role {
            // It does not listen.
            Role::Test => Vec::new(),
            _ => self.sockets.duplicates()?,
        };
        let copies = self.files.0.values().map(|file| file.try_clone().map(OwnedFd::from));
        fds.extend(copies.collect::<io::Result<Vec<_>>>()?);
        fds.extend(stream.map(OwnedFd::from));
        let pid = getpid().as_raw();
        let paths: Vec<_> = self.files.0.keys().collect();
        command
            .env_remove(LISTEN_PID)
            .env_remove(LISTEN_NAMES)
            .env(LISTEN_FDS, fds.len().to_string())
            .env(FILES, serde_json::to_string(&paths)?)
            .env(STAGE, stage_text(role, pid, was_root));
        let end = FIRST_FD + RawFd::try_from(fds.len())?;
        let mappings = (FIRST_FD..).zip(fds);
        let mappings = mappings.map(|(child_fd, parent_fd)| FdMapping { parent_fd, child_fd });
        command.fd_mappings(mappings.collect())?;
        fill_descriptors(end)
    }
}

/// Takes all free descriptors below a number. The library that starts programs opens one to learn
/// of a failure, and it must not be one of those that are replaced in the new process.
fn fill_descriptors(end: RawFd) -> Result<Vec<File>> {
    let mut fillers = Vec::new();
    loop {
        let filler = File::open("/dev/null").context("open /dev/null")?;
        if filler.as_raw_fd() >= end {
            return Ok(fillers);
        }
        fillers.push(filler);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// A process with number 7, whose parent has number 5.
    #[track_caller]
    fn check(variables: &[(&str, &str)], count: usize, want: Option<(usize, usize, Role, bool)>) {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| OsString::from(value))
        };
        let found = Environment::read(variable, count, (7, 5)).ok();
        let found = found.map(|it| (it.sockets, it.files.len(), it.role, it.was_root));
        assert_eq!(found, want, "{variables:?}");
    }

    #[test]
    fn which_descriptor_is_which() {
        let two = r#"["/a","/b"]"#;
        check(&[], 0, Some((0, 0, Role::First, false)));
        // By a service manager.
        check(&[], 3, Some((3, 0, Role::First, false)));
        check(&[(STAGE, "next 7 root"), (FILES, two)], 5, Some((3, 2, Role::Next, true)));
        check(&[(STAGE, "next 7 user")], 5, Some((5, 0, Role::Next, false)));
        check(&[(STAGE, "worker 5 root"), (FILES, two)], 6, Some((3, 2, Role::Worker, true)));
        check(&[(STAGE, "worker 5 user"), (FILES, "[]")], 1, Some((0, 0, Role::Worker, false)));
        check(&[(STAGE, "test 5 root"), (FILES, two)], 2, Some((0, 2, Role::Test, true)));
        // One descriptor less than there must be.
        check(&[(STAGE, "worker 5 user"), (FILES, "[]")], 0, None);
        check(&[(STAGE, "next 7 root"), (FILES, two)], 1, None);
    }

    #[test]
    fn an_environment_that_makes_no_sense_is_refused() {
        check(&[(SOCKETS, "")], 0, None);
        check(&[(SOCKETS, "127.0.0.1:25"), (STAGE, "next 7 root")], 1, None);
        check(&[(FILES, "[]")], 0, None);
        // Of another process, such as one that our environment was copied from.
        check(&[(STAGE, "next 5 root")], 0, None);
        check(&[(STAGE, "worker 7 root")], 1, None);
        check(&[(STAGE, "test 4 root")], 0, None);
        for text in
            ["", "next", "next 7", "next 7 admin", "next x root", "first 7 root", "next 7 root x"]
        {
            check(&[(STAGE, text)], 1, None);
        }
        check(&[(STAGE, "next 7 root"), (FILES, "/a:/b")], 2, None);
        let many = serde_json::to_string(&vec!["/a"; FILES_MAX + 1]).unwrap();
        check(&[(STAGE, "next 7 root"), (FILES, &many)], 1_000, None);
    }

    #[track_caller]
    fn check_passed_on(text: &str, want: bool) {
        assert_eq!(is_expected(text.as_bytes()), want, "{text:?}");
    }

    /// Attack: a path in `mox.conf` that names the passwords of the machine.
    #[test]
    fn root_passes_on_what_it_is_asked_for_and_no_files_of_others() {
        check_passed_on("-----BEGIN PRIVATE KEY-----\nMC4CAQ\n-----END PRIVATE KEY-----\n", true);
        check_passed_on("Bag Attributes\n-----BEGIN CERTIFICATE-----\n", true);
        check_passed_on("$2y$10$abcdefghijklmnopqrstuusMVHFTw.JKB27l2hVIt7KZttImi2cE6\n", true);
        check_passed_on("zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W\n", true);
        check_passed_on("root:$6$salt$hash:19000:0:99999:7:::\n", false);
        check_passed_on("$2y$10$short\nroot:x:0:0\n", false);
        check_passed_on("-----BEGIN OPENSSH PRIVATE KEY-----\n", false);
        check_passed_on("two words", false);
        check_passed_on(&"a".repeat(501), false);
    }

    #[test]
    fn a_copy_is_whole_readable_again_and_again_and_cannot_be_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key.pem");
        fs::write(&path, "secret").unwrap();
        let files = Files([(path.clone(), copy(&path).unwrap())].into());
        fs::remove_file(&path).unwrap();
        let place = files.places().place(path);
        for _ in 0..2 {
            assert_eq!(fs::read_to_string(&place).unwrap(), "secret");
        }
        let changed =
            File::options().write(true).open(&place).and_then(|mut file| file.write_all(b"x"));
        assert!(changed.is_err());
        fs::write(dir.path().join("large"), vec![0; 1 + (1 << 20)]).unwrap();
        assert!(copy(&dir.path().join("large")).is_err());
        assert!(copy(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn no_low_descriptor_stays_free() {
        let fillers = fill_descriptors(40).unwrap();
        assert!(File::open("/dev/null").unwrap().as_raw_fd() >= 40);
        assert!(fillers.iter().all(|file| file.as_raw_fd() < 40));
    }

    #[test]
    fn files_that_mox_conf_names_are_known() {
        let statics = "DataDir: data\nLogLevel: info\nHostname: mx.example\nAdminPasswordFile: admin\n\
            TLS:\n\tCA:\n\t\tCertFiles:\n\t\t\t- /ca.pem\n\
            Listeners:\n\tpublic:\n\t\tIPs:\n\t\t\t- 192.0.2.1\n\t\tTLS:\n\t\t\tKeyCerts:\n\
            \t\t\t\t-\n\t\t\t\t\tCertFile: c.pem\n\t\t\t\t\tKeyFile: /k.pem\n\
            Postmaster:\n\tAccount: a\n\tMailbox: P\n";
        let domains = "Domains:\n\ta.example: nil\nAccounts:\n\ta:\n\t\tDomain: a.example\n\
            \t\tDestinations:\n\t\t\ta@a.example: nil\n";
        let config = Config::parse(Path::new("/etc/mox"), statics, domains).unwrap();
        let found: Vec<_> = named_files(&config).into_iter().collect();
        let want = ["/ca.pem", "/etc/mox/admin", "/etc/mox/c.pem", "/k.pem"];
        assert_eq!(found, want.map(PathBuf::from));
    }
}
