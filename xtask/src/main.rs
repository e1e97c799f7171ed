//! Repository tasks.
//!
//! - `cargo xtask tidy` checks the rules of STYLE.md that a compiler does not know.
//! - `cargo xtask rfc` writes docs/rfc.md, the index of RFC citations.
//! - `cargo xtask licenses` writes the licences of all that is linked into the program.
//! - `cargo xtask interop [NAME]` runs other people's mail programs against `mox localserve`; with a
//!   name, only the cases that contain it.
//! - `cargo xtask package [--target TRIPLE] [--binary FILE]` makes a Debian package and an archive.
//!
//! The first three also run as tests of this package.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on standard output")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

mod interop;
mod licenses;
mod package;
mod rfc;
mod source;
mod tidy;

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    match run(&task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("xtask {task}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &str) -> Result<()> {
    let root = root()?;
    match task {
        "tidy" => report(&tidy::check(&root)?),
        "rfc" => {
            let index = rfc::Index::build(&root)?;
            std::fs::write(root.join(rfc::PATH), index.print()).context("write index")?;
            println!("{}", index.print_density());
            report(&index.faults())
        }
        "licenses" => {
            let text = licenses::text(&root)?;
            std::fs::write(root.join(licenses::PATH), &text).context("write licences")?;
            println!("{}: {} bytes", licenses::PATH, text.len());
            Ok(())
        }
        "interop" => interop::run(&std::env::args().nth(2).unwrap_or_default()),
        "package" => {
            let arguments: Vec<_> = std::env::args().skip(2).collect();
            for made in package::run(&root, &arguments)? {
                println!("{}", made.display());
            }
            Ok(())
        }
        _ => bail!("unknown task; there are: tidy, rfc, licenses, interop, package"),
    }
}

/// The folder of the workspace.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Ok(here.parent().context("xtask lies in the workspace")?.to_owned())
}

fn report(faults: &[String]) -> Result<()> {
    for fault in faults {
        println!("{fault}");
    }
    if faults.is_empty() { Ok(()) } else { bail!("{} faults", faults.len()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repository_is_tidy() {
        let faults = tidy::check(&root().unwrap()).unwrap();
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
    }

    #[test]
    fn the_rfc_index_is_up_to_date_and_dense_enough() {
        let root = root().unwrap();
        let index = rfc::Index::build(&root).unwrap();
        let faults = index.faults();
        assert!(faults.is_empty(), "\n{}", faults.join("\n"));
        let written = std::fs::read_to_string(root.join(rfc::PATH)).unwrap_or_default();
        assert!(written == index.print(), "docs/rfc.md is old: run `cargo xtask rfc`");
    }
}
