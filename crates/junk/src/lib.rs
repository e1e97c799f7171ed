//! The junk filter: which words a message has, what was learnt of them, and what that says.
//!
//! [`Words::of_message`] reads a message once and makes a set of words of it: of its text, its
//! subject and addresses, the hosts its links name, its attachments and the tricks of its HTML.
//! Learning counts, for each word, the ham and the spam it was in ([`Count`], [`Totals`]).
//! [`classify`] turns the counts of a message's words into a probability and the words that
//! speak for it. Why it is done in this way stands in `docs/decisions/010-junk-classifier.md`.
//!
//! For those who try a filter out, [`visit_messages`] reads messages from files, and [`Tally`] counts
//! how often it was right.
//!
//! It keeps nothing: counts are the caller's, in a database or in memory ([`Model`]). It does not
//! decide what becomes of a message, and knows nothing of senders' reputations.
//!
//! ```
//! use mox_junk::{Class, Kinds, Model, Params, Words};
//!
//! let words = |text: &str| Words::of_bytes(text.as_bytes(), Kinds::default());
//! let mut model = Model::default();
//! for _ in 0..3 {
//!     model.train(&words("Subject: lunch\r\n\r\nMeet at the usual table tomorrow?\r\n"), Class::Ham);
//!     model.train(&words("Subject: prize\r\n\r\nClaim your winnings, lucky winner!\r\n"), Class::Spam);
//! }
//! let score = model.classify(&words("\r\nclaim your lucky winnings\r\n"), &Params::default());
//! assert!(score.probability > 0.9);
//! assert_eq!(score.spam_words[0].text, "winnings");
//! ```

mod address;
mod classify;
mod corpus;
mod html;
mod links;
mod message;
mod model;
mod tally;
mod text;
mod words;

pub use classify::{
    Class, Count, Params, SIGNIFICANT_HAM, Score, ScoredWord, TOP_WORDS_MAX, Totals, classify,
};
pub use corpus::{FOLDER_DEPTH_MAX, MESSAGE_BYTES_MAX, arrival, visit_messages};
pub use message::{RECEIVED_FIELDS_MAX, TEXT_BYTES_MAX};
pub use model::{MODEL_WORDS_MAX, Model, ModelError};
pub use tally::{CURVE, Outcome, Tally};
pub use text::WORD_BYTES_MAX;
pub use words::{HEADER_WORDS_MAX, Kinds, TEXT_WORDS_MAX, TOKENS_VERSION, Word, Words};
