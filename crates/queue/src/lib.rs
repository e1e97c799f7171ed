//! The queue, `queue/queue.db`: messages on their way to other servers, one row for each recipient, and
//! webhook calls, with their schedule, holds, history and suppressions.
//!
//! Not here: talking to other servers, deciding what an answer means, and the texts of reports.
//!
//! Writes are durable when their outcome is there; what is queued at the same time shares a sync.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]
