//! Whole-server tests over loopback: real sockets, real files, every part wired as in the binary.
//!
//! A `TestServer` is `mox localserve` in a directory of its own on free ports, in this process. What
//! can be tested without sockets is tested in the crate that does it; here is what only shows when
//! all parts run together. `conformance` holds the server against the IMAP standards and against how
//! mail programs use them.

#[cfg(test)]
mod accounts;
#[cfg(test)]
mod client;
#[cfg(test)]
mod conformance;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod dns;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod incoming;
#[cfg(test)]
mod managing;
#[cfg(test)]
mod outgoing;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sessions;
#[cfg(test)]
mod taken_over;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod tls;
#[cfg(test)]
mod web;
