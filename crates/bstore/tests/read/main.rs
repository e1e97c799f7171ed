//! Databases that the original wrote, read whole and read damaged.

#[cfg(test)]
mod damage;
#[cfg(test)]
mod evolution;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod json;
#[cfg(test)]
mod overlong;
#[cfg(test)]
mod whole;
#[cfg(test)]
mod written;
