//! Backups of data directories that are in use, damaged and put back.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod making;
#[cfg(test)]
mod restoring;
#[cfg(test)]
mod support;
