//! SPF as a whole: each rule of RFC 7208 with records that meet it and records that just do not.

#[cfg(test)]
mod zone;

#[cfg(test)]
mod appendix;
#[cfg(test)]
mod evaluation;
#[cfg(test)]
mod explanation;
#[cfg(test)]
mod limits;
#[cfg(test)]
mod mechanisms;
