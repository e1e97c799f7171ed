//! The other side: responses from bytes.
//!
//! It is no mail program: it keeps no state and knows no command. [`ResponseReader`] finds where a
//! response of a server ends that is trusted, in tests and benches; [`StreamReader`] does so within
//! bounds, and passes bodies on. [`Response`] reads what is in a response when asked.

mod reader;
mod stream;
mod value;

pub use reader::{Response, ResponseReader};
pub use stream::{Event, RESPONSE_BYTES_MAX, StreamReader, TooLarge};
pub use value::{VALUE_DEPTH_MAX, Value, ValueError};
