//! `cargo xtask package`: a Debian package and an archive with the program. See packaging/README.md.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Where the package says that the program and its server are.
const PROGRAM: &str = "/usr/bin/mox";
const HOME: &str = "/var/lib/mox";

/// Completions: the shell, and where it looks for them.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/mox"),
    ("zsh", "usr/share/zsh/vendor-completions/_mox"),
    ("fish", "usr/share/fish/vendor_completions.d/mox.fish"),
];

/// Files taken as they are: where they lie, and where they go.
const FILES: &[(&str, &str)] = &[
    ("README.md", "usr/share/doc/mox/README.md"),
    ("CHANGELOG.md", "usr/share/doc/mox/CHANGELOG.md"),
    ("packaging/prometheus/mox-alerts.yml", "usr/share/doc/mox/mox-alerts.yml"),
    ("packaging/grafana/mox.json", "usr/share/doc/mox/grafana-mox.json"),
];

/// Scripts of the package.
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

/// What is to be packed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    target: Option<String>,
    binary: Option<PathBuf>,
}

impl Wanted {
    fn parse(arguments: &[String]) -> Result<Self> {
        let mut wanted = Self::default();
        let mut rest = arguments.iter();
        while let Some(flag) = rest.next() {
            let value = rest.next().with_context(|| format!("{flag} wants a value"))?;
            match flag.as_str() {
                "--target" => wanted.target = Some(value.clone()),
                "--binary" => wanted.binary = Some(value.into()),
                _ => bail!("{flag}: there are --target TRIPLE and --binary FILE"),
            }
        }
        Ok(wanted)
    }
}

/// Builds and packs. Returns the files made.
///
/// # Errors
///
/// If a program that is needed is missing or fails, or the disk does.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<Vec<PathBuf>> {
    let wanted = Wanted::parse(arguments)?;
    let built;
    let binary = match &wanted.binary {
        Some(binary) => binary,
        None => {
            built = build(root, wanted.target.as_deref())?;
            &built
        }
    };
    let out = root.join("target/package");
    let stage = out.join("stage");
    if stage.exists() {
        fs::remove_dir_all(&stage).context("remove what was packed before")?;
    }
    let version = version(binary)?;
    fill(root, &stage, binary)?;
    let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
    let program = fs::read(binary).with_context(|| format!("read {}", binary.display()))?;
    let control = read(&root.join("packaging/debian/control.in"))?;
    let control = control_text(&control, &version, architecture.trim(), libc_minor(&program));
    let package = out.join(format!("mox_{version}_{}.deb", architecture.trim()));
    debian(root, &stage, &control, &package)?;
    let archive = out.join(format!("mox-{version}-{}.tar.gz", architecture.trim()));
    let entries = ["usr"];
    let mut tar = Command::new("tar");
    tar.args(["--create", "--gzip", "--owner=0", "--group=0", "--sort=name", "--file"]);
    output(tar.arg(&archive).arg("--directory").arg(&stage).args(entries))?;
    Ok(vec![package, archive])
}

fn build(root: &Path, target: Option<&str>) -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--release", "--locked", "--package", "mox"]).current_dir(root);
    if let Some(target) = target {
        cargo.args(["--target", target]);
    }
    let status = cargo.status().context("run cargo")?;
    if !status.success() {
        bail!("cargo build: {status}");
    }
    let dir = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), Into::into);
    Ok(dir.join(target.unwrap_or_default()).join("release/mox"))
}

/// The version that a program says it has: what is packed, not what the sources are by now.
fn version(binary: &Path) -> Result<String> {
    let text = output(Command::new(binary).arg("version"))?;
    let version = text.lines().next().and_then(|line| line.strip_prefix("mox "));
    Ok(version.with_context(|| format!("{}: says no version", binary.display()))?.to_owned())
}

