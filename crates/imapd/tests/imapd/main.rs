//! The IMAP driver over an in-memory connection, with a real store.

#[cfg(test)]
mod account;
#[cfg(test)]
mod appending;
#[cfg(test)]
mod basics;
#[cfg(test)]
mod capabilities;
#[cfg(test)]
mod catenating;
#[cfg(test)]
mod compress;
#[cfg(test)]
mod contexts;
#[cfg(test)]
mod crowd;
#[cfg(test)]
mod fetching;
#[cfg(test)]
mod filters;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod logins;
#[cfg(test)]
mod mailboxes;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod multisearch;
#[cfg(test)]
mod notify;
#[cfg(test)]
mod pace;
#[cfg(test)]
mod replacing;
#[cfg(test)]
mod searching;
#[cfg(test)]
mod support;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod uidonly;
#[cfg(test)]
mod unauthenticate;
#[cfg(test)]
mod url_auth;
