//! The program as people and scripts meet it: words, output, exit codes.

#[cfg(test)]
mod backups;
#[cfg(test)]
mod import;
#[cfg(test)]
mod localserve;
#[cfg(test)]
mod program;
#[cfg(test)]
mod serve;
#[cfg(test)]
mod takeover;
#[cfg(test)]
mod takeover_killed;
#[cfg(test)]
mod words;
