//! `mox config test`.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;

use mox_config::{NamedFiles, PassedFiles};

use super::{Global, print, say};
use crate::privileges::Passed;
use crate::server::{check_passed_certificates, faults_text};

/// Check both configuration files, and the certificates and keys they name.
///
/// Prints "config OK", or all that is wrong. Also tells of keys that have no effect yet. Nothing
/// is changed.
#[derive(Debug, Args)]
pub(super) struct ConfigTest {}

impl ConfigTest {
    pub(super) fn run(self, global: &Global) -> Result<ExitCode> {
        let (path, _) = global.config_path();
        // A keeper wants to know, before a restart.
        let passed = Passed::for_test()?;
        let files = match &passed {
            Some(passed) => (NamedFiles::CheckReadable, passed.places()),
            None => (NamedFiles::Check, PassedFiles::default()),
        };
        let report = mox_config::test_files(&path, files.0);
        for notice in &report.notices {
            say(&format!("note: {notice}\n"));
        }
        if !report.faults.is_empty() {
            say(&format!("{}{}\n", faults_text(&report.faults), global.hint()));
            return Ok(ExitCode::FAILURE);
        }
        check_passed_certificates(&path, files)?;
        print("config OK\n")?;
        Ok(ExitCode::SUCCESS)
    }
}
