//! Changes to domains, accounts and addresses, and what DNS and mail programs are told about them.
