//! The receiver from source to queue: files, cameras with faults, crashes.

mod cameras;
mod crash;
mod faults;
mod files;
mod gstreamer;
mod shipping;
mod site;
