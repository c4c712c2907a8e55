//! The promises of the design page, shown on the real programs over real RTSP.

mod aws;
mod camera;
mod ending;
mod faults;
mod isolation;
mod kill;
mod memory;
mod objects;
mod payload;
mod reference;
mod secrets;
mod setup;
mod stop;
mod throughput;
