//! Rights: had for as long as they are needed, and never by what talks to strangers.
//!
//! `mox serve` comes in up to three stages, each in the program started anew:
//!
//! 1. As root: reads the configuration and the files that it names, sets owners and modes
//!    ([`permissions`]), binds all ports, copies what only root can read ([`passing`]), and becomes the
//!    user of the server, in the same process.
//! 2. The keeper ([`keeper`]): binds ports that are not bound yet, such as when the server was not started
//!    as root, starts the worker, and waits for signals.
//! 3. The worker ([`worker`]): checks that it has lost all rights ([`rights`]), is confined to its files
//!    ([`confine`]), and serves.
//!
//! Deviation: in the original the process that was root stays root and waits. Ours has nothing left to
//! give up, so that a fault in it gives nothing away; for that, ports below 1024 that are new in mox.conf
//! take a new start.

mod confine;
mod keeper;
mod notify;
mod passing;
mod permissions;
mod rights;
mod user;
mod worker;

use std::convert::Infallible;
use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf, absolute};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use mox_config::{Config, PassedFiles};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::SigSet;

pub use confine::Confinement;
pub(crate) use keeper::{Program, hold_signals};
pub(crate) use passing::{Passed, Role};
pub use worker::Privileges;
pub(crate) use worker::{Asked, Link};

use crate::data_dir::{DataDir, TEMPORARY};
use crate::sockets::wanted;
use confine::Reach;
use passing::{Files, named_files};
use permissions::Places;
use rights::{Rights, check_given_up};
use user::{Ids, system_user};

/// How many files may be open, if root can have it so: each connection and account takes some.
const OPEN_FILES: u64 = 65_535;

impl Passed {
    /// Where the configuration reads files that were passed.
    pub(crate) fn places(&self) -> PassedFiles {
        self.files.places()
    }
}

/// The first stage: as root. Returns only if it fails.
///
/// # Errors
///
/// If anything that needs root cannot be done; rights may be gone then, and the process must end.
pub(crate) fn drop_root(
    mut passed: Passed,
    program: &Program,
    config: &Config,
) -> Result<Infallible> {
    let service = Ids::find(&config.statics.user, system_user)?;
    let data_dir = config.data_dir();
    DataDir::wait_until_free(&data_dir)?;
    DataDir::refuse_unready(&data_dir)?;
    refuse_foreign(&data_dir, service)?;
    let is_new = !data_dir.exists();
    make_dir(&data_dir)?;
    if config.statics.no_fix_permissions {
        if is_new {
            tracing::warn!(
                "the data directory is new, belongs to root, and NoFixPermissions is set"
            );
        }
    } else {
        repair_permissions(config, service)?;
    }
    passed.sockets.bind_missing(config)?;
    close_unwanted(&passed, config);
    let limit =
        getrlimit(Resource::RLIMIT_NOFILE).map_or(OPEN_FILES, |(_, hard)| hard.max(OPEN_FILES));
    if let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, limit, limit) {
        tracing::debug!(%error, "limit of open files");
    }
    passed.files = Files::copy_private(config, service)?;
    tracing::debug!(%service, "giving up root");
    service.become_it()?;
    check_given_up()?;
    let mut command = program.command();
    let fillers = passed.pass_on(&mut command, (Role::Next, true), None)?;
    let error = command.exec();
    drop(fillers);
    Err(error).with_context(|| {
        format!(
            "start {command:?} as {service}: the program must lie where this user can run it, \
             not in a directory of root's"
        )
    })
}

/// Attack: `mox.conf` is the service user's, and must not make root give that user the files of others.
fn refuse_foreign(data_dir: &Path, service: Ids) -> Result<()> {
    let Ok(found) = fs::metadata(data_dir) else { return Ok(()) };
    let is_file =
        |name: &&str| fs::symlink_metadata(data_dir.join(name)).is_ok_and(|file| file.is_file());
    let is_known = || ["lock", "auth.db", "receivedid.key"].iter().any(is_file);
    let is_empty = || {
        let mut entries = fs::read_dir(data_dir).into_iter().flatten();
        entries.all(|entry| entry.is_ok_and(|entry| entry.file_name() == "lost+found"))
    };
    let is_open = found.mode() & 0o002 != 0;
    if found.uid() == service.uid.as_raw() || (!is_open && (is_empty() || is_known())) {
        return Ok(());
    }
    bail!(
        "DataDir in mox.conf is {}, which is no data directory of mox: correct it, or give it to the \
         user of the server (chown)",
        data_dir.display()
    )
}

fn repair_permissions(config: &Config, service: Ids) -> Result<()> {
    let work_dir = std::env::current_dir().context("working directory")?;
    let (config_dir, data_dir) = (absolute(config.dir())?, absolute(config.data_dir())?);
    let real = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let places = Places::of(&work_dir, &real(&config_dir), &real(&data_dir));
    let repaired = places.repair(service);
    if repaired.changed > 0 || repaired.left > 0 {
        tracing::info!(
            changed = repaired.changed,
            left = repaired.left,
            "owners and modes of files were set (NoFixPermissions in mox.conf keeps them)"
        );
    }
    Ok(())
}

/// Finds out whether there is a user for the server to become.
///
/// # Errors
///
/// If not.
pub(crate) fn find_service(config: &Config) -> Result<()> {
    Ids::find(&config.statics.user, system_user).map(drop)
}

