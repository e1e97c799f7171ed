//! `mox serve`.

use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use mox_net::BLOCKING_THREADS_MAX;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode as FileMode, umask};
use nix::unistd::Uid;
use tokio::signal::unix::{SignalKind, signal};

use super::{Global, say};
use crate::log::{Form, install};
use crate::server::{Options, Server, faults_text};
use crate::services::Mode;

/// Run the mail server of the configuration, until SIGINT, SIGTERM or "mox stop".
///
/// Logs in logfmt to standard error. To be started as a user of its own, not as root. A signal
/// that ends it is the exit code.
#[derive(Debug, Args)]
pub(super) struct Serve {}

/// How a server came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By the control socket.
    Asked,
    /// By a signal with this number.
    Signal(u8),
}

impl Serve {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        if Uid::effective().is_root() {
            bail!(
                "serve cannot give up the rights of root yet and does not run with them: start it \
                 as a user of its own, with the right to use low ports \
                 (AmbientCapabilities=CAP_NET_BIND_SERVICE in a systemd unit)"
            );
        }
        // What the server writes is for itself and its group.
        umask(umask(FileMode::empty()) | FileMode::from_bits_truncate(0o007));
        let (path, _) = global.config_path();
        let loaded = Options::load(Mode::Serve, &path, global.loglevel);
        let (mut options, notices) =
            loaded.map_err(|faults| anyhow!("{}{}", faults_text(&faults), global.hint()))?;
        options.pedantic = global.pedantic;
        install(&options.levels, Form::Logfmt);
        for notice in notices {
            tracing::info!(notice = %notice, "configuration");
        }
        Ok(match run_server(options, |_| Ok(()))? {
            End::Asked => ExitCode::SUCCESS,
            End::Signal(number) => ExitCode::from(number),
        })
    }
}

/// Runs a server to its end.
pub(super) fn run_server(
    options: Options,
    started: impl FnOnce(&Server) -> Result<()>,
) -> Result<End> {
    raise_file_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()
        .context("start runtime")?;
    runtime.block_on(async {
        // From here on a signal ends the server in order, also while it starts.
        let mut interrupt = signal(SignalKind::interrupt()).context("wait for SIGINT")?;
        let mut terminate = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
        let server = Server::start(options).await?;
        started(&server)?;
        let end = tokio::select! {
            () = server.stop_asked() => End::Asked,
            _ = interrupt.recv() => End::Signal(number(SignalKind::interrupt())),
            _ = terminate.recv() => End::Signal(number(SignalKind::terminate())),
        };
        tracing::info!(?end, "shutting down");
        server.shutdown().await;
        Ok(end)
    })
}

fn number(kind: SignalKind) -> u8 {
    u8::try_from(kind.as_raw_value()).unwrap_or(u8::MAX)
}

/// Allows as many open files as the system lets us: each connection and account takes some.
fn raise_file_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        say(&format!("warn: limit of open files not raised: {error}\n"));
    }
}
