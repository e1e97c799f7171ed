//! `mox restart`.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use clap::Args;

use super::{Global, print};
use crate::ctl::Client;

/// Restart the running server: with mox.conf as it is now, and with the program as it is now.
///
/// After an upgrade of the program, or a change of mox.conf. Connections that come meanwhile wait,
/// none is refused; sessions get a few seconds to end what they do. If the new program or the
/// configuration is refused, the server goes on as it is. Certificates and keys that only root can
/// read, and new ports below 1024, take a stop and a start instead.
#[derive(Debug, Args)]
pub(super) struct Restart {}

/// How long the new server may take to answer.
const WAIT: Duration = Duration::from_secs(90);

/// Between two tries to reach it.
const PAUSE: Duration = Duration::from_millis(50);

impl Restart {
    pub(super) fn run(self, global: &Global) -> Result<()> {
        global.control(async |client| Ok(client.restart().await?))?;
        // The configuration, and the data directory with it, may be another now.
        let data_dir = global.config()?.snapshot().data_dir();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let started = Instant::now();
        runtime.block_on(async {
            let mut pauses = tokio::time::interval(PAUSE);
            loop {
                let connected = tokio::time::timeout(WAIT, Client::connect(&data_dir)).await;
                match connected.unwrap_or_else(|elapsed| Err(elapsed.into())) {
                    Ok(_) => break Ok(()),
                    Err(error) if started.elapsed() > WAIT => {
                        bail!("the server ended and did not come back; its log has more: {error:#}")
                    }
                    Err(_) => pauses.tick().await,
                };
            }
        })?;
        print("mox restarted\n")
    }
}
