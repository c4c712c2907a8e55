//! The embedded table over rows as the delivery stream leaves them: half in files, half still buffered.

mod faults;
mod moving;
mod queries;
mod questions;
mod site;
mod unique;
