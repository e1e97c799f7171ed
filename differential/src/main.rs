//! Compares what mox and another implementation find out about messages: `cargo run --release` here.
//!
//! Both are asked about the same messages and the same DNS, which is a table behind a server on
//! loopback. What is compared is made of parts at random, or written by hand; when the two differ,
//! the case is cut down to the least with which they still do. Prints counts, and each kind of
//! disagreement with what the RFC says of it and examples. The exit code is 1 if there is one that
//! nobody has explained.
//!
//! Arguments: how many cases are made of each kind (2,000), and the seed (1).

mod dkim;
mod dmarc;
mod random;
mod referee;
mod server;
mod spf;
mod tally;

use std::process::ExitCode;

use anyhow::{Context as _, Result};

use random::Random;
use server::Other;

/// Cases that are made of each kind, if nothing else is said.
const CASES: usize = 2_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    let cases = arguments.next().map(|text| text.parse()).transpose().context("cases")?;
    let seed = arguments.next().map(|text| text.parse()).transpose().context("seed")?;
    let (cases, mut random) = (cases.unwrap_or(CASES), Random::new(seed.unwrap_or(1)));
    let other = Other::start().await?;
    let mut tallies = spf::compare(&other, cases, &mut random).await?;
    tallies.extend(dkim::compare(&other, cases, &mut random).await?);
    tallies.extend(dmarc::compare(&other, cases, &mut random).await?);
    for tally in &tallies {
        println!("{}", tally.report());
    }
    let unknown: usize = tallies.iter().map(tally::Tally::unknown).sum();
    println!("{unknown} disagreements that nobody has explained");
    Ok(if unknown == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
