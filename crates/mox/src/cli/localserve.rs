//! `mox localserve`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Args;

use super::serve::run_server;
use super::{Global, print};
use crate::localserve::{
    InitOptions, PORT_BASE_DEFAULT, PORT_BASE_MAX, default_dir, init, welcome,
};
use crate::log::{Form, install};
use crate::server::{Options, faults_text};
use crate::services::Mode;

/// Run a mail server for this machine only, to try things, without any set-up.
///
/// Makes a directory with configuration, certificate and an account at the first start. All mail
/// is delivered to that account. Logs to standard error; ends in order on SIGINT, SIGTERM and
/// "mox stop".
#[derive(Debug, Args)]
pub(super) struct Localserve {
    /// Directory for everything. Default: mox-localserve in the user's configuration directory.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Address to listen on, instead of 127.0.0.1 and ::1. For a new directory only.
    #[arg(long)]
    ip: Option<IpAddr>,
    /// Make the directory and exit.
    #[arg(long)]
    initonly: bool,
    /// Ports are this number plus the usual one, such as 1025 for SMTP (25) and 1143 for IMAP
    /// (143) with 1000, which is the default. For a new directory only.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=i64::from(PORT_BASE_MAX)))]
    port_base: Option<u16>,
}

impl Localserve {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let dir = match &self.dir {
            Some(dir) => dir.clone(),
            None => default_dir()?,
        };
        let is_new = !dir.exists();
        if is_new {
            let port_base = self.port_base.unwrap_or(PORT_BASE_DEFAULT);
            init(&dir, &InitOptions { ip: self.ip, port_base })?;
        } else if self.ip.is_some() || self.port_base.is_some() {
            bail!(
                "{} exists: change IPs and Port in its mox.conf, or remove it, instead of giving \
                 --ip or --port-base",
                dir.display()
            );
        }
        let loaded = Options::load(Mode::Localserve, &dir, global.loglevel);
        let (mut options, _) = loaded.map_err(|faults| {
            let faults = faults_text(&faults);
            anyhow!(
                "{faults}\nmend the configuration, or remove {} to have a new one",
                dir.display()
            )
        })?;
        if self.initonly {
            let age = if is_new { "new" } else { "existing" };
            print(&format!("{age} configuration in {}\n", dir.display()))?;
            return Ok(ExitCode::SUCCESS);
        }
        options.pedantic = global.pedantic;
        install(&options.levels, Form::Logfmt);
        run_server(options, |server| print(&welcome(&dir, server.bound(), is_new)))?;
        Ok(ExitCode::SUCCESS)
    }
}
