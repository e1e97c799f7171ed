//! `mox serve`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use mox_config::NamedFiles;
use mox_net::BLOCKING_THREADS_MAX;
use nix::sys::stat::{Mode as FileMode, umask};
use nix::unistd::Uid;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::Global;
use crate::log::{Form, install};
use crate::privileges::{self, Asked, Confined, Passed, Program, Role, raise_file_limit};
use crate::server::{Options, Server, faults_text};
use crate::services::Mode;

/// Run the mail server of the configuration, until SIGINT, SIGTERM or "mox stop".
///
/// Logs in logfmt to standard error. Started as root it sets owners and modes of its files, binds
/// its ports, and goes on as the user named in mox.conf, in the same process; then it cannot become
/// root again. Started as that user it needs the right to use low ports
/// (AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit), or sockets from systemd. A second
/// process serves, which can reach only the directories of configuration and data. On SIGHUP, or
/// "mox restart", the program is started anew and no connection is refused. A signal that ends it is
/// the exit code.
#[derive(Debug, Args)]
pub(super) struct Serve {}

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By the control socket.
    Asked,
    /// By a signal with this number.
    Signal(u8),
    /// Another process takes over.
    Restart,
}

impl Serve {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        // What the server writes is for itself and its group.
        umask(umask(FileMode::empty()) | FileMode::from_bits_truncate(0o007));
        // A keeper that was started in place of another must miss none from its first moment.
        let held = privileges::hold_signals()?;
        let passed = Passed::take()?;
        let (path, _) = global.config_path();
        let is_root = Uid::effective().is_root();
        let files = match is_root {
            true => NamedFiles::Check,
            // Those for root alone were passed, and a worker looks at them.
            false => NamedFiles::CheckReadable,
        };
        let loaded =
            Options::load_passed(Mode::Serve, &path, global.loglevel, (files, passed.places()));
        let (mut options, notices) =
            loaded.map_err(|faults| anyhow!("{}{}", faults_text(&faults), global.hint()))?;
        options.pedantic = global.pedantic;
        install(&options.levels, Form::Logfmt);
        let program = Program::own(&path)?;
        let config = options.config.snapshot();
        match (passed.role, is_root) {
            (Role::First, true) => match privileges::drop_root(passed, &program, &config)? {},
            (Role::First | Role::Next, _) => {
                drop(options);
                privileges::keep(passed, program, &config, &held)
            }
            (Role::Worker, _) => {
                held.thread_unblock().context("take signals")?;
                for notice in notices {
                    tracing::info!(notice = %notice, "configuration");
                }
                drop(config);
                work(options, passed)
            }
            (Role::Test, _) => bail!("serve was started to look at the configuration only"),
        }
    }
}

/// The process that serves.
fn work(mut options: Options, mut passed: Passed) -> Result<ExitCode> {
    let config = options.config.snapshot();
    options.roots = Some(crate::sending::roots(&config)?);
    let confined = privileges::confine(&passed, &config)?;
    options.sockets = passed.sockets.clone();
    Ok(match run_worker(options, &mut passed, confined)? {
        End::Asked | End::Restart => ExitCode::SUCCESS,
        End::Signal(number) => ExitCode::from(number),
    })
}

fn run_worker(mut options: Options, passed: &mut Passed, confined: Confined) -> Result<End> {
    run_to_its_end(runtime()?, BLOCKING_WAIT, async {
        let ends = Ends::new()?;
        let (link, privileges) = confined.link(passed)?;
        let status = format!("serving; {}", privileges.confinement);
        options.privileges = privileges;
        let server = Server::start(options).await?;
        let end = tokio::select! {
            end = ends.next(&server) => end,
            asked = link.serve(&server, &status) => match asked {
                Asked::Restart => End::Restart,
                Asked::Abandoned => End::Signal(number(SignalKind::terminate())),
            },
        };
        finish(server, end).await;
        Ok(end)
    })
}

/// How long work on the disk may go on when all sessions have ended. What was acknowledged is on disk; the
/// rest ends as in a crash.
const BLOCKING_WAIT: Duration = Duration::from_secs(5);

/// Runs a server in this process to its end.
pub(super) fn run_server(
    options: Options,
    started: impl FnOnce(&Server) -> Result<()>,
) -> Result<End> {
    raise_file_limit();
    run_to_its_end(runtime()?, BLOCKING_WAIT, async {
        // From here on a signal ends the server in order, also while it starts.
        let ends = Ends::new()?;
        let server = Server::start(options).await?;
        started(&server)?;
        let end = ends.next(&server).await;
        finish(server, end).await;
        Ok(end)
    })
}

/// Does the work, and ends what is left of it.
///
/// - `wait`: how long work on the disk may go on after it.
fn run_to_its_end<T>(runtime: Runtime, wait: Duration, work: impl Future<Output = T>) -> T {
    let done = runtime.block_on(work);
    runtime.shutdown_timeout(wait);
    done
}

async fn finish(server: Server, end: End) {
    tracing::info!(?end, "shutting down");
    match end {
        End::Restart => server.hand_over().await,
        _ => server.shutdown().await,
    };
}

fn runtime() -> Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("start runtime")
}

/// What ends a server from outside.
struct Ends {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
}

impl Ends {
    fn new() -> Result<Self> {
        let interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
        let terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
        Ok(Self { interrupt, terminate })
    }

    async fn next(mut self, server: &Server) -> End {
        tokio::select! {
            () = server.stop_asked() => End::Asked,
            _ = self.interrupt.recv() => End::Signal(number(SignalKind::interrupt())),
            _ = self.terminate.recv() => End::Signal(number(SignalKind::terminate())),
        }
    }
}

fn number(kind: SignalKind) -> u8 {
    u8::try_from(kind.as_raw_value()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread;

    use super::*;

    /// Bug: a restart waited for ever for work that had no end.
    #[test]
    fn the_end_does_not_wait_for_work_that_has_none() {
        let (release, stuck) = channel::<()>();
        let (ended, end) = channel();
        let ending = thread::spawn(move || {
            let done = run_to_its_end(runtime().unwrap(), Duration::ZERO, async {
                let (began, begins) = tokio::sync::oneshot::channel();
                drop(tokio::task::spawn_blocking(move || {
                    began.send(()).unwrap();
                    stuck.recv()
                }));
                begins.await
            });
            ended.send(done).unwrap();
        });
        // Far beyond what it takes.
        assert_eq!(end.recv_timeout(Duration::from_secs(300)), Ok(Ok(())));
        drop(release);
        ending.join().unwrap();
    }
}
