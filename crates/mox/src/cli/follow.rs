//! Waiting for work that the server does when an account is quiet.

use std::time::Duration;

use anyhow::Result;

use super::print;
use crate::ctl::Client;

/// How often the server is asked how far it is.
const INTERVAL: Duration = Duration::from_secs(1);

/// How far some work is.
pub(super) trait Progress: Copy + PartialEq {
    /// Reads the answer of the server: a line for each account.
    fn parse(answer: &str) -> Result<Self>;
    /// For people, without a line end.
    fn text(self) -> String;
    fn is_done(self) -> bool;
}

/// Asks with `command` until all is done, and prints the progress whenever it has changed.
pub(super) async fn follow<P: Progress>(
    client: &mut Client,
    command: &str,
    account: &str,
) -> Result<()> {
    let mut told = None;
    loop {
        let progress = P::parse(&client.text(command, &[account]).await?)?;
        if told.replace(progress) != Some(progress) {
            print(&format!("{}\n", progress.text()))?;
        }
        if progress.is_done() {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}
