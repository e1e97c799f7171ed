//! Which crate may use which.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::source;

/// A package of this workspace.
#[derive(Debug, Deserialize)]
pub(super) struct Package {
    name: String,
    manifest_path: String,
    dependencies: Vec<Dependency>,
}

#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `null` for a normal one, else `dev` or `build`.
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// The layer of each crate, by package name without `mox-`.
///
/// Crates that do not exist yet are listed too, so that adding one is a decision already taken.
const LAYERS: &[(&str, u8)] = &[
    ("base", 0),
    ("metrics", 0),
    ("dns", 1),
    ("mime", 1),
    ("sasl", 1),
    ("smtp", 1),
    ("imap", 1),
    ("jmap", 1),
    ("mailauth", 1),
    ("tlspolicy", 1),
    ("reports", 1),
    ("sconf", 1),
    ("bstore", 1),
    ("sqlite", 2),
    ("config", 2),
    ("junk", 2),
    ("policy", 2),
    ("store", 2),
    ("queue", 2),
    ("reportdb", 2),
    ("signing", 2),
    ("admin", 2),
    ("transfer", 2),
    ("backup", 2),
    ("takeover", 2),
    ("net", 3),
    ("login", 3),
    ("smtpd", 3),
    ("imapd", 3),
    ("sender", 3),
    ("web", 3),
    ("acme", 3),
    ("checks", 3),
    ("imapclient", 3),
    ("mox", 4),
];

/// Edges inside a layer.
const INSIDE: &[(&str, &[&str])] = &[
    ("smtp", &["sasl", "mime"]),
    ("imap", &["sasl", "mime"]),
    ("mailauth", &["dns", "mime"]),
    ("tlspolicy", &["dns", "reports"]),
    ("reports", &["mime"]),
    ("store", &["junk", "policy", "sqlite"]),
    ("signing", &["config"]),
    ("queue", &["reportdb", "sqlite"]),
    ("reportdb", &["sqlite"]),
    ("login", &["net"]),
    ("smtpd", &["net", "login"]),
    ("imapd", &["net", "login"]),
    ("sender", &["net"]),
    ("web", &["net", "login"]),
    ("admin", &["config", "queue", "signing", "store"]),
    ("transfer", &["store"]),
    ("takeover", &["junk", "policy", "queue", "reportdb", "store"]),
    ("backup", &["queue", "reportdb", "sqlite", "store"]),
    ("acme", &["net"]),
    ("checks", &["net"]),
    ("imapclient", &["net"]),
];

/// Packages outside the layers, and whether they may use ours.
const OUTSIDE: &[(&str, bool)] = &[("mox-tests", true), ("mox-bench", true), ("xtask", false)];

/// Test doubles: may be a dev-dependency of everything, and uses the base only.
const TESTKIT: &str = "testkit";

/// Crates with sockets, tasks and timers in them: for layers 3 and 4.
const RUNTIME: &[&str] = &[
    "tokio",
    "tokio-util",
    "tokio-rustls",
    "rustls",
    "hyper",
    "axum",
    "hickory-net",
    "hickory-proto",
    "hickory-resolver",
    "hickory-server",
];

/// Who may hold SQL.
const DATABASES: &[&str] = &["sqlite", "store", "queue", "reportdb", "junk"];

pub(super) fn packages(root: &Path) -> Result<Vec<Package>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root)
        .output()
        .context("run cargo metadata")?;
    if !output.status.success() {
        bail!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    }
    let metadata: Metadata =
        serde_json::from_slice(&output.stdout).context("read cargo metadata")?;
    Ok(metadata.packages)
}

fn short(name: &str) -> &str {
    name.strip_prefix("mox-").unwrap_or(name)
}

fn layer(name: &str) -> Option<u8> {
    let layers = LAYERS.iter().find(|(one, _)| *one == short(name));
    layers.map(|(_, layer)| *layer)
}