/// Which version of the GNU C library a program wants at the least, as 2.x: it names the versions of the
/// functions it calls. `None` for a static one.
fn libc_minor(program: &[u8]) -> Option<u32> {
    const NAME: &[u8] = b"GLIBC_2.";
    let ends = program.windows(NAME.len()).enumerate().filter(|(_, window)| *window == NAME);
    let minors = ends.filter_map(|(at, _)| {
        let digits = program.get(at + NAME.len()..)?.iter().take(3);
        let digits: String =
            digits.map(|byte| char::from(*byte)).take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    minors.max()
}

/// Puts all files where the package has them.
fn fill(root: &Path, stage: &Path, binary: &Path) -> Result<()> {
    let program = stage.join(PROGRAM.trim_start_matches('/'));
    copy(binary, &program, 0o755)?;
    for (from, to) in FILES {
        copy(&root.join(from), &stage.join(to), 0o644)?;
    }
    for (shell, to) in COMPLETIONS {
        let script = output(Command::new(binary).args(["completions", shell]))?;
        write(&stage.join(to), &script, 0o644)?;
    }
    // Our licence stands first in it.
    let licenses = output(Command::new(binary).arg("licenses"))?;
    write(&stage.join("usr/share/doc/mox/copyright"), &licenses, 0o644)?;
    let pages = stage.join("usr/share/man/man1");
    output(Command::new(binary).arg("manpages").arg(&pages))?;
    // Without the time and name of each, so that packing twice gives the same.
    let mut gzip = Command::new("gzip");
    gzip.args(["--no-name", "--best", "--recursive"]);
    output(gzip.arg(&pages))?;
    let unit = output(Command::new(binary).args(["config", "printservice"]).current_dir("/"))?;
    let unit = unit_for_package(&unit, binary)?;
    write(&stage.join("usr/lib/systemd/system/mox.service"), &unit, 0o644)
}

/// The unit that a program prints in the top directory, with the places of the package instead.
fn unit_for_package(unit: &str, binary: &Path) -> Result<String> {
    let binary = binary.canonicalize().context("find the program")?;
    let here = format!("\"{}\"", binary.display());
    let unit = unit
        .replace(&here, PROGRAM)
        .replace("WorkingDirectory=/\n", &format!("WorkingDirectory={HOME}\n"))
        .replace("\"//config\" \"//data\"", &format!("{HOME}/config {HOME}/data"));
    let is_whole = [PROGRAM, "WorkingDirectory=/var/lib/mox\n", "=/var/lib/mox/config /var/lib"];
    for part in is_whole {
        if !unit.contains(part) {
            bail!("the unit has no {part:?}:\n{unit}");
        }
    }
    Ok(unit)
}

fn debian(root: &Path, stage: &Path, text: &str, package: &Path) -> Result<()> {
    let control = stage.join("DEBIAN");
    write(&control.join("control"), text, 0o644)?;
    for script in SCRIPTS {
        copy(&root.join("packaging/debian").join(script), &control.join(script), 0o755)?;
    }
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zgzip", "--build"]);
    output(build.arg(stage).arg(package))?;
    fs::remove_dir_all(&control).context("remove what is for the package only")
}

fn control_text(text: &str, version: &str, architecture: &str, libc: Option<u32>) -> String {
    let depends = libc.map(|minor| format!("Depends: libc6 (>= 2.{minor})\n")).unwrap_or_default();
    text.replace("@VERSION@", version)
        .replace("@ARCHITECTURE@", architecture)
        .replace("@DEPENDS@", &depends)
}

fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("run {name}"))?;
    if !output.status.success() {
        bail!("{name}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{name}: what it prints is no text"))
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("read {}", path.display()))
}

fn write(path: &Path, text: &str, mode: u32) -> Result<()> {
    let dir = path.parent().context("a file has a directory")?;
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).context("set mode")
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let dir = to.parent().context("a file has a directory")?;
    fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
    fs::copy(from, to).with_context(|| format!("copy {}", from.display()))?;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).context("set mode")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_say_what_is_packed() {
        let parse = |line: &str| {
            let words: Vec<_> = line.split_whitespace().map(ToOwned::to_owned).collect();
            Wanted::parse(&words)
        };
        assert_eq!(parse("").unwrap(), Wanted::default());
        let wanted = parse("--target x86_64-unknown-linux-musl --binary /b/mox").unwrap();
        assert_eq!(wanted.target.as_deref(), Some("x86_64-unknown-linux-musl"));
        assert_eq!(wanted.binary, Some("/b/mox".into()));
        assert!(parse("--target").is_err());
        assert!(parse("--strip yes").is_err());
    }

    #[test]
    fn a_static_program_depends_on_nothing() {
        let template = "Version: @VERSION@\nArchitecture: @ARCHITECTURE@\n@DEPENDS@Section: mail\n";
        assert_eq!(
            control_text(template, "1.2", "amd64", libc_minor(b"no names")),
            "Version: 1.2\nArchitecture: amd64\nSection: mail\n"
        );
        let linked = libc_minor(b"\0GLIBC_2.2.5\0GLIBC_2.34\0GLIBC_2.9\0GLIBC_2.");
        let linked = control_text(template, "1.2", "amd64", linked);
        assert!(linked.contains("\nDepends: libc6 (>= 2.34)\n"), "{linked}");
    }

    #[test]
    fn the_unit_gets_the_places_of_the_package() {
        let binary = std::env::current_exe().unwrap().canonicalize().unwrap();
        let unit = format!(
            "WorkingDirectory=/\nExecStart=\"{}\" serve\nReadWritePaths=\"//config\" \"//data\"\n",
            binary.display()
        );
        assert_eq!(
            unit_for_package(&unit, &binary).unwrap(),
            "WorkingDirectory=/var/lib/mox\nExecStart=/usr/bin/mox serve\n\
             ReadWritePaths=/var/lib/mox/config /var/lib/mox/data\n"
        );
        assert!(unit_for_package("[Unit]\n", &binary).is_err());
    }
}
