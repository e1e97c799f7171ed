//! The process that keeps the sockets while another one serves.
//!
//! It is the process that was started, and does nothing but wait: for signals, which it hands on,
//! and for the end of the serving process, the worker. It serves nobody, reads nothing that comes
//! from a peer and has no more rights than the worker; but it is not confined, so that it can start
//! a new program on an upgrade.
//!
//! A restart: the program that is now under the name of ours looks at the configuration
//! (`config test`); ports that are new are bound; the worker ends its sessions as at shutdown, and then
//! the program takes the place of this process and starts its own worker. Meanwhile connections
//! wait in the backlogs of the sockets, which stay open. If the program or its configuration is refused,
//! the worker goes on as if nothing had been asked.
//!
//! Keeper and worker talk in lines over a socket: the worker says `restart`, `ready TEXT` and `alive`,
//! the keeper `drain` and `refused TEXT`.

use std::ffi::OsString;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use mox_base::Clock as _;
use mox_config::{Live, NamedFiles};
use mox_net::SystemClock;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, Signal, kill};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::unistd::Pid;

use super::notify::Notifier;
use super::passing::{Passed, Role};
use crate::server::faults_text;

/// How long a worker may take to end what it does, beyond which it is killed. It has its own,
/// shorter waits for sessions.
const END_WAIT: Duration = Duration::from_secs(45);

/// How long a program may look at the configuration before it is taken for broken.
const TEST_WAIT: Duration = Duration::from_secs(30);

/// The most that is logged of what it says, in characters.
const TEST_TEXT_MAX: usize = 4_000;

/// The longest line between keeper and worker, in bytes.
pub(super) const LINE_BYTES_MAX: usize = 1_000;

/// What a worker says when it serves.
pub(super) const READY: &str = "ready";

/// What it says now and then.
pub(super) const ALIVE: &str = "alive";

/// What it says to be restarted.
pub(super) const RESTART: &str = "restart";

/// What it is told, to end its sessions.
pub(super) const DRAIN: &str = "drain";

/// What it is told if it is not to be restarted.
pub(super) const REFUSED: &str = "refused";

/// Where a keeper stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The worker serves.
    Serving,
    /// The worker ends its sessions, to be followed by another.
    Draining,
    /// The worker ends by this signal, and so does everything.
    Ending(Signal),
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    /// SIGTERM or SIGINT.
    Terminate(Signal),
    /// Somebody wants a restart.
    RestartAsked,
    /// The program and its configuration are fit for it.
    Tested,
    /// The worker ended with this code.
    WorkerEnded(u8),
    /// [`END_WAIT`] has passed.
    Late,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Nothing,
    /// Hand the signal to the worker.
    HandOn(Signal),
    /// Look whether a restart can be had.
    Test,
    /// Tell the worker to end its sessions.
    Drain,
    Kill,
    /// Start the program anew, in this process.
    Replace,
    Exit(u8),
}

impl Phase {
    fn next(self, event: Event) -> (Self, Action) {
        match (self, event) {
            (Self::Serving, Event::RestartAsked) => (self, Action::Test),
            (Self::Serving, Event::Tested) => (Self::Draining, Action::Drain),
            (_, Event::Terminate(signal)) => (Self::Ending(signal), Action::HandOn(signal)),
            (Self::Draining, Event::WorkerEnded(_)) => (self, Action::Replace),
            (_, Event::WorkerEnded(code)) => (self, Action::Exit(code)),
            (Self::Draining | Self::Ending(_), Event::Late) => (self, Action::Kill),
            // A second wish for a restart, while one is under way, is granted with the first.
            _ => (self, Action::Nothing),
        }
    }
}

/// How a program is started again.
#[derive(Clone, Debug)]
pub(crate) struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    config: PathBuf,
}