fn is_outside(name: &str) -> bool {
    OUTSIDE.iter().any(|(one, _)| *one == name)
}

fn is_ours(name: &str) -> bool {
    name == "mox" || name.starts_with("mox-")
}

pub(super) fn check(packages: &[Package]) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages {
        let name = package.name.as_str();
        if layer(name).is_none() && !is_outside(name) && short(name) != TESTKIT {
            faults.push(format!("{name}: has no layer; see xtask/src/tidy/layers.rs"));
            continue;
        }
        for dependency in &package.dependencies {
            if let Some(reason) = edge_fault(name, dependency) {
                faults.push(format!("{name} -> {}: {reason}", dependency.name));
            }
        }
    }
    faults
}

fn edge_fault(name: &str, dependency: &Dependency) -> Option<&'static str> {
    let (from, to) = (short(name), dependency.name.as_str());
    let dev = dependency.kind.as_deref() == Some("dev");
    if is_ours(to) {
        return our_edge_fault(name, short(to), dev);
    }
    let pure = layer(name).is_some_and(|layer| layer < 3);
    if pure && RUNTIME.contains(&to) && !dev {
        return Some("only layers 3 and 4 have sockets, tasks and timers");
    }
    if to == "rusqlite" && !DATABASES.contains(&from) {
        return Some("only sqlite, store, queue, reportdb and junk have a database");
    }
    if to == "anyhow" && name != "mox" && !is_outside(name) {
        return Some("only mox and xtask use anyhow: others have error types");
    }
    None
}

fn our_edge_fault(name: &str, to: &str, dev: bool) -> Option<&'static str> {
    let from = short(name);
    if let Some((_, may)) = OUTSIDE.iter().find(|(one, _)| *one == name) {
        return (!may).then_some("this package uses none of ours");
    }
    if to == TESTKIT {
        return (!dev).then_some("testkit is a dev-dependency only");
    }
    if from == TESTKIT {
        return (to != "base").then_some("testkit uses base only");
    }
    let (Some(upper), Some(lower)) = (layer(name), layer(to)) else {
        return Some("not a crate of the layers");
    };
    let inside = INSIDE.iter().any(|(one, may)| *one == from && may.contains(&to));
    (upper <= lower && !inside).then_some("points up, or sideways without being listed")
}

/// Rules for each package's own files.
pub(super) fn check_manifests(root: &Path, packages: &[Package]) -> Result<Vec<String>> {
    let mut faults = Vec::new();
    for package in packages {
        let dir = Path::new(&package.manifest_path).parent().unwrap_or(root);
        let dir = dir.strip_prefix(root).unwrap_or(dir).to_string_lossy().into_owned();
        if !inherits_lints(&source::manifest(root, &dir)?) {
            faults.push(format!("{dir}/Cargo.toml: wants `[lints] workspace = true`"));
        }
        let Some(layer) = layer(&package.name).filter(|layer| *layer < 3) else { continue };
        let clippy = fs::read_to_string(root.join(&dir).join("clippy.toml")).unwrap_or_default();
        faults.extend(clippy_faults(&dir, layer, &clippy));
        let lib = fs::read_to_string(root.join(&dir).join("src/lib.rs")).unwrap_or_default();
        if !lib.starts_with("//! ") {
            faults.push(format!("{dir}/src/lib.rs: opens with what the crate is"));
        }
        if layer < 2 && !lib.contains("clippy::indexing_slicing") {
            faults.push(format!("{dir}/src/lib.rs: wants the deny block for hostile bytes"));
        }
    }
    Ok(faults)
}

fn inherits_lints(manifest: &str) -> bool {
    let section = manifest.split_once("[lints]").map_or("", |(_, rest)| rest);
    section.trim_start().starts_with("workspace = true")
}

