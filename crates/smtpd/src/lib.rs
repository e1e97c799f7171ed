//! SMTP driver: sockets, session and services.
