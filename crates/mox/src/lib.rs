//! The mox binary: command line, wiring, control socket, serve, localserve.
