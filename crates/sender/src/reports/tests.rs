//! Reports from the database of reports into the queue, with DNS from a table.

mod about_dmarc;
mod about_tls;
mod support;
