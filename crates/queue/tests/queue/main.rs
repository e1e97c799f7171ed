//! The queue as its users see it.

#[cfg(test)]
mod adding;
#[cfg(test)]
mod checking;
#[cfg(test)]
mod crashes;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod finding;
#[cfg(test)]
mod forgetting;
#[cfg(test)]
mod hooking;
#[cfg(test)]
mod leasing;
#[cfg(test)]
mod model;
#[cfg(test)]
mod settling;
#[cfg(test)]
mod support;
#[cfg(test)]
mod suppressing;
#[cfg(test)]
mod taking_over;