/// The nearest clippy.toml wins and nothing is merged, so each must repeat everything.
fn clippy_faults(dir: &str, layer: u8, clippy: &str) -> Vec<String> {
    let mut wanted = vec![
        "too-many-lines-threshold = 70",
        "std::time::SystemTime::now",
        "std::time::Instant::now",
        "std::net::TcpStream",
    ];
    if layer < 2 {
        wanted.push("std::fs::File");
    }
    let missing = wanted.into_iter().filter(|wanted| !clippy.contains(wanted));
    missing.map(|wanted| format!("{dir}/clippy.toml: wants {wanted}")).collect()
}

pub(super) fn check_architecture(root: &Path, packages: &[Package]) -> Vec<String> {
    let Ok(page) = fs::read_to_string(root.join("ARCHITECTURE.md")) else {
        return vec!["ARCHITECTURE.md: missing".to_owned()];
    };
    let mut faults = Vec::new();
    if page.lines().count() > 300 {
        faults.push("ARCHITECTURE.md: over 300 lines".to_owned());
    }
    let words = |name: &str| {
        page.split(|c: char| !c.is_alphanumeric() && c != '-').any(|word| word == name)
    };
    for package in packages {
        if !words(&package.name) && !words(short(&package.name)) {
            faults.push(format!("ARCHITECTURE.md: does not name {}", package.name));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check_edge(from: &str, to: &str, kind: Option<&str>, allowed: bool) {
        let dependency = Dependency { name: to.to_owned(), kind: kind.map(str::to_owned) };
        let fault = edge_fault(from, &dependency);
        assert_eq!(fault.is_none(), allowed, "{from} -> {to}: {fault:?}");
    }

    #[test]
    fn arrows_point_down() {
        // Allowed.
        check_edge("mox-imapd", "mox-store", None, true);
        check_edge("mox", "mox-base", None, true);
        check_edge("mox-tests", "mox", None, true);
        check_edge("mox-net", "tokio", None, true);
        check_edge("mox-store", "rusqlite", None, true);
        // Allowed inside a layer only because it is listed.
        check_edge("mox-imap", "mox-mime", None, true);
        check_edge("mox-smtpd", "mox-net", None, true);
        check_edge("mox-sasl", "mox-testkit", Some("dev"), true);
        check_edge("mox-store", "tokio", Some("dev"), true);
        // Just past.
        check_edge("mox-mime", "mox-imap", None, false);
        check_edge("mox-net", "mox-smtpd", None, false);
        check_edge("mox-imapd", "mox-smtpd", None, false);
        check_edge("mox-sasl", "mox-testkit", None, false);
        check_edge("mox-store", "tokio", None, false);
        check_edge("mox-imapd", "rusqlite", Some("dev"), false);
        // Never.
        check_edge("mox-base", "mox-mime", None, false);
        check_edge("mox-store", "mox-imapd", None, false);
        check_edge("mox-testkit", "mox-store", None, false);
        check_edge("mox-imap", "anyhow", None, false);
        check_edge("xtask", "mox", None, false);
        check_edge("mox-imapd", "mox-tests", None, false);
    }

    #[test]
    fn a_crate_without_a_layer_is_a_fault() {
        let package = |name: &str| Package {
            name: name.to_owned(),
            manifest_path: String::new(),
            dependencies: Vec::new(),
        };
        assert_eq!(check(&[package("mox-imap"), package("xtask")]), Vec::<String>::new());
        assert_eq!(check(&[package("mox-utils")]).len(), 1);
    }

    #[test]
    fn a_manifest_inherits_the_lints() {
        assert!(inherits_lints("[lints]\nworkspace = true\n"));
        assert!(!inherits_lints("[lints]\nrust.unsafe_code = \"allow\"\n"));
        assert!(!inherits_lints("[package]\nworkspace = true\n"));
    }

    #[test]
    fn a_clippy_file_repeats_everything() {
        assert_eq!(clippy_faults("crates/x", 1, "").len(), 5);
        assert_eq!(clippy_faults("crates/x", 2, "").len(), 4);
    }
}
