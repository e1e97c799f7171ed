//! Logging in: who a client is, checked the same way for every protocol.
//!
//! [`Logins`] knows the configuration, the accounts, the registered client keys and the limits;
//! [`Exchange`] runs a SASL exchange and answers its questions. The encoding of the exchange on
//! the wire, its replies and the delays after failures belong to the drivers.
//!
//! Invariant: whether an account exists shows neither in an answer nor in the work done for it.
//! An unknown name gets the verifiers of the decoy, and everything goes on as for an account. Where
//! accounts differ in how their passwords are stored, so do decoys, and equally often.
//!
//! What is stored may come from another server: a bcrypt hash, which only a password that is sent can
//! be checked against, or verifiers with fewer iterations. The first time the password itself is seen
//! to be right, it is stored as ours are.

mod check;
mod decoys;
mod exchange;
mod logins;
mod measure;
mod questions;
mod secrets;

pub use exchange::{Exchange, Outcome};
pub use logins::{Login, LoginError, Logins, Peer};
pub use measure::measure;
pub use secrets::set_password;
