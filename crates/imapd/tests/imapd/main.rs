//! The IMAP driver over an in-memory connection, with a real store.

#[cfg(test)]
mod basics;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod support;
