//! The command with which `mox doctor` asks a running server how it is.

use mox_acme::HostStatus;
use mox_checks::doctor::{FailedCertificate, ServerFacts};
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
        let mut facts = facts.map_err(|error| CommandError::refused(&error))?;
        let hosts = self.services.acme.status().into_iter().map(|(_, status)| status);
        facts.failed_certificates = hosts.filter_map(failed).collect();
        let text = serde_json::to_vec(&facts).map_err(|error| CommandError::refused(&error))?;
        wire.write_ok().await?;
        Ok(wire.send_data(text.as_slice()).await?)
    }
}

/// A host whose last attempt failed.
fn failed(status: HostStatus) -> Option<FailedCertificate> {
    let HostStatus { host, not_after, last_error, .. } = status;
    let error = last_error?;
    Some(FailedCertificate { host: host.to_string(), not_after: not_after.map(|end| end.0), error })
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
