//! The driver that sends: queued messages to other servers, webhook calls, and reports.
//!
//! One scheduler sleeps until something is due, or something changed. What a delivery must look
//! like is decided by pure functions over what DNS and policies say; this crate moves the bytes.

#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod connection;
mod deliver;
pub mod destination;
mod hooks;
mod hosts;
mod measure;
pub mod mtasts;
mod notice;
mod outbox;
pub mod plan;
pub mod reports;
pub mod route;
mod scheduler;
mod services;
mod settle;
mod tls_results;
mod worker;

pub use hooks::{CALL_WAIT, CALLS_MAX};
pub use services::{Limits, SMTP_PORT, Sender, Services};
pub use settle::DELAY_TOLD_AT;
