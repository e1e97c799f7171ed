//! The queue, `queue/queue.db`: messages on their way to other servers, one row for each recipient,
//! and webhook calls, with their schedule, holds, history and suppressions.
//!
//! Not here: talking to other servers, deciding what an answer means, and the texts of reports.
//!
//! Writes are durable when their outcome is there; what is queued at the same time shares a sync.
//! Nothing polls: [`Queue::next_due`] says when to come back, [`Queue::on_change`] when it may be
//! sooner. The format on disk stands in `docs/store-format.md`.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

mod add;
mod body;
mod check;
mod error;
mod filter;
mod forget;
mod hint;
mod hold;
mod hook;
mod lane;
mod lease;
mod message;
mod notice;
mod outgoing;
mod queue;
mod report;
mod retired;
mod retry;
mod row;
mod schema;
mod settle;
mod suppression;
mod takeover;

pub use body::{BODIES, Body, BodyHold, BodyReader, INLINE_BYTES_MAX, body_files};
pub use check::{check, check_still};
pub use error::{Pending, QueueError, Result};
pub use filter::{Change, FILTER_IDS_MAX, Filter, LIST_MAX, Sort, SortField, TimeFilter};
pub use hint::{HINT_KEEP_SECS, TlsHint};
pub use hold::{HOLD_RULES_MAX, HoldRule, HoldRuleId};
pub use hook::{
    HOOK_ATTEMPTS_MAX, HOOK_BYTES_PER_ACCOUNT_MAX, HOOK_ERROR_BYTES_MAX, HOOKS_PER_ACCOUNT_MAX,
    Hook, HookAttempt, HookChange, HookEnd, HookEvent, HookFilter, HookId, HookOutcome,
    HookSettled, HookSort, HookSortField, HookTarget, NewHook, OutgoingEvent, RESPONSE_BYTES_MAX,
    Told, hook_wait_secs,
};
pub use lease::{LEASES_MAX, Lease, LeaseRequest};
pub use message::{
    ATTEMPTS_MAX, Attempt, Kind, MessageId, NewMessage, NewRecipient, Queued, RCPTS_MAX,
    RESULT_TEXT_BYTES_MAX, RESULTS_MAX, Release,
};
pub use mox_sqlite::{Disk, RealDisk};
pub use notice::{NOTICES_MAX, NewNotice, Notice, NoticeId};
pub use outgoing::{SENDING_WINDOW_SECS, SendingLimits};
pub use queue::{DATABASE, LOG_BYTES_MAX, Queue};
pub use report::LateResult;
pub use retired::{Retired, RetiredFilter, RetiredSort, RetiredSortField};
pub use retry::{FIRST_WAIT_SECS, wait_secs};
pub use schema::SCHEMA_VERSION;
pub use settle::{Failure, How, Outcome, Settled, Settlement, SmtpReply};
pub use suppression::{SUPPRESSIONS_MAX, Suppression, base_address};
pub use takeover::{KeptBody, KeptCounts, KeptQueued, KeptRcpt, KeptSent, KeptSequences};
