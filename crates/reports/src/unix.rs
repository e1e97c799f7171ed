//! Points in time as numbers of seconds, in JSON.

use mox_base::UnixSeconds;
use serde::{Deserialize, Deserializer, Serializer};

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
pub(crate) fn serialize<S: Serializer>(time: &UnixSeconds, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_i64(time.0)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UnixSeconds, D::Error> {
    i64::deserialize(from).map(UnixSeconds)
}
