//! The server from the outside: real clients, real sockets on loopback.

mod client;
mod control;
mod faults;
mod playing;
mod programs;
