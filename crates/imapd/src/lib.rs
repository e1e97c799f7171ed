//! IMAP driver: sockets, session and services.
