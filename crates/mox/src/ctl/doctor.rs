//! The command with which `mox doctor` asks a running server how it is.

use mox_checks::doctor::ServerFacts;
use mox_net::blocking;
use mox_queue::{Filter, Queue, QueueError, Sort, SortField};
use tokio::io::{AsyncRead, AsyncWrite};

use super::commands::{CommandError, Handler};
use super::wire::Wire;

impl Handler {
    /// Answers with what only the server knows, as JSON.
    pub(super) async fn doctor<S>(&self, wire: &mut Wire<S>) -> Result<(), CommandError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let queue = self.services.queue.clone();
        let facts = blocking(move || facts(&queue)).await;
        let facts = facts.map_err(|error| CommandError::refused(&error))?;
        let text = serde_json::to_vec(&facts).map_err(|error| CommandError::refused(&error))?;
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_slice()).await?)
    }
}

fn facts(queue: &Queue) -> Result<ServerFacts, QueueError> {
    let all = Filter { max: 1, ..Filter::default() };
    let held = Filter { hold: Some(true), ..Filter::default() };
    let by_age = Sort { field: SortField::Queued, is_ascending: true, after: None };
    Ok(ServerFacts {
        version: crate::VERSION.to_owned(),
        queued: queue.count(&all)?,
        held: queue.count(&held)?,
        oldest: queue.list(&all, &by_age)?.first().map(|oldest| oldest.queued.0),
        failed_certificates: Vec::new(),
    })
}