/// Takes a directory that root is about to fill, so that nobody puts links into it until it is given back.
///
/// # Errors
///
/// If its owner or mode cannot be set.
pub(crate) fn keep_from_service(dir: &Path) -> Result<()> {
    let mode = <fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    std::os::unix::fs::chown(dir, Some(0), Some(0))
        .and_then(|()| fs::set_permissions(dir, mode))
        .with_context(|| format!("owner and mode of {}", dir.display()))
}

/// Gives a data directory that root has filled, under whatever name, to the user of the server.
///
/// # Errors
///
/// If there is no such user.
pub(crate) fn give_to_service(config: &Config, dir: &Path) -> Result<()> {
    let service = Ids::find(&config.statics.user, system_user)?;
    Places::only(&fs::canonicalize(dir).with_context(|| format!("{}", dir.display()))?)
        .repair(service);
    Ok(())
}

fn close_unwanted(passed: &Passed, config: &Config) {
    for addr in passed.sockets.close_unwanted(&wanted(config)) {
        tracing::warn!(%addr, "a socket was passed that no listener of mox.conf is for: closed");
    }
}

fn make_dir(path: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o750).create(path);
    made.with_context(|| format!("make data directory {}", path.display()))
}

/// The second stage: keeps sockets, starts a worker, and waits for its end. Returns its exit code.
///
/// - `held`: the signals that are held back.
///
/// # Errors
///
/// If rights remain that should be gone, a port cannot be bound, or no worker can be started.
pub(crate) fn keep(
    passed: Passed,
    program: Program,
    config: &Config,
    held: &SigSet,
) -> Result<ExitCode> {
    check_rights(passed.was_root)?;
    let data_dir = absolute(config.data_dir())?;
    DataDir::wait_until_free(&data_dir)?;
    passed.sockets.bind_missing(config)?;
    close_unwanted(&passed, config);
    keeper::keep(passed, program, held, &data_dir.join(TEMPORARY))
}

/// Checks the rights of a process that is to have none, whether it was root before or not.
fn check_rights(was_root: bool) -> Result<()> {
    if was_root {
        return check_given_up();
    }
    // Programs that it starts, the worker among them, lose what the file of the program gives.
    nix::sys::prctl::set_no_new_privs().context("give up new rights")?;
    for right in Rights::current()?.remaining() {
        tracing::warn!(right, "the server was started with rights that it does not need");
    }
    Ok(())
}

/// The beginning of the third stage: gives up what remains. Must be called before there are threads.
///
/// # Errors
///
/// If there are rights that should be gone, or the kernel does not confine as it should.
pub(crate) fn confine(passed: &Passed, config: &Config) -> Result<Confined> {
    if passed.keeper.is_none() {
        bail!("there is no keeper");
    }
    worker::follow_keeper()?;
    check_rights(passed.was_root)?;
    raise_file_limit();
    make_dir(&config.data_dir())?;
    let files: Vec<PathBuf> = named_files(config).into_iter().collect();
    let reach = Reach::of(config, files);
    let confinement = reach.confine()?;
    let low_ports = Rights::current()?.may_bind_low_ports();
    match &confinement {
        Confinement::Full => tracing::info!("{confinement}"),
        _ => tracing::warn!(low_ports, "{confinement}"),
    }
    Ok(Confined(confinement, reach))
}

/// That this process is confined, as far as the kernel can.
#[derive(Debug)]
pub(crate) struct Confined(Confinement, Reach);

impl Confined {
    /// Connects the server to its keeper. Must be called in the context of a runtime.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub(crate) fn link(self, passed: &mut Passed) -> Result<(Link, Privileges)> {
        let stream = passed.keeper.take().ok_or_else(|| anyhow!("there is no keeper"))?;
        let usec = std::env::var("WATCHDOG_USEC").ok();
        let watchdog = notify::watchdog_interval(usec.as_deref());
        worker::link(stream, (self.0, self.1), watchdog)
    }
}

/// Allows as many open files as the system lets us: each connection and account takes some.
pub(crate) fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "limit of open files not raised");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use nix::unistd::{Gid, Uid};

    use super::*;

    #[track_caller]
    fn check_taken(dir: &Path, want: bool) {
        // Nobody whom a test may run as.
        let service = Ids { uid: Uid::from_raw(61_234), gid: Gid::from_raw(61_234) };
        assert_eq!(refuse_foreign(dir, service).is_ok(), want, "{}", dir.display());
        assert!(refuse_foreign(dir, Ids::current()).is_ok(), "its own");
    }

    /// Attack: `DataDir: /home/somebody` would have root give that directory away.
    #[test]
    fn only_a_data_directory_is_given_to_the_user_of_the_server() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        check_taken(&data, true);
        fs::create_dir(&data).unwrap();
        let set_mode = |mode| fs::set_permissions(&data, fs::Permissions::from_mode(mode)).unwrap();
        set_mode(0o755);
        check_taken(&data, true);
        // A disk of its own.
        fs::create_dir(data.join("lost+found")).unwrap();
        check_taken(&data, true);
        fs::write(data.join("letter.txt"), "x").unwrap();
        check_taken(&data, false);
        // As if it were one.
        symlink("letter.txt", data.join("auth.db")).unwrap();
        fs::create_dir(data.join("lock")).unwrap();
        check_taken(&data, false);
        fs::write(data.join("receivedid.key"), "x").unwrap();
        check_taken(&data, true);
        // Where anybody may have made that file.
        set_mode(0o777);
        check_taken(&data, false);
    }
}
