//! The other side, as far as tests and benches need it: responses from bytes.
//!
//! It is no mail program: it keeps no state and knows no command. [`ResponseReader`] finds where a
//! response ends, [`Response`] reads what is in it when asked.

mod reader;
mod value;

pub use reader::{Response, ResponseReader};
pub use value::{VALUE_DEPTH_MAX, Value, ValueError};
