//! What a server counts and measures, in the text format of Prometheus.
//!
//! One file for each part of the server, with a function for each thing that happens. [`text`] is what
//! is given out, [`descriptions`] what the documentation is made of. Beside the subscriber of the log
//! this is the only global state: a number that many places count has no owner to be passed around by.
//!
//! Not here: reading of clocks and files. Durations and samples of the process are arguments. Pure
//! protocol code counts nothing either; whoever drives it does.
//!
//! ```
//! use std::time::Duration;
//!
//! mox_metrics::auth::attempt("imap", "plain", "ok");
//! mox_metrics::dns::looked_up("smtpserver", "mx", "ok", Duration::from_millis(3));
//! assert!(mox_metrics::text().contains("mox_authentication_total{kind=\"imap\""));
//! ```
#![deny(
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

pub mod auth;
pub mod connections;
pub mod dns;
mod family;
pub mod http;
pub mod imap;
pub mod log;
pub mod mailauth;
pub mod panics;
pub mod process;
pub mod queue;
mod registry;
pub mod reports;
pub mod selfcheck;
pub mod smtp;
pub mod smtpclient;
pub mod subjectpass;
pub mod tls;
pub mod tlspolicy;
pub mod updates;
pub mod webhook;

pub use family::{OTHER, SERIES_MAX};
pub use registry::{CONTENT_TYPE, Description, Kind, descriptions, text};
