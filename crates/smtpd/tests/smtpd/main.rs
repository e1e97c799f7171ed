//! The driver over connections in memory, with a real store in a temporary folder.

#[cfg(test)]
mod addresses;
#[cfg(test)]
mod alias_decisions;
#[cfg(test)]
mod aliases;
#[cfg(test)]
mod catchall;
#[cfg(test)]
mod chunking;
#[cfg(test)]
mod data;
#[cfg(test)]
mod decision;
#[cfg(test)]
mod delivery;
#[cfg(test)]
mod facts;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod hooks;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod localserve;
#[cfg(test)]
mod notices;
#[cfg(test)]
mod reports;
#[cfg(test)]
mod senders;
#[cfg(test)]
mod sending;
#[cfg(test)]
mod submission;
#[cfg(test)]
mod support;
#[cfg(test)]
mod tls;
