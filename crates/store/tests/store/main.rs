//! The store through its public operations; every test ends with the consistency check.

#[cfg(test)]
mod annotations;
#[cfg(test)]
mod deciding;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hashes;
#[cfg(test)]
mod history;
#[cfg(test)]
mod importing;
#[cfg(test)]
mod index;
#[cfg(test)]
mod junk;
#[cfg(test)]
mod mailboxes;
#[cfg(test)]
mod messages;
#[cfg(test)]
mod order;
#[cfg(test)]
mod read_only;
#[cfg(test)]
mod received_tls;
#[cfg(test)]
mod rejects;
#[cfg(test)]
mod removal;
#[cfg(test)]
mod repairing;
#[cfg(test)]
mod replacing;
#[cfg(test)]
mod search;
#[cfg(test)]
mod support;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod threads;
#[cfg(test)]
mod url_keys;
#[cfg(test)]
mod versions;
#[cfg(test)]
mod zones;
