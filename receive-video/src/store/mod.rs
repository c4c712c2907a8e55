//! Bundles on their way from the sampler to the queue: durable first, shipped after.

mod audit;
mod books;
mod fold;
mod lock;
mod ship;
mod spool;
mod tables;
#[cfg(test)]
pub(crate) mod tests;

pub(crate) use audit::keys;
pub use audit::{EpochAccount, EventRow, Kept, SpoolAudit, audit, events, visit};
pub(crate) use books::Books;
pub(crate) use ship::Shipper;
pub use spool::shed;
pub(crate) use spool::{Spool, SpoolCounts, SpoolOptions, Stored};
