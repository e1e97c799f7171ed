//! A host of the original that was taken over, and mail programs that have known it before.

use std::time::Duration;

use anyhow::Result;

use super::Case;
use super::lab::{Space, run_script};

const LIMIT: Duration = Duration::from_secs(180);

const SCRIPT: &str = include_str!("takeover.py");

pub(super) const CASES: &[Case] =
    &[("mail programs that knew the original go on where they were", |_| takeover())];

fn takeover() -> Result<()> {
    run_script(SCRIPT, Space::Network, LIMIT)
}
