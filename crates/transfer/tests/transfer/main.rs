//! Mail into accounts and out of them.

#[cfg(test)]
mod exporting;
#[cfg(test)]
mod hostile;
#[cfg(test)]
mod importing;
#[cfg(test)]
mod strange;
#[cfg(test)]
mod support;
