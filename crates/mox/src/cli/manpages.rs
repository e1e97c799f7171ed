//! `mox manpages`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory as _};
use clap_mangen::Man;

use super::{Cli, print};

/// Write man pages: mox.1, and one for each command, such as mox-config-test.1.
#[derive(Debug, Args)]
pub(super) struct Manpages {
    /// The directory to write them to. It is made if it is not there; pages in it are replaced.
    dir: PathBuf,
}

/// A page: its file name, and its text.
type Page = (String, Vec<u8>);

impl Manpages {
    pub(super) fn run(self) -> Result<()> {
        let pages = pages()?;
        fs::create_dir_all(&self.dir)
            .with_context(|| format!("make directory {}", self.dir.display()))?;
        for (name, text) in &pages {
            let path = self.dir.join(name);
            fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
        print(&format!("{} man pages written to {}\n", pages.len(), self.dir.display()))
    }
}

fn pages() -> Result<Vec<Page>> {
    // Built, so that each command knows the flags that all take.
    let mut root = Cli::command();
    root.build();
    let mut pages = Vec::new();
    add(root, "mox", &mut pages)?;
    Ok(pages)
}

fn add(command: clap::Command, name: &str, pages: &mut Vec<Page>) -> Result<()> {
    for below in command.get_subcommands().filter(|below| !below.is_hide_set()) {
        add(below.clone(), &format!("{name}-{}", below.get_name()), pages)?;
    }
    let mut text = Vec::new();
    let man = Man::new(command.name(name.to_owned())).manual("mox mail server");
    man.render(&mut text).with_context(|| format!("write page {name}"))?;
    pages.push((format!("{name}.1"), text));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_command_has_a_page_with_its_flags() {
        let pages = pages().unwrap();
        let page = |name: &str| {
            let found = pages.iter().find(|(one, _)| one == name);
            String::from_utf8(found.unwrap_or_else(|| panic!("{name}")).1.clone()).unwrap()
        };
        assert!(page("mox.1").contains("mox\\-localserve(1)"), "{}", page("mox.1"));
        let localserve = page("mox-localserve.1");
        assert!(localserve.contains("initonly") && localserve.contains("loglevel"), "{localserve}");
        assert!(page("mox-config-test.1").contains(".SH SYNOPSIS"));
        assert!(page("mox-queue-holdrules-add.1").contains("senderdom"));
        for (name, text) in &pages {
            assert!(text.starts_with(b".ie") || text.starts_with(b".TH"), "{name}");
        }
    }
}
