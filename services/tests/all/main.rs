//! The messages' text, and the embedded queue against a model and against killed processes.

mod messages;
mod queue_model;
mod queue_processes;