impl Program {
    /// This program as it was started.
    ///
    /// - `config`: the path of `mox.conf`.
    pub(crate) fn own(config: &Path) -> Result<Self> {
        let path = std::env::current_exe().context("path of this program")?;
        // So it is told if the file was replaced since.
        let path = match path.to_str().and_then(|text| text.strip_suffix(" (deleted)")) {
            Some(text) => text.into(),
            None => path,
        };
        let args = std::env::args_os().skip(1).collect();
        Ok(Self { path, args, config: config.to_owned() })
    }

    /// It with the words that it was started with.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.path);
        command.args(&self.args);
        command
    }
}

struct Keeper {
    program: Program,
    passed: Passed,
    notifier: Notifier,
    signals: SignalFd,
    phase: Phase,
    /// When a worker that is to end is killed.
    deadline: Option<Instant>,
    worker: Child,
    stream: UnixStream,
    /// It was closed: the worker is about to end.
    is_closed: bool,
    /// The beginning of a line of the worker's.
    line: Vec<u8>,
}

/// Holds back the signals that a keeper waits for, so that none is lost before it does.
pub(crate) fn hold_signals() -> Result<SigSet> {
    let mut held = SigSet::empty();
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGCHLD] {
        held.add(signal);
    }
    held.thread_block().context("hold back signals")?;
    Ok(held)
}

/// Starts a worker and waits for its end, as often as there are restarts. Returns the exit code of
/// the last one.
///
/// - `held`: see [`hold_signals`].
/// - `temporary`: where the worker puts temporary files.
pub(crate) fn keep(
    passed: Passed,
    program: Program,
    held: &SigSet,
    temporary: &Path,
) -> Result<ExitCode> {
    let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
    let signals = SignalFd::with_flags(held, flags).context("wait for signals")?;
    let (stream, theirs) = UnixStream::pair().context("connect to worker")?;
    stream.set_nonblocking(true)?;
    let mut command = program.command();
    // Where databases put what does not fit into memory: elsewhere is out of reach.
    command.env("TMPDIR", temporary).env("SQLITE_TMPDIR", temporary);
    let role = (Role::Worker, passed.was_root);
    let fillers = passed.pass_on(&mut command, role, Some(theirs))?;
    let worker = command.spawn().context("start worker")?;
    // Theirs among it: the end of the worker is to end the connection.
    drop((command, fillers));
    let keeper = Keeper {
        program,
        passed,
        notifier: Notifier::from_environment(),
        signals,
        phase: Phase::Serving,
        deadline: None,
        worker,
        stream,
        is_closed: false,
        line: Vec::new(),
    };
    keeper.run()
}

impl Keeper {
    fn run(mut self) -> Result<ExitCode> {
        loop {
            self.wait()?;
            for event in self.events()? {
                let (phase, action) = self.phase.next(event);
                self.phase = phase;
                if let Some(code) = self.act(action)? {
                    return Ok(ExitCode::from(code));
                }
            }
        }
    }

    /// Waits until something happened.
    fn wait(&self) -> Result<()> {
        let timeout = match self.deadline {
            Some(deadline) => {
                let left = deadline.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
            }
            None => PollTimeout::NONE,
        };
        let mut fds = vec![PollFd::new(self.signals.as_fd(), PollFlags::POLLIN)];
        if !self.is_closed {
            fds.push(PollFd::new(self.stream.as_fd(), PollFlags::POLLIN));
        }
        match poll(&mut fds, timeout) {
            Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
            Err(error) => Err(error).context("wait for signals"),
        }
    }

