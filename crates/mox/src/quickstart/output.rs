//! What is told: on standard output, and the same in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use mox_checks::{Finding, Level};

/// The name of the file.
pub(super) const LOG: &str = "quickstart.log";

/// The first and the last line.
pub(super) const NOTICE: &str = "(output is also written to quickstart.log)\n";

/// Where the text goes.
pub(super) struct Output<'a> {
    screen: &'a mut dyn Write,
    file: File,
}

impl<'a> Output<'a> {
    /// Opens the file: a new one, or one of a former run, to which is added. It has passwords in
    /// it: nobody else reads it.
    ///
    /// # Errors
    ///
    /// If there is a file that is not of a former run.
    pub(super) fn open(dir: &Path, screen: &'a mut dyn Write) -> Result<Self> {
        let path = dir.join(LOG);
        let mut options = OpenOptions::new();
        options.read(true).append(true).mode(0o600);
        let file = match options.clone().create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let file = options.open(&path);
                let file = file.with_context(|| format!("open {}", path.display()))?;
                let mut start = Vec::new();
                (&file).take(NOTICE.len() as u64).read_to_end(&mut start).context("read log")?;
                ensure!(
                    start == NOTICE.as_bytes() || start.is_empty(),
                    "{} exists and is not of a former run: move it away",
                    path.display()
                );
                file
            }
            file => file.with_context(|| format!("make {}", path.display()))?,
        };
        let mut output = Self { screen, file };
        output.say(NOTICE)?;
        Ok(output)
    }

    /// Tells a text, which ends with its line.
    ///
    /// # Errors
    ///
    /// If the file cannot be written. That nobody looks at the screen any more is no error.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        let _unseen = self.screen.write_all(text.as_bytes()).and_then(|()| self.screen.flush());
        self.file.write_all(text.as_bytes()).context("write quickstart.log")
    }

    /// Writes to the file what is told on the screen by others.
    pub(super) fn log_only(&mut self, text: &str) -> Result<()> {
        self.file.write_all(text.as_bytes()).context("write quickstart.log")
    }

    /// Tells one finding.
    pub(super) fn finding(&mut self, finding: &Finding) -> Result<()> {
        self.say(&told(finding))
    }

    /// Tells what checks found, below what was checked.
    pub(super) fn findings(&mut self, checked: &str, findings: &[Finding]) -> Result<()> {
        let worst = findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
        let sum = if worst <= Level::Note { " OK" } else { "" };
        self.say(&format!("Checking {checked} ...{sum}\n"))?;
        findings.iter().try_for_each(|finding| self.finding(finding))
    }

    /// What was told is on disk when this returns.
    pub(super) fn sync(&self) -> Result<()> {
        self.file.sync_all().context("sync quickstart.log")
    }
}

/// A finding, which stands out the more the worse it is.
fn told(finding: &Finding) -> String {
    // Printed by the finding itself, since others' text may be in it.
    let text = finding.to_string();
    let text = text.split_once(": ").map_or(text.as_str(), |(_, text)| text);
    match finding.level {
        Level::Ok => format!("\t{text}"),
        level => format!("\n{}: {text}\n", level.as_str().to_uppercase()),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn all_is_on_the_screen_and_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        for run in 1..3 {
            let mut screen = Vec::new();
            let mut output = Output::open(dir.path(), &mut screen).unwrap();
            output.say("Password: x\n").unwrap();
            output.sync().unwrap();
            assert_eq!(screen, format!("{NOTICE}Password: x\n").as_bytes());
            let path = dir.path().join(LOG);
            assert_eq!(fs::read(&path).unwrap(), screen.repeat(run));
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn a_file_of_somebody_else_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(LOG);
        fs::write(&path, "mine").unwrap();
        let mut screen = Vec::new();
        assert!(Output::open(dir.path(), &mut screen).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    }

    #[test]
    fn what_is_wrong_stands_out() {
        let dir = tempfile::tempdir().unwrap();
        let mut screen = Vec::new();
        let mut output = Output::open(dir.path(), &mut screen).unwrap();
        output.findings("ports", &[Finding::ok("port 25: open\u{7}")]).unwrap();
        output.findings("names", &[Finding::warning("a: none", "Get one.\nThere.")]).unwrap();
        let want = "Checking ports ... OK\n\tport 25: open?\nChecking names ...\n\n\
                    WARNING: a: none\n\tGet one.\n\tThere.\n\n";
        assert_eq!(String::from_utf8(screen).unwrap(), format!("{NOTICE}{want}"));
    }
}
