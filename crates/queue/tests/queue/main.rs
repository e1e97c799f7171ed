//! The queue as its users see it.

#[cfg(test)]
mod adding;
#[cfg(test)]
mod leasing;
#[cfg(test)]
mod settling;
#[cfg(test)]
mod support;