    fn events(&mut self) -> Result<Vec<Event>> {
        let mut events = Vec::new();
        while let Some(info) = self.signals.read_signal().context("read signals")? {
            let signal = i32::try_from(info.ssi_signo).ok();
            match signal.and_then(|number| Signal::try_from(number).ok()) {
                Some(signal @ (Signal::SIGTERM | Signal::SIGINT)) => {
                    events.push(Event::Terminate(signal));
                }
                Some(Signal::SIGHUP) => events.push(Event::RestartAsked),
                _ => {}
            }
        }
        self.read_worker(&mut events);
        if let Some(status) = self.worker.try_wait().context("wait for worker")? {
            events.push(Event::WorkerEnded(exit_code(status)));
        }
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            events.push(Event::Late);
        }
        Ok(events)
    }

    /// Takes what the worker said. A worker that says too much is not heard any more; it is as
    /// trusted as the network that it talks to.
    fn read_worker(&mut self, events: &mut Vec<Event>) {
        let mut buffer = [0; LINE_BYTES_MAX];
        let size = match self.stream.read(&mut buffer) {
            Ok(0) => {
                self.is_closed = true;
                return;
            }
            Ok(size) => size,
            Err(_) => return,
        };
        for byte in buffer.iter().take(size) {
            if *byte != b'\n' {
                if self.line.len() < LINE_BYTES_MAX {
                    self.line.push(*byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let line = String::from_utf8_lossy(&line);
            match line.split_once(' ').unwrap_or((&line, "")) {
                (RESTART, _) => events.push(Event::RestartAsked),
                (ALIVE, _) => self.notifier.alive(),
                (READY, status) => self.notifier.ready(status),
                _ => tracing::warn!("the worker said something unknown"),
            }
        }
    }

    fn act(&mut self, action: Action) -> Result<Option<u8>> {
        match action {
            Action::Nothing => {}
            Action::HandOn(signal) => {
                self.notifier.stopping();
                self.deadline.get_or_insert_with(|| Instant::now() + END_WAIT);
                self.signal(signal);
            }
            Action::Test => self.test(),
            Action::Drain => {
                self.notifier.reloading();
                // Nobody else says so until the next worker serves.
                self.notifier.alive();
                self.deadline = Some(Instant::now() + END_WAIT);
                self.tell(DRAIN, "");
            }
            Action::Kill => {
                tracing::error!("the worker did not end in time and is killed");
                self.deadline = None;
                self.signal(Signal::SIGKILL);
            }
            Action::Replace => return Err(self.replace()),
            Action::Exit(code) => return Ok(Some(code)),
        }
        Ok(None)
    }

    fn signal(&self, signal: Signal) {
        let Ok(pid) = i32::try_from(self.worker.id()) else { return };
        if let Err(error) = kill(Pid::from_raw(pid), signal) {
            tracing::debug!(%error, %signal, "signal for worker");
        }
    }

    fn tell(&mut self, word: &str, text: &str) {
        let mut line = format!("{word} {}", text.replace(['\n', '\r'], "; "));
        while line.len() >= LINE_BYTES_MAX {
            line.pop();
        }
        line.push('\n');
        // If it does not read it is at its end, and a signal or its exit code will tell.
        if let Err(error) = self.stream.write_all(line.as_bytes()) {
            tracing::warn!(%error, "the worker cannot be told");
            if word == DRAIN {
                self.signal(Signal::SIGTERM);
            }
        }
    }

    /// Whether a restart can be had; goes on to it, or tells why not.
    fn test(&mut self) {
        tracing::info!(program = %self.program.path.display(), "restart: looking at the configuration");
        let tested = self.passed.test(&self.program).and_then(|()| self.bind_new());
        match tested {
            Ok(()) => {
                let (phase, action) = self.phase.next(Event::Tested);
                self.phase = phase;
                if action == Action::Drain {
                    tracing::info!("restart: sessions end");
                    drop(self.act(action));
                }
            }
            Err(error) => {
                let text = format!("{error:#}");
                tracing::error!(error = %text, "restart refused: the server goes on as it is");
                self.notifier.status("restart refused: see the log");
                self.tell(REFUSED, &text);
            }
        }
    }

    /// Binds ports that the configuration has and we do not: what cannot be bound now could not be
    /// after the restart.
    fn bind_new(&self) -> Result<()> {
        let loaded = Live::load(&self.program.config, NamedFiles::Skip, SystemClock::new().now());
        let (live, _) = loaded.map_err(|faults| anyhow!("{}", faults_text(&faults)))?;
        self.passed.sockets.bind_missing(&live.snapshot()).context(
            "a port that is new in mox.conf (stop and start the server, if it needs rights of root)",
        )
    }

    /// Puts the program in the place of this process. Returns only if that fails.
    fn replace(&self) -> anyhow::Error {
        self.notifier.alive();
        let mut command = self.program.command();
        match self.passed.pass_on(&mut command, (Role::Next, self.passed.was_root), None) {
            Ok(_fillers) => {
                let error = anyhow!(command.exec());
                error.context(format!("start {}", self.program.path.display()))
            }
            Err(error) => error,
        }
    }
}

/// That of the program, or as shells tell the signal that ended it.
fn exit_code(status: ExitStatus) -> u8 {
    let by_signal = || status.signal().map(|signal| 128 + signal);
    let code = status.code().or_else(by_signal);
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX)
}

impl Passed {
    /// Runs `config test` of a program with the files that were passed to us.
    fn test(&self, program: &Program) -> Result<()> {
        let mut command = Command::new(&program.path);
        command.arg("--config").arg(&program.config).args(["config", "test"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let fillers = self.pass_on(&mut command, (Role::Test, self.was_root), None)?;
        let spawned = command.spawn();
        drop(fillers);
        let name = || format!("run {} config test", program.path.display());
        let child = spawned.with_context(name)?;
        let pid = i32::try_from(child.id()).map(Pid::from_raw)?;
        let (done, ended) = mpsc::channel();
        std::thread::spawn(move || done.send(child.wait_with_output()));
        let output = ended.recv_timeout(TEST_WAIT).or_else(|_| {
            kill(pid, Signal::SIGKILL).with_context(name)?;
            ended.recv().with_context(name)
        });
        let output = output?.with_context(name)?;
        if !output.status.success() {
            let errors = String::from_utf8_lossy(&output.stderr);
            let errors: String = errors.trim().chars().take(TEST_TEXT_MAX).collect();
            bail!("{}: {}: {errors}", name(), output.status);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Events one after the other, and the actions that are wanted.
    #[track_caller]
    fn check(steps: &[(Event, Action)]) {
        let mut phase = Phase::Serving;
        for (event, want) in steps {
            let (next, action) = phase.next(*event);
            assert_eq!(action, *want, "{phase:?} {event:?}");
            phase = next;
        }
    }

    #[test]
    fn what_a_keeper_does() {
        use Event::{Late, RestartAsked, Terminate, Tested, WorkerEnded};
        let (term, int) = (Signal::SIGTERM, Signal::SIGINT);
        // An orderly end, and one that takes too long.
        check(&[(Terminate(term), Action::HandOn(term)), (WorkerEnded(15), Action::Exit(15))]);
        check(&[
            (Terminate(term), Action::HandOn(term)),
            (Late, Action::Kill),
            (WorkerEnded(137), Action::Exit(137)),
        ]);
        // The worker ends by itself.
        check(&[(WorkerEnded(0), Action::Exit(0))]);
        // A restart, asked for twice.
        check(&[
            (RestartAsked, Action::Test),
            (Tested, Action::Drain),
            (RestartAsked, Action::Nothing),
            (WorkerEnded(0), Action::Replace),
        ]);
        // One that is refused: nothing follows.
        check(&[(RestartAsked, Action::Test), (WorkerEnded(1), Action::Exit(1))]);
        // An end while it restarts.
        check(&[
            (RestartAsked, Action::Test),
            (Tested, Action::Drain),
            (Terminate(int), Action::HandOn(int)),
            (RestartAsked, Action::Nothing),
            (Tested, Action::Nothing),
            (WorkerEnded(2), Action::Exit(2)),
        ]);
        // A worker that does not end its sessions.
        check(&[
            (RestartAsked, Action::Test),
            (Tested, Action::Drain),
            (Late, Action::Kill),
            (WorkerEnded(137), Action::Replace),
        ]);
        check(&[(Late, Action::Nothing), (Tested, Action::Drain)]);
    }

    #[test]
    fn the_end_of_a_worker_is_ours() {
        let code = |raw| exit_code(ExitStatus::from_raw(raw));
        assert_eq!(code(0), 0);
        assert_eq!(code(15 << 8), 15);
        assert_eq!(code(9), 137);
    }
}
