//! The embedded table over rows as the delivery stream leaves them: half in files, half still buffered.

#![allow(clippy::unwrap_used, reason = "everything here is part of a test")]

mod athena;
mod damaged;
mod engines;
mod faults;
mod moving;
mod queries;
mod questions;
mod repeated;
mod site;
mod unique;
