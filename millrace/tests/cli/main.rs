//! The binary as a user meets it: help, files, exit codes, answers.

#![allow(clippy::unwrap_used, reason = "what helps a test may do as a test does")]

mod cameras;
mod cost;
mod damage;
mod finite;
mod fresh;
mod help;
mod mistakes;
mod objects;
mod pace;
mod query;
mod retention;
mod running;
mod site;
mod telemetry;
mod traces;
