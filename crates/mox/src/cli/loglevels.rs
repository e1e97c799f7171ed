//! `mox loglevels`.

use anyhow::Result;
use clap::Args;

use super::{Global, print};

/// Print how much the running server logs, or change it until it ends.
///
/// Levels are error, warn, info, debug, trace, traceauth and tracedata. With trace, what is said
/// in sessions is logged; traceauth adds passwords, tracedata the content of messages. To keep a
/// level, set it in mox.conf.
#[derive(Debug, Args)]
pub(super) struct LogLevels {
    /// The level to set; "" clears that of a package. Without it, all levels are printed.
    level: Option<String>,
    /// The part of the server it is for, such as smtpserver, imapserver or store. Without it, all
    /// that have no level of their own.
    package: Option<String>,
}

impl LogLevels {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        let Self { level, package } = self;
        let Some(level) = level else {
            let levels =
                async |mut client: crate::ctl::Client| Ok(client.text("loglevels", &[]).await?);
            return print(&global.control(levels)?);
        };
        let package = package.unwrap_or_default();
        global
            .control(async |mut client| Ok(client.run("setloglevels", &[&package, &level]).await?))
    }
}
