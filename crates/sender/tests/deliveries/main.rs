//! The sender as a whole: a queue, accounts, and servers that play scripts over loopback.
#![expect(clippy::unwrap_used, reason = "a broken set-up should fail the test")]
#![expect(clippy::panic, clippy::expect_used, reason = "so should one that hangs")]

mod attempts;
mod faults;
mod grouping;
mod loopback;
mod notices;
mod policies;
mod refusals;
#[path = "../remote/mod.rs"]
#[expect(dead_code, reason = "each test uses a part of it")]
mod remote;
mod rig;
mod takeover;
mod tls;
mod transports;
mod turns;
mod webhooks;
