//! The words of the protocol as values: a value that exists is valid.

mod command;
mod fetch;
mod filter;
mod flag;
mod mailbox;
mod metadata;
mod multisearch;
mod notify;
pub mod object_id;
mod partial;
mod search;
mod sequence_set;
mod sort;
mod status;
mod uid_map;
pub mod url;
pub mod utf7;

pub use command::{
    AppendMessage, Authenticate, Command, Create, Fetch, GetMetadata, LegalIn, List, Login,
    MailboxArg, Name, Qresync, Search, Select, SetMetadata, Store, StoreAction, Thread, URLS_MAX,
    UrlData, UrlFetch,
};
pub use fetch::{
    BinarySection, BodySection, FETCH_ITEMS_MAX, FetchItem, FetchModifiers, Partial,
    SECTION_DEPTH_MAX, Section, SectionText,
};
pub use filter::{Candidate, FILTER_NAMES_MAX, MailboxFilter};
pub use flag::{FlagList, is_atom_char};
pub use mailbox::{ListPattern, SEPARATOR};
pub use metadata::{
    EntryNameError, METADATA_ENTRIES_MAX, METADATA_NAME_BYTES_MAX, MetadataDepth, MetadataValue,
    check_entry_name, check_settable_name,
};
pub use mox_base::NumSet;
pub use multisearch::{MultiSearch, SEARCH_SOURCES_MAX};
pub use notify::{EventGroup, EventSet, NOTIFY_EVENTS_MAX, NOTIFY_GROUPS_MAX, Notify};
pub use partial::PartialRange;
pub use search::{
    CANCELLED_TAGS_MAX, DateOrder, ParsedKey, ResolvedKey, ReturnOptions, SEARCH_DEPTH_MAX,
    SEARCH_KEYS_MAX, SearchDate, SearchKey, SetOf, Wanted,
};
pub use sequence_set::{RANGES_MAX, SeqNum, SequenceSet, SequenceSetError, SetArg};
pub use sort::{SORT_KEYS_MAX, SortBy, SortKey, ThreadAlgorithm, ThreadEntry};
pub use status::StatusItem;
pub use uid_map::{Removed, SeqCursor, UidMap};
