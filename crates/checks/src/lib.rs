//! Whether DNS, ports and certificates are as they must be for mail to arrive and to be taken by others.
