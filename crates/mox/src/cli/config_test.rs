//! `mox config test`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use super::{Global, print, say};
use crate::server::{check_certificates, faults_text};

/// Check both configuration files, and the certificates and keys they name.
///
/// Prints "config OK", or all that is wrong. Also tells of keys that have no effect yet. Nothing
/// is changed.
#[derive(Debug, Args)]
pub(super) struct ConfigTest {}

impl ConfigTest {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let (path, _) = global.config_path();
        let report = mox_config::test(&path);
        for notice in &report.notices {
            say(&format!("note: {notice}\n"));
        }
        if !report.faults.is_empty() {
            say(&format!("{}{}\n", faults_text(&report.faults), global.hint()));
            return Ok(ExitCode::FAILURE);
        }
        check_certificates(&path)?;
        print("config OK\n")?;
        Ok(ExitCode::SUCCESS)
    }
}
