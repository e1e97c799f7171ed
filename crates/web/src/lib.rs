//! The HTTP server: settings for mail programs, MTA-STS policies, metrics.
//!
//! A [`Server`] is made once and serves connections of all [`Port`]s. HTTP/1.1 is spoken everywhere,
//! HTTP/2 within TLS. What a port answers depends on the services that the configuration puts there
//! and on the host that is asked for; `docs/http.md` in the repository has the table.
//!
//! Everything that a client decides is bounded: headers, bodies, requests at a time and in a while,
//! how long it may be silent, how long it may leave what is sent to it lying.
//!
//! Not here: pages for people, web sites of users, TLS. A connection comes with TLS on, or stays as it
//! is.

mod activity;
mod answer;
mod compress;
mod exchange;
mod forwarded;
mod handlers;
mod host;
mod paced;
mod path;
mod process;
mod query;
mod request;
mod router;
mod server;

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod hostile_tests;
#[cfg(test)]
mod server_tests;

pub use activity::{ANSWER_WAIT, HEAD_WAIT, IDLE_WAIT};
pub use exchange::REQUEST_WINDOWS;
pub use handlers::{ADDRESSES_MAX, NAME_BYTES_MAX, XML_DEPTH_MAX, requested_address};
pub use paced::WRITE_WAIT;
pub use path::cleaned as clean_path;
pub use query::field as query_field;
pub use request::{BODY_BYTES_MAX, BODY_WAIT};
pub use server::{
    ALPN_HTTP1, ALPN_HTTP2, HEADER_BYTES_MAX, HEADERS_MAX, Http01, OPEN_CONNECTIONS, Port,
    STREAMS_MAX, Server, Services,
};
