//! The mox binary: command line, logs, wiring of services, control socket, `serve`, `localserve`.
//!
//! [`server::Server`] is a whole mail server in a value: tests and the bench start it as the
//! commands do. [`cli::run`] is all of the program but its `main`.
//!
//! No protocol is spoken here but that of the control socket ([`ctl`]), and nothing is decided
//! about mail.
//!
//! ```no_run
//! # async fn example() -> anyhow::Result<()> {
//! use mox::server::{Options, Server};
//! use mox::service::Service;
//!
//! let dir = std::path::Path::new("/tmp/mox-try");
//! mox::localserve::init(dir, &mox::localserve::InitOptions::default())?;
//! let server = Server::start(Options::localserve(dir)?.on_free_ports()).await?;
//! println!("IMAP on {:?}", server.address(Service::Imap));
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```

pub mod acme;
mod background;
pub mod cli;
mod client_key;
pub mod ctl;
mod data_dir;
pub mod localserve;
pub mod log;
mod places;
mod policies;
mod postmaster;
pub mod privileges;
mod quickstart;
mod selfcheck;
mod sending;
mod sendmail;
pub use sending::Sending;
pub mod server;
pub mod service;
pub mod services;
pub mod sockets;
mod tls;
pub mod unit;
mod updates;
mod wiring;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
