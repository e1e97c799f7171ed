//! An open connection, and which messages it can carry.

use mox_queue::Kind;

use super::{Batch, Remote};
use crate::connection::Connection;
use crate::hosts::Place;
use crate::plan::Demand;
use crate::services::Limits;

/// What messages must have in common to go over one connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) host: String,
    pub(crate) transport: Option<String>,
    pub(crate) demand: Demand,
    pub(crate) kind: Kind,
}

/// An open connection.
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) key: Key,
    pub(crate) remote: Remote,
    /// 8-bit data is only sent if the server says that it takes it: one that sends mail on may have to
    /// change it otherwise, and breaks signatures. RFC 6152 §3.
    pub(crate) requires_8bitmime: bool,
    /// Messages are sent with REQUIRETLS.
    pub(crate) passes_requiretls: bool,
    /// The host has addresses of both families.
    pub(crate) is_dual_stack: bool,
    /// Transactions so far.
    pub(crate) messages: usize,
    /// Its place among the connections to the host; a server on this machine needs none.
    pub(crate) place: Option<Place>,
}

impl Link {
    pub(crate) fn is_usable(&self) -> bool {
        self.connection.is_usable()
    }

    /// Whether the message may go over it too. RFC 9422 §4.1: no more than the server takes.
    pub(crate) fn can_carry(&self, batch: &Batch, limits: &Limits) -> bool {
        let mails_max = self.connection.extensions().limits.mails_max.unwrap_or(usize::MAX);
        self.is_usable()
            && self.key == batch.key()
            && self.messages < limits.connection_messages_max.min(mails_max)
    }

    pub(crate) async fn quit(self) {
        self.connection.quit().await;
        drop(self.place);
    }
}
