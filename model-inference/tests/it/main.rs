//! The crate from outside: whole models on real pictures, and workers between a real store and a real queue.

mod faults;
mod heads;
mod pictures;
mod replicas;
mod support;
mod worker;
