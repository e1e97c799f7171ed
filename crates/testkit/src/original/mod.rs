//! Hosts of the original mox, to take over: those that its own program made, kept as fixtures, and
//! made-up ones of any size ([`generate`]), and databases in its format with what a test wants to have in
//! them ([`Writer`], [`write_database`]).
#![expect(clippy::expect_used, reason = "a panic is how a test fails")]

mod account;
mod host;
mod page;
mod schema;
mod value;
mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde_json::Value as Json;

pub use host::{Plan, generate};
pub use schema::{Field, Kind, Schema, Type};
pub use value::{Row, Value, fields, list, map, row, time, time_at};
pub use writer::{Writer, write_database};

fn open(name: &str) -> GzDecoder<File> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../bstore/tests/fixtures");
    GzDecoder::new(File::open(fixtures.join(name)).expect("a fixture of that name"))
}

/// A host that was unpacked.
#[derive(Clone, Debug)]
pub struct Host {
    /// The directory with `mox.conf` and `domains.conf`.
    pub config: PathBuf,
    /// The data directory.
    pub data: PathBuf,
}

/// Unpacks the host of a fixture into a directory: `basic` (made by localserve), `rich` (two accounts with
/// some of everything) or `live` (copied while it ran).
///
/// # Panics
///
/// If there is none of that name.
#[must_use]
pub fn unpack(name: &str, dir: &Path) -> Host {
    tar::Archive::new(open(&format!("moxdata-{name}.tgz"))).unpack(dir).expect("unpack a fixture");
    let of_localserve = dir.join("mox-localserve");
    if of_localserve.exists() {
        return Host { config: of_localserve.clone(), data: of_localserve };
    }
    Host { config: dir.join("config"), data: dir.join("data") }
}

/// What the original's own library says of a fixture.
///
/// # Panics
///
/// If there is none of that name.
#[must_use]
pub fn expected(name: &str) -> Json {
    serde_json::from_reader(open(&format!("expected-{name}.json.gz")))
        .expect("a fixture of that name")
}
