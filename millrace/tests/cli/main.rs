//! The binary as a user meets it: help, files, exit codes, answers.

mod finite;
mod help;
mod mistakes;
mod site;
